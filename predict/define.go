package predict

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// key names a definition of what counts, as taken up at one moment: the same
// one taken up again is counted again.
type key struct {
	digest uint32
	since  int64 // number of the configuration it was taken up at; see engine.Number
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.digest, o.digest), cmp.Compare(k.since, o.since))
}

func (k key) append(b []byte) []byte {
	return binary.AppendVarint(binary.LittleEndian.AppendUint32(b, k.digest), k.since)
}

func (d *decoder) key() (k key) {
	if len(d.b) < 4 {
		d.fail()
		return k
	}
	k.digest = binary.LittleEndian.Uint32(d.b)
	d.b = d.b[4:]
	k.since = d.int()
	return k
}

// counted is a definition under which what happens is counted.
type counted struct {
	doc *PredictionDoc
	key key
}

func known(list []counted, k key) bool {
	for i := range list {
		if list[i].key == k {
			return true
		}
	}
	return false
}

// digest names what counts: a model of other purchases is of no use.
func (d *PredictionDoc) digest() uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(d.Event + "\x00" + d.Value + "\x00" + strings.Join(d.Attributes, "\x00")))
	return h.Sum32()
}

// Key names what a document counts, among the questions that are asked of
// history.
func (d *PredictionDoc) Key() uint64 { return 0x7072_6564<<32 | uint64(d.digest()) }

// DeclaredKey returns the Key of what the documents declare: at most one, or the defaults.
func DeclaredKey(predictions []PredictionDoc) uint64 {
	if len(predictions) == 0 {
		return NewPredictionDoc().Key()
	}
	return predictions[0].Key()
}

// declare sets what is counted and what is in force. A model of a definition
// that was replaced stays in force, and goes on being counted for, until there
// is one of the new definition.
func (c *Config) declare(since int64) {
	c.key, c.what = key{c.settings.digest(), since}, hash32(c.purchase())
	c.purchased = []counted{{&c.settings, c.key}}
	c.tasted = []counted{{&c.settings, c.key}}
	c.bought, c.liked = c.key, c.key
	of := func(digest uint32, since int64) key {
		if since == 0 && digest == c.key.digest {
			return c.key // made elsewhere, of what is declared
		}
		return key{digest, since}
	}
	if m := c.purchases; m != nil {
		if c.bought = of(m.Settings, m.Since); c.bought != c.key {
			c.purchased = append(c.purchased, counted{&m.Definition, c.bought})
		}
	}
	if m := c.liking; m != nil {
		if c.liked = of(m.Settings, m.Since); c.liked != c.key {
			c.tasted = append(c.tasted, counted{&m.Definition, c.liked})
		}
	}
}

// Changing reports whether the definition declared is not in force yet.
func (c *Config) changing(id string) bool {
	switch id {
	case ModelPurchases:
		return c.purchases != nil && c.bought != c.key
	case ModelTastes:
		return c.liking != nil && c.liked != c.key
	case ModelIntent:
		return c.intent != nil && c.intent.Event != c.settings.Event
	}
	return false
}

// InForce describes what scores mean: it changes when the definition they are
// made by does, and not when a model is fitted anew.
func (c *Config) InForce() string {
	b := c.liked.append(c.bought.append(nil))
	b = append(b, c.settings.Horizon.String()...)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.settings.Discount*1e6))
	for _, have := range [...]bool{c.purchases != nil, c.liking != nil, c.intent != nil} {
		b = append(b, map[bool]byte{true: 1}[have])
	}
	if c.intent != nil {
		b = append(b, c.intent.Event...)
	}
	return string(b)
}

// Building are people's statistics under a new definition, made from history.
type Building struct {
	doc *PredictionDoc
	key key
	of  map[rapport.ID]*built
}

type built struct {
	entity    rapport.ID
	purchases purchaseDays
	tastes    taste
}

// NewBuilding begins with nothing for the definition a configuration declares.
func NewBuilding(c *engine.Config) *Building {
	config := configOf(c)
	return &Building{doc: &config.settings, key: config.key, of: map[rapport.ID]*built{}}
}

// Len returns how many fragments something is known of.
func (b *Building) Len() int { return len(b.of) }

// Wants reports whether an event of history says anything.
func (b *Building) Wants(e *rapport.Event) bool {
	_, ok := signOf(b.doc, e)
	return ok
}

// Apply counts an event of history.
func (b *Building) Apply(e *rapport.Event) {
	sign, ok := signOf(b.doc, e)
	if !ok {
		return
	}
	fragment := e.Fragment
	if fragment.IsZero() {
		fragment = e.Entity
	}
	x := b.of[fragment]
	if x == nil {
		x = &built{}
		b.of[fragment] = x
	}
	x.entity = e.Entity
	x.tastes.take(b.doc, sign, e, e.ReceivedAt)
	if e.Name == b.doc.Event {
		x.purchases.take(b.doc, e, e.ReceivedAt)
	}
}

// Each calls fn for every fragment in order with the body of its [profile.SystemBuilt], and forgets them.
func (b *Building) Each(fn func(entity, fragment rapport.ID, body []byte) error) error {
	ids := make([]rapport.ID, 0, len(b.of))
	for id := range b.of {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, rapport.ID.Compare)
	for _, id := range ids {
		x := b.of[id]
		purchases := x.purchases.append(nil)
		body := binary.AppendUvarint(b.key.append(nil), uint64(len(purchases)))
		body = x.tastes.append(append(body, purchases...))
		if err := fn(x.entity, id, body); err != nil {
			return err
		}
	}
	clear(b.of)
	return nil
}

// readBuilt takes the body of a [profile.SystemBuilt] apart.
func readBuilt(e *rapport.Event) (k key, purchases, tastes []byte, ok bool) {
	if e.Name != profile.SystemBuilt {
		return k, nil, nil, false
	}
	d := decoder{b: e.Body}
	k = d.key()
	n := d.uint(uint64(len(d.b)))
	if d.bad || n > len(d.b) {
		return k, nil, nil, false
	}
	return k, d.b[:n], d.b[n:], true
}
