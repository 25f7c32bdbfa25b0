package btyd

import "github.com/rapport-engine/rapport/learn/metric"

// Coverage tells how often the number of purchases made in the time t fell into
// the middle 80 % of what the model held possible; 0.8 is right. Numbers are
// whole, so a person counts by the share of their number's chance that lies
// inside (Czado, Gneiting, Held, "Predictive model assessment for count data",
// Biometrics 65 (2009)).
func (m *Model) Coverage(people []History, made []float64, t float64) float64 {
	var inside float64
	for i, h := range people {
		n := int(made[i])
		under := 1 - m.AtLeast(h, t, n)
		upTo := 1 - m.AtLeast(h, t, n+1)
		if upTo-under > 1e-12 {
			inside += max(0, min(upTo, 0.9)-max(under, 0.1)) / (upTo - under)
		} else if under > 0.1 && under < 0.9 {
			inside++
		}
	}
	return inside / float64(len(people))
}

// Calibration compares expected with made purchases over groups of people
// sorted by what was expected.
func (m *Model) Calibration(people []History, made []float64, t float64, groups int) []metric.Bin {
	expected := make([]float64, len(people))
	for i, h := range people {
		expected[i] = m.Expected(h, t)
	}
	return metric.Calibration(expected, made, groups)
}
