package profile_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// counted is one event that matches a question, by hand.
type counted struct {
	at    int64
	value rapport.Value
}

// byHand answers a question from the events, with nothing but the rule: a
// window is the running 64th part of it and the 63 before.
func byHand(q *condition.Aggregate, events []rapport.Event, now int64) any {
	var in []counted
	for i := range events {
		e := &events[i]
		if profile.EventName(e) != q.Event || q.Where != nil && !q.Where.Holds(&condition.EventEnv{Properties: e.Properties}) {
			continue
		}
		if w := q.Within.Millis() / 64; w > 0 {
			part := func(at int64) int64 { return int64(math.Floor(float64(at) / float64(w))) }
			if p := part(e.Timestamp); p > part(now) || p < part(now)-63 {
				continue
			}
		}
		v, ok := e.Properties.Path(q.Property...)
		if _, isNumber := v.Number(); len(q.Property) > 0 && (!ok || !isNumber && slices.Contains([]condition.Op{condition.Sum, condition.Avg, condition.Min, condition.Max}, q.Op)) {
			continue
		}
		in = append(in, counted{e.Timestamp, v})
	}
	slices.SortStableFunc(in, func(a, b counted) int { return int(a.at - b.at) })
	var numbers []float64
	different := map[string]bool{}
	for _, c := range in {
		n, _ := c.value.Number()
		numbers = append(numbers, n)
		different[fmt.Sprint(c.value.Any())] = true
	}
	sum := 0.0
	for _, n := range numbers {
		sum += n
	}
	switch q.Op {
	case condition.Count:
		return float64(len(in))
	case condition.Sum:
		return sum
	case condition.Distinct:
		return float64(len(different))
	}
	if len(in) == 0 {
		return nil
	}
	switch q.Op {
	case condition.Avg:
		return sum / float64(len(in))
	case condition.Min:
		return slices.Min(numbers)
	case condition.Max:
		return slices.Max(numbers)
	case condition.First:
		return told(q, in[0])
	}
	return told(q, in[len(in)-1])
}

func told(q *condition.Aggregate, c counted) any {
	if len(q.Property) == 0 {
		return float64(c.at) / 1000
	}
	return c.value.Any()
}

func TestAnswersAreThoseOneCountsByHand(t *testing.T) {
	t.Parallel()
	w := &world{t: t, clock: &clock{now: start.Add(300 * time.Hour)}}
	config, qs := questions(t, all...), asked(t, all...)
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 5))
		events := make([]rapport.Event, r.IntN(120))
		used := map[int]bool{}
		for i := range events {
			minute := r.IntN(6000)
			for used[minute] { // no two at one time: who is first is another test's matter
				minute = r.IntN(6000)
			}
			used[minute] = true
			events[i] = w.event(start.Add(time.Duration(minute)*time.Minute), randomEvent(r))
		}
		a := profile.AggregateFold{Config: config}.New().(*profile.Aggregates)
		for i := range events {
			a.Apply(&engine.Context{}, &events[i])
		}
		// A window is asked about now; what lies a whole window before the newest
		// event is not kept for questions about the past.
		now := start.Add(6000*time.Minute + time.Duration(r.IntN(100))*time.Hour).UnixMilli()
		for _, q := range qs {
			got, want := a.Performed(q, now).Any(), byHand(q, events, now)
			if g, ok := got.(float64); ok {
				if w, ok := want.(float64); !ok || math.Abs(g-w) > 1e-6*math.Max(1, math.Abs(w)) {
					t.Errorf("seed %d: %s is %v, by hand %v", seed, q.ID, got, want)
				}
			} else if got != want {
				t.Errorf("seed %d: %s is %v, by hand %v", seed, q.ID, got, want)
			}
		}
	}
}

func TestManyDifferentValuesAreEstimated(t *testing.T) {
	t.Parallel()
	w := &world{t: t, clock: &clock{now: start}}
	config, q := questions(t, all...), asked(t, `performed("Order Completed").within("2d").distinct("sku") > 1`)[0]
	a := profile.AggregateFold{Config: config}.New()
	for i := range 5000 {
		e := w.event(start.Add(time.Duration(i)*time.Second), fmt.Sprintf(`track "Order Completed" u=a sku=s%d`, i%2000))
		a.Apply(&engine.Context{}, &e)
	}
	got, _ := a.(*profile.Aggregates).Performed(q, start.Add(5000*time.Second).UnixMilli()).Number()
	if got < 2000*0.65 || got > 2000*1.35 {
		t.Errorf("2000 values are taken for %v", got)
	}
	if size := len(a.AppendBinary(nil)); size > 64<<10 {
		t.Errorf("the state takes %d bytes", size)
	}
}

func TestAQuestionNobodyAskedHasNoAnswer(t *testing.T) {
	t.Parallel()
	a := profile.AggregateFold{Config: questions(t)}.New().(*profile.Aggregates)
	if v := a.Performed(asked(t, all...)[0], 0); !v.IsNull() {
		t.Errorf("it is %v", v.Any())
	}
}
