package profile_test

import (
	"testing"

	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/profile"
)

// questions compiles the aggregates that conditions ask.
func questions(t testing.TB, conditions ...string) *profile.Config {
	t.Helper()
	return profile.Compile(func(yield func(condition.Expr) bool) {
		for _, text := range conditions {
			c, err := condition.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(c) {
				return
			}
		}
	})
}
