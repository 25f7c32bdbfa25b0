package btyd_test

import (
	"bufio"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/learn/btyd"
)

// buyer is one customer of CDNOW: what is known by 1997-09-30 and what came in
// the 39 weeks after.
type buyer struct {
	btyd.History
	gaps   []float64
	spend  float64 // mean value of the repeat purchases
	future int
}

// cdnow reads the sample of 2,357 customers; days are counted once.
func cdnow(t *testing.T) []buyer {
	t.Helper()
	f, err := os.Open("../../../shared/data/cdnow/CDNOW_sample.txt")
	if err != nil {
		t.Skip("CDNOW_sample.txt is not here: see docs/evaluate.md for where it comes from")
	}
	defer f.Close()
	end := time.Date(1997, 9, 30, 0, 0, 0, 0, time.UTC)
	type order struct {
		at    time.Time
		value float64
	}
	orders := map[string][]order{}
	var ids []string
	for in := bufio.NewScanner(f); in.Scan(); {
		w := strings.Fields(in.Text())
		at, err := time.Parse("20060102", w[2])
		if err != nil {
			t.Fatal(err)
		}
		value, _ := strconv.ParseFloat(w[4], 64)
		if orders[w[0]] == nil {
			ids = append(ids, w[0])
		}
		orders[w[0]] = append(orders[w[0]], order{at, value})
	}
	var out []buyer
	for _, id := range ids {
		of := orders[id]
		slices.SortFunc(of, func(a, b order) int { return a.at.Compare(b.at) })
		b := buyer{}
		var last time.Time
		var total float64
		for i, o := range of {
			switch {
			case i > 0 && o.at.Equal(last):
				if b.X > 0 && !o.at.After(end) {
					total += o.value
				}
			case o.at.After(end):
				b.future++
			case i > 0:
				b.X++
				gap := o.at.Sub(last).Hours() / 168
				b.gaps = append(b.gaps, gap)
				b.LogGaps += math.Log(gap)
				total += o.value
			}
			if !o.at.After(end) {
				b.Last = o.at.Sub(of[0].at).Hours() / 168
			}
			last = o.at
		}
		b.Age = end.Sub(of[0].at).Hours() / 168
		if b.X > 0 {
			b.spend = total / float64(b.X)
		}
		out = append(out, b)
	}
	return out
}

func histories(people []buyer) []btyd.History {
	var out []btyd.History
	for _, b := range people {
		out = append(out, b.History)
	}
	return out
}

