package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/profile"
)

// erasures is what the server knows of erased people. Erasing has two steps. At
// once the person is forgotten: profile, links, outbox, quarantine, decisions in
// memory; nobody can read anything of them any more. Later, at the latest
// RetainDays after, the bytes go too: records are scrubbed from the log, and the
// state store is compacted, because it keeps deleted values in its files until
// then. The second step reads the whole log, so that several erasures share one.
type erasures struct {
	mu      sync.Mutex
	ledger  *ledger
	wake    chan struct{}
	applied chan struct{} // closed when applyErasures is done
	missed  bool          // an erasure may not stand in the ledger
	failed  error         // of the last scrub
}

// open returns the ledger of the deployment.
func (e *erasures) open(dir string) (*ledger, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ledger == nil {
		l, err := openLedger(filepath.Join(dir, ledgerName))
		if err != nil {
			return nil, err
		}
		e.ledger, e.wake, e.applied = l, make(chan struct{}, 1), make(chan struct{})
	}
	return e.ledger, nil
}

func (e *erasures) nudge() {
	select {
	case e.wake <- struct{}{}:
	default: // it is going to look anyway
	}
}

// Erase implements api.System: it forgets a person and returns the job that
// removes what is left of them in files. When it returns, nothing of them can be
// read any more. Kinds: Unavailable.
func (s *Server) Erase(ctx context.Context, person rapport.ID, by string) (api.Job, error) {
	l, err := s.erasures.open(s.opts.Data)
	if err != nil {
		return api.Job{}, err
	}
	if err := s.items.LetGo(ctx, person); err != nil {
		return api.Job{}, err
	}
	who, err := s.identity.Who(ctx, s.identity.Person(person))
	if err != nil {
		return api.Job{}, err
	}
	names, err := s.names(ctx, who)
	if err != nil {
		return api.Job{}, err
	}
	// The quarantine knows people by name, and their names are about to go.
	if _, err := s.door.Quarantine().Forget(ctx, names); err != nil {
		return api.Job{}, err
	}
	job := newJob()
	nodes, err := s.identity.Erase(ctx, who.Person, job)
	if err != nil {
		return api.Job{}, err
	}
	at := rapport.Millis(s.opts.Clock.Now())
	if err := l.write(erasure{Job: job, At: at, Nodes: nodes}); err != nil {
		// It stands in the log: the list is completed from there.
		s.erasures.mu.Lock()
		s.erasures.missed = true
		s.erasures.mu.Unlock()
		s.erasures.nudge()
		return api.Job{}, err
	}
	s.forgetDecisions(nodes)
	if err := s.eraseLake(lakeJob(erasure{Job: job, At: at}), nodes); err != nil {
		return api.Job{}, err
	}
	if err := s.engine.View(ctx, who.Person, nil, func(*engine.View) error { return nil }); err != nil {
		return api.Job{}, err
	}
	s.log.Info("a person was erased", "job", job, "by", by)
	s.erasures.nudge()
	return s.Job(job)
}

func newJob() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return "erase-" + hex.EncodeToString(b[:])
}

// names returns every identifier a person is known by.
func (s *Server) names(ctx context.Context, who identity.Who) ([]rapport.Identifier, error) {
	var names []rapport.Identifier
	add := func(i rapport.Identifier) {
		if i.Value != "" && !slices.Contains(names, i) {
			names = append(names, i)
		}
	}
	for _, l := range who.Links {
		add(l.Identifiers[0])
		add(l.Identifiers[1])
	}
	err := s.engine.View(ctx, who.Person, nil, func(v *engine.View) error {
		if p, ok := profile.Read(v); ok {
			add(p.Identifier)
		}
		return nil
	})
	return names, err
}

func (s *Server) forgetDecisions(nodes []rapport.ID) {
	for _, id := range nodes {
		s.recent.Forget(id)
	}
}

// Job implements api.System. A job is running while something is to be done for
// it now; one whose bytes may stay for a while by RetainDays is done meanwhile.
func (s *Server) Job(id string) (api.Job, error) {
	l, err := s.erasures.open(s.opts.Data)
	if err != nil {
		return api.Job{}, err
	}
	e, ok := l.get(id)
	if !ok {
		return api.Job{}, rapport.Errorf(rapport.NotFound, "there is no job %s", id)
	}
	job := api.Job{ID: e.Job, Kind: "erase", State: "done", Done: 1, Total: 2, Since: rapport.Time(e.At)}
	switch {
	case e.Scrubbed > 0:
		job.Done = 2
	case s.dueAt(&e) <= rapport.Millis(s.opts.Clock.Now()):
		job.State = "running"
		s.erasures.mu.Lock()
		if err := s.erasures.failed; err != nil { // it is tried again
			job.Error = err.Error()
		}
		s.erasures.mu.Unlock()
	}
	return job, nil
}

// dueAt is when nothing of an erased person may be in the files any more.
func (s *Server) dueAt(e *erasure) int64 {
	return e.At + int64(s.opts.RetainDays)*rapport.Duration(24*time.Hour).Millis()
}

