package profile

import "github.com/rapport-engine/rapport"

// Tally folds an event into answers that another room keeps for something that
// is no person, such as a product item: by its name and properties, whatever its
// type. Questions of config count from the first event after they were asked;
// answers nobody asks for any more go. A nil config asks nothing.
func (a *Aggregates) Tally(config *Config, e *rapport.Event) {
	a.follow(config)
	if config != nil {
		a.tally(config.byEvent[e.Name], e, nil)
	}
}

// AnswersEnv returns the Env of something of which nothing but answers is
// known, at a moment (Unix ms).
func AnswersEnv(a *Aggregates, questions *Config, at int64) *Env {
	return &Env{activity: &Activity{}, consent: &Consent{}, about: &About{}, aggregates: a, questions: questions, owner: nothing{}, at: at, zones: &Zones{}}
}
