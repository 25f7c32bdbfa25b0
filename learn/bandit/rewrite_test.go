package bandit_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/rapport-engine/rapport/learn/bandit"
)

// variances are those of a prior, weight by weight.
func variances(p bandit.Prior) (v [bandit.Width]float64) {
	for i := range v {
		switch {
		case i == 0:
			v[i] = float64(p.Constant)
		case i <= bandit.Own && p.Own > 0:
			v[i] = float64(p.Own)
		case i > bandit.Own && p.Relief != nil:
			v[i] = float64(p.Slope * p.Relief[i-1-bandit.Own])
		default:
			v[i] = float64(p.Slope)
		}
	}
	return v
}

// covariance is that of slopes, whole.
func covariance(s *bandit.Slopes) *mat.SymDense {
	m := mat.NewSymDense(bandit.Width, nil)
	for i := range bandit.Width {
		for j := range i + 1 {
			m.SetSym(i, j, float64(s.Covariance[i*(i+1)/2+j]))
		}
	}
	return m
}

// span returns the least and the greatest variance of a belief in any direction,
// as a share of its prior's.
func span(t *testing.T, s *bandit.Slopes, p bandit.Prior) (least, most float64) {
	t.Helper()
	m, v := covariance(s), variances(p)
	for i := range bandit.Width {
		for j := range i + 1 {
			m.SetSym(i, j, m.At(i, j)/math.Sqrt(v[i]*v[j]))
		}
	}
	var e mat.EigenSym
	if !e.Factorize(m, false) {
		t.Fatal("covariance is not finite")
	}
	values := e.Values(nil)
	return values[0], values[len(values)-1]
}

// relief draws one.
func relief(r *rand.Rand) *bandit.Relief {
	out := new(bandit.Relief)
	for i := range out {
		out[i] = float32(math.Exp(math.Log(0.02) + r.Float64()*math.Log(10/0.02)))
	}
	return out
}

// basis draws axes over the first slots, seen from an origin.
func basis(r *rand.Rand, slots, axes int, origin []float64) *bandit.Basis {
	m := mat.NewDense(slots, slots, nil)
	for i := range slots {
		for j := range slots {
			m.Set(i, j, r.NormFloat64())
		}
	}
	var qr mat.QR
	qr.Factorize(m)
	var q mat.Dense
	qr.QTo(&q)
	b := new(bandit.Basis)
	for a := range axes {
		offset := 0.0
		for i := range slots {
			b.Rows[i][a] = float32(q.At(i, a))
			offset += q.At(i, a) * origin[i]
		}
		b.Offset[a] = float32(offset)
	}
	return b
}

// Whatever happens to a belief, in no direction does it become less sure than its
// prior, nor surer than sure, and its weights stay finite: examples and corrections,
// axes that turn, relief that changes, time, alarms.
func TestABeliefIsAtLeastAsSureAsItsPriorWhateverHappens(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 17))
			slots := []int{12, 40, 48, 70, 120, 200}[seed]
			var s bandit.Scatter
			var b *bandit.Basis
			p := bandit.Prior{Constant: 0.5, Own: 0.3, Slope: 1}
			w := bandit.NewWeights(-2, p)
			w.Grow(p)
			for step := range 150 {
				did := "examples"
				switch r.IntN(10) {
				case 0:
					did = "turned"
					if s.Weight < 10 {
						continue
					}
					next := s.Basis()
					turn, from := b.To(next), p
					p.Relief = turn.Relief(p.Relief)
					w.Turn(turn, from, p)
					b = next
					s.Scale(0.5)
				case 1, 2:
					did = "relief"
					from := p
					p.Relief = relief(r)
					w.Relearn(from, p)
				case 3:
					did = "faded"
					w.Fade(r.Float64(), p)
				case 4:
					if r.IntN(5) == 0 {
						did = "forgot"
						w.Forget(p)
					}
				default:
					for range r.IntN(60) {
						x := crowd(r, slots)
						s.Add(x)
						var z bandit.Vector
						b.Project(x, &z)
						for i := 1; i <= bandit.Own; i++ {
							z[i] = float32(r.Float64())
						}
						sum := []bandit.Part{{Weights: &w, Prior: p}}
						bandit.Observe(sum, &z, 0)
						if r.Float64() < bandit.Sigmoid(-2+float64(x[3].Value)) {
							bandit.Correct(sum, &z)
						}
					}
				}
				if least, most := span(t, w.Slopes, p); least < -1e-4 || most > 1+1e-4 {
					t.Fatalf("step %d, %s: variances are %v to %v of the prior's", step, did, least, most)
				}
				for i, m := range w.Slopes.Mean {
					if !(m >= -30 && m <= 30) {
						t.Fatalf("step %d, %s: weight %d is %v", step, did, i, m)
					}
				}
			}
		})
	}
}

// lesson is an outcome of linear regression.
type lesson struct {
	x    []bandit.Feature
	own  float32
	y, h float64
}

// taught returns the exact belief of linear regression.
func taught(b *bandit.Basis, p bandit.Prior, lessons []lesson) bandit.Weights {
	precision, pull := mat.NewSymDense(bandit.Width, nil), mat.NewVecDense(bandit.Width, nil)
	for i, v := range variances(p) {
		precision.SetSym(i, i, 1/v)
	}
	for _, l := range lessons {
		z := l.at(b)
		precision.SymRankOne(precision, l.h, z)
		pull.AddScaledVec(pull, l.h*l.y, z)
	}
	var c mat.Cholesky
	c.Factorize(precision)
	var cov mat.SymDense
	var mean mat.VecDense
	_, _ = c.InverseTo(&cov), c.SolveVecTo(&mean, pull)
	w := bandit.NewWeights(0, p)
	w.Grow(p)
	for i := range bandit.Width {
		w.Slopes.Mean[i] = float32(mean.AtVec(i))
		for j := range i + 1 {
			w.Slopes.Covariance[i*(i+1)/2+j] = float32(cov.At(i, j))
		}
	}
	w.Slopes.Restore()
	return w
}

