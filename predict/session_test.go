package predict_test

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/gbdt"
	"github.com/rapport-engine/rapport/learn/propensity"
	"github.com/rapport-engine/rapport/predict"
)

const minute = 60_000

func did(at int64, name string) *rapport.Event {
	return &rapport.Event{Type: rapport.TypeTrack, Name: name, Timestamp: at, Source: "web"}
}

func visit(events ...*rapport.Event) engine.State {
	s := predict.SessionsFold{}.New()
	for _, e := range events {
		s.Apply(&engine.Context{Time: now}, e)
	}
	return s
}

// intentModel returns a configuration in which carts tell purchases.
func intentModel(t testing.TB) *engine.Config { return intentOf(t, "Order Completed") }

// intentOf is intentModel where an event is what counts as a purchase.
func intentOf(t testing.TB, event string) *engine.Config {
	t.Helper()
	var columns []predict.IntentColumn
	var table []gbdt.Column
	for _, name := range []string{"events", "minutes", "kinds", "visits", "purchases", "since visit", "since purchase", "hour", "weekday"} {
		columns, table = append(columns, predict.IntentColumn{Name: name}), append(table, gbdt.Column{Name: name})
	}
	for _, name := range []string{"source", "device", "os", "campaign"} {
		columns, table = append(columns, predict.IntentColumn{Name: name}), append(table, gbdt.Column{Name: name})
	}
	columns, table = append(columns, predict.IntentColumn{Name: "Product Added", Step: predict.HashStep("Product Added")}), append(table, gbdt.Column{Name: "Product Added"})
	set := &gbdt.Set{}
	for i := range 600 {
		row := make([]float64, len(columns))
		row[0], row[1] = float64(i%9), float64(i%31)
		row[len(row)-1] = float64(i % 2)
		y := 0.0
		if i%2 == 1 && i%3 > 0 || i%17 == 0 {
			y = 1
		}
		set.Rows, set.Y = append(set.Rows, row), append(set.Y, y)
	}
	m, err := propensity.Fit(table, set, 1)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(predict.Intent{Event: event, Columns: columns, Model: m})
	if err != nil {
		t.Fatal(err)
	}
	doc := predict.ModelDoc{ID: predict.ModelIntent, Made: "now", Data: string(data)}
	if err := doc.Validate(); err != nil {
		t.Fatal(err)
	}
	settings := *predict.NewPredictionDoc()
	settings.Event = event
	c, err := predict.Compile(predict.Documents{Models: []predict.ModelDoc{doc}, Predictions: []predict.PredictionDoc{settings}})
	if err != nil {
		t.Fatal(err)
	}
	return engine.NewConfig(1, map[string]any{predict.Part: c})
}

func TestIntentFollowsTheSessionAndFallsWhenItEnds(t *testing.T) {
	t.Parallel()
	c := intentModel(t)
	at := func(s engine.State, at int64) (float64, bool) {
		find := func(fold string) engine.State {
			if fold == predict.FoldSessions {
				return s
			}
			return nil
		}
		p := predict.At(find, c, at, []string{"intent"})
		x, ok := p.Value([]string{"intent"}).Number()
		next, known := p.Next([]string{"intent"})
		if !known || next != 0 && next <= at {
			t.Errorf("at %d the score is said to change at %d", at, next)
		}
		whole := predict.Of(find, c, at)
		if got := whole.Scores().Intent; (got != nil) != ok || ok && *got != x {
			t.Errorf("scores say %v, the condition %v", got, x)
		}
		for _, e := range whole.Explain() {
			sum := 0.0
			for _, part := range e.Contributions {
				sum += part.Effect
			}
			if math.Abs(sum-x) > 1e-5 || len(e.Inputs) == 0 {
				t.Errorf("explained %+v, the score is %v", e, x)
			}
		}
		return x, ok
	}
	if x, ok := at(visit(), now); ok {
		t.Errorf("somebody who never came has an intent of %v", x)
	}
	looking := visit(did(now-5*minute, "Product Viewed"))
	low, _ := at(looking, now)
	adding := visit(did(now-5*minute, "Product Viewed"), did(now-2*minute, "Product Added"))
	high, _ := at(adding, now)
	if !(low > 0 && high > low+.3) {
		t.Errorf("%v while looking, %v with a full cart", low, high)
	}
	for _, c := range []struct {
		after int64
		want  float64
	}{{28 * minute, high}, {28*minute + 1, 0}, {24 * 60 * minute, 0}} {
		if x, ok := at(adding, now+c.after); !ok || x != c.want {
			t.Errorf("%d minutes later %v, want %v", c.after/minute, x, c.want)
		}
	}
	bought := visit(did(now-5*minute, "Product Added"), did(now-2*minute, "Order Completed"))
	if x, _ := at(bought, now); x != 0 {
		t.Errorf("%v right after a purchase", x)
	}
	again := visit(did(now-5*minute, "Product Added"), did(now-2*minute, "Order Completed"), did(now-minute, "Product Added"))
	if x, _ := at(again, now); x == 0 {
		t.Error("nothing on the way to a second purchase")
	}
	// What devices, and we, do is no session.
	ours := did(now-minute, "Product Added")
	ours.Source = "items"
	if _, ok := at(visit(ours, did(now-minute, rapport.EventDecisionShown)), now); ok {
		t.Error("a device's event began a session")
	}
	// A clock that runs ahead does not keep a session open.
	if x, _ := at(visit(did(now+400*dayMillis, "Product Added")), now+31*minute); x != 0 {
		t.Errorf("a clock ahead of time: %v", x)
	}
}

