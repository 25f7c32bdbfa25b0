package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/predict"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
)

// factReady is the control fact that something new is ready to be used: answers
// were built from history, or segments filled. It begins a stage of the
// configuration version then current.
const factReady = "segments.ready"

// readyFact is its body.
type readyFact struct {
	Version int64 `json:"version"`
	Stage   int64 `json:"stage"`
	// Questions whose answers are whole, with the number each was asked since.
	Questions []readyQuestion `json:"questions,omitempty"`
	// Segments that are filled, with the number their definition came into force at.
	Segments []readySegment `json:"segments,omitempty"`
}

type readyQuestion struct {
	Key   uint64 `json:"key,string"`
	Since int64  `json:"since"`
}

type readySegment struct {
	ID     string `json:"id"`
	Active int64  `json:"active"`
}

// definitions follow what documents mean while what they need is being built.
// A document whose questions about the past are not answered from history yet
// stays what it was before, or is left out if it is new; a segment whose
// definition is new is quiet until everybody was looked at. All of it is a fold
// of the control topic.
type definitions struct {
	store    *config.Store
	registry *config.Registry
	env      config.Environment
	// changed is told when there may be something to build. Capacity 1: one word is enough.
	changed chan struct{}

	mu     sync.Mutex
	now    stage
	stages map[int64]*stage // by number
	asked  map[*config.Document][]*condition.Aggregate
}

// stage is what holds from one number to the next.
type stage struct {
	version, stage int64
	since          map[uint64]int64 // question -> number it is asked since
	ready          map[uint64]bool  // questions whose answers are whole
	effective      map[config.Ref]*config.Document
	held           map[config.Ref]*config.Document // where effective is not what the version says; nil: left out
	active         map[string]activation           // segments
}

// activation is a segment's definition in force.
type activation struct {
	print  string // what it says, all it refers to included
	since  int64  // number it came into force at
	filled bool
}

func newDefinitions(store *config.Store, registry *config.Registry, env config.Environment) *definitions {
	return &definitions{
		store: store, registry: registry, env: env, changed: make(chan struct{}, 1),
		now:    stage{since: map[uint64]int64{}, ready: map[uint64]bool{}, effective: map[config.Ref]*config.Document{}, active: map[string]activation{}},
		stages: map[int64]*stage{}, asked: map[*config.Document][]*condition.Aggregate{},
	}
}

func (s *stage) number() int64 { return engine.Number(s.version, s.stage) }

