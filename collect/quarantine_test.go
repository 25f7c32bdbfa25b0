package collect_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
)

const badOrder = `{"type":"track","event":"Order Completed","userId":"u1","messageId":"m-bad","timestamp":"2026-03-01T11:59:00Z","properties":{"order_id":"o-1","revenue":"12"}}`

func planned(t *testing.T, change func(*collect.Deps)) *house {
	h := open(t, change)
	h.apply(collect.Documents{Sources: someSources, Schemas: []collect.SchemaDoc{order()}})
	return h
}

func TestAHeldEventIsSeenWholeAndEntersWhenCorrected(t *testing.T) {
	t.Parallel()
	h := planned(t, nil)
	h.accepted("/v1/batch", `{"batch":[`+one+`,`+badOrder+`],"sentAt":"2026-03-01T11:59:30Z","context":{"library":{"name":"test"}}}`)
	page := h.list(collect.HeldFilter{})
	if len(page.Events) != 1 || page.Total != 1 || len(h.events()) != 1 {
		t.Fatalf("%+v, %d events", page, len(h.events()))
	}
	q, id := h.door.Quarantine(), page.Events[0].ID
	d, err := q.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	want := collect.HeldDetail{
		Held: collect.Held{
			ID: id, Source: "web", Type: rapport.TypeTrack, Event: "Order Completed", MessageID: "m-bad", ReceivedAt: noon.UnixMilli(),
			Schema: "order-completed", Bytes: len(badOrder),
			Problems: []segmentwire.Problem{{Code: "plan.type", Path: "properties.revenue", Why: "is text, want a number", Fix: "send a number"}},
		},
		Raw: badOrder, SentAt: noon.UnixMilli() - 30_000, Context: rapport.FieldsOf(map[string]any{"library": map[string]any{"name": "test"}}),
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Fatal(diff)
	}
	h.clock.move(3 * time.Hour)
	if err := q.Replay(t.Context(), id); rapport.KindOf(err) != rapport.Invalid || !strings.Contains(err.Error(), "properties.revenue") || rapport.HintOf(err) == "" {
		t.Fatalf("it entered as it was: %v", err)
	}
	for _, bad := range []string{"", "17", `{"batch":[` + one + `,` + one + `]}`, `{"batch":[]}`, badOrder} {
		if err := q.Fix(t.Context(), id, []byte(bad)); rapport.KindOf(err) != rapport.Invalid {
			t.Fatalf("%s: %v", bad, err)
		}
	}
	if err := q.Fix(t.Context(), id, []byte(strings.Replace(badOrder, `"12"`, `12`, 1))); err != nil {
		t.Fatal(err)
	}
	if page := h.list(collect.HeldFilter{}); page.Total != 0 {
		t.Errorf("it is still held: %+v", page)
	}
	for _, e := range h.events() {
		if e.Name != "Order Completed" {
			continue
		}
		library, _ := e.Context.Path("library", "name")
		revenue, _ := e.Properties.Get("revenue")
		if n, _ := revenue.Number(); n != 12 || e.MessageID != "m-bad" || e.ReceivedAt != noon.UnixMilli() || e.Timestamp != noon.UnixMilli()-30_000 || library.Str() != "test" {
			t.Errorf("it entered as %+v", e)
		}
		if !e.History {
			t.Error("an event of three hours ago may trigger sending")
		}
	}
	if _, err := q.Get(t.Context(), id); rapport.KindOf(err) != rapport.NotFound {
		t.Error(err)
	}
	if err := q.Fix(t.Context(), id, []byte(one)); rapport.KindOf(err) != rapport.NotFound {
		t.Error(err)
	}
}

