package predict

import (
	"context"
	"fmt"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/insight"
)

// Question asks what lifts or sinks an outcome.
type Question struct {
	Event  string           // the outcome: the person did this
	Within rapport.Duration // in the last so long; 0 is ever
	Now    int64            // Unix ms
	// Exclude are traits and events that must not explain it.
	Exclude []string
}

// Insight is a group of people for whom the outcome is more or less frequent:
// an association, until an experiment says more.
type Insight struct {
	Sentence  string  `json:"sentence"`
	When      string  `json:"when" doc:"The group as a condition: a segment of it is one step away"`
	People    int     `json:"people" doc:"In the group"`
	Rate      float64 `json:"rate" doc:"Share of the group with the outcome, among people the search had not seen"`
	Rest      float64 `json:"rest" doc:"Share of the others"`
	Low       float64 `json:"low" doc:"95 % interval of the difference"`
	High      float64 `json:"high"`
	Lift      float64 `json:"lift"`
	Q         float64 `json:"q" doc:"Expected share of false ones among discoveries as sure as this"`
	Discovery bool    `json:"discovery" doc:"False: looked promising, did not hold"`
}

// Insights are what a search found.
type Insights struct {
	Event    string    `json:"event"`
	People   int       `json:"people"`
	Rate     float64   `json:"rate" doc:"Share of all people with the outcome"`
	Insights []Insight `json:"insights"`
	LeftOut  []string  `json:"leftOut" doc:"What explains nothing because it is the outcome in other words: a step without which hardly anybody does it, or what only those do who did it"`
	Reason   string    `json:"reason,omitempty" doc:"Why there are none"`
}

// Discover searches everybody's traits and deeds for groups that differ in the
// outcome. Kinds: Invalid, Unavailable.
func Discover(ctx context.Context, home Home, q Question) (*Insights, error) {
	if q.Event == "" {
		return nil, rapport.Errorf(rapport.Invalid, "no event is given as the outcome")
	}
	t, err := tabulate(ctx, home, q, false)
	if err != nil {
		return nil, err
	}
	out := &Insights{Event: q.Event, People: len(t.y), Rate: t.rate, Insights: []Insight{}, LeftOut: t.leftOut, Reason: t.reason}
	if out.Reason != "" {
		return out, nil
	}
	found, err := insight.Search(t.columns, t.y, insight.Options{Explore: t.explore})
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		out.Insights = append(out.Insights, card(q, f))
	}
	if len(found) == 0 {
		out.Reason = "no group differs by more than chance would have it"
	}
	return out, nil
}

func card(q Question, f insight.Finding) Insight {
	out := Insight{
		Sentence: sentence(q.Event, f), When: when(f.Conditions),
		People: f.Rows, Rate: round(f.Mean), Rest: round(f.Rest), Low: round(f.Low), High: round(f.High),
		Q: round(f.Q), Discovery: f.Discovery,
	}
	if f.Rest > 0 {
		out.Lift = round(f.Lift)
	}
	return out
}

// when writes a group as a condition.
func when(group []insight.Condition) string {
	var clauses []string
	for _, c := range group {
		text := c.String()
		if c.Op == "==" && (c.Text == "true" || c.Text == "false") {
			text = c.Column + " == " + c.Text
		}
		clauses = append(clauses, text)
	}
	return strings.Join(clauses, " && ")
}

func sentence(event string, f insight.Finding) string {
	more := "more"
	if f.Mean < f.Rest {
		more = "less"
	}
	return fmt.Sprintf("People with %s did %q %s often: %.1f %% against %.1f %% of the others.", when(f.Conditions), event, more, 100*f.Mean, 100*f.Rest)
}
