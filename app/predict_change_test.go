package app_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/predict"
)

// What counts as a purchase is changed on a running server. The scores stay what
// they were until a model of the new definition, made from history too, takes
// over at once; nobody enters, leaves or is told anything because of it.
func TestAChangedPredictionTakesOverAtOnceAndNobodyIsToldAgain(t *testing.T) {
	t.Parallel()
	const people = 240
	h := newHouse(t, 400)
	now := h.clock.Now()
	rng := rand.New(rand.NewPCG(7, 7))
	var events []string
	n := 0
	deed := func(user, event string, at time.Time) string {
		n++
		return fmt.Sprintf(`{"type":"track","event":%q,"userId":%q,"messageId":"e-%d","timestamp":%q,"properties":{"revenue":20,"amount":50,"category":"tea"}}`, event, user, n, at.Format(time.RFC3339))
	}
	for i := range people {
		user := fmt.Sprint("u", i)
		for _, kind := range []string{"Order Completed", "Invoice Paid"} { // at paces of their own
			pace, left := 8+120*rng.Float64(), 0.0
			if rng.IntN(3) == 0 {
				left = 150 * rng.Float64()
			}
			for day := 220 * rng.Float64(); day > left; day -= pace * (.3 + 1.4*rng.Float64()) {
				events = append(events, deed(user, kind, now.Add(-time.Duration((day+1)*24*float64(time.Hour)))))
			}
		}
	}
	h.send(events...)
	var page predict.ModelPage
	if code := h.call("POST", "/v1/models/purchases/fit", "", &page); code != http.StatusOK || page.Model == nil || page.Model.Definition.Event != "Order Completed" {
		t.Fatalf("fit: %d %+v", code, page)
	}
	const setting = "kind: placement\nid: inbox\nchannel: inapp\n---\nkind: action\nid: thanks\ntype: message\nplacements: [inbox]\ncontent: {text: thanks}\n" +
		"---\nkind: segment\nid: keen\nwhen: scores.purchases > 4\n---\nkind: trigger\nid: entered\non: Segment Entered\nwhen: properties.segment == \"keen\"\nplacement: inbox\n"
	h.apply(setting)
	type someone struct {
		Scores   predict.Scores
		Segments []struct{ ID string }
	}
	read := func(h *house) (scores []float64, in []bool) {
		for i := range people {
			var p someone
			h.call("GET", fmt.Sprintf("/v1/people/userId:u%d", i), "", &p)
			x := 0.0
			if p.Scores.Purchases != nil {
				x = p.Scores.Purchases.Value
			}
			scores, in = append(scores, x), append(in, len(p.Segments) > 0)
		}
		return scores, in
	}
	happened := func() (moves, decisions int) {
		for i := range people {
			var line struct {
				Events []struct{ Event string }
			}
			h.call("GET", fmt.Sprintf("/v1/people/userId:u%d/timeline?include=system&limit=1000", i), "", &line)
			for _, e := range line.Events {
				switch e.Event {
				case "Segment Entered", "Segment Left":
					moves++
				case "Decision Made":
					decisions++
				}
			}
		}
		return moves, decisions
	}
	// Somebody enters by buying, and is thanked once.
	before, in := read(h)
	// Of those outside the nearest is found who enters by buying once more today.
	tried := map[string]bool{}
	enter := func(event string, scores []float64, in []bool) string {
		for range 40 {
			best := -1
			for i := range in {
				if !in[i] && (best < 0 || scores[i] > scores[best]) {
					best = i
				}
			}
			if best < 0 {
				break
			}
			user := fmt.Sprint("u", best)
			tried[user] = true
			h.send(deed(user, event, h.clock.Now().Add(-time.Minute)))
			var p someone
			if h.call("GET", "/v1/people/userId:"+user, "", &p); len(p.Segments) > 0 {
				return user
			}
			in[best] = true
		}
		t.Fatalf("nobody enters however often %s happens", event)
		return ""
	}
	enter("Order Completed", before, in)
	await(t, "the first is thanked", func() bool { _, d := happened(); return d == 1 })
	moves, _ := happened()
	_, in = read(h)

	const changed = "kind: prediction\nid: purchases\nevent: Invoice Paid\nvalue: amount\nhorizon: 365d\n"
	h.apply(changed)
	seen := 0
	await(t, "the new definition is in force", func() bool {
		var now predict.ModelPage
		h.call("GET", "/v1/models/purchases", "", &now)
		var p someone
		h.call("GET", "/v1/people/userId:u0", "", &p)
		if p.Scores.Purchases == nil {
			t.Error("scores are missing while the model is made anew")
		}
		seen++
		return now.Model.Definition.Event == "Invoice Paid" && now.Status == "good"
	})
	var build struct{ Building struct{ Phase string } }
	await(t, "the segment is filled", func() bool {
		h.call("GET", "/v1/status", "", &build)
		scores, in := read(h)
		for i := range in {
			if in[i] != (scores[i] > 4) {
				return false
			}
		}
		return true
	})
	after, inAfter := read(h)
	others := 0
	for i := range in {
		if in[i] != inAfter[i] {
			others++
		}
	}
	if others < 10 {
		t.Errorf("%d people are in or out by the new definition alone: too few to tell anything", others)
	}
	if m, d := happened(); m != moves || d != 1 {
		t.Errorf("the change made %d moves and %d decisions", m-moves, d-1)
	}
	t.Logf("%d of %d people are in or out by the new definition, none was told; asked %d times meanwhile", others, people, seen)

	// From here on people enter by what counts now.
	clear(tried)
	enter("Invoice Paid", after, inAfter)
	await(t, "the second is thanked", func() bool { _, d := happened(); return d == 2 })
	after, inAfter = read(h)
	h.stop()
	h.start()
	again, inAgain := read(h)
	if d := cmp.Diff(again, after) + cmp.Diff(inAgain, inAfter); d != "" {
		t.Errorf("after a restart:\n%s", d)
	}

	// A server that never knew another definition says the same.
	fresh := &house{t: t, dir: filepath.Join(t.TempDir(), "data"), clock: &manual{now: h.clock.Now()}, retain: 400}
	fresh.start()
	fresh.apply("kind: source\nid: web\nkey: wk_web_1234\nunplanned: allow\n---\n" + changed)
	fresh.send(events...)
	if code := fresh.call("POST", "/v1/models/purchases/fit", "", &page); code != http.StatusOK {
		t.Fatalf("fit: %d", code)
	}
	want, _ := read(fresh)
	off := 0
	for i := range want {
		if user := fmt.Sprint("u", i); !tried[user] && math.Abs(want[i]-after[i]) > 2e-3*(1+want[i]) {
			off++
			t.Logf("%s: %v, on a fresh server %v", user, after[i], want[i])
		}
	}
	if off > 0 {
		t.Errorf("%d people have other scores than on a fresh server", off)
	}
}