// applyErasures brings the list of erasures and what the log says together: who
// stands in one of them alone is put into the other. So a restored backup
// forgets again whom it still knew, before anybody can ask.
func (s *Server) applyErasures(ctx context.Context) error {
	l, err := s.erasures.open(s.opts.Data)
	if err != nil {
		return err
	}
	// Who waits until everything in the identity topic is folded.
	if _, err := s.identity.Who(ctx, rapport.ID{1}); err != nil {
		return err
	}
	known, err := s.knownErasures()
	if err != nil {
		return err
	}
	if err := s.completeLedger(l, known); err != nil {
		return err
	}
	for _, e := range l.list() {
		if err := s.eraseAgain(ctx, l, e, known); err != nil {
			return fmt.Errorf("erase %s again: %w", e.Job, err)
		}
	}
	for _, e := range l.list() {
		if e.Scrubbed == 0 {
			s.forgetDecisions(e.Nodes)
			if err := s.eraseLake(lakeJob(e), e.Nodes); err != nil {
				return err
			}
		}
	}
	s.erasures.mu.Lock()
	defer s.erasures.mu.Unlock()
	s.erasures.missed = false
	select {
	case <-s.erasures.applied:
	default:
		close(s.erasures.applied)
	}
	return nil
}

func (s *Server) knownErasures() (map[rapport.ID]identity.Erased, error) {
	list, err := s.identity.Erasures()
	if err != nil {
		return nil, err
	}
	known := make(map[rapport.ID]identity.Erased, len(list))
	for _, x := range list {
		known[x.Node] = x
	}
	return known, nil
}

// completeLedger adds erasures that are durable in the log and not in the list.
func (s *Server) completeLedger(l *ledger, known map[rapport.ID]identity.Erased) error {
	missing := map[string]*erasure{}
	for _, x := range known {
		if _, ok := l.get(x.Job); ok {
			continue
		}
		e := missing[x.Job]
		if e == nil {
			e = &erasure{Job: x.Job}
			missing[x.Job] = e
		}
		e.At = max(e.At, x.At)
		e.Nodes = append(e.Nodes, x.Node)
	}
	var lines []erasure
	for _, e := range missing {
		slices.SortFunc(e.Nodes, rapport.ID.Compare)
		lines = append(lines, *e)
	}
	slices.SortFunc(lines, func(a, b erasure) int { return int(a.At - b.At) })
	return l.write(lines...)
}

// eraseAgain erases who was erased before but is not by what the log says: it
// is older than the list. Whoever was one person with them then goes, too.
func (s *Server) eraseAgain(ctx context.Context, l *ledger, e erasure, known map[rapport.ID]identity.Erased) error {
	var nodes []rapport.ID
	for _, node := range e.Nodes {
		if x, ok := known[node]; ok && (x.Job == e.Job || x.At >= e.At) || slices.Contains(nodes, node) {
			continue
		}
		who, err := s.identity.Who(ctx, s.identity.Person(node))
		if err != nil {
			return err
		}
		names, err := s.names(ctx, who)
		if err != nil {
			return err
		}
		if _, err := s.door.Quarantine().Forget(ctx, names); err != nil {
			return err
		}
		gone, err := s.identity.Erase(ctx, who.Person, e.Job)
		if err != nil {
			return err
		}
		nodes = append(nodes, gone...)
	}
	if len(nodes) == 0 {
		return nil
	}
	for _, node := range e.Nodes {
		if !slices.Contains(nodes, node) {
			nodes = append(nodes, node)
		}
	}
	// From now on, because what was restored is older than now.
	if err := l.write(erasure{Job: e.Job, At: rapport.Millis(s.opts.Clock.Now()), Nodes: nodes}); err != nil {
		return err
	}
	s.log.Info("a person was erased again", "job", e.Job)
	if err := s.access.Record(ctx, access.Entry{Author: "system", Action: "person.erase", Object: e.Job, Detail: "again, after a restore"}); err != nil {
		return err
	}
	return s.engine.View(ctx, nodes[0], nil, func(*engine.View) error { return nil })
}