// fold follows the control topic. The store folded the fact before.
func (d *definitions) fold(f config.Fact) error {
	switch f.Kind {
	case config.FactChanged:
		set, version := d.store.Current()
		d.mu.Lock()
		defer d.mu.Unlock()
		if version == d.now.version {
			return nil // it lost a race and changed nothing
		}
		d.adopt(d.next(version, set))
	case factReady:
		var r readyFact
		if err := json.Unmarshal(f.Body, &r); err != nil {
			return rapport.Errorf(rapport.Internal, "a fact about definitions is damaged: %w", err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if r.Version != d.now.version || r.Stage != d.now.stage+1 {
			return nil
		}
		set, _ := d.store.Current()
		d.adopt(d.settle(r, set))
	default:
		return nil
	}
	select {
	case d.changed <- struct{}{}:
	default:
	}
	return nil
}

func (d *definitions) adopt(s *stage) {
	d.now = *s
	d.stages[s.number()] = s
}

// propose returns the stage a version would begin with, and remembers it: its
// barrier may be met before its fact is folded.
func (d *definitions) propose(version int64, set *config.Set) *stage {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.next(version, set)
	d.stages[s.number()] = s
	return s
}

// at returns what holds at a number.
func (d *definitions) at(number int64) *stage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stages[number]
}

// next returns the first stage of a version; d.mu is held.
func (d *definitions) next(version int64, set *config.Set) *stage {
	s := d.now
	s.version, s.stage = version, 0
	s.since, s.ready = maps.Clone(s.since), maps.Clone(s.ready)
	// What is asked: by the documents, and by those that still stand for them.
	asked := map[uint64]bool{}
	for _, doc := range slices.Concat(set.All(), slices.Collect(maps.Values(s.effective))) {
		if set.Get(doc.Kind, doc.ID) == nil {
			continue
		}
		for _, a := range d.asks(doc) {
			asked[a.Key] = true
		}
	}
	asked[predict.DeclaredKey(deref(config.Specs[*predict.PredictionDoc](set, "prediction")))] = true
	for key := range asked {
		if _, known := s.since[key]; !known {
			s.since[key] = s.number()
		}
	}
	maps.DeleteFunc(s.since, func(key uint64, _ int64) bool { return !asked[key] })
	maps.DeleteFunc(s.ready, func(key uint64, _ bool) bool { return !asked[key] })
	d.apply(&s, set)
	return &s
}

// settle returns the stage that a ready fact begins; d.mu is held.
func (d *definitions) settle(r readyFact, set *config.Set) *stage {
	s := d.now
	s.stage++
	s.ready, s.active = maps.Clone(s.ready), maps.Clone(s.active)
	for _, q := range r.Questions {
		if s.since[q.Key] == q.Since {
			s.ready[q.Key] = true
		}
	}
	for _, x := range r.Segments {
		if a, ok := s.active[x.ID]; ok && a.since == x.Active {
			a.filled = true
			s.active[x.ID] = a
		}
	}
	d.apply(&s, set)
	return &s
}

// apply decides which documents are in force and which segments are new.
func (d *definitions) apply(s *stage, set *config.Set) {
	before := s.effective
	s.effective, s.held = map[config.Ref]*config.Document{}, map[config.Ref]*config.Document{}
	pending := map[config.Ref]bool{}
	all := set.All()
	for _, doc := range all {
		for _, a := range d.asks(doc) {
			if !s.ready[a.Key] {
				pending[doc.Ref] = true
			}
		}
	}
	for again := true; again; { // what names something pending is pending too
		again = false
		for _, doc := range all {
			if pending[doc.Ref] {
				continue
			}
			for _, ref := range refersTo(d.spec(doc)) {
				if pending[ref] {
					pending[doc.Ref], again = true, true
				}
			}
		}
	}
	for _, doc := range all {
		switch old := before[doc.Ref]; {
		case !pending[doc.Ref]:
			s.effective[doc.Ref] = doc
		case old != nil:
			s.effective[doc.Ref], s.held[doc.Ref] = old, old
		default:
			s.held[doc.Ref] = nil
		}
	}
	d.activate(s)
}

// activate compares the segments in force with those that were.
func (d *definitions) activate(s *stage) {
	was := s.active
	s.active = map[string]activation{}
	prints := map[config.Ref]string{}
	foretold := d.foretold(s)
	var print func(ref config.Ref, depth int) string
	print = func(ref config.Ref, depth int) string {
		if p, ok := prints[ref]; ok || depth > 100 {
			return p
		}
		doc := s.effective[ref]
		if doc == nil {
			return ref.String() + " is missing"
		}
		p := ""
		switch spec := d.spec(doc).(type) {
		case *segment.Doc:
			p = spec.When.String()
			if len(spec.When.Uses().Scores) > 0 || slices.ContainsFunc(spec.When.Uses().Segments, func(id string) bool { return s.effective[config.Ref{Kind: "segment", ID: id}] == nil }) {
				p += "\n" + foretold
			}
		case *profile.ComputedDoc:
			b, _ := json.Marshal(spec)
			p = string(b)
		}
		for _, r := range refersTo(d.spec(doc)) {
			p += "\n" + r.String() + ": " + print(r, depth+1)
		}
		prints[ref] = p
		return p
	}
	for ref := range s.effective {
		if ref.Kind != "segment" {
			continue
		}
		p := print(ref, 0)
		if a, ok := was[ref.ID]; ok && a.print == p {
			s.active[ref.ID] = a
		} else {
			s.active[ref.ID] = activation{print: p, since: s.number()}
		}
	}
}

// spec returns a document's struct, references replaced.
func (d *definitions) spec(doc *config.Document) any {
	if len(doc.Environment) == 0 {
		return doc.Spec
	}
	resolved, _ := d.registry.Resolve(config.NewSet(doc), d.env)
	if r := resolved.Get(doc.Kind, doc.ID); r != nil {
		return r.Spec
	}
	return doc.Spec
}

// asks returns the questions about the past that a document asks.
func (d *definitions) asks(doc *config.Document) []*condition.Aggregate {
	if list, ok := d.asked[doc]; ok {
		return list
	}
	list := questionsOf(d.spec(doc))
	d.asked[doc] = list
	return list
}

// questionsOf returns the questions about the past that a document's struct asks.
func questionsOf(spec any) (list []*condition.Aggregate) {
	if c, ok := spec.(*profile.ComputedDoc); ok {
		list, _ = c.Asks()
		return list
	}
	for _, c := range conditionsOf(spec) {
		list = append(list, c.Aggregates()...)
	}
	return list
}

// refersTo returns the segments and computed traits a document's conditions name.
func refersTo(spec any) (refs []config.Ref) {
	for _, c := range conditionsOf(spec) {
		for _, u := range c.Named() {
			if u.Kind == "degree" {
				u.Kind = "segment"
			}
			refs = append(refs, config.Ref{Kind: u.Kind, ID: u.Name})
		}
	}
	return refs
}

var conditionType = reflect.TypeFor[*condition.Condition]()

// conditionsOf finds every condition in a document's struct.
func conditionsOf(spec any) (list []*condition.Condition) {
	if _, items := spec.(interface{ OfItems() }); items {
		return nil // they ask for the past of items, which people's answers know nothing of
	}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if v.IsNil() {
				return
			}
			if v.Type() == conditionType {
				list = append(list, v.Interface().(*condition.Condition))
				return
			}
			walk(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					walk(v.Field(i))
				}
			}
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Uint8 {
				return
			}
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			keys := v.MapKeys()
			slices.SortFunc(keys, func(a, b reflect.Value) int {
				return cmpText(fmt.Sprint(a.Interface()), fmt.Sprint(b.Interface()))
			})
			for _, k := range keys {
				walk(v.MapIndex(k))
			}
		}
	}
	walk(reflect.ValueOf(spec))
	return list
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// inForce returns the documents of a set that are in force at a stage.
func (s *stage) inForce(set *config.Set) *config.Set {
	if s == nil || len(s.held) == 0 {
		return set
	}
	var docs []*config.Document
	for _, doc := range set.All() {
		instead, held := s.held[doc.Ref]
		switch {
		case !held:
			docs = append(docs, doc)
		case instead != nil:
			docs = append(docs, instead)
		}
	}
	return config.NewSet(docs...)
}

