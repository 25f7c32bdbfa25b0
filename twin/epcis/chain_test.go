package epcis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/twin/epcis"
)

// story packs two canisters six levels deep, ships the outermost, and unpacks
// one of them later than the other.
func story(w *world) {
	w.tb.Helper()
	w.capture(object(0, "ADD", "commissioning", factory, canister(1), canister(2), canister(3)))
	w.capture(
		pack(1, "ADD", "packing", sscc(1), canister(1), canister(2)),
		pack(2, "ADD", "packing", sscc(2), sscc(1)),
		pack(3, "ADD", "packing", sscc(3), sscc(2)),
		pack(4, "ADD", "packing", sscc(4), sscc(3)),
		pack(5, "ADD", "packing", sscc(5), sscc(4)),
		pack(6, "ADD", "packing", sscc(6), sscc(5)),
	)
	w.capture(object(10, "OBSERVE", "shipping", factory, sscc(6)))
	w.capture(object(20, "OBSERVE", "receiving", shop, sscc(6)))
	w.capture(
		pack(21, "DELETE", "unpacking", sscc(6)), pack(22, "DELETE", "unpacking", sscc(5)), pack(23, "DELETE", "unpacking", sscc(4)),
		pack(24, "DELETE", "unpacking", sscc(3)), pack(25, "DELETE", "unpacking", sscc(2)), pack(26, "DELETE", "unpacking", sscc(1), canister(1)),
	)
	w.capture(object(30, "OBSERVE", "retail_selling", shop, canister(1)))
	// The empty pallet goes back: no longer the canister's business.
	w.capture(object(40, "OBSERVE", "shipping", shop, sscc(6)))
}

func steps(t *epcis.Trace) []string {
	var out []string
	for _, s := range t.Steps {
		out = append(out, s.Event.BizStep+" "+s.Relation)
	}
	return out
}

func TestAThingHasTheHistoryOfEveryContainerWhileItWasInIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t), openStore(t), nil)
	story(w)
	got, err := w.chain.Trace(t.Context(), canister(1), epcis.Upstream|epcis.Downstream)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"commissioning self", "packing self", "packing container", "packing container", "packing container", "packing container", "packing container",
		"shipping container", "receiving container", "unpacking container", "unpacking container", "unpacking container", "unpacking container", "unpacking container",
		"unpacking self", "retail_selling self",
	}
	// Emptying a container names its parent alone.
	got.Steps = slices.DeleteFunc(got.Steps, func(s epcis.Step) bool { return s.Event.BizStep == "unpacking" && s.Relation == "container" })
	want = slices.DeleteFunc(want, func(s string) bool { return s == "unpacking container" })
	if diff := cmp.Diff(want, steps(got)); diff != "" {
		t.Error(diff)
	}
	if len(got.Stays) != 1 || got.Stays[0].Container != epcis.Name(sscc(1)) || got.Stays[0].To == 0 {
		t.Errorf("stays: %+v", got.Stays)
	}

	still, err := w.chain.Trace(t.Context(), canister(2), epcis.Upstream)
	if err != nil {
		t.Fatal(err)
	}
	if len(still.Stays) != 1 || still.Stays[0].To != 0 {
		t.Errorf("canister 2 was never unpacked: %+v", still.Stays)
	}
	down, err := w.chain.Trace(t.Context(), sscc(6), epcis.Downstream)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{epcis.Name(sscc(5))}, down.Contents); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(steps(down), "retail_selling content") {
		t.Errorf("downstream of the pallet: %v", steps(down))
	}
}

func TestItemsAreToldOnceOfWhatHappensToThemAndTheirContainers(t *testing.T) {
	t.Parallel()
	log, store := memory(t), openStore(t)
	w := newWorld(t, log, store, nil)
	story(w)
	name := epcis.Name(canister(1))
	waitFor(t, w, func() bool { return len(w.items.of(name)) >= 6 && len(w.items.of(epcis.Name(sscc(6)))) >= 5 })
	var got []string
	for _, f := range w.items.of(name) {
		how := "named"
		if f.Inside != "" {
			how = "inside"
		}
		got = append(got, f.Event.BizStep+" "+how)
		if f.Event.BizStep == "packing" && how == "named" && f.Parent != epcis.Name(sscc(1)) {
			t.Errorf("packed into %s", f.Parent)
		}
	}
	want := []string{
		"commissioning named", "packing named", "packing inside", "packing inside", "packing inside", "packing inside", "packing inside",
		"shipping inside", "receiving inside", "unpacking named", "retail_selling named",
	}
	got = slices.DeleteFunc(got, func(s string) bool { return s == "unpacking inside" })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	w.stop()

	// A restart, with or without the index, tells nobody again.
	for _, s := range []string{"same index", "index folded again"} {
		if s == "index folded again" {
			store = openStore(t)
		}
		again := newWorld(t, log, store, nil)
		again.capture(object(50, "OBSERVE", "inspecting", shop, canister(3)))
		waitFor(t, again, func() bool { return len(again.items.of(epcis.Name(canister(3)))) > 0 })
		if n := len(again.items.of(name)); n != 0 {
			t.Errorf("%s: told %d times more", s, n)
		}
		again.stop()
	}
}

