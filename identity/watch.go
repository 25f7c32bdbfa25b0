package identity

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// submission is a change that is in memory and on its way to the log.
type submission struct {
	pending eventlog.Pending
	moves   []move
	failed  bool
}

// move is what a change asked of the engine: fragments, all that from had or
// some that left it, go to another person.
type move struct {
	from, to  rapport.ID
	split     bool
	fragments []rapport.ID
	record    eventlog.Record // the one that asked
	after     int64           // the record, if durable, is at this offset or later
	void      bool            // it is not durable
}

// outcomes are the submissions whose outcome is not known, oldest first. The
// log bounds them: it refuses what it cannot queue.
type outcomes struct {
	mu    sync.Mutex
	queue []submission
	more  chan struct{} // capacity 1: a wake-up is not lost
}

func (o *outcomes) push(s submission) {
	o.mu.Lock()
	o.queue = append(o.queue, s)
	o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// first returns the oldest, which stays until drop.
func (o *outcomes) first() (submission, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return submission{}, false
	}
	return o.queue[0], true
}

func (o *outcomes) all() []submission {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.queue)
}

func (o *outcomes) drop(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = slices.Delete(o.queue, 0, n)
}

// cancelled is the outcome of a submission that was never made.
type cancelled struct{}

func (cancelled) Wait(context.Context) error {
	return rapport.Errorf(rapport.Unavailable, "not submitted")
}

// watch learns the outcome of submissions, in order, and undoes those that failed.
func (r *Resolver) watch(ctx context.Context) error {
	for {
		s, ok := r.waiting.first()
		if !ok {
			select {
			case <-r.waiting.more:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		err := s.pending.Wait(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			r.waiting.drop(1)
			continue
		}
		r.o.Logger.WarnContext(ctx, "identity links were not recorded; undoing them", slog.Any("error", err))
		if err := r.undo(ctx); err != nil {
			return err
		}
	}
}

// undo brings memory back to what is durable after a submission failed. What
// was queued behind it was computed with the failed links in place, so all of
// it is examined.
func (r *Resolver) undo(ctx context.Context) error {
	r.linking.Lock()
	r.broken = true
	r.linking.Unlock() // nobody links any more, so nothing is added to waiting
	suspects := r.waiting.all()
	for i := range suspects {
		s := &suspects[i]
		if s.failed = s.pending.Wait(ctx) != nil; s.failed {
			r.undone.Add(1)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	for {
		err := r.restore(ctx, suspects)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			r.waiting.drop(len(suspects))
			r.linking.Lock()
			r.broken = false
			r.linking.Unlock()
			return r.unfinished() // what was weighed before may differ without what failed
		case rapport.KindOf(err) == rapport.Internal:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.o.Clock.After(time.Second):
		}
	}
}

// restore replaces the table by the durable one and mends the engine's states.
func (r *Resolver) restore(ctx context.Context, suspects []submission) error {
	t, err := r.reload(ctx)
	if err != nil {
		return err
	}
	var made []move
	for _, s := range suspects {
		for _, m := range s.moves {
			durable := !s.failed
			if s.failed {
				if durable, err = r.happened(ctx, m); err != nil {
					return err
				}
			}
			made = append(made, m)
			made[len(made)-1].void = !durable
		}
	}
	r.mu.Lock()
	r.table = t
	r.mu.Unlock()
	if records := mend(r.o.Log.Partitions(eventlog.Events), t, made); len(records) > 0 {
		if err := eventlog.Append(ctx, r.o.Log, records...); err != nil {
			return err
		}
	}
	return nil
}

// durable returns once every change in memory is durable, or Unavailable if one
// failed, not the newest perhaps, and watch has yet to undo it. It is called with
// linking held.
func (r *Resolver) durable(ctx context.Context) error {
	for _, s := range r.waiting.all() {
		if err := s.pending.Wait(ctx); err != nil {
			return rapport.Errorf(rapport.Unavailable, "a link is not durable: %w", err)
		}
	}
	return nil
}

// reload reads the durable truth beside the journal, which goes on meanwhile.
func (r *Resolver) reload(ctx context.Context) (*table, error) {
	_, next := r.o.Log.Bounds(eventlog.Identity, 0)
	if err := r.journal.wait(ctx, next); err != nil {
		return nil, err
	}
	t := newTable()
	if _, err := r.journal.replay(func(o *op) { t.apply(o) }); err != nil {
		return nil, err
	}
	return t, nil
}

// happened looks in the log for the record of a move whose submission failed.
func (r *Resolver) happened(ctx context.Context, m move) (bool, error) {
	_, next := r.o.Log.Bounds(eventlog.Events, m.record.Partition)
	if m.after >= next {
		return false, nil
	}
	reader, err := r.o.Log.Reader(eventlog.Events, m.record.Partition, m.after)
	if err != nil {
		return false, err
	}
	defer reader.Close()
	for at := m.after; at < next; {
		records, err := reader.Next(ctx)
		if err != nil {
			return false, err
		}
		for i := range records {
			if records[i].Kind == m.record.Kind && bytes.Equal(records[i].Data, m.record.Data) {
				return true, nil
			}
			at = max(at, records[i].Offset+1)
		}
	}
	return false, nil
}

// mend returns the records that bring every fragment the moves were about to
// where it belongs by the table t. It follows what the engine did, which are
// the moves that are not void, in order; and as events were stamped with the
// void ones in place, it looks where those led as well.
func mend(partitions int, t *table, moves []move) (records []eventlog.Record) {
	type place struct{ fragment, person rapport.ID }
	at := make(map[rapport.ID]rapport.ID) // fragment: the person that holds it
	merged := make(map[rapport.ID]bool)
	var places []place
	add := func(p place) {
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	for _, m := range moves {
		for _, f := range m.fragments {
			if _, seen := at[f]; !seen {
				at[f] = m.from
			}
			if !m.void && at[f] == m.from {
				at[f] = m.to
			}
			add(place{f, m.to})
		}
		if !m.void {
			merged[m.from], merged[m.to] = !m.split, false
		}
	}
	for _, m := range moves {
		for _, f := range m.fragments {
			add(place{f, at[f]})
		}
	}
	const apart, together = "undo apart", "undo together" // of one name the merge came first
	var whole []rapport.ID
	for _, p := range places {
		truth := t.person(p.fragment)
		switch {
		case p.person == truth:
		case at[p.fragment] == p.person && truth == t.person(p.person) && !merged[p.person]:
			if !slices.Contains(whole, p.person) {
				whole = append(whole, p.person)
			}
		default:
			records = append(records, engine.SplitRecords(partitions, p.person, p.fragment, truth, apart)...)
		}
	}
	for _, p := range whole {
		// Who is senior may have changed with what is void, so that the one p is to
		// become part of became part of p before: it stands alone again first.
		to := t.person(p)
		records = append(records, engine.SplitRecords(partitions, p, to, to, apart)...)
		records = append(records, engine.MergeRecord(partitions, p, to, together))
	}
	return records
}
