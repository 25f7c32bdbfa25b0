package decide

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
)

// writer appends the primitives of this room's binary forms. Texts that
// repeat (rules, reasons, names of contributions) are written once.
type writer struct {
	b     []byte
	known []string
}

func (w *writer) uint(x uint64)   { w.b = binary.AppendUvarint(w.b, x) }
func (w *writer) int(x int64)     { w.b = binary.AppendVarint(w.b, x) }
func (w *writer) float(x float64) { w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(x)) }

func (w *writer) small(x float64) {
	w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(float32(x)))
}

func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) bytes(p []byte) {
	w.uint(uint64(len(p)))
	w.b = append(w.b, p...)
}

func (w *writer) bool(x bool) {
	if x {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

// maxKnown bounds the table of repeated texts, and so the search in it.
const maxKnown = 64

// repeat writes a text that is likely to come again: 0 and the text the first
// time, its number from 1 later.
func (w *writer) repeat(s string) {
	if i := slices.Index(w.known, s); i >= 0 {
		w.uint(uint64(i) + 1)
		return
	}
	w.uint(0)
	w.text(s)
	if len(w.known) < maxKnown {
		w.known = append(w.known, s)
	}
}

// reader reads what writer wrote. After a failure it stays bad and returns
// zeros, so that a caller checks once. What it returns is copied.
type reader struct {
	b     []byte
	known []string
	bad   bool
}

func (r *reader) fail() { r.bad, r.b = true, nil }

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) uint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) int() int64 {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) float() float64 {
	if p := r.take(8); p != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(p))
	}
	return 0
}

func (r *reader) small() float64 {
	if p := r.take(4); p != nil {
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(p)))
	}
	return 0
}

func (r *reader) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) bool() bool { return r.byte() == 1 }

func (r *reader) text() string { return string(r.take(r.uint())) }

func (r *reader) fields() rapport.Fields {
	p := r.take(r.uint())
	if len(p) == 0 {
		return nil
	}
	f := rapport.Fields(slices.Clone(p))
	if !f.Valid(32) {
		r.fail()
		return nil
	}
	return f
}

func (r *reader) repeat() string {
	i := r.uint()
	if i > 0 {
		if i > uint64(len(r.known)) {
			r.fail()
			return ""
		}
		return r.known[i-1]
	}
	s := r.text()
	if len(r.known) < maxKnown {
		r.known = append(r.known, s)
	}
	return s
}

// count reads the length of a list whose elements take at least size bytes
// each, so that a damaged count cannot make us allocate without bound.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) done(what string) error {
	if r.bad || len(r.b) != 0 {
		return rapport.Errorf(rapport.Internal, "%s is damaged", what)
	}
	return nil
}

const decisionCodec = 3

const (
	bitHoldout = 1 << iota
)

const (
	bitExcluded = 1 << iota
	bitScored
	bitTerms
)

// AppendDecision appends the binary form of d, the Body of a "Decision Made"
// event. Figures of candidates are kept as 32-bit floats.
func AppendDecision(b []byte, d *rapport.Decision) []byte {
	w := writer{b: append(b, decisionCodec)}
	var bits uint64
	if d.Holdout {
		bits |= bitHoldout
	}
	w.uint(bits)
	w.text(d.ID)
	w.b = append(w.b, d.Person[:]...)
	w.text(d.Placement)
	w.int(d.Time)
	w.int(d.Config)
	w.int(d.Model)
	w.b = binary.LittleEndian.AppendUint64(w.b, d.Seed)
	w.text(d.Cause)
	w.text(d.Nothing)
	w.float(d.Idle)
	w.bytes(d.Features)
	w.bytes(d.Context)
	w.choices(d.Items)
	w.choices(d.Withheld)
	w.uint(uint64(len(d.Candidates)))
	for i := range d.Candidates {
		w.candidate(&d.Candidates[i])
	}
	return w.b
}

func (w *writer) choices(cs []rapport.Choice) {
	w.uint(uint64(len(cs)))
	for i := range cs {
		c := &cs[i]
		w.text(c.Action)
		w.repeat(string(c.Type))
		w.uint(uint64(c.Slot))
		w.float(c.Value)
		w.float(c.Propensity)
		w.bool(c.Explored)
		w.repeat(c.Channel)
		w.repeat(c.Purpose)
		w.text(c.Reason)
		w.bytes(c.Content)
		w.repeat(c.Lever)
		if c.Lever != "" {
			w.small(c.LeverCost)
		}
		w.bool(c.Sending != nil)
		if s := c.Sending; s != nil {
			w.uint(uint64(s.Hour))
			w.small(s.ChannelPropensity)
			w.small(s.HourPropensity)
			w.uint(uint64(s.Alike))
			w.text(s.Reason)
		}
	}
}

