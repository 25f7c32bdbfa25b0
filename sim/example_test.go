package sim_test

import (
	"fmt"
	"time"

	"github.com/rapport-engine/rapport/sim"
)

// A world's history can be written anywhere, not only to a server.
func ExampleWorld_History() {
	w, _, err := sim.Northbean()
	if err != nil {
		fmt.Println(err)
		return
	}
	events := 0
	w.History(time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC), 0, 1, func(channel string, event []byte) bool {
		events++
		return true
	})
	fmt.Println(events > 0, w.Shopper(0).Country.Locale != "")
	// Output: true true
}

// The truth tells which action is best for a shopper, and what it is worth.
func ExampleOracle_Rank() {
	w, _, err := sim.Trial()
	if err != nil {
		fmt.Println(err)
		return
	}
	truth := w.Oracle()
	s := w.Shopper(1)
	for _, r := range truth.Rank(s, truth.Typical(s, 12), "trial_home", nil) {
		fmt.Printf("%s %.2f\n", r.Action, r.Effect.Value)
	}
	// Output:
	// six-percent 0.06
	// three-percent 0.03
}
