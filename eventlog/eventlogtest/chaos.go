package eventlogtest

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Faults say what Chaos does to its users. Shares lie between 0 and 1.
type Faults struct {
	Seed uint64
	// Refuse is the share of submissions that fail with nothing appended.
	Refuse float64
	// LoseAnswer is the share that is appended and fails all the same.
	LoseAnswer float64
	// Repeat is the share of those that is appended once more, behind what
	// was submitted in between, as by a producer that retries by itself.
	Repeat float64
	// Reassign is the share of Next calls before which the partition moves
	// away and back: the reader then delivers again, from up to Back records
	// before its position, but never from before where it was opened.
	Reassign float64
	Back     int64
}

// Chaos is a log at its worst that still keeps its promises to those who give
// their records ids and remember the offset they have reached. Offsets of
// records delivered again are the same as before; records appended twice have
// an offset each.
type Chaos struct {
	eventlog.Log

	mu      sync.Mutex
	faults  Faults
	random  *rand.Rand
	late    []late
	readers map[*chaosReader]struct{}
	counts  Injected
}

// late is a submission that will be appended again.
type late struct {
	records []eventlog.Record
	after   int // submissions
}

// Injected counts what happened.
type Injected struct{ Refused, AnswersLost, Repeated, Reassigned int }

// NewChaos wraps a log, which Close closes.
func NewChaos(l eventlog.Log, f Faults) *Chaos {
	return &Chaos{
		Log: l, faults: f, readers: map[*chaosReader]struct{}{},
		random: rand.New(rand.NewPCG(f.Seed, 0x9e3779b97f4a7c15)),
	}
}

// Injected returns what has happened so far.
func (c *Chaos) Injected() Injected {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// Reassign moves all partitions away and back: every open reader delivers
// again.
func (c *Chaos) Reassign() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.readers {
		r.moved = true
	}
}

// Heal ends all faults, after appending what was to be appended again.
func (c *Chaos) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = Faults{}
	for _, l := range c.late {
		c.repeat(l)
	}
	c.late = nil
}

func (c *Chaos) repeat(l late) {
	c.counts.Repeated++
	c.Log.Submit(l.records)
}

// chance is true in a share of cases.
func (c *Chaos) chance(share float64) bool { return share > 0 && c.random.Float64() < share }

// lost is a submission whose answer does not arrive.
type lost struct{ eventlog.Pending }

func (l lost) Wait(ctx context.Context) error {
	if err := l.Pending.Wait(ctx); err != nil {
		return err
	}
	return rapport.Errorf(rapport.Unavailable, "append: the answer was lost")
}

// Submit submits to the wrapped log, or fails to.
func (c *Chaos) Submit(records []eventlog.Record) eventlog.Pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = slices.DeleteFunc(c.late, func(l late) bool {
		if l.after > 0 {
			return false
		}
		c.repeat(l)
		return true
	})
	for i := range c.late {
		c.late[i].after--
	}
	switch {
	case len(records) == 0:
		return c.Log.Submit(records)
	case c.chance(c.faults.Refuse):
		c.counts.Refused++
		return answer{rapport.Errorf(rapport.Unavailable, "append: no broker")}
	case c.chance(c.faults.LoseAnswer):
		c.counts.AnswersLost++
		// The wrapped log works on a copy: the submitter has its records
		// back as soon as it is told of the failure.
		mine := clone(records)
		if c.chance(c.faults.Repeat) {
			c.late = append(c.late, late{clone(records), c.random.IntN(4)})
		}
		return lost{c.Log.Submit(mine)}
	}
	return c.Log.Submit(records)
}

func clone(records []eventlog.Record) []eventlog.Record {
	out := slices.Clone(records)
	for i := range out {
		out[i].Data = bytes.Clone(out[i].Data)
	}
	return out
}

// Reader returns a reader that delivers at least once.
func (c *Chaos) Reader(t eventlog.Topic, p int32, from int64) (eventlog.Reader, error) {
	inner, err := c.Log.Reader(t, p, from)
	if err != nil {
		return nil, err
	}
	r := &chaosReader{chaos: c, inner: inner, place: place{t, p}, from: from, at: from}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readers[r] = struct{}{}
	return r, nil
}

type chaosReader struct {
	chaos *Chaos
	inner eventlog.Reader
	place place
	from  int64 // where it was opened
	at    int64 // the next offset
	moved bool  // guarded by Chaos.mu
}

func (r *chaosReader) Next(ctx context.Context) ([]eventlog.Record, error) {
	if back, moved := r.reassigned(); moved {
		first, _ := r.chaos.Log.Bounds(r.place.topic, r.place.partition)
		to := max(r.from, first, r.at-back)
		inner, err := r.chaos.Log.Reader(r.place.topic, r.place.partition, to)
		if err != nil {
			return nil, err
		}
		_ = r.inner.Close()
		r.inner, r.at = inner, to
	}
	records, err := r.inner.Next(ctx)
	if len(records) > 0 {
		r.at = records[len(records)-1].Offset + 1
	}
	return records, err
}

// reassigned says whether the partition has moved, and how far back delivery
// goes.
func (r *chaosReader) reassigned() (back int64, moved bool) {
	c := r.chaos
	c.mu.Lock()
	defer c.mu.Unlock()
	if !r.moved && !c.chance(c.faults.Reassign) {
		return 0, false
	}
	r.moved = false
	c.counts.Reassigned++
	return c.random.Int64N(max(c.faults.Back, 64) + 1), true
}

func (r *chaosReader) Close() error {
	r.chaos.mu.Lock()
	delete(r.chaos.readers, r)
	r.chaos.mu.Unlock()
	return r.inner.Close()
}
