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
	o    Options
	dir  folder
	wake chan struct{} // capacity 1: one word is enough

	mu       sync.Mutex
	m        *manifest // replaced, never changed
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
	file    File
	version int64 // the first that does not name it
}

// Open opens or makes a lake. What a stop in the middle left is put right. A
// lake that knows more of the log than there is belongs to another log: it is
// begun anew.
func Open(o Options) (*Lake, error) {
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
	l := &Lake{o: o, dir: folder{o.Dir, o.step, o.loose}, wake: make(chan struct{}, 1), pins: map[int64]int{}}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, rapport.WithHint(fmt.Errorf("make the lake's folder: %w", err), "choose another with --lake, or --lake off")
	}
	m, err := l.dir.load()
	if err != nil {
		return nil, err
	}
	if m != nil && !l.fits(m) {
		o.Logger.Warn("the lake belongs to another log; it is written anew", slog.String("folder", o.Dir))
		m = nil
	}
	if m == nil {
		m = &manifest{Format: formatVersion, Deployment: o.Deployment, Events: make([]int64, o.Log.Partitions(eventlog.Events)), Next: 1, Files: []File{}}
		if err := l.dir.save(m); err != nil {
			return nil, err
		}
	}
	missing, err := l.dir.sweep(m)
	if err != nil {
		return nil, fmt.Errorf("look through the lake: %w", err)
	}
	if missing > 0 {
		o.Logger.Warn("files of the lake were removed by somebody; their rows stay away", slog.Int("files", missing))
	}
	l.m = m
	return l, nil
}

func (l *Lake) fits(m *manifest) bool {
	if m.Deployment != l.o.Deployment || len(m.Events) != l.o.Log.Partitions(eventlog.Events) {
		return false
	}
	for p, at := range m.Events {
		if _, next := l.o.Log.Bounds(eventlog.Events, int32(p)); at > next {
			return false
		}
	}
	_, next := l.o.Log.Bounds(eventlog.Rewards, 0)
	return m.Rewards <= next
}

// Dir returns the folder of the lake.
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
	if err := l.eraseNow(ctx); err != nil {
		return false, fmt.Errorf("erase: %w", err)
	}
	if more, err = l.writeBatch(ctx); err != nil {
		return false, err
	}
	if err := l.writePeople(); err != nil {
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
	return more || again, l.collect()
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
func (l *Lake) adopt(m *manifest, gone []File) error {
	if err := l.dir.save(m); err != nil {
		return err
	}
	l.mu.Lock()
	l.m, l.wrote = m, l.o.Clock.Now()
	for _, f := range gone {
		l.garbage = append(l.garbage, garbage{f, m.Version})
	}
	l.mu.Unlock()
	return l.collect()
}

// collect removes files nobody needs any more.
func (l *Lake) collect() error {
	l.mu.Lock()
	oldest := l.m.Version
	for v := range l.pins {
		oldest = min(oldest, v)
	}
	var doomed []File
	l.garbage = slices.DeleteFunc(l.garbage, func(g garbage) bool {
		if g.version <= oldest {
			doomed = append(doomed, g.file)
			return true
		}
		return false
	})
	l.mu.Unlock()
	for _, f := range doomed {
		if err := l.dir.remove(f.Path()); err != nil {
			return err
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
	release func()
}

// Release lets go of the files.
func (s *Snapshot) Release() { s.release() }

// Snapshot returns the present state.
func (l *Lake) Snapshot() *Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.m.Version
	l.pins[v]++
	s := &Snapshot{Version: v, Files: l.m.Files, People: l.m.People}
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
	return s
}

// Position returns the offset of a partition of the events topic below which
// everything is in the files: the log may be trimmed up to there.
func (l *Lake) Position(partition int32) int64 { return l.current().Events[partition] }

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
	for _, table := range append([]string{People}, Tables[:]...) {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, table)))
	}
	if err := os.Remove(filepath.Join(dir, manifestName)); !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
