package profile

import (
	"math"

	"github.com/rapport-engine/rapport/condition"
)

// Move is what one event did to the answer to a question.
type Move struct {
	// From and To are the answer before and with the event, for counts and sums.
	From, To float64
	// First is set if the event may be the only one that the answer is made of.
	First bool
}

// Moved returns what an event just folded in did to an answer. x is the
// property that is added up. The event belongs to the question, is not dated
// ahead of now (Unix ms), and x is not negative. It is not ok for a question
// that is not asked, and where the answer could rise as time passes, which it
// does only because of events dated ahead and of what is negative.
func (a *Aggregates) Moved(inForce *Config, q *condition.Aggregate, at int64, x float64, now int64) (m Move, ok bool) {
	d := a.inForce(inForce).find(q.Key)
	if d == nil {
		return m, false
	}
	buckets := a.bucketsOf(d)
	oldest, newest := d.window(now)
	count, sum := int64(0), int64(0)
	for i := len(buckets) - 1; i >= 0 && buckets[i].index >= oldest; i-- {
		b := &buckets[i]
		if b.index > newest || d.op == opSum && (b.sum < 0 || b.sum > math.MaxInt64/(4*windowBuckets)) {
			return m, false
		}
		count += b.count
		sum += b.sum
	}
	one, part := int64(1), int64(0)
	if d.op == opSum {
		part = int64(math.Round(min(x, maxAmount) * sumUnit))
	}
	if d.keep != 0 && d.index(at) < oldest {
		one, part = 0, 0
	}
	m.First = count <= 1
	switch d.op {
	case opCount:
		m.From, m.To = float64(count-one), float64(count)
	case opSum:
		m.From, m.To = float64(sum-part)/sumUnit, float64(sum)/sumUnit
	}
	return m, true
}
