package api

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
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
	var changes []membershipChange
	found := false
	err = a.deps.Engine.View(ctx, id, nil, func(v *engine.View) error {
		if found = v.Exists(); found {
			events = profile.TimelineOf(v)
			if system {
				changes = membershipChanges(v, to)
			}
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
	// give adds what stands between the last entry and the next, newest first.
	give := func(above profile.TimelineKey) bool {
		for n := len(changes); n > 0 && changes[n-1].key.Compare(above) > 0; n-- {
			if len(page.Events) == limit {
				return false
			}
			page.Events = append(page.Events, changes[n-1].event)
			page.Next = cursor(changes[n-1].key)
			changes = changes[:n-1]
		}
		return true
	}
	err = events.Walk(to, func(at profile.TimelineEntry) bool {
		if !give(at.TimelineKey) {
			return false
		}
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
	if err == nil && len(page.Events) < limit {
		give(profile.TimelineKey{At: math.MinInt64})
	}
	if len(page.Events) < limit {
		page.Next = ""
	}
	return page, err
}

// membershipChange is an entering or leaving that no record of the log stands for.
type membershipChange struct {
	key   profile.TimelineKey
	event TimelineEvent
}

// membershipChanges returns those below before, oldest first.
func membershipChanges(v *engine.View, before profile.TimelineKey) (out []membershipChange) {
	changes, of := segment.Changes(v)
	for _, c := range changes {
		d := of(c.Key)
		key := profile.TimelineKey{At: c.At, Partition: math.MaxUint16, Offset: int64(c.Key >> 2 << 1)} // of one time: behind all records
		name := rapport.SystemSegmentLeft
		if c.Entered {
			name = rapport.SystemSegmentEntered
			key.Offset++
		}
		if d == nil || before != (profile.TimelineKey{}) && before.Compare(key) <= 0 {
			continue
		}
		out = append(out, membershipChange{key, TimelineEvent{
			ID: fmt.Sprintf("segment/%s/%d", d.ID, c.At), Type: rapport.TypeSystem.String(), Event: name, Source: "rapport",
			Timestamp: rapport.Time(c.At), ReceivedAt: rapport.Time(c.At), Properties: map[string]any{"segment": d.ID},
		}})
	}
	slices.SortFunc(out, func(a, b membershipChange) int { return a.key.Compare(b.key) })
	return out
}

func timelineEvent(e *rapport.Event) TimelineEvent {
	t := TimelineEvent{
		ID: string(append([]byte(nil), e.MessageID...)), Type: e.Type.String(), Event: string(append([]byte(nil), e.Name...)),
		Timestamp: rapport.Time(e.Timestamp), ReceivedAt: rapport.Time(e.ReceivedAt), Source: string(append([]byte(nil), e.Source...)),
		Properties: e.Properties.Map(), Traits: jsonOf(e.Traits), Context: jsonOf(e.Context),
	}
	if e.Type == rapport.TypeSystem && e.Name == rapport.SystemDecision {
		if d, err := decide.DecodeGiven(e.Body); err == nil {
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
