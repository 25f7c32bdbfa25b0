package predict

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/insight"
	"github.com/rapport-engine/rapport/profile"
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
	Reason   string    `json:"reason,omitempty" doc:"Why there are none"`
}

const (
	mostSearched = 40_000 // people; a uniform sample of more
	mostColumns  = 60
	leastSearch  = 200
)

// plain are the names that conditions write without quotes.
var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// someone is one person as the search sees them.
type someone struct {
	hash    uint64
	outcome float64
	numbers map[string]float64
	texts   map[string]string
}

// Discover searches everybody's traits and deeds for groups that differ in the
// outcome. Kinds: Invalid, Unavailable.
func Discover(ctx context.Context, home Home, q Question) (*Insights, error) {
	if q.Event == "" {
		return nil, rapport.Errorf(rapport.Invalid, "no event is given as the outcome")
	}
	var mu sync.Mutex
	var people []someone
	below := uint64(math.MaxUint64)
	err := home.Scan(ctx, engine.ScanOptions{}, func(_ int, v *engine.View) error {
		hash := hashOf(v.ID())
		a, _ := v.State(profile.FoldActivity).(*profile.Activity)
		if a == nil || a.Events == 0 {
			return nil
		}
		mu.Lock()
		out := hash > below
		mu.Unlock()
		if out {
			return nil
		}
		s := look(v, a, q)
		s.hash = hash
		mu.Lock()
		defer mu.Unlock()
		people = append(people, s)
		if len(people) > mostSearched {
			below /= 2
			people = slices.DeleteFunc(people, func(s someone) bool { return s.hash > below })
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(people, func(a, b someone) int {
		if a.hash < b.hash {
			return -1
		}
		return 1
	})
	out := &Insights{Event: q.Event, People: len(people), Insights: []Insight{}}
	y := make([]float64, len(people))
	for i, p := range people {
		y[i] = p.outcome
		out.Rate += p.outcome / float64(len(people))
	}
	if with := out.Rate * float64(len(people)); len(people) < leastSearch || with < 20 || float64(len(people))-with < 20 {
		out.Reason = fmt.Sprintf("not enough data: it takes %d people, 20 of them with the outcome and 20 without; there are %d, %.0f with it", leastSearch, len(people), with)
		return out, nil
	}
	found, err := insight.Search(columnsOf(people), y, insight.Options{Seed: uint64(len(q.Event))})
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

// look reads one person: traits, and how often they did what.
func look(v *engine.View, a *profile.Activity, q Question) someone {
	s := someone{numbers: map[string]float64{}, texts: map[string]string{}}
	a.Counts(func(name string, n, last int64) {
		switch {
		case name == q.Event:
			if q.Within == 0 || last > q.Now-q.Within.Millis() {
				s.outcome = 1
			}
		case !slices.Contains(q.Exclude, name) && !strings.ContainsAny(name, "\"\\("):
			s.numbers[fmt.Sprintf("performed(%q).count()", name)] = float64(n)
		}
	})
	about, _ := v.State(profile.FoldAbout).(*profile.About)
	if about == nil {
		return s
	}
	for _, t := range about.Traits() {
		if !plain.MatchString(t.Name) || slices.Contains(q.Exclude, t.Name) {
			continue
		}
		name, value := "traits."+t.Name, t.Value()
		if x, ok := value.Number(); ok {
			s.numbers[name] = x
		} else if b, ok := value.Bool(); ok {
			s.texts[name] = strconv.FormatBool(b)
		} else if text := value.Str(); text != "" && len(text) <= 64 {
			s.texts[name] = strings.Clone(text)
		}
	}
	return s
}

// columnsOf lays the people out as columns, those most often known first.
func columnsOf(people []someone) []insight.Column {
	known := map[string]int{}
	for _, p := range people {
		for name := range p.numbers {
			known[name]++
		}
		for name := range p.texts {
			known[name]++
		}
	}
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if known[a] != known[b] {
			return known[b] - known[a]
		}
		return strings.Compare(a, b)
	})
	var out []insight.Column
	for _, name := range names[:min(len(names), mostColumns)] {
		numbers, texts := insight.Column{Name: name}, insight.Column{Name: name}
		counted := strings.HasPrefix(name, "performed(")
		some, words := false, false
		for _, p := range people {
			x, ok := p.numbers[name]
			some = some || ok
			if !ok && !counted { // what was never done was done zero times
				x = math.NaN()
			}
			numbers.Numbers = append(numbers.Numbers, x)
			texts.Texts = append(texts.Texts, p.texts[name])
			words = words || p.texts[name] != ""
		}
		if some {
			out = append(out, numbers)
		}
		if words {
			out = append(out, texts)
		}
	}
	return out
}

func card(q Question, f insight.Finding) Insight {
	var clauses []string
	for _, c := range f.Conditions {
		text := c.String()
		if c.Op == "==" && (c.Text == "true" || c.Text == "false") {
			text = c.Column + " == " + c.Text
		}
		clauses = append(clauses, text)
	}
	out := Insight{
		When: strings.Join(clauses, " && "), People: f.Rows, Rate: round(f.Mean), Rest: round(f.Rest), Low: round(f.Low), High: round(f.High),
		Q: round(f.Q), Discovery: f.Discovery,
	}
	if f.Rest > 0 {
		out.Lift = round(f.Lift)
	}
	more := "more"
	if f.Mean < f.Rest {
		more = "less"
	}
	out.Sentence = fmt.Sprintf("People with %s did %q %s often: %.1f %% against %.1f %% of the others.", out.When, q.Event, more, 100*f.Mean, 100*f.Rest)
	return out
}
