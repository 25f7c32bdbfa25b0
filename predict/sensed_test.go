package predict_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/predict"
)

func foretold(item string, at int64, days float64) *rapport.Event {
	return &rapport.Event{
		Type: rapport.TypeSystem, Name: rapport.SystemForecast, Timestamp: at,
		Properties: rapport.FieldsOf(map[string]any{"item": item, "product": "beans", "days": days, "low": days / 2, "high": days * 2}),
	}
}

func TestForecastsOfItemsAreTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var events []*rapport.Event
		for range 200 {
			events = append(events, foretold(fmt.Sprint("item-", rng.IntN(90)), now-rng.Int64N(50)*dayMillis, 1+float64(rng.IntN(9))))
		}
		events = append(events, foretold("odd", now, -4), &rapport.Event{Type: rapport.TypeSystem, Name: rapport.SystemForecast})
		build := func() engine.State {
			parts := []engine.State{predict.SensedFold{}.New(), predict.SensedFold{}.New()}
			for _, e := range events {
				parts[rng.IntN(2)].Apply(&engine.Context{Time: now}, e)
			}
			parts[0].Merge(parts[1])
			return parts[0]
		}
		want := build().AppendBinary(nil)
		rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		if got := build().AppendBinary(nil); !bytes.Equal(got, want) || len(want) > 64*64 {
			t.Fatalf("seed %d: %d bytes, want %d", seed, len(got), len(want))
		}
	}
}

func FuzzDecodeSensed(f *testing.F) {
	s := predict.SensedFold{}.New()
	s.Apply(&engine.Context{Time: now}, foretold("item", now, 4))
	f.Add(s.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := predict.SensedFold{}.New()
		if s.DecodeBinary(b) != nil {
			return
		}
		once := s.AppendBinary(nil)
		again := predict.SensedFold{}.New()
		if err := again.DecodeBinary(once); err != nil || !bytes.Equal(again.AppendBinary(nil), once) {
			t.Errorf("does not read its own bytes: %v", err)
		}
	})
}
