package app

import (
	"context"
	"fmt"
	"strconv"

	"github.com/rapport-engine/rapport"
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