func near(t *testing.T, name string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

// The parameters of Fader, Hardie and Lee (2005), of Fader and Hardie's note on
// the Pareto/NBD, and of Batislam et al. (2007) for MBG/NBD.
func TestTheCDNOWParametersAreReproduced(t *testing.T) {
	t.Parallel()
	people := cdnow(t)
	if len(people) != 2357 {
		t.Fatalf("%d customers", len(people))
	}
	for kind, want := range map[btyd.Kind]struct{ r, alpha, a, b, ll float64 }{
		btyd.BGNBD:     {.2426, 4.4136, .7929, 2.4259, -9582.43},
		btyd.ParetoNBD: {.5533, 10.578, .6062, 11.669, -9594.98},
		btyd.MBGNBD:    {.525, 6.183, .891, 1.614, math.NaN()},
		btyd.MBGCNBDK:  {.525, 6.183, .891, 1.614, math.NaN()}, // k is 1 here
	} {
		m, err := btyd.Fit(kind, histories(people), 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s %v LL %.2f", kind, m.Params(), m.LogLikelihood)
		near(t, kind.String()+" r", m.R, want.r, .001)
		near(t, kind.String()+" alpha", m.Alpha, want.alpha, .01)
		near(t, kind.String()+" a", m.A, want.a, .002)
		near(t, kind.String()+" b", m.B, want.b, .01)
		if !math.IsNaN(want.ll) {
			near(t, kind.String()+" LL", m.LogLikelihood, want.ll, .01)
		}
		// The published holdout: 39 weeks, 1,882 purchases. The two models the
		// literature recommends for it meet the bound; MBG/NBD falls short by 16 %.
		var predicted, actual, off float64
		for _, b := range people {
			e := m.Expected(b.History, 39)
			predicted += e
			actual += float64(b.future)
			off += math.Abs(e - float64(b.future))
		}
		near(t, "purchases in the holdout", actual, 1882, 0)
		t.Logf("%s holdout error %+.3f, MAE %.3f", kind, predicted/actual-1, off/2357)
		if most := map[bool]float64{true: .125, false: .17}[m.Kind == btyd.BGNBD || m.Kind == btyd.ParetoNBD]; math.Abs(predicted/actual-1) > most || off/2357 > .79 {
			t.Errorf("%s: holdout error %.3f, MAE %.3f", kind, predicted/actual-1, off/2357)
		}
	}
}

// Fader and Hardie, "The gamma-gamma model of monetary value" (2013), on the
// 946 customers with a repeat purchase.
func TestTheCDNOWSpendIsReproduced(t *testing.T) {
	t.Parallel()
	var spent []btyd.Purchases
	for _, b := range cdnow(t) {
		if b.X > 0 {
			spent = append(spent, btyd.Purchases{X: float64(b.X), Mean: b.spend})
		}
	}
	s, err := btyd.FitSpend(spent)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "people", s.People, 946, 0)
	near(t, "p", s.P, 6.25, .01)
	near(t, "q", s.Q, 3.74, .01)
	near(t, "v", s.V, 15.44, .03)
	near(t, "LL", s.LogLikelihood, -4055.92, .02)
}

// Fader and Hardie (2007), table 2: the first seven years of two groups.
func TestThePublishedRetentionIsReproduced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kept            []float64
		alpha, beta, ll float64
	}{
		"regular":  {[]float64{1000, 631, 468, 382, 326, 289, 262, 241}, .704, 1.182, -1680.3},
		"high end": {[]float64{1000, 869, 743, 653, 593, 551, 517, 491}, .668, 3.806, -1611.2},
	} {
		var lost []float64
		for i := 1; i < len(c.kept); i++ {
			lost = append(lost, c.kept[i-1]-c.kept[i])
		}
		r, err := btyd.FitRetention(lost, c.kept[7])
		if err != nil {
			t.Fatal(err)
		}
		near(t, name+" alpha", r.Alpha, c.alpha, .002)
		near(t, name+" beta", r.Beta, c.beta, .005)
		near(t, name+" LL", r.LogLikelihood, c.ll, .1)
		product := 1.0
		for i := range 7 {
			product *= 1 - r.Hazard(float64(i+1))
		}
		near(t, name+" survival", r.Survival(7), product, 1e-9)
	}
}

var cdnowModels = []*btyd.Model{
	{Kind: btyd.BGNBD, R: .2426, Alpha: 4.4136, A: .7929, B: 2.4259},
	{Kind: btyd.ParetoNBD, R: .5533, Alpha: 10.578, A: .6062, B: 11.669},
	{Kind: btyd.MBGNBD, R: .525, Alpha: 6.183, A: .891, B: 1.614},
	{Kind: btyd.MBGCNBDK, R: .525, Alpha: 2.1, A: .891, B: 1.614, K: 3},
	{Kind: btyd.BGNBD, R: .74, Alpha: 7.2, A: .053, B: .77}, // hardly anybody ever leaves
	{Kind: btyd.MBGNBD, R: 50, Alpha: 900, A: 1e-4, B: 300},
}

// Fader, Hardie and Lee (2005): customer 1 (x=2, t_x=30.43, T=38.86) is expected
// to make 1.226 purchases in the next 39 weeks.
func TestThePublishedExpectationOfOneCustomerIsReproduced(t *testing.T) {
	t.Parallel()
	h := btyd.History{X: 2, Last: 30.43, Age: 38.86}
	near(t, "E[Y(39)]", cdnowModels[0].Expected(h, 39), 1.226, .001)
}

func TestExpectationsAreTheSumOfTheirChances(t *testing.T) {
	t.Parallel()
	for _, m := range cdnowModels {
		for _, h := range []btyd.History{{Age: 30}, {X: 1, Last: 5, Age: 30}, {X: 7, Last: 29, Age: 30}, {X: 40, Last: 30, Age: 30}} {
			var sum float64
			for n := 1; n < 4000; n++ {
				sum += m.AtLeast(h, 39, n)
			}
			near(t, m.Kind.String(), m.Expected(h, 39), sum, 1e-5*(1+sum))
		}
	}
}

