package linkage

import (
	"fmt"
	"math"
	"slices"
)

// Model is what is learned from records: how often each level of likeness
// comes of one person and of strangers. It is plain data; equal files give equal
// models.
type Model struct {
	Schema Schema `json:"schema"`
	// Records and Matches are what it was learned from: records, and the pairs of
	// one person expected among them.
	Records int     `json:"records"`
	Matches float64 `json:"matches"`
	// Taught is how many decisions of people it was adjusted to; see [Model.Teach].
	Taught int `json:"taught,omitempty"`
	// Prior is the logarithm, base 2, of the odds that two records drawn at
	// random are of one person.
	Prior  float64        `json:"prior"`
	Fields []FieldWeights `json:"fields"`
}

// FieldWeights are a field's figures per level, from [Equal] to [Exchanged].
type FieldWeights struct {
	Match    [levels]float64 `json:"match"`    // shares among pairs of one person
	Stranger [levels]float64 `json:"stranger"` // shares among strangers
	// Agreeing are the shares among strangers whose given field agrees (Field.Given).
	Agreeing [levels]float64 `json:"agreeing"`
	// Bits are log2(match/stranger), made to fall with the level, and the same
	// for strangers whose given field agrees.
	Bits      [levels]float64 `json:"bits"`
	AgreeBits [levels]float64 `json:"agreeBits"`
	// Usual is the chance that strangers share the usual value; Common the shares
	// of values that are more frequent than that, by fingerprint.
	Usual  float64            `json:"usual"`
	Common map[uint64]float64 `json:"common,omitempty"`
}

// Check reports what makes a model read from outside unusable.
func (m *Model) Check() error {
	if len(m.Schema) == 0 || len(m.Schema) > MaxFields || len(m.Fields) != len(m.Schema) {
		return fmt.Errorf("a model has 1 to %d fields, each with its weights", MaxFields)
	}
	finite := func(xs ...float64) bool {
		for _, x := range xs {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				return false
			}
		}
		return true
	}
	if !finite(m.Prior) {
		return fmt.Errorf("the prior is not a number")
	}
	for i, f := range m.Schema {
		if f.Kind == 0 || int(f.Kind) >= len(kindNames) || f.Given < 0 || f.Given > i {
			return fmt.Errorf("field %q is of no kind that is known", f.Name)
		}
		w := &m.Fields[i]
		if !finite(w.Bits[:]...) || !finite(w.AgreeBits[:]...) || !finite(w.Usual) {
			return fmt.Errorf("the weights of field %q are not numbers", f.Name)
		}
	}
	return nil
}

// Step is one field's part in a score.
type Step struct {
	Field string  `json:"field"`
	Level Level   `json:"-"`
	Bits  float64 `json:"bits"`
	// Rarity is the part of Bits that comes from how rare or common the shared value is.
	Rarity float64 `json:"rarity,omitempty"`
}

// scorer scores pairs under a model.
type scorer struct {
	*Model
	given, surname, birth, email int
	// order is the fields, those that are cheap to compare first.
	order []int
	// most is the most bits each field can give at each level, rarity included.
	most [MaxFields][levels]float64
}

func newScorer(m *Model) scorer {
	f := m.Schema
	s := scorer{Model: m, given: f.of(Given), surname: f.of(Surname), birth: f.of(Date), email: f.of(Email)}
	for _, kinds := range [...][]Kind{{Date, Code}, {Given, Surname, Phone}, {Place, Email, Text}} {
		for i := range f {
			if slices.Contains(kinds, f[i].Kind) {
				s.order = append(s.order, i)
			}
		}
	}
	for i := range f {
		w := &m.Fields[i]
		for l := range levels {
			s.most[i][l] = w.Bits[l]
			if f[i].Given > 0 {
				s.most[i][l] = max(w.Bits[l], w.AgreeBits[l])
			}
		}
		if w.Usual > 0 {
			s.most[i][Equal] = max(s.most[i][Equal], w.Bits[Equal]+math.Log2(w.Stranger[Equal]/w.Usual))
		}
	}
	return s
}

