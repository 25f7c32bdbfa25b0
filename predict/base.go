package predict

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// ActiveBase is what the customers who still come are expected to bring: those
// who bought and are held more likely to come back than not.
type ActiveBase struct {
	At          time.Time `json:"at" doc:"When this was counted"`
	People      int       `json:"people" doc:"Active customers: they bought, and have left with a chance below one half"`
	Customers   int       `json:"customers" doc:"Everybody who bought"`
	Value       float64   `json:"value" doc:"Lifetime value of one of them, on average"`
	Low         float64   `json:"low" doc:"95 % interval of the average, as far as chance goes: how far the model itself may be off is told with the model"`
	High        float64   `json:"high"`
	Total       float64   `json:"total" doc:"Of all of them together"`
	HorizonDays float64   `json:"horizonDays" doc:"How far ahead it looks"`
	Sampled     int       `json:"sampled" doc:"Active customers looked at; fewer than people where the figures are estimates"`
}

// mostValued is about how many people a count of the active base looks at.
const mostValued = 20_000

// Base values the active base among so many people in all, by the model of
// purchases in force; nil without one. Kind: Unavailable.
func (f *Fitter) Base(ctx context.Context, entities int64) (*ActiveBase, error) {
	config := configOf(f.d.Config())
	if config.purchases == nil {
		return nil, nil
	}
	share := 1.0
	if entities > mostValued {
		share = mostValued / float64(entities)
	}
	now := f.d.Clock.Now()
	var mu sync.Mutex
	var customers, active, sum, squares, spread float64
	err := f.d.Home.Scan(ctx, engine.ScanOptions{Share: share, Seed: uint64(config.purchases.Made), Background: true}, func(_ int, v *engine.View) error {
		p := At(v.State, v.Config(), rapport.Millis(now), []string{"clv"})
		if !p.known() {
			return nil
		}
		m := &p.config.purchases.Model
		if m.Alive(p.history) <= 0.5 {
			mu.Lock()
			defer mu.Unlock()
			customers++
			return nil
		}
		value := m.Value(p.history, p.worth(p.spent))
		sigma := (value.High - value.Low) / (2 * 1.2816) // of the middle 80 % of a normal distribution
		mu.Lock()
		defer mu.Unlock()
		customers, active = customers+1, active+1
		sum, squares, spread = sum+value.Mean, squares+value.Mean*value.Mean, spread+sigma*sigma
		return nil
	})
	if err != nil || active == 0 {
		return nil, err
	}
	mean := sum / active
	sampling := max(0, squares/active-mean*mean) * (1 - share)
	half := 1.96 * math.Sqrt(spread/active+sampling) / math.Sqrt(active)
	return &ActiveBase{
		At: now.UTC(), People: int(active/share + 0.5), Customers: int(customers/share + 0.5), Value: round(mean), Low: round(max(0, mean-half)), High: round(mean + half),
		Total: round(sum / share), HorizonDays: float64(config.settings.Horizon.Millis()) / 86_400_000, Sampled: int(active),
	}, nil
}
