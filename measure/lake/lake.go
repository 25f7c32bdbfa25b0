package lake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Dropped tells which records of a partition hold events that do not count; see
// [engine.Engine.Dropped].
type Dropped interface {
	Dropped(ctx context.Context, partition int32, from, to int64) ([]int64, error)
	// Folded returns the offset up to which Dropped answers at once.
	Folded(partition int32) int64
}

// Trace is what tells whether a row belongs to somebody erased.
type Trace struct {
	Entity, Fragment rapport.ID
	Identifiers      []rapport.Identifier
	// At is when it happened or was logged, whichever is earlier (Unix ms).
	At int64
}

// Options say what a lake is made of. Those without a default are required.
type Options struct {
	// Dir is the folder of the lake; it is made if missing.
	Dir string
	// Remote is object storage the lake lies in. Dir then holds copies of what was
	// written or read last, of at most CacheBytes (8 GiB). Nil: the lake lies in Dir.
	Remote     Remote
	CacheBytes int64
	// Deployment names whose log it is: a lake of another is begun anew.
	Deployment string
	// Log is what is written; Dropped says what of it does not count.
	Log     eventlog.Log
	Dropped Dropped
	Clock   rapport.Clock
	Logger  *slog.Logger
	// Decision decodes the body of a system event that is a decision, Outcome
	// the example in a record of the rewards topic; nil if it is none.
	Decision func(body []byte) (*rapport.Decision, error)
	Outcome  func(example []byte) (*OutcomeRow, error)
	// Skip reports system events that are machinery and not history. May be nil.
	Skip func(e *rapport.Event) bool
	// Gone returns what tells rows of people erased so far; nil keeps all.
	Gone func() func(Trace) bool
	// People calls yield with every id that belongs to a person of another id
	// now; PeopleVersion changes with the answer. May be nil together.
	People        func(yield func(id, person rapport.ID) bool)
	PeopleVersion func() uint64
	// Busy reports that others need the machine: then little is written at a time.
	Busy func() bool
	// Partial lets a lake begin with what the log still holds. Without it Open
	// refuses (Conflict) to write a lake anew from a log that was trimmed.
	Partial bool
	// Every is how long something new may wait to be written (1 minute).
	Every time.Duration
	// BatchRows and BatchBytes bound what is written at once and so the memory
	// (65536 records, 32 MiB of log).
	BatchRows  int
	BatchBytes int

	step  func(what string) error
	loose bool
}

// Lake writes the files of one deployment. Its methods are safe for concurrent use.
type Lake struct {
	o     Options
	depot depot
	wake  chan struct{} // capacity 1: one word is enough
	hurry chan struct{} // capacity 1: ends a rest

	mu       sync.Mutex
	m        *manifest // replaced, never changed; nil until the bucket answers
	waiters  []waiter
	pins     map[int64]int // versions being read, and by how many
	garbage  []garbage     // files that go when nobody reads an older version
	asked    []erasure     // erasures not in the manifest yet
	failed   error         // of the last round
	wrote    time.Time
	peopleAt uint64
	peopleOf time.Time
	peopleOK bool

	rows, files atomic.Int64 // written since the start
	urgent      atomic.Int32 // who waits
	writers     writers
}

type waiter struct {
	ends    []int64
	rewards int64
	done    chan error // capacity 1: told once, to somebody who may have gone
}

type garbage struct {
	name    string
	version int64 // the first that does not name it
}