func waitFor(t *testing.T, w *world, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-w.items.heard:
		case <-t.Context().Done():
			t.Fatal("items were not told")
		}
	}
}

func TestARecallOfALotFindsItsThingsAndWhatWasMadeOfIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t), openStore(t), nil)
	w.capture(object(0, "ADD", "commissioning", factory, canister(1), canister(2)))
	w.capture(`{"type":"TransformationEvent","eventTime":"` + at(1) + `","eventTimeZoneOffset":"+00:00","inputQuantityList":[{"epcClass":"urn:epc:class:lgtin:0952012.012345.BEANS","quantity":10,"uom":"KGM"}],"outputQuantityList":[{"epcClass":"urn:epc:class:lgtin:0952012.054321.ROAST","quantity":8,"uom":"KGM"}]}`)
	w.capture(`{"type":"TransformationEvent","eventTime":"` + at(2) + `","eventTimeZoneOffset":"+00:00","inputQuantityList":[{"epcClass":"urn:epc:class:lgtin:0952012.054321.ROAST","quantity":8,"uom":"KGM"}],"outputEPCList":` + list(canister(1), canister(2)) + `}`)
	w.capture(`{"type":"ObjectEvent","eventTime":"` + at(3) + `","eventTimeZoneOffset":"+00:00","action":"ADD","epcList":["https://id.gs1.org/01/09520123456788/21/D9"],"ilmd":{"cbvmda:lotNumber":"LOT7"}}`)

	for of, want := range map[string][]string{
		epcis.LotName("09520123456788", "LOT7"):    {"01_09520123456788_21_C1", "01_09520123456788_21_C2", "01_09520123456788_21_D9"},
		"urn:epc:class:lgtin:0952012.012345.BEANS": {"01_09520123456788_21_C1", "01_09520123456788_21_C2"},
		canister(1):                              {"01_09520123456788_21_C1"},
		epcis.LotName("09520123456788", "OTHER"): nil,
	} {
		got, more, err := w.chain.Affected(t.Context(), of)
		if err != nil || more {
			t.Fatal(err, more)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", of, diff)
		}
	}
	up, err := w.chain.Trace(t.Context(), canister(1), epcis.Upstream)
	if err != nil {
		t.Fatal(err)
	}
	if len(up.Sources) != 2 {
		t.Errorf("made from %v", up.Sources)
	}
	down, err := w.chain.Trace(t.Context(), "urn:epc:class:lgtin:0952012.012345.BEANS", epcis.Downstream)
	if err != nil || !slices.Contains(down.Products, "01_09520123456788_21_C2") {
		t.Errorf("products %v, %v", down.Products, err)
	}
}

func TestALiftedRecallIsNotTakenForAStandingOneByWhoCarriesItOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t), openStore(t), nil)
	for i := range 100 {
		r, err := w.chain.StartRecall(t.Context(), epcis.Recall{ID: fmt.Sprint("r", i), Of: canister(1), Reason: "Glass"})
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan error)
		const tellers = 8
		for items := range tellers {
			go func() { told <- w.chain.RecallTold(t.Context(), *r, items) }()
		}
		_, err = w.chain.LiftRecall(t.Context(), r.ID, "marta")
		for range tellers {
			err = errors.Join(err, <-told)
		}
		if err != nil {
			t.Fatal(err)
		}
		if r, err = w.chain.RecallOf(t.Context(), r.ID); err != nil || !r.Lifted {
			t.Fatalf("%d: %+v %v", i, r, err)
		}
	}
}

