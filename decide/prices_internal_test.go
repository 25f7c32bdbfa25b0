package decide

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

func bought(products ...map[string]any) Order {
	list := make([]any, len(products))
	for i, p := range products {
		list[i] = p
	}
	return orderOf(&rapport.Event{Properties: rapport.FieldsOf(map[string]any{"revenue": 1, "products": list})})
}

func line(sku, category string, price float64) map[string]any {
	return map[string]any{"product_id": sku, "sku": sku, "category": category, "price": price, "quantity": 1}
}

// order teaches what was paid.
func (s *school) order(o Order) {
	b := binary.AppendUvarint(nil, 0)
	b = binary.AppendUvarint(b, uint64(len(s.records)))
	b = binary.AppendUvarint(b, 0)
	s.records = append(s.records, eventlog.Record{Offset: int64(len(s.records)), Time: int64(len(s.records)), Data: appendOrder(b, &o)})
}

// sold teaches that an action about something brought orders of so much each.
func (s *school) sold(action string, names []string, n int, amount float64) {
	for range n {
		s.teach(&Example{
			ID: "d", Placement: "home", Action: action, Kind: "recommendation", About: keysOf(names),
			Goal: "Order Completed", First: true, Via: true, After: amount,
		})
	}
}

func TestWhatAnUntriedActionBringsIsExpectedFromThePriceOfItsSubject(t *testing.T) {
	t.Parallel()
	s := &school{model: NewModel()}
	for range 40 {
		s.order(bought(line("bag", "beans", 15), line("bag", "beans", 15)))
		s.order(bought(line("mill", "tools", 190)))
	}
	s.sold("beans", []string{"beans"}, 60, 6) // 40 % of the price is earned
	if err := s.model.Fold(s.records); err != nil {
		t.Fatal(err)
	}
	k := s.model.Knowledge()
	got := k.expect(keysOf([]string{"mill"}), "home", "recommendation", "Order Completed", 0)
	if math.Abs(got.Mean-76) > 4 {
		t.Errorf("an order of a thing for 190 is expected to bring %.2f, about 76 is right", got.Mean)
	}
	if d := k.dear(keysOf([]string{"mill"})) - k.dear(keysOf([]string{"bag"})); math.Abs(float64(d)-math.Log(190.0/15)) > 1e-3 {
		t.Errorf("dearer by %.3f", d)
	}
}

// Of a thing that always costs the same one order tells all; of anything, where
// one order in a hundred is a machine, a machine says next to nothing.
func TestALuckyOrderOfAnythingIsNotTakenForWhatComes(t *testing.T) {
	t.Parallel()
	s := &school{model: NewModel()}
	for range 10 {
		for range 99 {
			s.order(bought(line("bag", "beans", 20)))
		}
		s.order(bought(line("machine", "machines", 1000)))
	}
	s.sold("quiz", nil, 2, 400)
	s.sold("machine", []string{"machine"}, 2, 300)
	if err := s.model.Fold(s.records); err != nil {
		t.Fatal(err)
	}
	k := s.model.Knowledge()
	amount := func(id string, names ...string) float64 {
		a := &Action{ID: id, Type: rapport.ActionRecommendation, about: keysOf(names)}
		g := Goal{Event: "Order Completed", Value: Amount{Path: []string{"earned"}}, Margin: 1}
		mean, _ := k.amount(k.standing("home", id), a, "home", &g)
		return mean
	}
	if got := amount("quiz"); got > 100 {
		t.Errorf("after two orders of 400 something that may sell anything is expected to bring %.0f an order", got)
	}
	if got := amount("machine", "machine"); got < 280 || got > 400 {
		t.Errorf("after two orders of 300 an order of the machine is expected to bring %.0f", got)
	}
}

func TestAnOrderTellsThePriceOfEachLine(t *testing.T) {
	t.Parallel()
	two := line("bag", "beans", 7.5)
	two["quantity"] = 2
	o := bought(two, map[string]any{"name": "gift wrap", "price": 1}, map[string]any{"sku": "free", "price": 0})
	want := Order{Lines: []Line{{Keys: []uint32{likeKey([]byte("beans"), 0), likeKey([]byte("bag"), 1)}, Amount: 15}}}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Error(diff)
	}
	l, err := DecodeLesson(appendOrder(nil, &o))
	if err != nil || l.Order == nil || cmp.Diff(want, *l.Order) != "" {
		t.Errorf("%+v was read as %+v, %v", want, l.Order, err)
	}
}

func TestOfVeryManyThingsThoseSoldLeastAreForgotten(t *testing.T) {
	t.Parallel()
	s := &school{model: NewModel()}
	for n := range 3 * maxPrices {
		name := string(binary.AppendUvarint(nil, uint64(n)))
		s.order(bought(line("sku"+name, "best", float64(n%90+1)), line("star", "best", 12)))
	}
	if err := s.model.Fold(s.records); err != nil {
		t.Fatal(err)
	}
	k := s.model.Knowledge()
	if n := len(k.prices); n > maxPrices {
		t.Errorf("of %d things it is known what they cost", n)
	}
	if m := k.price(keysOf([]string{"star"})); math.Abs(m.Mean()-12) > 1e-9 || m.N < 500 {
		t.Errorf("what is sold most costs %+v", m)
	}
	b := k.Snapshot()
	again, err := decodeKnowledge(b)
	if err != nil || cmp.Diff(b, again.Snapshot()) != "" {
		t.Errorf("a snapshot does not survive, %v", err)
	}
}
