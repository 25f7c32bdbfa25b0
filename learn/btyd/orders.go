package btyd

import "math"

// DayOrders is one day on which a person bought: all orders of a day are one
// purchase.
type DayOrders struct {
	Day   int32   // days since any fixed day
	Value float64 // sum of the day, >= 0
}

// Until sums up a person's days (rising) up to and including end: history in
// units of unit days, what the repeat purchases were worth, and the last two
// gaps (ok if there are two). seen is false for one who had not bought by then.
func Until(days []DayOrders, end int32, unit float64) (h History, p Purchases, gaps [2]float64, seen bool) {
	if len(days) == 0 || days[0].Day > end {
		return h, p, gaps, false
	}
	var sum float64
	h.Age = float64(end-days[0].Day) / unit
	for i := 1; i < len(days) && days[i].Day <= end; i++ {
		gap := float64(days[i].Day-days[i-1].Day) / unit
		h.X++
		h.Last = float64(days[i].Day-days[0].Day) / unit
		h.LogGaps += math.Log(gap)
		gaps[0], gaps[1] = gaps[1], gap
		sum += days[i].Value
	}
	if h.X > 0 {
		p = Purchases{X: float64(h.X), Mean: sum / float64(h.X)}
	}
	return h, p, gaps, true
}
