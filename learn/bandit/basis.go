package bandit

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Slots is into how many slots features are hashed.
const Slots = 256

// Axes is how many principal axes of the features are told apart.
const Axes = 48

// Feature is one input before it is seen along axes: a slot below [Slots] and
// its value, usually 1.
type Feature struct {
	Slot  uint16
	Value float32
}

// Scatter sums up what features look like, together and apart.
type Scatter struct {
	Weight float32
	Sum    [Slots]float32
	Cross  [Slots * (Slots + 1) / 2]float32 // the lower triangle row by row
}

// Add counts the features of one example, each slot once.
func (s *Scatter) Add(x []Feature) {
	s.Weight++
	for i, a := range x {
		s.Sum[a.Slot%Slots] += a.Value
		for _, b := range x[:i+1] {
			j, k := max(a.Slot%Slots, b.Slot%Slots), min(a.Slot%Slots, b.Slot%Slots)
			s.Cross[int(j)*(int(j)+1)/2+int(k)] += a.Value * b.Value
		}
	}
}

// Scale lets all that was counted weigh f.
func (s *Scatter) Scale(f float32) {
	s.Weight *= f
	for i := range s.Sum {
		s.Sum[i] *= f
	}
	for i := range s.Cross {
		s.Cross[i] *= f
	}
}

// Basis are the principal axes of features (Pearson, On Lines and Planes of
// Closest Fit, 1901): along them features are not correlated, so that few
// weights tell what many would, and each can be learned for itself.
type Basis struct {
	Rows   [Slots][Axes]float32 // by slot: how far it points along each axis
	Offset [Axes]float32        // of the mean
}

// Basis returns the axes along which the features counted differ most.
func (s *Scatter) Basis() *Basis {
	b := new(Basis)
	n := float64(s.Weight)
	mean := make([]float64, Slots)
	var used []int
	for i := range Slots {
		mean[i] = float64(s.Sum[i]) / n
		if v := float64(s.Cross[i*(i+3)/2])/n - mean[i]*mean[i]; v > 1e-6 {
			used = append(used, i)
		}
	}
	if len(used) == 0 {
		return b
	}
	c := mat.NewSymDense(len(used), nil)
	for i, j := range used {
		for l, k := range used[:i+1] {
			c.SetSym(i, l, float64(s.Cross[j*(j+1)/2+k])/n-mean[j]*mean[k])
		}
	}
	var e mat.EigenSym
	if !e.Factorize(c, true) {
		return b // it does not converge for what is not finite
	}
	var vectors mat.Dense
	e.VectorsTo(&vectors)
	for a := range min(Axes, len(used)) { // values come smallest first
		at := len(used) - 1 - a
		offset := 0.0
		for i, slot := range used {
			v := vectors.At(i, at)
			b.Rows[slot][a] = float32(v)
			offset += v * mean[slot]
		}
		b.Offset[a] = float32(offset)
	}
	return b
}

// Project writes where the features stand along the axes to x, whose first
// input becomes 1 and the caller's own 0. Without a basis there are no axes yet.
func (b *Basis) Project(features []Feature, x *Vector) {
	*x = Vector{1}
	if b == nil {
		return
	}
	to := x[1+Own:]
	for i, v := range b.Offset {
		to[i] = -v
	}
	b.add(features, to)
}

func (b *Basis) add(features []Feature, to []float32) {
	for _, f := range features {
		for i, v := range b.Rows[f.Slot%Slots] {
			to[i] += v * f.Value
		}
	}
}

// Slope is how much log-odds rise along each axis.
type Slope [Axes]float32

// Rise adds the slopes of weights, if they have any.
func (t *Slope) Rise(w *Weights) {
	if w.Slopes == nil {
		return
	}
	for i := range t {
		t[i] += w.Slopes.Mean[1+Own+i]
	}
}

// Along returns what features add to log-odds by themselves.
func (b *Basis) Along(features []Feature, t *Slope) float64 {
	if b == nil {
		return 0
	}
	var sum float32
	for _, f := range features {
		var dot [4]float32 // at a time, since each addition waits for the one before
		row := &b.Rows[f.Slot%Slots]
		for i := 0; i < Axes; i += 4 {
			v, u := row[i:i+4:i+4], t[i:i+4:i+4]
			dot[0] += v[0] * u[0]
			dot[1] += v[1] * u[1]
			dot[2] += v[2] * u[2]
			dot[3] += v[3] * u[3]
		}
		sum += (dot[0] + dot[1] + dot[2] + dot[3]) * f.Value
	}
	return float64(sum)
}

// Turn is the way from one basis to another.
type Turn struct {
	axes  [Axes][Axes]float64 // new by old
	shift [Axes]float64       // of the origin, along the old axes
	lost  [Axes]float64       // share of a new axis that the old ones do not reach
}

// To returns the way from b, which may be nil, to the basis that follows it.
func (b *Basis) To(next *Basis) *Turn {
	t := new(Turn)
	if b == nil {
		b = new(Basis)
	}
	var mean [Slots]float64 // the new origin, as far as the new axes reach
	for s := range Slots {
		for j := range Axes {
			mean[s] += float64(next.Rows[s][j]) * float64(next.Offset[j])
			for i := range Axes {
				t.axes[i][j] += float64(next.Rows[s][i]) * float64(b.Rows[s][j])
			}
		}
	}
	for j := range Axes {
		for s := range Slots {
			t.shift[j] += float64(b.Rows[s][j]) * mean[s]
		}
		t.shift[j] -= float64(b.Offset[j])
	}
	for i := range Axes {
		t.lost[i] = 1
		for j := range Axes {
			t.lost[i] -= t.axes[i][j] * t.axes[i][j]
		}
		t.lost[i] = max(0, t.lost[i])
	}
	return t
}

// triangle is the lower half of a symmetric matrix.
type triangle [Width * (Width + 1) / 2]float64

// invert replaces a positive definite matrix by its inverse (Cholesky). Where
// it is not quite definite any more, by rounding, it is taken as if it were: what
// of a weight no others tell is at least a millionth of what there is of it.
func (m *triangle) invert() {
	var inverse [Width][Width]float64 // of the factor
	at := func(i, j int) *float64 { return &m[i*(i+1)/2+j] }
	for i := range Width {
		least := max(1e-6**at(i, i), 1e-12)
		for j := range i + 1 {
			s := *at(i, j)
			for k := range j {
				s -= *at(i, k) * *at(j, k)
			}
			if i == j {
				*at(i, i) = math.Sqrt(max(s, least))
			} else {
				*at(i, j) = s / *at(j, j)
			}
		}
	}
	for j := range Width {
		inverse[j][j] = 1 / *at(j, j)
		for i := j + 1; i < Width; i++ {
			s := 0.0
			for k := j; k < i; k++ {
				s -= *at(i, k) * inverse[k][j]
			}
			inverse[i][j] = s / *at(i, i)
		}
	}
	for i := range Width {
		for j := range i + 1 {
			s := 0.0
			for k := i; k < Width; k++ {
				s += inverse[k][i] * inverse[k][j]
			}
			*at(i, j) = s
		}
	}
}

// times returns the product with a vector.
func (m *triangle) times(x *row) (y row) {
	at := 0
	for i := range Width {
		for j := range i + 1 {
			y[i] += m[at] * x[j]
			if j < i {
				y[j] += m[at] * x[i]
			}
			at++
		}
	}
	return y
}
