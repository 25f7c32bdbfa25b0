package predict

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// FoldSessions is the fold that keeps what happens in the session that runs.
const FoldSessions = "sessions"

// maxSteps bounds the kinds of steps told apart in one session: the first ones.
const maxSteps = 16

// The settings of a session, as it began.
const (
	settingSource = iota
	settingDevice
	settingSystem
	settingCampaign
	settings
)

var settingNames = [settings]string{"source", "device", "os", "campaign"}

// SessionsFold keeps, per person, the session that runs: which steps were taken
// how often and how long each held the attention, where the session came from,
// and how many came before it. Purchases begin it anew. It is small, and grows
// with the kinds of steps of one session alone.
//
// A session ends half an hour after its last event. When two people become one,
// the sessions of both are one if they touch, else the later one goes on.
type SessionsFold struct{}

// Name implements engine.Fold.
func (SessionsFold) Name() string { return FoldSessions }

// Version implements engine.Fold.
func (SessionsFold) Version() uint32 { return 2 }

// Scope implements engine.Fold.
func (SessionsFold) Scope() engine.Scope { return engine.PerEntity }

// Rowless implements engine.Rowless.
func (SessionsFold) Rowless() {}

// New implements engine.Fold.
func (SessionsFold) New() engine.State { return &Sessions{} }

// Sessions are what is kept of one person's sessions.
type Sessions struct {
	visits uint32 // sessions before the one that runs
	orders uint32
	what   uint32 // hash of the event that orders counts; 0: they are to be counted anew
	before int64  // when the session before ended, Unix ms; 0 none
	order  int64  // the newest purchase, Unix ms; 0 none

	start, last int64 // of the session that runs, or ran last, Unix ms
	events      uint32
	setting     [settings]uint32
	n           uint8 // of steps
	at          int8  // the step that has the attention; -1 none
	steps       [maxSteps]taken
}

// taken is one kind of step in a session.
type taken struct {
	name  uint32 // hash
	count uint32
	ms    uint32 // attention
}

// step is what one event says to a session.
type step struct {
	at      int64
	name    uint32 // hash; 0: it only shows that the person is there
	bought  bool
	setting [settings]uint32 // hashes; 0 unknown
}

// stepOf reads an event of a person; it is not ok for what is none of a
// person's own steps. The name refers to the event.
func stepOf(event string, e *rapport.Event, now int64) (s step, name string, ok bool) {
	switch {
	case e.Type == rapport.TypeSystem || e.Source == "items" || e.Source == "rapport" || e.Type == rapport.TypeTrack && e.Name == rapport.EventDecisionShown:
		return step{}, "", false // what devices and we do
	case e.Type == rapport.TypeTrack:
		name = e.Name
	case e.Type == rapport.TypePage || e.Type == rapport.TypeScreen:
		if name = get(e.Properties, "category").Str(); name == "" {
			name = e.Name
		}
		if name == "" {
			name = e.Type.String()
		}
	}
	s = step{at: min(e.Timestamp, now), bought: e.Type == rapport.TypeTrack && e.Name == event}
	if name != "" {
		s.name = hash32(name)
	}
	return s, name, true
}

// settingOf reads where a session comes from.
func settingOf(e *rapport.Event) (texts [settings]string) {
	texts[settingSource] = e.Source
	for k, v := range e.Context.All() {
		switch string(k) {
		case "device":
			if f, ok := v.Object(); ok {
				texts[settingDevice] = get(f, "type").Str()
			}
		case "os":
			if f, ok := v.Object(); ok {
				texts[settingSystem] = get(f, "name").Str()
			}
		case "campaign":
			if f, ok := v.Object(); ok {
				if texts[settingCampaign] = get(f, "medium").Str(); texts[settingCampaign] == "" {
					texts[settingCampaign] = get(f, "source").Str()
				}
			}
		}
	}
	return texts
}

// hash32 names a text by a number that is not 0.
func hash32(s string) uint32 {
	h := uint32(hashName(s) >> 32)
	return max(h, 1)
}

// Apply implements engine.State.
func (s *Sessions) Apply(c *engine.Context, e *rapport.Event) {
	if e.Type == rapport.TypeSystem || c.Entity.Rank() == rapport.RankItem {
		return
	}
	config := configOf(c.Config)
	x, _, ok := stepOf(config.purchase(), e, c.Time)
	if !ok {
		return
	}
	if *s == (Sessions{}) {
		s.what = config.what
	}
	if s.begins(x.at) {
		for i, text := range settingOf(e) {
			if text != "" {
				x.setting[i] = hash32(text)
			}
		}
	}
	s.take(x)
	if s.what != config.what {
		bought, _ := c.State(FoldPurchases).(*Purchases)
		s.recount(config, bought)
	}
}

// recount takes what was bought earlier from the days kept by what counts as a
// purchase now, after a change of that, to the day. While history is still read
// for it, they are counted again with the next event.
func (s *Sessions) recount(config *Config, bought *Purchases) {
	s.orders, s.order, s.what = 0, 0, config.what
	if config.building || bought == nil {
		s.what = 0
	}
	event := config.purchase()
	i := slices.IndexFunc(config.purchased, func(c counted) bool { return c.doc.Event == event })
	if i < 0 || bought == nil {
		return
	}
	if days := bought.in(config.purchased[i].key); days != nil {
		for _, d := range days.days {
			if d.orders > 0 {
				s.orders = add32(s.orders, d.orders)
				s.order = min(int64(d.day)*86_400_000+43_200_000, s.last) // about noon
			}
		}
	}
}

// begins reports whether a step at a moment begins a session.
func (s *Sessions) begins(at int64) bool { return s.start == 0 || at > s.last+sessionGap }

