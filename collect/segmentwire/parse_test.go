package segmentwire_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
)

const received = int64(1_772_366_400_000) // 2026-03-01T12:00:00Z

func parse(t testing.TB, body string, o segmentwire.Options) *segmentwire.Batch {
	t.Helper()
	if o.ReceivedAt == 0 {
		o.ReceivedAt = received
	}
	b := &segmentwire.Batch{}
	if err := segmentwire.Parse([]byte(body), &o, b); err != nil {
		t.Fatalf("parse %s: %v", body, err)
	}
	return b
}

func one(t testing.TB, body string, o segmentwire.Options) rapport.Event {
	t.Helper()
	b := parse(t, body, o)
	if len(b.Events) != 1 || len(b.Rejects) != 0 {
		t.Fatalf("parse %s: %d events, rejects %+v", body, len(b.Events), b.Rejects)
	}
	return b.Events[0]
}

func TestEveryCallTypeIsReadWithItsFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body string
		want rapport.Event
	}{
		{
			`{"type":"track","event":"Order Completed","userId":"u1","anonymousId":"a1","messageId":"m1","properties":{"products":[{"sku":"x"}],"revenue":20.5}}`,
			rapport.Event{
				Type: rapport.TypeTrack, Name: "Order Completed", UserID: "u1", AnonymousID: "a1", MessageID: "m1",
				Properties: rapport.FieldsOf(map[string]any{"revenue": 20.5, "products": []any{map[string]any{"sku": "x"}}}),
			},
		},
		{
			`{"type":"identify","userId":"u1","messageId":"m1","traits":{"plan":"pro"},"context":{"traits":{"plan":"old","city":"Oslo"}}}`,
			rapport.Event{
				Type: rapport.TypeIdentify, UserID: "u1", MessageID: "m1",
				Traits:  rapport.AppendField(rapport.FieldsOf(map[string]any{"plan": "pro"}), "city", rapport.StringValue("Oslo")),
				Context: rapport.FieldsOf(map[string]any{"traits": rapport.AppendField(rapport.FieldsOf(map[string]any{"plan": "old"}), "city", rapport.StringValue("Oslo"))}),
			},
		},
		{
			`{"type":"page","name":"Home","category":"Shop","anonymousId":"a1","messageId":"m1"}`,
			rapport.Event{Type: rapport.TypePage, Name: "Home", AnonymousID: "a1", MessageID: "m1", Properties: rapport.FieldsOf(map[string]any{"category": "Shop"})},
		},
		{
			`{"type":"screen","anonymousId":"a1","messageId":"m1","properties":{"name":"Start"}}`,
			rapport.Event{Type: rapport.TypeScreen, Name: "Start", AnonymousID: "a1", MessageID: "m1", Properties: rapport.FieldsOf(map[string]any{"name": "Start"})},
		},
		{
			`{"type":"group","groupId":"g1","userId":"u1","messageId":"m1","traits":{"email":"firm@example.com"}}`,
			rapport.Event{Type: rapport.TypeGroup, GroupID: "g1", UserID: "u1", MessageID: "m1", Traits: rapport.FieldsOf(map[string]any{"email": "firm@example.com"})},
		},
		{
			`{"type":"alias","previousId":"a1","userId":"u1","messageId":"m1"}`,
			rapport.Event{Type: rapport.TypeAlias, PreviousID: "a1", UserID: "u1", MessageID: "m1"},
		},
	} {
		want := c.want
		want.Timestamp, want.OriginalTimestamp, want.ReceivedAt = received, received, received
		for _, id := range []rapport.Identifier{{Kind: rapport.KindUserID, Value: want.UserID}, {Kind: rapport.KindAnonymousID, Value: want.AnonymousID}} {
			if id.Value != "" {
				want.Identifiers = append(want.Identifiers, id)
			}
		}
		o := segmentwire.Options{Normalize: asIs}
		if diff := cmp.Diff(want, one(t, c.body, o)); diff != "" {
			t.Errorf("%s:\n%s", c.body, diff)
		}
		if diff := cmp.Diff(want, one(t, `{"batch":[`+c.body+`]}`, o)); diff != "" {
			t.Errorf("in a batch: %s:\n%s", c.body, diff)
		}
	}
}