func TestEventsHeldForAMistakeInTheSchemaEnterTogetherAfterItIsMended(t *testing.T) {
	t.Parallel()
	h := planned(t, nil)
	for i := range 30 {
		h.accepted("/v1/track", strings.Replace(badOrder, "m-bad", fmt.Sprintf("m-%d", i), 1))
	}
	h.accepted("/v1/track", `{"event":"","userId":"u"}`)
	want := []collect.HeldCount{
		{Source: "web", Event: "Order Completed", Reason: "plan.type", Schema: "order-completed", Count: 30},
		{Source: "web", Reason: "name", Count: 1},
	}
	counts, err := h.door.Quarantine().Counts(t.Context())
	if diff := cmp.Diff(want, counts); diff != "" || err != nil {
		t.Error(diff, err)
	}
	mended := order()
	mended.Mode = "observe"
	h.apply(collect.Documents{Sources: someSources, Schemas: []collect.SchemaDoc{mended}})
	r, err := h.door.Quarantine().ReplayAll(t.Context(), collect.HeldFilter{Reason: "plan", Limit: 20})
	if diff := cmp.Diff(collect.ReplayResult{Replayed: 20, More: true}, r); diff != "" || err != nil {
		t.Error(diff, err)
	}
	r, err = h.door.Quarantine().ReplayAll(t.Context(), collect.HeldFilter{})
	if diff := cmp.Diff(collect.ReplayResult{Replayed: 10, Refused: 1}, r); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if n := len(h.events()); n != 30 {
		t.Errorf("%d events entered", n)
	}
	if n, err := h.door.Quarantine().DeleteAll(t.Context(), collect.HeldFilter{}); n != 1 || err != nil {
		t.Error(n, err)
	}
	if page := h.list(collect.HeldFilter{}); page.Total != 0 {
		t.Errorf("%+v", page)
	}
}

func TestListsArePagedNewestFirstAndFiltered(t *testing.T) {
	t.Parallel()
	h := planned(t, nil)
	for i := range 7 {
		h.accepted("/v1/track", strings.Replace(badOrder, "m-bad", fmt.Sprintf("m-%d", i), 1))
		h.accepted("/v1/track", fmt.Sprintf(`{"event":"Other %d"}`, i), "Authorization", basic("wk_till_1234"))
	}
	var seen []string
	f := collect.HeldFilter{Source: "web", Limit: 3}
	for pages := 0; ; pages++ {
		page := h.list(f)
		if page.Total != 7 || pages > 3 {
			t.Fatalf("%+v", page)
		}
		for _, e := range page.Events {
			seen = append(seen, e.MessageID)
		}
		if f.After = page.Next; f.After == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"m-6", "m-5", "m-4", "m-3", "m-2", "m-1", "m-0"}, seen); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct {
		f    collect.HeldFilter
		want int
	}{
		{collect.HeldFilter{Event: "Other 3"}, 1},
		{collect.HeldFilter{Reason: "identifier"}, 7},
		{collect.HeldFilter{Reason: "plan"}, 7},
		{collect.HeldFilter{Reason: "plan.type", Source: "till"}, 0},
		{collect.HeldFilter{Schema: "order-completed"}, 7},
		{collect.HeldFilter{}, 14},
	} {
		if page := h.list(c.f); page.Total != c.want {
			t.Errorf("%+v: %d", c.f, page.Total)
		}
	}
	if _, err := h.door.Quarantine().List(t.Context(), collect.HeldFilter{After: "p_1"}); rapport.KindOf(err) != rapport.Invalid {
		t.Error(err)
	}
}