func TestADuplicateRollsAllBackUnlessAskedToProceed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t), openStore(t), nil)
	known := strings.Replace(object(1, "OBSERVE", "storing", shop, canister(1)), `{`, `{"eventID":"urn:uuid:1",`, 1)
	fresh := strings.Replace(object(2, "OBSERVE", "storing", shop, canister(2)), `{`, `{"eventID":"urn:uuid:2",`, 1)
	if j := w.capture(known); !j.Success || j.Events != 1 {
		t.Fatalf("%+v", j)
	}
	if j := w.capture(known, fresh); j.Success || j.Events != 0 || len(j.Errors) != 1 || j.Errors[0].Type != "epcisException:ResourceAlreadyExistsException" {
		t.Errorf("rollback: %+v", j)
	}
	if j := w.captureAs(epcis.Proceed, known, fresh); j.Success || j.Events != 1 {
		t.Errorf("proceed: %+v", j)
	}
	if j := w.capture(fresh); j.Success {
		t.Errorf("the event kept by proceed is captured twice: %+v", j)
	}
	declared := strings.Replace(known, `"type"`, `"errorDeclaration":{"declarationTime":"2026-03-02T00:00:00Z","reason":"did_not_occur"},"type"`, 1)
	j := w.capture(declared)
	if !j.Success {
		t.Errorf("declaring an error of an event: %+v", j)
	}
	got, err := w.chain.Job(t.Context(), j.ID)
	if err != nil || got.Events != 1 || got.Running {
		t.Errorf("%+v, %v", got, err)
	}
	jobs, _, err := w.chain.Jobs(t.Context(), 2, "")
	if err != nil || len(jobs) != 2 || jobs[0].ID != j.ID {
		t.Errorf("%+v, %v", jobs, err)
	}
	if got := len(w.find(epcis.Params{})); got != 3 {
		t.Errorf("%d events kept", got)
	}
	if _, err := w.chain.Job(t.Context(), "none"); rapport.KindOf(err) != rapport.NotFound {
		t.Error(err)
	}
}

// TestARollbackFreesItsIdsOnce: what a rolled-back capture let go of
// may be captured by somebody else before the index has seen the rollback.
func TestARollbackFreesItsIdsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t), openStore(t), nil)
	event := func(id int) string {
		return strings.Replace(object(1, "OBSERVE", "storing", shop, canister(id)), `{`, fmt.Sprintf(`{"eventID":"urn:uuid:%d",`, id), 1)
	}
	w.capture(event(0))
	for id := 1; id <= 200; id++ {
		if j := w.capture(event(0), event(id)); j.Success || j.Events != 0 {
			t.Fatalf("rollback: %+v", j)
		}
		if j := w.capture(event(id)); !j.Success {
			t.Fatalf("after a rollback: %+v", j)
		}
		if j := w.capture(event(id)); j.Success {
			t.Fatalf("%d is captured twice", id)
		}
	}
}

