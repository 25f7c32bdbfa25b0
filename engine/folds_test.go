package engine_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// counts is a PerFragment fold: how often each event happened, and the message
// ids seen, so that a lost or repeated event shows.
type counts struct {
	version uint32
	cold    bool
}

func (f counts) Name() string {
	if f.cold {
		return "cold"
	}
	return "counts"
}
func (f counts) Version() uint32     { return max(f.version, 1) }
func (f counts) Scope() engine.Scope { return engine.PerFragment }
func (f counts) New() engine.State   { return &countState{weight: int64(f.Version()), cold: f.cold} }

type coldCounts struct{ counts }

func (coldCounts) Wants(_ *engine.Context, e *rapport.Event) bool {
	return strings.HasPrefix(e.Name, "a")
}

type countState struct {
	weight int64
	cold   bool     // grows out of the record of its entity now and then, and back into it
	names  []string // sorted
	n      []int64
}

func (s *countState) add(name string, n int64) {
	i, found := slices.BinarySearch(s.names, name)
	if !found {
		s.names = slices.Insert(s.names, i, strings.Clone(name))
		s.n = slices.Insert(s.n, i, 0)
	}
	s.n[i] += n
}

func (s *countState) total() (n int64) {
	for _, v := range s.n {
		n += v
	}
	return n
}

func (s *countState) Apply(c *engine.Context, e *rapport.Event) {
	if e.Type == rapport.TypeSystem {
		return
	}
	s.add(e.Name, s.weight)
	key := binary.BigEndian.AppendUint64(nil, uint64(e.Timestamp))
	c.PutRow(append(key, e.MessageID...), []byte(e.MessageID))
}

func (s *countState) Merge(other engine.State) {
	o := other.(*countState)
	for i, name := range o.names {
		s.add(name, o.n[i])
	}
}

func (s *countState) AppendBinary(b []byte) []byte {
	for i, name := range s.names {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
		b = binary.AppendVarint(b, s.n[i])
	}
	if s.cold && s.total()%5 > 2 {
		b = append(b, make([]byte, 300)...)
	}
	return b
}

func (s *countState) DecodeBinary(b []byte) error {
	s.names, s.n = s.names[:0], s.n[:0]
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if n == 0 && k == 1 {
			return nil // what makes it large
		}
		if k <= 0 || n > uint64(len(b)-k) {
			return fmt.Errorf("count state")
		}
		s.names = append(s.names, string(b[k:k+int(n)]))
		b = b[k+int(n):]
		v, k := binary.Varint(b)
		if k <= 0 {
			return fmt.Errorf("count state")
		}
		s.n = append(s.n, v)
		b = b[k:]
	}
	return nil
}

// diary is a PerEntity fold that does everything a fold may do: it keeps the
// order of events, sets timers, causes effects, emits to friends and rewards.
type diary struct{ version uint32 }

func (diary) Name() string        { return "diary" }
func (f diary) Version() uint32   { return max(f.version, 1) }
func (diary) Scope() engine.Scope { return engine.PerEntity }
func (f diary) New() engine.State { return &diaryState{version: f.Version()} }

type diaryState struct {
	version uint32
	lines   []string
	events  int64
	fires   int64
	results int64
	draw    uint64
}

const idle = 5_000

func (s *diaryState) Apply(c *engine.Context, e *rapport.Event) {
	if e.Type == rapport.TypeSystem {
		if e.Name == "result" {
			s.results++
			c.CancelEffect(e.MessageID)
		}
		s.line("got " + e.Name)
		return
	}
	s.events++
	s.draw ^= c.Rand().Uint64()
	n := c.State("counts").(*countState).total()
	s.line(fmt.Sprintf("%s %d", e.Name, n))
	c.SetTimer(c.Time+idle, "idle")
	if s.events%3 == 0 {
		c.SetTimer(c.Time+idle/5, "soon")
	}
	if s.events%2 == 0 {
		c.Effect(engine.Effect{Kind: "mail", Key: fmt.Sprintf("%s/%s", c.Entity, e.MessageID), Payload: []byte(e.MessageID)})
	}
	if friend, ok := e.Properties.Get("friend"); ok {
		var id rapport.ID
		if err := id.UnmarshalText([]byte(friend.Str())); err == nil {
			c.Emit(id, &rapport.Event{Type: rapport.TypeSystem, Name: "hello", Timestamp: e.Timestamp, ReceivedAt: e.ReceivedAt})
		}
	}
	if s.events%5 == 0 {
		c.Reward([]byte(e.MessageID))
	}
	c.PutRow([]byte(fmt.Sprintf("%06d", s.events)), []byte(e.Name))
	if s.events > 8 {
		c.DeleteRows(nil, []byte(fmt.Sprintf("%06d", s.events-8)))
	}
}

func (s *diaryState) Fire(c *engine.Context, name string) {
	s.fires++
	s.line(fmt.Sprintf("%s at %d", name, c.Time))
	if name == "idle" {
		c.Effect(engine.Effect{Kind: "nudge", Key: fmt.Sprintf("%s/%d", c.Entity, c.Time), NotBefore: c.Time + 100})
	}
}

func (s *diaryState) line(l string) {
	if s.lines = append(s.lines, l); len(s.lines) > 12 {
		s.lines = slices.Delete(s.lines, 0, 1)
	}
}

func (s *diaryState) Merge(other engine.State) {
	o := other.(*diaryState)
	s.events += o.events
	s.fires += o.fires
	s.results += o.results
	s.draw ^= o.draw
	for _, l := range o.lines {
		s.line("+" + l)
	}
}

func (s *diaryState) AppendBinary(b []byte) []byte {
	if s.events == 0 && s.fires == 0 && s.results == 0 && len(s.lines) == 0 {
		return b
	}
	for _, v := range [...]int64{s.events, s.fires, s.results, int64(s.draw), int64(len(s.lines))} {
		b = binary.AppendVarint(b, v)
	}
	for _, l := range s.lines {
		b = binary.AppendUvarint(b, uint64(len(l)))
		b = append(b, l...)
	}
	return b
}

func (s *diaryState) DecodeBinary(b []byte) error {
	*s = diaryState{version: s.version, lines: s.lines[:0]}
	if len(b) == 0 {
		return nil
	}
	var draw, n int64
	for _, v := range [...]*int64{&s.events, &s.fires, &s.results, &draw, &n} {
		x, k := binary.Varint(b)
		if k <= 0 {
			return fmt.Errorf("diary state")
		}
		*v = x
		b = b[k:]
	}
	s.draw = uint64(draw)
	for range n {
		l, k := binary.Uvarint(b)
		if k <= 0 || l > uint64(len(b)-k) {
			return fmt.Errorf("diary state")
		}
		s.lines = append(s.lines, string(b[k:k+int(l)]))
		b = b[k+int(l):]
	}
	return nil
}
