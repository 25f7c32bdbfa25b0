package app_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const shopSegments = `kind: computed
id: orders_30d
event: Order Completed
op: count
within: 30d
---
kind: computed
id: spent
event: Order Completed
op: sum
property: revenue
---
kind: segment
id: buyers
when: performed("Order Completed").within("90d").count() >= 1
---
kind: segment
id: regulars
when: segments.has("buyers") && computed.orders_30d >= 2
---
kind: segment
id: norwegians
when: traits.country == "NO"
`

// welcomes is a message in the inbox for who enters a segment.
func welcomes(when string) string {
	return `---
kind: placement
id: inbox
channel: inapp
---
kind: action
id: welcome
type: message
placements: [inbox]
content: {text: hello}
---
kind: trigger
id: entered
on: Segment Entered
when: ` + when + `
placement: inbox
`
}

func (s *shop) order(user, id string, revenue float64, ago time.Duration) {
	s.t.Helper()
	at := time.Now().Add(-ago).UTC().Format(time.RFC3339Nano)
	s.send(map[string]any{"type": "track", "event": "Order Completed", "messageId": id, "userId": user, "timestamp": at, "properties": map[string]any{"revenue": revenue}})
}

func (s *shop) segmentsOf(user string) string {
	s.t.Helper()
	var ids []string
	for _, x := range s.must("GET", "/v1/people/userId:"+user, nil)["segments"].([]any) {
		ids = append(ids, x.(map[string]any)["id"].(string))
	}
	return strings.Join(ids, ",")
}

func (s *shop) size(segment string) float64 {
	s.t.Helper()
	return s.must("GET", "/v1/segments/"+segment, nil)["size"].(float64)
}

func (s *shop) apply(yaml string) {
	s.t.Helper()
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": yaml, "note": "test"})
}

func TestPeopleAreInTheSegmentsTheirEventsSay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, nil)
	s.apply(shopSegments)
	s.order("anna", "1", 20, 0)
	s.order("bo", "2", 30, 0)
	s.order("bo", "3", 40, time.Hour)
	s.send(event("identify", "4", map[string]any{"userId": "cy", "traits": map[string]any{"country": "NO"}}))
	for user, want := range map[string]string{"anna": "buyers", "bo": "buyers,regulars", "cy": "norwegians"} {
		if got := s.segmentsOf(user); got != want {
			t.Errorf("%s is in %q, want %q", user, got, want)
		}
	}
	bo := s.must("GET", "/v1/people/userId:bo", nil)["computed"].(map[string]any)
	if bo["orders_30d"] != 2.0 || bo["spent"] != 70.0 {
		t.Errorf("computed %v", bo)
	}
	if s.size("buyers") != 2 || s.size("regulars") != 1 || s.size("norwegians") != 1 {
		t.Errorf("sizes %v", s.must("GET", "/v1/segments", nil))
	}
	page := s.must("GET", "/v1/segments/buyers/people?limit=1", nil)
	more := s.must("GET", "/v1/segments/buyers/people?limit=10&after="+page["next"].(string), nil)
	if len(page["people"].([]any)) != 1 || len(more["people"].([]any)) != 1 || more["next"] != nil {
		t.Errorf("pages %v, %v", page, more)
	}
	if o := s.must("GET", "/v1/segments/buyers/overlap/regulars", nil); o["both"] != 1.0 {
		t.Errorf("overlap %v", o)
	}
	// Two people become one: the size falls by the one that is no more.
	s.send(map[string]any{"type": "alias", "messageId": "5", "userId": "bo", "previousId": "anna"})
	if s.size("buyers") != 1 || s.segmentsOf("anna") != "buyers,regulars" {
		t.Errorf("after the merge: %v buyers, %s", s.size("buyers"), s.segmentsOf("anna"))
	}
	for _, l := range s.must("GET", "/v1/people/userId:bo/identity", nil)["links"].([]any) {
		if l := l.(map[string]any); l["kind"] == "alias" {
			s.must("POST", "/v1/people/userId:bo/unmerge", map[string]any{"link": l["id"]})
		}
	}
	if s.size("buyers") != 2 || s.size("regulars") != 1 || s.segmentsOf("anna") != "buyers" {
		t.Errorf("after the unmerge: %v buyers, anna is in %s", s.size("buyers"), s.segmentsOf("anna"))
	}
	if status, out := s.call("GET", "/v1/segments/buyer", nil); status != 404 || !strings.Contains(fmt.Sprint(out), "buyers") {
		t.Errorf("an unknown segment: %d %v", status, out)
	}
	before := fmt.Sprint(s.must("GET", "/v1/people/userId:bo", nil)["segments"])
	s.end()
	s = open(t, dir, nil)
	if after := fmt.Sprint(s.must("GET", "/v1/people/userId:bo", nil)["segments"]); after != before || s.size("buyers") != 2 {
		t.Errorf("after a restart %s, before %s, size %v", after, before, s.size("buyers"))
	}
	if p := s.must("POST", "/v1/segments/preview", map[string]any{"when": `computed.spent > 25`, "exact": true}); p["value"] != 1.0 || p["exact"] != true {
		t.Errorf("preview %v", p)
	}
	if p := s.must("POST", "/v1/segments/preview", map[string]any{"when": `performed("Order Completed").max("revenue") > 35`}); p["value"] != 1.0 || p["history"] != true {
		t.Errorf("preview from timelines %v", p)
	}
}

