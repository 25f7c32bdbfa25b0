package profile

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// ComputedDoc is the config document of kind "computed": a number (or list)
// kept up to date from what a person does, read as computed.ID.
type ComputedDoc struct {
	ID       string               `yaml:"id" doc:"Name of the trait: computed.ID in conditions and in the profile."`
	Event    string               `yaml:"event" required:"true" suggest:"event" doc:"Name of the event it is computed from."`
	Where    *condition.Condition `yaml:"where,omitempty" doc:"Which of the events count: a condition on properties.x."`
	Op       string               `yaml:"op" required:"true" enum:"count,sum,average,min,max,first,last,distinct,top,frequency,since,streak,ratio,decayed" doc:"What is computed."`
	Property string               `yaml:"property,omitempty" doc:"Property of the event; needed by sum, average, min, max, distinct and top, allowed for first, last (else their time), ratio and decayed (else events)."`
	Within   rapport.Duration     `yaml:"within,omitempty" min:"1h" max:"400d" doc:"Sliding window, 1h to 400d; all time if left out."`
	Calendar string               `yaml:"calendar,omitempty" enum:"day,week,month,quarter,year" doc:"Window of calendar time instead: the running one, in zone."`
	Ago      int                  `yaml:"ago,omitempty" min:"0" max:"24" doc:"With calendar: that many before the running one (1 is last month)."`
	Zone     string               `yaml:"zone,omitempty" doc:"IANA zone of calendar windows and streaks; default UTC."`
	Top      int                  `yaml:"top,omitempty" min:"1" max:"20" doc:"How many values top lists; default 5."`
	HalfLife rapport.Duration     `yaml:"halfLife,omitempty" min:"1h" max:"400d" doc:"decayed: after this long an event counts half; default 30d."`
	Per      string               `yaml:"per,omitempty" enum:"minute,hour,day,week,month" doc:"Unit of frequency, since (default day) and streak (day, week or month; default day). A month of frequency and since is 30 days."`
	Over     *OverDoc             `yaml:"over,omitempty" doc:"ratio: what it is divided by."`
}

// OverDoc is the lower half of a ratio.
type OverDoc struct {
	Event    string               `yaml:"event" required:"true" suggest:"event" doc:"Name of the event."`
	Where    *condition.Condition `yaml:"where,omitempty" doc:"Which of the events count: a condition on properties.x."`
	Property string               `yaml:"property,omitempty" doc:"Property to add up; left out, events are counted."`
}

// Computed is one compiled computed trait.
type Computed struct {
	Name string
	op   string
	main *condition.Aggregate
	aux  *condition.Aggregate // what a ratio is divided by; when an all-time frequency began
	unit int64                // ms

	mainDef, auxDef *definition
}

// opsOf says what the documents' ops ask.
var opsOf = map[string]condition.Op{
	"count": condition.Count, "sum": condition.Sum, "average": condition.Avg, "min": condition.Min, "max": condition.Max, "first": condition.First,
	"last": condition.Last, "distinct": condition.Distinct, "top": condition.Top, "frequency": condition.Count, "since": condition.Last,
	"streak": condition.Streak, "decayed": condition.Decayed, "ratio": condition.Count,
}

var unitsOf = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour, "month": 30 * 24 * time.Hour}

// faults adds the checks that documents here share.
type faults struct{ rapport.Faults }

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults.
func (d *ComputedDoc) Validate() error {
	var f faults
	f.event("event", d.Event)
	f.where("where", d.Where)
	op := condition.Op(d.Op)
	switch {
	case opsOf[d.Op] == "":
		f.Add("op", "%q is nothing that can be computed", d.Op)
	case slices.Contains([]string{"sum", "average", "min", "max", "distinct", "top"}, d.Op) && d.Property == "":
		f.Add("property", "%s needs the property it is computed from", op)
	case slices.Contains([]string{"count", "frequency", "since", "streak"}, d.Op) && d.Property != "":
		f.Add("property", "%s counts events and takes no property; where says which", op)
	}
	if d.Property != "" {
		if _, err := d.question("property", d.Event, d.Where, "sum", d.Property); err != nil {
			f.Add("property", "%q is not the name of a property", d.Property)
		}
	}
	if (d.Op == "ratio") != (d.Over != nil) {
		f.Add("over", "belongs to ratio, which needs it")
	}
	if d.Over != nil {
		f.event("over.event", d.Over.Event)
		f.where("over.where", d.Over.Where)
	}
	d.checkWindow(&f)
	return f.Err()
}

