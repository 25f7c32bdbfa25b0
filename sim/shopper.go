package sim

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Shopper is what is true of one shopper for good. All of it follows from the
// world's seed and Index, so the same shopper comes back after any restart.
type Shopper struct {
	Index   int
	Type    *ShopperType
	Country *Country
	// Tastes are in [-1,1], in the order of World.Tastes.
	Tastes           [maxTastes]float64
	Budget           float64
	Patience         float64
	PriceSensitivity float64
	// Rate is how many times a day the shopper turns up on an average day.
	Rate float64

	UserID, Email, Phone, Given, Surname, City string

	arrives    float64 // day of history of the first possible visit; below 0 is before it
	leaves     float64 // day on which the shopper drifts away
	appFrom    float64 // day from which the app is on the phone
	secondWeb  float64 // day from which a second browser is used
	ownsFirst  bool
	card       bool // carries a loyalty card to the till
	optsIn     bool
	knownFirst bool // had an account before history begins
	from       *Acquisition
	key        uint64 // seeds device ids
	choice     []float64
	basket     float64 // expected price of one product of own choice
}

// The streams of randomness, so that drawing more in one place changes nothing elsewhere.
const (
	streamShopper uint64 = 0x5a0_0001 + iota<<32
	streamHistory
	streamLive
	streamVisit
	streamAgenda
)

// dice returns the random stream of one shopper or visit.
func (w *World) dice(stream uint64, n uint64) *rand.Rand {
	return rand.New(rand.NewPCG(w.Seed^stream, n*0x9e3779b97f4a7c15+stream))
}

// Shopper derives the shopper with the index, which is 0 or more. Indexes from
// World.Shoppers on are newcomers, who have no history.
func (w *World) Shopper(index int) *Shopper {
	r := w.dice(streamShopper, uint64(index))
	s := &Shopper{Index: index, key: r.Uint64()}
	s.Type = &w.Types[draw(w.typeShares, r.Float64())]
	s.Country = &w.Countries[draw(w.landShares, r.Float64())]
	s.from = &w.Acquisition[draw(w.comeShares, r.Float64())]
	t := s.Type
	for i := range w.Tastes {
		s.Tastes[i] = clamp(t.tastes[i]+0.35*r.NormFloat64(), -1, 1)
	}
	s.Budget = t.Budget * math.Exp(0.35*r.NormFloat64())
	s.Patience = clamp(t.Patience+0.2*r.NormFloat64(), 0.02, 0.98)
	s.PriceSensitivity = clamp(t.PriceSensitivity+0.2*r.NormFloat64(), 0, 1)
	s.Rate = t.VisitsPerWeek / 7 * gamma(r, t.Evenness) / t.Evenness
	s.Rate = clamp(s.Rate, 0.002, 6)

	days := float64(w.Days)
	switch {
	case index >= w.Shoppers:
		s.arrives = days
	case r.Float64() < 0.6:
		s.arrives = -r.Float64() * 200
		s.knownFirst = r.Float64() < 0.75*t.SignsUp+0.4
	default:
		s.arrives = days * math.Sqrt(r.Float64()) // the brand is growing
	}
	s.leaves = max(s.arrives, 0) + 7*t.Weeks*r.ExpFloat64()
	s.appFrom, s.secondWeb = math.Inf(1), math.Inf(1)
	if r.Float64() < min(1.6*(t.channels[app]-t.channels[web]), 0.95) {
		s.appFrom = s.arrives + 30*r.ExpFloat64()
	}
	if r.Float64() < 0.45 {
		s.secondWeb = s.arrives + 25*r.ExpFloat64()
	}
	s.ownsFirst = r.Float64() < t.Owns
	s.card = r.Float64() < 0.7
	s.optsIn = r.Float64() < t.Consents

	c := s.Country
	s.Given = c.Given[r.IntN(len(c.Given))]
	s.Surname = c.Surnames[r.IntN(len(c.Surnames))]
	s.City = c.Cities[r.IntN(len(c.Cities))]
	s.UserID = "nb" + strconv.Itoa(100000+index)
	s.Email = address(s.Given, s.Surname, index, w.Domain)
	s.Phone = phone(c.Phone, index)
	w.prefer(s)
	return s
}

