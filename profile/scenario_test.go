package profile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// TestScenarios plays testdata/scenarios: what happens, and what is then known
// of whom. A line is one of
//
//	# remark
//	day 3 10:30                            the clock; day 0 is Thursday 15 January 2026, UTC
//	page Home a=phone                      an event now: u= user id, a= anonymous id, e= e-mail, p= phone
//	late 2h track "Order Completed" u=x    an event that happened two hours ago
//	withdraw email:x@y.no anna             take back the link from the one identifier to the other
//	one person: ref ref ...
//	different people: ref ref ...
//	ref traits.plan is gold                or: is unknown
//	ref did "Order Completed" 2 times
//	ref allows marketing email             or: refuses; the channel may be left out
//	ref is performed("X").count() > 2      any condition; or: is not
//	ref timeline: newest, ..., oldest      names of events, calls where they have none
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, file, strings.Split(string(text), "\n"))
		})
	}
}

func play(t *testing.T, file string, lines []string) {
	var asked []string
	for _, line := range lines {
		if c, ok := conditionOf(line); ok {
			asked = append(asked, c)
		}
	}
	w := newWorld(t, questions(t, asked...))
	for i, line := range lines {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := w.step(line); err != nil {
			t.Errorf("%s:%d: %s: %v", file, i+1, line, err)
		}
	}
}

func conditionOf(line string) (string, bool) {
	_, c, ok := strings.Cut(line, " is ")
	c = strings.TrimPrefix(c, "not ")
	return c, ok && strings.ContainsAny(c, "(<>=") && !strings.HasPrefix(line, "#")
}

func (w *world) step(line string) error {
	words := fields(line)
	switch words[0] {
	case "day":
		day, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		at, err := time.Parse("15:04", words[2])
		if err != nil {
			return err
		}
		w.clock.set(start.Truncate(24*time.Hour).AddDate(0, 0, day).Add(at.Sub(at.Truncate(24 * time.Hour))))
	case "late":
		d, err := rapport.ParseDuration(words[1])
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(line, words[1]+" ")
		w.sendAt(w.clock.Now().Add(-d.Std()), rest)
	case "withdraw":
		_, a, _ := strings.Cut(words[1], ":")
		w.withdraw(words[1], a, words[2])
	case "one", "different":
		return w.grouping(words[0] == "one", words[2:])
	default:
		if rapport.ParseEventType(words[0]) != 0 {
			w.send(line)
			return nil
		}
		return w.expect(line, words)
	}
	return nil
}

func (w *world) grouping(one bool, refs []string) error {
	people := map[rapport.ID]string{}
	for _, ref := range refs {
		person := w.ref(ref)
		if other, known := people[person]; known != one && (one && len(people) > 0 || !one && known) {
			return fmt.Errorf("%s and %s: one person is %v", ref, other, !one)
		}
		people[person] = ref
	}
	return nil
}

func (w *world) expect(line string, words []string) (err error) {
	if len(words) < 3 {
		return fmt.Errorf("this is no step")
	}
	var names []string
	if words[1] == "timeline:" {
		for _, e := range w.timelineOf(words[0]) {
			if e.Name == "" {
				e.Name = e.Type.String()
			}
			names = append(names, e.Name)
		}
	}
	w.view(w.ref(words[0]), func(v *engine.View) {
		env := profile.ViewEnv(v, &w.zones, w.clock.Now().UnixMilli(), nil)
		switch {
		case words[1] == "timeline:":
			_, want, _ := strings.Cut(line, "timeline: ")
			if got := strings.Join(names, ", "); got != want {
				err = fmt.Errorf("it reads %s", got)
			}
		case words[1] == "did":
			a, _ := v.State(profile.FoldActivity).(*profile.Activity)
			n := int64(0)
			if a != nil {
				n, _ = a.Count(words[2])
			}
			if fmt.Sprint(n) != words[3] {
				err = fmt.Errorf("it was %d times", n)
			}
		case words[1] == "allows" || words[1] == "refuses":
			channel := ""
			if len(words) > 3 {
				channel = words[3]
			}
			if env.Consent(words[2], channel) != (words[1] == "allows") {
				err = fmt.Errorf("it is the other way round")
			}
		case strings.HasPrefix(words[1], "traits.") && words[2] == "is":
			got := env.Value(condition.Traits, strings.Split(words[1], ".")[1:])
			if text := fmt.Sprint(got.Any()); text != words[3] && (words[3] != "unknown" || !got.IsNull()) {
				err = fmt.Errorf("it is %s", text)
			}
		case words[1] == "is":
			text, _ := conditionOf(line)
			c, failed := condition.Parse(text)
			if err = failed; err == nil && c.Holds(env) == (words[2] == "not") {
				err = fmt.Errorf("it is the other way round")
			}
		default:
			err = fmt.Errorf("this is no step")
		}
	})
	return err
}
