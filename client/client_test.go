package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/client"
)

func open(t *testing.T, s *server, o client.Options) *client.Client {
	t.Helper()
	o.URL = "http://rapport.example"
	if o.Key == "" {
		o.Key = "wk_test"
	}
	o.HTTPClient = &http.Client{Transport: s}
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func track(i int) client.Event {
	return client.Event{UserID: "u1", Name: "Product Viewed", Properties: map[string]any{"n": i}}
}

func TestEventsArriveInOrderInBatches(t *testing.T) {
	t.Parallel()
	for _, gz := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{}
			c := open(t, s, client.Options{BatchSize: 10, Gzip: gz, Context: map[string]any{"app": "shop"}})
			for i := range 25 {
				if err := c.Track(track(i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(s.accepted) != 25 || len(s.sent) != 3 {
				t.Fatalf("%d events in %d batches, want 25 in 3", len(s.accepted), len(s.sent))
			}
			for i, e := range s.accepted {
				if n := e["properties"].(map[string]any)["n"]; n != float64(i) {
					t.Fatalf("event %d is number %v", i, n)
				}
				if e["context"].(map[string]any)["app"] != "shop" || e["type"] != "track" || e["timestamp"] == "" {
					t.Fatalf("event %v", e)
				}
			}
			if user, _, _ := s.requests[0].BasicAuth(); user != "wk_test" {
				t.Errorf("key %q", user)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.Track(track(0)); rapport.KindOf(err) != rapport.Unavailable {
				t.Errorf("a closed client took an event: %v", err)
			}
		})
	}
}

func TestAnEventWaitsForCompanyNoLongerThanTheInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		c := open(t, s, client.Options{Interval: time.Second})
		start := time.Now()
		if err := c.Track(track(0)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // virtual
		synctest.Wait()
		if len(s.sent) != 1 || s.sent[0].at.Sub(start) != time.Second {
			t.Fatalf("sent %v", s.sent)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestARefusedBatchIsRetriedWithTheSameIDsAndCountsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := []struct {
			status int
			after  string
		}{{503, ""}, {429, "7"}, {500, ""}, {429, ""}, {408, ""}}
		s := &server{answer: func(n int, _ string) (int, http.Header, string) {
			if n <= len(answers) {
				h := http.Header{}
				h.Set("Retry-After", answers[n-1].after)
				return answers[n-1].status, h, "busy"
			}
			return 200, nil, `{"success":true}`
		}}
		c := open(t, s, client.Options{OnDrop: func(n int, err error) { t.Errorf("dropped %d: %v", n, err) }})
		for i := range 5 {
			if err := c.Track(track(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(s.accepted) != 5 || len(s.sent) != len(answers)+1 {
			t.Fatalf("%d events accepted after %d sendings", len(s.accepted), len(s.sent))
		}
		for i, one := range s.sent {
			if diff := cmp.Diff(s.sent[0].ids, one.ids); diff != "" {
				t.Errorf("attempt %d has other ids: %s", i, diff)
			}
			if want := one.at.UTC().Format("2006-01-02T15:04:05.000Z"); one.sentAt != want {
				t.Errorf("attempt %d says it was sent at %s, not %s", i, one.sentAt, want)
			}
		}
		if gap := s.sent[2].at.Sub(s.sent[1].at); gap < 7*time.Second {
			t.Errorf("came back %v after a Retry-After of 7 s", gap)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestARefusalForGoodIsReportedNotRetried(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]rapport.Kind{400: rapport.Invalid, 401: rapport.Unauthenticated, 403: rapport.Denied, 404: rapport.NotFound, 409: rapport.Conflict, 413: rapport.TooLarge, 501: rapport.Internal} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{answer: func(int, string) (int, http.Header, string) {
				return status, nil, `{"title":"No","detail":"not like this","status":400}`
			}}
			var lost int
			var why error
			c := open(t, s, client.Options{OnDrop: func(n int, err error) { lost, why = n, err }})
			if err := c.Track(track(0)); err != nil {
				t.Fatal(err)
			}
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if lost != 1 || rapport.KindOf(why) != want || len(s.sent) != 1 || !strings.Contains(why.Error(), "not like this") {
				t.Errorf("%d: lost %d after %d sendings: %v", status, lost, len(s.sent), why)
			}
			_ = c.Close(t.Context())
		})
	}
}

func TestAFullQueueRefusesAndLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{hold: make(chan struct{})}
		c := open(t, s, client.Options{QueueSize: 20, BatchSize: 8})
		taken := 0
		for i := range 50 {
			if err := c.Track(track(i)); err == nil {
				taken++
			} else if rapport.KindOf(err) != rapport.Unavailable || rapport.HintOf(err) == "" {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if taken != 20 {
			t.Errorf("took %d events into a queue of 20", taken)
		}
		close(s.hold)
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(s.accepted) != taken {
			t.Errorf("%d of %d events arrived", len(s.accepted), taken)
		}
	})
}

func TestCloseGivesUpWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{hold: make(chan struct{})}
		lost := 0
		c := open(t, s, client.Options{BatchSize: 2, OnDrop: func(n int, _ error) { lost += n }})
		for i := range 5 {
			if err := c.Track(track(i)); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Close(ctx); rapport.KindOf(err) != rapport.Unavailable || lost != 5 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("lost %d: %v", lost, err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}

func TestBadEventsAreRefusedBeforeTheyAreQueued(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		c := open(t, s, client.Options{})
		for name, err := range map[string]error{
			"nobody":      c.Track(client.Event{Name: "X"}),
			"nothing":     c.Track(client.Event{UserID: "u"}),
			"no group":    c.Group(client.Event{UserID: "u"}),
			"no previous": c.Alias(client.Event{UserID: "u"}),
			"no decision": c.Clicked(client.Who{UserID: "u"}, ""),
			"not JSON":    c.Track(client.Event{UserID: "u", Name: "X", Properties: map[string]any{"f": func() {}}}),
		} {
			if rapport.KindOf(err) != rapport.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := c.Enqueue(make([]byte, 300<<10)); rapport.KindOf(err) != rapport.TooLarge {
			t.Errorf("a huge event: %v", err)
		}
		_ = c.Close(t.Context())
		if len(s.requests) != 0 {
			t.Errorf("%d requests", len(s.requests))
		}
	})
	for _, o := range []client.Options{{}, {URL: "localhost:80", Key: "k"}, {URL: "ftp://x", Key: "k"}, {URL: "http://x"}} {
		if _, err := client.New(o); rapport.KindOf(err) != rapport.Invalid || rapport.HintOf(err) == "" {
			t.Errorf("options %+v: %v", o, err)
		}
	}
}

func TestReadingDecidingAndErasingSpeakTheWire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: func(n int, path string) (int, http.Header, string) {
			switch {
			case strings.HasSuffix(path, "/timeline"):
				return 200, nil, `{"events":[{"id":"m1","type":"track","event":"Order Completed","timestamp":"2026-03-01T10:00:00Z","properties":{"revenue":12.5}}],"next":"c2"}`
			case strings.HasPrefix(path, "/v1/people/userId:a%2Fb"):
				return 200, nil, `{"id":"p_1","identifiers":[{"kind":"email","value":"a@b.example"}],"traits":{"country":"NO"},"computed":{},"segments":[{"id":"regulars","degree":1,"since":"2026-03-01T10:00:00Z"}],"scores":{},"consent":{},"items":[],"firstSeen":1772359200000,"lastSeen":"2026-03-01T10:00:00Z","version":7}`
			case path == "/v1/decide":
				return 200, nil, `{"decisionId":"d_1","holdout":false,"items":[{"action":"espresso","kind":"offer","content":{"title":"Fresh"},"propensity":0.5}]}`
			}
			return 404, nil, `{"title":"Not found"}`
		}}
		c := open(t, s, client.Options{Token: "tok"})
		p, err := c.Person(t.Context(), client.Who{UserID: "a/b"}.Ref())
		if err != nil || p.ID != "p_1" || p.Traits["country"] != "NO" || p.Segments[0].ID != "regulars" || !p.FirstSeen.Equal(time.UnixMilli(1772359200000)) {
			t.Errorf("person %+v, %v", p, err)
		}
		moments, next, err := c.Timeline(t.Context(), "p_1", 10, "c1")
		if err != nil || next != "c2" || len(moments) != 1 || moments[0].Event != "Order Completed" {
			t.Errorf("timeline %+v %q, %v", moments, next, err)
		}
		if q := s.requests[len(s.requests)-1].URL.Query(); q.Get("limit") != "10" || q.Get("before") != "c1" {
			t.Errorf("query %v", q)
		}
		d, err := c.Decide(t.Context(), client.Ask{Person: client.Who{UserID: "u"}, Placement: "home", Event: &client.Event{UserID: "u", Name: "Home"}, EventType: rapport.TypePage})
		if err != nil || d.ID != "d_1" || d.Items[0].Kind != rapport.ActionOffer || d.Items[0].Content["title"] != "Fresh" {
			t.Errorf("decision %+v, %v", d, err)
		}
		if a := s.requests[len(s.requests)-1].Header.Get("Authorization"); a != "Bearer tok" {
			t.Errorf("authorization %q", a)
		}
		if _, err := c.Person(t.Context(), "p_unknown"); rapport.KindOf(err) != rapport.NotFound {
			t.Errorf("an unknown person: %v", err)
		}
		if err := c.Erase(t.Context(), "p_unknown"); rapport.KindOf(err) != rapport.NotFound {
			t.Errorf("erasing an unknown person: %v", err)
		}
		_ = c.Close(t.Context())
	})
}

