package decide

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// Recent keeps the newest decisions of this process for people to look at, and
// finds older ones in the log. Its methods are safe for concurrent use.
type Recent struct {
	log eventlog.Log

	mu   sync.Mutex
	ring []*rapport.Decision
	next int64 // how many were added
	byID map[string]*rapport.Decision
	// first is the oldest still kept, and weighed how many candidates those kept have.
	first   int64
	weighed int
}

// Limits of looking back.
const (
	rebuildRecords = 20_000  // per partition, when the ring is rebuilt
	findRecords    = 200_000 // behind where the id points
	recentWeighed  = 500_000 // candidates of the decisions in memory; 100 bytes each
)

// NewRecent returns a ring of the given size (1 or more) over a log.
func NewRecent(log eventlog.Log, size int) *Recent {
	return &Recent{log: log, ring: make([]*rapport.Decision, size), byID: make(map[string]*rapport.Decision, size)}
}

// Add keeps a decision, which must not change any more.
func (r *Recent) Add(d *rapport.Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next-r.first == int64(len(r.ring)) {
		r.drop()
	}
	r.ring[r.next%int64(len(r.ring))], r.byID[d.ID] = d, d
	r.next++
	for r.weighed += len(d.Candidates); r.weighed > recentWeighed && r.next-r.first > 1; {
		r.drop()
	}
}

// drop lets go of the oldest.
func (r *Recent) drop() {
	at := r.first % int64(len(r.ring))
	if old := r.ring[at]; old != nil {
		r.weighed -= len(old.Candidates)
		if r.byID[old.ID] == old {
			delete(r.byID, old.ID)
		}
	}
	r.ring[at] = nil
	r.first++
}

// Forget drops the decisions of a person who is erased.
func (r *Recent) Forget(person rapport.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, d := range r.ring {
		if d != nil && d.Person == person {
			delete(r.byID, d.ID)
			r.weighed -= len(d.Candidates)
			r.ring[i] = &rapport.Decision{}
		}
	}
}

// Filter chooses among recent decisions; zero fields choose all.
type Filter struct {
	Placement string
	Action    string // given or withheld
	Person    rapport.ID
	Before    string // decision id: only older ones
	Limit     int    // default 50
}

// List returns recent decisions, newest first.
func (r *Recent) List(f Filter) []*rapport.Decision {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []*rapport.Decision{}
	skip := f.Before != "" && r.byID[f.Before] != nil
	for i := r.next - 1; i >= r.first && len(out) < f.Limit; i-- {
		d := r.ring[i%int64(len(r.ring))]
		if skip {
			skip = d.ID != f.Before
			continue
		}
		if d.ID == "" || f.Placement != "" && d.Placement != f.Placement || !f.Person.IsZero() && d.Person != f.Person ||
			f.Action != "" && slotOf(d, f.Action) < 0 {
			continue
		}
		out = append(out, d)
	}
	return out
}

// Find returns a decision by its id: from memory, or from the log where the id
// says it stands. The error is NotFound for an id that was never given or whose
// record is trimmed.
func (r *Recent) Find(ctx context.Context, id string) (*rapport.Decision, error) {
	r.mu.Lock()
	d := r.byID[id]
	r.mu.Unlock()
	if d != nil {
		return d, nil
	}
	unknown := rapport.Errorf(rapport.NotFound, "there is no decision %q", id)
	raw, ok := parseID(id)
	if !ok {
		return nil, unknown
	}
	partition, from := locate(raw)
	if int(partition) >= r.log.Partitions(eventlog.Events) {
		return nil, unknown
	}
	first, next := r.log.Bounds(eventlog.Events, partition)
	if from < first || from >= next {
		return nil, unknown
	}
	err := r.scan(ctx, partition, from, min(next, from+findRecords), func(x *rapport.Decision) bool {
		if x.ID == id {
			d = x
		}
		return d == nil
	}, func(e *rapport.Event) bool { return property(e, "decisionId") == id })
	switch {
	case err != nil:
		return nil, err
	case d == nil:
		return nil, unknown
	}
	return d, nil
}

// Rebuild fills the ring from the end of the log, as after a start.
func (r *Recent) Rebuild(ctx context.Context) error {
	var all []*rapport.Decision
	for p := range int32(r.log.Partitions(eventlog.Events)) {
		first, next := r.log.Bounds(eventlog.Events, p)
		err := r.scan(ctx, p, max(first, next-rebuildRecords), next, func(d *rapport.Decision) bool {
			all = append(all, d)
			return true
		}, nil)
		if err != nil {
			return err
		}
	}
	slices.SortStableFunc(all, func(a, b *rapport.Decision) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID, b.ID))
	})
	for _, d := range all[max(0, len(all)-len(r.ring)):] {
		r.Add(d)
	}
	return nil
}

// scan reads the decisions in part of a partition while fn wants more. want
// chooses by the event before the decision is decoded; nil takes all.
func (r *Recent) scan(ctx context.Context, partition int32, from, to int64, fn func(*rapport.Decision) bool, want func(*rapport.Event) bool) error {
	if from >= to {
		return nil
	}
	// What is to be read is durable: a reader that waits has met its end.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	reader, err := r.log.Reader(eventlog.Events, partition, from)
	if err != nil {
		return rapport.Errorf(rapport.KindOf(err), "read decisions: %w", err)
	}
	defer reader.Close()
	var e rapport.Event
	for at := from; at < to; {
		records, err := reader.Next(ctx)
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return rapport.Errorf(rapport.Unavailable, "reading decisions took too long")
			}
			return rapport.Errorf(rapport.KindOf(err), "read decisions: %w", err)
		}
		for i := range records {
			at = records[i].Offset + 1
			if at > to {
				return nil
			}
			ok, err := engine.EventOf(&records[i], &e)
			if err != nil || !ok || e.Type != rapport.TypeSystem || e.Name != rapport.SystemDecision || want != nil && !want(&e) {
				continue
			}
			if d, ok := DecisionOf(&e); ok && !fn(d) {
				return nil
			}
		}
	}
	return nil
}

func property(e *rapport.Event, key string) string {
	v, _ := e.Properties.Get(key)
	return v.Str()
}
