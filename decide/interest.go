package decide

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// InterestName is the name of the fold of interests.
const InterestName = "interest"

// InterestFold remembers per person which categories, brands and products they
// dealt with, fading, as inputs for the models. Names are kept as hashes: it is
// not a list of what somebody looked at.
type InterestFold struct{}

var (
	_ engine.Fold  = InterestFold{}
	_ engine.Cold  = InterestFold{}
	_ engine.State = (*interest)(nil)
)

// Name implements [engine.Fold].
func (InterestFold) Name() string { return InterestName }

// Version implements [engine.Fold].
func (InterestFold) Version() uint32 { return 2 }

// Scope implements [engine.Fold].
func (InterestFold) Scope() engine.Scope { return engine.PerEntity }

// Rowless implements [engine.Rowless].
func (InterestFold) Rowless() {}

// New implements [engine.Fold].
func (InterestFold) New() engine.State { return &interest{} }

// Wants implements [engine.Cold]: events about something that can be liked.
func (InterestFold) Wants(_ *engine.Context, e *rapport.Event) bool {
	if e.Type != rapport.TypeTrack || isFeedback(e.Name) {
		return false
	}
	for k := range e.Properties.All() {
		if _, ok := aspect(k); ok || string(k) == "products" {
			return true
		}
	}
	return false
}

// interest is what one person dealt with.
type interest struct {
	at    int64  // to which time weights have faded
	likes []like // by key
	// rhythm counts when things happened: in which two hours of the UTC day.
	rhythm [beats]uint8
}

type like struct {
	key    uint32 // 24 bits; the lowest tells the aspect
	weight float32
}

const (
	maxLikes         = 20
	interestHalfLife = 30 * 24 * time.Hour
	boughtWeight     = 3 // of what was bought, against what was looked at
)

// aspect tells which properties name something to like.
func aspect(key []byte) (kind uint32, ok bool) {
	switch string(key) {
	case "category", "brand":
		return 0, true
	case "sku", "product_id", "productId":
		return 1, true
	}
	return 0, false
}

// Apply implements [engine.State].
func (s *interest) Apply(_ *engine.Context, e *rapport.Event) {
	s.fade(e.Timestamp)
	if s.at > 0 {
		s.beat(e.Timestamp)
	}
	s.about(e.Properties, s.age(e.Timestamp))
	if v, ok := e.Properties.Get("products"); ok {
		weight := s.age(e.Timestamp)
		if e.Name == "Order Completed" {
			weight *= boughtWeight
		}
		n := 0
		for x := range v.Elements() {
			if f, ok := x.Object(); ok && n < maxLikes {
				s.about(f, weight)
				n++
			}
		}
	}
	s.trim()
}

// about adds what one object names. A product is counted once by its first name.
func (s *interest) about(f rapport.Fields, weight float64) {
	product := false
	for k, v := range f.All() {
		kind, ok := aspect(k)
		text, isText := v.Text()
		if !ok || !isText || len(text) == 0 || kind == 1 && product {
			continue
		}
		product = product || kind == 1
		s.add(likeKey(text, kind), float32(weight))
	}
}

// likeKey is the key of a thing by its name.
func likeKey(name []byte, aspect uint32) uint32 { return uint32(mix(hashBytes(name))>>40)&^1 | aspect }

func (s *interest) add(key uint32, weight float32) {
	at, found := slices.BinarySearchFunc(s.likes, key, func(l like, k uint32) int { return cmp.Compare(l.key, k) })
	if !found {
		s.likes = slices.Insert(s.likes, at, like{key: key})
	}
	s.likes[at].weight += weight
}

// fade moves the reference time forward.
func (s *interest) fade(to int64) {
	if to <= s.at {
		return
	}
	if s.at != 0 {
		f := float32(math.Exp2(-float64(to-s.at) / float64(interestHalfLife.Milliseconds())))
		for i := range s.likes {
			s.likes[i].weight *= f
		}
	}
	s.at = to
}

// age is what something that happened earlier than the reference weighs.
func (s *interest) age(at int64) float64 {
	return math.Exp2(-float64(max(0, s.at-at)) / float64(interestHalfLife.Milliseconds()))
}

// trim keeps the strongest.
func (s *interest) trim() {
	for len(s.likes) > maxLikes {
		least := 0
		for i := range s.likes {
			if s.likes[i].weight < s.likes[least].weight {
				least = i
			}
		}
		s.likes = slices.Delete(s.likes, least, least+1)
	}
}

