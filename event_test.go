package rapport_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rapport-engine/rapport"
)

func sampleEvent() *rapport.Event {
	return &rapport.Event{
		Type: rapport.TypeTrack, Name: "Order Completed", MessageID: "m-1", Source: "web",
		UserID: "u1", AnonymousID: "a1", Timestamp: 1_700_000_000_000, OriginalTimestamp: 1_700_000_000_500,
		SentAt: 1_700_000_000_900, ReceivedAt: 1_700_000_000_400, History: true,
		Properties:  rapport.FieldsOf(map[string]any{"revenue": 12.5, "sku": "bean", "tags": []any{"a", 1.0}, "nested": map[string]any{"x": true}}),
		Context:     rapport.FieldsOf(map[string]any{"page": map[string]any{"path": "/x"}}),
		Identifiers: []rapport.Identifier{{Kind: "userId", Value: "u1"}, {Kind: "anonymousId", Value: "a1"}},
		Entity:      rapport.ID{10, 2, 3}, Fragment: rapport.ID{10, 9}, Body: []byte{1, 2},
	}
}

func TestEventSurvivesItsBinaryForm(t *testing.T) {
	t.Parallel()
	want := sampleEvent()
	var got rapport.Event
	if err := rapport.DecodeEvent(rapport.AppendEvent(nil, want), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, &got, cmp.Comparer(func(a, b rapport.Fields) bool { return string(a) == string(b) })); d != "" {
		t.Error(d)
	}
}

func TestEveryTruncatedEventIsRefused(t *testing.T) {
	t.Parallel()
	whole := rapport.AppendEvent(nil, sampleEvent())
	var e rapport.Event
	for n := range whole {
		if rapport.DecodeEvent(whole[:n], &e) == nil {
			t.Fatalf("%d of %d bytes were taken for an event", n, len(whole))
		}
	}
}

func TestFieldsKeepWhatJSONSays(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`{}`, `{"a":1,"b":"x\n\u003cy","c":null,"d":[1,[2,{"e":false}]],"f":{"g":{}}}`,
		`{"big":12345678901234567890,"small":0.1,"neg":-3,"exp":1e-7}`, `{"日本":"é"}`,
	} {
		var m map[string]any
		dec := json.NewDecoder(strings.NewReader(in))
		dec.UseNumber()
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		f := rapport.FieldsOf(m)
		if !f.Valid(8) {
			t.Errorf("%s: not valid", in)
		}
		out, _ := json.Marshal(f)
		var a, b any
		_ = json.Unmarshal([]byte(in), &a)
		_ = json.Unmarshal(out, &b)
		if d := cmp.Diff(a, b); d != "" {
			t.Errorf("%s became %s: %s", in, out, d)
		}
	}
}

func TestPathWalksNestedObjects(t *testing.T) {
	t.Parallel()
	e := sampleEvent()
	if v, ok := e.Context.Path("page", "path"); !ok || v.Str() != "/x" {
		t.Errorf("page.path = %v %v", v, ok)
	}
	if _, ok := e.Context.Path("page", "path", "deeper"); ok {
		t.Error("a string has no members")
	}
}

func TestIDsRoundTripAsText(t *testing.T) {
	t.Parallel()
	id := rapport.ID{10, 255, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	got, err := rapport.ParseID(id.String())
	if err != nil || got != id {
		t.Errorf("%v became %v: %v", id, got, err)
	}
	if _, err := rapport.ParseID("p_short"); rapport.KindOf(err) != rapport.Invalid {
		t.Errorf("a short id gave %v", err)
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add(rapport.AppendEvent(nil, sampleEvent()))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e rapport.Event
		if rapport.DecodeEvent(b, &e) != nil {
			return
		}
		e.Properties.Valid(16)
		_ = e.Properties.AppendJSON(nil)
		_ = e.Context.Map()
	})
}

func BenchmarkDecodeEvent(b *testing.B) {
	buf := rapport.AppendEvent(nil, sampleEvent())
	var e rapport.Event
	b.ReportAllocs()
	for b.Loop() {
		if err := rapport.DecodeEvent(buf, &e); err != nil {
			b.Fatal(err)
		}
	}
}
