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
	// heads and next find a known text: the newest of each hash from 1, and of
	// each text the one before of the same hash.
	heads [64]uint16
	next  []uint16
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

// maxKnown bounds the table of repeated texts. One that knew fewer wrote the
// rest again each time, which reads alike.
const maxKnown = 1000

// repeat writes a text that is likely to come again: 0 and the text the first
// time, its number from 1 later.
func (w *writer) repeat(s string) {
	h := uint(len(s))
	if h > 0 {
		h += uint(s[h/2])*5 + uint(s[h-1])*11
	}
	head := &w.heads[h%uint(len(w.heads))]
	for i := *head; i > 0; i = w.next[i-1] {
		if w.known[i-1] == s {
			w.uint(uint64(i))
			return
		}
	}
	w.uint(0)
	w.text(s)
	if len(w.known) < maxKnown {
		w.known, w.next = append(w.known, s), append(w.next, *head)
		*head = uint16(len(w.known))
	}
}

// reader reads what writer wrote. After a failure it stays bad and returns
// zeros, so that a caller checks once. What it returns is copied, but for Take and Bytes.
type reader struct {
	rapport.Decoder
	known []string
}

func newReader(b []byte) reader { return reader{Decoder: rapport.NewDecoder(b)} }

func (r *reader) small() float64 { return float64(math.Float32frombits(r.Uint32())) }

func (r *reader) fields() rapport.Fields {
	p := r.Take(r.Uvarint())
	if len(p) == 0 {
		return nil
	}
	f := rapport.Fields(slices.Clone(p))
	if !f.Valid(32) {
		r.Fail()
		return nil
	}
	return f
}

func (r *reader) repeat() string {
	i := r.Uvarint()
	if i > 0 {
		if i > uint64(len(r.known)) {
			r.Fail()
			return ""
		}
		return r.known[i-1]
	}
	s := r.Text()
	if len(r.known) < maxKnown {
		r.known = append(r.known, s)
	}
	return s
}

func (r *reader) done(what string) error {
	if !r.Done() {
		return rapport.Errorf(rapport.Internal, "%s is damaged", what)
	}
	return nil
}

const decisionCodec = 4

const (
	bitHoldout = 1 << iota
)

