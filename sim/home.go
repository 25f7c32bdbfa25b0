package sim

import (
	"fmt"
	"time"
)

// Fleet says which connected things stand in shoppers' homes and how they fare
// (docs/world-file.md). The package sim/fleet brings them to life.
type Fleet struct {
	// Households is how many homes have connected things, at most.
	Households int `yaml:"households"`
	// Unclaimed is the share of things that nobody has said are theirs.
	Unclaimed float64 `yaml:"unclaimed"`
	// Days is how far back things tell of themselves, Every how often, in hours.
	Days  int     `yaml:"days"`
	Every float64 `yaml:"everyHours"`

	Machines  []Machine  `yaml:"machines"`
	Canister  *Canister  `yaml:"canister"`
	Firmwares []Firmware `yaml:"firmwares"`
}

// Machine is a kind of connected machine: the SKU it is bought as and its GTIN.
type Machine struct {
	SKU  string `yaml:"sku"`
	GTIN string `yaml:"gtin"`
	// Cups is how many it makes a day in a home of middling thirst, Descale how
	// many until it must be descaled.
	Cups    float64 `yaml:"cups"`
	Descale float64 `yaml:"descale"`
}

// Canister is the connected container of a category that is used up.
type Canister struct {
	GTIN     string `yaml:"gtin"`
	Category string `yaml:"category"`
}

// Firmware is a version machines run, and what is wrong with it.
type Firmware struct {
	Version string  `yaml:"version"`
	Share   float64 `yaml:"share"`
	// Since is how many days before the end of history it came; 0 is always.
	Since float64 `yaml:"sinceDays"`
	// Faults is the chance of a fault per day, Drift how many degrees it brews too hot.
	Faults float64 `yaml:"faults"`
	Drift  float64 `yaml:"drift"`
}

func (f *Fleet) check(w *World) error {
	switch {
	case f.Households < 0 || f.Households > 10_000 || f.Days < 1 || f.Days > 365 || !(f.Every >= 0.1 && f.Every <= 240):
		return fmt.Errorf("fleet: households must be 0 to 10,000, days 1 to 365, everyHours 0.1 to 240")
	case !(f.Unclaimed >= 0 && f.Unclaimed <= 1):
		return fmt.Errorf("fleet: unclaimed is not a share")
	case len(f.Machines) == 0 || len(f.Firmwares) == 0:
		return fmt.Errorf("fleet: machines and firmwares must not be empty")
	case f.Canister != nil && (w.category(f.Canister.Category) < 0 || w.Categories[w.category(f.Canister.Category)].Lasts <= 0):
		return fmt.Errorf("fleet: nothing of the category %q is used up", f.Canister.Category)
	}
	for _, m := range f.Machines {
		if w.sku(m.SKU) < 0 || !(m.Cups > 0 && m.Cups < 1000) || !(m.Descale > 1 && m.Descale < 1e6) {
			return fmt.Errorf("fleet: machine %q needs a known sku, and cups and descale above 0", m.SKU)
		}
	}
	for _, v := range f.Firmwares {
		if v.Version == "" || !(v.Share >= 0 && v.Share <= 1e6) || !(v.Faults >= 0 && v.Faults <= 1) || !(v.Drift >= -50 && v.Drift <= 50) {
			return fmt.Errorf("fleet: firmware %q makes no sense", v.Version)
		}
	}
	return nil
}

func (w *World) sku(sku string) int {
	for i := range w.Products {
		if w.Products[i].SKU == sku {
			return i
		}
	}
	return -1
}

// Home is a household with a connected machine.
type Home struct {
	Shopper *Shopper
	// Machine is the SKU, Since when it came, Unix milliseconds.
	Machine string
	Since   int64
	// Pace is how thirsty the home is; 1 is middling.
	Pace float64
	// Supplies are the purchases of what the canister holds, in order.
	Supplies []Supply
}

// Supply is a purchase: the stock then lasts until Until, Unix milliseconds.
type Supply struct{ At, Until int64 }

// Homes returns the households of the world's fleet as history, ending at end, leaves them.
func (w *World) Homes(end time.Time) []Home {
	f := w.Fleet
	if f == nil {
		return nil
	}
	e := w.era(end.UnixMilli())
	var homes []Home
	var p pen
	for i := 0; i < w.Shoppers && len(homes) < f.Households; i++ {
		st := &homeward{w: w, category: -1}
		if f.Canister != nil {
			st.category = w.category(f.Canister.Category)
		}
		l := w.history(i, e, st, &p)
		if !l.owns || !l.known || l.s.leaves <= float64(w.Days) || len(st.supplies) == 0 || st.supplies[len(st.supplies)-1].Until < e.end-week {
			continue // nobody known drinks there now
		}
		h := Home{Shopper: l.s, Machine: st.machine, Since: st.since, Pace: pace(l.s), Supplies: st.supplies}
		if h.Machine == "" { // it was there before history began
			m := f.Machines[l.s.key%uint64(len(f.Machines))]
			h.Machine, h.Since = m.SKU, e.end-int64(w.Days)*day-int64(l.s.key>>8%300)*day
		}
		if f.machine(h.Machine) != nil {
			homes = append(homes, h)
		}
	}
	return homes
}

func (f *Fleet) machine(sku string) *Machine {
	for i := range f.Machines {
		if f.Machines[i].SKU == sku {
			return &f.Machines[i]
		}
	}
	return nil
}

// homeward is the stage of a history of which only what comes home matters.
type homeward struct {
	taker
	w        *World
	category int
	machine  string
	since    int64
	supplies []Supply
}

func (h *homeward) say(channel, []byte) {}
func (h *homeward) until(int64) bool    { return true }
func (h *homeward) ask(*visit, *Placement, []byte) answer {
	return answer{}
}

// bought implements buys.
func (h *homeward) bought(product int, at, until int64) {
	c := h.w.Products[product].category
	if c == h.category {
		h.supplies = append(h.supplies, Supply{at, until})
	}
	if h.w.Categories[c].Machine && h.w.Fleet.machine(h.w.Products[product].SKU) != nil {
		h.machine, h.since = h.w.Products[product].SKU, at
	}
}

// buys is a stage that wants to know what is bought and until when the stock then lasts.
type buys interface {
	bought(product int, at, until int64)
}

// RunsOut returns until when the shopper's stock of a category lasts, Unix
// milliseconds, as far as the present knows; ok is false for a shopper nobody
// has met live yet.
func (s *Sim) RunsOut(index int, category string) (until int64, ok bool) {
	c := s.w.category(category)
	if c < 0 {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[index] { // somebody else's until the visit is over
		m, ok := s.state.Met[index]
		if !ok || c >= len(m.Out) {
			return 0, false
		}
		return m.Out[c], true
	}
	if l := s.lives[index]; l != nil {
		return l.out[c], true
	}
	return 0, false
}
