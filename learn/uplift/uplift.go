// Package uplift ranks people by what a treatment changes for them, and judges
// such a ranking on a randomised experiment.
//
// Every learner is linear in sparse features with a quadratic penalty, so it
// needs no tuning, is deterministic and stays finite. A ranking is judged only
// on people its learner did not see. Nothing here can be used on data that was
// not randomised.
//
// Sources: S-, T- and X-learner, Künzel, Sekhon, Bickel and Yu 2019; DR-learner,
// Kennedy 2020; Qini curve, Radcliffe 2007.
package uplift

import "github.com/rapport-engine/rapport/learn/glm"

// Data is a randomised experiment.
type Data struct {
	X        *glm.Matrix
	Treated  []bool
	Outcomes []float64
	// Groups, if given, are the features (of X) that say one thing in several
	// ways: the levels of a category, the bins of a measure. X- and DR-learner
	// then let the effect depend only on groups that pass [Screen].
	Groups [][]int32
}

// Learner fits on some rows and returns the score of any row: the higher, the
// more the treatment is said to change.
type Learner struct {
	Name string
	Fit  func(d Data, rows []int) func(row []glm.Feature) float64
}

// Learners lists the learners, the response model first: it ranks by the
// outcome under treatment, and is what an uplift model has to beat.
func Learners() []Learner {
	return []Learner{
		{Name: "response", Fit: fitResponse},
		{Name: "s", Fit: fitS},
		{Name: "t", Fit: fitT},
		{Name: "x", Fit: fitX},
		{Name: "dr", Fit: fitDR},
	}
}

const (
	mainPenalty        = 1   // of what everybody shares
	interactionPenalty = 10  // of what only the treated share
	effectPenalty      = 100 // of a regression on estimated effects
)

func fitResponse(d Data, rows []int) func([]glm.Feature) float64 {
	treated, _ := d.arms(rows)
	return d.outcome(treated).Predict
}

// fitS fits one model in which the treatment meets every feature.
func fitS(d Data, rows []int) func([]glm.Feature) float64 {
	n := int32(d.X.Columns)
	wide := glm.Matrix{}
	var row []glm.Feature
	lay := func(features []glm.Feature, treated float64) []glm.Feature {
		row = append(row[:0], features...)
		row = append(row, glm.Feature{Index: n, Value: treated})
		for _, f := range features {
			row = append(row, glm.Feature{Index: n + 1 + f.Index, Value: f.Value * treated})
		}
		return row
	}
	outcomes := make([]float64, len(rows))
	for k, i := range rows {
		wide.Append(lay(d.X.Row(i), sign(d.Treated[i]))...)
		outcomes[k] = d.Outcomes[i]
	}
	wide.Columns = 2*int(n) + 1
	penalties := make([]float64, wide.Columns)
	for j := range penalties {
		switch {
		case j < int(n):
			penalties[j] = mainPenalty
		case j == int(n):
			penalties[j] = 1e-6
		default:
			penalties[j] = interactionPenalty
		}
	}
	m := glm.Fit(&wide, outcomes, nil, glm.Options{Family: glm.FamilyOf(d.Outcomes), Penalties: penalties})
	return func(features []glm.Feature) float64 {
		with := m.Predict(lay(features, 0.5))
		return with - m.Predict(lay(features, -0.5))
	}
}

// sign codes the arms symmetrically, so that shrinking the interactions draws
// both arms to what they share.
func sign(treated bool) float64 {
	if treated {
		return 0.5
	}
	return -0.5
}

// fitT fits a model to each arm.
func fitT(d Data, rows []int) func([]glm.Feature) float64 {
	treated, control := d.arms(rows)
	with, without := d.outcome(treated), d.outcome(control)
	return func(row []glm.Feature) float64 { return with.Predict(row) - without.Predict(row) }
}

// fitX regresses the effects that each arm imputes to the other's model.
func fitX(d Data, rows []int) func([]glm.Feature) float64 {
	treated, control := d.arms(rows)
	with, without := d.outcome(treated), d.outcome(control)
	effects := make([]float64, len(d.Outcomes))
	for _, i := range treated {
		effects[i] = d.Outcomes[i] - without.Predict(d.X.Row(i))
	}
	for _, i := range control {
		effects[i] = with.Predict(d.X.Row(i)) - d.Outcomes[i]
	}
	o := glm.Options{Family: glm.Gaussian, Penalties: d.effectPenalties(rows)}
	ofTreated, ofControl := glm.Fit(d.X, effects, treated, o), glm.Fit(d.X, effects, control, o)
	share := float64(len(treated)) / float64(len(rows))
	return func(row []glm.Feature) float64 {
		return share*ofControl.Predict(row) + (1-share)*ofTreated.Predict(row)
	}
}

// fitDR regresses doubly robust effects.
func fitDR(d Data, rows []int) func([]glm.Feature) float64 {
	m := glm.Fit(d.X, d.effects(rows), rows, glm.Options{Family: glm.Gaussian, Penalties: d.effectPenalties(rows)})
	return m.Predict
}

// effects returns an unbiased estimate of each row's effect: doubly robust, from
// models that did not see the row.
func (d Data) effects(rows []int) []float64 {
	treated, _ := d.arms(rows)
	share := float64(len(treated)) / float64(len(rows))
	effects := make([]float64, len(d.Outcomes))
	var halves [2][]int
	for k, i := range rows {
		halves[k%2] = append(halves[k%2], i)
	}
	for h, mine := range halves {
		t, c := d.arms(halves[1-h])
		with, without := d.outcome(t), d.outcome(c)
		for _, i := range mine {
			one, zero := with.Predict(d.X.Row(i)), without.Predict(d.X.Row(i))
			if d.Treated[i] {
				effects[i] = one - zero + (d.Outcomes[i]-one)/share
			} else {
				effects[i] = one - zero - (d.Outcomes[i]-zero)/(1-share)
			}
		}
	}
	return effects
}

// effectPenalties let the effect depend on what passed the screen.
func (d Data) effectPenalties(rows []int) []float64 {
	penalties := make([]float64, d.X.Columns)
	for j := range penalties {
		penalties[j] = effectPenalty
	}
	if d.Groups == nil {
		return penalties
	}
	keep := Screen(d, rows)
	for g, features := range d.Groups {
		if !keep[g].Passed {
			for _, j := range features {
				penalties[j] = 1e12
			}
		}
	}
	return penalties
}

func (d Data) arms(rows []int) (treated, control []int) {
	for _, i := range rows {
		if d.Treated[i] {
			treated = append(treated, i)
		} else {
			control = append(control, i)
		}
	}
	return treated, control
}

func (d Data) outcome(rows []int) *glm.Model {
	return glm.Fit(d.X, d.Outcomes, rows, glm.Options{Family: glm.FamilyOf(d.Outcomes), Penalty: mainPenalty})
}