func TestANewDefinitionKnowsHistoryAndSendsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, nil)
	s.apply(shopSegments + welcomes(`properties.segment == "big" || properties.segment == "buyers"`))
	for i := range 30 {
		s.order(fmt.Sprintf("u%d", i), fmt.Sprintf("o%d", i), float64(i), time.Duration(i)*time.Minute)
		s.order(fmt.Sprintf("u%d", i), fmt.Sprintf("o%d", i), float64(i), time.Duration(i)*time.Minute) // a retry
	}
	sent := func() int {
		n := 0
		for i := range 30 {
			for _, e := range s.must("GET", fmt.Sprintf("/v1/people/userId:u%d/timeline?include=system&limit=100", i), nil)["events"].([]any) {
				if e.(map[string]any)["event"] == "Decision Made" {
					n++
				}
			}
		}
		return n
	}
	await(t, "everybody is welcomed", func() bool { return sent() >= 30 }) // triggers answer beside the log
	if n := sent(); n != 30 {
		t.Fatalf("%d decisions for 30 people who became buyers", n)
	}
	// Another question about the past: the answer reaches back to before it was asked.
	s.apply("kind: segment\nid: big\nwhen: performed(\"Order Completed\").where(properties.revenue >= 20).count() >= 1\n")
	if s.size("big") != 10 {
		t.Fatalf("%v in a segment of 10: %v", s.size("big"), s.must("GET", "/v1/segments", nil))
	}
	// A change of a computed trait changes who is in, and nobody flaps.
	s.apply("kind: computed\nid: orders_30d\nevent: Order Completed\nop: count\nwithin: 30d\nwhere: properties.revenue >= 5\n")
	s.apply("kind: segment\nid: regulars\nwhen: computed.orders_30d >= 1\n")
	if s.size("regulars") != 25 || s.size("buyers") != 30 {
		t.Errorf("%v regulars, %v buyers", s.size("regulars"), s.size("buyers"))
	}
	s.order("u3", "late", 100, 0)
	for i := range 30 {
		for _, e := range s.must("GET", fmt.Sprintf("/v1/people/userId:u%d/timeline?include=system&limit=100", i), nil)["events"].([]any) {
			if e.(map[string]any)["event"] == "Segment Left" {
				t.Errorf("u%d left a segment: %v", i, e)
			}
		}
	}
	if s.size("big") != 11 {
		t.Errorf("%v are big", s.size("big"))
	}
	await(t, "u3 is welcomed as well", func() bool { return sent() >= 31 })
	if n := sent(); n != 31 {
		t.Errorf("%d decisions; only u3 entered by an act of its own", n)
	}
	s.end()
	s = open(t, dir, nil)
	if s.size("big") != 11 || s.size("regulars") != 26 {
		t.Errorf("after a restart: %v", s.must("GET", "/v1/segments", nil))
	}
}

