package identity

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/learn/linkage"
)

// What training needs and takes.
const (
	leastRecords = 50
	mostRecords  = 1_000_000 // a uniform sample of more
	mostExamples = 20_000
)

// alike is what is known of likeness beside the links themselves.
type alike struct {
	records, links atomic.Int64

	asked chan struct{} // capacity 1: one training waits at most

	mu       sync.Mutex
	phase    string
	done     int
	total    int
	training bool
	tried    time.Time
	failed   string
}

func (a *alike) open() { a.asked = make(chan struct{}, 1) }

func (a *alike) progress(phase string, done, total int) {
	a.mu.Lock()
	if !a.training {
		a.phase, a.done, a.total = phase, done, total
	}
	a.mu.Unlock()
}

func (a *alike) trained(phase string, done, total int) {
	a.mu.Lock()
	a.phase, a.done, a.total = phase, done, total
	a.mu.Unlock()
}

// Likeness is how far the comparison of source records is.
type Likeness struct {
	// State is off (no document, or switched off), untrained, training, comparing
	// (the index is being built) or on.
	State  string
	Unite  float64
	Review float64
	// Users is set if likeness may make one person of two user ids.
	Users bool
	// Records are compared with each other, Links the pairs found to be alike.
	Records, Links int64
	// Phase is what is being done, Done of Total; empty when nothing is.
	Phase       string
	Done, Total int
	// Tried is when it was last trained, Failed why that gave nothing.
	Tried  time.Time
	Failed string
	// Version, Made and Model are the weights in force; nil before the first.
	Version int64
	Made    string
	Model   *linkage.Model
}

// Likeness returns how far the comparison of source records is.
func (r *Resolver) Likeness() Likeness {
	l := r.Rules().resembling()
	out := Likeness{State: "off", Records: r.alike.records.Load(), Links: r.alike.links.Load()}
	a := &r.alike
	a.mu.Lock()
	defer a.mu.Unlock()
	out.Phase, out.Done, out.Total, out.Tried, out.Failed = a.phase, a.done, a.total, a.tried, a.failed
	if l != nil {
		out.Unite, out.Review, out.Users, out.Version, out.Made, out.Model = l.unite, l.review, l.users, l.version, l.made, l.model
	}
	switch {
	case a.training:
		out.State = "training"
	case l == nil || !l.enabled:
	case l.model == nil:
		out.State = "untrained"
	case a.phase != "":
		out.State = "comparing"
	default:
		out.State = "on"
	}
	return out
}

// Train asks for the weights to be learned anew from everybody's source records
// and from what was decided in reviews. It returns at once; [Resolver.Likeness]
// tells how far it is. Kinds: Conflict (it is being done), Unavailable (nobody
// knows any source records).
func (r *Resolver) Train() error {
	if r.o.Sources == nil || r.o.Publish == nil {
		return rapport.Errorf(rapport.Unavailable, "there are no source records to learn from")
	}
	r.alike.mu.Lock()
	defer r.alike.mu.Unlock()
	if r.alike.training {
		return rapport.Errorf(rapport.Conflict, "weights are being learned already")
	}
	r.alike.training, r.alike.phase, r.alike.done, r.alike.total, r.alike.failed = true, "reading", 0, 0, ""
	r.alike.asked <- struct{}{} // training was not set, so it is empty
	return nil
}

// train learns weights when asked to, until ctx ends.
func (r *Resolver) train(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.alike.asked:
		}
		err := r.learn(ctx)
		a := &r.alike
		a.mu.Lock()
		a.training, a.phase, a.done, a.total, a.tried = false, "", 0, 0, r.o.Clock.Now()
		if err != nil {
			a.failed = err.Error()
		}
		a.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			r.o.Logger.WarnContext(ctx, "no weights of likeness were learned", slog.Any("error", err))
		}
	}
}

func (r *Resolver) learn(ctx context.Context) error {
	rules, schema := r.Rules(), linkage.Person()
	var records []linkage.Record
	at := make(map[rapport.ID]linkage.Record)
	below := uint64(math.MaxUint64)
	hash := func(id rapport.ID) uint64 { return binary.BigEndian.Uint64(id[4:12]) * 0x9e3779b97f4a7c15 }
	if err := r.o.Sources.Each(ctx, func(s Source) error {
		if rec := schema.Record(s.Values); !rec.Empty(len(schema)) && hash(s.Node) <= below {
			at[s.Node] = rec
		}
		if len(at) > mostRecords {
			below /= 2
			for id := range at {
				if hash(id) > below {
					delete(at, id)
				}
			}
		}
		if len(at)%1000 == 0 {
			r.alike.trained("reading", len(at), 0)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, rec := range at {
		records = append(records, rec) // their order does not matter to a model
	}
	if len(records) < leastRecords {
		return rapport.Errorf(rapport.Conflict, "it takes %d people who say something of themselves, there are %d", leastRecords, len(records))
	}
	examples, err := r.examples(ctx, at)
	if err != nil {
		return err
	}
	m, err := linkage.Train(schema, records, func(share float64) { r.alike.trained("learning", int(share*100), 100) })
	if errors.Is(err, linkage.ErrTooFew) {
		return rapport.Errorf(rapport.Conflict, "there is not enough to learn from: %w", err)
	}
	if err != nil {
		return err
	}
	d, err := newLikenessModel(m.Teach(examples), rules.resembling().next(), r.o.Clock.Now().UTC().Format(time.RFC3339))
	if err != nil {
		return err
	}
	r.alike.trained("publishing", 0, 0)
	return r.o.Publish(ctx, d)
}

// next returns the version after this one.
func (l *likeness) next() int64 {
	if l == nil {
		return 1
	}
	return l.version + 1
}

// examples are what people decided about probable links: those they took back
// are two people, those they confirmed by their word are one.
func (r *Resolver) examples(ctx context.Context, at map[rapport.ID]linkage.Record) (list []linkage.Example, err error) {
	_, next := r.o.Log.Bounds(eventlog.Identity, 0)
	if err := r.journal.wait(ctx, next); err != nil {
		return nil, err
	}
	type ends struct{ a, b rapport.ID }
	said := make(map[ends]bool)
	var decided []ends
	err = r.journal.each('n', func(k, value []byte) error {
		if kind := Kind(value[0]); kind != Probable && kind != Manual {
			return nil
		}
		l, err := decodeEntry(rapport.ID(k[:16]), LinkID(k[16:32]), value)
		switch {
		case err != nil:
		case l.Kind == Probable && l.Withdrawn != nil:
			decided = append(decided, ends{l.A, l.B})
		case l.Kind == Manual && l.Withdrawn == nil && strings.HasPrefix(l.Evidence, Probable.String()+" "):
			said[ends{l.A, l.B}] = true
		}
		return err
	})
	for _, e := range decided {
		a, oka := at[e.a]
		b, okb := at[e.b]
		if oka && okb && len(list) < mostExamples {
			list = append(list, linkage.Example{A: a, B: b, Same: said[e]})
		}
	}
	return list, err
}
