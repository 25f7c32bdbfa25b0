package profile

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unique"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// maxNames is how many event names are counted one by one; the names that sort
// last beyond it are counted together. A tracking plan has far fewer.
const maxNames = 128

// ActivityFold counts what a fragment did. It is hot: every event touches it.
type ActivityFold struct{}

// Name implements engine.Fold.
func (ActivityFold) Name() string { return FoldActivity }

// Version implements engine.Fold.
func (ActivityFold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (ActivityFold) Scope() engine.Scope { return engine.PerFragment }

// Rowless implements engine.Rowless.
func (ActivityFold) Rowless() {}

// New implements engine.Fold.
func (ActivityFold) New() engine.State { return &Activity{} }

// Activity is what one fragment, or one person, did.
type Activity struct {
	// First and Last are the times of the earliest and latest event, Unix ms.
	First, Last int64
	Events      int64
	// Identifier is the strongest name seen on an event, in normal form.
	Identifier rapport.Identifier
	// Zone and Locale are the latest the client told.
	Zone, Locale Told
	names        []named // by name
	other        int64   // events of names beyond maxNames
}

// Told is a short text with when it was told.
type Told struct {
	Value string
	At    int64
}

type named struct {
	name  string
	count int64
	last  int64
}

// Count returns how often the named event happened, and when last.
func (a *Activity) Count(name string) (count, last int64) {
	if i, ok := a.find(name); ok {
		return a.names[i].count, a.names[i].last
	}
	return 0, 0
}

// Whole reports whether every event name is counted by itself.
func (a *Activity) Whole() bool { return a.other == 0 }

// Counts calls fn for every event name in order.
func (a *Activity) Counts(fn func(name string, count, last int64)) {
	for _, n := range a.names {
		fn(n.name, n.count, n.last)
	}
	if a.other > 0 {
		fn("(other events)", a.other, 0)
	}
}

func (a *Activity) find(name string) (int, bool) {
	return slices.BinarySearchFunc(a.names, name, func(n named, name string) int { return strings.Compare(n.name, name) })
}

// EventName is the name an event is counted under: that of a track event, the
// call type for the others.
func EventName(e *rapport.Event) string {
	if e.Type == rapport.TypeTrack || e.Type == rapport.TypeSystem {
		return e.Name
	}
	return e.Type.String()
}

// Apply implements engine.State.
func (a *Activity) Apply(_ *engine.Context, e *rapport.Event) {
	if e.Type == rapport.TypeSystem {
		return // what we did is not what the person did
	}
	a.seen(e.Timestamp, e.Timestamp, 1)
	if len(e.Identifiers) > 0 {
		a.identify(e.Identifiers[0])
	}
	var zone, locale rapport.Value
	for k, v := range e.Context.All() { // once: every event comes by here
		switch string(k) {
		case "timezone":
			zone = v
		case "locale":
			locale = v
		}
	}
	tell(&a.Zone, zone, e.Timestamp)
	tell(&a.Locale, locale, e.Timestamp)
	a.count(EventName(e), 1, e.Timestamp)
}

func (a *Activity) seen(first, last, events int64) {
	if events == 0 {
		return
	}
	if a.Events == 0 || first < a.First {
		a.First = first
	}
	if a.Events == 0 || last > a.Last {
		a.Last = last
	}
	a.Events += events
}

func (a *Activity) identify(i rapport.Identifier) {
	if i == a.Identifier || i.Value == "" {
		return
	}
	have, got := rapport.RankOf(a.Identifier.Kind), rapport.RankOf(i.Kind)
	if a.Identifier.Value == "" || got < have || got == have && (i.Kind+"\x00"+i.Value < a.Identifier.Kind+"\x00"+a.Identifier.Value) {
		a.Identifier = rapport.Identifier{Kind: unique.Make(strings.Clone(i.Kind)).Value(), Value: strings.Clone(i.Value)}
	}
}

func tell(t *Told, v rapport.Value, at int64) {
	if at < t.At {
		return
	}
	b, ok := v.Text()
	if !ok || len(b) == 0 || len(b) > 64 {
		return
	}
	if s := text(b); s == t.Value || newer(at, t.At, s, t.Value) {
		if s != t.Value {
			t.Value = unique.Make(string(b)).Value()
		}
		t.At = at
	}
}

func (a *Activity) count(name string, n, last int64) {
	i, ok := a.find(name)
	if ok {
		a.names[i].count += n
		a.names[i].last = max(a.names[i].last, last)
		return
	}
	if i >= maxNames {
		a.other += n
		return
	}
	a.names = slices.Insert(a.names, i, named{unique.Make(strings.Clone(name)).Value(), n, last})
	if len(a.names) > maxNames {
		// The highest name goes. No name that stays was ever put out, so counts
		// are whole whatever the order of events.
		a.other += a.names[maxNames].count
		a.names = a.names[:maxNames]
	}
}

// Merge implements engine.State.
func (a *Activity) Merge(other engine.State) {
	o := other.(*Activity)
	a.seen(o.First, o.Last, o.Events)
	a.identify(o.Identifier)
	for _, t := range []struct{ mine, theirs *Told }{{&a.Zone, &o.Zone}, {&a.Locale, &o.Locale}} {
		if newer(t.theirs.At, t.mine.At, t.theirs.Value, t.mine.Value) {
			*t.mine = *t.theirs
		}
	}
	a.other += o.other
	for _, n := range o.names {
		a.count(n.name, n.count, n.last)
	}
}

// AppendBinary implements engine.State. Times are kept relative to Last.
func (a *Activity) AppendBinary(b []byte) []byte {
	if a.Events == 0 {
		return b
	}
	b = binary.AppendVarint(b, a.Last)
	b = binary.AppendUvarint(b, uint64(a.Last-a.First))
	b = binary.AppendUvarint(b, uint64(a.Events))
	b = binary.AppendUvarint(b, uint64(a.other))
	b = appendString(b, a.Identifier.Kind)
	b = appendString(b, a.Identifier.Value)
	for _, t := range [...]*Told{&a.Zone, &a.Locale} {
		b = appendString(b, t.Value)
		if t.Value != "" {
			b = binary.AppendVarint(b, a.Last-t.At)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(a.names)))
	for _, n := range a.names {
		b = appendString(b, n.name)
		b = binary.AppendUvarint(b, uint64(n.count))
		b = binary.AppendVarint(b, a.Last-n.last)
	}
	return b
}

// DecodeBinary implements engine.State.
func (a *Activity) DecodeBinary(b []byte) error {
	names := a.names[:0]
	*a = Activity{}
	if len(b) == 0 {
		return nil
	}
	r := reader{b: b}
	a.Last = r.varint()
	a.First = a.Last - int64(min(r.uvarint(), math.MaxInt64))
	a.Events = int64(r.uvarint())
	a.other = int64(r.uvarint())
	a.Identifier = rapport.Identifier{Kind: intern(r.bytes()), Value: r.string()}
	for _, t := range [...]*Told{&a.Zone, &a.Locale} {
		if t.Value = intern(r.bytes()); t.Value != "" {
			t.At = a.Last - r.varint()
		}
	}
	n := r.count()
	names = slices.Grow(names, n)
	for range n {
		names = append(names, named{intern(r.bytes()), int64(r.uvarint()), a.Last - r.varint()})
	}
	a.names = names
	return r.done("activity")
}

// intern returns the one copy of a text that many people share, without
// allocating once it is known.
func intern(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unique.Make(text(b)).Value()
}
