// Package wear says how long a product item still lasts: lives that ended teach
// a model per product, and each item that goes on is held against it.
//
// Guarantees: what is kept of a life is a pure function of the item's events. A
// life whose beginning was not seen neither teaches nor is judged. A model
// learns from whole lives alone and tells how far it missed on those it had not
// seen. What cannot be told is absent, with the reason.
package wear

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/survival"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/health"
)

// FoldLife is the name of the fold.
const FoldLife = "life"

// Score is the name under which an item's remaining life, in days, stands among
// its scores: i.remaining_life and scores.remaining_life in conditions.
const Score = "remaining_life"

// Limits and settings.
const (
	samples  = 64 // rows kept of a life, evenly apart
	kept     = 4  // whole lives kept of an item
	least    = 10 // readings before a life teaches or is judged
	day      = float64(24 * 3600_000)
	lookAt   = 3600_000 // ms between two looks at what the model says
	warn     = 14.0     // days left at which service is due
	moved    = 0.05     // share of what was told by which it must move to be told again
	movedLow = 0.25     // days
)

// Fold is the engine fold. It comes after the twin's.
type Fold struct{}

var (
	_ engine.Fold  = Fold{}
	_ engine.Cold  = Fold{}
	_ engine.State = (*Life)(nil)
)

// Name implements engine.Fold.
func (Fold) Name() string { return FoldLife }

// Version implements engine.Fold.
func (Fold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// New implements engine.Fold.
func (Fold) New() engine.State { return &Life{} }

// Wants implements engine.Cold: what items whose lives are followed tell.
func (Fold) Wants(c *engine.Context, e *rapport.Event) bool {
	if e.Type != rapport.TypeSystem || c.Entity.Rank() != rapport.RankItem || e.Name == twin.EventForetold {
		return false
	}
	known, _ := c.Config.Part(catalog.Part).(*catalog.Catalog)
	return known.Lived()
}

// Life is the running life of an item, with what is kept of those before.
type Life struct {
	asked  uint64 // digest of the readings it is followed by; 0 if nothing is known
	tenure uint32 // owners whose time is over
	// middle says that its beginning was not seen.
	middle      bool
	number      uint32 // of the running life
	began, last int64  // its first and last reading, Unix ms
	rows        int64
	stride      int64 // a sample is kept of every so many
	running     []survival.Running
	ended       []Ended
	looked      int64
	told        float64 // days left as told last, at toldAt
	toldAt      int64
	warned      bool
}

// Ended is a whole life.
type Ended struct {
	number uint32
	At     int64
	Rows   int64
}

// Digest tells ways of following lives apart.
func Digest(d *catalog.LifeDoc) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(d.Readings, "\x00")))
	return h.Sum64() | 1
}

// Apply implements engine.State.
func (l *Life) Apply(c *engine.Context, e *rapport.Event) {
	item, _ := c.State(twin.FoldItem).(*twin.Item)
	if item == nil {
		return
	}
	known, _ := c.Config.Part(catalog.Part).(*catalog.Catalog)
	product := known.Product(item.Key().GTIN())
	if product == nil || !product.Life.Followed() {
		if l.asked != 0 {
			l.restart(c, 0, 0, false)
		}
		return
	}
	doc := &product.Life
	// Under whom an item wore is theirs: with the owner goes what their use told of it.
	if tenure := item.Epoch / 2; l.asked != 0 && tenure != l.tenure {
		l.restart(c, Digest(doc), tenure, true)
	}
	if digest := Digest(doc); l.asked != digest {
		l.restart(c, digest, item.Epoch/2, item.Epoch > 1 || seenBefore(item, doc, e))
	}
	switch {
	case item.Former(e.Timestamp):
	case e.Name == twin.EventTelemetry:
		l.take(c, e, doc)
		l.look(c, e, item)
	case doc.Ended(e.Name):
		l.end(c, e)
	}
}

// seenBefore reports whether an item told of its wear before this event.
func seenBefore(item *twin.Item, doc *catalog.LifeDoc, e *rapport.Event) bool {
	now := 0.0
	if e.Name == twin.EventTelemetry {
		now = 1
	}
	return slices.ContainsFunc(doc.Readings, func(name string) bool {
		r := item.Reading(name)
		return r != nil && r.Count > now
	})
}

// restart forgets all that is kept.
func (l *Life) restart(c *engine.Context, asked uint64, tenure uint32, middle bool) {
	c.DeleteRows([]byte{'l'}, []byte{'m'})
	*l = Life{asked: asked, tenure: tenure, middle: middle, number: l.number + 1}
}