// Merge implements [engine.State]: what both dealt with is added up.
func (s *interest) Merge(other engine.State) {
	o := other.(*interest)
	if o.at == 0 {
		return
	}
	s.fade(o.at)
	for i, n := range o.rhythm {
		s.rhythm[i] = uint8(min(int(s.rhythm[i])+int(n), math.MaxUint8))
	}
	f := float32(s.age(o.at))
	for _, l := range o.likes {
		s.add(l.key, l.weight*f)
	}
	s.trim()
}

// AppendBinary implements [engine.State].
func (s *interest) AppendBinary(b []byte) []byte {
	if s.at == 0 {
		return b
	}
	b = binary.AppendVarint(b, s.at)
	b = append(b, s.rhythm[:]...)
	for _, l := range s.likes {
		b = append(b, byte(l.key>>16), byte(l.key>>8), byte(l.key))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(l.weight))
	}
	return b
}

// DecodeBinary implements [engine.State].
func (s *interest) DecodeBinary(b []byte) error {
	*s = interest{}
	if len(b) == 0 {
		return nil
	}
	at, n := binary.Varint(b)
	if n <= 0 || len(b) < n+beats || (len(b)-n-beats)%7 != 0 || (len(b)-n-beats)/7 > maxLikes {
		return rapport.Errorf(rapport.Internal, "state of interests is damaged")
	}
	s.at = at
	copy(s.rhythm[:], b[n:])
	for b = b[n+beats:]; len(b) > 0; b = b[7:] {
		s.likes = append(s.likes, like{uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]), math.Float32frombits(binary.LittleEndian.Uint32(b[3:]))})
	}
	return nil
}

// likesName is the feature that holds a person's interests: five letters each,
// four of the key and one of the strength.
const likesName = "likes"

const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

// feature appends the interests as one feature.
func (s *interest) feature(f rapport.Fields) rapport.Fields {
	if s == nil || len(s.likes) == 0 {
		return f
	}
	var norm [2]float64
	total := 0.0
	for _, l := range s.likes {
		norm[l.key&1] += float64(l.weight) * float64(l.weight)
		total += float64(l.weight)
	}
	text := make([]byte, 0, 5*maxLikes)
	for _, l := range s.likes {
		strength := int(math.Round(63 * float64(l.weight) / math.Sqrt(max(norm[l.key&1], 1e-9))))
		if strength > 0 {
			text = append(text, letters[l.key>>18&63], letters[l.key>>12&63], letters[l.key>>6&63], letters[l.key&63], letters[min(strength, 63)])
		}
	}
	f = rapport.AppendField(f, likesName, rapport.StringValue(string(text)))
	return rapport.AppendField(f, "activity", rapport.NumberValue(math.Round(total)))
}

// match is how much of a person's interest goes to the categories or brands, and
// to the products, that an action is about: from 0 to 1.
type match [2]float32

// keysOf returns under which keys the names of what can be liked are kept.
func keysOf(names []string) []uint32 {
	var keys []uint32
	for _, name := range names {
		keys = append(keys, likeKey([]byte(name), 0), likeKey([]byte(name), 1))
	}
	return keys
}

// likes are the interests among features.
type likes struct {
	list []like
	mask uint64 // has the bit of every key
}

func bitOf(key uint32) uint64 { return 1 << (key >> 1 & 63) }

// likesOf returns the interests among features, as [interest.feature] wrote them.
func likesOf(f rapport.Fields) (l likes) {
	v, _ := f.Get(likesName)
	text, _ := v.Text()
	if len(text) < 5 {
		return l
	}
	l.list = make([]like, 0, len(text)/5)
	for ; len(text) >= 5; text = text[5:] {
		key := uint32(letter(text[0])<<18 | letter(text[1])<<12 | letter(text[2])<<6 | letter(text[3]))
		l.list = append(l.list, like{key: key, weight: float32(letter(text[4])) / 63})
		l.mask |= bitOf(key)
	}
	return l
}

// matching returns how much of the interests goes to the keys.
func matching(l likes, keys []uint32) (m match) {
	mask := uint64(0)
	for _, key := range keys {
		mask |= bitOf(key)
	}
	if mask &= l.mask; mask == 0 {
		return m
	}
	for i := range l.list {
		if key := l.list[i].key; mask&bitOf(key) != 0 && slices.Contains(keys, key) {
			m[key&1] = min(1, m[key&1]+l.list[i].weight)
		}
	}
	return m
}

// encodeLikes reads that feature as inputs.
func encodeLikes(text []byte, x []bandit.Feature) []bandit.Feature {
	for ; len(text) >= 5; text = text[5:] {
		x = append(x, bandit.Feature{Slot: slot(hashBytes(text[:4])), Value: float32(letter(text[4])) / 63})
	}
	return x
}

func letter(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 36
	case c == '-':
		return 62
	}
	return 63
}
