package predict

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/affinity"
	"github.com/rapport-engine/rapport/learn/replenish"
	"github.com/rapport-engine/rapport/learn/topic"
)

const (
	mostWords    = 200 // of the vocabulary
	leastPersons = 5   // who gave a sign to a word of it
	mostTopics   = 8
	mostProducts = 200
	leastTasters = 40 // people with two words or more, for topics
)

// taster is one person's tastes, copied out of a view.
type taster struct {
	hash          uint64
	signs, bought ledger
}

// fitTastes fits soft segments, affinities' rates and replenishment.
func (f *Fitter) fitTastes(ctx context.Context, config *Config, now time.Time) (*Liking, error) {
	at := now.UnixMilli()
	var mu sync.Mutex
	var people []taster
	below := uint64(math.MaxUint64)
	err := f.d.Home.Scan(ctx, engine.ScanOptions{}, func(_ int, v *engine.View) error {
		hash := hashOf(v.ID())
		all, _ := v.State(FoldTastes).(*Tastes)
		if all == nil {
			return nil
		}
		t := all.in(config.key)
		if t == nil || len(t.signs)+len(t.bought) == 0 {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if hash > below {
			return nil
		}
		people = append(people, taster{hash, t.signs.clone(), t.bought.clone()})
		if len(people) > mostPeople {
			below /= 2
			people = slices.DeleteFunc(people, func(t taster) bool { return t.hash > below })
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(people, func(a, b taster) int { return cmp.Compare(a.hash, b.hash) })
	out := &Liking{Settings: config.key.digest, Since: config.key.since, Definition: config.settings, Made: at, People: len(people), Rates: map[string]float64{}, Products: map[string]*replenish.Model{}}
	persons := out.rates(people, at)
	for name, n := range persons {
		if n >= leastPersons {
			out.Vocabulary = append(out.Vocabulary, name)
		}
	}
	slices.SortFunc(out.Vocabulary, func(a, b string) int { return cmp.Or(cmp.Compare(persons[b], persons[a]), strings.Compare(a, b)) })
	out.Vocabulary = out.Vocabulary[:min(len(out.Vocabulary), mostWords)]
	if err := out.findTopics(people, at, config.liking); err != nil {
		return nil, err
	}
	out.findPaces(people, dayOf(at))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(out.Vocabulary) == 0 && len(out.Products) == 0 {
		return nil, errNotEnough{"no attribute of a product had a sign of " + count(leastPersons) + " people, and no product was bought again often enough; there are signs of " + count(len(people)) + " people"}
	}
	return out, nil
}

// rates sets everybody's share of each name and returns how many people gave it a sign.
func (l *Liking) rates(people []taster, at int64) map[string]int {
	weights, all, persons := map[string]float64{}, map[string]float64{}, map[string]int{}
	for _, p := range people {
		for _, a := range p.signs {
			var e affinity.Evidence
			for _, x := range a.lines {
				if x.sign < uint8(affinity.Signs) {
					e[x.sign] += fade(x, at)
				}
			}
			attribute, _, _ := strings.Cut(a.name, "=")
			w := e.Weight()
			weights[a.name] += w
			all[attribute] += w
			persons[a.name]++
		}
	}
	for name, w := range weights {
		attribute, _, _ := strings.Cut(name, "=")
		if all[attribute] > 0 && persons[name] >= leastPersons {
			l.Rates[name] = min(max(round(w/all[attribute]), 1e-4), 0.999)
		}
	}
	return persons
}

// findTopics discovers soft segments; ids go on from the model before.
func (l *Liking) findTopics(people []taster, at int64, old *Liking) error {
	index := map[string]int{}
	for i, name := range l.Vocabulary {
		index[name] = i
	}
	word := func(name string) int {
		if i, ok := index[name]; ok {
			return i
		}
		return -1
	}
	var did [][]topic.Count
	several := 0
	for _, p := range people {
		if c := counts(p.signs, word, at); len(c) > 0 {
			did = append(did, c)
			if len(c) > 1 {
				several++
			}
		}
	}
	topics := min(mostTopics, len(l.Vocabulary)/3)
	if topics < 2 || several < leastTasters {
		return nil
	}
	m, err := topic.Fit(did, len(l.Vocabulary), topic.Options{Topics: topics, Seed: 1})
	if err != nil {
		return nil // too few after all: there are no soft segments
	}
	if old != nil && old.Topics != nil {
		from := make([]int, len(l.Vocabulary))
		for i, name := range l.Vocabulary {
			from[i] = old.word(name)
		}
		m.Align(old.Topics, from)
	}
	for k := range m.Word {
		for w := range m.Word[k] {
			m.Word[k][w] = max(round(m.Word[k][w]), 1e-9)
		}
		var names []string
		for _, t := range m.Tells(k, 3) {
			if t.Lift > 1.2 && t.Share > 0.03 {
				names = append(names, strings.Replace(l.Vocabulary[t.Word], "=", " ", 1))
			}
		}
		if len(names) == 0 {
			names = []string{"a bit of everything"}
		}
		l.Names = append(l.Names, strings.Join(names, " · "))
	}
	l.Topics = m
	return nil
}

// findPaces fits how fast each product is used up.
func (l *Liking) findPaces(people []taster, today int32) {
	gaps := map[string][][]replenish.Gap{}
	total := map[string]int{}
	for _, p := range people {
		for _, a := range p.bought {
			if g, _, _ := gapsOf(a.lines, today); len(g) > 0 {
				gaps[a.name] = append(gaps[a.name], g)
				total[a.name] += len(g)
			}
		}
	}
	var names []string
	for name := range gaps {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(total[b], total[a]), strings.Compare(a, b)) })
	for _, name := range names[:min(len(names), mostProducts)] {
		if m, err := replenish.Fit(gaps[name]); err == nil {
			l.Products[name] = m
		}
	}
}

func (l ledger) clone() ledger {
	out := slices.Clone(l)
	for i := range out {
		out[i].lines = slices.Clone(out[i].lines)
	}
	return out
}
