package profile

import (
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
)

// Zones finds time zones by name and remembers them: reading one takes a file.
// The zero Zones is ready; it is safe for concurrent use. Names that are not
// zones are not remembered, so it holds no more than there are zones.
type Zones struct{ known sync.Map } // name -> *time.Location

// Find returns a zone, or UTC for a name that is none.
func (z *Zones) Find(name string) *time.Location {
	if name == "" {
		return time.UTC
	}
	if l, ok := z.known.Load(name); ok {
		return l.(*time.Location)
	}
	l, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return time.UTC
	}
	z.known.Store(name, l)
	return l
}

// Env is one person as conditions see them at a moment. It refers to the states
// it was made of and is valid as long as they are.
type Env struct {
	activity   *Activity
	consent    *Consent
	about      *About // when first needed: it is kept apart
	aggregates *Aggregates
	questions  *Config // in force
	// states has what else is known of the person, found when it is first asked for.
	states States
	config *engine.Config
	owner  condition.Owner
	// context of the request or event, properties of the event at hand.
	context, properties rapport.Fields
	at                  int64
	zones               *Zones
	Others
}

// States finds what a fold keeps of a person; nil if there is no such fold.
type States interface {
	State(fold string) engine.State
}

// Others are what other rooms answer, from the states of the Env they are
// given. Nil knows nothing.
type Others struct {
	// Segments returns whether a person is in a live segment; known is false
	// for what is none. Soft returns the degree of membership in any other.
	Segments func(e *Env, segment string) (in, known bool)
	Soft     func(e *Env, segment string) float64
	// Scores returns the value at a path of scores. NextScores returns when it
	// changes by itself, Unix ms, 0 for never; not ok where nobody can tell.
	Scores     func(e *Env, path []string) rapport.Value
	NextScores func(e *Env, path []string) (at int64, ok bool)
}

var (
	_ condition.Env    = (*Env)(nil)
	_ condition.Owner  = (*Env)(nil)
	_ condition.Timed  = (*Env)(nil)
	_ condition.Moment = (*Env)(nil)
	_ condition.Scored = (*Env)(nil)
)

// ViewEnv returns the person of a view at a moment (Unix ms).
func ViewEnv(v *engine.View, zones *Zones, at int64, context rapport.Fields) *Env {
	e := &Env{}
	e.View(v, zones, at, context)
	return e
}

// View makes env the person of a view at a moment (Unix ms), so that one Env
// serves many.
func (e *Env) View(v *engine.View, zones *Zones, at int64, context rapport.Fields) {
	*e = Env{context: context, zones: zones, at: at, Others: e.Others}
	e.of(v, v.Config())
}

// EventEnv returns the person as a fold sees them with an event just folded in.
func EventEnv(c *engine.Context, zones *Zones, e *rapport.Event) *Env {
	env := &Env{}
	env.Event(c, zones, e)
	return env
}

// Event makes env the person as a fold sees them with an event just folded in,
// or none, so that one Env serves many.
func (e *Env) Event(c *engine.Context, zones *Zones, event *rapport.Event) {
	*e = Env{at: c.Time, zones: zones, Others: e.Others}
	if event != nil {
		e.context, e.properties = event.Context, event.Properties
	}
	e.of(c, c.Config)
}

// StrangerEnv returns a person nothing is known of, at a moment (Unix ms).
func StrangerEnv(questions *Config, at int64) *Env {
	return &Env{activity: &Activity{}, consent: &Consent{}, about: &About{}, aggregates: &Aggregates{}, questions: questions, owner: nothing{}, at: at, zones: &Zones{}}
}

func (e *Env) of(states States, config *engine.Config) {
	e.states, e.config = states, config
	e.aggregates, _ = states.State(FoldAggregate).(*Aggregates)
	e.questions, _ = config.Part(Part).(*Config)
}

// State returns what a fold keeps of the person, or nil.
func (e *Env) State(fold string) engine.State {
	if e.states == nil {
		return nil
	}
	return e.states.State(fold)
}

// Config returns the configuration in force, At the moment (Unix ms).
func (e *Env) Config() *engine.Config { return e.config }

// At returns the moment, Unix ms.
func (e *Env) At() int64 { return e.at }

// told returns what was said of the person.
func (e *Env) told() *About {
	if e.about == nil {
		e.about, _ = e.State(FoldAbout).(*About)
	}
	return e.about
}

// encoded is an optional ability of States: it has what a fold keeps as stored,
// which is enough for one look at somebody who is not in memory.
type encoded interface {
	Encoded(fold string) ([]byte, bool)
}

