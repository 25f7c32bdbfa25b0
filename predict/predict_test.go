package predict_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/btyd"
	"github.com/rapport-engine/rapport/predict"
)

const dayMillis = 86_400_000

var now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC).UnixMilli()

func order(at int64, properties map[string]any) *rapport.Event {
	return &rapport.Event{Type: rapport.TypeTrack, Name: "Order Completed", Timestamp: at, Properties: rapport.FieldsOf(properties)}
}

// config returns a configuration with a model of purchases in force.
func config(t testing.TB, change func(*predict.Purchasing)) *engine.Config {
	t.Helper()
	empty, err := predict.Compile(predict.Documents{})
	if err != nil {
		t.Fatal(err)
	}
	p := predict.Purchasing{
		Settings: empty.Digest(), Definition: *predict.NewPredictionDoc(), Kind: "bg-nbd", Each: 35,
		Model: btyd.Model{R: .2426, Alpha: 4.4136, A: .7929, B: 2.4259, K: 1}, Spend: &btyd.Spend{P: 6.25, Q: 3.74, V: 15.44},
	}
	if change != nil {
		change(&p)
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	doc := predict.ModelDoc{ID: predict.ModelPurchases, Made: "now", Data: string(data)}
	if err := doc.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := predict.Compile(predict.Documents{Models: []predict.ModelDoc{doc}})
	if err != nil {
		t.Fatal(err)
	}
	return engine.NewConfig(1, map[string]any{predict.Part: c})
}

func fold(events ...*rapport.Event) engine.State {
	s := predict.PurchasesFold{}.New()
	for _, e := range events {
		s.Apply(&engine.Context{Time: now}, e)
	}
	return s
}

// only gives one state under the name of its fold.
func only(s engine.State) func(string) engine.State {
	return func(fold string) engine.State {
		if _, tastes := s.(*predict.Tastes); tastes != (fold == predict.FoldTastes) {
			return nil
		}
		return s
	}
}

func of(s engine.State, c *engine.Config) *predict.Person {
	return predict.Of(only(s), c, now)
}

func TestPurchasesAreTheSameInAnyOrderAndGrouping(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		spread := int64(1 + rng.IntN(9000))
		var events []*rapport.Event
		for range 1 + rng.IntN(300) {
			events = append(events, order(now-rng.Int64N(spread)*dayMillis, map[string]any{"revenue": math.Round(rng.NormFloat64()*1e4) / 100}))
		}
		if seed%10 == 0 { // more days than are kept
			for i := range int64(5000) {
				events = append(events, order(now-i*dayMillis, map[string]any{"revenue": "12.5"}))
			}
		}
		whole := fold(events...)
		want := whole.AppendBinary(nil)
		rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		parts := []engine.State{fold(), fold(), fold()}
		for _, e := range events {
			parts[rng.IntN(3)].Apply(&engine.Context{Time: now}, e)
		}
		parts[2].Merge(parts[0])
		parts[1].Merge(parts[2])
		got := parts[1].AppendBinary(nil)
		back := fold()
		if err := back.DecodeBinary(got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) || !bytes.Equal(back.AppendBinary(nil), want) {
			t.Fatalf("seed %d: %d bytes, want %d", seed, len(got), len(want))
		}
	}
}

func TestScoresAreThoseOfTheModels(t *testing.T) {
	t.Parallel()
	c := config(t, nil)
	s := fold(order(now-272*dayMillis, map[string]any{"revenue": 29.33}), order(now-255*dayMillis, map[string]any{"revenue": 29.73}),
		order(now-255*dayMillis, map[string]any{"revenue": 5}), order(now-59*dayMillis, map[string]any{"total": "14.96"}))
	m := btyd.Model{Kind: btyd.BGNBD, R: .2426, Alpha: 4.4136, A: .7929, B: 2.4259, K: 1}
	h := btyd.History{X: 2, Last: 213.0 / 7, Age: 272.0 / 7}
	p := of(s, c)
	got := p.Scores()
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-5*(1+math.Abs(want)) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	near("churn", *got.Churn, 1-m.Alive(h))
	near("purchases", got.Purchases.Value, m.Expected(h, 365.0/7))
	each := (&btyd.Spend{P: 6.25, Q: 3.74, V: 15.44}).Expected(2, (29.73+5+14.96)/2)
	if v := got.CLV.Value; !(v < each*got.Purchases.Value && v > .9*each*got.Purchases.Value) {
		t.Errorf("clv %v is not %v purchases of %v, discounted", v, got.Purchases.Value, each)
	}
	if !(got.CLV.Low <= got.CLV.Value && got.CLV.Value <= got.CLV.High) || !(got.NextPurchase.Low < got.NextPurchase.Value && got.NextPurchase.Value < got.NextPurchase.High) {
		t.Errorf("intervals %+v %+v", got.CLV, got.NextPurchase)
	}
	for path, want := range map[string]float64{"clv": got.CLV.Value, "churn": *got.Churn, "nextPurchase": got.NextPurchase.Value, "purchases": got.Purchases.Value} {
		x, ok := p.Value([]string{path}).Number()
		if !ok {
			t.Errorf("%s is null", path)
		}
		near(path, x, want)
	}
	if x, _ := p.Value([]string{"clv", "high"}).Number(); x != got.CLV.High {
		t.Errorf("clv.high %v", x)
	}
	if !p.Value([]string{"charm"}).IsNull() || !p.Value(nil).IsNull() {
		t.Error("an unknown score has a value")
	}
	for _, e := range p.Explain() {
		var sum float64
		for _, part := range e.Contributions {
			sum += part.Effect
		}
		x, _ := p.Value([]string{e.Score}).Number()
		near("explained "+e.Score, sum, x)
	}
}