func asIs(kind, value string) (string, bool) {
	return strings.ToLower(value), kind != rapport.KindPhone || strings.HasPrefix(value, "+")
}

func TestTheAddressDecidesTheType(t *testing.T) {
	t.Parallel()
	e := one(t, `{"type":"nonsense","event":"x","userId":"u"}`, segmentwire.Options{Type: rapport.TypeTrack})
	if e.Type != rapport.TypeTrack {
		t.Errorf("type %v", e.Type)
	}
}

func TestAnEmptyUserIDIsAbsentAndANumberIsItsText(t *testing.T) {
	t.Parallel()
	e := one(t, `{"type":"track","event":"x","userId":"","anonymousId":8001}`, segmentwire.Options{})
	if diff := cmp.Diff([]rapport.Identifier{{Kind: "anonymousId", Value: "8001"}}, e.Identifiers); diff != "" {
		t.Error(diff)
	}
	e = one(t, `{"type":"track","event":"x","userId":12345678901234567890,"anonymousId":null}`, segmentwire.Options{})
	if e.UserID != "12345678901234567890" || e.AnonymousID != "" {
		t.Errorf("%q %q", e.UserID, e.AnonymousID)
	}
}

func TestEnvelopeContextAndSentAtReachEveryEventWhereverTheyStand(t *testing.T) {
	t.Parallel()
	envelope := `"sentAt":"2026-03-01T11:00:10Z","context":{"library":{"name":"go"},"ip":"1.2.3.4","traits":{"email":"a@b.no"}}`
	events := `"batch":[{"type":"track","event":"x","userId":"u","timestamp":"2026-03-01T11:00:00Z","context":{"ip":"9.9.9.9"}},
		{"type":"track","event":"y","userId":"u","originalTimestamp":"2026-03-01T11:00:05Z","timestamp":"2020-01-01T00:00:00Z","sentAt":"2026-03-01T11:00:07Z"}]`
	for _, body := range []string{"{" + envelope + "," + events + "}", "{" + events + "," + envelope + "}"} {
		b := parse(t, body, segmentwire.Options{Normalize: asIs})
		if len(b.Events) != 2 {
			t.Fatalf("%d events, %+v", len(b.Events), b.Rejects)
		}
		x, y := b.Events[0], b.Events[1]
		if ip, _ := x.Context.Get("ip"); ip.Str() != "9.9.9.9" {
			t.Errorf("the event's own context gave way: %s", x.Context.AppendJSON(nil))
		}
		if lib, _ := x.Context.Path("library", "name"); lib.Str() != "go" {
			t.Errorf("no envelope context: %s", x.Context.AppendJSON(nil))
		}
		if x.Timestamp != received-10_000 || y.Timestamp != received-2_000 {
			t.Errorf("corrected to %d and %d before receipt", received-x.Timestamp, received-y.Timestamp)
		}
		if x.OriginalTimestamp != received-3_600_000 || x.SentAt != x.OriginalTimestamp+10_000 || x.ReceivedAt != received {
			t.Errorf("times %+v", x)
		}
		want := []rapport.Identifier{{Kind: "userId", Value: "u"}, {Kind: "email", Value: "a@b.no"}}
		if diff := cmp.Diff(want, y.Identifiers); diff != "" {
			t.Error(diff)
		}
	}
}

