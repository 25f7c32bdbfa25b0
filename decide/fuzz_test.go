package decide_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

func FuzzDecodeDecision(f *testing.F) {
	d := &rapport.Decision{
		ID: "d_0123456789abcdefghjkmnpqrs", Placement: "home", Time: 1, Seed: 7, Idle: 0.5, Holdout: true,
		Withheld: []rapport.Choice{{Action: "a", Type: "offer", Propensity: 0.5, Content: rapport.FieldsOf(map[string]any{"x": 1})}},
		Candidates: []rapport.Candidate{
			{Action: "a", Mean: 1, Score: 2, Propensity: 0.5, Terms: []rapport.Term{{Name: "cost", Value: -1}}}, {Action: "b", Excluded: "cap", Detail: "x"},
		},
	}
	f.Add(decide.AppendDecision(nil, d))
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decide.DecodeDecision(b)
		if err != nil {
			return
		}
		again := decide.AppendDecision(nil, d)
		back, err := decide.DecodeDecision(again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, decide.AppendDecision(nil, back)) {
			t.Error("a decision changes as it is written and read")
		}
		decide.Explain(d)
	})
}

func FuzzDecodeLesson(f *testing.F) {
	w := open(f, oneAction())
	w.decide(who(1), "home")
	w.track(who(1), "Order Completed", nil)
	for _, r := range w.rewards() {
		f.Add(r.Data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := eventlog.Record{Topic: eventlog.Rewards, Kind: engine.KindReward, Data: b}
		_, err := decide.ReadLesson(&r)
		if m := decide.NewModel(); (m.Fold([]eventlog.Record{r}) == nil) != (err == nil) {
			t.Errorf("reading says %v, the model does not", err)
		}
	})
}

func FuzzRestoreModel(f *testing.F) {
	w := open(f, oneAction())
	w.decide(who(1), "home")
	w.track(who(1), "Order Completed", nil)
	f.Add(w.learned().Snapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		m := decide.NewModel()
		if m.Restore(b) == nil {
			if again := m.Snapshot(); m.Restore(again) != nil || !bytes.Equal(again, m.Snapshot()) {
				t.Error("a model changes as it is written and read")
			}
			m.Knowledge().Learned()
			m.Knowledge().Lifts()
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	docs := oneAction(decide.CapDoc{Scope: "person", Max: 5, Per: rapport.Duration(time.Hour)})
	w := open(f, docs)
	d := w.decide(who(1), "home")
	w.track(who(1), rapport.EventDecisionClicked, map[string]any{"decisionId": d.ID})
	w.track(who(1), "Order Completed", nil)
	err := w.engine.View(f.Context(), who(1), nil, func(v *engine.View) error {
		f.Add(v.State(decide.FoldName).AppendBinary(nil))
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := decide.Fold{}.New()
		if s.DecodeBinary(b) != nil {
			return
		}
		again := s.AppendBinary(nil)
		if err := s.DecodeBinary(again); err != nil || !bytes.Equal(again, s.AppendBinary(nil)) {
			t.Errorf("state changes as it is written and read: %v", err)
		}
		other := decide.Fold{}.New()
		other.Merge(s)
	})
}

func FuzzAmount(f *testing.F) {
	f.Add("0.1")
	f.Add("properties.a.b")
	f.Fuzz(func(t *testing.T, s string) {
		var a decide.Amount
		if a.UnmarshalText([]byte(s)) != nil {
			return
		}
		text, _ := a.MarshalText()
		var b decide.Amount
		if err := b.UnmarshalText(text); err != nil {
			t.Errorf("%q is written as %q, which does not read: %v", s, text, err)
		}
	})
}
