package predict

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/insight"
)

// FactLooked is the control fact of one day's look for insights.
const FactLooked = "predict.insights.looked"

// streamLevel is the share of false ones among all that is ever found.
const streamLevel = 0.05

// What the stream remembers.
const (
	mostFound = 200 // discoveries shown
	mostHeld  = 500 // groups that were tested and did not hold
	mostDays  = 400
)

// looked is the body of the fact: what was seen on a day. What of it is a
// discovery is no part of it: the fold decides, by what the stream has left.
type looked struct {
	Day       int32           `json:"day"` // days since 1970, UTC
	Questions []lookedOutcome `json:"questions"`
}

type lookedOutcome struct {
	ID     string           `json:"id"`
	Event  string           `json:"event"`
	Within rapport.Duration `json:"within"`
	People int              `json:"people"`
	Rate   float64          `json:"rate"`
	Tests  []tested         `json:"tests,omitempty"`
	Again  []again          `json:"again,omitempty"`
}

// tested is one group as it was tested.
type tested struct {
	When   []insight.Condition `json:"when"`
	People int                 `json:"people"`
	Rate   float64             `json:"rate"`
	Rest   float64             `json:"rest"`
	Low    float64             `json:"low"`
	High   float64             `json:"high"`
	P      float64             `json:"p"`
}

func testedOf(f insight.Finding) tested {
	return tested{f.Conditions, f.Rows, f.Mean, f.Rest, f.Low, f.High, f.P}
}

// again is a discovery looked at once more, which decides nothing.
type again struct {
	Number int `json:"number"`
	tested
}

// Stream is the endless row of tests that the daily looks are: a fold of the
// control topic. Levels are given out by LORD++, so that looking every day finds
// no more that is false than looking once. It is safe for concurrent use.
type Stream struct {
	mu     sync.Mutex
	tests  insight.Stream
	day    int32 // of the last look; 0 before the first
	days   []lookedDay
	found  []discovery // oldest first
	held   []heldGroup // that did not hold, oldest first
	reason string      // why the last try was no look; not folded
}

type lookedDay struct {
	day                 int32
	people, tests, hits int
	spent               float64
}

type discovery struct {
	number   int // of the test
	day      int32
	question lookedOutcome // without tests
	allowed  float64
	tested   tested
	today    *tested
	todayAt  int32
}

type heldGroup struct {
	day    int32
	event  string
	within rapport.Duration
	people int
	when   []insight.Condition
}

// NewStream returns the stream before its first test.
func NewStream() *Stream { return &Stream{tests: insight.Stream{Level: streamLevel}} }

