package learn

import "math"

// Paired sums up an outcome of people together with a covariate known of each
// from before, so that what they differed in before is taken out of a comparison.
type Paired struct {
	Moments           // of the outcome
	X, XX, XY float64 // sums of the covariate, its square, and its product with the outcome
}

// Enter counts one person with a covariate and no outcome yet.
func (p *Paired) Enter(x float64) { p.Add(0); p.X += x; p.XX += x * x }

// Change turns the outcome of a person with covariate x from before into after.
func (p *Paired) Change(x, before, after float64) {
	p.Replace(before, after)
	p.XY += x * (after - before)
}

// CUPED returns the difference of mean outcomes, treated less held, with what
// the covariate explains taken out (Deng, Xu, Kohavi and Walker, Improving the
// Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment
// Data, 2013), its standard error, and by which share the variance fell. ok is
// false while a side has fewer than two people.
func CUPED(treated, held Paired) (difference, se, saved float64, ok bool) {
	if treated.N < 2 || held.N < 2 {
		return 0, 0, 0, false
	}
	within := func(p Paired) (xx, xy, yy float64) {
		return p.XX - p.X*p.X/p.N, p.XY - p.X*p.Sum/p.N, max(0, p.Squares-p.Sum*p.Sum/p.N)
	}
	tx, txy, tyy := within(treated)
	hx, hxy, hyy := within(held)
	theta := 0.0
	if xx := tx + hx; xx > 1e-12 {
		theta = (txy + hxy) / xx
	}
	rest := func(xx, xy, yy, n float64) float64 {
		return max(0, yy-2*theta*xy+theta*theta*xx) / (n - 1) / n
	}
	plain := tyy/(treated.N-1)/treated.N + hyy/(held.N-1)/held.N
	adjusted := rest(tx, txy, tyy, treated.N) + rest(hx, hxy, hyy, held.N)
	difference = treated.Mean() - held.Mean() - theta*(treated.X/treated.N-held.X/held.N)
	if plain > 0 {
		saved = 1 - adjusted/plain
	}
	return difference, math.Sqrt(adjusted), saved, true
}

// AlwaysValid widens a standard error of n observations into the half-width of
// a confidence sequence: an interval that holds at all times at once with the
// level, so that one may look every day and stop at will (Waudby-Smith, Arbour,
// Sinha, Kennedy and Ramdas, Time-uniform central limit theory and asymptotic
// confidence sequences, 2021, theorem 2.2; it is tightest around tightest
// observations).
func AlwaysValid(se, n, level, tightest float64) float64 {
	if !(n > 0) {
		return math.Inf(1)
	}
	alpha := 1 - level
	l := -2 * math.Log(alpha)
	rho2 := (l + math.Log(l) + 1) / max(tightest, 1)
	t := n * rho2
	return se * math.Sqrt((t+1)/t*(math.Log(t+1)+l))
}