// runErasures removes the bytes of erased people when their time has come.
func (s *Server) runErasures(ctx context.Context) error {
	if _, err := s.erasures.open(s.opts.Data); err != nil {
		return err
	}
	select {
	case <-s.erasures.applied:
	case <-ctx.Done():
		return nil
	}
	for {
		wait := s.scrubDue(ctx)
		select {
		case <-s.erasures.wake:
		case <-s.opts.Clock.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

const (
	scrubRetry = time.Minute
	scrubLook  = time.Hour
)

// scrubDue scrubs what is due and returns how long nothing else is.
func (s *Server) scrubDue(ctx context.Context) time.Duration {
	s.erasures.mu.Lock()
	missed := s.erasures.missed
	s.erasures.mu.Unlock()
	if missed {
		if err := s.applyErasures(ctx); err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "the list of erasures is not complete", slog.Any("error", err))
			return scrubRetry
		}
	}
	now := rapport.Millis(s.opts.Clock.Now())
	// What is due within a day goes along, so that there is one scrub a day.
	along := min(rapport.Duration(24*time.Hour).Millis(), int64(s.opts.RetainDays)*rapport.Duration(12*time.Hour).Millis())
	next, due, batch := int64(scrubLook/time.Millisecond), false, []erasure(nil)
	for _, e := range s.erasures.ledger.list() {
		if e.Scrubbed > 0 {
			continue
		}
		left := s.dueAt(&e) - now
		if due = due || left <= 0; left <= along {
			batch = append(batch, e)
		}
		next = min(next, max(left, 0))
	}
	if !due {
		return time.Duration(next) * time.Millisecond
	}
	err := s.scrub(ctx, batch)
	if ctx.Err() != nil {
		return scrubRetry
	}
	s.erasures.mu.Lock()
	s.erasures.failed = err
	s.erasures.mu.Unlock()
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "erased people are not out of the files yet", slog.Any("error", err))
		return scrubRetry
	}
	return 0
}

// scrub removes the bytes of erased people from log and state.
func (s *Server) scrub(ctx context.Context, batch []erasure) error {
	begun := time.Now()
	// Whatever came late for others erased before goes along.
	gone := goneOf(s.erasures.ledger)
	left, err := s.door.Quarantine().Left(ctx)
	if err != nil {
		return err
	}
	var unread error
	records := 0
	for _, x := range []struct {
		topic eventlog.Topic
		drop  func(eventlog.Record) bool
	}{
		{eventlog.Events, func(r eventlog.Record) bool {
			drop, err := s.concerned(&r, gone)
			unread = errors.Join(unread, err)
			return drop
		}},
		{eventlog.Identity, func(r eventlog.Record) bool {
			return identity.Concerns(&r, func(id rapport.ID) bool { return gone.has(id, r.Time) })
		}},
		{eventlog.Quarantine, left},
	} {
		n, err := s.events.Scrub(ctx, x.topic, x.drop)
		if err = errors.Join(err, unread); err != nil {
			return fmt.Errorf("scrub %s: %w", x.topic, err)
		}
		records += n
	}
	if s.lake != nil {
		if err := s.lake.Erased(ctx); err != nil {
			return err
		}
	}
	if err := s.identity.Settle(ctx); err != nil { // what it forgets goes with the compaction
		return err
	}
	if err := s.engine.Flush(ctx); err != nil {
		return err
	}
	if err := s.store.Compact(ctx, nil, nil); err != nil {
		return err
	}
	now := rapport.Millis(s.opts.Clock.Now())
	lines := make([]erasure, len(batch))
	for i, e := range batch {
		lines[i] = erasure{Job: e.Job, Scrubbed: max(now, 1)}
	}
	if err := s.erasures.ledger.write(lines...); err != nil {
		return err
	}
	s.log.Info("erased people are out of the files", "people", len(batch), "records", records, "took", time.Since(begun).Round(time.Millisecond))
	return s.access.Record(ctx, access.Entry{
		Author: "system", Action: "person.scrub", Object: batch[0].Job,
		Detail: fmt.Sprintf("%s, %s", plural(int64(len(batch)), "person", "people"), plural(int64(records), "record", "records")),
	})
}

// erased tells until when the nodes of erased people are gone.
type erased map[rapport.ID]int64

// goneOf returns everybody a ledger lists.
func goneOf(l *ledger) erased {
	gone := make(erased)
	for _, e := range l.list() {
		for _, node := range e.Nodes {
			gone[node] = max(gone[node], e.At)
		}
	}
	return gone
}

func (g erased) has(id rapport.ID, at int64) bool {
	until, ok := g[id]
	return ok && at <= until
}

// concerned reports whether a record of the events topic holds anything of
// somebody erased, from before they were.
func (s *Server) concerned(r *eventlog.Record, gone erased) (bool, error) {
	of, to, at, ok, err := engine.Moved(r)
	if ok || err != nil {
		return gone.has(of, at) || gone.has(to, at), err
	}
	var e rapport.Event
	if ok, err = engine.EventAt(r, &e); !ok || err != nil {
		return false, err
	}
	// An event that came late happened before.
	return s.namesErased(gone, e.Entity, e.Fragment, e.Identifiers, min(e.Timestamp, r.Time)), nil
}

// namesErased reports whether what is stamped and named like this, from a
// moment, holds anything of somebody erased since.
func (s *Server) namesErased(gone erased, entity, fragment rapport.ID, names []rapport.Identifier, at int64) bool {
	if len(gone) == 0 {
		return false
	}
	if gone.has(entity, at) || gone.has(fragment, at) {
		return true
	}
	// The fragment stands for the strongest identifier. The others are names in
	// somebody else's event; a device is no name, as several people use one.
	for i := 1; i < len(names); i++ {
		if n := names[i]; n.Kind != rapport.KindAnonymousID && gone.has(s.identity.Mint(n.Kind, n.Value, 0), at) {
			return true
		}
	}
	return false
}