// Open opens or makes a lake. What a stop in the middle left is put right. A
// lake that knows more of the log than there is belongs to another log: it is
// begun anew; one of this log, which was put back and lacks its beginning, is
// cut where the log ends. Kinds: Conflict (see Options.Partial), Unavailable.
func Open(ctx context.Context, o Options) (*Lake, error) {
	if o.Every <= 0 {
		o.Every = time.Minute
	}
	if o.BatchRows <= 0 {
		o.BatchRows = 64 << 10
	}
	if o.BatchBytes <= 0 {
		o.BatchBytes = 32 << 20
	}
	if o.Busy == nil {
		o.Busy = func() bool { return false }
	}
	if o.step == nil {
		o.step = func(string) error { return nil }
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 8 << 30
	}
	l := &Lake{o: o, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), pins: map[int64]int{}}
	l.depot = depot{
		folder: folder{o.Dir, o.step, o.loose || o.Remote != nil}, remote: o.Remote, limit: o.CacheBytes, logger: o.Logger,
		tried: map[[32]byte]bool{}, copies: map[string]*copied{},
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, rapport.WithHint(fmt.Errorf("make the lake's folder: %w", err), "choose another with --lake, or --lake off")
	}
	err := l.start(ctx)
	if err != nil && (o.Remote == nil || rapport.KindOf(err) != rapport.Unavailable) {
		return nil, err
	}
	if err != nil { // what is accepted meanwhile stays in the log
		o.Logger.Warn("the lake's bucket does not answer; it is tried again", slog.Any("error", err))
	}
	return l, nil
}

// start looks what there is of the lake.
func (l *Lake) start(ctx context.Context) error {
	m, err := l.depot.load(ctx)
	if err != nil {
		return err
	}
	if l.o.Remote != nil {
		if err := l.ours(ctx, m); err != nil {
			return err
		}
	}
	found := m
	m, beyond, err := l.belongs(m)
	if err != nil {
		return err
	}
	if m != found {
		if err := l.depot.save(ctx, m); err != nil {
			return err
		}
	}
	missing, err := l.depot.sweep(ctx, m)
	if err != nil {
		return fmt.Errorf("look through the lake: %w", err)
	}
	if missing > 0 {
		l.o.Logger.Warn("files of the lake were removed by somebody; their rows stay away", slog.Int("files", missing))
	}
	l.mu.Lock()
	l.m = m
	l.mu.Unlock()
	if beyond {
		if err := l.cut(ctx); err != nil {
			l.mu.Lock()
			l.m = nil // the next round begins again
			l.mu.Unlock()
			return fmt.Errorf("take back what the log does not hold: %w", err)
		}
	}
	return nil
}

// ours returns an error if what lies in the bucket is somebody else's: a place
// that is shared by mistake is not written over.
func (l *Lake) ours(ctx context.Context, m *manifest) error {
	if m != nil {
		if m.Deployment != l.o.Deployment {
			return rapport.WithHint(rapport.Errorf(rapport.Conflict, "the bucket holds the lake of another deployment"), "give --lake another prefix; or, if that deployment is gone, remove what lies there")
		}
		return nil
	}
	name, err := l.depot.foreign(ctx)
	if err == nil && name != "" && l.depot.tag == "" {
		err = rapport.WithHint(rapport.Errorf(rapport.Conflict, "the bucket holds %s, which is not of a lake: there is no %s", name, manifestName), "give --lake a prefix where nothing lies")
	}
	return err
}

// name takes a name for a file.
func (l *Lake) name(m *manifest) string { return m.name(l.o.Remote != nil) }

// ofThis reports whether a manifest was written by this deployment.
func (l *Lake) ofThis(m *manifest) bool {
	return m.Deployment == l.o.Deployment && len(m.Events) == l.o.Log.Partitions(eventlog.Events)
}

// ahead reports whether a manifest knows more of the log than there is.
func (l *Lake) ahead(m *manifest) bool {
	for p, at := range m.Events {
		if _, next := l.o.Log.Bounds(eventlog.Events, int32(p)); at > next {
			return true
		}
	}
	_, next := l.o.Log.Bounds(eventlog.Rewards, 0)
	return m.Rewards > next
}

// Dir returns the folder the files of a [Snapshot] lie in, once fetched.
func (l *Lake) Dir() string { return l.o.Dir }

// Run writes until ctx ends. What fails is logged and tried again: the log
// holds everything until then.
func (l *Lake) Run(ctx context.Context) error {
	pause := time.Duration(0)
	for {
		more, err := l.round(ctx)
		if ctx.Err() != nil {
			l.tell(ctx.Err())
			return nil
		}
		l.mu.Lock()
		l.failed = err
		l.mu.Unlock()
		wait := l.o.Every
		switch {
		case err != nil && rapport.KindOf(err) != rapport.Unavailable:
			l.o.Logger.Error("the lake was not written", slog.Any("error", err))
			fallthrough
		case err != nil:
			l.tell(err)
			pause = min(max(2*pause, time.Second), time.Minute)
			wait = pause
		case more:
			continue
		default:
			pause = 0
		}
		select {
		case <-l.wake:
		case <-time.After(wait):
		case <-ctx.Done():
			l.tell(ctx.Err())
			return nil
		}
	}
}

