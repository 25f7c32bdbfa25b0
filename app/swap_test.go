package app_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// A trait that a segment with a trigger asks for gets other definitions, twice,
// while orders pour in. Each is made from history beside the one in force and
// swapped in at once: whoever is in stays in (each definition counts all that the
// one before did), a value is the old one or the new one and never goes back, nobody
// leaves, enters twice or is sent anything twice, and no order is lost or counted twice.
func TestATraitIsSwappedWhileEventsComeInWithoutFlapsOrRepeatedSends(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	trait := func(more string) string { return "kind: computed\nid: bought\nevent: Order Completed\n" + more }
	s.apply(trait("op: count\nwhere: properties.revenue >= 20\n") + "---\nkind: segment\nid: big\nwhen: computed.bought >= 3\n" + welcomes(`properties.segment == "big"`))

	// What everybody ordered, told by one sender at a time.
	const people = 60
	type orders struct{ large, all, pieces float64 }
	truth := map[string]*orders{}
	r := rand.New(rand.NewPCG(11, 4))
	n := 0
	order := func(user string, revenue, quantity int) map[string]any {
		if truth[user] == nil {
			truth[user] = &orders{}
		}
		o := truth[user]
		o.all, o.pieces = o.all+1, o.pieces+float64(quantity)
		if revenue >= 20 {
			o.large++
		}
		n++
		return event("track", fmt.Sprint("swap-", n), map[string]any{"event": "Order Completed", "userId": user, "properties": map[string]any{"revenue": revenue, "quantity": quantity}})
	}
	batch := func(size int) {
		var events []map[string]any
		for range size {
			events = append(events, order(fmt.Sprint("u", r.IntN(people)), 10+r.IntN(12), 1+r.IntN(3)))
		}
		s.send(events...)
	}
	for range 4 {
		batch(30)
	}
	s.send(order("still", 25, 2), order("still", 5, 1), order("still", 30, 4)) // 2, then 3, then 7
	bought := func(user string) float64 {
		x, _ := s.must("GET", "/v1/people/userId:"+user, nil)["computed"].(map[string]any)["bought"].(float64)
		return x
	}
	members := func() (ids []string) {
		for _, p := range s.must("GET", "/v1/segments/big/people?limit=200", nil)["people"].([]any) {
			ids = append(ids, p.(map[string]any)["id"].(string))
		}
		return ids
	}
	swap := func(more string, from, to float64) {
		stop, ended := make(chan struct{}), sync.WaitGroup{}
		ended.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					batch(20)
				}
			}
		})
		s.apply(trait(more))
		in, seen, now := members(), 0, from
		for deadline := time.Now().Add(2 * time.Minute); now != to || seen < 10; seen++ {
			if x := bought("still"); x != now && (x != to || now != from) {
				t.Errorf("the trait is %v after %v, on its way from %v to %v", x, now, from, to)
				break
			} else {
				now = x
			}
			later := members()
			for _, id := range in {
				if !slices.Contains(later, id) {
					t.Errorf("%s is out after %d looks", id, seen)
				}
			}
			if in = later; time.Now().After(deadline) {
				t.Errorf("the trait is still %v", now)
				break
			}
		}
		close(stop)
		ended.Wait()
	}
	swap("op: count\n", 2, 3)
	swap("op: sum\nproperty: quantity\n", 3, 7)
	for user, o := range truth {
		if x := bought(user); x != o.pieces {
			t.Errorf("%s bought %v, counted %v", user, o.pieces, x)
		}
	}
	await(t, "the segment is filled", func() bool {
		want := 0
		for _, o := range truth {
			if o.pieces >= 3 {
				want++
			}
		}
		return s.size("big") == float64(want) && s.must("GET", "/v1/segments/big", nil)["state"] == "live"
	})
	// Who enters by an act of their own now is welcomed, and nobody else again.
	happened := func(user string) (entered, left, sent int) {
		for _, e := range s.must("GET", "/v1/people/userId:"+user+"/timeline?include=system&limit=1000", nil)["events"].([]any) {
			switch e.(map[string]any)["event"] {
			case "Segment Entered":
				entered++
			case "Segment Left":
				left++
			case "Decision Made":
				sent++
			}
		}
		return entered, left, sent
	}
	for i := range 8 {
		s.send(order(fmt.Sprint("new", i), 10, 1), order(fmt.Sprint("new", i), 10, 2))
	}
	await(t, "those who came last are welcomed", func() bool {
		for i := range 8 {
			if _, _, sent := happened(fmt.Sprint("new", i)); sent != 1 {
				return false
			}
		}
		return true
	})
	moved, welcomed := 0, 0
	for user := range truth {
		entered, left, sent := happened(user)
		moved, welcomed = moved+entered, welcomed+sent
		if entered > 1 || left > 0 || sent > entered {
			t.Errorf("%s entered %d times, left %d times, was sent %d", user, entered, left, sent)
		}
	}
	if entered, _, _ := happened("still"); entered != 0 {
		t.Error("who did nothing entered by an act of their own")
	}
	t.Logf("%d orders; %d people entered by what they did, %d of them were welcomed", n, moved, welcomed)
}