func rowKey(number uint32, row int64) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{'l'}, number), uint32(row))
}

// take folds a reading in and keeps a sample of the features now and then.
func (l *Life) take(c *engine.Context, e *rapport.Event, doc *catalog.LifeDoc) {
	if l.rows > 0 && e.Timestamp <= l.last {
		return // late: features run in one direction
	}
	found := false
	if l.running == nil {
		l.running = make([]survival.Running, len(doc.Readings))
	}
	for i, name := range doc.Readings {
		v, ok := e.Properties.Get(name)
		if x, number := v.Number(); ok && number && twin.CheckReading(name, v) {
			l.running[i].Add(x)
			found = true
		}
	}
	if !found {
		return
	}
	if l.rows == 0 {
		l.began, l.stride = e.Timestamp, 1
	}
	l.last = e.Timestamp
	row := l.rows
	l.rows++
	if l.middle || row%l.stride != 0 {
		return
	}
	if row/l.stride >= samples {
		for r := l.stride; r < row; r += 2 * l.stride {
			key := rowKey(l.number, r)
			c.DeleteRows(key, append(slices.Clone(key), 0))
		}
		l.stride *= 2
		if row%l.stride != 0 {
			return
		}
	}
	value := binary.LittleEndian.AppendUint64(nil, uint64(e.Timestamp))
	for _, x := range l.features() {
		value = binary.LittleEndian.AppendUint32(value, math.Float32bits(float32(x)))
	}
	c.PutRow(rowKey(l.number, row), value)
}

// features are those of the life at its last reading.
func (l *Life) features() []float64 {
	f := append(make([]float64, 0, 1+survival.RunningFeatures*len(l.running)), float64(l.last-l.began)/day)
	for i := range l.running {
		f = l.running[i].Append(f)
	}
	return f
}

// end ends the running life, which teaches if it was whole, and begins the next.
func (l *Life) end(c *engine.Context, e *rapport.Event) {
	if l.rows == 0 && !l.middle {
		return // told twice
	}
	if whole := !l.middle && l.rows >= least && e.Timestamp >= l.last; whole {
		l.ended = append(l.ended, Ended{l.number, e.Timestamp, l.rows})
		if len(l.ended) > kept {
			c.DeleteRows(rowKey(l.ended[0].number, 0), rowKey(l.ended[0].number+1, 0))
			l.ended = slices.Delete(l.ended, 0, 1)
		}
	} else {
		c.DeleteRows(rowKey(l.number, 0), rowKey(l.number+1, 0))
	}
	*l = Life{asked: l.asked, tenure: l.tenure, number: l.number + 1, ended: l.ended, toldAt: l.toldAt}
}

// look tells the item how long it still lasts, if that moved since it was told.
func (l *Life) look(c *engine.Context, e *rapport.Event, item *twin.Item) {
	if l.last != e.Timestamp || l.looked != 0 && e.Timestamp < l.looked+lookAt {
		return
	}
	models, _ := c.Config.Part(Part).(Models)
	m := models.of(item.Key().GTIN(), l.asked)
	if m == nil || l.middle || l.rows < least {
		return
	}
	l.looked = e.Timestamp
	left, low, high := m.lives.Remaining(l.features())
	if expected := l.told - float64(e.Timestamp-l.toldAt)/day; l.toldAt == 0 || math.Abs(left-l.told) >= max(movedLow, moved*l.told) || math.Abs(left-expected) >= 1 {
		l.told, l.toldAt = left, e.Timestamp
		tell(c, e, twin.EventForetold, rapport.AppendField(nil, Score, rapport.NumberValue(left)))
	}
	switch {
	case left <= warn && !l.warned:
		l.warned = true
		tell(c, e, health.ProductServiceDue, rapport.FieldsOf(map[string]any{"reading": Score, "days": left, "low": low, "high": high}))
	case left > 2*warn:
		l.warned = false
	}
}

// tell makes something happen to the item, as if it had told so itself.
func tell(c *engine.Context, e *rapport.Event, name string, p rapport.Fields) {
	out := twin.Fact(e.Identifiers[0], name, e.MessageID+"/"+name+"/life", e.Timestamp, e.ReceivedAt, p)
	out.Fragment, out.History = c.Entity, e.History
	c.Emit(c.Entity, &out)
}

// Merge implements engine.State: items never become one.
func (l *Life) Merge(other engine.State) {
	if o := other.(*Life); l.asked == 0 {
		_ = l.DecodeBinary(o.AppendBinary(nil))
	}
}