const (
	bitExcluded = 1 << iota
	bitScored
	bitTerms
	bitPropensity // it differs from the one before
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
	var last neighbour
	for i := range d.Candidates {
		w.candidate(&d.Candidates[i], &last)
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

// neighbour is what a candidate is written beside: of hundreds, many are named
// alike and equally unlikely.
type neighbour struct {
	action     string
	propensity float64 // of the last one not excluded
}

// maxShared bounds how much of a name is taken from the neighbour's.
const maxShared = 255

// expected is the propensity that need not be written.
func (n *neighbour) expected(bits byte) float64 {
	if bits&bitExcluded != 0 {
		return 0
	}
	return n.propensity
}

func (n *neighbour) become(c *rapport.Candidate) {
	if n.action = c.Action; c.Excluded == "" {
		n.propensity = c.Propensity
	}
}

func (w *writer) candidate(c *rapport.Candidate, last *neighbour) {
	var bits byte
	if c.Excluded != "" {
		bits |= bitExcluded
	}
	if c.Mean != 0 || c.Score != 0 {
		bits |= bitScored
	}
	if len(c.Terms) > 0 {
		bits |= bitTerms
	}
	if c.Propensity != last.expected(bits) {
		bits |= bitPropensity
	}
	same, most := 0, min(len(c.Action), len(last.action), maxShared)
	for same < most && c.Action[same] == last.action[same] {
		same++
	}
	last.become(c)
	w.b = append(w.b, bits)
	w.uint(uint64(same))
	w.text(c.Action[same:])
	if bits&bitExcluded != 0 {
		w.repeat(c.Excluded)
		w.repeat(c.Detail)
	}
	if bits&bitScored != 0 {
		w.small(c.Mean)
		w.small(c.Score)
	}
	if bits&bitPropensity != 0 {
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

// DecodeGiven is [DecodeDecision] without the candidates, which are most of the
// record: what was given and withheld, and what it was decided from.
func DecodeGiven(b []byte) (*rapport.Decision, error) { return decodeDecision(b, false) }

// decodeDecision leaves the candidates out unless all is set: outcomes are
// attributed without them, and they are most of the record.
func decodeDecision(b []byte, all bool) (*rapport.Decision, error) {
	r := newReader(b)
	version := r.Byte()
	if (version < 1 || version > decisionCodec) && !r.Failed() {
		return nil, rapport.Errorf(rapport.Internal, "decision codec %d is not known to this version", version)
	}
	d := &rapport.Decision{Holdout: r.Uvarint()&bitHoldout != 0}
	d.ID = r.Text()
	copy(d.Person[:], r.Take(16))
	d.Placement = r.Text()
	d.Time, d.Config, d.Model = r.Varint(), r.Varint(), r.Varint()
	if p := r.Take(8); p != nil {
		d.Seed = binary.LittleEndian.Uint64(p)
	}
	d.Cause, d.Nothing = r.Text(), r.Text()
	d.Idle = r.Float()
	d.Features, d.Context = r.fields(), r.fields()
	d.Items, d.Withheld = r.choices(version), r.choices(version)
	if !all {
		if r.Failed() {
			return nil, r.done("decision record")
		}
		return d, nil
	}
	if n := r.Count(2); n > 0 {
		d.Candidates = make([]rapport.Candidate, n)
		var last neighbour
		for i := range d.Candidates {
			if version > 3 {
				r.candidate(&d.Candidates[i], &last)
			} else {
				r.plainCandidate(&d.Candidates[i])
			}
		}
	}
	if err := r.done("decision record"); err != nil {
		return nil, err
	}
	return d, nil
}

func (r *reader) choices(version byte) []rapport.Choice {
	n := r.Count(8)
	if n == 0 {
		return nil
	}
	cs := make([]rapport.Choice, n)
	for i := range cs {
		cs[i] = rapport.Choice{
			Action: r.Text(), Type: rapport.ActionType(r.repeat()), Slot: int(r.Uvarint()), Value: r.Float(), Propensity: r.Float(),
			Explored: r.Bool(), Channel: r.repeat(), Purpose: r.repeat(), Reason: r.Text(), Content: r.fields(),
		}
		if version > 1 {
			if cs[i].Lever = r.repeat(); cs[i].Lever != "" {
				cs[i].LeverCost = r.small()
			}
		}
		if version > 2 && r.Bool() {
			cs[i].Sending = &rapport.Sending{
				Hour: int(r.Uvarint()), ChannelPropensity: r.small(), HourPropensity: r.small(), Alike: int(r.Uvarint()), Reason: r.Text(),
			}
		}
	}
	return cs
}

func (r *reader) candidate(c *rapport.Candidate, last *neighbour) {
	bits := r.Byte()
	same := r.Uvarint()
	if same > maxShared || same > uint64(len(last.action)) {
		r.Fail()
		return
	}
	c.Action = last.action[:same] + r.Text()
	if bits&bitExcluded != 0 {
		c.Excluded, c.Detail = r.repeat(), r.repeat()
	}
	if bits&bitScored != 0 {
		c.Mean, c.Score = r.small(), r.small()
	}
	if c.Propensity = last.expected(bits); bits&bitPropensity != 0 {
		c.Propensity = r.small()
	}
	r.terms(c, bits)
	last.become(c)
}

// plainCandidate reads one as it was written before codec 4: by itself.
func (r *reader) plainCandidate(c *rapport.Candidate) {
	c.Action = r.Text()
	bits := r.Byte()
	if bits&bitExcluded != 0 {
		c.Excluded, c.Detail = r.repeat(), r.repeat()
	}
	if bits&bitScored != 0 {
		c.Mean, c.Score, c.Propensity = r.small(), r.small(), r.small()
	}
	r.terms(c, bits)
}

func (r *reader) terms(c *rapport.Candidate, bits byte) {
	if bits&bitTerms != 0 {
		c.Terms = make([]rapport.Term, r.Count(5))
		for i := range c.Terms {
			c.Terms[i] = rapport.Term{Name: r.repeat(), Value: r.small()}
		}
	}
}
