package app

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
	"github.com/rapport-engine/rapport/state"
)

// Bounds of telling the past of a segment.
const (
	pastPeople = 5000 // whose lives are gone through; of more, a sample
	pastEvents = 2000 // of one of them, the newest
)

// pastPrefix begins the keys under which it stands how the past of a segment
// was told: key of the segment.
const pastPrefix = "Zh"

func pastKey(segment uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(pastPrefix), segment)
}

// pasts tells how large newly defined segments were before, beside everything else.
type pasts struct {
	wanted  chan struct{} // capacity 1: one word is enough
	builder builder
}

func (p *pasts) want() {
	select {
	case p.wanted <- struct{}{}:
	default:
	}
}

// runPasts tells the past of segments until ctx ends.
func (s *Server) runPasts(ctx context.Context) error {
	if err := s.engine.Ready(ctx); err != nil {
		return err
	}
	for {
		if err := s.tellPasts(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the past sizes of segments were not told", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.pasts.wanted:
		}
	}
}

// tellPasts tells the past of all segments in force of which it was not told yet.
func (s *Server) tellPasts(ctx context.Context) error {
	c, err := s.compiled.at(s.compiled.defs.number())
	if err != nil || s.compiled.defs.number() == 0 {
		return err
	}
	segments, _ := c.Part(segment.Part).(*segment.Config)
	questions, _ := c.Part(profile.Part).(*profile.Config)
	var ids []string
	for _, d := range segments.Definitions() {
		_, told, err := s.store.Get(pastKey(d.Key), nil)
		if err != nil {
			return err
		}
		if !told && !d.Quiet && !s.Unfilled(d.ID) {
			ids = append(ids, d.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	now := s.opts.Clock.Now()
	past := segments.NewPast(ids)
	told := api.SegmentPast{Since: s.logSince().UTC(), Until: now.UTC(), Total: s.people()}
	curves := map[uint64]map[int64]int64{} // segment -> hour -> by how much it grew
	if len(past.Known()) > 0 && told.Total > 0 {
		if err := s.liveAgain(ctx, past, questions, now, &told, curves); err != nil {
			return err
		}
	}
	b := s.store.Batch()
	for _, id := range ids {
		one := told
		if one.Unknown = past.Unknown(id); one.Unknown != "" {
			one.Sampled = 0
		}
		body, err := json.Marshal(one)
		if err == nil {
			err = b.Set(pastKey(segment.Key(id)), body)
		}
		if err == nil && one.Unknown == "" {
			err = s.putPast(b, segment.Key(id), curves[segment.Key(id)], &told, now)
		}
		if err != nil {
			return err
		}
	}
	return b.Commit()
}

// liveAgain goes through the lives of people and adds up how segments grew.
func (s *Server) liveAgain(ctx context.Context, past *segment.Past, questions *profile.Config, now time.Time, told *api.SegmentPast, curves map[uint64]map[int64]int64) error {
	begun := time.Now()
	o := engine.ScanOptions{Background: true, Seed: uint64(len(past.Known()))}
	if told.Total > pastPeople {
		o.Share = float64(pastPeople) / float64(told.Total)
	}
	s.pasts.builder.set("telling the past of segments", min(told.Total, pastPeople))
	defer s.pasts.builder.set("", 0)
	var mu sync.Mutex
	err := s.engine.Scan(ctx, o, func(_ int, v *engine.View) error {
		if v.ID().Rank() == rapport.RankItem {
			return nil
		}
		s.pasts.builder.done.Add(1)
		events, err := s.eventsOf(ctx, v, pastEvents)
		if err != nil {
			return err
		}
		changes := past.Changes(events, questions, s.zones, rapport.Millis(now))
		mu.Lock()
		defer mu.Unlock()
		told.Sampled++
		for _, x := range changes {
			if curves[x.Key] == nil {
				curves[x.Key] = map[int64]int64{}
			}
			by := int64(-1)
			if x.Entered {
				by = 1
			}
			curves[x.Key][hourOf(x.At)] += by
		}
		return nil
	})
	if o.Share == 0 {
		told.Total = told.Sampled
	}
	s.log.Info("the past sizes of segments are told", "segments", len(past.Known()), "people", told.Sampled, "of", told.Total, "took", time.Since(begun).Round(time.Millisecond))
	return err
}

func hourOf(ms int64) int64 { return ms / time.Hour.Milliseconds() }

// putPast notes sizes, of each hour in which one changed and of each day, up to
// the first that was noted while it was lived.
func (s *Server) putPast(b *state.Batch, key uint64, grew map[int64]int64, told *api.SegmentPast, now time.Time) error {
	until, begin := hourOf(rapport.Millis(now)), hourOf(rapport.Millis(now.Add(-sizesKept)))
	prefix := sizeKey(key, 0)[:len(sizesPrefix)+8]
	it, err := s.store.Scan(prefix, state.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	if it.First() {
		until = min(until, int64(binary.BigEndian.Uint64(it.Key()[len(prefix):])))
	}
	if err := it.Close(); err != nil {
		return err
	}
	hours := make([]int64, 0, len(grew))
	for hour := range grew {
		hours = append(hours, hour)
	}
	slices.Sort(hours)
	if len(hours) == 0 || hours[0] >= until {
		return nil
	}
	size, next := int64(0), 0
	for hour := max(hours[0], begin); hour < until; hour++ {
		changed := false
		for ; next < len(hours) && hours[next] <= hour; next++ {
			size += grew[hours[next]]
			changed = true
		}
		if !changed && hour%24 != 0 {
			continue
		}
		whole := size
		if told.Sampled > 0 && told.Sampled < told.Total {
			whole = int64(math.Round(float64(size) * float64(told.Total) / float64(told.Sampled)))
		}
		if err := b.Set(sizeKey(key, uint64(hour)), binary.AppendVarint(nil, whole)); err != nil {
			return err
		}
	}
	return nil
}

// eventsOf returns the newest events of a person that are still in the log,
// oldest first.
func (s *Server) eventsOf(ctx context.Context, v *engine.View, most int) (events []rapport.Event, err error) {
	timeline := profile.TimelineOf(v)
	var failed error
	err = timeline.Walk(profile.TimelineKey{}, func(at profile.TimelineEntry) bool {
		var e rapport.Event
		ok := false
		if ok, failed = s.eventAt(ctx, at.Partition, at.Offset, &e); ok {
			events = append(events, e)
		}
		return failed == nil && len(events) < most
	})
	slices.Reverse(events)
	return events, errors.Join(err, failed, timeline.Close())
}

// SegmentPast implements api.System.
func (s *Server) SegmentPast(id string) (*api.SegmentPast, error) {
	body, ok, err := s.store.Get(pastKey(segment.Key(id)), nil)
	if err != nil {
		return nil, err
	}
	past := &api.SegmentPast{}
	if ok {
		if err := json.Unmarshal(body, past); err != nil {
			return nil, rapport.Errorf(rapport.Internal, "what is known of the past of segment %s is damaged: %w", id, err)
		}
		return past, nil
	}
	if b := s.pasts.builder.now(); b.Phase != "" {
		past.Building = &b
	}
	return past, nil
}
