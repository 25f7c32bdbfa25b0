package profile

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// Config is this room's compiled config: the questions about the past that
// conditions and computed traits in force ask, and the computed traits. It is
// immutable.
type Config struct {
	definitions []definition // by key
	keys        []uint64     // of definitions: what is searched lies close together
	byEvent     map[string]*asked
	traits      []*Computed // by name
	byName      map[string]*Computed
	version     uint32
}

// use is one definition an event matters to: as the event it asks for, or as a
// step of its sequence.
type use struct {
	*definition
	step int // 0 is the event itself
}

// uses are those that want the same of an event, so that it is asked once.
type uses struct {
	where condition.Expr // nil: any event of the name
	text  string         // of where
	list  []use
}

// asked is what is wanted of the events of one name.
type asked struct {
	groups []uses
	sieve  *condition.Sieve // of groups
}

// definition is one question and the stretches of time its answer is kept in.
type definition struct {
	*condition.Aggregate
	since    int64 // configuration number from which on it is answered live
	width    int64 // of a bucket, ms; 0 for all time and for calendar time
	calendar string
	keep     int64 // buckets kept; 0 is one for all time
	op       opCode
}

// opCode is an op in stored states. The numbers are part of the state's form.
type opCode byte

const (
	opCount opCode = iota
	opSum
	opAvg
	opMin
	opMax
	opFirst
	opLast
	opDistinct
	opHappened
	opTop
	opStreak
	opDecayed
	opCodes // how many there are
)

var codeOf = map[condition.Op]opCode{
	condition.Count: opCount, condition.Sum: opSum, condition.Avg: opAvg, condition.Min: opMin, condition.Max: opMax, condition.First: opFirst,
	condition.Last: opLast, condition.Distinct: opDistinct, condition.Happened: opHappened, condition.Top: opTop, condition.Streak: opStreak, condition.Decayed: opDecayed,
}

// Parts of windows and decays. docs/computed-traits.md promises them.
const (
	windowBuckets = 64  // a window of length W moves in steps of W/64
	decaySteps    = 16  // a half-life is passed in so many steps
	decayBuckets  = 256 // 16 half-lives; what is older has lost all but 1/65536
	streakBuckets = 512 // longest streak
)

// Documents are what the questions in force come from.
type Documents struct {
	Conditions []iter.Seq[condition.Expr]
	Computed   []ComputedDoc
	// Questions are asked by nobody in force yet, but answered already.
	Questions []*condition.Aggregate
	// Since returns from which configuration number on a question is answered
	// live; what came before reaches it from history (see [SystemAnswers]). Nil
	// is always.
	Since func(key uint64) int64
}

// Compile collects the questions of conditions, each once.
func Compile(conditions ...iter.Seq[condition.Expr]) *Config {
	c, err := CompileAll(Documents{Conditions: conditions})
	if err != nil {
		panic("profile: without computed traits nothing can be wrong: " + err.Error())
	}
	return c
}

// CompileAll collects the questions of conditions and computed traits, each
// once. Kinds: Invalid, for computed traits that cannot be.
func CompileAll(docs Documents) (*Config, error) {
	c := &Config{byEvent: map[string]*asked{}, byName: map[string]*Computed{}}
	byKey := map[uint64]*condition.Aggregate{}
	for _, seq := range docs.Conditions {
		for e := range seq {
			if e, ok := e.(*condition.Condition); ok {
				for _, a := range e.Aggregates() {
					byKey[a.Key] = a
				}
			}
		}
	}
	for _, a := range docs.Questions {
		byKey[a.Key] = a
	}
	for i := range docs.Computed {
		t, err := docs.Computed[i].compile()
		if err != nil {
			return nil, err
		}
		c.traits = append(c.traits, t)
		c.byName[t.Name] = t
		for _, a := range t.Asks() {
			byKey[a.Key] = a
		}
	}
	slices.SortFunc(c.traits, func(a, b *Computed) int { return cmp.Compare(a.Name, b.Name) })
	digest := xxhash.New()
	for _, key := range sortedKeys(byKey) {
		d := define(byKey[key])
		if docs.Since != nil {
			d.since = docs.Since(key)
		}
		c.definitions = append(c.definitions, d)
		_, _ = digest.WriteString(d.ID)
		_, _ = digest.Write([]byte{0})
	}
	c.index()
	for _, t := range c.traits {
		t.bind(c)
	}
	c.version = uint32(digest.Sum64())
	return c, nil
}

// index notes which definitions an event matters to.
func (c *Config) index() {
	add := func(event string, where condition.Expr, u use) {
		text := ""
		if where != nil {
			text = where.String()
		}
		a := c.byEvent[event]
		if a == nil {
			a = &asked{}
			c.byEvent[event] = a
		}
		i := slices.IndexFunc(a.groups, func(g uses) bool { return g.text == text })
		if i < 0 {
			i, a.groups = len(a.groups), append(a.groups, uses{where: where, text: text})
		}
		a.groups[i].list = append(a.groups[i].list, u)
	}
	c.keys = c.keys[:0]
	for i := range c.definitions {
		d := &c.definitions[i]
		c.keys = append(c.keys, d.Key)
		add(d.Event, d.Where, use{d, 0})
		for n, s := range d.Then {
			add(s.Event, s.Where, use{d, n + 1})
		}
	}
	for _, a := range c.byEvent {
		wheres := make([]condition.Expr, len(a.groups))
		for i := range a.groups {
			wheres[i] = a.groups[i].where
		}
		a.sieve = condition.NewSieve(wheres)
	}
}

