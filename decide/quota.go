package decide

import (
	"context"
	"encoding/binary"
	"math"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// Lease is a part of a quota taken out to be used. It is durable before it is
// used, so a quota is never exceeded, whatever dies; what a process had leased
// and not used when it died is lost to that window.
type Lease struct {
	Quota  string
	Window int64 // when the window began, Unix ms; 0 for a quota without period
	Units  float64
}

// lease is what was leased of a quota in its newest window.
type lease struct {
	window int64
	units  float64
}

func appendLease(b []byte, l *Lease) []byte {
	w := writer{b: append(b, lessonLease)}
	w.text(l.Quota)
	w.int(l.Window)
	w.float(l.Units)
	return w.b
}

func (d *draft) lease(l *Lease) {
	have := d.leases[l.Quota]
	switch {
	case l.Window > have.window:
		d.leases[l.Quota] = lease{l.Window, l.Units}
	case l.Window == have.window:
		have.units += l.Units
		d.leases[l.Quota] = have
	}
}

// window returns when the window of a quota began that now lies in.
func (q *quota) window(now int64) int64 {
	if q.per == 0 {
		return 0
	}
	return now - now%q.per
}

// lot is how much is leased at a time: a sixty-fourth, at least one use.
func (q *quota) lot() float64 { return max(q.units, math.Floor(q.max/64/q.units)*q.units) }

// allowed is how much of a quota may be leased by now: a budget is spent evenly
// over its period, one lot ahead.
func (q *quota) allowed(now int64) float64 {
	if q.per == 0 {
		return q.max
	}
	return min(q.max, q.max*float64(now%q.per)/float64(q.per)+q.lot())
}

// treasury holds the leases of this process. Its methods are safe for concurrent use.
type treasury struct {
	log   eventlog.Log
	model *Model
	start int64 // leases below this offset were granted before this process began

	mu     sync.Mutex
	serial uint64
	purses map[string]*purse
}

type purse struct {
	window int64
	leased float64 // by this process or before it, in this window
	left   float64 // of what this process leased
	busy   chan struct{}
}

func newTreasury(log eventlog.Log, model *Model) *treasury {
	_, next := log.Bounds(eventlog.Rewards, 0)
	return &treasury{log: log, model: model, start: next, purses: map[string]*purse{}}
}

// purse returns that of a quota in the window of now; nil until what was leased
// before this process began is known.
func (t *treasury) purse(q *quota, now int64) *purse {
	window := q.window(now)
	p := t.purses[q.id]
	if p != nil && p.window >= window {
		return p
	}
	known := t.model.Knowledge()
	if known.version+1 < t.start {
		return nil
	}
	if p == nil {
		p = &purse{window: window}
		t.purses[q.id] = p
		if l := known.leases[q.id]; l.window == window {
			p.leased = l.units
		}
		return p
	}
	p.window, p.leased, p.left = window, 0, 0
	return p
}

// open reports whether one more use could be had of every quota of an action; if
// not, which is used up.
func (t *treasury) open(a *Action, now int64) *quota {
	if len(a.quotas) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, q := range a.quotas {
		p := t.purse(q, now)
		if p == nil || p.left+1e-9 < q.units && p.leased+q.units > q.allowed(now)+1e-9 {
			return q
		}
	}
	return nil
}

// take uses one of every quota of an action, leasing more where needed. It
// returns the quota that was used up, if one was. undo gives back what was taken.
func (t *treasury) take(ctx context.Context, a *Action, now int64) (undo func(), spent *quota, err error) {
	var taken []*quota
	undo = func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, q := range taken {
			if p := t.purses[q.id]; p != nil && p.window == q.window(now) {
				p.left += q.units
			}
		}
	}
	for _, q := range a.quotas {
		ok, err := t.takeOne(ctx, q, now)
		if err != nil || !ok {
			undo()
			return func() {}, q, err
		}
		taken = append(taken, q)
	}
	return undo, nil, nil
}

func (t *treasury) takeOne(ctx context.Context, q *quota, now int64) (bool, error) {
	for {
		t.mu.Lock()
		p := t.purse(q, now)
		switch {
		case p == nil:
			t.mu.Unlock()
			return false, nil
		case p.left+1e-9 >= q.units:
			p.left -= q.units
			t.mu.Unlock()
			return true, nil
		case p.busy != nil: // somebody is leasing more
			wait := p.busy
			t.mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
				return false, ctx.Err()
			}
			continue
		}
		units := min(q.lot(), math.Floor((q.allowed(now)-p.leased+1e-9)/q.units)*q.units)
		if units < q.units {
			t.mu.Unlock()
			return false, nil
		}
		p.leased += units // counted even if the append fails: whether it is durable is not known then
		p.busy = make(chan struct{})
		window := p.window
		t.serial++
		serial := t.serial
		t.mu.Unlock()

		err := eventlog.Append(ctx, t.log, t.record(&Lease{Quota: q.id, Window: window, Units: units}, serial))
		t.mu.Lock()
		close(p.busy)
		p.busy = nil
		if err == nil && p.window == window {
			p.left += units
		}
		t.mu.Unlock()
		if err != nil {
			return false, rapport.Errorf(rapport.KindOf(err), "lease of %s: %w", q.name, err)
		}
	}
}

// LeaseOrigin is the partition that leases say they come from: none there is.
const LeaseOrigin = math.MaxInt32

// record returns a lease as a record of the rewards topic. Its origin is where
// the topic stood when this process began and how many leases came since, which rises.
func (t *treasury) record(l *Lease, serial uint64) eventlog.Record {
	b := binary.AppendUvarint(nil, LeaseOrigin)
	b = binary.AppendUvarint(b, uint64(t.start))
	b = binary.AppendUvarint(b, serial)
	return eventlog.Record{Topic: eventlog.Rewards, Kind: engine.KindReward, Data: appendLease(b, l)}
}