// A live customer is simulated purchase by purchase from the parameters.
func TestModelsAgreeWithSimulatedCustomers(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	gamma := func(shape float64) float64 { // Marsaglia and Tsang
		boost := 1.0
		if shape < 1 {
			boost = math.Pow(rng.Float64(), 1/shape)
			shape++
		}
		d := shape - 1.0/3
		for {
			x := rng.NormFloat64()
			v := math.Pow(1+x/math.Sqrt(9*d), 3)
			if v > 0 && math.Log(rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
				return d * v * boost
			}
		}
	}
	for _, m := range []*btyd.Model{
		{Kind: btyd.BGNBD, R: .8, Alpha: 5, A: .8, B: 3},
		{Kind: btyd.MBGNBD, R: .8, Alpha: 5, A: .8, B: 3},
		{Kind: btyd.MBGCNBDK, R: .8, Alpha: 2, A: .8, B: 3, K: 3},
		{Kind: btyd.ParetoNBD, R: .8, Alpha: 5, A: .8, B: 10},
	} {
		var people []btyd.History
		var gaps [][2]float64
		var future, inside float64
		const n, now, horizon = 1500, 40.0, 30.0
		var futures []int
		for range n {
			rate := gamma(m.R) / m.Alpha
			death := math.Inf(1)
			p := 0.0
			if m.Kind == btyd.ParetoNBD {
				death = rng.ExpFloat64() / (gamma(m.A) / m.B)
			} else {
				x, y := gamma(m.A), gamma(m.B)
				p = x / (x + y)
			}
			h := btyd.History{Age: now}
			at, later := 0.0, 0
			var own []float64
			alive := m.Kind == btyd.BGNBD || rng.Float64() >= p
			for alive {
				gap := 0.0
				for range max(m.K, 1) {
					gap += rng.ExpFloat64() / rate
				}
				if at += gap; at > now+horizon || at > death {
					break
				}
				if at > now {
					later++
				} else {
					own = append(own, gap)
					h.X, h.Last = h.X+1, at
					h.LogGaps += math.Log(gap)
				}
				alive = rng.Float64() >= p
			}
			if len(own) > 1 {
				gaps = append(gaps, [2]float64{own[len(own)-2], own[len(own)-1]})
			}
			people = append(people, h)
			futures = append(futures, later)
			future += float64(later)
		}
		k := btyd.Regularity(gaps)
		if k != max(m.K, 1) {
			t.Errorf("%s: regularity %d", m.Kind, k)
		}
		fit, err := btyd.Fit(m.Kind, people, k)
		if err != nil {
			t.Fatal(err)
		}
		near(t, m.Kind.String()+" r", fit.R, m.R, .3*m.R)
		near(t, m.Kind.String()+" alpha", fit.Alpha, m.Alpha, .4*m.Alpha)
		var expected, alive float64
		for i, h := range people {
			expected += fit.Expected(h, horizon)
			alive += fit.Alive(h)
			// The share of the chance's integral between .1 and .9 (Czado et al., 2009).
			lo, hi := 1-fit.AtLeast(h, horizon, futures[i]), 1-fit.AtLeast(h, horizon, futures[i]+1)
			inside += max(0, min(hi, .9)-max(lo, .1)) / (hi - lo)
		}
		near(t, m.Kind.String()+" purchases to come", expected/future, 1, .1)
		near(t, m.Kind.String()+" coverage of 80 %", inside/n, .8, .03)
	}
}

func TestEveryAnswerIsFiniteForEveryBuyer(t *testing.T) {
	t.Parallel()
	for _, m := range cdnowModels {
		for _, x := range []int{0, 1, 132, 500, 1000, 5000, 100_000, 1_000_000} {
			for _, last := range []float64{0, 1e-3, 20, 38.9, 39} {
				h := btyd.History{X: x, Last: last, Age: 39, LogGaps: float64(x) * math.Log(max(last, 1e-9)/float64(max(x, 1)))}
				if x == 0 {
					h.Last, h.LogGaps = 0, 0
				}
				alive, e := m.Alive(h), m.Expected(h, 39)
				v := m.Value(h, btyd.Worth{Horizon: 52, Discount: .002, Each: 35})
				next := m.Next(h, .5)
				if !(alive >= 0 && alive <= 1) || !(e >= 0 && e < 1e8) || math.IsNaN(m.LogLikelihoodOf(h)) || math.IsInf(m.LogLikelihoodOf(h), 0) ||
					!(v.Low >= 0 && v.Low <= v.High && v.High < 1e10) || !(next > 0 && next < 1e9) {
					t.Errorf("%s %+v: alive %v, expected %v, value %+v, next %v", m.Kind, h, alive, e, v, next)
				}
				// A heavy buyer who just bought goes on at about the old pace, while alive.
				if x >= 132 && last == 39 && m.Alpha < 100 && (alive < .9 || e < .3*float64(x) || e > 1.2*float64(x)) {
					t.Errorf("%s, %d purchases: alive %v, expected %v", m.Kind, x, alive, e)
				}
			}
		}
	}
}

