package profile_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// fuzzFold checks that whatever bytes a state is read from, it can be used,
// and that what it writes it reads back the same.
func fuzzFold(f *testing.F, fold engine.Fold) {
	w := &world{t: f, clock: &clock{now: start}}
	events := []rapport.Event{
		w.event(start, `track "Order Completed" u=anna revenue=20.5 sku=beans context.timezone=Europe/Oslo consent.ads=false`),
		w.event(start, "identify u=anna traits.plan=gold traits.old=null"),
		w.event(start, `track "Consent Updated" u=anna purpose=marketing channel=email allowed=true`),
		w.event(start, "page Home a=phone"),
	}
	s := fold.New()
	for i := range events {
		s.Apply(&engine.Context{}, &events[i])
		f.Add(s.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := fold.New()
		if s.DecodeBinary(b) != nil {
			return
		}
		once := s.AppendBinary(nil)
		again := fold.New()
		if err := again.DecodeBinary(once); err != nil {
			t.Fatalf("%q became %q, which is not readable: %v", b, once, err)
		}
		if twice := again.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatalf("%q, then %q", once, twice)
		}
		for i := range events {
			s.Apply(&engine.Context{}, &events[i])
		}
		s.Merge(again)
		if a, ok := s.(*profile.Aggregates); ok {
			for _, q := range asked(t, all...) {
				a.Performed(q, start.UnixMilli())
			}
		}
		if err := fold.New().DecodeBinary(s.AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeActivity(f *testing.F) { fuzzFold(f, profile.ActivityFold{}) }
func FuzzDecodeConsent(f *testing.F)  { fuzzFold(f, profile.ConsentFold{}) }
func FuzzDecodeAbout(f *testing.F)    { fuzzFold(f, profile.AboutFold{}) }
func FuzzDecodeAggregates(f *testing.F) {
	fuzzFold(f, profile.AggregateFold{Config: questions(f, all...)})
}

func FuzzDecodeTimeline(f *testing.F) {
	f.Add([]byte{2, 0, 1, 0, 4, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := profile.TimelineFold{}.New()
		if s.DecodeBinary(b) != nil {
			return
		}
		once := s.AppendBinary(nil)
		again := profile.TimelineFold{}.New()
		if err := again.DecodeBinary(once); err != nil {
			t.Fatal(err)
		}
		if twice := again.AppendBinary(nil); !bytes.Equal(once, twice) {
			t.Fatalf("%q, then %q", once, twice)
		}
		s.Merge(again)
		s.AppendBinary(nil)
	})
}

func FuzzTimelineKey(f *testing.F) {
	f.Add(int64(-5), int32(3), int64(7))
	f.Fuzz(func(t *testing.T, at int64, partition int32, offset int64) {
		k := profile.TimelineKey{At: at, Partition: partition & 0xffff, Offset: offset & (1<<62 - 1)}
		if got, ok := profile.ParseTimelineKey(k.Append(nil)); !ok || got != k {
			t.Fatalf("%v became %v, %v", k, got, ok)
		}
		later := k
		if later.At++; later.At > k.At && bytes.Compare(k.Append(nil), later.Append(nil)) >= 0 {
			t.Fatal("keys do not sort by time")
		}
	})
}

// asked returns the aggregates that conditions ask for.
func asked(t testing.TB, conditions ...string) (out []*condition.Aggregate) {
	t.Helper()
	for _, text := range conditions {
		c, err := condition.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c.Aggregates()...)
	}
	return out
}

func ExampleCompile() {
	c, err := condition.Parse(`performed("Order Completed").within("90d").count() >= 3`)
	if err != nil {
		panic(err)
	}
	config := profile.Compile(func(yield func(condition.Expr) bool) { yield(c) })
	orders := profile.AggregateFold{Config: config}.New().(*profile.Aggregates)
	for day := range 5 {
		orders.Apply(&engine.Context{}, &rapport.Event{Type: rapport.TypeTrack, Name: "Order Completed", Timestamp: int64(day) * 30 * 86_400_000})
	}
	now := int64(130 * 86_400_000)
	fmt.Println(orders.Performed(c.Aggregates()[0], now).Any())
	// Output: 3
}