func TestQueriesFindByTheStandardsParameters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t), openStore(t), nil)
	story(w)
	w.capture(`{"type":"ObjectEvent","eventTime":"` + at(50) + `","eventTimeZoneOffset":"+00:00","action":"OBSERVE","epcList":["` + canister(3) + `"],"disposition":"in_progress","ext:color":"red","ext:depth":{"ext:inner":"7"},"quantityList":[{"epcClass":"urn:epc:class:lgtin:0952012.012345.X","quantity":12,"uom":"KGM"}],"bizTransactionList":[{"type":"po","bizTransaction":"urn:x:po1"}],"sensorElementList":[{"sensorMetadata":{"time":"2026-03-02T00:00:00Z"},"sensorReport":[{"type":"Temperature","value":26,"uom":"CEL"}]}]}`)
	for name, c := range map[string]struct {
		p    epcis.Params
		want int
	}{
		"all":                {epcis.Params{}, 18},
		"type":               {epcis.Params{"eventType": "AggregationEvent"}, 12},
		"step as word":       {epcis.Params{"EQ_bizStep": []any{"shipping", "receiving"}}, 3},
		"step as URI":        {epcis.Params{"EQ_bizStep": "https://ref.gs1.org/cbv/BizStep-shipping"}, 2},
		"place":              {epcis.Params{"EQ_bizLocation": shop}, 3},
		"place as link":      {epcis.Params{"EQ_bizLocation": "https://id.gs1.org/414/9520120000016"}, 0},
		"time":               {epcis.Params{"GE_eventTime": at(10), "LT_eventTime": at(21)}, 2},
		"thing as link":      {epcis.Params{"MATCH_epc": canister(1)}, 4},
		"thing as URN":       {epcis.Params{"MATCH_anyEPC": "urn:epc:id:sgtin:9520123.045678.C1"}, 4},
		"another thing":      {epcis.Params{"MATCH_anyEPC": "https://id.gs1.org/01/09520123456788/21/C3"}, 2},
		"all of a GTIN":      {epcis.Params{"MATCH_epc": "urn:epc:idpat:sgtin:9520123.045678.*"}, 5},
		"parent":             {epcis.Params{"MATCH_parentID": sscc(1)}, 2},
		"action":             {epcis.Params{"EQ_action": "ADD"}, 7},
		"extension":          {epcis.Params{"EQ_ext:color": "red"}, 1},
		"inner extension":    {epcis.Params{"GE_INNER_ext:inner": json.Number("6")}, 1},
		"no such inner":      {epcis.Params{"EXISTS_INNER_ext:color": nil}, 0},
		"quantity":           {epcis.Params{"GE_quantity": json.Number("12"), "LT_quantity": json.Number("13")}, 1},
		"quantity of a unit": {epcis.Params{"GE_quantity_KGM": json.Number("1")}, 1},
		"other unit":         {epcis.Params{"GE_quantity_LTR": json.Number("1")}, 0},
		"reading":            {epcis.Params{"GT_value_CEL": json.Number("25"), "EQ_type": "Temperature"}, 1},
		"transaction":        {epcis.Params{"EQ_bizTransaction_po": "urn:x:po1"}, 1},
		"other transaction":  {epcis.Params{"EQ_bizTransaction_inv": "urn:x:po1"}, 0},
		"class":              {epcis.Params{"MATCH_anyEPCClass": "urn:epc:class:lgtin:0952012.012345.X"}, 1},
		"limit":              {epcis.Params{"eventCountLimit": json.Number("2")}, 2},
		"readings":           {epcis.Params{"EXISTS_sensorElementList": nil}, 1},
	} {
		c.p["perPage"] = json.Number("1000")
		if got := w.find(c.p); len(got) != c.want {
			t.Errorf("%s: %d events, want %d", name, len(got), c.want)
		}
	}
	for name, p := range map[string]epcis.Params{
		"unknown":         {"GE_eventDate": at(0)},
		"time":            {"GE_eventTime": "not-a-date"},
		"action":          {"EQ_action": "SHIPPED"},
		"direction":       {"orderDirection": "SIDEWAYS"},
		"order":           {"orderBy": "size"},
		"type":            {"eventType": "Nothing"},
		"number":          {"GE_quantity": "many"},
		"both limits":     {"eventCountLimit": "1", "maxEventCount": "1"},
		"missing value":   {"EQ_readPoint": nil},
		"nested":          {"EQ_action": map[string]any{}},
		"unknown matched": {"MATCH_color": "red"},
	} {
		var x *epcis.Exception
		if _, err := epcis.Compile(p); !errors.As(err, &x) || x.Name != epcis.QueryParameterException {
			t.Errorf("%s: %v", name, err)
		}
	}
	q, _ := epcis.Compile(epcis.Params{"maxEventCount": json.Number("3")})
	var x *epcis.Exception
	if _, err := w.chain.Find(t.Context(), q); !errors.As(err, &x) || x.Name != epcis.QueryTooLargeException {
		t.Error(err)
	}
}

func TestPagesTogetherAreTheWholeAnswerInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t), openStore(t), nil)
	story(w)
	for _, order := range []string{"eventTime", "recordTime"} {
		for _, direction := range []string{"ASC", "DESC"} {
			for _, extra := range []epcis.Params{{}, {"MATCH_anyEPC": sscc(6)}} {
				var ids []string
				var times []int64
				for token, pages := "", 0; ; pages++ {
					p := epcis.Params{"perPage": json.Number("4"), "orderBy": order, "orderDirection": direction, "nextPageToken": token}
					for k, v := range extra {
						p[k] = v
					}
					q, err := epcis.Compile(p)
					if err != nil {
						t.Fatal(err)
					}
					page, err := w.chain.Find(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range page.Events {
						ids = append(ids, e.ID)
						at := e.Time
						if order == "recordTime" {
							at = e.Record
						}
						if direction == "DESC" {
							at = -at
						}
						times = append(times, at)
					}
					if token = page.Next; token == "" || pages > 10 {
						break
					}
				}
				want := 17
				if len(extra) > 0 {
					want = 5
				}
				if slices.Sort(ids); len(slices.Compact(ids)) != want || !slices.IsSorted(times) {
					t.Errorf("%s %s %v: %d events, in order: %t", order, direction, extra, len(ids), slices.IsSorted(times))
				}
			}
		}
	}
}