func TestSpendIsDrawnTowardTheMeanOfAllTheMoreTheLessIsKnown(t *testing.T) {
	t.Parallel()
	s := &btyd.Spend{P: 6.25, Q: 3.74, V: 15.44}
	stranger := s.Expected(0, 0)
	near(t, "a stranger", stranger, 35.2, .1)
	one, ten := s.Expected(1, 100), s.Expected(10, 100)
	if !(stranger < one && one < ten && ten < 100) {
		t.Errorf("%v %v %v", stranger, one, ten)
	}
	m := cdnowModels[0]
	h := btyd.History{X: 2, Last: 30.43, Age: 38.86}
	v := m.Value(h, btyd.Worth{Horizon: 39, Spend: s, X: 2, Mean: 22.35})
	near(t, "value", v.Mean, 1.226*s.Expected(2, 22.35), .05)
	if !(v.Low < v.Mean && v.Mean < v.High && v.High < 10*v.Mean) {
		t.Errorf("%+v", v)
	}
	if w := (&btyd.Spend{P: 1, Q: .5, V: 10}).Expected(0, 0); !(w > 0 && w < 1e3) {
		t.Errorf("a model without a mean expects %v", w)
	}
}

func TestWhatCannotBeFittedIsAnError(t *testing.T) {
	t.Parallel()
	one := make([]btyd.History, 100)
	for i := range one {
		one[i].Age = float64(i)
	}
	if _, err := btyd.Fit(btyd.BGNBD, one, 1); err == nil {
		t.Error("nobody came back, and yet there is a model")
	}
	if _, err := btyd.Fit(btyd.BGNBD, []btyd.History{{X: 1, Last: 5, Age: 3}}, 1); err == nil {
		t.Error("a purchase after now is taken")
	}
	same := make([]btyd.Purchases, 50)
	for i := range same {
		same[i] = btyd.Purchases{X: 2, Mean: 9.99}
	}
	if _, err := btyd.FitSpend(same); err != btyd.ErrConstant {
		t.Errorf("constant spend: %v", err)
	}
	if _, err := btyd.FitRetention([]float64{0, 0}, 10); err == nil {
		t.Error("nobody left, and yet there is a model")
	}
}

func BenchmarkScore(b *testing.B) {
	h := btyd.History{X: 7, Last: 30, Age: 38.86}
	for _, m := range cdnowModels {
		b.Run(m.Kind.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Value(h, btyd.Worth{Horizon: 52, Each: 10})
			}
		})
	}
}

func TestTheChoiceSeesNothingOfWhatCameAfter(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	const end = 280
	var whole, known [][]btyd.DayOrders
	for range 300 {
		var days, before []btyd.DayOrders
		gap := 5 + 60*r.Float64()
		for day := 100 * r.Float64(); day < 560; day += 1 + gap*r.ExpFloat64() {
			d := btyd.DayOrders{Day: int32(day), Value: 10}
			if days = append(days, d); d.Day <= end {
				before = append(before, d)
			}
			if r.IntN(12) == 0 {
				break
			}
		}
		whole, known = append(whole, days), append(known, before)
	}
	a, chosen := btyd.FitAll(whole, end, 7, nil)
	b, same := btyd.FitAll(known, end, 7, nil)
	if chosen < 0 || chosen != same || a[chosen].Score != b[same].Score || !(a[chosen].Score < 0) {
		t.Errorf("chosen %d by %v, %d by %v", chosen, a[chosen].Score, same, b[same].Score)
	}
	for i, m := range a {
		if m.Err == nil && m.Score > a[chosen].Score {
			t.Errorf("model %d has the score %v, the chosen one %v", i, m.Score, a[chosen].Score)
		}
	}
}