// prefer works out what the shopper chooses among products: a softmax over
// taste, popularity and what the price means to this shopper.
func (w *World) prefer(s *Shopper) {
	s.choice = make([]float64, len(w.Products))
	sum := 0.0
	for i := range w.Products {
		p := &w.Products[i]
		u := 1.6*p.tastes.dot(s.Tastes) - (0.3+0.7*s.PriceSensitivity)*math.Log1p(p.Price/(25*s.Budget))
		x := p.Popular * math.Exp(u)
		sum += x
		s.choice[i] = sum
		s.basket += x * p.Price
	}
	for i := range s.choice {
		s.choice[i] /= sum
	}
	s.basket /= sum
}

// within returns what the shopper would choose in a category (any, if
// negative), given u in [0,1), and the expected price of that choice.
func (w *World) within(s *Shopper, category int, u float64) (product int, price float64) {
	if category < 0 {
		return draw(s.choice, u), s.basket
	}
	share, last := 0.0, 0.0
	for i, c := range s.choice {
		if w.Products[i].category == category {
			share += c - last
			price += (c - last) * w.Products[i].Price
			product = i
		}
		last = c
	}
	if share <= 0 {
		return product, w.Products[product].Price
	}
	u *= share
	last = 0
	for i, c := range s.choice {
		if w.Products[i].category == category {
			if u -= c - last; u < 0 {
				return i, price / share
			}
		}
		last = c
	}
	return product, price / share
}

// marginWithin returns the expected margin of what the shopper would choose in a
// category (any, if negative).
func (w *World) marginWithin(s *Shopper, category int) float64 {
	share, margin, last := 0.0, 0.0, 0.0
	for i, c := range s.choice {
		if p := &w.Products[i]; category < 0 || p.category == category {
			share += c - last
			margin += (c - last) * p.Price * p.Margin
		}
		last = c
	}
	if share <= 0 {
		return 0
	}
	return margin / share
}

// device names one of a shopper's devices as a browser or app would: a random
// looking UUID that is the same after every restart.
func (s *Shopper) device(n uint64) string {
	const hex = "0123456789abcdef"
	var b [36]byte
	x, y := mix(s.key+2*n), mix(s.key+2*n+1)
	for i := range b {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			b[i] = '-'
			continue
		case i == 14:
			b[i] = '4'
			continue
		case i == 19:
			b[i] = hex[8+x&3]
		case i < 19:
			b[i] = hex[x&15]
		default:
			b[i] = hex[y&15]
			y >>= 4
		}
		x >>= 4
	}
	return string(b[:])
}

// refs names the shopper in every way a server may know.
func (s *Shopper) refs() []string {
	refs := []string{"userId:" + s.UserID, "email:" + s.Email}
	for _, id := range []string{s.device(0), s.device(1), s.device(2), s.cardID(), s.deskID()} {
		refs = append(refs, "anonymousId:"+id)
	}
	return refs
}

// cardID and deskID are how the till and the help desk name the shopper.
func (s *Shopper) cardID() string { return "card-" + strconv.FormatUint(mix(s.key+99), 36) }
func (s *Shopper) deskID() string { return "desk-" + strconv.FormatUint(mix(s.key+77), 36) }

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func clamp(x, low, high float64) float64 { return min(max(x, low), high) }

// gamma draws from a gamma distribution with the shape and scale 1 (Marsaglia
// and Tsang, "A simple method for generating gamma variables", 2000).
func gamma(r *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(r, shape+1) * math.Pow(1-r.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-r.Float64()) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

var plain = strings.NewReplacer(
	"å", "a", "ä", "a", "á", "a", "à", "a", "ã", "a", "æ", "ae", "ç", "c", "é", "e", "è", "e", "ë", "e", "ê", "e", "ğ", "g",
	"í", "i", "ï", "i", "î", "i", "ı", "i", "ñ", "n", "ø", "o", "ö", "o", "ó", "o", "ô", "o", "ş", "s", "ß", "ss", "ü", "u", "ú", "u",
	"û", "u", " ", "", "'", "", "-", "",
)

// address makes an e-mail address under a reserved domain, unique by index.
func address(given, surname string, index int, domain string) string {
	return plain.Replace(strings.ToLower(given)) + "." + plain.Replace(strings.ToLower(surname)) + strconv.Itoa(index) + "@" + domain
}

// phone fills the pattern with the index, or returns "" when the index has
// more digits than the pattern.
func phone(pattern string, index int) string {
	b := []byte(pattern)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '#' {
			b[i] = byte('0' + index%10)
			index /= 10
		}
	}
	if pattern == "" || index > 0 {
		return ""
	}
	return string(b)
}
