package segment_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
)

// randomCondition returns a condition over what the test's people do.
func randomCondition(r *rand.Rand, depth int) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	if depth > 0 && r.IntN(2) == 0 {
		text := "(" + randomCondition(r, depth-1) + pick(" && ", " || ") + randomCondition(r, depth-1) + ")"
		return pick("", "!") + text
	}
	window := pick("", `.within("1h")`, `.within("1d")`, `.within("7d")`, `.within("30d")`, `.within("90d")`)
	event := `performed("` + pick("Order", "Visit") + `")` + pick("", "", ".where(properties.revenue > 20)") + window
	return pick(
		event+".count()"+pick(" >= ", " < ", " == ", " <= ", " > ")+pick("1", "2", "3", "5"), event+`.sum("revenue")`+pick(" > ", " < ", " >= ")+pick("20", "60"),
		pick("1", "4")+pick(" < ", " >= ")+event+".count()", event+`.count() > `+event+`.sum("revenue")`, event+"."+pick("max", "min", "avg")+`("revenue")`+pick(" > ", " <= ")+pick("20", "40"),
		event+`.distinct("sku") >= 2`, event+`.last() < now.unix - duration("`+pick("3d", "20d")+`")`, event+`.last("sku") == "s1"`,
		`performed("Visit").then("Order")`+window+`.happened()`, `performed("Visit").notThen("Order")`+window+`.happened()`,
		`traits.plan == "`+pick("a", "b")+`"`, `consent.allows("ads")`, `now.hour >= `+pick("6", "21"), "now.weekday in [6, 7]",
		"computed.spent"+pick(" > ", " < ", " == ")+pick("0", "30", "45"), "computed.mean > 25",
		"computed.days"+pick(" > 3", " >= 30", " == 2", " == 25", " in [19, 33]"), "computed.streak >= 2", "computed.heat "+pick("> 0.5", "> 2", "< 0.1"), "computed.month >= 2",
	)
}

// TestMembershipIsWhatTheHistorySays: over a simulated year, with restarts,
// merges and unmerges, and clients whose clocks run ahead, everybody is in exactly the segments that a recomputation
// from their events gives, at every moment looked at, whether an event came or
// only time passed.
func TestMembershipIsWhatTheHistorySays(t *testing.T) {
	t.Parallel()
	seeds, moves, looked := uint64(3), 0, 0
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 21))
		whens := map[string]string{}
		for i := range 24 {
			whens[fmt.Sprintf("s%02d", i)] = randomCondition(r, 2)
		}
		whens["z1"] = `segments.has("s00") && !segments.has("s01")`
		whens["z2"] = `segments.has("z1") || segments.degree("s02") > 0.5`
		day := rapport.Duration(24 * time.Hour)
		config := compile(t, whens,
			profile.ComputedDoc{ID: "days", Event: "Order", Op: "since"}, profile.ComputedDoc{ID: "streak", Event: "Visit", Op: "streak", Zone: "Europe/Oslo"},
			profile.ComputedDoc{ID: "heat", Event: "Visit", Op: "decayed", HalfLife: 3 * day}, profile.ComputedDoc{ID: "month", Event: "Order", Op: "count", Calendar: "month"},
			profile.ComputedDoc{ID: "spent", Event: "Order", Op: "sum", Property: "revenue", Within: 20 * day}, profile.ComputedDoc{ID: "mean", Event: "Order", Op: "average", Property: "revenue"})
		questions, _ := config.Part(profile.Part).(*profile.Config)
		segments, _ := config.Part(segment.Part).(*segment.Config)
		w := newWorld(t, config)
		events := map[rapport.ID][]rapport.Event{} // by fragment
		users := []string{"a", "b", "c", "d", "e"}
		before := map[string]string{}
		for step := range 400 {
			w.clock.advance(time.Duration(r.Int64N(int64(44 * time.Hour))))
			user := users[r.IntN(len(users))]
			var e rapport.Event
			ago := time.Duration(r.IntN(3)*r.IntN(40)) * time.Hour
			if r.IntN(6) == 0 { // by a clock that runs ahead
				ago = -time.Duration(1+r.IntN(3)*r.IntN(7000)) * time.Second
			}
			switch r.IntN(9) {
			case 0, 1:
				e = w.event(user, rapport.TypeTrack, "Order", ago, map[string]any{"revenue": float64(r.IntN(66) - 6), "sku": fmt.Sprintf("s%d", r.IntN(4))})
			case 2, 3:
				e = w.event(user, rapport.TypeTrack, "Visit", ago, map[string]any{"revenue": 1.0})
			case 4:
				e = w.event(user, rapport.TypeIdentify, "", 0, map[string]any{"plan": []string{"a", "b"}[r.IntN(2)], "timezone": []string{"Asia/Tokyo", "UTC"}[r.IntN(2)]})
			case 5:
				e = w.event(user, rapport.TypeTrack, profile.ConsentUpdated, 0, map[string]any{"purpose": "ads", "allowed": r.IntN(2) == 0})
			case 6:
				if r.IntN(6) == 0 {
					e = w.event(user, rapport.TypeAlias, "", 0, nil)
					e.PreviousID = users[r.IntN(len(users))]
				} else if r.IntN(3) == 0 {
					w.unmerge(r, user)
				}
			}
			if e.Type != 0 {
				e = w.submit(e)
				events[e.Fragment] = append(events[e.Fragment], e)
			}
			if step%97 == 96 {
				w.stop()
				w.start()
			}
			w.tick()
			now := rapport.Millis(w.clock.Now())
			for _, u := range users {
				got, want, known := "", "", false
				w.view(u, func(v *engine.View) {
					if known = v.Exists(); !known {
						return
					}
					var ids []string
					for _, m := range segment.Of(v) {
						ids = append(ids, m.ID)
					}
					got = strings.Join(ids, " ")
					var all []rapport.Event
					for _, f := range v.Fragments() {
						all = append(all, events[f]...)
					}
					want = expected(segments, profile.Recompute(all, questions, &w.zones, now))
				})
				if !known {
					continue
				}
				if looked++; got != want {
					for _, id := range strings.Fields(got + " " + want) {
						if strings.Contains(got, id) != strings.Contains(want, id) {
							t.Logf("%s: %s", id, segments.Definition(id).When)
						}
					}
					t.Fatalf("seed %d, step %d, %s: %s is in\n%s\nby the history in\n%s", seed, step, w.clock.Now(), u, got, want)
				}
				if before[u] != got {
					moves++
				}
				before[u] = got
			}
		}
		w.checkSizes(segments, users)
	}
	if moves < 100*int(seeds) {
		t.Errorf("membership changed %d times in %d looks", moves, looked)
	}
}

