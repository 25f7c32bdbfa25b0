package decide

import (
	"maps"
	"math"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// inputs are the features of one example or candidate in the form of a model.
type inputs struct {
	buffer [96]bandit.Feature
	x      []bandit.Feature
	fields []field
	z      bandit.Vector // along the axes, with what is of the action at hand
}

// field is one feature: its name, and where what it is encoded as ends.
type field struct {
	key []byte
	to  int
}

// of encodes features.
func (in *inputs) of(f rapport.Fields, b *bandit.Basis) {
	in.x, in.fields = in.buffer[:0], in.fields[:0]
	for k, v := range f.All() {
		in.x = encodeField(k, v, in.x)
		in.fields = append(in.fields, field{k, len(in.x)})
	}
	b.Project(in.x, &in.z)
}

// see sets what is of the action at hand.
func (in *inputs) see(o own) *bandit.Vector {
	copy(in.z[1:], o[:])
	return &in.z
}

// own are the inputs that differ from action to action: how often the person
// saw it of late, and how much of their interest goes to the categories or
// brands, and to the products, that it is about, and how dear that is.
type own [bandit.Own]float32

const (
	ownSeen = iota
	ownGroups
	ownProducts
	ownDear
	ownGiven
	ownAnswered
)

func owns(s Sight, m match, dear float32) own {
	return own{again(s.Seen), m[0], m[1], dear, often(s.Given), often(s.Answered)}
}

func often(times float64) float32 { return float32(math.Log1p(times)) }

func again(seen float64) float32 { return float32(min(seen, 20)) / 2 }

// How often the axes are found anew: after 64 examples, then whenever four
// times as many were seen, at last every 16,384. Of many examples a part counts.
const (
	firstAxes  = 64
	everyAxes  = 16_384
	allCounted = 2_000
	thinned    = 8
)

// notice counts what the features of examples look like, and now and then finds
// the axes along which they differ.
func (d *draft) notice(x []bandit.Feature) {
	d.examples++
	n := d.examples
	if n > allCounted && n%thinned != 0 {
		return
	}
	switch {
	case d.scatter == nil:
		d.scatter = new(bandit.Scatter)
	case !d.editing[d.scatter]:
		c := *d.scatter
		d.scatter = &c
	}
	d.editing[d.scatter] = true
	d.scatter.Add(x)
	due := n%everyAxes == 0
	for k := int64(firstAxes); k < everyAxes; k *= 4 {
		due = due || n == k
	}
	if !due {
		return
	}
	next := d.scatter.Basis()
	turn := d.basis.To(next)
	d.basis = next
	if n >= everyAxes {
		d.scatter.Scale(0.5)
	}
	was := d.relief
	is := turn.Relief(was)
	for _, key := range slices.SortedFunc(maps.Keys(d.arms), compareArms) {
		a := d.editArm(key, d.arms[key].at)
		for i := range a.beliefs {
			b := &a.beliefs[i]
			b.weights.Turn(turn, key.prior(b.outcome, was), key.prior(b.outcome, is))
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(d.shared), compareBeliefs) {
		d.editShared(key, d.shared[key].at).weights.Turn(turn, key.prior(was), key.prior(is))
	}
	d.relief = is
	d.relieve()
}

// relieve learns from the clicks on all actions along which axes these differ.
func (d *draft) relieve() {
	var actions []*bandit.Weights
	for _, key := range slices.SortedFunc(maps.Keys(d.arms), compareArms) {
		if b := find(d.arms[key].beliefs, clicked); b != nil && key.placement == everywhere {
			actions = append(actions, &b.weights)
		}
	}
	d.relearn(bandit.Relieve(actions, clickPriors.own))
}

// relearn rewrites all beliefs about clicks for another relief.
func (d *draft) relearn(is *bandit.Relief) {
	was := d.relief
	for _, key := range slices.SortedFunc(maps.Keys(d.arms), compareArms) {
		if b := find(d.arms[key].beliefs, clicked); b == nil || b.weights.Slopes == nil {
			continue
		}
		b := find(d.editArm(key, d.arms[key].at).beliefs, clicked)
		b.weights.Relearn(key.prior(clicked, was), key.prior(clicked, is))
	}
	for _, key := range slices.SortedFunc(maps.Keys(d.shared), compareBeliefs) {
		if key.outcome == clicked {
			d.editShared(key, d.shared[key].at).weights.Relearn(key.prior(was), key.prior(is))
		}
	}
	d.relief = is
}