// running reports whether the session goes on at a moment.
func (s *Sessions) running(at int64) bool {
	return s.start != 0 && at >= s.start && at <= s.last+sessionGap
}

// take goes one step on.
func (s *Sessions) take(x step) {
	if x.bought {
		s.orders = add32(s.orders, 1)
		s.order = max(s.order, x.at)
	}
	switch {
	case s.begins(x.at):
		if s.start != 0 {
			s.visits, s.before = add32(s.visits, 1), s.last
		}
		s.start, s.last, s.setting = x.at, x.at, x.setting
		s.clear()
	case x.at < s.start-sessionGap:
		return // told late, of an earlier session
	}
	if x.bought { // what follows is on its way to the next purchase
		s.start, s.last = max(s.last, x.at), max(s.last, x.at)
		s.clear()
		return
	}
	s.start = min(s.start, x.at)
	attention := x.at - s.last
	if attention >= 0 && s.at >= 0 {
		t := &s.steps[s.at]
		t.ms = add32(t.ms, uint32(min(attention, sessionGap)))
	}
	s.last = max(s.last, x.at)
	if x.name == 0 {
		return
	}
	s.events = add32(s.events, 1)
	i := s.find(x.name)
	if i < 0 && s.n < maxSteps {
		i = int(s.n)
		s.steps[i] = taken{name: x.name}
		s.n++
	}
	if i >= 0 {
		s.steps[i].count = add32(s.steps[i].count, 1)
	}
	if attention >= 0 {
		s.at = int8(i)
	}
}

func (s *Sessions) clear() { s.events, s.n, s.at = 0, 0, -1 }

func (s *Sessions) find(name uint32) int {
	for i := range s.steps[:s.n] {
		if s.steps[i].name == name {
			return i
		}
	}
	return -1
}

// Merge implements engine.State.
func (s *Sessions) Merge(other engine.State) {
	o := other.(*Sessions)
	switch {
	case o.start == 0 && o.orders == 0:
		return
	case s.start == 0 && s.orders == 0:
		*s = *o
		return
	}
	a, b := *s, *o // a is the later one
	if b.last > a.last || b.last == a.last && b.start > a.start {
		a, b = b, a
	}
	visits, orders, order := add32(a.visits, b.visits), add32(a.orders, b.orders), max(a.order, b.order)
	before := max(a.before, b.before)
	if a.start <= b.last+sessionGap && b.start != 0 { // one session under two names
		for _, t := range b.steps[:b.n] {
			i := a.find(t.name)
			if i < 0 && a.n < maxSteps {
				i = int(a.n)
				a.steps[i] = taken{name: t.name}
				a.n++
			}
			if i >= 0 {
				a.steps[i].count, a.steps[i].ms = add32(a.steps[i].count, t.count), add32(a.steps[i].ms, t.ms)
			}
		}
		a.events = add32(a.events, b.events)
		if b.start < a.start {
			a.start, a.setting = b.start, b.setting
		}
	} else if b.start != 0 {
		visits, before = add32(visits, 1), max(before, b.last)
	}
	*s = a
	s.visits, s.orders, s.order, s.before = visits, orders, order, before
	if a.what != b.what {
		s.what = 0
	}
}

// AppendBinary implements engine.State.
func (s *Sessions) AppendBinary(b []byte) []byte {
	if s.start == 0 && s.orders == 0 {
		return b
	}
	b = binary.AppendVarint(b, s.last)
	for _, before := range [...]int64{s.start, s.before, s.order} {
		b = binary.AppendVarint(b, s.last-before)
	}
	for _, n := range [...]uint32{s.visits, s.orders, s.events} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for _, h := range s.setting {
		b = binary.AppendUvarint(b, uint64(h))
	}
	b = binary.AppendUvarint(b, uint64(s.what))
	b = append(b, s.n, byte(s.at))
	for _, t := range s.steps[:s.n] {
		b = binary.LittleEndian.AppendUint32(b, t.name)
		b = binary.AppendUvarint(b, uint64(t.count))
		b = binary.AppendUvarint(b, uint64(t.ms))
	}
	return b
}

// DecodeBinary implements engine.State.
func (s *Sessions) DecodeBinary(b []byte) error {
	*s = Sessions{}
	if len(b) == 0 {
		return nil
	}
	d := decoder{b: b}
	s.last = d.int()
	for _, p := range [...]*int64{&s.start, &s.before, &s.order} {
		*p = s.last - d.int()
	}
	for _, p := range [...]*uint32{&s.visits, &s.orders, &s.events} {
		*p = uint32(d.uint(math.MaxUint32))
	}
	for i := range s.setting {
		s.setting[i] = uint32(d.uint(math.MaxUint32))
	}
	s.what = uint32(d.uint(math.MaxUint32))
	s.n, s.at = d.byte(), int8(d.byte())
	if s.n > maxSteps || s.at < -1 || s.at >= int8(s.n) {
		d.fail()
		s.n = 0
	}
	for i := range s.steps[:s.n] {
		if len(d.b) < 4 {
			d.fail()
			break
		}
		s.steps[i].name = binary.LittleEndian.Uint32(d.b)
		d.b = d.b[4:]
		s.steps[i].count, s.steps[i].ms = uint32(d.uint(math.MaxUint32)), uint32(d.uint(math.MaxUint32))
	}
	err := d.done("sessions")
	if err != nil || s.start == 0 && s.orders == 0 {
		*s = Sessions{}
	}
	return err
}

// HashStep returns the number under which a kind of step is kept.
func HashStep(name string) uint32 { return hash32(name) }
