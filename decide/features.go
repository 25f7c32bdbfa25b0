package decide

import (
	"math"
	"strconv"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// Limits of features.
const (
	maxFeatures      = 16  // plain values of the context
	maxKnownFeatures = 24  // values of the person
	maxFeature       = 1e5 // a larger number could name somebody
	maxFeatureName   = 64
)

// Features are the default features: hour and weekday where the person is, and
// up to 16 plain values of the context. They go into the rewards topic, which
// knows no people and so is not reached by an erasure: a text is therefore kept
// as a 32-bit hash, and a number large enough to name somebody not at all.
func Features(env condition.Env, context rapport.Fields) rapport.Fields {
	now := env.Now()
	f := make(rapport.Fields, 0, 256)
	f = rapport.AppendField(f, "hour", rapport.NumberValue(float64(now.Hour())))
	f = rapport.AppendField(f, "weekday", rapport.NumberValue(float64(now.Weekday())))
	n := 0
	for k, v := range context.All() {
		if n == maxFeatures {
			break
		}
		if len(k) > 32 {
			continue
		}
		if v, ok := plain(v); ok {
			f = rapport.AppendField(f, "context."+string(k), v)
			n++
		}
	}
	return f
}

// plain returns a value as a feature: a text as its hash.
func plain(v rapport.Value) (rapport.Value, bool) {
	if text, ok := v.Text(); ok {
		return rapport.StringValue(strconv.FormatUint(mix(hashBytes(text))>>32, 36)), true
	}
	if x, ok := v.Number(); ok {
		return v, x > -maxFeature && x < maxFeature
	}
	_, ok := v.Bool()
	return v, ok
}

// known is a value of the person that is a feature: one that some condition
// asks about, or that the policy names.
type known struct {
	name    string
	root    condition.Root
	path    []string
	segment string // instead of a path
}

// personal appends the values of the person that models learn from.
func (c *Config) personal(f rapport.Fields, env condition.Env) rapport.Fields {
	for i := range c.features {
		k := &c.features[i]
		if k.segment != "" {
			if d := env.Degree(k.segment); d > 0 {
				f = rapport.AppendField(f, k.name, rapport.NumberValue(math.Round(8*d)/8))
			}
			continue
		}
		if v, ok := plain(env.Value(k.root, k.path)); ok {
			f = rapport.AppendField(f, k.name, v)
		}
	}
	return f
}

// Inputs returns the features of a query, and how often an action was seen, in
// the form models take them before axes are found in them.
func Inputs(f rapport.Fields, seen float64) []bandit.Feature {
	var buffer [96]bandit.Feature
	return append(encode(f, buffer[:0]), bandit.Feature{Slot: seenSlot, Value: again(seen)})
}

// seenSlot is the slot that no feature is hashed into.
const seenSlot = bandit.Slots - 1

// encode turns features into the inputs of a model: a text or truth value has a
// slot of its own, so has each range of a number, and interests (likes) have
// one each with their strength.
func encode(f rapport.Fields, x []bandit.Feature) []bandit.Feature {
	for k, v := range f.All() {
		x = encodeField(k, v, x)
	}
	return x
}

func encodeField(k []byte, v rapport.Value, x []bandit.Feature) []bandit.Feature {
	h := hashBytes(k)
	if text, ok := v.Text(); ok {
		if string(k) == likesName {
			return encodeLikes(text, x)
		}
		return append(x, bandit.Feature{Slot: slot(h ^ mix(hashBytes(text))), Value: plainly})
	}
	if n, ok := v.Number(); ok {
		return append(x, bandit.Feature{Slot: slot(h ^ mix(uint64(level(string(k), n)))), Value: plainly})
	}
	if yes, ok := v.Bool(); ok && yes {
		return append(x, bandit.Feature{Slot: slot(h), Value: plainly})
	}
	return x
}

// plainly is the value of a plain feature: less than that of an interest, which
// tells more, so that it has less of a say until its own is learned.
const plainly = 0.4

// level is the range a number falls into: two to the doubling, hours by four.
func level(name string, n float64) int64 {
	if name == "hour" {
		return int64(n) / 4
	}
	l := int64(2 * math.Log2(1+math.Abs(n)))
	if n < 0 {
		return -l
	}
	return l
}

// slot maps a hash to a slot; the last is for what was seen before.
func slot(h uint64) uint16 { return uint16(mix(h) % (bandit.Slots - 1)) }

// hashBytes is FNV-1a.
func hashBytes(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
