package profile

import (
	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// Lived is a person as they were at a moment of their past: events are applied
// in the order in which they became known, and conditions asked in between. Of
// scores and items it knows nothing. It is for one goroutine.
type Lived struct {
	Env
	activity   Activity
	consent    Consent
	about      About
	aggregates Aggregates
}

// NewLived returns a person of whom nothing happened yet. questions are all
// that will be asked.
func NewLived(questions *Config, zones *Zones) *Lived {
	l := &Lived{aggregates: Aggregates{config: questions}}
	l.Env = Env{activity: &l.activity, consent: &l.consent, about: &l.about, aggregates: &l.aggregates, questions: questions, owner: nothing{}, zones: zones}
	return l
}

// Pass lets time pass to a moment, Unix ms.
func (l *Lived) Pass(at int64) { l.at = max(l.at, at) }

// Apply lets an event happen at the moment.
func (l *Lived) Apply(e *rapport.Event) {
	c := &engine.Context{Time: l.at}
	l.activity.Apply(c, e)
	l.consent.Apply(c, e)
	if len(traitsOf(e)) > 0 {
		l.about.Apply(c, e)
	}
	l.aggregates.Apply(c, e)
}