// round does what there is to do, as far as one batch goes, and reports whether there is more.
func (l *Lake) round(ctx context.Context) (more bool, err error) {
	if l.current() == nil {
		if err := l.start(ctx); err != nil {
			return false, err
		}
	}
	if err := l.resolve(ctx); err != nil {
		return false, fmt.Errorf("look at the bucket: %w", err)
	}
	if err := l.eraseNow(ctx); err != nil {
		return false, fmt.Errorf("erase: %w", err)
	}
	if more, err = l.writeBatch(ctx); err != nil {
		return false, err
	}
	if err := l.writePeople(ctx); err != nil {
		return false, err
	}
	l.settle()
	if l.urgent.Load() > 0 {
		return true, nil
	}
	again, err := l.compactOne(ctx)
	if err != nil {
		return false, fmt.Errorf("compact: %w", err)
	}
	return more || again, l.collect(ctx)
}

func (l *Lake) nudge() {
	select {
	case l.wake <- struct{}{}:
	default: // it is going to look anyway
	}
}

// Sync returns when everything acknowledged before the call is in the files.
// Kinds: Unavailable, Internal.
func (l *Lake) Sync(ctx context.Context) error {
	w := waiter{ends: make([]int64, l.o.Log.Partitions(eventlog.Events)), done: make(chan error, 1)}
	for p := range w.ends {
		_, w.ends[p] = l.o.Log.Bounds(eventlog.Events, int32(p))
	}
	_, w.rewards = l.o.Log.Bounds(eventlog.Rewards, 0)
	l.urgent.Add(1)
	defer l.urgent.Add(-1)
	l.mu.Lock()
	l.waiters = append(l.waiters, w)
	l.mu.Unlock()
	l.nudge()
	select {
	case l.hurry <- struct{}{}:
	default:
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle tells those whose wish is fulfilled.
func (l *Lake) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiters = slices.DeleteFunc(l.waiters, func(w waiter) bool {
		for p, at := range w.ends {
			if l.m.Events[p] < at {
				return false
			}
		}
		if l.m.Rewards < w.rewards || len(l.m.Erase)+len(l.asked) > 0 {
			return false
		}
		w.done <- nil
		return true
	})
}

// tell ends all waiting with an error.
func (l *Lake) tell(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.waiters {
		w.done <- err
	}
	l.waiters = nil
}

// current returns the manifest in force.
func (l *Lake) current() *manifest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m
}

// adopt makes a manifest the one in force. gone are files it no longer names.
func (l *Lake) adopt(ctx context.Context, m *manifest, gone []File) error {
	if err := l.depot.save(ctx, m); err != nil {
		return err
	}
	strays := l.depot.strays(m)
	l.mu.Lock()
	l.m, l.wrote = m, l.o.Clock.Now()
	for _, f := range gone {
		l.garbage = append(l.garbage, garbage{f.Path(), m.Version})
	}
	for _, name := range strays {
		if !slices.ContainsFunc(l.garbage, func(g garbage) bool { return g.name == name }) {
			l.garbage = append(l.garbage, garbage{name, 0})
		}
	}
	l.mu.Unlock()
	return l.collect(ctx)
}

// resolve takes up the manifest in force, if it is not known which that is.
func (l *Lake) resolve(ctx context.Context) error {
	m, err := l.depot.resolve(ctx)
	if err != nil || m == nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range append(slices.Clone(l.m.Files), optional(l.m.People)...) {
		if !slices.Contains(m.Files, f) && (m.People == nil || *m.People != f) {
			l.garbage = append(l.garbage, garbage{f.Path(), m.Version})
		}
	}
	l.m = m
	return nil
}

func optional(f *File) []File {
	if f == nil {
		return nil
	}
	return []File{*f}
}

