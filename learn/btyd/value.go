package btyd

import "math"

// Value is what a customer is expected to be worth over a horizon, with the
// interval in which 80 of 100 such customers fall.
type Value struct{ Mean, Low, High float64 }

// Worth says how purchases become money.
type Worth struct {
	Horizon  float64 // how far to look, in the histories' unit of time
	Discount float64 // per unit of time, >= 0: what comes after t counts exp(-Discount t)
	Spend    *Spend  // nil if every purchase is worth Each
	Each     float64
	X, Mean  float64 // the person's purchases so far, for Spend
}

// many is from how many purchases on the spread of single ones no longer
// matters beside the spread of their number.
const many = 60

// Mean returns the expected worth after Age, as Value does, at a fraction of its cost.
func (m *Model) Mean(h History, w Worth) float64 {
	each, discounted, _ := m.discounted(h, w)
	return each * discounted
}

// discounted returns what a purchase is worth, and how many to expect: as money
// of today and in all.
func (m *Model) discounted(h History, w Worth) (each, discounted, total float64) {
	each = w.Each
	if w.Spend != nil {
		each = w.Spend.Expected(w.X, w.Mean)
	}
	total = m.Expected(h, w.Horizon)
	if w.Discount <= 0 {
		return each, total, total
	}
	// In parts, each from the middle of its period.
	const periods = 12
	var before float64
	for i := range periods {
		now := total
		if i < periods-1 {
			now = m.Expected(h, w.Horizon*float64(i+1)/periods)
		}
		discounted += (now - before) * math.Exp(-w.Discount*w.Horizon*(float64(i)+0.5)/periods)
		before = now
	}
	return each, discounted, total
}

// Value returns the customer's worth after Age.
func (m *Model) Value(h History, w Worth) Value {
	each, discounted, total := m.discounted(h, w)
	v := Value{Mean: each * discounted}
	share := 1.0
	if total > 0 {
		share = discounted / total
	}
	v.Low, v.High = share*m.spent(h, w, each, 0.1), share*m.spent(h, w, each, 0.9)
	return v
}

// spent returns the q-quantile of the undiscounted value.
func (m *Model) spent(h History, w Worth, each, q float64) float64 {
	top := m.Quantile(h, w.Horizon, 1-1e-4)
	if w.Spend == nil || top > many {
		return each * float64(m.Quantile(h, w.Horizon, q))
	}
	// chance[n] of exactly n purchases
	chance := make([]float64, top+1)
	last := 1.0
	for n := range chance {
		next := m.AtLeast(h, w.Horizon, n+1)
		chance[n] = last - next
		last = next
	}
	chance[top] += last
	if chance[0] >= q {
		return 0
	}
	under := func(total float64) float64 {
		sum := chance[0]
		for n := 1; n <= top; n++ {
			if chance[n] > 1e-9 {
				sum += chance[n] * w.Spend.chanceUnder(w.X, w.Mean, n, total)
			}
		}
		return sum
	}
	high := max(each, 1e-9)
	for i := 0; i < 100 && under(high) < q; i++ {
		high *= 2
	}
	low := 0.0
	for range 40 {
		if mid := (low + high) / 2; under(mid) < q {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}
