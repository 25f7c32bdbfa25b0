// Package glm fits generalised linear models with a quadratic penalty over
// sparse features: logistic regression for outcomes in [0,1], least squares for
// any other.
//
// A fit is deterministic and always finite: the penalty makes the optimum
// unique, also where features are collinear or separate the outcomes.
// Source: McCullagh and Nelder, Generalized Linear Models (1989); the optimiser
// is L-BFGS (Liu and Nocedal 1989).
package glm

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/optimize"
)

// Family is the distribution of the outcome.
type Family uint8

// The families.
const (
	Gaussian Family = iota // mean = linear predictor
	Binomial               // mean = logistic of the linear predictor; outcomes in [0,1]
)

// FamilyOf returns Binomial if every outcome lies in [0,1], else Gaussian.
func FamilyOf(outcomes []float64) Family {
	for _, y := range outcomes {
		if !(y >= 0 && y <= 1) {
			return Gaussian
		}
	}
	return Binomial
}

// Feature is one entry of a sparse row.
type Feature struct {
	Index int32 // from 0, below Columns of the matrix
	Value float64
}

// Matrix is a sparse design: one row per observation.
type Matrix struct {
	Columns  int
	starts   []int
	features []Feature
}

// Append adds a row. Its features are copied.
func (m *Matrix) Append(row ...Feature) {
	if len(m.starts) == 0 {
		m.starts = append(m.starts, 0)
	}
	m.features = append(m.features, row...)
	m.starts = append(m.starts, len(m.features))
	for _, f := range row {
		m.Columns = max(m.Columns, int(f.Index)+1)
	}
}

// Len returns the number of rows.
func (m *Matrix) Len() int { return max(0, len(m.starts)-1) }

// Row returns the i-th row. It must not be changed.
func (m *Matrix) Row(i int) []Feature { return m.features[m.starts[i]:m.starts[i+1]] }

// Model is a fitted model.
type Model struct {
	Family    Family
	Intercept float64
	Weights   []float64 // by column
}

// Predict returns the mean of the outcome for a row. Columns the fit did not
// know weigh nothing.
func (m *Model) Predict(row []Feature) float64 {
	eta := m.Intercept
	for _, f := range row {
		if int(f.Index) < len(m.Weights) {
			eta += m.Weights[f.Index] * f.Value
		}
	}
	return m.Family.mean(eta)
}

func (f Family) mean(eta float64) float64 {
	if f == Binomial {
		return 1 / (1 + math.Exp(-eta))
	}
	return eta
}

// Options shape a fit.
type Options struct {
	Family Family
	// Penalty is the precision of the normal prior on every weight; the
	// intercept is free. 0 means 1.
	Penalty float64
	// Penalties, if given, are the precisions by column instead.
	Penalties []float64
	// Weights, if given, weigh the observations.
	Weights []float64
	// Iterations bound the optimiser. 0 means 100.
	Iterations int
}

// Fit fits the rows (all if nil) of x to the outcomes y.
func Fit(x *Matrix, y []float64, rows []int, o Options) *Model {
	if rows == nil {
		rows = make([]int, x.Len())
		for i := range rows {
			rows[i] = i
		}
	}
	if o.Penalty == 0 {
		o.Penalty = 1
	}
	if o.Iterations == 0 {
		o.Iterations = 100
	}
	m := &Model{Family: o.Family, Weights: make([]float64, x.Columns)}
	var total, sum float64
	for _, i := range rows {
		w := o.weight(i)
		total, sum = total+w, sum+w*y[i]
	}
	if total == 0 {
		return m
	}
	mean := sum / total
	m.Intercept = mean
	if o.Family == Binomial {
		mean = (sum + 0.5) / (total + 1)
		m.Intercept = math.Log(mean / (1 - mean))
	}
	if x.Columns == 0 {
		return m
	}
	start := make([]float64, x.Columns+1)
	start[x.Columns] = m.Intercept
	l := loss{x: x, y: y, rows: rows, o: o, scale: 1 / total, at: make([]float64, x.Columns+1), gradient: make([]float64, x.Columns+1)}
	l.at[0] = math.NaN()
	found, err := optimize.Minimize(optimize.Problem{Func: l.value, Grad: l.slope}, start, &optimize.Settings{
		MajorIterations: o.Iterations, GradientThreshold: 1e-7,
		Converger: &optimize.FunctionConverge{Relative: 1e-9, Iterations: 5},
	}, &optimize.LBFGS{Store: 10})
	if found == nil || (err != nil && !errors.Is(err, optimize.ErrLinesearcherFailure) && found.X == nil) {
		return m
	}
	copy(m.Weights, found.X)
	m.Intercept = found.X[x.Columns]
	return m
}

func (o *Options) weight(i int) float64 {
	if o.Weights == nil {
		return 1
	}
	return o.Weights[i]
}

func (o *Options) precision(column int) float64 {
	if o.Penalties != nil {
		return o.Penalties[column]
	}
	return o.Penalty
}

// loss is the penalised mean negative log-likelihood. Value and gradient are
// computed together and kept, because the optimiser asks for both at a point.
type loss struct {
	x            *Matrix
	y            []float64
	rows         []int
	o            Options
	scale        float64
	at, gradient []float64
	found        float64
}

func (l *loss) value(b []float64) float64 { l.evaluate(b); return l.found }

func (l *loss) slope(grad, b []float64) { l.evaluate(b); copy(grad, l.gradient) }

func (l *loss) evaluate(b []float64) {
	same := true
	for i := range b {
		if b[i] != l.at[i] {
			same = false
			break
		}
	}
	if same {
		return
	}
	copy(l.at, b)
	clear(l.gradient)
	n := l.x.Columns
	var sum float64
	for _, i := range l.rows {
		row := l.x.Row(i)
		eta := b[n]
		for _, f := range row {
			eta += b[f.Index] * f.Value
		}
		w := l.o.weight(i)
		residual := l.o.Family.mean(eta) - l.y[i]
		if l.o.Family == Binomial {
			// log(1+e^eta) - y*eta without overflow
			sum += w * (math.Max(eta, 0) + math.Log1p(math.Exp(-math.Abs(eta))) - l.y[i]*eta)
		} else {
			sum += w * residual * residual / 2
		}
		residual *= w
		for _, f := range row {
			l.gradient[f.Index] += residual * f.Value
		}
		l.gradient[n] += residual
	}
	for j := range n {
		p := l.o.precision(j)
		sum += p * b[j] * b[j] / 2
		l.gradient[j] += p * b[j]
	}
	for j := range l.gradient {
		l.gradient[j] *= l.scale
	}
	l.found = sum * l.scale
}