func (d *ComputedDoc) checkWindow(f *faults) {
	if d.Within != 0 && d.Calendar != "" {
		f.Add("calendar", "and within are two windows; write one")
	}
	if d.Within != 0 && (d.Within < rapport.Duration(time.Hour) || d.Within > rapport.Duration(400*24*time.Hour)) {
		f.Add("within", "lies between 1h and 400d")
	}
	if d.Ago != 0 && d.Calendar == "" {
		f.Add("ago", "counts calendar windows back; write calendar as well")
	}
	if d.Calendar != "" && !slices.Contains(calendarUnits, d.Calendar) {
		f.Add("calendar", "%q is not one of %s", d.Calendar, strings.Join(calendarUnits, ", "))
	}
	windowless := slices.Contains([]string{"since", "streak", "decayed"}, d.Op)
	if windowless && (d.Within != 0 || d.Calendar != "") {
		f.Add("within", "%s looks at all time and takes no window", d.Op)
	}
	if d.Op == "frequency" && d.Calendar != "" {
		f.Add("calendar", "frequency takes a sliding window or all time")
	}
	if d.Zone != "" {
		if _, err := time.LoadLocation(d.Zone); err != nil || d.Zone == "Local" {
			f.Add("zone", "%q is not a time zone such as Europe/Oslo", d.Zone)
		}
		if d.Calendar == "" && d.Op != "streak" {
			f.Add("zone", "matters to calendar windows and streaks only")
		}
	}
	if d.Per != "" {
		switch {
		case !slices.Contains([]string{"frequency", "since", "streak"}, d.Op):
			f.Add("per", "belongs to frequency, since and streak")
		case d.Op == "streak" && (d.Per == "minute" || d.Per == "hour"):
			f.Add("per", "a streak is of days, weeks or months")
		}
	}
	if d.Top != 0 && d.Op != "top" {
		f.Add("top", "belongs to the op top")
	}
	if d.HalfLife != 0 && d.Op != "decayed" {
		f.Add("halfLife", "belongs to the op decayed")
	}
}

func (f *faults) event(path, name string) {
	if name == "" || len(name) > 200 {
		f.Add(path, "is the name of an event, up to 200 bytes")
	}
}

func (f *faults) where(path string, c *condition.Condition) {
	if c.IsZero() {
		return
	}
	u := c.Uses()
	if len(u.Traits)+len(u.Computed)+len(u.Scores)+len(u.Context)+len(u.Events)+len(u.Segments)+len(u.Purposes) > 0 || u.Items || u.Time {
		f.Add(path, "sees only the event: properties.x")
	}
}

// question returns the aggregate of the condition language that asks the same.
func (d *ComputedDoc) question(name, event string, where *condition.Condition, op condition.Op, property string) (*condition.Aggregate, error) {
	quote := func(s string) string { return string(rapport.StringValue(s).AppendJSON(nil)) }
	text := "performed(" + quote(event) + ")"
	if !where.IsZero() {
		text += ".where(" + where.String() + ")"
	}
	if d.Within > 0 {
		text += ".within(" + quote(d.Within.String()) + ")"
	}
	text += "." + string(op) + "("
	if property != "" {
		text += quote(property)
	}
	c, err := condition.Parse(text + ") == null")
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "computed trait %s: %s: %w", d.ID, name, err)
	}
	return c.Aggregates()[0], nil
}