func (w *writer) candidate(c *rapport.Candidate) {
	w.text(c.Action)
	var bits byte
	if c.Excluded != "" {
		bits |= bitExcluded
	}
	if c.Mean != 0 || c.Score != 0 || c.Propensity != 0 {
		bits |= bitScored
	}
	if len(c.Terms) > 0 {
		bits |= bitTerms
	}
	w.b = append(w.b, bits)
	if bits&bitExcluded != 0 {
		w.repeat(c.Excluded)
		w.repeat(c.Detail)
	}
	if bits&bitScored != 0 {
		w.small(c.Mean)
		w.small(c.Score)
		w.small(c.Propensity)
	}
	if bits&bitTerms != 0 {
		w.uint(uint64(len(c.Terms)))
		for _, t := range c.Terms {
			w.repeat(t.Name)
			w.small(t.Value)
		}
	}
}

// DecodeDecision reads the binary form. The decision does not refer to b. The
// error is Internal: a body that does not read is damage.
func DecodeDecision(b []byte) (*rapport.Decision, error) { return decodeDecision(b, true) }

// decodeDecision leaves the candidates out unless all is set: outcomes are
// attributed without them, and they are most of the record.
func decodeDecision(b []byte, all bool) (*rapport.Decision, error) {
	r := reader{b: b}
	version := r.byte()
	if (version < 1 || version > decisionCodec) && !r.bad {
		return nil, rapport.Errorf(rapport.Internal, "decision codec %d is not known to this version", version)
	}
	d := &rapport.Decision{Holdout: r.uint()&bitHoldout != 0}
	d.ID = r.text()
	copy(d.Person[:], r.take(16))
	d.Placement = r.text()
	d.Time, d.Config, d.Model = r.int(), r.int(), r.int()
	if p := r.take(8); p != nil {
		d.Seed = binary.LittleEndian.Uint64(p)
	}
	d.Cause, d.Nothing = r.text(), r.text()
	d.Idle = r.float()
	d.Features, d.Context = r.fields(), r.fields()
	d.Items, d.Withheld = r.choices(version), r.choices(version)
	if !all {
		if r.bad {
			return nil, r.done("decision record")
		}
		return d, nil
	}
	if n := r.count(2); n > 0 {
		d.Candidates = make([]rapport.Candidate, n)
		for i := range d.Candidates {
			r.candidate(&d.Candidates[i])
		}
	}
	if err := r.done("decision record"); err != nil {
		return nil, err
	}
	return d, nil
}

func (r *reader) choices(version byte) []rapport.Choice {
	n := r.count(8)
	if n == 0 {
		return nil
	}
	cs := make([]rapport.Choice, n)
	for i := range cs {
		cs[i] = rapport.Choice{
			Action: r.text(), Type: rapport.ActionType(r.repeat()), Slot: int(r.uint()), Value: r.float(), Propensity: r.float(),
			Explored: r.bool(), Channel: r.repeat(), Purpose: r.repeat(), Reason: r.text(), Content: r.fields(),
		}
		if version > 1 {
			if cs[i].Lever = r.repeat(); cs[i].Lever != "" {
				cs[i].LeverCost = r.small()
			}
		}
		if version > 2 && r.bool() {
			cs[i].Sending = &rapport.Sending{
				Hour: int(r.uint()), ChannelPropensity: r.small(), HourPropensity: r.small(), Alike: int(r.uint()), Reason: r.text(),
			}
		}
	}
	return cs
}

func (r *reader) candidate(c *rapport.Candidate) {
	c.Action = r.text()
	bits := r.byte()
	if bits&bitExcluded != 0 {
		c.Excluded, c.Detail = r.repeat(), r.repeat()
	}
	if bits&bitScored != 0 {
		c.Mean, c.Score, c.Propensity = r.small(), r.small(), r.small()
	}
	if bits&bitTerms != 0 {
		c.Terms = make([]rapport.Term, r.count(5))
		for i := range c.Terms {
			c.Terms[i] = rapport.Term{Name: r.repeat(), Value: r.small()}
		}
	}
}
