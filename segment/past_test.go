package segment_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
)

// TestThePastReplayedIsThePastLived lets people live a year, a restart in it,
// notes who is in which segment after every event and whenever time passed, and
// then tells their past anew from their events alone.
func TestThePastReplayedIsThePastLived(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 77))
	whens := map[string]string{}
	for i := range 20 {
		whens[fmt.Sprintf("s%02d", i)] = randomCondition(r, 1)
	}
	whens["z1"] = `segments.has("s00") && !segments.has("s01")`
	day := rapport.Duration(24 * time.Hour)
	config := compile(
		t, whens,
		profile.ComputedDoc{ID: "days", Event: "Order", Op: "since"}, profile.ComputedDoc{ID: "streak", Event: "Visit", Op: "streak"},
		profile.ComputedDoc{ID: "heat", Event: "Visit", Op: "decayed", HalfLife: 3 * day}, profile.ComputedDoc{ID: "month", Event: "Order", Op: "count", Calendar: "month"},
		profile.ComputedDoc{ID: "spent", Event: "Order", Op: "sum", Property: "revenue", Within: 20 * day}, profile.ComputedDoc{ID: "mean", Event: "Order", Op: "average", Property: "revenue"},
	)
	questions, _ := config.Part(profile.Part).(*profile.Config)
	segments, _ := config.Part(segment.Part).(*segment.Config)
	w := newWorld(t, config)
	users := []string{"a", "b", "c"}
	events := map[string][]rapport.Event{}
	type moment struct {
		at   int64
		in   string
		user string
	}
	var lived []moment
	for step := range 250 {
		w.clock.advance(time.Duration(r.Int64N(int64(70 * time.Hour))))
		user := users[r.IntN(len(users))]
		kind, name, fields := rapport.TypeTrack, []string{"Order", "Visit"}[r.IntN(2)], map[string]any{"revenue": float64(r.IntN(60)), "sku": fmt.Sprintf("s%d", r.IntN(4))}
		switch r.IntN(8) {
		case 0:
			kind, name, fields = rapport.TypeIdentify, "", map[string]any{"plan": []string{"a", "b"}[r.IntN(2)], "timezone": []string{"Asia/Tokyo", "UTC"}[r.IntN(2)]}
		case 1:
			name, fields = profile.ConsentUpdated, map[string]any{"purpose": "ads", "allowed": r.IntN(2) == 0}
		}
		if r.IntN(3) > 0 {
			events[user] = append(events[user], w.submit(w.event(user, kind, name, time.Duration(r.IntN(3)*r.IntN(40))*time.Hour, fields)))
		}
		if step == 100 {
			w.stop()
			w.start()
		}
		w.tick()
		for _, u := range users {
			w.view(u, func(v *engine.View) {
				var ids []string
				for _, m := range segment.Of(v) {
					ids = append(ids, m.ID)
				}
				lived = append(lived, moment{rapport.Millis(w.clock.Now()), strings.Join(ids, " "), u})
			})
		}
	}
	var ids []string
	for _, d := range segments.Definitions() {
		ids = append(ids, d.ID)
	}
	past := segments.NewPast(ids)
	moves := 0
	for _, u := range users {
		changes := past.Changes(events[u], questions, &w.zones, rapport.Millis(w.clock.Now()))
		moves += len(changes)
		in, next := map[uint64]bool{}, 0
		for _, m := range lived {
			if m.user != u {
				continue
			}
			for ; next < len(changes) && changes[next].At <= m.at; next++ {
				in[changes[next].Key] = changes[next].Entered
			}
			for _, d := range segments.Definitions() {
				if has := strings.Contains(" "+m.in+" ", " "+d.ID+" "); has != in[d.Key] {
					t.Fatalf("%s at %s: in %s is %v, replayed %v\n%s", u, rapport.Time(m.at), d.ID, has, in[d.Key], d.When)
				}
			}
		}
	}
	if moves < 200 {
		t.Errorf("%d changes in %d moments: the test says little", moves, len(lived))
	}
}

func TestOfWhatHasNoPastThePastSaysSo(t *testing.T) {
	t.Parallel()
	config := compile(t, map[string]string{"a": "scores.clv > 10", "b": `segments.has("a") || traits.x == 1`, "c": "traits.x == 1", "d": `segments.degree("espresso") > 0.3`})
	segments, _ := config.Part(segment.Part).(*segment.Config)
	past := segments.NewPast([]string{"a", "b", "c", "d"})
	if got := strings.Join(past.Known(), " "); got != "c" {
		t.Errorf("known %q", got)
	}
	for id, says := range map[string]string{"a": "scores", "b": "a: it asks for scores", "c": "", "d": "espresso"} {
		if why := past.Unknown(id); !strings.Contains(why, says) || (why == "") != (says == "") {
			t.Errorf("%s: %q", id, why)
		}
	}
}
