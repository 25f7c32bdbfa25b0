package app

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/gs1"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/epcis"
	"github.com/rapport-engine/rapport/twin/recall"
)

// recallCalls asks for the decisions that recalls owe people.
type recallCalls struct{}

// Wants implements [decide.Caller].
func (recallCalls) Wants(e *rapport.Event) bool { return recall.May(e) }

// Call implements [decide.Caller].
func (recallCalls) Call(c *engine.Context, e *rapport.Event) (decide.Call, bool) {
	n := recall.Asked(c, e)
	if n == nil {
		return decide.Call{}, false
	}
	context := rapport.AppendField(nil, "event", rapport.StringValue(twin.ProductRecalled))
	context = rapport.AppendField(context, "properties", rapport.ObjectValue(rapport.Fields(n.About)))
	return decide.Call{Cause: recall.Cause(n.Recall), Right: recall.Right, Placement: n.Placement, Context: context}, true
}

// strict reports whether nothing may be sent to a person through a channel
// without their consent.
func (s *Server) strict(v *engine.View, channel string) bool {
	sends, _ := v.Config().Part(deliver.Part).(*deliver.Config)
	doc := sends.Channels()[channel]
	return doc != nil && doc.Strict != nil && doc.Strict.Holds(s.viewEnv(v, rapport.Millis(s.opts.Clock.Now())))
}

const (
	recallTick = 10 * time.Second
	// recallAgain is how often a recall that stands looks for items that joined it.
	recallAgain = 5 * time.Minute
)