func TestIdentifiersAreNormalisedAndStrongestFirst(t *testing.T) {
	t.Parallel()
	e := one(t, `{"type":"identify","anonymousId":"A","traits":{"phone":"+47","email":"K@X.no","card":77},"userId":"U",
		"context":{"traits":{"email":"k@x.no","phone":"12"},"externalIds":[{"type":"card","id":"77"},{"type":"card","id":"78"},{"type":"userId","id":"evil"},5]}}`,
		segmentwire.Options{Normalize: asIs, Identifiers: []string{"card"}})
	want := []rapport.Identifier{
		{Kind: "userId", Value: "u"},
		{Kind: "email", Value: "k@x.no"},
		{Kind: "phone", Value: "+47"},
		{Kind: "card", Value: "77"},
		{Kind: "card", Value: "78"},
		{Kind: "anonymousId", Value: "a"},
	}
	if diff := cmp.Diff(want, e.Identifiers); diff != "" {
		t.Error(diff)
	}
}

func TestABadEventIsSetAsideAndTheOthersAreKept(t *testing.T) {
	t.Parallel()
	good := `{"type":"track","event":"ok","userId":"u"}`
	for want, bad := range map[string]string{
		segmentwire.CodeShape:            `{"type":"track","event":"x","userId":"u","properties":"text"}`,
		segmentwire.CodeShape + " ":      `17`,
		segmentwire.CodeShape + "  ":     `{"type":"track","event":{"a":1},"userId":"u"}`,
		segmentwire.CodeType:             `{"type":"system","event":"Person Erased","userId":"u"}`,
		segmentwire.CodeType + " ":       `{"event":"x","userId":"u"}`,
		segmentwire.CodeName:             `{"type":"track","userId":"u"}`,
		segmentwire.CodeIdentifier:       `{"type":"track","event":"x"}`,
		segmentwire.CodeIdentifier + " ": `{"type":"alias","userId":"u"}`,
		segmentwire.CodeTime:             `{"type":"track","event":"x","userId":"u","timestamp":"yesterday"}`,
		segmentwire.CodeNumber:           `{"type":"track","event":"x","userId":"u","properties":{"n":1e999}}`,
		segmentwire.CodeSize:             `{"type":"track","event":"x","userId":"u","properties":{"n":"` + strings.Repeat("x", 2000) + `"}}`,
		segmentwire.CodeSize + " ":       `{"type":"track","event":"x","userId":"` + strings.Repeat("x", 300) + `"}`,
		segmentwire.CodeDepth:            `{"type":"track","event":"x","userId":"u","properties":{"n":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}}`,
		segmentwire.CodeValues:           `{"type":"track","event":"x","userId":"u","properties":{"n":[` + strings.Repeat("1,", 150) + `1]}}`,
	} {
		b := parse(t, `{"batch":[`+good+`,`+bad+`,`+good+`]}`, segmentwire.Options{Limits: segmentwire.Limits{EventBytes: 1000, Values: 100, TextBytes: 200}})
		if len(b.Events) != 2 || len(b.Rejects) != 1 {
			t.Errorf("%s: %d events, %d rejects", bad, len(b.Events), len(b.Rejects))
			continue
		}
		r := b.Rejects[0]
		if r.Problem.Code != strings.TrimSpace(want) || string(r.Raw) != bad || r.Index != 1 || r.Problem.Why == "" || r.Problem.Fix == "" {
			t.Errorf("%s: %+v", bad, r.Problem)
		}
	}
}