func define(a *condition.Aggregate) definition {
	d := definition{Aggregate: a, op: codeOf[a.Op], calendar: a.Calendar}
	switch {
	case a.Op == condition.Decayed:
		d.width, d.keep = max(a.HalfLife.Millis()/decaySteps, 1), decayBuckets
	case a.Op == condition.Streak:
		d.keep = streakBuckets
	case a.Calendar != "":
		d.keep = int64(a.Ago) + 2
	case a.Within > 0:
		d.width, d.keep = max(a.Within.Millis()/windowBuckets, 1), windowBuckets
	}
	return d
}

// index returns the stretch of time a moment (Unix ms) lies in.
func (d *definition) index(at int64) int64 {
	switch {
	case d.calendar != "":
		return calendarIndex(d.calendar, d.zone(), at)
	case d.width > 0:
		return floorDiv(at, d.width)
	}
	return 0
}

// start returns when a stretch begins, Unix ms.
func (d *definition) start(index int64) int64 {
	if d.calendar != "" {
		return calendarStart(d.calendar, d.zone(), index)
	}
	return index * d.width
}

func (d *definition) zone() *time.Location {
	if d.Zone == nil {
		return time.UTC
	}
	return d.Zone
}

// window returns the first and last stretch the answer at a moment is made of.
func (d *definition) window(at int64) (oldest, newest int64) {
	switch {
	case d.keep == 0:
		return math.MinInt64, math.MaxInt64
	case d.op == opStreak || d.op == opDecayed || d.width > 0:
		newest = d.index(at)
		return newest - d.keep + 1, newest
	}
	n := d.index(at) - int64(d.Ago)
	return n, n
}

// enters and leaves return when a stretch becomes part of the window, and when
// it is no more.
func (d *definition) enters(index int64) int64 {
	if d.calendar != "" && d.op != opStreak {
		index += int64(d.Ago)
	}
	return d.start(index)
}

func (d *definition) leaves(index int64) int64 {
	if d.calendar != "" && d.op != opStreak {
		return d.start(index + int64(d.Ago) + 1)
	}
	return d.start(index + d.keep)
}

// find returns the definition with a key, or nil.
func (c *Config) find(key uint64) *definition {
	if c == nil {
		return nil
	}
	low, high := 0, len(c.keys)
	for low < high {
		if mid := (low + high) / 2; c.keys[mid] < key {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(c.keys) && c.keys[low] == key {
		return &c.definitions[low]
	}
	return nil
}

// Version names the set of definitions: equal sets have equal versions.
func (c *Config) Version() uint32 {
	if c == nil {
		return 0
	}
	return c.version
}

// Questions returns the questions that are answered, by key.
func (c *Config) Questions() []*condition.Aggregate {
	if c == nil {
		return nil
	}
	out := make([]*condition.Aggregate, len(c.definitions))
	for i := range c.definitions {
		out[i] = c.definitions[i].Aggregate
	}
	return out
}

// Only returns a config that answers the questions for which want returns true,
// for building their answers from history.
func (c *Config) Only(want func(key uint64) bool) *Config {
	out := &Config{byEvent: map[string]*asked{}, byName: map[string]*Computed{}}
	for _, d := range c.definitions {
		if want(d.Key) {
			out.definitions = append(out.definitions, d)
		}
	}
	out.index()
	return out
}

// Wants reports whether an event of this name can change an answer.
func (c *Config) Wants(event string) bool { return c.byEvent[event] != nil }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// calendarUnits are the stretches of calendar time.
var calendarUnits = []string{"day", "week", "month", "quarter", "year"}

// calendarIndex numbers the stretches of calendar time in a zone. Weeks begin on Monday.
func calendarIndex(unit string, zone *time.Location, at int64) int64 {
	y, m, d := rapport.Time(at).In(zone).Date()
	switch unit {
	case "month":
		return int64(y)*12 + int64(m) - 1
	case "quarter":
		return int64(y)*4 + int64(m-1)/3
	case "year":
		return int64(y)
	}
	day := floorDiv(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix(), 86400)
	if unit == "week" {
		return floorDiv(day+3, 7) // day 0 was a Thursday
	}
	return day
}

// calendarStart returns when a stretch begins, Unix ms.
func calendarStart(unit string, zone *time.Location, index int64) int64 {
	y, m, d := 0, 1, 1
	switch unit {
	case "month":
		y, m = int(floorDiv(index, 12)), int(index-12*floorDiv(index, 12))+1
	case "quarter":
		y, m = int(floorDiv(index, 4)), 3*int(index-4*floorDiv(index, 4))+1
	case "year":
		y = int(index)
	case "week":
		y, d = 1970, int(index*7-3)+1
	default:
		y, d = 1970, int(index)+1
	}
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, zone).UnixMilli()
}

// Answers reports whether a question is answered.
func (c *Config) Answers(key uint64) bool { return c.find(key) != nil }

// With returns a config that answers what c and other answer, and has the
// computed traits of other.
func (c *Config) With(other *Config) *Config {
	out := c.Only(func(uint64) bool { return true })
	if other == nil {
		return out
	}
	for _, d := range other.definitions {
		if out.find(d.Key) == nil {
			out.definitions = append(out.definitions, d)
			slices.SortFunc(out.definitions, func(a, b definition) int { return cmp.Compare(a.Key, b.Key) })
		}
	}
	out = out.Only(func(uint64) bool { return true })
	out.traits, out.byName = other.traits, other.byName
	return out
}