// trait returns what was said of the person by a name, or null.
func (e *Env) trait(name string) rapport.Value {
	if e.about == nil {
		if s, ok := e.states.(encoded); ok {
			if b, ok := s.Encoded(FoldAbout); ok {
				return encodedTrait(b, name)
			}
		}
	}
	about := e.told()
	if about == nil {
		return rapport.Value{}
	}
	return about.Trait(name)
}

// Value implements condition.Env.
func (e *Env) Value(root condition.Root, path []string) rapport.Value {
	if len(path) == 0 {
		return rapport.Value{}
	}
	switch root {
	case condition.Traits:
		v := e.trait(path[0])
		if len(path) == 1 {
			return v
		}
		f, _ := v.Object()
		v, _ = f.Path(path[1:]...)
		return v
	case condition.Context:
		v, _ := e.context.Path(path...)
		return v
	case condition.Properties:
		v, _ := e.properties.Path(path...)
		return v
	}
	if root == condition.Computed && len(path) == 1 {
		return e.Computed(path[0])
	}
	if root == condition.Scores && e.Scores != nil {
		return e.Scores(e, path)
	}
	return rapport.Value{}
}

// NextScore implements condition.Scored.
func (e *Env) NextScore(path []string) (at int64, ok bool) {
	if e.NextScores == nil {
		return 0, false
	}
	return e.NextScores(e, path)
}

// Computed returns a computed trait, or null.
func (e *Env) Computed(name string) rapport.Value {
	if t := e.questions.ComputedTrait(name); t != nil && e.aggregates != nil {
		return t.value(e.aggregates, e.at)
	}
	return rapport.Value{}
}

// Performed implements condition.Env.
func (e *Env) Performed(a *condition.Aggregate) rapport.Value {
	if e.aggregates == nil {
		return rapport.Value{}
	}
	return e.aggregates.performed(a.Key, e.at, e.questions)
}

// NumItems implements condition.Owner.
func (e *Env) NumItems() int { return e.items().NumItems() }

// ItemValue implements condition.Owner.
func (e *Env) ItemValue(i int, path []string) rapport.Value { return e.items().ItemValue(i, path) }

func (e *Env) items() condition.Owner {
	if e.owner == nil {
		var ok bool
		if e.owner, ok = e.State(FoldThings).(condition.Owner); !ok {
			e.owner = nothing{}
		}
	}
	return e.owner
}

// nothing is what a person without items owns.
type nothing struct{}

func (nothing) NumItems() int                         { return 0 }
func (nothing) ItemValue(int, []string) rapport.Value { return rapport.Value{} }

// NextPerformed implements condition.Timed.
func (e *Env) NextPerformed(a *condition.Aggregate, matters condition.Turn) int64 {
	if e.aggregates == nil {
		return 0
	}
	d := e.aggregates.inForce(e.questions).find(a.Key)
	if d == nil {
		return 0
	}
	return d.next(e.aggregates.bucketsOf(d), e.at, matters)
}

// NextComputed implements condition.Timed.
func (e *Env) NextComputed(path []string, matters condition.Turn) int64 {
	t := e.questions.ComputedTrait(path[0])
	if t == nil || e.aggregates == nil || len(path) != 1 {
		return 0
	}
	return t.next(e.aggregates, e.at, matters)
}

// Degree implements condition.Env.
func (e *Env) Degree(segment string) float64 {
	if e.Segments != nil {
		if in, known := e.Segments(e, segment); in {
			return 1
		} else if known {
			return 0
		}
	}
	if e.Soft == nil {
		return 0
	}
	return e.Soft(e, segment)
}

// Consent implements condition.Env.
func (e *Env) Consent(purpose, channel string) bool {
	if e.consent == nil {
		e.consent, _ = e.State(FoldConsent).(*Consent)
	}
	return e.consent != nil && e.consent.Allows(purpose, channel)
}

// UnixMilli implements condition.Moment.
func (e *Env) UnixMilli() int64 { return e.at }

// Now implements condition.Env: the moment in the zone the person named as a
// trait, or else the client told, or else UTC.
func (e *Env) Now() time.Time { return rapport.Time(e.at).In(e.Zone()) }

// Zone returns the person's time zone.
func (e *Env) Zone() *time.Location {
	if about := e.told(); about != nil {
		if z := about.Trait("timezone"); z.Str() != "" {
			return e.zones.Find(z.Str())
		}
	}
	if e.activity == nil {
		e.activity, _ = e.State(FoldActivity).(*Activity)
	}
	if e.activity != nil {
		return e.zones.Find(e.activity.Zone.Value)
	}
	return time.UTC
}