// collect removes files nobody needs any more.
func (l *Lake) collect(ctx context.Context) error {
	l.mu.Lock()
	oldest := l.m.Version
	for v := range l.pins {
		oldest = min(oldest, v)
	}
	var doomed []garbage
	l.garbage = slices.DeleteFunc(l.garbage, func(g garbage) bool {
		if g.version <= oldest {
			doomed = append(doomed, g)
			return true
		}
		return false
	})
	l.mu.Unlock()
	for i, g := range doomed {
		if err := l.depot.drop(ctx, g.name); err != nil {
			l.mu.Lock()
			l.garbage = append(l.garbage, doomed[i:]...)
			l.mu.Unlock()
			return fmt.Errorf("remove %s: %w", g.name, err)
		}
	}
	return nil
}

// Snapshot is one state of the lake. Its files stay until it is released.
type Snapshot struct {
	Version int64
	Files   []File
	People  *File
	// Erased are ids of people whose rows are on their way out of the files.
	Erased  []rapport.ID
	depot   *depot
	release func()
}

// Release lets go of the files.
func (s *Snapshot) Release() { s.release() }

// Fetch sees to it that the files lie in the folder [Lake.Dir] until they are
// released. Kinds: Invalid (more than fits there), Unavailable.
func (s *Snapshot) Fetch(ctx context.Context) error {
	release, err := s.depot.fetch(ctx, append(slices.Clone(s.Files), optional(s.People)...))
	if err != nil {
		return err
	}
	rest := s.release
	s.release = func() { release(); rest() }
	return nil
}

// Snapshot returns the present state. Kinds: Unavailable (the bucket did not
// answer since the start).
func (l *Lake) Snapshot() (*Snapshot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Unavailable, "the lake's bucket does not answer"), "the server's log says why; what is accepted meanwhile is not lost")
	}
	v := l.m.Version
	l.pins[v]++
	s := &Snapshot{Version: v, Files: l.m.Files, People: l.m.People, depot: &l.depot}
	for _, e := range l.m.Erase {
		s.Erased = append(s.Erased, e.IDs...)
	}
	for _, e := range l.asked {
		s.Erased = append(s.Erased, e.IDs...)
	}
	s.release = sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.pins[v]--; l.pins[v] == 0 {
			delete(l.pins, v)
			l.nudge()
		}
	})
	return s, nil
}

// Position returns the offset of a partition of the events topic below which
// everything is in the files: the log may be trimmed up to there.
func (l *Lake) Position(partition int32) int64 {
	if m := l.current(); m != nil {
		return m.Events[partition]
	}
	return 0
}

// Stats are figures for an operator.
type Stats struct {
	Files int   `json:"files"`
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
	// Written counts rows since the start.
	Written int64 `json:"written"`
	// Lag is how many records of the log are not in the files yet.
	Lag int64 `json:"lag"`
	// Erasing is how many erasures are not carried out yet.
	Erasing int       `json:"erasing"`
	Since   time.Time `json:"since"` // of the last change
	Error   string    `json:"error,omitempty"`
}

// Stats returns the current figures.
func (l *Lake) Stats() Stats {
	l.mu.Lock()
	m, since, failed := l.m, l.wrote, l.failed
	l.mu.Unlock()
	if m == nil {
		m = &manifest{Events: make([]int64, l.o.Log.Partitions(eventlog.Events))}
	}
	s := Stats{Files: len(m.Files), Written: l.rows.Load(), Erasing: len(m.Erase), Since: since}
	for _, f := range m.Files {
		s.Rows, s.Bytes = s.Rows+f.Rows, s.Bytes+f.Bytes
	}
	for p, at := range m.Events {
		_, next := l.o.Log.Bounds(eventlog.Events, int32(p))
		s.Lag += max(next-at, 0)
	}
	if failed != nil {
		s.Error = failed.Error()
	}
	return s
}

// Remove deletes the files of a lake that nobody has open, for a deployment
// that turned it off or is put away.
func Remove(dir string) error {
	var errs []error
	for _, table := range allTables {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, table)))
	}
	if err := os.Remove(filepath.Join(dir, manifestName)); !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