// quiet reports whether a segment is still being filled.
func (s *stage) quiet(id string) bool { return s != nil && !s.active[id].filled }

// asked returns since when a question is answered live.
func (s *stage) askedSince(key uint64) int64 {
	if s == nil {
		return 0
	}
	return s.since[key]
}

// unready returns the questions asked since the lowest number whose answers are
// not whole yet.
func (d *definitions) unready() (since int64, keys []uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, at := range d.now.since {
		if !d.now.ready[key] && (len(keys) == 0 || engine.Later(since, at)) {
			since, keys = at, []uint64{key}
		} else if !d.now.ready[key] && at == since {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return since, slices.Compact(keys)
}

// unfilled returns the segments whose definitions are new.
func (d *definitions) unfilled() (list []readySegment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, a := range d.now.active {
		if !a.filled {
			list = append(list, readySegment{id, a.since})
		}
	}
	slices.SortFunc(list, func(a, b readySegment) int { return cmpText(a.ID, b.ID) })
	return list
}

// number returns the number in force.
func (d *definitions) number() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now.number()
}

// proposeReady returns the stage a ready fact would begin, and remembers it.
func (d *definitions) proposeReady(r readyFact) *stage {
	set, _ := d.store.Current()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.settle(r, set)
	d.stages[s.number()] = s
	return s
}
