package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/engine/dedup"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/predict"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
)

// compileSegments adds what profile and segment make of a set to parts. whole
// is the set with what is not in force yet.
func compileSegments(parts map[string]any, set, whole *config.Set, at *stage, conditions ...iter.Seq[condition.Expr]) error {
	docs := deref(config.Specs[*segment.Doc](set, "segment"))
	conditions = append(conditions, func(yield func(condition.Expr) bool) {
		for _, d := range docs {
			if !yield(d.When) {
				return
			}
		}
	})
	var asked []*condition.Aggregate
	for _, doc := range whole.All() { // what is not in force yet is answered from the barrier on
		asked = append(asked, questionsOf(doc.Spec)...)
	}
	questions, err := profile.CompileAll(profile.Documents{
		Questions: asked, Conditions: conditions, Computed: deref(config.Specs[*profile.ComputedDoc](set, "computed")), Since: at.askedSince,
	})
	if err != nil {
		return err
	}
	segments, err := segment.Compile(segment.Documents{Segments: docs, Profile: questions, Quiet: at.quiet, Told: toldBy(set)})
	if err != nil {
		return err
	}
	parts[profile.Part], parts[segment.Part] = questions, segments
	return nil
}

// compile compiles what is in force of a set at a stage. A document that stands
// for its successor can name what is gone; then it is left out.
func (c *compiler) compile(set *config.Set, at *stage) (map[string]any, error) {
	out, err := partsAt(set, at)
	if err == nil || at == nil || len(at.held) == 0 {
		return out, err
	}
	less := *at
	less.held = map[config.Ref]*config.Document{}
	for ref := range at.held {
		less.held[ref] = nil
	}
	if out, err = partsAt(set, &less); err == nil {
		return out, nil
	}
	less.held = nil
	return partsAt(set, &less)
}

// segmentEnv makes into a person as the fold of segments sees them.
func (s *Server) segmentEnv(c *engine.Context, into *profile.Env) {
	into.Event(c, s.zones, nil)
	scored(into)
}

// eventEnv is a person as other folds see them with an event just folded in.
func (s *Server) eventEnv(c *engine.Context, e *rapport.Event) *profile.Env {
	return segment.Attach(scored(profile.EventEnv(c, s.zones, e)))
}

// viewEnv is the person of a view at a moment.
func (s *Server) viewEnv(v *engine.View, at int64) *profile.Env {
	return s.viewInto(&profile.Env{}, v, at)
}

// viewInto is viewEnv for who looks at many people, one after the other.
func (s *Server) viewInto(env *profile.Env, v *engine.View, at int64) *profile.Env {
	env.View(v, s.zones, at, nil)
	return segment.Attach(scored(env))
}

// builder builds what new definitions need, beside everything else.
type builder struct {
	mu    sync.Mutex
	state api.Building
	done  atomic.Int64
}

func (b *builder) set(phase string, total int64) {
	b.done.Store(0)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = api.Building{Phase: phase, Total: total}
}

// now returns how far it is.
func (b *builder) now() api.Building {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.state
	out.Done = min(b.done.Load(), out.Total)
	return out
}

// Building implements api.System.
func (s *Server) Building() api.Building { return s.builder.now() }

// settleDefinitions waits a moment for new definitions to be in force: with
// little history they are at once.
func (s *Server) settleDefinitions(ctx context.Context) {
	if !s.ready.Load() {
		return
	}
	s.awaitDefinitions(ctx, 3*time.Second)
}