func (d *ComputedDoc) compile() (*Computed, error) {
	if err := d.Validate(); err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "computed trait %s: %w", d.ID, err)
	}
	t := &Computed{Name: d.ID, op: d.Op, unit: unitsOf["day"].Milliseconds()}
	if d.Per != "" {
		t.unit = unitsOf[d.Per].Milliseconds()
	}
	op := opsOf[d.Op]
	base := op
	switch {
	case d.Op == "ratio" && d.Property != "":
		op, base = condition.Sum, condition.Sum
	case op == condition.Streak || op == condition.Decayed && d.Property == "":
		base = condition.Count
	case op == condition.Top || op == condition.Decayed:
		base = condition.Sum
	}
	var err error
	if t.main, err = d.question("event", d.Event, d.Where, base, d.Property); err != nil {
		return nil, err
	}
	t.main = d.special(t.main, op)
	switch {
	case d.Op == "ratio":
		over := condition.Count
		if d.Over.Property != "" {
			over = condition.Sum
		}
		if t.aux, err = d.question("over", d.Over.Event, d.Over.Where, over, d.Over.Property); err == nil {
			t.aux = d.special(t.aux, over)
		}
	case d.Op == "frequency" && d.Within == 0:
		t.aux, err = d.question("event", d.Event, d.Where, condition.First, "")
	case d.Op == "frequency":
		t.unit = int64(math.Round(float64(d.Within.Millis()) / float64(t.unit) * 1e6)) // units in a window, in millionths
	}
	return t, err
}

// special returns a with what only computed traits ask for.
func (d *ComputedDoc) special(a *condition.Aggregate, op condition.Op) *condition.Aggregate {
	c := *a
	c.Op, c.Calendar, c.Ago = op, d.Calendar, d.Ago
	switch op {
	case condition.Top:
		if c.K = d.Top; c.K == 0 {
			c.K = 5
		}
	case condition.Decayed:
		if c.HalfLife = d.HalfLife; c.HalfLife == 0 {
			c.HalfLife = rapport.Duration(30 * 24 * time.Hour)
		}
	case condition.Streak:
		if c.Calendar = d.Per; c.Calendar == "" {
			c.Calendar = "day"
		}
	}
	if c.Op == a.Op && c.Calendar == "" {
		return a
	}
	zone := d.Zone
	if c.Calendar != "" {
		if zone == "" {
			zone = "UTC"
		}
		c.Zone, _ = time.LoadLocation(zone)
	}
	// Top lists of different length share their state.
	c.ID = fmt.Sprintf("%s as %s calendar=%s ago=%d zone=%s halfLife=%s", a.ID, op, c.Calendar, c.Ago, zone, c.HalfLife)
	if op == condition.Top {
		c.ID += fmt.Sprintf(" k=%d", c.K)
	}
	c.Key = condition.HashID(c.ID)
	return &c
}

// Asks returns the questions a document asks, by key. Kinds: Invalid.
func (d *ComputedDoc) Asks() ([]*condition.Aggregate, error) {
	t, err := d.compile()
	if err != nil {
		return nil, err
	}
	return t.Asks(), nil
}

// Asks returns the questions the trait is computed from.
func (t *Computed) Asks() []*condition.Aggregate {
	if t.aux == nil {
		return []*condition.Aggregate{t.main}
	}
	return []*condition.Aggregate{t.main, t.aux}
}

// Answer returns the question whose answer the trait is; nil if it is computed
// from answers.
func (t *Computed) Answer() *condition.Aggregate {
	if t.aux != nil || t.op == "since" || t.op == "frequency" {
		return nil
	}
	return t.main
}

// Trend returns which way the trait goes when the answers it is computed from
// go as told.
func (t *Computed) Trend(of func(*condition.Aggregate) condition.Trend) condition.Trend {
	main := of(t.main)
	switch {
	case t.aux != nil && (main != condition.Stays || of(t.aux) != condition.Stays):
		return condition.Varies
	case t.op != "since": // the latest
		return main
	case main == condition.Rises:
		return condition.Falls
	case main == condition.RisesOrAppears:
		return condition.FallsOrAppears
	}
	return main
}

func (t *Computed) bind(c *Config) {
	t.mainDef = c.find(t.main.Key)
	if t.aux != nil {
		t.auxDef = c.find(t.aux.Key)
	}
}

// Timeless reports whether the passing of time alone never changes the trait.
func (t *Computed) Timeless() bool {
	return t.op != "since" && t.op != "frequency" && t.mainDef.keep == 0 && (t.auxDef == nil || t.auxDef.keep == 0)
}