// postbox takes notifications; it fails the first time.
type postbox struct {
	mu     sync.Mutex
	keys   []string
	bodies [][]byte
	failed bool
	came   chan struct{}
}

func (p *postbox) Check(string) error { return nil }

func (p *postbox) Notify(_ context.Context, _ *epcis.Subscription, key string, body []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.failed {
		p.failed = true
		return rapport.Errorf(rapport.Unavailable, "nobody there")
	}
	p.keys, p.bodies = append(p.keys, key), append(p.bodies, slices.Clone(body))
	p.came <- struct{}{}
	return nil
}

func TestASubscriberHearsOfEveryMatchOnceAlsoAfterAFailureAndARestart(t *testing.T) {
	t.Parallel()
	log, box := memory(t), &postbox{came: make(chan struct{}, 10)}
	w := newWorld(t, log, openStore(t), box)
	if err := w.chain.CreateQuery(t.Context(), "sold", epcis.Params{"EQ_bizStep": []any{"retail_selling"}}); err != nil {
		t.Fatal(err)
	}
	s, err := w.chain.Subscribe(t.Context(), epcis.Subscription{Query: "sold", Dest: "https://example.com/hook"})
	if err != nil || len(s.Secret) < 32 {
		t.Fatal(s, err)
	}
	story(w)
	<-box.came
	w.stop()
	again := newWorld(t, log, openStore(t), box)
	again.capture(object(60, "OBSERVE", "retail_selling", shop, canister(2)))
	<-box.came
	again.stop()
	if len(box.bodies) != 2 || box.keys[0] == box.keys[1] {
		t.Fatalf("%d notifications, keys %v", len(box.bodies), box.keys)
	}
	for i, serial := range []string{"C1", "C2"} {
		if n := strings.Count(string(box.bodies[i]), `"type":"ObjectEvent"`); n != 1 || !strings.Contains(string(box.bodies[i]), serial) {
			t.Errorf("notification %d: %s", i, box.bodies[i])
		}
		if !json.Valid(box.bodies[i]) {
			t.Error("not JSON")
		}
	}
}

