package app

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
	"github.com/rapport-engine/rapport/state"
)

// Bounds of a preview.
const (
	previewSample  = 3000 // people an estimate looks at
	previewPeople  = 10   // people shown
	timelineSample = 400  // people looked at from their timelines
	timelineTime   = 200 * time.Millisecond
)

// Unfilled implements api.System.
func (s *Server) Unfilled(id string) bool {
	for _, x := range s.compiled.defs.unfilled() {
		if x.ID == id {
			return true
		}
	}
	return false
}

// PreviewSegment implements api.System.
func (s *Server) PreviewSegment(ctx context.Context, when *condition.Condition, exact bool) (api.SegmentPreview, error) {
	begin := time.Now()
	s.counting.Add(1)
	defer s.counting.Add(-1)
	p := api.SegmentPreview{People: []api.PersonSummary{}, Total: s.people(), Exact: exact}
	now := rapport.Millis(s.opts.Clock.Now())
	c, err := s.compiled.at(s.compiled.defs.number())
	if s.compiled.defs.number() == 0 {
		c, err = engine.NewConfig(0, nil), nil
	}
	if err != nil {
		return p, err
	}
	known, _ := c.Part(profile.Part).(*profile.Config)
	for _, a := range when.Aggregates() {
		p.History = p.History || !known.Answers(a.Key)
	}
	if p.History && exact {
		return p, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the condition asks what is not kept yet, so only an estimate can be made"),
			"save the segment: what it asks is then read from history, and its size is exact")
	}
	size := previewSample
	if p.History {
		size = timelineSample
	}
	o := engine.ScanOptions{Config: c, At: now, Seed: binary.LittleEndian.Uint64([]byte(fmt.Sprintf("%08x", condition.HashID(when.String())))[:8])}
	if !exact && p.Total > int64(size) {
		o.Share = float64(size) / float64(p.Total)
	}
	asked := previewQuestions(when, known)
	var mu sync.Mutex
	var hits int64
	type count struct {
		seen, hits int64
		_          [48]byte // workers do not share a line of the processors' caches
	}
	counts := make([]count, s.events.Partitions(eventlog.Events))
	people := make([]profile.Env, len(counts))
	deadline := begin.Add(timelineTime)
	err = s.engine.Scan(ctx, o, func(worker int, v *engine.View) error {
		if v.ID().Rank() == rapport.RankItem {
			return nil
		}
		if p.History && time.Now().After(deadline) {
			return nil
		}
		holds := false
		if p.History {
			var err error
			if holds, err = s.holdsByTimeline(ctx, v, when, asked, now); err != nil {
				return err
			}
		} else {
			holds = when.Holds(s.viewInto(&people[worker], v, now))
		}
		n := &counts[worker]
		if n.seen++; !holds {
			return nil
		}
		n.hits++
		if n.hits > previewPeople {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if line, ok := api.Summary(v); ok && len(p.People) < previewPeople {
			p.People = append(p.People, line)
		}
		return nil
	})
	for _, n := range counts {
		p.Sampled += n.seen
		hits += n.hits
	}
	if p.Interval(hits); o.Share == 0 && !p.History {
		p.Value, p.Low, p.High, p.Total, p.Exact = hits, hits, hits, p.Sampled, true
	}
	p.Millis = float64(time.Since(begin).Microseconds()) / 1000
	return p, err
}

// previewQuestions returns a config that knows what a condition asks.
func previewQuestions(when *condition.Condition, known *profile.Config) *profile.Config {
	one := iter.Seq[condition.Expr](func(yield func(condition.Expr) bool) { yield(when) })
	return profile.Compile(one).With(known)
}

// previewEvents bounds how many events of one person a preview reads.
const previewEvents = 200

// holdsByTimeline evaluates a condition from the newest events of a person.
func (s *Server) holdsByTimeline(ctx context.Context, v *engine.View, when *condition.Condition, asked *profile.Config, now int64) (bool, error) {
	events, err := s.eventsOf(ctx, v, previewEvents)
	re := profile.Recompute(events, asked, s.zones, now)
	person := s.viewEnv(v, now)
	re.Soft = func(_ *profile.Env, id string) float64 { return person.Degree(id) }
	return err == nil && when.Holds(re), err
}

func (s *Server) eventAt(ctx context.Context, partition int32, offset int64, e *rapport.Event) (bool, error) {
	if first, _ := s.events.Bounds(eventlog.Events, partition); offset < first {
		return false, nil
	}
	r, err := s.events.Reader(eventlog.Events, partition, offset)
	if err != nil {
		return false, err
	}
	defer r.Close()
	records, err := r.Next(ctx)
	if err != nil || len(records) == 0 {
		return false, err
	}
	return engine.EventAt(&records[0], e)
}

// sizesKept is how long sizes are remembered.
const sizesKept = 400 * 24 * time.Hour

// sizesPrefix begins the keys of sizes in the state store: key of the segment, hour.
const sizesPrefix = "Zs"

func sizeKey(segment, hour uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte(sizesPrefix), segment)
	return binary.BigEndian.AppendUint64(b, hour)
}

// keepSizes notes how large segments are, each hour's last.
func (s *Server) keepSizes(ctx context.Context) error {
	if err := s.engine.Ready(ctx); err != nil {
		return err
	}
	for {
		if err := s.noteSizes(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("sizes of segments were not noted", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.opts.Clock.After(5 * time.Minute):
		}
	}
}

func (s *Server) noteSizes(ctx context.Context) error {
	set, _ := s.config.Current()
	docs := set.Of("segment")
	if len(docs) == 0 {
		return nil
	}
	counts, err := s.engine.Counts(ctx)
	if err != nil {
		return err
	}
	hour := uint64(s.opts.Clock.Now().Unix() / 3600)
	b := s.store.Batch()
	for _, doc := range docs {
		key := segment.Key(doc.ID)
		if err = b.Set(sizeKey(key, hour), binary.AppendVarint(nil, counts[key])); err == nil {
			err = b.DeleteRange(sizeKey(key, 0), sizeKey(key, hour-uint64(sizesKept/time.Hour)))
		}
		if err != nil {
			return err
		}
	}
	return b.Commit()
}

// SegmentHistory implements api.System.
func (s *Server) SegmentHistory(id string) (list []api.SegmentSize, err error) {
	prefix := sizeKey(segment.Key(id), 0)[:len(sizesPrefix)+8]
	it, err := s.store.Scan(prefix, state.PrefixEnd(prefix))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	list = []api.SegmentSize{}
	for ok := it.First(); ok; ok = it.Next() {
		n, _ := binary.Varint(it.Value())
		list = append(list, api.SegmentSize{At: time.Unix(int64(binary.BigEndian.Uint64(it.Key()[len(prefix):]))*3600, 0).UTC(), Size: n})
	}
	return list, nil
}