// atLeast returns the score of two records, or false as soon as it is certain
// to be below least.
func (s *scorer) atLeast(a, b *view, least float64) (float64, bool) {
	var c comparison
	var hope [MaxFields]float64
	bound := s.Prior
	swap := s.mayBeExchanged(a, b)
	for i := range s.Schema {
		x, y := a.at(i), b.at(i)
		switch {
		case x == "" || y == "":
			c[i] = Missing
		case x == y:
			c[i] = Equal
			hope[i] = s.most[i][Equal]
		default:
			c[i] = Close
			if mine, theirs := a.mask(i).alone(b.mask(i)); mine+theirs > 4 {
				c[i] = Near
			}
			hope[i] = s.most[i][c[i]]
		}
		if swap && (i == s.given || i == s.surname) {
			hope[i] = max(hope[i], s.most[i][Exchanged], 0)
		}
		bound += hope[i]
	}
	if bound < least {
		return 0, false
	}
	for _, i := range s.order {
		if c[i] != Close && c[i] != Near {
			continue
		}
		c[i] = compareValues(s.Schema[i].Kind, a.at(i), b.at(i), a.mask(i), b.mask(i))
		if swap && (i == s.given || i == s.surname) {
			continue
		}
		if bound += s.most[i][c[i]] - hope[i]; bound < least {
			return 0, false
		}
	}
	s.Schema.exchanged(a, b, &c)
	total := s.total(&c, a, nil)
	return total, total >= least
}

// mayBeExchanged reports whether the characters allow that given name and
// surname stand in each other's place.
func (s *scorer) mayBeExchanged(a, b *view) bool {
	if s.given < 0 || s.surname < 0 {
		return false
	}
	x, y := a.mask(s.given).alone(b.mask(s.surname))
	v, w := a.mask(s.surname).alone(b.mask(s.given))
	return x+y <= 3 && v+w <= 3
}

// score returns the logarithm, base 2, of the odds that two records are of one
// person, the prior included. With steps it tells the parts.
func (s *scorer) score(a, b *view, steps *[]Step) float64 {
	var c comparison
	s.Schema.compare(a, b, &c)
	return s.total(&c, a, steps)
}

func (s *scorer) total(c *comparison, a *view, steps *[]Step) float64 {
	total := s.Prior
	for i := range s.Schema {
		if c[i] == Missing {
			if steps != nil {
				*steps = append(*steps, Step{Field: s.Schema[i].Name, Level: Missing})
			}
			continue
		}
		bits, rarity := s.bits(i, c, a.at(i))
		total += bits + rarity
		if steps != nil {
			*steps = append(*steps, Step{s.Schema[i].Name, c[i], bits + rarity, rarity})
		}
	}
	if most := s.ceiling(c); total > most {
		if steps != nil {
			*steps = append(*steps, Step{Field: Household, Level: Different, Bits: most - total})
		}
		return most
	}
	return total
}

// Household names the step of a score that takes back what shared circumstances gave.
const Household = "household"

// ceiling bounds what shared circumstances alone may prove: people of one
// household share address, name and telephone, and are not one person. Whose
// given name and birth date both differ is somebody else.
func (s *scorer) ceiling(c *comparison) float64 {
	if s.given >= 0 && s.birth >= 0 && c[s.given] == Different && c[s.birth] == Different && (s.email < 0 || c[s.email] > Close) {
		return -householdBits
	}
	return math.Inf(1)
}

const householdBits = 10

// bits returns a field's weight and the correction for the rarity of its value.
func (s *scorer) bits(i int, c *comparison, value string) (bits, rarity float64) {
	w := &s.Fields[i]
	bits = w.Bits[c[i]]
	if g := s.Schema[i].Given; g > 0 && c[g-1] == Equal {
		return w.AgreeBits[c[i]], 0
	}
	if c[i] == Equal && w.Usual > 0 {
		share := w.Usual
		if common, ok := w.Common[fingerprint(value)]; ok {
			share = common
		}
		rarity = math.Log2(w.Stranger[Equal] / share)
	}
	return bits, rarity
}

// fingerprint is a hash of a value that stays the same from run to run (FNV-1a, mixed).
func fingerprint(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>29
}
