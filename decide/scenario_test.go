package decide_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
)

var update = flag.Bool("update", false, "rewrite the expectations of the scenario files")

// A scenario file holds config documents, a line of "===", and commands, each
// followed by what it answers in lines that begin with "> ":
//
//	wait 3h
//	identify kari country=NO
//	consent kari marketing=true
//	track kari "Order Completed" revenue=20
//	decide kari home page=cart
//	click kari                  (the newest decision; shown and dismiss likewise)
//	click kari home action=mug  (the newest decision in a placement)
//	track kari "Order Completed" of=home revenue=20 (names that decision)
//	why kari home mug           (why, or why not, without consequence)
//	learned
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.scenario")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".scenario"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			docs, script, ok := strings.Cut(string(data), "\n===\n")
			if !ok {
				t.Fatal("no line of === divides config and commands")
			}
			s := scenario{world: open(t, documents(t, docs)), people: map[string]uint64{}, last: map[string]*rapport.Decision{}}
			var out strings.Builder
			out.WriteString(docs + "\n===\n")
			for _, line := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
				if strings.HasPrefix(line, ">") {
					continue
				}
				out.WriteString(line + "\n")
				for _, answer := range s.command(line) {
					out.WriteString("> " + answer + "\n")
				}
			}
			if *update {
				if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got := out.String(); got != string(data) {
				t.Errorf("expected\n%s\ngot\n%s", data, got)
			}
		})
	}
}

// documents reads config as the program does.
func documents(t *testing.T, text string) (docs decide.Documents) {
	t.Helper()
	r, err := config.NewRegistry([]config.Kind{
		{Name: "placement", New: func() any { return new(decide.PlacementDoc) }},
		{Name: "action", New: func() any { return new(decide.ActionDoc) }},
		{Name: "policy", New: func() any { return new(decide.PolicyDoc) }},
		{Name: "trigger", New: func() any { return new(decide.TriggerDoc) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	set, problems := r.Parse("scenario", []byte(text))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for _, d := range config.Specs[*decide.ActionDoc](set, "action") {
		docs.Actions = append(docs.Actions, *d)
	}
	for _, d := range config.Specs[*decide.PlacementDoc](set, "placement") {
		docs.Placements = append(docs.Placements, *d)
	}
	for _, d := range config.Specs[*decide.PolicyDoc](set, "policy") {
		docs.Policies = append(docs.Policies, *d)
	}
	for _, d := range config.Specs[*decide.TriggerDoc](set, "trigger") {
		docs.Triggers = append(docs.Triggers, *d)
	}
	return docs
}

type scenario struct {
	*world
	people map[string]uint64
	last   map[string]*rapport.Decision
}

func (s *scenario) person(name string) rapport.ID {
	if _, known := s.people[name]; !known {
		s.people[name] = uint64(1000 + len(s.people))
	}
	return who(s.people[name])
}

// lastOf returns the id of the newest decision for a person, or for "person placement".
func (s *scenario) lastOf(what string) string {
	d := s.last[what]
	if d == nil {
		s.t.Fatalf("no decision was made for %s", what)
	}
	return d.ID
}

func (s *scenario) command(line string) []string {
	words := split(line)
	if len(words) == 0 || strings.HasPrefix(line, "#") {
		return nil
	}
	word := func(i int) string {
		if i >= len(words) {
			s.t.Fatalf("%q lacks an argument", line)
		}
		return words[i]
	}
	switch words[0] {
	case "wait":
		d, err := rapport.ParseDuration(word(1))
		if err != nil {
			s.t.Fatal(err)
		}
		s.clock.advance(d.Std())
	case "identify":
		s.event(s.person(word(1)), rapport.TypeIdentify, "", pairs(words[2:]))
	case "consent":
		for k, v := range pairs(words[2:]) {
			s.track(s.person(word(1)), rapport.EventConsentUpdated, map[string]any{"purpose": k, "allowed": v})
		}
	case "track":
		p := pairs(words[3:])
		if of, ok := p["of"].(string); ok {
			delete(p, "of")
			p["decisionId"] = s.lastOf(word(1) + " " + of)
		}
		s.track(s.person(word(1)), word(2), p)
	case "shown", "click", "dismiss":
		name := map[string]string{"shown": rapport.EventDecisionShown, "click": rapport.EventDecisionClicked, "dismiss": rapport.EventDecisionDismissed}[words[0]]
		of, rest := word(1), words[2:]
		if len(rest) > 0 && !strings.Contains(rest[0], "=") {
			of, rest = of+" "+rest[0], rest[1:]
		}
		p := pairs(rest)
		p["decisionId"] = s.lastOf(of)
		s.track(s.person(word(1)), name, p)
	case "decide":
		s.learned()
		d, err := s.decider.Decide(s.t.Context(), decide.Request{
			Person: s.person(word(1)), Placement: word(2), Context: rapport.FieldsOf(pairs(words[3:])),
		})
		if err != nil {
			return []string{err.Error()}
		}
		s.last[words[1]], s.last[words[1]+" "+words[2]] = d, d
		return told(d)
	case "why":
		s.learned()
		x, err := s.decider.Explain(s.t.Context(), decide.Request{Person: s.person(word(1)), Placement: word(2)}, word(3))
		if err != nil {
			return []string{err.Error()}
		}
		a := x.Action
		out := []string{a.Rule + ": " + a.Detail}
		if a.Chosen {
			out[0] = "chosen: " + a.Detail
		}
		for _, c := range a.Changes {
			out = append(out, "instead: "+c)
		}
		return out
	case "learned":
		var out []string
		for _, l := range s.learned().Learned() {
			for _, g := range l.Goals {
				out = append(out, fmt.Sprintf("%s in %s: %d exposures, %s rate %.2f worth %.2f", l.Action, l.Placement, l.Exposures, g.Event, g.Rate, g.Amount))
			}
		}
		return out
	default:
		s.t.Fatalf("unknown command %q", line)
	}
	return nil
}

// told tells a decision in the words it is explained with.
func told(d *rapport.Decision) []string {
	x := decide.Explain(d)
	out := []string{x.Sentence}
	for _, stage := range x.Funnel[1 : len(x.Funnel)-1] {
		for _, f := range stage.Excluded {
			out = append(out, "  not "+f.Action+", "+stage.Rule+": "+f.Detail)
		}
	}
	for _, c := range d.Items {
		if len(c.Content) > 0 {
			out = append(out, "  shows "+string(c.Content.AppendJSON(nil)))
		}
	}
	return out
}

// split cuts a line at spaces, keeping what stands in quotes together.
func split(line string) (words []string) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

func pairs(words []string) map[string]any {
	m := map[string]any{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		if n, err := strconv.ParseFloat(v, 64); err == nil {
			m[k] = n
		} else if b, err := strconv.ParseBool(v); err == nil {
			m[k] = b
		} else {
			m[k] = v
		}
	}
	return m
}