func TestABodyThatIsNotJSONIsRefusedWhole(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, ` `, `{`, `[]`, `null`, `{"batch":[`, `{"batch":[{]}`, `{"batch":{}}`, `{"a":1}`, `{"type":"track",}`, `{"type":"track"} x`,
		`{"type":"track","properties":{"a":01}}`, `{"type":"track","properties":{"a":1.}}`, `{"type":"track","properties":{"a":"\x"}}`,
		"{\"type\":\"track\",\"properties\":{\"a\":\"\n\"}}", `{"type":"track","properties":{"a":tru}}`, `{"type":"track","x":{"a" 1}}`,
		`{"type":"track","x":` + strings.Repeat("[", 100_000),
	} {
		o := segmentwire.Options{ReceivedAt: received}
		if err := segmentwire.Parse([]byte(body), &o, &segmentwire.Batch{}); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%.60s: %v", body, err)
		}
	}
	o := segmentwire.Options{ReceivedAt: received, Limits: segmentwire.Limits{Events: 2}}
	if err := segmentwire.Parse([]byte(`{"batch":[1,2,3]}`), &o, &segmentwire.Batch{}); rapport.KindOf(err) != rapport.TooLarge {
		t.Errorf("three events where two are allowed: %v", err)
	}
	heavy := `{"batch":[` + strings.Repeat(`{},`, 999) + `{}],"context":{"x":"` + strings.Repeat("x", 20_000) + `"}}`
	for _, body := range []string{heavy, `{"batch":[{}],"context":{"x":"` + strings.Repeat("x", 300_000) + `"}}`} {
		if err := segmentwire.Parse([]byte(body), &segmentwire.Options{ReceivedAt: received}, &segmentwire.Batch{}); rapport.KindOf(err) != rapport.TooLarge {
			t.Errorf("a heavy envelope: %v", err)
		}
	}
}

func TestTextSurvivesAsTheBrowserMeantIt(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ø", 100)
	e := one(t, `{"type":"track","event":"Br\u00f8d \"x\"","userId":"\ud83d\ude00","properties":{"k\u0041":"\ud83d lone","bad":"`+"\xff"+`","e":"a\/b\n\t","l":"\u00e5`+long+`"}}`, segmentwire.Options{})
	if e.Name != `Brød "x"` || e.UserID != "😀" {
		t.Errorf("%q %q", e.Name, e.UserID)
	}
	want := map[string]any{"kA": "\ufffd lone", "bad": "\ufffd", "e": "a/b\n\t", "l": "å" + long}
	if diff := cmp.Diff(want, e.Properties.Map()); diff != "" {
		t.Error(diff)
	}
}

func TestNumbersAreExact(t *testing.T) {
	t.Parallel()
	for _, n := range []string{"0", "-0", "1", "-1.5", "0.1", "123456789012345", "1234567890.12345", "0.0000000001", "1e3", "1E-7", "9007199254740993", "12345678901234567890", "0.30000000000000004", "-0.000001"} {
		e := one(t, `{"type":"track","event":"x","userId":"u","properties":{"n":`+n+`}}`, segmentwire.Options{})
		v, _ := e.Properties.Get("n")
		if want := rapport.NumberText(n); !v.Equal(want) {
			t.Errorf("%s became %s", n, v.AppendJSON(nil))
		}
	}
}

func TestTimesAreReadAsClientsWriteThem(t *testing.T) {
	t.Parallel()
	const want = int64(1_772_366_400_123)
	for _, s := range []string{
		"2026-03-01T12:00:00.123Z", "2026-03-01T13:00:00.123+01:00", "2026-03-01T07:00:00.123-0500", "2026-03-01 12:00:00.123456789",
		"2026-03-01T12:00:00,123Z", "2026-03-01t14:00:00.123 +02", "1772366400123", "1772366400.123", "1772366400123000",
	} {
		if ms, ok := segmentwire.ParseTime([]byte(s)); !ok || ms != want {
			t.Errorf("%s = %d, %v", s, ms, ok)
		}
	}
	for s, want := range map[string]int64{"2026-03-01": 1_772_323_200_000, "2024-02-29T23:59:60Z": 1_709_251_199_000, "1970-01-01T00:00Z": 0, "0001-01-01T00:00:00Z": -62_135_596_800_000, "9999-12-31": 253_402_214_400_000} {
		if ms, ok := segmentwire.ParseTime([]byte(s)); !ok || ms != want {
			t.Errorf("%s = %d, %v; want %d", s, ms, ok, want)
		}
	}
	for _, s := range []string{"", "now", "2026-13-01", "2026-02-30", "2026-03-01T25:00:00Z", "2026-03-01T12:00:00X", "2026-03-01T12:00:00.Z", "1e400", "0x10", "2026-03-01T12:00:00+1:00", "Inf", "NaN"} {
		if ms, ok := segmentwire.ParseTime([]byte(s)); ok {
			t.Errorf("%q was taken for the time %d", s, ms)
		}
	}
}

func TestAWrongClockIsCorrectedAndBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sent, original, want string }{
		{"2031-01-01T00:00:10Z", "2031-01-01T00:00:00Z", "-10s"},
		{"1990-01-01T00:01:00Z", "1990-01-01T00:00:00Z", "-60s"},
		{"", "2026-03-01T11:59:00Z", "-60s"},
		{"", "", "0s"},
		{"2026-03-01T12:00:00Z", "", "0s"},
		{"2026-03-01T12:00:00Z", "2026-03-01T12:00:01Z", "0s"}, // a client's rounding
		{"2026-03-01T12:00:00Z", "2027-03-01T12:00:01Z", "0s"}, // nonsense
		{"", "2027-03-01T12:00:01Z", "0s"},
		{"", "0001-01-01T00:00:00Z", "0s"},
		{"not a time", "2026-03-01T11:59:00Z", "-60s"},
	} {
		e := one(t, fmt.Sprintf(`{"type":"track","event":"x","userId":"u","sentAt":%q,"timestamp":%q}`, c.sent, c.original), segmentwire.Options{})
		if got := fmt.Sprintf("%ds", (e.Timestamp-received)/1000); got != c.want {
			t.Errorf("sent %q, happened %q: %s from receipt, want %s", c.sent, c.original, got, c.want)
		}
	}
}

func TestNothingHappensAfterItWasReceivedAndItsOrderStays(t *testing.T) {
	t.Parallel()
	var body []string
	for i, at := range []string{"12:00:30", "11:59:59", "12:02:00", "12:00:30", "12:01:00", "11:00:00", "19:00:00"} {
		body = append(body, fmt.Sprintf(`{"type":"track","event":"x","userId":"u","messageId":"%d","timestamp":"2026-03-01T%sZ"}`, i, at))
	}
	b := parse(t, `{"batch":[`+strings.Join(body, ",")+`]}`, segmentwire.Options{})
	var got []int64
	for i := range b.Events {
		got = append(got, b.Events[i].Timestamp-received)
	}
	if want := []int64{-3, -1000, -1, -3, -2, -3_600_000, 0}; !slices.Equal(got, want) {
		t.Errorf("milliseconds from receipt: %v, want %v", got, want)
	}
}

func TestOldAndImportedEventsAreHistory(t *testing.T) {
	t.Parallel()
	old := `{"type":"track","event":"x","userId":"u","timestamp":"2026-03-01T10:00:00Z"}`
	fresh := `{"type":"track","event":"x","userId":"u","timestamp":"2026-03-01T11:30:00Z"}`
	for want, e := range map[string]rapport.Event{
		"old":      one(t, old, segmentwire.Options{}),
		"imported": one(t, fresh, segmentwire.Options{History: true}),
		"entered":  one(t, fresh, segmentwire.Options{Now: received + 3_600_000}),
		"younger":  one(t, fresh, segmentwire.Options{HistoryAfter: 1000}),
	} {
		if !e.History {
			t.Errorf("the %s event is not history", want)
		}
	}
	if one(t, fresh, segmentwire.Options{}).History {
		t.Error("an event of half an hour is history")
	}
}

