package api

import (
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/profile"
)

// timeline returns a page of what happened to a person: the entries say where in
// the log each event stands, the log has the events.
func (a *API) timeline(ctx context.Context, ref string, limit int, before string, system bool) (page timelinePage, err error) {
	page.Events = []TimelineEvent{}
	id, err := a.deps.Identity.Ref(ref)
	if err != nil {
		return page, err
	}
	var to profile.TimelineKey
	if before != "" {
		if to, err = parseCursor(before); err != nil {
			return page, err
		}
	}
	var events *profile.Timeline
	found := false
	err = a.deps.Engine.View(ctx, id, nil, func(v *engine.View) error {
		if found = v.Exists(); found {
			events = profile.TimelineOf(v)
		}
		return nil
	})
	if err != nil {
		return page, err
	}
	if !found {
		return page, rapport.Errorf(rapport.NotFound, "nothing is known of this person")
	}
	defer events.Close()
	reader := logReader{log: a.deps.Log}
	var inner error
	err = events.Walk(to, func(at profile.TimelineEntry) bool {
		if !system && at.Type == rapport.TypeSystem {
			return true
		}
		var e rapport.Event
		var ok bool
		if ok, inner = reader.read(ctx, at.TimelineKey, &e); inner != nil {
			return false
		}
		if !ok {
			return true
		}
		if len(page.Events) == limit {
			return false
		}
		page.Events = append(page.Events, timelineEvent(&e))
		page.Next = cursor(at.TimelineKey)
		return true
	})
	if inner != nil {
		err = inner
	}
	if len(page.Events) < limit {
		page.Next = ""
	}
	return page, err
}

func timelineEvent(e *rapport.Event) TimelineEvent {
	t := TimelineEvent{
		ID: string(append([]byte(nil), e.MessageID...)), Type: e.Type.String(), Event: string(append([]byte(nil), e.Name...)),
		Timestamp: rapport.Time(e.Timestamp), ReceivedAt: rapport.Time(e.ReceivedAt), Source: string(append([]byte(nil), e.Source...)),
		Properties: e.Properties.Map(), Traits: jsonOf(e.Traits), Context: jsonOf(e.Context),
	}
	if e.Type == rapport.TypeSystem && e.Name == rapport.SystemDecision {
		if d, err := decide.DecodeDecision(e.Body); err == nil {
			t.Decision = decisionSummary(d, "")
		}
	}
	return t
}

// logReader reads single events out of the log. Newest first means backwards
// through the partitions, so each read opens its own place.
type logReader struct{ log eventlog.Log }

// read returns the event at a position; ok is false if it is gone: erased, or
// removed from the log by age.
func (l *logReader) read(ctx context.Context, k profile.TimelineKey, e *rapport.Event) (ok bool, err error) {
	r, err := l.log.Reader(eventlog.Events, k.Partition, k.Offset)
	if err != nil {
		if rapport.KindOf(err) == rapport.NotFound {
			return false, nil
		}
		return false, err
	}
	defer r.Close()
	records, err := r.Next(ctx)
	if err != nil {
		return false, err
	}
	if records[0].Kind == 0 {
		return false, nil
	}
	return engine.EventAt(&records[0], e)
}