// Computed returns the computed traits, by name.
func (c *Config) Computed() []*Computed {
	if c == nil {
		return nil
	}
	return c.traits
}

// ComputedTrait returns a computed trait, or nil.
func (c *Config) ComputedTrait(name string) *Computed {
	if c == nil {
		return nil
	}
	return c.byName[name]
}

// value returns the trait at a moment, null where there is nothing to tell.
func (t *Computed) value(a *Aggregates, now int64) rapport.Value {
	v := t.mainDef.value(a.bucketsOf(t.mainDef), now)
	switch t.op {
	case "since":
		last, ok := v.Number()
		if !ok {
			return rapport.Value{}
		}
		return rapport.NumberValue(float64(max(now-int64(math.Round(last*1000)), 0) / t.unit))
	case "frequency":
		n, _ := v.Number()
		if t.auxDef == nil {
			return rapport.NumberValue(n / (float64(t.unit) / 1e6))
		}
		first, ok := t.auxDef.value(a.bucketsOf(t.auxDef), now).Number()
		if !ok {
			return rapport.NumberValue(0)
		}
		return rapport.NumberValue(n / float64(max((now-int64(math.Round(first*1000)))/t.unit, 1)))
	case "ratio":
		x, _ := v.Number()
		y, _ := t.auxDef.value(a.bucketsOf(t.auxDef), now).Number()
		if y == 0 {
			return rapport.Value{}
		}
		return rapport.NumberValue(x / y)
	}
	return v
}

// next returns the first time after now at which the trait becomes one that
// matters though nothing more happens; 0 if never.
func (t *Computed) next(a *Aggregates, now int64, matters condition.Turn) int64 {
	main := a.bucketsOf(t.mainDef)
	switch {
	case t.op == "since" || t.op == "frequency" && t.auxDef != nil:
		return t.nextStep(a, now, matters)
	case t.op == "ratio":
		if t.mainDef.keep == 0 {
			return 0
		}
		above, below := t.mainDef.moments(main, now), t.auxDef.moments(a.bucketsOf(t.auxDef), now)
		next := func(m *moments) int64 {
			if at := m.next(); at != 0 {
				return at
			}
			return math.MaxInt64
		}
		for x, y := next(&above), next(&below); ; {
			at := min(x, y)
			switch {
			case at == math.MaxInt64:
				return 0
			case matters.Any() || matters.Matters(t.value(a, at)):
				return at
			case x == at:
				x = next(&above)
			default:
				y = next(&below)
			}
		}
	case t.op == "frequency":
		m := t.mainDef.moments(main, now)
		for at := m.next(); at != 0; at = m.next() {
			if matters.Any() || matters.Matters(t.value(a, at)) {
				return at
			}
		}
		return 0
	}
	return t.mainDef.next(main, now, matters)
}

// nextStep is next for a trait that changes with every unit of time since the
// latest or the first event.
func (t *Computed) nextStep(a *Aggregates, now int64, matters condition.Turn) int64 {
	of := t.mainDef
	if t.auxDef != nil {
		of = t.auxDef
	}
	from, ok := of.value(a.bucketsOf(of), now).Number()
	if !ok {
		return 0
	}
	begin := int64(math.Round(from * 1000))
	passed := max(floorDiv(now-begin, t.unit), 0)
	at := func(n int64) int64 { return begin + (passed+n)*t.unit }
	if matters.Any() {
		return at(1)
	}
	last := 1 + int64(100*365*24*time.Hour)/1e6/t.unit
	than, side, compares := matters.Limit()
	if !compares || t.op == "frequency" {
		does := func(n int64) bool { return matters.Matters(t.value(a, at(n))) }
		return searchSteps(at, does, last, compares && side != 0)
	}
	// Units pass one by one: what passes the limit does so at the next whole number.
	n := max(int64(math.Floor(min(than, 1e9)))-passed, 1)
	for _, n := range [...]int64{n, n + 1} {
		if side >= 0 && n <= last && matters.MattersNumber(float64(passed+n)) {
			return at(n)
		}
	}
	return 0
}
