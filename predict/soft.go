package predict

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport/learn/affinity"
	"github.com/rapport-engine/rapport/learn/replenish"
	"github.com/rapport-engine/rapport/learn/topic"
)

// Liking is the fitted model of tastes: soft segments, the rates of affinities,
// and how fast families of products are used up.
type Liking struct {
	// Settings, Since and Definition say what counts.
	Settings   uint32        `json:"settings"`
	Since      int64         `json:"since"`
	Definition PredictionDoc `json:"definition"`

	Made       int64                       `json:"made"`
	People     int                         `json:"people"`
	Vocabulary []string                    `json:"vocabulary"` // attribute=value, the most frequent first
	Topics     *topic.Model                `json:"topics"`     // nil where there is too little to tell them apart
	Names      []string                    `json:"names"`      // of the topics, from what lifts them
	Rates      map[string]float64          `json:"rates"`      // everybody's share of each name within its attribute
	Products   map[string]*replenish.Model `json:"products"`   // by product id, time in days
}

// SoftDegree is how much of a person one soft segment is.
type SoftDegree struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Degree float64 `json:"degree"`
}

// AffinityScore is how much a person is drawn to a value of an attribute.
type AffinityScore struct {
	Attribute string             `json:"attribute"`
	Value     string             `json:"value"`
	Degree    float64            `json:"degree"`
	Low       float64            `json:"low"`
	High      float64            `json:"high"`
	Parts     map[string]float64 `json:"parts"` // what it is made of: everybody's rate, and each sign
}

