package app_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Clocks of clients run ahead, by seconds, an hour or a lifetime, and nothing
// says when the events were sent. Live segments are at any moment what SQL says
// of the same history, and nothing acts before its time.
func TestClocksThatRunAheadLeaveLiveAndSQLOfOneMind(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	conditions := map[string]string{
		"busy":    `performed("Order Completed").within("1h").count() >= 2`,
		"last":    `performed("Order Completed").last() < now.unix - duration("20m")`,
		"then":    `performed("page").then("Order Completed").within("2h").happened()`,
		"left":    `performed("page").notThen("Order Completed").within("1h").happened()`,
		"sum":     `performed("Order Completed").within("1h").sum("revenue") > 35`,
		"newest":  `performed("Order Completed").last("revenue") > 20`,
		"allTime": `performed("Order Completed").count() >= 3`,
	}
	yaml := ""
	for id, when := range conditions {
		yaml += "---\nkind: segment\nid: " + id + "\nwhen: " + fmt.Sprintf("%q", when) + "\n"
	}
	h.apply(strings.TrimPrefix(yaml, "---\n"))
	r := rand.New(rand.NewPCG(3, 3))
	leads := []time.Duration{0, -time.Minute, -40 * time.Minute, 2 * time.Second, 90 * time.Second, 4 * time.Minute, 5 * time.Minute, time.Hour, 70 * 365 * 24 * time.Hour}
	live := func(id string) (people []string) {
		var page struct{ People []struct{ ID string } }
		if code := h.call("GET", "/v1/segments/"+id+"/people?limit=100", "", &page); code != http.StatusOK {
			t.Fatalf("%s: %d", id, code)
		}
		for _, p := range page.People {
			people = append(people, p.ID)
		}
		slices.Sort(people)
		return people
	}
	told := func(when string) (people []string) {
		b, _ := json.Marshal(map[string]any{"when": when})
		var a answer
		if code := h.call("POST", "/v1/sql", string(b), &a); code != http.StatusOK {
			t.Fatalf("%s: %d %s", when, code, a.Detail)
		}
		for _, row := range a.Rows {
			people = append(people, fmt.Sprint(row[0]))
		}
		slices.Sort(people)
		return people
	}
	n, members := 0, 0
	for range 7 {
		h.clock.move(time.Duration(1+r.IntN(25)) * time.Minute)
		var events []string
		for range r.IntN(8) {
			n++
			at := h.clock.Now().Add(leads[r.IntN(len(leads))] - time.Duration(r.IntN(3000))*time.Millisecond)
			kind := `"type":"track","event":"Order Completed"`
			if r.IntN(3) == 0 {
				kind = `"type":"page"`
			}
			events = append(events, fmt.Sprintf(`{%s,"userId":"u%d","messageId":"skew-%d","timestamp":%q,"properties":{"revenue":%d}}`, kind, r.IntN(8), n, at.Format(time.RFC3339Nano), 10+r.IntN(20)))
		}
		if len(events) > 0 {
			h.send(events...)
		}
		for id, when := range conditions {
			var a []string
			await(t, fmt.Sprintf("SQL and live agree on %s after %d events", when, n), func() bool {
				a = live(id) // an idle partition hears of the time a moment later
				return slices.Equal(a, told(when))
			})
			members += len(a)
		}
	}
	if members < 30 {
		t.Errorf("%d members in all: the segments say too little", members)
	}
	seen := 0
	for u := range 8 {
		var line struct {
			Events []struct{ Timestamp, ReceivedAt time.Time }
		}
		h.call("GET", fmt.Sprintf("/v1/people/userId:u%d/timeline?limit=100", u), "", &line)
		for _, e := range line.Events {
			if seen++; e.Timestamp.After(e.ReceivedAt) {
				t.Errorf("happened %s, received %s", e.Timestamp, e.ReceivedAt)
			}
		}
	}
	if seen != n {
		t.Errorf("%d of %d events on timelines", seen, n)
	}
}