// Fold follows the control topic. Kinds: Internal, a damaged fact.
func (s *Stream) Fold(kind string, body []byte) error {
	if kind != FactLooked {
		return nil
	}
	var l looked
	if err := json.Unmarshal(body, &l); err != nil {
		return rapport.Errorf(rapport.Internal, "a fact about insights is damaged: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Day <= s.day {
		return nil // two looked at once: the first counts
	}
	s.day = l.Day
	day := lookedDay{day: l.Day}
	before := s.tests.Spent
	for _, q := range l.Questions {
		day.people = max(day.people, q.People)
		for _, a := range q.Again {
			if i := slices.IndexFunc(s.found, func(d discovery) bool { return d.number == a.Number }); i >= 0 {
				t := a.tested
				s.found[i].today, s.found[i].todayAt = &t, l.Day
			}
		}
		of := q
		of.Tests, of.Again = nil, nil
		for _, t := range q.Tests {
			allowed := s.tests.Allowed()
			day.tests++
			if !s.tests.Next(t.P) {
				s.held = append(s.held, heldGroup{l.Day, q.Event, q.Within, t.People, t.When})
				continue
			}
			day.hits++
			s.found = append(s.found, discovery{number: s.tests.Tests, day: l.Day, question: of, allowed: allowed, tested: t})
		}
	}
	day.spent = s.tests.Spent - before
	s.days = append(s.days, day)
	s.days = s.days[max(0, len(s.days)-mostDays):]
	s.found = s.found[max(0, len(s.found)-mostFound):]
	s.held = slices.DeleteFunc(s.held, func(h heldGroup) bool { return h.day+askAgainAfter(h.within) <= l.Day })
	s.held = s.held[max(0, len(s.held)-mostHeld):]
	return nil
}

// askAgainAfter is after how many days a group that did not hold is tested
// again: when hardly any of the outcomes then are among those of now.
func askAgainAfter(within rapport.Duration) int32 {
	const week, quarter = 7, 90
	if within == 0 {
		return quarter
	}
	return int32(min(max(within.Millis()/(24*time.Hour).Milliseconds(), week), quarter))
}

// due reports whether a day has not been looked at.
func (s *Stream) due(day int32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return day > s.day
}

func (s *Stream) say(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason = reason
}

// look searches one table for what is worth testing that is not known already.
// It decides nothing.
func (s *Stream) look(t *table, q Question, id string) (lookedOutcome, error) {
	out := lookedOutcome{ID: id, Event: q.Event, Within: q.Within, People: len(t.y), Rate: t.rate}
	s.mu.Lock()
	var known, standing [][]insight.Condition
	var numbers []int
	for _, d := range s.found {
		if d.question.Event == q.Event && d.question.Within == q.Within {
			standing, numbers = append(standing, d.tested.When), append(numbers, d.number)
		}
	}
	known = append(known, standing...)
	var held []heldGroup
	for _, h := range s.held {
		if h.event == q.Event && h.within == q.Within {
			held = append(held, h)
			known = append(known, h.when)
		}
	}
	s.mu.Unlock()
	for i, f := range insight.Judge(t.columns, t.y, t.explore, known) {
		switch {
		case i >= len(standing):
			// With twice the people it is another test.
			if h := held[i-len(standing)]; f.Rows >= 2*h.people {
				known[i] = nil
			}
		case f.Rows > 0:
			out.Again = append(out.Again, again{numbers[i], testedOf(f)})
		}
	}
	found, err := insight.Candidates(t.columns, t.y, insight.Options{Explore: t.explore, Known: known, Promising: true})
	if err != nil {
		return out, err
	}
	for _, f := range found {
		out.Tests = append(out.Tests, testedOf(f))
	}
	return out, nil
}

// InsightStream tells what the daily looks found, and what they may still.
type InsightStream struct {
	Level       float64        `json:"level" doc:"Share of false ones among all that is ever found here"`
	Tests       int            `json:"tests" doc:"Groups tested since the first look"`
	Discoveries int            `json:"discoveries"`
	Spent       float64        `json:"spent" doc:"Chance of a false discovery given out so far, added up over the tests"`
	Left        float64        `json:"left" doc:"What may still be given out; each discovery adds to it"`
	Next        float64        `json:"next" doc:"The largest p-value at which the next test is a discovery"`
	Told        string         `json:"told" doc:"The same in words"`
	Reason      string         `json:"reason,omitempty" doc:"Why today has not been looked at yet"`
	Days        []InsightDay   `json:"days" doc:"Looks, oldest first"`
	Insights    []FoundInsight `json:"insights" doc:"Discoveries, newest first"`
}

// InsightDay is one day's look.
type InsightDay struct {
	Day         string  `json:"day"`
	People      int     `json:"people"`
	Tests       int     `json:"tests"`
	Discoveries int     `json:"discoveries"`
	Spent       float64 `json:"spent"`
}

// FoundInsight is a discovery of the daily looks, as it was found and as it is now.
type FoundInsight struct {
	Number   int           `json:"number" doc:"Of its test"`
	Question string        `json:"question"`
	Event    string        `json:"event" doc:"The outcome"`
	Within   string        `json:"within,omitempty" doc:"In the last so long; all time if left out"`
	Found    string        `json:"found" doc:"Day it was found"`
	Sentence string        `json:"sentence"`
	When     string        `json:"when" doc:"The group as a condition: a segment of it is one step away"`
	People   int           `json:"people"`
	Rate     float64       `json:"rate" doc:"Share of the group with the outcome, among people the search had not seen"`
	Rest     float64       `json:"rest" doc:"Share of the others"`
	Low      float64       `json:"low" doc:"95 % interval of the difference"`
	High     float64       `json:"high"`
	P        float64       `json:"p" doc:"How often chance alone would bring at least such a difference"`
	Allowed  float64       `json:"allowed" doc:"How often it may, for the test to be a discovery"`
	Told     string        `json:"told" doc:"Why it counts as found, in words"`
	Now      *InsightToday `json:"now,omitempty" doc:"At the latest look that could tell"`
}

// InsightToday is a discovery at a later look. It decides nothing: the figures
// of the day it was found are flattered by having been chosen, these are not.
type InsightToday struct {
	Day    string  `json:"day"`
	People int     `json:"people"`
	Rate   float64 `json:"rate"`
	Rest   float64 `json:"rest"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Holds  bool    `json:"holds" doc:"The interval is on one side of nothing, that of the day it was found"`
}

// Page tells where the stream is.
func (s *Stream) Page() InsightStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := InsightStream{
		Level: s.tests.Level, Tests: s.tests.Tests, Discoveries: s.tests.Discoveries, Spent: s.tests.Spent, Left: s.tests.Left(), Next: s.tests.Allowed(),
		Reason: s.reason, Days: []InsightDay{}, Insights: []FoundInsight{},
	}
	out.Told = fmt.Sprintf("%d groups were tested and %d held. Each test takes its share of an allowance for being wrong (%s of %s is left), and each discovery adds to it. "+
		"So however often is looked, about one in twenty of all that is found here is chance, and where there is nothing to find, a discovery is ever made in one deployment of forty. "+
		"The next group counts as found if chance brings such a difference %s, or more rarely.",
		out.Tests, out.Discoveries, share(out.Left), share(out.Left+out.Spent), oneIn(out.Next))
	for _, d := range s.days {
		out.Days = append(out.Days, InsightDay{dateOf(d.day), d.people, d.tests, d.hits, d.spent})
	}
	for i := range s.found {
		d := &s.found[len(s.found)-1-i]
		t := d.tested
		f := insight.Finding{Conditions: t.When, Mean: t.Rate, Rest: t.Rest}
		card := FoundInsight{
			Number: d.number, Question: d.question.ID, Event: d.question.Event, Found: dateOf(d.day), Sentence: sentence(d.question.Event, f), When: when(t.When),
			People: t.People, Rate: round(t.Rate), Rest: round(t.Rest), Low: round(t.Low), High: round(t.High), P: t.P, Allowed: d.allowed,
			Told: fmt.Sprintf("Test %d, on %s: chance alone brings such a difference %s. After the tests before it, anything rarer than %s counted as found.", d.number, dateOf(d.day), oneIn(t.P), oneIn(d.allowed)),
		}
		if d.question.Within > 0 {
			card.Within = d.question.Within.String()
		}
		if n := d.today; n != nil {
			card.Now = &InsightToday{dateOf(d.todayAt), n.People, round(n.Rate), round(n.Rest), round(n.Low), round(n.High), n.Low > 0 && t.Rate > t.Rest || n.High < 0 && t.Rate < t.Rest}
		}
		out.Insights = append(out.Insights, card)
	}
	return out
}

func dateOf(day int32) string {
	return rapport.Time(int64(day) * (24 * time.Hour).Milliseconds()).UTC().Format(time.DateOnly)
}

func share(x float64) string { return fmt.Sprintf("%.2g %%", 100*x) }

// oneIn says a small chance in words, to two figures.
func oneIn(p float64) string {
	switch {
	case p > 0.4:
		return "every second time"
	case p < 1e-9:
		return "less than once in a thousand million times"
	}
	n := 1 / p
	unit := math.Pow(10, max(math.Floor(math.Log10(n))-1, 0))
	digits := fmt.Sprintf("%.0f", math.Round(n/unit)*unit)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return "once in " + digits + " times"
}