func TestNamedQueriesAreKeptListedAndRemovedWithTheirSubscriptions(t *testing.T) {
	t.Parallel()
	log := memory(t)
	w := newWorld(t, log, openStore(t), &postbox{came: make(chan struct{}, 10)})
	p := epcis.Params{"GE_quantity": json.Number("1.50")}
	for range 2 {
		err := w.chain.CreateQuery(t.Context(), "q", p)
		if err == nil {
			continue
		}
		if rapport.KindOf(err) != rapport.Conflict {
			t.Error(err)
		}
	}
	q, err := w.chain.Query(t.Context(), "q")
	if diff := cmp.Diff(p, q.Query); err != nil || diff != "" {
		t.Error(diff, err)
	}
	if _, err := w.chain.Subscribe(t.Context(), epcis.Subscription{Query: "q", Dest: "https://example.com"}); err != nil {
		t.Fatal(err)
	}
	if err := w.chain.DeleteQuery(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	if left, err := w.chain.Subscriptions(t.Context(), "q"); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
	if err := w.chain.CreateQuery(t.Context(), "bad", epcis.Params{"X": "1"}); err == nil {
		t.Error("a query that does not compile is kept")
	}
	if n := log.Partitions(eventlog.Things); n != 1 {
		t.Error(n)
	}
}

func TestMasterDataOfDocumentsIsKeptAndAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memory(t), openStore(t), nil)
	const mill, yard = "urn:epc:id:sgln:0950600.01343.0", "urn:epc:id:sgln:0950600.01344.0"
	header := func(name string) string {
		return `"epcisHeader":{"epcisMasterData":{"vocabularyList":[
			{"type":"urn:epcglobal:epcis:vtype:BusinessLocation","vocabularyElementList":[
				{"id":"` + mill + `","attributes":[{"id":"urn:epcglobal:cbv:mda#name","attribute":"` + name + `"},{"id":"https://example.com/kind","attribute":{"wet":true}}],"children":["` + yard + `"]},
				{"id":"` + yard + `","attributes":[{"id":"cbv:mda#name","attribute":"Yard"}]}]}]}},`
	}
	capture := func(header, place, id string) {
		t.Helper()
		text := strings.Replace(string(document(object(0, "OBSERVE", "storing", place, id))), `"epcisBody"`, header+`"epcisBody"`, 1)
		doc, err := epcis.Parse([]byte(text), "", epcis.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.chain.Capture(t.Context(), doc, epcis.Rollback); err != nil {
			t.Fatal(err)
		}
	}
	capture(header("Old mill"), mill, canister(1))
	capture(header("Mill"), yard, canister(2))
	capture("", "urn:epc:id:sgln:0950600.99999.0", canister(3))
	known, err := w.chain.Elements(t.Context(), mill, "https://id.gs1.org/414/0950600013439", yard, "urn:epc:id:sgln:0950600.99999.0")
	if err != nil || known[mill] == nil || known[mill].Attributes["name"] != "Mill" || known[mill].Attributes["https://example.com/kind"] != `{"wet":true}` || known[yard].Attributes["name"] != "Yard" || len(known) > 3 {
		t.Errorf("%+v %v", known, err)
	}
	for params, want := range map[string]int{
		`{"HASATTR_bizLocation":["urn:epcglobal:cbv:mda#name"]}`:                 2,
		`{"HASATTR_bizLocation":["https://example.com/kind"]}`:                   1,
		`{"HASATTR_bizLocation":["urn:epcglobal:cbv:mda#city"]}`:                 0,
		`{"EQATTR_bizLocation_urn:epcglobal:cbv:mda#name":["Mill","elsewhere"]}`: 1,
		`{"EQATTR_bizLocation_cbv:mda#name":"Old mill"}`:                         0,
		`{"WD_bizLocation":["` + mill + `"]}`:                                    2,
		`{"WD_bizLocation":["` + yard + `"]}`:                                    1,
	} {
		var p epcis.Params
		if err := json.Unmarshal([]byte(params), &p); err != nil {
			t.Fatal(err)
		}
		q, err := epcis.Compile(p)
		if err != nil {
			t.Fatal(params, err)
		}
		page, err := w.chain.Find(t.Context(), q)
		if err != nil || len(page.Events) != want {
			t.Errorf("%s finds %d events, want %d (%v)", params, len(page.Events), want, err)
		}
	}
	if _, err := epcis.Compile(epcis.Params{"HASATTR_action": "x"}); err == nil {
		t.Error("attributes of an action are asked for")
	}
	n := 0
	if err := w.chain.Vocabulary(t.Context(), "BusinessLocation", func(*epcis.Element) bool { n++; return true }); err != nil || n != 2 {
		t.Errorf("%d elements, %v", n, err)
	}
	for _, bad := range []string{
		`"epcisHeader":7,`, `"epcisHeader":{"epcisMasterData":[]},`, `"epcisHeader":{"epcisMasterData":{"vocabularyList":[{"type":"x","vocabularyElementList":[{"id":"urn:x:y"}]}]}},`,
		`"epcisHeader":{"epcisMasterData":{"vocabularyList":[{"type":"urn:a:b","vocabularyElementList":[{"id":"no URI"}]}]}},`,
	} {
		text := strings.Replace(string(document(object(0, "OBSERVE", "storing", mill, canister(1)))), `"epcisBody"`, bad+`"epcisBody"`, 1)
		if _, err := epcis.Parse([]byte(text), "", epcis.Limits{}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestMasterDataInXMLIsRead(t *testing.T) {
	t.Parallel()
	const path = "../../../shared/data/epcis-openepcis/1.2/EPCIS/XML/Capture/Documents/GS1_US_Pharma_Example_2_2_1_1.xml"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Skip("the OpenEPCIS documents are not beside the repository (../shared/data/epcis-openepcis)")
	}
	doc, err := epcis.Parse(data, "", epcis.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(doc.Master, func(e epcis.Element) bool { return e.ID == "urn:epc:id:sgln:039999.999999.0" })
	if i < 0 || doc.Master[i].Attributes["name"] != "GS1 Drug Distributor" || doc.Master[i].Attributes["city"] != "New York" || doc.Master[i].Vocabulary != "urn:epcglobal:epcis:vtype:Location" {
		t.Errorf("%d elements: %+v", len(doc.Master), doc.Master)
	}
}
