package recall_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/recall"
)

// told is the moment by which an item tells a holder of a recall.
func told(id, item string, round int64, late bool) *rapport.Event {
	p := map[string]any{"recall": id, "item": item, "round": round, "reason": "glass"}
	if late {
		p["late"] = true
	}
	return &rapport.Event{Type: rapport.TypeTrack, Name: twin.ProductRecalled, Source: twin.Source, MessageID: "told " + id + item, Timestamp: 10, Properties: rapport.FieldsOf(p)}
}

func system(name string, at int64, p map[string]any) *rapport.Event {
	return &rapport.Event{Type: rapport.TypeSystem, Name: name, MessageID: name, Timestamp: at, Properties: rapport.FieldsOf(p)}
}

// fold applies events the fold wants, through a copy that was stored in between.
func fold(t *testing.T, events ...*rapport.Event) []recall.Notice {
	t.Helper()
	s := recall.Fold{}.New()
	for _, e := range events {
		if (recall.Fold{}).Wants(nil, e) {
			s.Apply(nil, e)
		}
		again := recall.Fold{}.New()
		if err := again.DecodeBinary(s.AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(s.AppendBinary(nil)), string(again.AppendBinary(nil))); d != "" {
			t.Fatal(d)
		}
		s = again
	}
	return s.(*recall.Notices).List()
}

func TestANoticeSaysHowFarARecallCame(t *testing.T) {
	t.Parallel()
	made := system(rapport.SystemDecision, 11, map[string]any{"cause": recall.Cause("r"), "decisionId": "d_1", "channel": "email", "action": "notice"})
	nothing := system(rapport.SystemDecision, 11, map[string]any{"cause": recall.Cause("r"), "decisionId": "d_1", "nothing": "no address"})
	result := func(status string) *rapport.Event {
		return system(rapport.SystemDelivery, 12, map[string]any{"decisionId": "d_1", "status": status, "detail": "because"})
	}
	noted := &rapport.Event{Type: rapport.TypeTrack, Name: twin.ProductRecallAcknowledged, Timestamp: 13, Properties: rapport.FieldsOf(map[string]any{"recall": "r"})}
	forged := told("r", "other", 1, true)
	forged.Identifiers = []rapport.Identifier{{Kind: rapport.KindUserID, Value: "x"}}
	for name, x := range map[string]struct {
		events []*rapport.Event
		state  recall.State
		why    string
	}{
		"told":         {nil, recall.Waiting, ""},
		"decided":      {[]*rapport.Event{made}, recall.Sent, ""},
		"delivered":    {[]*rapport.Event{made, result("delivered")}, recall.Reached, ""},
		"failed":       {[]*rapport.Event{made, result("failed")}, recall.Unreachable, "failed: because"},
		"sent again":   {[]*rapport.Event{made, result("failed"), result("replayed")}, recall.Sent, ""},
		"no channel":   {[]*rapport.Event{nothing}, recall.Unreachable, "no address"},
		"took note":    {[]*rapport.Event{nothing, noted}, recall.Acknowledged, ""},
		"same round":   {[]*rapport.Event{made, result("delivered"), told("r", "i", 1, false)}, recall.Reached, ""},
		"next round":   {[]*rapport.Event{made, result("delivered"), told("r", "i", 2, false)}, recall.Waiting, ""},
		"noted before": {[]*rapport.Event{made, noted, told("r", "i", 2, false)}, recall.Acknowledged, ""},
		"another item": {[]*rapport.Event{made, noted, told("r", "j", 1, true)}, recall.Waiting, ""},
		"forged":       {[]*rapport.Event{made, forged}, recall.Sent, ""},
	} {
		list := fold(t, append([]*rapport.Event{told("r", "i", 1, false)}, x.events...)...)
		if len(list) != 1 || list[0].State() != x.state || list[0].Why() != x.why {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

func TestWhoHoldsTheItemNoMoreIsNotConcerned(t *testing.T) {
	t.Parallel()
	gone := system(twin.EventHeld, 20, map[string]any{"item": "i", "role": ""})
	if list := fold(t, told("r", "i", 1, false), told("q", "j", 1, false), gone); len(list) != 1 || list[0].Recall != "q" {
		t.Errorf("%+v", list)
	}
}

func TestAMessageThatFailsAsksAgainAtMostTwice(t *testing.T) {
	t.Parallel()
	events := []*rapport.Event{told("r", "i", 1, false)}
	asked := map[string]bool{}
	for _, id := range []string{"d_1", "d_2", "d_3", "d_4", "d_5"} {
		made := system(rapport.SystemDecision, 11, map[string]any{"cause": recall.Cause("r"), "decisionId": id, "channel": "email", "action": "notice"})
		failed := system(rapport.SystemDelivery, 12, map[string]any{"decisionId": id, "status": "failed"})
		failed.MessageID = "result of " + id
		events = append(events, made, failed)
		asked[fold(t, events...)[0].Asked] = true
	}
	if len(asked) != 2 || !asked["result of d_1"] || !asked["result of d_2"] {
		t.Errorf("asked by %v", asked)
	}
}

func FuzzStoredNoticesAreReadOrRefused(f *testing.F) {
	s := recall.Fold{}.New()
	s.Apply(nil, told("r", "i", 1, false))
	f.Add(s.AppendBinary(nil))
	f.Add([]byte("[{}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := recall.Fold{}.New()
		if s.DecodeBinary(b) != nil {
			return
		}
		once := s.AppendBinary(nil)
		again := recall.Fold{}.New()
		if err := again.DecodeBinary(once); err != nil || string(again.AppendBinary(nil)) != string(once) {
			t.Errorf("%q became %q: %v", once, again.AppendBinary(nil), err)
		}
	})
}