func (s *Server) awaitDefinitions(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for ctx.Err() == nil {
		_, keys := s.compiled.defs.unready()
		if len(keys)+len(s.compiled.defs.unfilled()) == 0 {
			_ = s.engine.View(ctx, rapport.ID{}, nil, func(*engine.View) error { return nil })
			return
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// buildDefinitions builds answers and fills segments until ctx ends.
func (s *Server) buildDefinitions(ctx context.Context) error {
	if err := s.engine.Ready(ctx); err != nil {
		return err
	}
	for {
		err := s.buildAll(ctx)
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			s.log.Warn("new definitions wait to be built", "error", err)
			again = time.After(time.Second)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again:
		case <-s.compiled.defs.changed:
		}
	}
}

func (s *Server) buildAll(ctx context.Context) error {
	defer s.pasts.want()
	defer s.builder.set("", 0)
	for {
		since, keys := s.compiled.defs.unready()
		if len(keys) > 0 {
			if err := s.buildAnswers(ctx, since, keys); err != nil {
				return err
			}
			continue
		}
		segments := s.compiled.defs.unfilled()
		if len(segments) == 0 {
			return nil
		}
		if err := s.fillSegments(ctx, segments); err != nil {
			return err
		}
	}
}

// settled waits until everything in the log, and all it caused, is folded.
func (s *Server) settled(ctx context.Context) error {
	return s.engine.View(ctx, rapport.ID{}, nil, func(*engine.View) error { return nil })
}

// tell writes a ready fact and the barriers of the stage it begins.
func (s *Server) tellReady(ctx context.Context, f readyFact) error {
	return s.journal.AppendWith(ctx, factReady, "system", func() ([]byte, []eventlog.Record, error) {
		version, stage := engine.VersionStage(s.compiled.defs.number())
		f.Version, f.Stage = version, stage+1
		set, err := s.config.ResolvedAt(version)
		if err != nil {
			return nil, nil, err
		}
		compiled, err := s.compiled.compile(set, s.compiled.defs.proposeReady(f))
		if err != nil {
			return nil, nil, err
		}
		s.compiled.keep(engine.NewStage(f.Version, f.Stage, compiled))
		body, err := json.Marshal(f)
		return body, engine.StageRecords(s.events.Partitions(eventlog.Events), f.Version, f.Stage), err
	})
}

// buildAnswers reads history for questions that are new and brings everybody's
// answers to them.
func (s *Server) buildAnswers(ctx context.Context, since int64, keys []uint64) error {
	begin := time.Now()
	defer s.retention.hold()()
	if err := s.settled(ctx); err != nil { // now every partition has adopted the questions
		return err
	}
	compiled, err := s.compiled.allOf(since)
	if err != nil {
		return err
	}
	foretold, err := s.foretold(keys)
	if err != nil {
		return err
	}
	questions := compiled.Only(func(key uint64) bool { _, ok := slices.BinarySearch(keys, key); return ok })
	ends := s.engine.Ends()
	total := int64(0)
	for _, e := range ends {
		first, _ := s.events.Bounds(eventlog.Events, e.Partition)
		total += e.Offset + 1 - first
	}
	s.builder.set("reading history", total)
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, end := range ends {
		group.Go(func() error { return s.readHistory(inner, questions, foretold, since, end) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	f := readyFact{}
	for _, key := range keys {
		f.Questions = append(f.Questions, readyQuestion{key, since})
	}
	if err := s.tellReady(ctx, f); err != nil {
		return err
	}
	if foretold != nil {
		s.fitter.Wake()
	}
	if since := s.logSince(); !since.IsZero() {
		s.log.Warn("questions about the past are answered from what the log still holds", "questions", len(keys), "since", since.UTC())
	}
	s.log.Info("questions about the past are answered from history", "questions", len(keys), "records", total, "took", time.Since(begin).Round(time.Millisecond))
	return s.settled(ctx)
}

// historyChunk is how many people's answers are gathered before they are sent.
const historyChunk = 20_000

// readHistory builds the answers of one partition's events accepted before
// since was adopted, up to end.
func (s *Server) readHistory(ctx context.Context, questions *profile.Config, foretold *engine.Config, since int64, end engine.Token) (err error) {
	first, _ := s.events.Bounds(eventlog.Events, end.Partition)
	if end.Offset < first {
		return nil
	}
	dir := filepath.Join(s.opts.Data, "build", fmt.Sprintf("%05d", end.Partition))
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	seen, err := dedup.Open(dedup.Options{Dir: dir, Max: max(64<<20/s.events.Partitions(eventlog.Events), 1)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, seen.Close(), os.RemoveAll(dir)) }()
	reader, err := s.events.Reader(eventlog.Events, end.Partition, first)
	if err != nil {
		return err
	}
	defer reader.Close()
	sender := s.newSender(fmt.Sprintf("answers/%d/%d", since, end.Partition), profile.SystemAnswers)
	fold := profile.AggregateFold{Config: questions}
	gathered := map[rapport.ID]*gathering{}
	var building *predict.Building
	built := s.newSender(fmt.Sprintf("predictions/%d/%d", since, end.Partition), profile.SystemBuilt)
	if foretold != nil {
		building = predict.NewBuilding(foretold)
	}
	adopted, now := false, int64(0)
	var e rapport.Event
	for at := first; at <= end.Offset; {
		records, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		for i := range records {
			r := &records[i]
			if at = r.Offset + 1; r.Offset > end.Offset {
				break
			}
			now = max(now, r.Time)
			if number, ok := engine.ConfigOf(r); ok && !engine.Later(since, number) {
				adopted = true
			}
			counts, err := engine.HistoryOf(r, &e, since, adopted)
			if err != nil {
				return err
			}
			if !counts || e.Type == rapport.TypeSystem {
				continue
			}
			asked, foretells := questions.Wants(profile.EventName(&e)), building != nil && building.Wants(&e)
			if !asked && !foretells {
				continue
			}
			if r.Kind == engine.KindEvent && seen.Seen([16]byte(r.Data[:16]), now) {
				continue
			}
			if foretells {
				building.Apply(&e)
				if building.Len() >= historyChunk {
					if err := built.sendBuilt(ctx, building); err != nil {
						return err
					}
				}
			}
			if !asked {
				continue
			}
			fragment := e.Fragment
			if fragment.IsZero() {
				fragment = e.Entity
			}
			g := gathered[fragment]
			if g == nil {
				g = &gathering{answers: fold.New().(*profile.Aggregates)}
				gathered[fragment] = g
			}
			g.entity = e.Entity
			g.answers.Apply(&engine.Context{}, &e)
			if len(gathered) >= historyChunk { // at the same events whoever reads how much at once
				if err := sender.answers(ctx, gathered); err != nil {
					return err
				}
				clear(gathered)
			}
		}
		s.builder.done.Add(int64(len(records)))
	}
	if building != nil {
		if err := built.sendBuilt(ctx, building); err != nil {
			return err
		}
	}
	if err := sender.answers(ctx, gathered); err != nil {
		return err
	}
	return errors.Join(built.flush(ctx), sender.flush(ctx))
}

type gathering struct {
	entity  rapport.ID
	answers *profile.Aggregates
}

// sender appends system events of our own in large submissions. Their ids are
// numbered, so that a builder that begins again repeats itself harmlessly.
type sender struct {
	s       *Server
	prefix  string
	name    string
	n       int
	records []eventlog.Record
}

func (s *Server) newSender(prefix, name string) *sender {
	return &sender{s: s, prefix: prefix, name: name}
}

func (b *sender) answers(ctx context.Context, gathered map[rapport.ID]*gathering) error {
	ids := make([]rapport.ID, 0, len(gathered))
	for id := range gathered {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, rapport.ID.Compare)
	for _, id := range ids {
		if body := gathered[id].answers.AppendBinary(nil); len(body) > 0 {
			if err := b.send(ctx, gathered[id].entity, id, body); err != nil {
				return err
			}
		}
	}
	return nil
}

// send appends one event. Its partition is the fragment's: the same whenever it is sent.
func (b *sender) send(ctx context.Context, entity, fragment rapport.ID, body []byte) error {
	at := rapport.Millis(b.s.opts.Clock.Now())
	b.n++
	e := rapport.Event{
		Type: rapport.TypeSystem, Name: b.name, Source: "rapport", MessageID: fmt.Sprintf("%s/%d/%s", b.prefix, b.n, fragment),
		Timestamp: at, ReceivedAt: at, OriginalTimestamp: at, Entity: entity, Fragment: fragment, Body: body, History: true,
	}
	home := int32(fragment.Partition(b.s.events.Partitions(eventlog.Events)))
	b.records = append(b.records, engine.EventRecord(&e, engine.Fingerprint(e.Source, e.MessageID), home))
	if len(b.records) < 1000 {
		return nil
	}
	return b.flush(ctx)
}

func (b *sender) flush(ctx context.Context) error {
	if len(b.records) == 0 {
		return nil
	}
	for b.s.engine.Admit(len(b.records)) != nil { // the events of people come first
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := b.s.events.Submit(b.records).Wait(ctx)
	b.records = nil
	return err
}

// fillSegments looks at everybody for segments whose definition is new, and has
// those evaluated that are in one, out of one, or may be when time passes.
func (s *Server) fillSegments(ctx context.Context, list []readySegment) error {
	begin := time.Now()
	if err := s.settled(ctx); err != nil {
		return err
	}
	number := s.compiled.defs.number()
	c, err := s.compiled.at(number)
	if err != nil {
		return err
	}
	segments, _ := c.Part(segment.Part).(*segment.Config)
	var defs []*segment.Definition
	for _, x := range list {
		if d := segments.Definition(x.ID); d != nil {
			defs = append(defs, d)
		}
	}
	s.builder.set("filling segments", s.people())
	senders := make([]*sender, s.events.Partitions(eventlog.Events))
	for i := range senders {
		senders[i] = s.newSender(fmt.Sprintf("review/%d/%d", number, i), profile.SystemReview)
	}
	found := atomic.Int64{}
	people := make([]profile.Env, len(senders))
	err = s.engine.Scan(ctx, engine.ScanOptions{Config: c, At: rapport.Millis(s.opts.Clock.Now())}, func(worker int, v *engine.View) error {
		if v.ID().Rank() == rapport.RankItem {
			return nil
		}
		s.builder.done.Add(1)
		ids := segment.Candidates(s.viewInto(&people[worker], v, v.Time()), v, defs)
		if len(ids) == 0 || len(v.Fragments()) == 0 {
			return nil
		}
		found.Add(1)
		return senders[worker].send(ctx, v.ID(), v.Fragments()[0], segment.ReviewBody(ids))
	})
	for _, b := range senders {
		err = errors.Join(err, b.flush(ctx))
	}
	if err == nil {
		err = s.settled(ctx)
	}
	if err == nil {
		err = s.tellReady(ctx, readyFact{Segments: list})
	}
	if err != nil {
		return err
	}
	s.log.Info("segments are filled", "segments", len(list), "people", found.Load(), "took", time.Since(begin).Round(time.Millisecond))
	return s.settled(ctx)
}

// allOf compiles the questions of a version as if everything were in force.
func (c *compiler) allOf(since int64) (*profile.Config, error) {
	set, _, err := c.server.config.Resolved()
	if err != nil {
		return nil, err
	}
	now := c.defs.at(c.defs.number())
	whole := *now
	whole.held = nil
	out, err := partsAt(set, &whole)
	if err != nil {
		return nil, err
	}
	return out[profile.Part].(*profile.Config), nil
}
