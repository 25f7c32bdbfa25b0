package fleet

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/rapport-engine/rapport/sim"
)

const (
	second = int64(1000)
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// thing is one connected product. What it measures is a function of the world,
// of time, of what its home bought, and of the little that [kept] keeps.
type thing struct {
	item, gtin, serial string
	home               *sim.Home
	key                uint64
	claimed            bool
	made, sold, owned  int64

	machine   *sim.Machine // nil: a canister
	cups      float64      // a day
	firmwares []sim.Firmware
	factory   int   // index of the firmware it gets from the factory's roll-out
	updated   int64 // when it got that; before it runs the first
	span      int64 // how long a full canister lasts here

	kept kept
}

// kept is what does not follow from the world.
type kept struct {
	// Descaled is how many cups it had made when it was last descaled by command.
	Descaled float64 `json:"d,omitempty"`
	// Firmware is what an update installed, at Updated.
	Firmware string `json:"f,omitempty"`
	Updated  int64  `json:"u,omitempty"`
	Seq      int64  `json:"n,omitempty"`
}

// things returns the connected things of a world whose history ends at end. salt
// makes their serial numbers differ from those of an earlier world.
func things(w *sim.World, homes []sim.Home, end int64, salt string) []*thing {
	f := w.Fleet
	var out []*thing
	for i := range homes {
		h := &homes[i]
		for slot := range 2 {
			t := &thing{home: h, key: mix(h.Shopper.UserID, slot), firmwares: f.Firmwares}
			switch slot {
			case 0:
				m := slices.IndexFunc(f.Machines, func(m sim.Machine) bool { return m.SKU == h.Machine })
				t.machine, t.gtin, t.sold = &f.Machines[m], f.Machines[m].GTIN, h.Since
				t.cups = t.machine.Cups * h.Pace * (0.8 + 0.4*unit(t.key, 1))
				total, u := 0.0, unit(t.key, 2)
				for _, v := range f.Firmwares {
					total += v.Share
				}
				for j, v := range f.Firmwares {
					if u -= v.Share / total; u < 0 {
						t.factory = j
						break
					}
				}
				t.updated = t.sold
				if since := f.Firmwares[t.factory].Since; since > 0 {
					t.updated = max(t.sold, end-int64((since-3*unit(t.key, 3))*float64(day)))
				}
			default:
				if f.Canister == nil || len(h.Supplies) == 0 {
					continue
				}
				t.gtin, t.sold = f.Canister.GTIN, min(h.Since+int64(20*unit(t.key, 1)*float64(day)), h.Supplies[0].At)
				for _, c := range w.Categories {
					if c.ID == f.Canister.Category {
						t.span = int64(c.Lasts / h.Pace * float64(day))
					}
				}
			}
			t.serial = fmt.Sprintf("NB%s%03d%c", salt, i+1, "MC"[slot])
			t.item = "01_" + t.gtin + "_21_" + t.serial
			t.claimed = unit(t.key, 4) >= f.Unclaimed
			t.made, t.owned = t.sold-int64(25+20*unit(t.key, 5))*day, t.sold+int64(30*unit(t.key, 6))*hour
			out = append(out, t)
		}
	}
	return out
}

// firmware returns the version it runs at a time.
func (t *thing) firmware(at int64) sim.Firmware {
	switch {
	case t.machine == nil:
		return sim.Firmware{Version: "1.2.0"}
	case t.kept.Firmware != "" && at >= t.kept.Updated:
		for _, v := range t.firmwares {
			if v.Version == t.kept.Firmware {
				return v
			}
		}
		return sim.Firmware{Version: t.kept.Firmware}
	case at >= t.updated:
		return t.firmwares[t.factory]
	}
	return t.firmwares[0]
}

// brewed returns how many cups a machine has made.
func (t *thing) brewed(at int64) float64 {
	return max(0, float64(at-t.sold)/float64(day)) * t.cups
}

// scale returns how full of scale a machine is, 0 to 1 when it is due. Homes
// descale it themselves some time after.
func (t *thing) scale(at int64) float64 {
	cups, limit := t.brewed(at)-t.kept.Descaled, t.machine.Descale*(1+0.25*unit(t.key, 7))
	return math.Mod(max(cups, 0), limit) / t.machine.Descale
}

// reading returns what it measures, given until when the home's stock lasts.
func (t *thing) reading(at, until int64) map[string]any {
	noise := func(n uint64) float64 { return 2*unit(t.key^uint64(at/second), 100+n) - 1 }
	if t.machine == nil {
		return map[string]any{"level": round(t.level(at, until), 3), "temperature": round(21+2*noise(1), 1)}
	}
	v, scale := t.firmware(at), t.scale(at)
	return map[string]any{
		"cycles": math.Floor(t.brewed(at)), "scale": round(scale, 3),
		"pressure":    round(9.2-1.1*scale*scale+0.08*noise(1), 2),
		"temperature": round(93+0.4*noise(2)+v.Drift*(0.6+0.4*noise(3)), 1),
	}
}

// level is how full the canister is: what the home has, as far as it goes in.
func (t *thing) level(at, until int64) float64 {
	return min(max(float64(until-at)/float64(t.span), 0), 1)
}

// stock returns until when the home's stock lasts as known at a time, by history.
func (t *thing) stock(at int64) (until int64) {
	for _, s := range t.home.Supplies {
		if s.At > at {
			break
		}
		until = s.Until
	}
	return until
}

// fault returns the fault a machine has on a day, or "".
func (t *thing) fault(at int64) string {
	if t.machine == nil {
		return ""
	}
	n := uint64(at / day)
	if unit(t.key^n, 8) >= t.firmware(at).Faults {
		return ""
	}
	return []string{"E12 brew too hot", "E07 pump stalls", "E21 sensor lost"}[int(2.99*unit(t.key^n, 9))]
}

// trouble returns what a machine tells of the day that begins: a fault, or that
// the one of yesterday was seen to; nil for nothing.
func (t *thing) trouble(at int64) map[string]any {
	switch f := t.fault(at); {
	case f != "":
		return map[string]any{"event": "fault", "code": f}
	case t.fault(at-day) != "":
		return map[string]any{"event": "serviced", "what": "restarted"}
	}
	return nil
}

// told is something a thing says: on which channel, and when.
type told struct {
	at      int64
	channel string // telemetry, events or reported
	body    map[string]any
}

// past returns what a thing has told by the end of history, in order.
func (t *thing) past(from, end, every int64) []told {
	from = max(from, t.sold+hour)
	var out []told
	say := func(at int64, channel string, body map[string]any) {
		body["at"] = at
		out = append(out, told{at, channel, body})
	}
	running, full, scaled := "", t.stock(from), 0.0
	for at := from - from%every + int64(unit(t.key, 10)*float64(every)); at < end; at += every {
		if v := t.firmware(at).Version; v != running {
			running = v
			say(at, "reported", map[string]any{"firmware": v, "interval": every / second})
		}
		if t.machine == nil {
			if until := t.stock(at); until > full {
				full = until
				say(at-minute, "events", map[string]any{"event": "opened"})
				say(at, "events", map[string]any{"event": "refilled"})
			}
		} else {
			scale := t.scale(at)
			if scale < scaled-0.5 {
				say(at, "events", map[string]any{"event": "serviced", "what": "descaled"})
			}
			scaled = scale
			if at/day != (at-every)/day {
				if e := t.trouble(at); e != nil {
					say(at, "events", e)
				}
			}
		}
		say(at+1, "telemetry", t.reading(at, t.stock(at)))
	}
	return out
}

func round(x float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(x*p) / p
}

// mix names a thing by its home's account and its place in it.
func mix(user string, slot int) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range []byte(user + "/" + strconv.Itoa(slot)) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// unit returns a number in [0,1) that follows from a key and a purpose.
func unit(key, purpose uint64) float64 {
	z := key + purpose*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