// expected evaluates every segment, those they name first.
func expected(c *segment.Config, person *profile.Recomputed) string {
	in := map[string]bool{}
	person.Segments = func(_ *profile.Env, id string) (bool, bool) { return in[id], true }
	var ids []string
	for _, d := range c.Definitions() {
		if d.When.Holds(condition.Env(person)) {
			in[d.ID] = true
			ids = append(ids, d.ID)
		}
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func (w *world) unmerge(r *rand.Rand, user string) {
	w.t.Helper()
	id, err := w.who.Ref("userId:" + user)
	w.must(err)
	who, err := w.who.Who(w.t.Context(), id)
	w.must(err)
	if len(who.Links) > 0 {
		w.must(w.who.Unmerge(w.t.Context(), who.Person, who.Links[r.IntN(len(who.Links))].ID, "test"))
	}
}

// checkSizes compares sizes, members and overlaps with what people say of themselves.
func (w *world) checkSizes(c *segment.Config, users []string) {
	w.t.Helper()
	members := map[string]map[rapport.ID]bool{}
	for _, u := range users {
		w.view(u, func(v *engine.View) {
			for _, m := range segment.Of(v) {
				if members[m.ID] == nil {
					members[m.ID] = map[rapport.ID]bool{}
				}
				members[m.ID][v.ID()] = true
			}
		})
	}
	counts, err := w.eng.Counts(w.t.Context())
	w.must(err)
	for _, d := range c.Definitions() {
		if n := counts[d.Key]; n != int64(len(members[d.ID])) {
			w.t.Errorf("%s has %d members, counted %d", d.ID, len(members[d.ID]), n)
		}
		listed := map[rapport.ID]bool{}
		for after := ""; ; {
			next, err := w.eng.Listed(w.t.Context(), d.Key, after, 2, func(v *engine.View) error { listed[v.ID()] = true; return nil })
			w.must(err)
			if after = next; after == "" {
				break
			}
		}
		if fmt.Sprint(listed) != fmt.Sprint(members[d.ID]) && len(listed)+len(members[d.ID]) > 0 {
			w.t.Errorf("%s lists %v, has %v", d.ID, listed, members[d.ID])
		}
		other := c.Definitions()[0]
		both := int64(0)
		for id := range members[d.ID] {
			if members[other.ID][id] {
				both++
			}
		}
		if n, err := w.eng.Overlap(w.t.Context(), d.Key, other.Key); err != nil || n != both {
			w.t.Errorf("%s and %s share %d, said %d (%v)", d.ID, other.ID, both, n, err)
		}
	}
}
