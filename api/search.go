package api

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/text/cases"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

const (
	// searchTime bounds one search through people: it reads them one by one.
	searchTime = 800 * time.Millisecond
	// leastSearched is how many letters a search needs to be more than a look-up.
	leastSearched = 2
)

// searcher looks for people by the beginning of a name or mail address. One
// search reads at a time; others wait for it.
type searcher struct {
	turn chan struct{} // of capacity 1: who holds the token reads
}

func newSearcher() *searcher { return &searcher{turn: make(chan struct{}, 1)} }

var errEnough = errors.New("enough people are found")

// people returns up to limit people by name, and whether everybody was looked at
// or limit reached. skip are ids found already.
func (s *searcher) people(ctx context.Context, e *engine.Engine, q string, limit int, skip []string) (list []PersonSummary, complete bool, err error) {
	words := searchWords(q)
	if len([]rune(strings.Join(words, ""))) < leastSearched || limit <= 0 {
		return nil, true, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	until, late := context.WithTimeout(ctx, searchTime)
	defer late()
	var mu sync.Mutex
	err = e.Scan(until, engine.ScanOptions{}, func(_ int, v *engine.View) error {
		if v.ID().Rank() == rapport.RankItem {
			return until.Err()
		}
		about, _ := v.State(profile.FoldAbout).(*profile.About)
		if about == nil || !matches(about, words) {
			return until.Err()
		}
		line, ok := Summary(v)
		if !ok || slices.Contains(skip, line.ID) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if len(list) >= limit {
			return errEnough
		}
		list = append(list, line)
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return nil, false, ctx.Err()
	case err == nil, errors.Is(err, errEnough):
		complete = true
	case until.Err() != nil: // what was found in time
	default:
		return nil, false, err
	}
	slices.SortFunc(list, func(a, b PersonSummary) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return list, complete, nil
}

// searchWords are the words of a text as they are compared: without case.
func searchWords(s string) []string {
	return strings.FieldsFunc(cases.Fold().String(s), func(r rune) bool { return unicode.IsSpace(r) || r == ',' })
}

// matches reports whether every word begins a word of the person's names, or the
// mail address.
func matches(about *profile.About, words []string) bool {
	var own []string
	for _, trait := range [...]string{"name", "firstName", "lastName", "first_name", "last_name", "email"} {
		if text := about.Trait(trait).Str(); text != "" {
			own = append(own, searchWords(text)...)
		}
	}
	for _, w := range words {
		if !slices.ContainsFunc(own, func(o string) bool { return strings.HasPrefix(o, w) }) {
			return false
		}
	}
	return len(own) > 0
}