func (l *lesson) at(b *bandit.Basis) *mat.VecDense {
	var z bandit.Vector
	b.Project(l.x, &z)
	z[1] = l.own
	v := mat.NewVecDense(bandit.Width, nil)
	for i, f := range z {
		v.SetVec(i, float64(f))
	}
	return v
}

// lessons draws some, of which few tell much.
func lessons(r *rand.Rand, slots, n int) (all []lesson) {
	for range n {
		l := lesson{own: float32(r.NormFloat64()), y: r.NormFloat64(), h: 0.05 + 0.2*r.Float64()}
		for i := range slots {
			l.x = append(l.x, bandit.Feature{Slot: uint16(i), Value: float32(r.NormFloat64() * (0.2 + float64(i)/float64(slots)))})
			l.y += float64(l.x[i].Value) * float64(i%3-1)
		}
		all = append(all, l)
	}
	return all
}

func predict(w *bandit.Weights, z *mat.VecDense) (mean, variance float64) {
	for i, m := range w.Slopes.Mean {
		mean += float64(m) * z.AtVec(i)
	}
	return mean, mat.Inner(z, covariance(w.Slopes), z)
}

func origin(r *rand.Rand, slots int) (at []float64) {
	for range slots {
		at = append(at, r.NormFloat64()/3)
	}
	return at
}

// Where all slopes are equally unsure at first, nothing that is said changes when the axes turn.
func TestATurnChangesNothingThatIsSaid(t *testing.T) {
	t.Parallel()
	for seed, slots := range []int{5, 30, bandit.Axes} {
		r := rand.New(rand.NewPCG(uint64(seed), 18))
		at := origin(r, slots)
		was, is := basis(r, slots, slots, at), basis(r, slots, slots, at)
		p := bandit.Prior{Constant: 0.5, Own: 0.3, Slope: 1}
		for _, n := range []int{0, 3, 40, 2000} {
			w := taught(was, p, lessons(r, slots, n))
			turned := w.Clone()
			turned.Turn(was.To(is), p, p)
			for _, l := range lessons(r, slots, 20) {
				m, v := predict(&w, l.at(was))
				if tm, tv := predict(&turned, l.at(is)); math.Abs(tm-m) > 1e-3 || math.Abs(tv-v) > 1e-3*(v+0.01) {
					t.Errorf("%d slots, %d lessons: %.5f±%.5f became %.5f±%.5f", slots, n, m, v, tm, tv)
				}
			}
		}
	}
}

// A belief in other axes, from another origin, with another relief is the one that
// the same lessons would have left there, even where fewer axes remain.
func TestATurnedBeliefIsTheOneLearnedThere(t *testing.T) {
	t.Parallel()
	for seed, axes := range [][3]int{{5, 5, 5}, {30, 30, 30}, {40, 40, 25}, {bandit.Axes, bandit.Axes, bandit.Axes}} {
		r := rand.New(rand.NewPCG(uint64(seed), 19))
		slots := axes[0]
		was, is := basis(r, slots, axes[1], origin(r, slots)), basis(r, slots, axes[2], origin(r, slots))
		from := bandit.Prior{Constant: 0.5, Own: 0.3, Slope: 1, Relief: relief(r)}
		to := from
		to.Relief = relief(r)
		for _, n := range []int{0, 60, 2000} {
			all := lessons(r, slots, n)
			w, want := taught(was, from, all), taught(is, to, all)
			w.Turn(was.To(is), from, to)
			for _, l := range lessons(r, slots, 20) {
				m, v := predict(&want, l.at(is))
				if tm, tv := predict(&w, l.at(is)); math.Abs(tm-m) > 0.01*(1+math.Abs(m)) || math.Abs(tv-v) > 0.01*(v+0.01) {
					t.Errorf("%v slots and axes, %d lessons: %.5f±%.5f, learned there %.5f±%.5f", axes, n, tm, tv, m, v)
				}
			}
		}
	}
}

// What is left when all evidence was forgotten is a hint, which no wider prior makes more of.
func TestAWiderPriorMakesNothingOfWhatWasForgotten(t *testing.T) {
	t.Parallel()
	narrow := bandit.Prior{Constant: 1, Slope: 1, Relief: bandit.Flat()}
	wide := narrow
	wide.Relief = bandit.Flat()
	narrow.Relief[3], wide.Relief[3] = 0.02, 10
	w := bandit.NewWeights(-2, narrow)
	w.Grow(narrow)
	w.Slopes.Mean[1+bandit.Own+3] = 2
	w.Forget(narrow)
	w.Relearn(narrow, wide)
	if m := w.Slopes.Mean[1+bandit.Own+3]; math.Abs(float64(m)-1) > 1e-3 {
		t.Errorf("the weight became %v", m)
	}
}

// BenchmarkTurn tells what a belief costs each time the axes are found anew.
func BenchmarkTurn(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 20))
	at := origin(r, bandit.Axes)
	was, is := basis(r, bandit.Axes, bandit.Axes, at), basis(r, bandit.Axes, bandit.Axes, at)
	p := bandit.Prior{Constant: 0.5, Slope: 1}
	w, turn := taught(was, p, lessons(r, bandit.Axes, 500)), was.To(is)
	b.ReportAllocs()
	for b.Loop() {
		c := w.Clone()
		c.Turn(turn, p, p)
	}
}