func TestAnEventWithoutAMessageIDGetsTheSameOneAgain(t *testing.T) {
	t.Parallel()
	e := `{"type":"track","event":"x","userId":"u"}`
	a := parse(t, `{"batch":[`+e+`,`+e+`]}`, segmentwire.Options{})
	again := parse(t, `{"batch":[`+e+`,`+e+`]}`, segmentwire.Options{})
	if a.Events[0].MessageID == "" || a.Events[0].MessageID == a.Events[1].MessageID || a.Events[0].MessageID != again.Events[0].MessageID {
		t.Errorf("%q %q %q", a.Events[0].MessageID, a.Events[1].MessageID, again.Events[0].MessageID)
	}
	if id := one(t, e, segmentwire.Options{Defaults: segmentwire.Defaults{MessageID: "kept"}}).MessageID; id != "kept" {
		t.Errorf("re-entered as %q", id)
	}
}

func TestALibrarysReportOfItselfHoldsNoEvents(t *testing.T) {
	t.Parallel()
	if b := parse(t, `{"series":[{"type":"Counter","metric":"x","value":1}]}`, segmentwire.Options{}); !b.Metrics || len(b.Events)+len(b.Rejects) != 0 {
		t.Errorf("%+v", b)
	}
}

// FuzzParse holds the parser against encoding/json: what it accepts as an
// event's properties must mean the same, and nothing may crash it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"type":"track","event":"x","userId":"u","properties":{"a":[1,{"b":"\u00e5"}],"c":-1.5e3}}`,
		`{"batch":[{"type":"identify","userId":"u","traits":{"email":"a@b.c"}},5,{}],"sentAt":"2026-03-01T12:00:00Z","context":{"a":1}}`,
		`{"writeKey":"k","batch":[]}`, `{"series":[]}`, `{"type":"page","name":"x","category":"y","anonymousId":"a","timestamp":1}`,
		"\xef\xbb\xbf" + ` {"type":"group","groupId":"g","userId":1} `,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o := segmentwire.Options{ReceivedAt: received, Normalize: asIs, Identifiers: []string{"card"}}
		var b segmentwire.Batch
		if err := segmentwire.Parse(body, &o, &b); err != nil {
			if k := rapport.KindOf(err); k != rapport.Invalid && k != rapport.TooLarge {
				t.Fatalf("%v", err)
			}
			if json.Valid(body) && body[0] == '{' && strings.Contains(err.Error(), "not JSON") && !strings.Contains(err.Error(), "nesting") && !strings.Contains(err.Error(), "batch") {
				t.Fatalf("refused valid JSON: %v", err)
			}
			return
		}
		if clean := strings.TrimPrefix(string(body), "\xef\xbb\xbf"); !json.Valid([]byte(clean)) {
			t.Fatalf("accepted what is not JSON: %q", body)
		}
		for i := range b.Events {
			e := &b.Events[i]
			for _, fields := range []rapport.Fields{e.Properties, e.Traits, e.Context} {
				if !fields.Valid(32) {
					t.Fatalf("malformed fields from %q", body)
				}
			}
			var again rapport.Event
			if err := rapport.DecodeEvent(rapport.AppendEvent(nil, e), &again); err != nil {
				t.Fatal(err)
			}
			if len(e.Identifiers) == 0 || e.MessageID == "" || e.Type == 0 || e.Timestamp < 0 || e.Timestamp > received {
				t.Fatalf("accepted %+v", e)
			}
		}
		for _, r := range b.Rejects {
			if r.Problem.Code == "" || !json.Valid(r.Raw) {
				t.Fatalf("reject %+v of %q", r, body)
			}
		}
		if len(b.Events) == 1 {
			sameAsStandard(t, body, b.Events[0])
		}
	})
}

func sameAsStandard(t *testing.T, body []byte, e rapport.Event) {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members["batch"] != nil || strings.Count(string(body), "propert") != 1 || members["properties"] == nil || e.Type != rapport.TypeTrack {
		return
	}
	want := map[string]any{}
	if json.Unmarshal(members["properties"], &want) != nil || want == nil {
		return
	}
	var got map[string]any
	if err := json.Unmarshal(e.Properties.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q:\n%s", body, diff)
	}
}
