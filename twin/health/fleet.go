package health

import (
	"cmp"
	"math"
	"slices"

	"github.com/rapport-engine/rapport/twin"
)

// Fleet gathers how the items of a product fare, by what they run, so that a
// bad firmware shows as one thing and not as a thousand.
type Fleet struct {
	groups map[fleetKey]*Group
}

type fleetKey struct{ gtin, firmware string }

// Group is the items of a product that run one firmware.
type Group struct {
	GTIN     string `json:"gtin"`
	Firmware string `json:"firmware"`
	Items    int    `json:"items"`
	// Anomalous are items with an alarm, Faulty those with a fault, since the asked time.
	Anomalous int `json:"anomalous"`
	Faulty    int `json:"faulty"`
	// Readings counts the alarming items by reading, most first.
	Readings []ReadingCount `json:"readings"`
	// Excess is how many more items than elsewhere have an alarm or a fault, as a
	// share; Chance the odds of that if firmware did not matter, corrected for the
	// number of groups (Benjamini and Hochberg). Insight says that it is one.
	Excess  float64 `json:"excess"`
	Chance  float64 `json:"chance"`
	Insight bool    `json:"insight"`

	troubled int
	readings map[string]int
}

// ReadingCount counts items.
type ReadingCount struct {
	Reading string `json:"reading"`
	Items   int    `json:"items"`
}

// NewFleet returns an empty fleet.
func NewFleet() *Fleet { return &Fleet{groups: map[fleetKey]*Group{}} }

// Add counts an item. h may be nil. Cases and pallets are no fleet.
func (f *Fleet) Add(item *twin.Item, h *Health, since int64) {
	k := fleetKey{item.Key().GTIN(), item.Firmware}
	if k.gtin == "" {
		return
	}
	g := f.groups[k]
	if g == nil {
		g = &Group{GTIN: k.gtin, Firmware: k.firmware, readings: map[string]int{}}
		f.groups[k] = g
	}
	g.Items++
	alarmed, faulty := false, false
	if h != nil {
		for i := range h.Series {
			if h.Series[i].Alarms > 0 && h.Series[i].AlarmAt >= since {
				alarmed = true
				g.readings[h.Series[i].Name]++
			}
		}
	}
	for _, m := range item.Moments {
		faulty = faulty || (m.Name == twin.ProductFault || m.Name == twin.ProductNeedsService) && m.Last >= since
	}
	if alarmed {
		g.Anomalous++
	}
	if faulty {
		g.Faulty++
	}
	if alarmed || faulty {
		g.troubled++
	}
}

// leastGroup is how many items a firmware must have before it can be an insight.
const leastGroup = 10

// Groups returns the groups, insights first. Each firmware is compared with the
// rest of its product; discoveries are false at most one time in twenty.
func (f *Fleet) Groups() []Group {
	totals := map[string][2]int{}
	for k, g := range f.groups {
		t := totals[k.gtin]
		totals[k.gtin] = [2]int{t[0] + g.Items, t[1] + g.troubled}
	}
	out := make([]Group, 0, len(f.groups))
	for k, g := range f.groups {
		x := *g
		t := totals[k.gtin]
		rest, troubled := float64(t[0]-g.Items), float64(t[1]-g.troubled)
		x.Chance = 1
		if g.Items >= leastGroup && rest >= leastGroup {
			p, q := float64(g.troubled)/float64(g.Items), troubled/rest
			pooled := float64(t[1]) / float64(t[0])
			if s := math.Sqrt(pooled * (1 - pooled) * (1/float64(g.Items) + 1/rest)); s > 0 {
				x.Chance = 0.5 * math.Erfc((p-q)/s/math.Sqrt2)
			}
			x.Excess = p - q
		}
		x.Readings = []ReadingCount{}
		for name, n := range g.readings {
			x.Readings = append(x.Readings, ReadingCount{name, n})
		}
		slices.SortFunc(x.Readings, func(a, b ReadingCount) int { return cmp.Or(b.Items-a.Items, cmp.Compare(a.Reading, b.Reading)) })
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Chance, b.Chance), cmp.Compare(a.GTIN, b.GTIN), cmp.Compare(a.Firmware, b.Firmware))
	})
	// Adjusted from the largest down.
	least := 1.0
	for i := len(out) - 1; i >= 0; i-- {
		least = min(least, out[i].Chance*float64(len(out))/float64(i+1))
		out[i].Chance = least
		out[i].Insight = least <= 0.05 && out[i].Excess > 0
	}
	return out
}
