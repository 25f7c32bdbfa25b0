package clients_test

import (
	"slices"
	"testing"
	"time"

	"github.com/segmentio/analytics-go/v3"

	"github.com/rapport-engine/rapport"
)

var six = []rapport.EventType{rapport.TypeIdentify, rapport.TypeTrack, rapport.TypePage, rapport.TypeScreen, rapport.TypeGroup, rapport.TypeAlias}

// disturbances are tried with every client: none, and one of each.
var disturbances = map[string][]fault{
	"on a good day": nil,
	"on a bad day":  {unavailable, slowDown, cutAfter, cutBefore},
}

func TestSegmentNodeDeliversEveryCallOnce(t *testing.T) {
	t.Parallel()
	for name, faults := range disturbances {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, faults...)
			client := node(t, "segment-node.mjs", s.URL, writeKey)
			s.await(t, len(six))
			client.stop()
			s.check(t, six...)
		})
	}
}

func TestRudderNodeDeliversEveryCallOnce(t *testing.T) {
	t.Parallel()
	for name, faults := range disturbances {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, faults...)
			client := node(t, "rudder-node.mjs", s.URL, writeKey)
			s.await(t, len(six))
			client.stop()
			s.check(t, six...)
		})
	}
}

func TestSegmentInTheBrowserDeliversEveryCallOnce(t *testing.T) {
	t.Parallel()
	for name, faults := range disturbances {
		for _, variant := range []string{"standard", "batching"} {
			t.Run(variant+" "+name, func(t *testing.T) { inBrowser(t, "segment", variant, faults, six) })
		}
	}
}

func TestRudderInTheBrowserDeliversEveryCallOnce(t *testing.T) {
	t.Parallel()
	types := slices.DeleteFunc(slices.Clone(six), func(e rapport.EventType) bool { return e == rapport.TypeScreen }) // it has no such call
	for name, faults := range disturbances {
		for _, variant := range []string{"standard", "batching"} {
			t.Run(variant+" "+name, func(t *testing.T) { inBrowser(t, "rudder", variant, faults, types) })
		}
	}
	// A beacon is sent once, when the page goes: there is no retry to test.
	t.Run("beacon", func(t *testing.T) { inBrowser(t, "rudder", "beacon", nil, types) })
}

func inBrowser(t *testing.T, client, variant string, faults []fault, types []rapport.EventType) {
	if testing.Short() {
		t.Skip("a browser takes long")
	}
	s := serve(t, faults...)
	page := node(t, "browser.mjs", client, s.URL, writeKey, variant)
	s.await(t, len(types))
	page.stop()
	s.check(t, types...)
	if asked := page.asked(); len(asked) != 1 || asked[0] != s.URL {
		t.Errorf("the page asked %v, want %s alone", asked, s.URL)
	}
}

func TestSegmentGoDeliversEveryCallOnce(t *testing.T) {
	t.Parallel()
	for name, faults := range disturbances {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, faults...)
			client := segmentGo(t, s.URL)
			s.await(t, len(six))
			if err := client.Close(); err != nil {
				t.Error(err)
			}
			s.check(t, six...)
		})
	}
}

// segmentGo makes the six calls with the Go client.
func segmentGo(t *testing.T, url string) analytics.Client {
	t.Helper()
	client, err := analytics.NewWithConfig(writeKey, analytics.Config{
		Endpoint: url, Interval: 100 * time.Millisecond, BatchSize: 4, Logger: quiet{},
		DefaultContext: &analytics.Context{Library: analytics.LibraryInfo{Name: "analytics-go", Version: analytics.Version}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []analytics.Message{
		analytics.Identify{UserId: "user-1", AnonymousId: "anon-1", Traits: analytics.NewTraits().SetEmail("Kari@Example.no").Set("plan", "pro")},
		analytics.Track{UserId: "user-1", Event: "Order Completed", Properties: analytics.NewProperties().SetRevenue(20.5)},
		analytics.Page{UserId: "user-1", Name: "Home"},
		analytics.Screen{UserId: "user-1", Name: "Start"},
		analytics.Group{UserId: "user-1", GroupId: "group-1", Traits: analytics.NewTraits().SetName("Northbean")},
		analytics.Alias{UserId: "user-1", PreviousId: "anon-1"},
	} {
		if err := client.Enqueue(m); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

// quiet is a logger that says nothing: the errors are the test's own.
type quiet struct{}

func (quiet) Logf(string, ...any)   {}
func (quiet) Errorf(string, ...any) {}