// What counts as a purchase changes: the sessions then know of the earlier ones
// of the new kind, whether anything happened since or not.
func TestEarlierPurchasesAreOfWhatCountsNow(t *testing.T) {
	t.Parallel()
	before, after := intentModel(t), intentOf(t, "Invoice Paid")
	bought := predict.PurchasesFold{}.New()
	for _, days := range []int64{40, 10, 2} {
		bought.Apply(&engine.Context{Time: now, Config: after}, did(now-days*dayMillis, "Invoice Paid"))
	}
	sessions := predict.SessionsFold{}.New()
	for _, e := range []*rapport.Event{did(now-90*dayMillis, "Order Completed"), did(now-20*dayMillis, "Invoice Paid"), did(now-5*minute, "Product Viewed")} {
		sessions.Apply(&engine.Context{Time: now, Config: before}, e)
	}
	inputs := func(c *engine.Config) (purchases, since any) {
		find := func(fold string) engine.State {
			return map[string]engine.State{predict.FoldSessions: sessions, predict.FoldPurchases: bought}[fold]
		}
		for _, e := range predict.Of(find, c, now).Explain() {
			if e.Score == predict.ModelIntent {
				return e.Inputs["purchases"], e.Inputs["since purchase"]
			}
		}
		return nil, nil
	}
	if n, since := inputs(before); n != 1.0 || math.Abs(since.(float64)-90) > .01 {
		t.Errorf("before: %v purchases, the last %v days ago", n, since)
	}
	for _, what := range []string{"by looking", "after another step"} {
		if n, since := inputs(after); n != 3.0 || math.Abs(since.(float64)-2) > 1 {
			t.Errorf("%s: %v purchases, the last %v days ago", what, n, since)
		}
		sessions.Apply(&engine.Context{Time: now, Config: after}, did(now-minute, "Product Viewed"))
	}
}

func TestTwoNamesOfOneVisitorAreOneSession(t *testing.T) {
	t.Parallel()
	first := []*rapport.Event{did(now-9*minute, "Product Viewed"), did(now-7*minute, "Product Added")}
	second := []*rapport.Event{did(now-6*minute, "Product Viewed"), did(now-5*minute, "Cart Viewed")}
	whole := visit(append(append([]*rapport.Event{}, first...), second...)...)
	c := intentModel(t)
	value := func(s engine.State) float64 {
		find := func(fold string) engine.State { return map[string]engine.State{predict.FoldSessions: s}[fold] }
		x, _ := predict.At(find, c, now, []string{"intent"}).Value([]string{"intent"}).Number()
		return x
	}
	joined := visit(second...)
	joined.Merge(visit(first...))
	if value(joined) != value(whole) {
		t.Errorf("joined %v, as one %v", value(joined), value(whole))
	}
	other := visit(first...)
	other.Merge(visit(second...))
	if !bytes.Equal(other.AppendBinary(nil), joined.AppendBinary(nil)) && value(other) != value(joined) {
		t.Errorf("%v one way, %v the other", value(other), value(joined))
	}
	empty := visit()
	empty.Merge(joined)
	if !bytes.Equal(empty.AppendBinary(nil), joined.AppendBinary(nil)) {
		t.Error("joining somebody unknown loses the session")
	}
}

func TestOneVisitorWithAMillionEventsStaysBounded(t *testing.T) {
	t.Parallel()
	s := predict.SessionsFold{}.New()
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "Order Completed"}
	for i := range int64(1_000_000) {
		s.Apply(&engine.Context{Time: now}, did(now-(i*7919)%(90*dayMillis), names[i%int64(len(names))]))
	}
	b := s.AppendBinary(nil)
	if len(b) > 320 {
		t.Errorf("%d bytes", len(b))
	}
	back := predict.SessionsFold{}.New()
	if err := back.DecodeBinary(b); err != nil || !bytes.Equal(back.AppendBinary(nil), b) {
		t.Errorf("read back: %v", err)
	}
}

func FuzzDecodeSessions(f *testing.F) {
	f.Add(visit(did(now, "Product Viewed"), did(now+minute, "Order Completed"), did(now+2*minute, "Product Added")).AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := predict.SessionsFold{}.New()
		if s.DecodeBinary(b) != nil {
			return
		}
		once := s.AppendBinary(nil)
		again := predict.SessionsFold{}.New()
		if err := again.DecodeBinary(once); err != nil || !bytes.Equal(again.AppendBinary(nil), once) {
			t.Errorf("does not read its own bytes: %v", err)
		}
		again.Merge(s)
		again.Apply(&engine.Context{Time: now}, did(now, "Product Viewed"))
	})
}

func BenchmarkSessions(b *testing.B) {
	events := []*rapport.Event{did(now, "Product Viewed"), did(now, "Product Added"), did(now, "Cart Viewed")}
	c := &engine.Context{Time: now}
	s := predict.SessionsFold{}.New()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Apply(c, events[i%3])
	}
}