func TestTheQuarantineSurvivesARestart(t *testing.T) {
	t.Parallel()
	h := planned(t, nil)
	for i := range 5 {
		h.accepted("/v1/track", strings.Replace(badOrder, "m-bad", fmt.Sprintf("m-%d", i), 1))
	}
	q := h.door.Quarantine()
	if n, err := q.Delete(t.Context(), h.list(collect.HeldFilter{}).Events[2].ID, "q_zzzz"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	before := h.list(collect.HeldFilter{})
	h.start(nil)
	if diff := cmp.Diff(before, h.list(collect.HeldFilter{})); diff != "" || before.Total != 4 {
		t.Error(diff)
	}
}

func TestTheQuarantineLivesInTheLogOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(f func(h *house)) {
		log, err := local.Open(local.Options{Dir: dir, Partitions: 4})
		if err != nil {
			t.Fatal(err)
		}
		h := &house{t: t, log: &faulty{Log: log}, clock: &manual{now: noon}}
		stop := h.start(nil)
		h.apply(collect.Documents{Sources: someSources, Schemas: []collect.SchemaDoc{order()}})
		f(h)
		stop()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var before collect.HeldPage
	run(func(h *house) {
		for i := range 20 {
			h.accepted("/v1/track", strings.Replace(badOrder, "m-bad", fmt.Sprintf("m-%d", i), 1))
			h.accepted("/v1/track", one)
		}
		if err := h.door.Quarantine().Fix(t.Context(), h.list(collect.HeldFilter{}).Events[5].ID, []byte(one)); err != nil {
			t.Fatal(err)
		}
		before = h.list(collect.HeldFilter{})
	})
	run(func(h *house) {
		if diff := cmp.Diff(before, h.list(collect.HeldFilter{})); diff != "" || before.Total != 19 {
			t.Error(diff)
		}
		if d, err := h.door.Quarantine().Get(t.Context(), before.Events[18].ID); err != nil || !strings.Contains(d.Raw, "Order Completed") {
			t.Error(d, err)
		}
	})
}

func TestARetriedEventIsHeldOnce(t *testing.T) {
	t.Parallel()
	h := planned(t, nil)
	for range 3 {
		h.accepted("/v1/track", badOrder)
	}
	if page := h.list(collect.HeldFilter{}); page.Total != 1 || h.door.Stats().HeldRepeated.Load() != 2 {
		t.Errorf("%+v", page)
	}
}

func TestTheQuarantineIsBoundedBySizeNumberAndAge(t *testing.T) {
	t.Parallel()
	fill := func(h *house) {
		for i := range 10 {
			h.accepted("/v1/track", strings.Replace(badOrder, "m-bad", fmt.Sprintf("m-%d", i), 1))
		}
	}
	h := planned(t, func(d *collect.Deps) { d.Options.Quarantine.Entries = 4 })
	fill(h)
	if page := h.list(collect.HeldFilter{}); page.Total != 4 || page.Events[0].MessageID != "m-9" || h.door.Stats().HeldExpired.Load() != 6 {
		t.Errorf("%+v", page)
	}
	if first, _ := h.log.Bounds(eventlog.Quarantine, 0); first != 6 {
		t.Errorf("the log is trimmed to %d", first)
	}
	h = planned(t, func(d *collect.Deps) { d.Options.Quarantine.Bytes = 1500 })
	fill(h)
	if page := h.list(collect.HeldFilter{}); page.Total == 0 || page.Total > 5 || h.door.Stats().HeldBytes.Load() > 1500 {
		t.Errorf("%d events of %d bytes", page.Total, h.door.Stats().HeldBytes.Load())
	}
	h = planned(t, nil)
	fill(h)
	h.clock.move(31 * 24 * time.Hour)
	if page := h.list(collect.HeldFilter{}); page.Total != 0 {
		t.Errorf("%+v", page)
	}
}

func TestAnOversizeEventIsHeldByItsBeginning(t *testing.T) {
	t.Parallel()
	h := open(t, func(d *collect.Deps) {
		d.Options.Wire.EventBytes = 2000
		d.Options.Quarantine.RawBytes = 2000
	})
	large := strings.Replace(one, `"userId"`, `"properties":{"x":"`+strings.Repeat("x", 3000)+`"},"userId"`, 1)
	h.accepted("/v1/batch", `{"batch":[`+one+`,`+large+`]}`)
	page := h.list(collect.HeldFilter{Reason: "size"})
	if page.Total != 1 || len(h.events()) != 1 {
		t.Fatalf("%+v", page)
	}
	d, err := h.door.Quarantine().Get(t.Context(), page.Events[0].ID)
	if err != nil || len(d.Raw) != 2000 || !d.Truncated || d.Bytes != len(large) || d.Event != "Opened" {
		t.Errorf("%+v %v", d.Held, err)
	}
	if err := h.door.Quarantine().Replay(t.Context(), d.ID); rapport.KindOf(err) != rapport.Invalid {
		t.Error(err)
	}
	if err := h.door.Quarantine().Fix(t.Context(), d.ID, []byte(one)); err != nil {
		t.Error(err)
	}
}

func TestAnEventWithoutANameKeepsTheOneItWasGiven(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.accepted("/v1/track", `{"event":"x"}`)
	held := h.list(collect.HeldFilter{}).Events[0]
	if err := h.door.Quarantine().Fix(t.Context(), held.ID, []byte(`{"event":"x","userId":"u"}`)); err != nil {
		t.Fatal(err)
	}
	if e := h.events()[0]; e.MessageID != held.MessageID || e.Type != rapport.TypeTrack {
		t.Errorf("%+v, held as %s", e, held.MessageID)
	}
}

func TestAnErasedPersonLeavesTheQuarantine(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	h.apply(collect.Documents{Sources: []collect.SourceDoc{{ID: "web", Key: "wk_web_1234", Unplanned: "quarantine"}}})
	for i, who := range []string{
		`"userId":"ola"`, // the oldest: what is behind it cannot be trimmed
		`"userId":"kari"`, `"anonymousId":"a","context":{"traits":{"phone":"+47 22 22 55 55"}}`, `"anonymousId":"a","context":{"traits":{"email":"KARI@x.no"}}`,
		`"note":"karin"`,
	} {
		h.accepted("/v1/track", fmt.Sprintf(`{"event":"x","messageId":"m%d",%s}`, i, who))
	}
	kari := []rapport.Identifier{{Kind: "userId", Value: "kari"}, {Kind: "phone", Value: "+4722225555"}, {Kind: "email", Value: "kari@x.no"}}
	concerned := 0
	for _, r := range h.records(eventlog.Quarantine, 0) {
		if h.door.Quarantine().Concerns(kari)(r) {
			concerned++
		}
	}
	n, err := h.door.Quarantine().Forget(t.Context(), kari)
	if n != 3 || concerned != 3 || err != nil {
		t.Errorf("%d forgotten, %d concerned, %v", n, concerned, err)
	}
	if page := h.list(collect.HeldFilter{}); page.Total != 2 {
		t.Errorf("%+v", page)
	}
	left, err := h.door.Quarantine().Left(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gone := 0
	for _, r := range h.records(eventlog.Quarantine, 0) {
		if left(r) {
			gone++
			if !h.door.Quarantine().Concerns(kari)(r) {
				t.Errorf("a record of somebody else at %d would be scrubbed", r.Offset)
			}
		}
	}
	if gone != 3 {
		t.Errorf("%d records would be scrubbed", gone)
	}
}

func TestAHeldEventOfAGoneSourceStays(t *testing.T) {
	t.Parallel()
	h := planned(t, nil)
	h.accepted("/v1/track", badOrder)
	h.apply(collect.Documents{})
	if err := h.door.Quarantine().Replay(t.Context(), h.list(collect.HeldFilter{}).Events[0].ID); rapport.KindOf(err) != rapport.Conflict || rapport.HintOf(err) == "" {
		t.Error(err)
	}
}

func TestHeldEventsReadAsJSON(t *testing.T) {
	t.Parallel()
	h := planned(t, nil)
	h.accepted("/v1/track", badOrder)
	d, err := h.door.Quarantine().Get(t.Context(), h.list(collect.HeldFilter{}).Events[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(d)
	if err != nil || !strings.Contains(string(b), `"type":"track"`) || !strings.Contains(string(b), `"path":"properties.revenue"`) {
		t.Errorf("%s %v", b, err)
	}
}
