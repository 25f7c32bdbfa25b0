package app

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/webhook"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/gs1"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/epcis"
)

// openChain opens the repository of supply chain events.
func (s *Server) openChain() (err error) {
	s.chain, err = epcis.Open(epcis.Deps{
		Log: s.events, Store: s.store, Clock: s.opts.Clock, Logger: s.log,
		Items: chainItems{s}, Notify: chainNotifier{webhook.NewPoster(s.guard, s.opts.Clock)},
	})
	if err != nil {
		return fmt.Errorf("open the supply chain: %w", err)
	}
	return nil
}

// chainItems tells twins what happened to them.
type chainItems struct{ *Server }

// Tell implements [epcis.Items].
func (s chainItems) Tell(ctx context.Context, facts []epcis.Fact, mark eventlog.Record) error {
	events := make([]rapport.Event, 0, len(facts))
	for i := range facts {
		e, ok := moved(&facts[i])
		if ok {
			events = append(events, e)
		}
	}
	return s.appendItems(ctx, events, mark)
}

// appendItems appends facts of items, and records beside them, in one submission.
func (s *Server) appendItems(ctx context.Context, events []rapport.Event, beside ...eventlog.Record) error {
	if err := s.engine.Admit(len(events)); err != nil {
		return err
	}
	stamped, err := s.identity.Stamp(events)
	if err != nil {
		return err
	}
	n := s.events.Partitions(eventlog.Events)
	records := make([]eventlog.Record, 0, len(events)+len(stamped.Records)+len(beside))
	for i := range events {
		e := &events[i]
		r := engine.EventRecord(e, engine.Fingerprint(e.Source, e.MessageID), s.identity.Partition(e, n))
		r.Time = e.ReceivedAt
		records = append(records, r)
	}
	records = append(append(records, stamped.Records...), beside...)
	p := s.events.Submit(records)
	stamped.Submitted(p)
	return p.Wait(ctx)
}

// moved is what an event of the supply chain is to one item.
func moved(f *epcis.Fact) (rapport.Event, bool) {
	k, err := gs1.Parse(f.Item)
	if err != nil {
		return rapport.Event{}, false
	}
	name, err := twin.Name(k)
	if err != nil {
		return rapport.Event{}, false
	}
	e := f.Event
	var p rapport.Fields
	text := func(key, value string) {
		if value != "" {
			p = rapport.AppendField(p, key, rapport.StringValue(value))
		}
	}
	text("item", name.Value)
	text("eventId", e.ID)
	text("bizStep", e.BizStep)
	text("disposition", e.Disposition)
	text("location", e.BizLocation)
	text("readPoint", e.ReadPoint)
	text("reference", f.Inside)
	text("stage", string(stageOf(e, f.Parent != "")))
	text("parent", f.Parent)
	if f.Parent != "" {
		text("action", e.Action)
	}
	text("lot", f.Lot)
	for _, m := range [][2]string{{"expiry", "cbvmda:itemExpirationDate"}, {"productionDate", "cbvmda:productionDate"}, {"origin", "cbvmda:countryOfOrigin"}} {
		if v, ok := e.Master[m[1]].(string); ok && f.Inside == "" {
			text(m[0], v)
		}
	}
	return twin.Fact(name, twin.EventMoved, "epcis:"+strconv.FormatInt(f.Seq, 10)+":"+name.Value, e.Time, e.Record, p), true
}

// stageOf is the stage of life that a step of the supply chain brings (CBV 2.0, sections 7.1 and 7.2).
func stageOf(e *epcis.Event, packed bool) twin.Stage {
	switch e.Disposition {
	case "retail_sold", "dispensed":
		return twin.Sold
	case "destroyed", "disposed":
		return twin.Ended
	}
	switch e.BizStep {
	case "commissioning", "encoding", "creating_class_instance":
		return twin.Commissioned
	case "packing", "loading", "consigning":
		if packed && e.Action != epcis.Delete {
			return twin.Packed
		}
	case "shipping", "departing":
		return twin.Shipped
	case "receiving", "arriving", "accepting":
		return twin.Received
	case "stocking":
		return twin.OnShelf
	case "retail_selling":
		return twin.Sold
	case "repairing":
		return twin.Serviced
	case "decommissioning", "destroying", "killing":
		return twin.Ended
	}
	if e.Disposition == "sellable_accessible" {
		return twin.OnShelf
	}
	return ""
}

// chainNotifier posts what subscriptions asked for.
type chainNotifier struct{ *webhook.Poster }

// Notify implements [epcis.Notifier].
func (n chainNotifier) Notify(ctx context.Context, s *epcis.Subscription, key string, body []byte) error {
	r := n.Post(ctx, s.Dest, s.Secret, key, "application/ld+json", body)
	switch r.Status {
	case deliver.Delivered:
		return nil
	case deliver.Failed:
		return rapport.Errorf(rapport.Invalid, "%s", r.Detail)
	}
	return rapport.Errorf(rapport.Unavailable, "%s", r.Detail)
}

// holder returns an item with its owner as the twin has them.
func (s *Server) holder(ctx context.Context, item string) (h api.Holding, err error) {
	h.Item = item
	err = s.engine.View(ctx, s.identity.Mint(rapport.KindItem, item, 0), nil, func(v *engine.View) error {
		x := twin.Peek(v)
		if x == nil {
			return nil
		}
		h.Known, h.Stage, h.Recall = true, string(x.Stage()), x.Recall
		if !x.Owner.Person.IsZero() {
			h.Owner = s.identity.Person(x.Owner.Person).String()
		}
		return nil
	})
	return h, err
}

// runRecalls carries out recalls: each item and its owner are told, once,
// whatever restarts lie between.
func (s *Server) runRecalls(ctx context.Context) error {
	for {
		open, err := s.chain.OpenRecalls(ctx)
		if err != nil {
			return err
		}
		for _, r := range open {
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

const recallTick = 10 * time.Second

// carryOut tells the items of a recall and their owners, then writes down that it did.
func (s *Server) carryOut(ctx context.Context, r epcis.Recall) error {
	items, more, err := s.chain.Affected(ctx, r.Of)
	if err != nil {
		return err
	}
	key, moment := "recall:"+r.ID, "Product Recalled"
	if r.Lifted {
		key, moment = "recall-lifted:"+r.ID, "Product Recall Lifted"
	}
	const batch = 500
	at := rapport.Millis(r.ChangedAt)
	for rest := items; len(rest) > 0; {
		n := min(batch, len(rest))
		events := make([]rapport.Event, 0, 2*n)
		for _, item := range rest[:n] {
			name := rapport.Identifier{Kind: rapport.KindItem, Value: item}
			p := rapport.FieldsOf(map[string]any{"item": item, "recall": r.ID, "reason": r.Reason, "of": r.Of, "instructions": r.Instructions, "url": r.URL, "lifted": r.Lifted})
			events = append(events,
				twin.Fact(name, twin.EventRecalled, key+":"+item, at, rapport.Millis(s.opts.Clock.Now()), p),
				twin.Fact(name, moment, key+":told:"+item, at, rapport.Millis(s.opts.Clock.Now()), p))
		}
		if err := s.appendItems(ctx, events); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if more {
		s.log.Warn("a recall concerns more items than are told at once", "recall", r.ID, "told", len(items))
	}
	return s.chain.RecallTold(ctx, r.ID, len(items))
}