func TestNothingIsForetoldWithoutAModelOrAPurchase(t *testing.T) {
	t.Parallel()
	one := fold(order(now, map[string]any{"revenue": 5}))
	for name, p := range map[string]*predict.Person{
		"no model":          of(one, nil),
		"no purchase":       of(fold(), config(t, nil)),
		"of other events":   of(one, config(t, func(p *predict.Purchasing) { p.Settings++ })),
		"only a return":     of(fold(order(now, map[string]any{"revenue": -5})), config(t, nil)),
		"purchase to come":  predict.Of(only(one), config(t, nil), now-10*dayMillis),
		"no state whatever": predict.Of(func(string) engine.State { return nil }, config(t, nil), now),
	} {
		if s := p.Scores(); !reflect.DeepEqual(s, predict.Scores{Affinities: s.Affinities}) || !p.Value([]string{"clv"}).IsNull() || len(p.Explain()) != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestOddBuyersGetFiniteScores(t *testing.T) {
	t.Parallel()
	c := config(t, nil)
	daily := make([]*rapport.Event, 0, 3000)
	for i := range int64(3000) {
		daily = append(daily, order(now-i*dayMillis, map[string]any{"revenue": 1e11}))
	}
	for name, s := range map[string]engine.State{
		"one time":      fold(order(now-400*dayMillis, map[string]any{"revenue": 20})),
		"just now":      fold(order(now, map[string]any{"revenue": 20})),
		"nothing spent": fold(order(now-9*dayMillis, map[string]any{"revenue": 0}), order(now-2*dayMillis, nil)),
		"one day":       fold(order(now-9*dayMillis, map[string]any{"revenue": 3}), order(now-9*dayMillis+5, map[string]any{"revenue": 4})),
		"wrong clock":   fold(order(now+4000*dayMillis, map[string]any{"revenue": 3}), order(-now*5, map[string]any{"revenue": "x"})),
		"not a number":  fold(order(now-9*dayMillis, map[string]any{"revenue": math.MaxFloat64}), order(now-2*dayMillis, map[string]any{"revenue": "NaN"})),
		"every day":     fold(daily...),
	} {
		got := of(s, c).Scores()
		if got.CLV == nil {
			t.Errorf("%s: no scores", name)
			continue
		}
		for _, x := range []float64{got.CLV.Value, got.CLV.Low, got.CLV.High, *got.Churn, got.Purchases.High, got.NextPurchase.Value, got.NextPurchase.High} {
			if math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
				t.Errorf("%s: %+v %v", name, got, x)
				break
			}
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		explained(t, name, of(s, c))
	}
}

// explained checks that every score is taken apart into finite pieces that add up to it.
func explained(t *testing.T, name string, p *predict.Person) {
	t.Helper()
	list := p.Explain()
	if len(list) == 0 {
		t.Errorf("%s: nothing is explained", name)
	}
	for _, e := range list {
		sum := 0.0
		for _, part := range e.Contributions {
			sum += part.Effect
		}
		if len(e.Inputs) == 0 || len(e.Contributions) == 0 || !(math.Abs(sum-e.Value) <= 1e-4*(1+math.Abs(e.Value))) {
			t.Errorf("%s: %s of %v is explained by %+v, in all %v, from %v", name, e.Score, e.Value, e.Contributions, sum, e.Inputs)
		}
	}
}

func TestAMillionOrdersOfOnePersonStayBounded(t *testing.T) {
	t.Parallel()
	s := predict.PurchasesFold{}.New()
	e := order(0, map[string]any{"revenue": 9.99})
	for i := range int64(1_000_000) {
		e.Timestamp = now - (i*7919)%(6000*dayMillis/1000)*1000
		s.Apply(&engine.Context{Time: now}, e)
	}
	if size := len(s.AppendBinary(nil)); size > 64<<10 {
		t.Errorf("%d bytes", size)
	}
	got := of(s, config(t, nil)).Scores()
	if !(got.Purchases.Value > 200 && got.Purchases.Value <= 366 && *got.Churn < .2 && got.CLV.High < 1e9) {
		t.Errorf("%+v %+v churn %v", got.Purchases, got.CLV, *got.Churn)
	}
	explained(t, "a million orders", of(s, config(t, nil)))
}

func FuzzDecodePurchases(f *testing.F) {
	f.Add(fold(order(now, map[string]any{"revenue": 5}), order(0, map[string]any{"revenue": -5})).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := predict.PurchasesFold{}.New()
		if s.DecodeBinary(b) != nil {
			return
		}
		again := predict.PurchasesFold{}.New()
		if err := again.DecodeBinary(s.AppendBinary(nil)); err != nil {
			t.Error("does not read its own bytes")
		}
		again.Merge(s)
	})
}

func BenchmarkScores(b *testing.B) {
	c := config(b, nil)
	var events []*rapport.Event
	for i := range int64(8) {
		events = append(events, order(now-(i*i*6+3)*dayMillis, map[string]any{"revenue": 10 + float64(i)}))
	}
	s := fold(events...)
	for _, path := range []string{"clv", "churn"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				of(s, c).Value([]string{path})
			}
		})
	}
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			of(s, c).Scores()
		}
	})
}
