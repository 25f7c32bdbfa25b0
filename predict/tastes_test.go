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

func track(name string, at int64, properties map[string]any) *rapport.Event {
	return &rapport.Event{Type: rapport.TypeTrack, Name: name, Timestamp: at, Properties: rapport.FieldsOf(properties)}
}

func tastes(events ...*rapport.Event) engine.State {
	s := predict.TastesFold{}.New()
	for _, e := range events {
		s.Apply(&engine.Context{Time: now}, e)
	}
	return s
}

func TestTastesOfVeryManyOrdersOfOnePersonStayBounded(t *testing.T) {
	t.Parallel()
	s := predict.TastesFold{}.New()
	var events []*rapport.Event
	for i := range 500 {
		product := map[string]any{"category": fmt.Sprint("c", i%70), "brand": fmt.Sprint("b", i), "product_id": fmt.Sprint("p", i), "quantity": float64(i%7) * 1e9, "price": 1e11}
		events = append(events, track("Order Completed", 0, map[string]any{"revenue": 1e11, "products": []any{product, product}}))
	}
	for i := range int64(150_000) {
		e := events[i%500]
		e.Timestamp = now - (i*7919)%(4000*dayMillis/1000)*1000
		s.Apply(&engine.Context{Time: now}, e)
	}
	b := s.AppendBinary(nil)
	if len(b) > 64<<10 {
		t.Errorf("%d bytes", len(b))
	}
	if err := tastes().DecodeBinary(b); err != nil {
		t.Error(err)
	}
}

func TestTastesAreTheSameInAnyOrderAndGrouping(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		kinds := 3 + rng.IntN(200)
		product := func() map[string]any {
			return map[string]any{"category": fmt.Sprint("c", rng.IntN(kinds)), "brand": fmt.Sprint("b", rng.IntN(4)), "product_id": fmt.Sprint("p", rng.IntN(kinds)), "quantity": 1 + rng.IntN(3)}
		}
		var events []*rapport.Event
		for range 1 + rng.IntN(600) {
			at := now - rng.Int64N(900)*dayMillis/3
			switch rng.IntN(5) {
			case 0:
				events = append(events, track("Order Completed", at, map[string]any{"products": []any{product(), product()}}))
			case 1:
				events = append(events, track("Preference Answered", at, map[string]any{"attribute": "category", "value": "c1", "liked": rng.IntN(2) == 0}))
			default:
				events = append(events, track([]string{"Product Viewed", "Product Added", "Product Returned"}[rng.IntN(3)], at, product()))
			}
		}
		want := tastes(events...).AppendBinary(nil)
		rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		parts := []engine.State{tastes(), tastes(), tastes()}
		for _, e := range events {
			parts[rng.IntN(3)].Apply(&engine.Context{Time: now}, e)
		}
		parts[0].Merge(parts[1])
		parts[0].Merge(parts[2])
		got := parts[0].AppendBinary(nil)
		back := tastes()
		if err := back.DecodeBinary(got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) || !bytes.Equal(back.AppendBinary(nil), want) {
			t.Fatalf("seed %d: %d bytes, want %d", seed, len(got), len(want))
		}
		if len(got) > 32<<10 {
			t.Errorf("%d bytes of one person", len(got))
		}
	}
}

func TestAffinitiesFollowWhatIsDoneAndSaid(t *testing.T) {
	t.Parallel()
	tea := map[string]any{"category": "tea", "brand": "Nordlys"}
	coffee := map[string]any{"category": "coffee"}
	s := tastes(
		track("Product Viewed", now-dayMillis, tea), track("Product Added", now-dayMillis, tea), track("Order Completed", now-dayMillis, map[string]any{"products": []any{tea}}),
		track("Product Viewed", now-2*dayMillis, coffee), track("Page Read", now, tea),
	)
	got := of(s, nil).Scores().Affinities
	if len(got) != 3 || got[0].Value != "Nordlys" || got[1].Value != "tea" || got[2].Value != "coffee" || got[1].Degree <= got[2].Degree {
		t.Fatalf("%+v", got)
	}
	var sum float64
	for _, part := range got[1].Parts {
		sum += part
	}
	if d := sum - got[1].Degree; d > 1e-5 || d < -1e-5 {
		t.Errorf("%v is explained as %v", got[1].Degree, got[1].Parts)
	}
	x, ok := of(s, nil).Value([]string{"affinity", "category", "tea"}).Number()
	if !ok || x != got[1].Degree {
		t.Errorf("in a condition %v", x)
	}
	s.Apply(&engine.Context{Time: now}, track("Preference Answered", now, map[string]any{"attribute": "category", "value": "coffee", "liked": true}))
	if got = of(s, nil).Scores().Affinities; got[1].Value != "coffee" || got[2].Value != "tea" {
		t.Errorf("an answer does not outweigh an order: %+v", got)
	}
}

func FuzzDecodeTastes(f *testing.F) {
	f.Add(tastes(track("Product Viewed", now, map[string]any{"category": "tea"}), track("Order Completed", now, map[string]any{"product_id": "p", "brand": "b"})).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := predict.TastesFold{}.New()
		if s.DecodeBinary(b) != nil {
			return
		}
		again := predict.TastesFold{}.New()
		if err := again.DecodeBinary(s.AppendBinary(nil)); err != nil {
			t.Error("does not read its own bytes")
		}
		of(s, config(t, nil)).Scores()
		again.Merge(s)
	})
}

func BenchmarkTastes(b *testing.B) {
	s := tastes()
	e := track("Product Viewed", now, map[string]any{"category": "tea", "brand": "Nordlys", "price": 12})
	c := &engine.Context{Time: now}
	b.ReportAllocs()
	for b.Loop() {
		e.Timestamp += 1000
		s.Apply(c, e)
	}
}

// BenchmarkDecodeTastes reads the tastes of somebody who did little, as most have.
func BenchmarkDecodeTastes(b *testing.B) {
	stored := tastes(
		track("Product Viewed", now-dayMillis, map[string]any{"category": "shoes", "brand": "north", "product_id": "p1"}),
		track("Product Added", now, map[string]any{"category": "shoes", "brand": "north", "product_id": "p1"}),
	).AppendBinary(nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := new(predict.Tastes).DecodeBinary(stored); err != nil {
			b.Fatal(err)
		}
	}
}
