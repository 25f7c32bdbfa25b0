package predict

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/insight"
	"github.com/rapport-engine/rapport/profile"
)

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

// table is what is known of the people an outcome is asked about.
type table struct {
	columns []insight.Column
	y       []float64 // 1: with the outcome
	// explore says whom the search may see. Each stays in their half for ever:
	// whoever tested a group once is never searched in.
	explore []bool
	rate    float64 // share with the outcome
	leftOut []string
	reason  string // why there is nothing to search
}

// tabulate reads everybody, or a uniform sample of very many, as they are now.
func tabulate(ctx context.Context, home Home, q Question, background bool) (*table, error) {
	var mu sync.Mutex
	var people []someone
	below := uint64(math.MaxUint64)
	err := home.Scan(ctx, engine.ScanOptions{Background: background}, func(_ int, v *engine.View) error {
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
	people = slices.DeleteFunc(people, func(s someone) bool { return s.hash > below }) // who came in while it was halved
	slices.SortFunc(people, func(a, b someone) int { return cmp.Compare(a.hash, b.hash) })
	return tableOf(people), nil
}

func tableOf(people []someone) *table {
	t := &table{y: make([]float64, len(people)), explore: make([]bool, len(people)), leftOut: []string{}}
	with := 0.0
	for i, p := range people {
		t.y[i], t.explore[i] = p.outcome, p.hash>>20&1 == 0
		with += p.outcome
	}
	t.rate = with / float64(max(len(people), 1))
	if len(people) < leastSearch || with < 20 || float64(len(people))-with < 20 {
		t.reason = fmt.Sprintf("not enough data: it takes %d people, 20 of them with the outcome and 20 without; there are %d, %.0f with it", leastSearch, len(people), with)
		return t
	}
	t.columns = columnsOf(people)
	t.leftOut = append(t.leftOut, insight.Telling(t.columns, t.y, t.explore)...)
	t.columns = slices.DeleteFunc(t.columns, func(c insight.Column) bool { return slices.Contains(t.leftOut, c.Name) })
	return t
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