func BenchmarkTrack(b *testing.B) {
	s := &discard{}
	c, err := client.New(client.Options{URL: "http://rapport.example", Key: "k", HTTPClient: &http.Client{Transport: s}, QueueSize: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if c.Track(client.Event{UserID: "u" + strconv.Itoa(n%100), Name: "Product Viewed", Properties: map[string]any{"sku": "NB-101"}}) != nil {
			_ = c.Flush(b.Context())
		}
		n++
	}
	_ = c.Close(b.Context())
}

type discard struct{}

func (*discard) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
}

func FuzzAnswersOfAServerNeverBreakTheClient(f *testing.F) {
	f.Add(200, `{"decisionId":"d","items":[{}]}`)
	f.Add(200, `{"firstSeen":-1,"version":"x"}`)
	f.Add(503, `{`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			status = 200
		}
		s := &server{answer: func(int, string) (int, http.Header, string) { return status, nil, body }}
		c := open(t, s, client.Options{Attempts: 1})
		_, _ = c.Person(t.Context(), "p_1")
		_, _, _ = c.Timeline(t.Context(), "p_1", 0, "")
		_, err := c.DecideEncoded(t.Context(), []byte(`{}`))
		if status/100 != 2 && err == nil {
			t.Errorf("status %d passed for an answer", status)
		}
		_ = fmt.Sprint(err)
		_ = c.Close(t.Context())
	})
}
