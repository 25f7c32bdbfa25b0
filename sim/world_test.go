package sim_test

import (
	"bytes"
	"encoding/json"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/sim"
)

var end = time.Date(2026, 3, 20, 15, 4, 5, 0, time.UTC)

func northbean(t testing.TB) *sim.World {
	t.Helper()
	w, _, err := sim.Northbean()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func digest(w *sim.World, from, to int) (sum uint64, events int) {
	h := fnv.New64()
	w.History(end, from, to, func(channel string, event []byte) bool {
		h.Write([]byte(channel))
		h.Write(event)
		events++
		return true
	})
	return h.Sum64(), events
}

func TestTheSameSeedWritesTheSameBytes(t *testing.T) {
	t.Parallel()
	first, n := digest(northbean(t), 300, 900)
	again, m := digest(northbean(t), 300, 900)
	if first != again || n != m || n == 0 {
		t.Errorf("%d events, then %d; digests %x and %x", n, m, first, again)
	}
	other := northbean(t)
	other.Seed++
	if sum, _ := digest(other, 300, 900); sum == first {
		t.Error("another seed wrote the same history")
	}
	// A shopper's history depends on nobody else's.
	alone, _ := digest(northbean(t), 555, 556)
	var inCompany []byte
	northbean(t).History(end, 550, 560, func(c string, e []byte) bool {
		if bytes.Contains(e, []byte(`"messageId":"7-ff-`)) { // 555 in base 36
			inCompany = append(append(inCompany, c...), e...)
		}
		return true
	})
	h := fnv.New64()
	h.Write(inCompany)
	if h.Sum64() != alone {
		t.Error("a shopper's history changed in company")
	}
}

// happened is an event as a server reads it.
type happened struct {
	Type, Event, MessageID, UserID, AnonymousID, Name string
	Timestamp                                         time.Time
	Properties                                        map[string]any
	Traits                                            map[string]any
	Context                                           struct {
		Demo     bool
		Campaign map[string]string
	}
}

func read(t testing.TB, event []byte) happened {
	t.Helper()
	var h happened
	if err := json.Unmarshal(event, &h); err != nil {
		t.Fatalf("%v in %s", err, event)
	}
	return h
}

func TestHistoryIsWellFormedMarkedAndInOrder(t *testing.T) {
	t.Parallel()
	w := northbean(t)
	ids := map[string]bool{}
	for i := range 400 {
		s := w.Shopper(i)
		devices := map[string]bool{}
		last := time.Time{}
		w.History(end, i, i+1, func(channel string, event []byte) bool {
			h := read(t, event)
			switch {
			case !h.Context.Demo:
				t.Fatalf("not marked: %s", event)
			case ids[h.MessageID]:
				t.Fatalf("the message id stands twice: %s", event)
			case h.Timestamp.Before(last):
				t.Fatalf("%s before %s: %s", h.Timestamp, last, event)
			case h.Timestamp.After(end) || h.Timestamp.Before(end.AddDate(0, 0, -w.Days-2)):
				t.Fatalf("outside of history: %s", event)
			case h.UserID == "" && h.AnonymousID == "":
				t.Fatalf("nobody did it: %s", event)
			case h.UserID != "" && h.UserID != s.UserID:
				t.Fatalf("somebody else's: %s", event)
			case h.Traits["email"] != nil && h.Traits["email"] != s.Email:
				t.Fatalf("somebody else's e-mail: %s", event)
			case len(event) > 2000:
				t.Fatalf("%d bytes: %s", len(event), event)
			}
			ids[h.MessageID] = true
			last = h.Timestamp
			if h.AnonymousID != "" {
				devices[h.AnonymousID] = true
			}
			return true
		})
		if len(devices) > 5 {
			t.Errorf("shopper %d has %d devices", i, len(devices))
		}
	}
}

func TestNoTwoShoppersShareAName(t *testing.T) {
	t.Parallel()
	w := northbean(t)
	seen := map[string]int{}
	for i := range w.Shoppers + 500 {
		s := w.Shopper(i)
		for _, id := range []string{s.UserID, s.Email, s.Phone} {
			if other, twice := seen[id]; twice && id != "" {
				t.Fatalf("%s is both %d and %d", id, other, i)
			}
			seen[id] = i
		}
		if !strings.HasSuffix(s.Email, "@northbean.example") || strings.ContainsFunc(s.Email, func(r rune) bool { return r > 126 || r <= ' ' }) {
			t.Fatalf("e-mail %q", s.Email)
		}
	}
}

func TestTheFunnelLooksLikeAShop(t *testing.T) {
	t.Parallel()
	w := northbean(t)
	const sample = 5000
	count := map[string]int{}
	orders := make([]int, sample)
	weekdays := [7]int{}
	revenue := 0.0
	for i := range sample {
		w.History(end, i, i+1, func(channel string, event []byte) bool {
			count["events"]++
			// Most events need no full decoding.
			for _, name := range []string{"Product Viewed", "Product Added", "Checkout Started", "Order Completed", "Signed Up", "Products Searched", "Email Opened", "Support Ticket Opened"} {
				if bytes.Contains(event, []byte(`"event":"`+name+`"`)) {
					count[name]++
					if channel != "till" {
						count["online "+name]++
					}
					if name == "Order Completed" {
						h := read(t, event)
						r := h.Properties["revenue"].(float64)
						revenue += r
						orders[i]++
						weekdays[h.Timestamp.Weekday()]++
						if len(h.Properties["products"].([]any)) == 0 || r <= 0 || h.Properties["order_id"] == "" || h.Properties["currency"] != "EUR" {
							t.Fatalf("order %s", event)
						}
					}
				}
			}
			return true
		})
	}
	total := count["events"] * w.Shoppers / sample
	if total < 1_500_000 || total > 2_000_000 {
		t.Errorf("%d events in all", total)
	}
	ratio := func(name string, of string, low, high float64) {
		t.Helper()
		if r := float64(count[name]) / float64(count[of]); r < low || r > high {
			t.Errorf("%s per %s is %.3f, not between %v and %v", name, of, r, low, high)
		}
	}
	ratio("online Product Added", "Product Viewed", 0.05, 0.3)
	ratio("online Order Completed", "online Product Added", 0.15, 0.7)
	ratio("online Order Completed", "Checkout Started", 0.95, 1.0)
	ratio("Products Searched", "Product Viewed", 0.05, 0.25)
	ratio("Email Opened", "events", 0.002, 0.05)
	ratio("Support Ticket Opened", "Order Completed", 0.015, 0.045)
	if mean := revenue / float64(count["Order Completed"]); mean < 15 || mean > 90 {
		t.Errorf("an order is worth %.2f", mean)
	}
	slices.Sort(orders)
	slices.Reverse(orders)
	top := 0
	for _, n := range orders[:sample/10] {
		top += n
	}
	if share := float64(top) / float64(count["Order Completed"]); share < 0.3 || share > 0.8 {
		t.Errorf("the top tenth of shoppers makes %.2f of the orders", share)
	}
	if slices.Index(orders, 0) > sample*9/10 {
		t.Error("nearly everybody orders")
	}
	if weekdays[time.Saturday] <= weekdays[time.Tuesday] {
		t.Errorf("orders by weekday %v", weekdays)
	}
}

func TestAWorldFileThatMakesNoSenseIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	_, documents, err := sim.Northbean()
	if err != nil || documents == nil {
		t.Fatal(err)
	}
	good := worldFile(t)
	for name, edit := range map[string][2]string{
		"unknown field": {"newcomers: 0", "newcommers: 0"},
		"tastes":        {"tastes: []", "tastes: [a, b, c, d, e, f, g, h, i]"},
		"shoppers":      {"shoppers: 4000", "shoppers: 0"},
		"category":      {"category: things", "category: nothing"},
		"placement":     {"at: home", "at: roof"},
		"rhythm":        {"rhythm: flat", "rhythm: round"},
		"zone":          {"Europe/London", "Europe/Nowhere"},
		"click":         {"click: 0.06", "click: 1.6"},
		"twice":         {"id: three-percent", "id: six-percent"},
		"channel":       {"channels: {web: 1}", "channels: {carrier pigeon: 1}"},
		"not YAML":      {"tastes: []", "tastes: ["},
	} {
		bad := strings.Replace(good, edit[0], edit[1], 1)
		if bad == good {
			t.Fatalf("%s: nothing to replace", name)
		}
		if _, err := sim.Load([]byte(bad)); rapport.KindOf(err) != rapport.Invalid || rapport.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sim.Load([]byte(good)); err != nil {
		t.Error(err)
	}
}

func TestTheTrialKeepsToTheSourcesItsConfigurationHas(t *testing.T) {
	t.Parallel()
	w, _, err := sim.Trial()
	if err != nil {
		t.Fatal(err)
	}
	w.History(end, 0, w.Shoppers, func(channel string, event []byte) bool {
		if channel != "web" {
			t.Errorf("%s: %s", channel, event)
		}
		return channel == "web"
	})
}

func FuzzLoadingAWorldNeverPanics(f *testing.F) {
	f.Add([]byte(worldFile(f)))
	f.Add([]byte("world: x\nshoppers: -1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := sim.Load(b)
		if err == nil && len(b) < 8000 {
			w.History(end, 0, 1, func(_ string, e []byte) bool { return json.Valid(e) })
		}
	})
}

func BenchmarkHistory(b *testing.B) {
	w := northbean(b)
	b.ReportAllocs()
	i, n, bytes := 0, 0, 0
	for b.Loop() {
		w.History(end, i%w.Shoppers, i%w.Shoppers+128, func(_ string, e []byte) bool { n++; bytes += len(e); return true })
		i += 128
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(bytes)/float64(n), "B/event")
}

func TestTheSecondWorldReads(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/harbourbooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Load(b); err != nil {
		t.Error(err)
	}
}
