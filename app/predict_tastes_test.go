package app_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/predict"
)

// Three kinds of people buy and look at three kinds of things. What they are is
// discovered, named, asked for in a decision, and told apart from what they do now.
func TestSoftSegmentsAffinitiesAndReplenishmentAreDiscovered(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	rng := rand.New(rand.NewPCG(1, 1))
	worlds := [][]string{{"green tea", "black tea", "teapots", "Nordlys"}, {"espresso", "filter", "grinders", "Kaffa"}, {"chocolate", "wrapping", "cards", "Gaveri"}}
	n := 0
	send := func(user, event string, at time.Time, properties string) string {
		n++
		return fmt.Sprintf(`{"type":"track","event":%q,"userId":%q,"messageId":"m-%d","timestamp":%q,"properties":%s}`, event, user, n, at.Format(time.RFC3339), properties)
	}
	now := h.clock.Now()
	for i := range 120 {
		user, kind := fmt.Sprint("u", i), i%3
		var events []string
		pace := 14 + 28*rng.Float64() // days a pack of beans lasts
		for day := 200.0; kind == 1 && day > 1; day -= pace * (.8 + .4*rng.Float64()) {
			events = append(events, send(user, "Order Completed", now.AddDate(0, 0, -int(day)), `{"revenue":20,"products":[{"product_id":"beans","quantity":1,"category":"espresso"}]}`))
		}
		for range 12 {
			of := worlds[kind]
			if rng.IntN(8) == 0 {
				of = worlds[rng.IntN(3)]
			}
			events = append(events, send(user, "Product Viewed", now.Add(-time.Duration(24+rng.IntN(2000))*time.Hour), fmt.Sprintf(`{"category":%q,"brand":%q}`, of[rng.IntN(3)], of[3])))
		}
		h.send(events...)
	}
	var page predict.ModelPage
	if code := h.call("POST", "/v1/models/tastes/fit", "", &page); code != http.StatusOK || page.Tastes == nil || len(page.Tastes.Soft) < 3 || page.Tastes.Products != 1 {
		t.Fatalf("fit: %d %+v", code, page)
	}
	scores := func(user string) predict.Scores {
		var p struct{ Scores predict.Scores }
		h.call("GET", "/v1/people/userId:"+user, "", &p)
		return p.Scores
	}
	// Whose strongest segment is told by coffee?
	isCoffee := func(s predict.SoftDegree) bool {
		i := slices.IndexFunc(page.Tastes.Soft, func(o predict.SoftSegment) bool { return o.ID == s.ID })
		word := page.Tastes.Soft[i].Tells[0].Word
		return slices.Contains([]string{"category=espresso", "category=filter", "category=grinders", "brand=Kaffa"}, word)
	}
	right := 0
	for i := range 60 {
		s := scores(fmt.Sprint("u", i))
		if len(s.SoftSegments) == 0 || len(s.Affinities) == 0 || s.Session != nil {
			t.Fatalf("u%d: %+v", i, s)
		}
		if isCoffee(s.SoftSegments[0]) == (i%3 == 1) {
			right++
		}
		if refill := len(s.Replenishment) == 1; refill != (i%3 == 1) || refill && !(s.Replenishment[0].High > s.Replenishment[0].Days && s.Replenishment[0].High < 120) {
			t.Errorf("u%d: %+v", i, s.Replenishment)
		}
	}
	if right < 57 {
		t.Errorf("the strongest segment is right for %d of 60", right)
	}

	// Somebody who loves coffee looks for a gift now.
	h.send(send("u1", "Product Viewed", now.Add(-2*time.Minute), `{"category":"wrapping","brand":"Gaveri"}`), send("u1", "Product Viewed", now.Add(-time.Minute), `{"category":"cards","brand":"Gaveri"}`))
	s := scores("u1")
	if len(s.Session) == 0 || isCoffee(s.Session[0]) || !isCoffee(s.SoftSegments[0]) {
		t.Errorf("now %+v, in the long run %+v", s.Session, s.SoftSegments)
	}

	i := slices.IndexFunc(page.Tastes.Soft, func(o predict.SoftSegment) bool { return o.ID == s.SoftSegments[0].ID })
	// Which of the kinds is found in two halves the ids of people draw: half of coffee will do.
	h.apply(fmt.Sprintf("kind: softSegment\nid: coffee-people\ntopic: %d\nname: Coffee people\n---\nkind: action\nid: beans\ntype: offer\nplacements: [hero]\nwhen: segments.degree(\"coffee-people\") > 0.2 && scores.affinity.brand.Kaffa > 0.1\ncontent: {title: New beans}\n", page.Tastes.Soft[i].Topic))
	if s = scores("u1"); s.SoftSegments[0].ID != "coffee-people" || s.SoftSegments[0].Name != "Coffee people" {
		t.Errorf("the name is not taken up: %+v", s.SoftSegments)
	}
	why := func(user string) (out struct{ Action struct{ Rule, Detail string } }) {
		h.call("POST", "/v1/explain", fmt.Sprintf(`{"person":{"userId":%q},"placement":"hero","action":"beans"}`, user), &out)
		return out
	}
	if why("u1").Action.Rule == why("u0").Action.Rule || why("u0").Action.Rule == "" {
		t.Errorf("u1 %+v, u0 %+v", why("u1"), why("u0"))
	}
	// Fitted anew, the segment keeps its number and so its name.
	if code := h.call("POST", "/v1/models/tastes/fit", "", &page); code != http.StatusOK || !slices.ContainsFunc(page.Tastes.Soft, func(o predict.SoftSegment) bool { return o.ID == "coffee-people" && o.Tells[0].Lift > 1 }) {
		t.Errorf("fitted anew: %d %+v", code, page.Tastes)
	}
}