// runRecalls carries out recalls: each item and its holders are told, once,
// whatever restarts lie between.
func (s *Server) runRecalls(ctx context.Context) error {
	looked := s.opts.Clock.Now()
	for {
		list, err := s.chain.Recalls(ctx)
		if err != nil {
			return err
		}
		again := s.opts.Clock.Now().Sub(looked) >= recallAgain
		if again {
			looked = s.opts.Clock.Now()
		}
		for _, r := range list {
			if r.Told && (r.Lifted || !again) {
				continue
			}
			err := s.carryOut(ctx, r)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				s.log.Warn("a recall is not carried out yet", "recall", r.ID, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.chain.RecallsChanged():
		case <-s.opts.Clock.After(recallTick):
		}
	}
}

// carryOut marks the items of a recall that do not know of it, or of its present
// round, then writes down that it did. Their twins tell whoever holds them.
func (s *Server) carryOut(ctx context.Context, r epcis.Recall) error {
	items, more, err := recalls{s}.Affected(ctx, r.Of)
	if err != nil {
		return err
	}
	mark := twin.Recall{ID: r.ID, Reason: r.Reason, Instructions: r.Instructions, URL: r.URL, Placement: r.Placement, Round: max(1, r.Round)}
	key := "recall:" + r.ID + ":" + strconv.FormatInt(rapport.Millis(r.ChangedAt), 10) + ":"
	at := rapport.Millis(r.ChangedAt)
	const batch = 500
	var events []rapport.Event
	for i, item := range items {
		due, err := s.unmarked(ctx, item, &mark, r.Lifted)
		if err != nil {
			return err
		}
		if due {
			name := rapport.Identifier{Kind: rapport.KindItem, Value: item}
			events = append(events, twin.Fact(name, twin.EventRecalled, key+item, at, rapport.Millis(s.opts.Clock.Now()), twin.RecallFact(item, &mark, r.Lifted)))
		}
		if len(events) == batch || len(events) > 0 && i == len(items)-1 {
			if err := s.appendItems(ctx, events); err != nil {
				return err
			}
			events = nil
		}
	}
	if more {
		s.log.Warn("a recall concerns more items than are told at once", "recall", r.ID, "told", len(items))
	}
	return s.chain.RecallTold(ctx, r, len(items))
}

// unmarked reports whether an item does not know of a recall as it stands.
func (s *Server) unmarked(ctx context.Context, item string, mark *twin.Recall, lifted bool) (due bool, err error) {
	err = s.items.View(ctx, item, func(_ *engine.View, x *twin.Item) error {
		known := x.Under(mark.ID)
		if lifted {
			due = known != nil
			return nil
		}
		due = known == nil || known.Round < mark.Round || known.Reason != mark.Reason || known.Instructions != mark.Instructions || known.URL != mark.URL || known.Placement != mark.Placement
		return nil
	})
	if rapport.KindOf(err) == rapport.NotFound { // the supply chain knows of it, and now it gets a twin
		return !lifted, nil
	}
	return due, err
}

// recalls says whom recalls concern.
type recalls struct{ *Server }

var _ api.Recalls = recalls{}

// Affected implements [api.Recalls]: what the supply chain knows to belong to it,
// and every item whose own record says so.
func (s recalls) Affected(ctx context.Context, of string) ([]string, bool, error) {
	items, more, err := s.chain.Affected(ctx, of)
	if err != nil {
		return nil, false, err
	}
	k, err := gs1.ParseID(epcis.Name(of))
	if err != nil || k.GTIN() == "" || k.Serial() != "" {
		return items, more, nil
	}
	lot := k.Value("10")
	found := make([][]string, s.events.Partitions(eventlog.Events))
	err = s.engine.Scan(ctx, engine.ScanOptions{From: rapport.RankItem}, func(worker int, v *engine.View) error {
		x := twin.Peek(v)
		if x != nil && x.Key().GTIN() == k.GTIN() && (lot == "" || x.Fact("lot") == lot) {
			found[worker] = append(found[worker], strings.Clone(x.ID))
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	items = slices.Concat(append(found, items)...)
	slices.Sort(items)
	return slices.Compact(items), more, nil
}

// Holder implements [api.Recalls].
func (s recalls) Holder(ctx context.Context, item string) (h api.Holding, err error) {
	h.Item = item
	err = s.items.View(ctx, item, func(_ *engine.View, x *twin.Item) error {
		h.Known, h.Stage = true, string(x.Stage())
		if r := x.Recalled(); r != nil {
			h.Recall = strings.Clone(r.ID)
		}
		if !x.Owner.Person.IsZero() {
			h.Owner = s.identity.Person(x.Owner.Person).String()
		}
		return nil
	})
	if rapport.KindOf(err) == rapport.NotFound {
		err = nil
	}
	return h, err
}

// Acknowledge implements [api.Recalls].
func (s recalls) Acknowledge(ctx context.Context, id string, person rapport.ID, by string) error {
	now := rapport.Millis(s.opts.Clock.Now())
	return s.record(ctx, &rapport.Event{
		Type: rapport.TypeTrack, Name: twin.ProductRecallAcknowledged, Source: twin.Source, Entity: person, MessageID: randomID(),
		Timestamp: now, OriginalTimestamp: now, ReceivedAt: now,
		Properties: rapport.FieldsOf(map[string]any{"recall": id, "by": by}),
	})
}

// survey is what was found of a recall at a time.
type survey struct {
	recall   string
	progress api.RecallProgress
	people   []api.RecallPerson // by id
	took     time.Duration
}

// surveys keeps the last survey, so that a list is read page by page and a
// console that asks every second does not count a million items each time.
type surveys struct {
	mu   sync.Mutex
	last survey
}

// Progress implements [api.Recalls].
func (s recalls) Progress(ctx context.Context, id string) (api.RecallProgress, error) {
	x, err := s.survey(ctx, id)
	return x.progress, err
}

// People implements [api.Recalls].
func (s recalls) People(ctx context.Context, id string, state recall.State, after string, limit int) (page []api.RecallPerson, next string, err error) {
	x, err := s.survey(ctx, id)
	if err != nil {
		return nil, "", err
	}
	for _, p := range x.people {
		if p.Person <= after || state != "" && p.State != state {
			continue
		}
		if len(page) == limit {
			return page, page[limit-1].Person, nil
		}
		page = append(page, p)
	}
	return page, "", nil
}

// survey counts, or returns what was counted a moment ago: as long ago as ten
// times what counting took.
func (s recalls) survey(ctx context.Context, id string) (survey, error) {
	s.surveys.mu.Lock()
	defer s.surveys.mu.Unlock()
	begun := time.Now()
	if x := &s.surveys.last; x.recall == id && begun.Sub(x.progress.At) < 10*x.took {
		return *x, nil
	}
	r, err := s.chain.RecallOf(ctx, id)
	if err != nil {
		return survey{}, err
	}
	items, _, err := s.Affected(ctx, r.Of)
	if err != nil {
		return survey{}, err
	}
	x := survey{recall: id, progress: api.RecallProgress{At: begun, Items: len(items)}}
	people := map[rapport.ID][]string{}
	for _, item := range items {
		err := s.items.View(ctx, item, func(_ *engine.View, t *twin.Item) error {
			if t.Under(id) != nil {
				x.progress.Marked++
			}
			if t.Owner.Person.IsZero() {
				x.progress.Unowned++
				return nil
			}
			for _, fragment := range t.Holders() {
				person := s.identity.Person(fragment)
				people[person] = append(people[person], item)
			}
			return nil
		})
		if rapport.KindOf(err) == rapport.NotFound {
			x.progress.Unowned++
			err = nil
		}
		if err != nil {
			return survey{}, err
		}
	}
	for person, held := range people {
		p := api.RecallPerson{Person: person.String(), Items: held, State: recall.Waiting}
		err := s.engine.View(ctx, person, nil, func(v *engine.View) error {
			for _, n := range recall.Read(v) {
				if n.Recall == id {
					noticed(&p, &n)
				}
			}
			return nil
		})
		if err != nil {
			return survey{}, err
		}
		x.people = append(x.people, p)
		switch x.progress.People++; p.State {
		case recall.Waiting:
			x.progress.Waiting++
		case recall.Sent:
			x.progress.Sent++
		case recall.Reached:
			x.progress.Reached++
		case recall.Acknowledged:
			x.progress.Acknowledged++
		case recall.Unreachable:
			x.progress.Unreachable++
		}
	}
	slices.SortFunc(x.people, func(a, b api.RecallPerson) int { return cmp.Compare(a.Person, b.Person) })
	x.took = time.Since(begun)
	s.surveys.last = x
	return x, nil
}

// noticed writes down what a person was told.
func noticed(p *api.RecallPerson, n *recall.Notice) {
	p.State, p.Why, p.Channel, p.Decision = n.State(), n.Why(), n.Channel, n.Decision
	for _, x := range []struct {
		to **time.Time
		at int64
	}{{&p.ToldAt, n.At}, {&p.DecidedAt, n.DecidedAt}, {&p.DeliveredAt, n.ArrivedAt}, {&p.SeenAt, n.Seen}, {&p.AcknowledgedAt, n.Acknowledged}} {
		if x.at != 0 {
			t := rapport.Time(x.at)
			*x.to = &t
		}
	}
}