func TestEnteringAndLeavingStandOnTheTimelineWhetherAnybodyListensOrNot(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	s.apply(`kind: segment
id: heard
when: performed("Order Completed").count() == 1
---
kind: segment
id: unheard
when: performed("Order Completed").count() == 1
---
kind: segment
id: recorded
when: performed("Order Completed").count() == 1
record: true
` + welcomes(`properties.segment == "heard"`))
	s.order("anna", "1", 20, 0)
	s.order("anna", "2", 20, 0)
	got, logged := map[string]int{}, map[string]int{}
	for next := ""; ; {
		page := s.must("GET", "/v1/people/userId:anna/timeline?include=system&limit=2"+next, nil)
		for _, e := range page["events"].([]any) {
			e := e.(map[string]any)
			if p, _ := e["properties"].(map[string]any); p["segment"] != nil {
				what := fmt.Sprint(e["event"], " ", p["segment"])
				if got[what]++; strings.Count(e["id"].(string), "/") > 2 { // it names its record
					logged[what]++
				}
			} else if e["event"] == "Order Completed" {
				got["orders"]++
			}
		}
		if page["next"] == nil || page["next"] == "" {
			break
		}
		next = "&before=" + url.QueryEscape(page["next"].(string))
	}
	want := map[string]int{
		"orders": 2, "Segment Entered heard": 1, "Segment Left heard": 1, "Segment Entered unheard": 1, "Segment Left unheard": 1,
		"Segment Entered recorded": 1, "Segment Left recorded": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("on the timeline (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"Segment Entered heard": 1, "Segment Entered recorded": 1, "Segment Left recorded": 1}, logged); diff != "" {
		t.Errorf("in the log (-want +got)\n%s", diff)
	}
}

// TestANewSegmentHasAPast defines segments after the fact: their sizes are there
// from when the first person would have been in them, and people who came with
// events of long ago are counted from then.
func TestANewSegmentHasAPast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, nil)
	const day = 24 * time.Hour
	s.order("anna", "1", 20, 20*day)
	s.order("bo", "2", 30, 10*day)
	s.order("bo", "3", 40, 5*day)
	s.send(event("identify", "4", map[string]any{"userId": "cy", "traits": map[string]any{"country": "NO"}}))
	s.apply(`kind: segment
id: buyers
when: performed("Order Completed").count() >= 1
---
kind: segment
id: fresh
when: performed("Order Completed").within("7d").count() >= 1
---
kind: segment
id: valuable
when: scores.clv > 10
`)
	past := func(id string) (sizes map[int]float64, told map[string]any) {
		var out map[string]any
		await(t, "the past of "+id+" is told", func() bool { // it is told beside everything else
			out = s.must("GET", "/v1/segments/"+id+"/history", nil)
			told, _ = out["past"].(map[string]any)
			return told["until"] != nil
		})
		sizes = map[int]float64{}
		for _, x := range out["sizes"].([]any) {
			x := x.(map[string]any)
			at, err := time.Parse(time.RFC3339, x["at"].(string))
			if err != nil {
				t.Fatal(err)
			}
			sizes[int(time.Since(at)/day)] = x["size"].(float64) // the last of a day stands
		}
		return sizes, told
	}
	buyers, told := past("buyers")
	if buyers[15] != 1 || buyers[8] != 2 || buyers[1] != 2 || buyers[25] != 0 || told["sampled"] != 3.0 || told["total"] != 3.0 {
		t.Errorf("buyers by days ago %v, told %v", buyers, told)
	}
	fresh, _ := past("fresh") // entered, left, entered again: by time alone as well
	if fresh[18] != 1 || fresh[12] != 0 || fresh[8] != 1 || fresh[1] != 1 || s.size("fresh") != 1 {
		t.Errorf("fresh by days ago %v, now %v", fresh, s.size("fresh"))
	}
	if sizes, told := past("valuable"); len(sizes) != 1 || !strings.Contains(fmt.Sprint(told["unknown"]), "scores") {
		t.Errorf("a segment of scores: %v, %v", sizes, told)
	}
	s.end()
	s = open(t, dir, nil)
	if again, _ := past("buyers"); again[15] != 1 || again[8] != 2 {
		t.Errorf("after a restart: %v", again)
	}
}