// Refill is when a person will need a product again, in days from now, with
// the interval in which 80 of 100 such people do.
type Refill struct {
	Product string  `json:"product"`
	Days    float64 `json:"days"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	// Sources are what it is made of, weighed by how sure each is.
	Sources []RefillSource `json:"sources"`
}

// RefillSource is one forecast of when a product is needed again.
type RefillSource struct {
	Source string  `json:"source" enum:"purchases,sensor"`
	Item   string  `json:"item,omitempty" doc:"Of a sensor: the item it is in"`
	Days   float64 `json:"days"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

func (s RefillSource) forecast() replenish.Forecast {
	return replenish.Forecast{Time: s.Days, Low: s.Low, High: s.High}
}

func (l *Liking) check() bool {
	if l.Definition.Event == "" {
		return false
	}
	if l.Topics == nil {
		return true
	}
	t := l.Topics
	if len(t.IDs) != len(t.Word) || len(t.Share) != len(t.Word) || len(l.Names) != len(t.Word) || !(t.Alpha > 0) {
		return false
	}
	return !slices.ContainsFunc(t.Word, func(w []float64) bool {
		return len(w) != len(l.Vocabulary) || slices.ContainsFunc(w, func(x float64) bool { return !(x > 0) })
	})
}

func (l *Liking) word(name string) int { return slices.Index(l.Vocabulary, name) }

// softID names a topic in conditions; documents give it a name of its own.
func softID(id int) string { return "soft-" + strconv.Itoa(id) }

// mixture returns what a person, or their running session, is by degree.
func (p *Person) mixture(session bool) []SoftDegree {
	l := p.config.liking
	if l == nil || l.Topics == nil || p.tastes == nil {
		return nil
	}
	var did []topic.Count
	if session {
		for _, r := range p.session {
			if w := l.word(r.name); w >= 0 {
				did = append(did, topic.Count{Word: w, N: signWeight(affinity.Sign(r.sign))})
			}
		}
	} else {
		did = counts(p.tastes, l.word, p.at)
	}
	if len(did) == 0 {
		return nil
	}
	degrees := l.Topics.Degrees(l.Topics.Infer(did))
	var out []SoftDegree
	for k, d := range degrees {
		id := l.Topics.IDs[k]
		s := SoftDegree{softID(id), l.Names[k], round(d)}
		if doc := p.config.soft(id); doc != nil {
			s.ID, s.Name = doc.ID, cmp.Or(doc.Name, doc.ID)
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b SoftDegree) int { return cmp.Compare(b.Degree, a.Degree) })
	return out
}

// counts weighs a person's signs for the topics: faded, the stronger more.
func counts(signs ledger, word func(string) int, at int64) []topic.Count {
	var out []topic.Count
	for _, a := range signs {
		w := word(a.name)
		if w < 0 {
			continue
		}
		var n float64
		for _, x := range a.lines {
			n += fade(x, at) * signWeight(affinity.Sign(x.sign))
		}
		if n > 1e-6 {
			out = append(out, topic.Count{Word: w, N: n})
		}
	}
	return out
}

// halfLife is how long a sign takes to count for half, in days.
const halfLife = 90

// fade returns how much of a line's count is left.
func fade(x line, at int64) float64 {
	age := float64(dayOf(at)) - (float64(x.at)+0.5)*bucketDays
	return float64(x.n) * math.Exp2(-max(age, 0)/halfLife)
}

// signWeight is what a sign for something counts among behaviour tokens.
func signWeight(s affinity.Sign) float64 {
	switch s {
	case affinity.Viewed:
		return 1
	case affinity.Clicked:
		return 1.5
	case affinity.Added:
		return 2
	case affinity.Bought, affinity.Liked:
		return 3
	}
	return 0.1 // a sign against is hardly a sign for
}

// Degree returns the degree of a soft segment, by its name in conditions. It is
// not ok where there is none of that name.
func (p *Person) Degree(id string) (float64, bool) {
	for _, s := range p.mixture(false) {
		if s.ID == id {
			return s.Degree, true
		}
	}
	return 0, false
}

var signNames = [affinity.Signs]string{"viewed", "clicked", "added", "bought", "returned", "liked", "disliked"}

// affinities returns what the person is drawn to, the strongest first.
func (p *Person) affinities() []AffinityScore {
	all := map[string]float64{}
	evidence := make([]affinity.Evidence, len(p.tastes))
	for i, a := range p.tastes {
		for _, x := range a.lines {
			if x.sign < uint8(affinity.Signs) {
				evidence[i][x.sign] += fade(x, p.at)
			}
		}
		attribute, _, _ := strings.Cut(a.name, "=")
		all[attribute] += evidence[i].Weight()
	}
	var out []AffinityScore
	for i, a := range p.tastes {
		attribute, value, _ := strings.Cut(a.name, "=")
		rate := 0.1 // nothing is known of everybody
		if l := p.config.liking; l != nil {
			if r, ok := l.Rates[a.name]; ok {
				rate = r
			}
		}
		d := affinity.Of(evidence[i], all[attribute], affinity.Prior{Rate: rate})
		s := AffinityScore{attribute, value, round(d.Value), round(d.Low), round(d.High), map[string]float64{"everybody": round(d.Prior)}}
		for k, part := range d.Parts {
			if part > 0 {
				s.Parts[signNames[k]] = round(part)
			}
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b AffinityScore) int { return cmp.Compare(b.Degree, a.Degree) })
	return out
}

// refills returns when the person will need what they bought again, or have an
// item of that tells, the soonest first.
func (p *Person) refills() []Refill {
	var out []Refill
	at := func(product string) *Refill {
		i := slices.IndexFunc(out, func(r Refill) bool { return r.Product == product })
		if i < 0 {
			i, out = len(out), append(out, Refill{Product: product})
		}
		return &out[i]
	}
	for _, a := range p.bought {
		if s, ok := p.byPurchases(a); ok {
			r := at(a.name)
			r.Sources = append(r.Sources, s)
		}
	}
	for i := range p.sensors {
		x := &p.sensors[i]
		f := x.left(p.at)
		s := RefillSource{"sensor", x.item, round(f.Time), round(f.Low), round(f.High)}
		r := at(x.product)
		if n := len(r.Sources); n > 0 && r.Sources[n-1].Source == s.Source { // of two items the one that runs out first
			if s.Days < r.Sources[n-1].Days {
				r.Sources[n-1] = s
			}
			continue
		}
		r.Sources = append(r.Sources, s)
	}
	for i := range out {
		r := &out[i]
		f := r.Sources[0].forecast()
		if len(r.Sources) > 1 {
			if both, ok := replenish.Combine(f, r.Sources[1].forecast()); ok {
				f = both
			}
		}
		r.Days, r.Low, r.High = round(f.Time), round(f.Low), round(f.High)
	}
	slices.SortStableFunc(out, func(a, b Refill) int { return cmp.Compare(a.Days, b.Days) })
	return out
}

// byPurchases returns when the person buys a product again by when they bought it.
func (p *Person) byPurchases(a account) (s RefillSource, ok bool) {
	l := p.config.liking
	if l == nil {
		return s, false
	}
	today := dayOf(p.at)
	m := l.Products[a.name]
	gaps, last, ok := gapsOf(a.lines, today)
	if m == nil || !ok {
		return s, false
	}
	var use replenish.Use
	for _, g := range gaps {
		use.Add(g)
	}
	f := m.Forecast(use, float64(last.n)/quantityUnit, float64(today-last.at))
	return RefillSource{"purchases", "", round(f.Time), round(f.Low), round(f.High)}, true
}

// Purchased returns when the person buys a product again by their purchases
// alone; it is not ok where that is not known.
func (p *Person) Purchased(product string) (s RefillSource, ok bool) {
	for _, a := range p.bought {
		if a.name == product {
			return p.byPurchases(a)
		}
	}
	return s, false
}

// Together weighs two forecasts of when a product is needed again.
func Together(a, b RefillSource) (days, low, high float64) {
	f, ok := replenish.Combine(a.forecast(), b.forecast())
	if !ok {
		return a.Days, a.Low, a.High
	}
	return f.Time, f.Low, f.High
}

// gapsOf returns the gaps between purchases of one product, and the last one.
func gapsOf(lines []line, today int32) (gaps []replenish.Gap, last line, ok bool) {
	for _, x := range lines {
		if x.at > today || x.n <= 0 {
			continue
		}
		if ok {
			gaps = append(gaps, replenish.Gap{Time: float64(x.at - last.at), Quantity: float64(last.n) / quantityUnit})
		}
		last, ok = x, true
	}
	return gaps, last, ok
}
