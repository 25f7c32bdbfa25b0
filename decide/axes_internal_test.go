package decide

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/bandit"
)

// unsure is the greatest variance of a belief in any direction, as a share of its prior's.
func unsure(t *testing.T, s *bandit.Slopes, p bandit.Prior) float64 {
	t.Helper()
	at := bandit.NewWeights(0, p)
	at.Grow(p)
	c := mat.NewSymDense(bandit.Width, nil)
	for i := range bandit.Width {
		for j := range i + 1 {
			unit := math.Sqrt(float64(at.Slopes.Variance[i] * at.Slopes.Variance[j]))
			c.SetSym(i, j, float64(s.Covariance[i*(i+1)/2+j])/unit)
		}
	}
	var e mat.EigenSym
	if !e.Factorize(c, false) {
		t.Fatal("covariance is not finite")
	}
	return e.Values(nil)[bandit.Width-1]
}

// Axes turn, it is learned anew along which of them actions differ, and an alarm puts
// that in doubt: through all of it every belief rests on the prior that is now held.
func TestEveryBeliefRestsOnThePriorThatIsNowHeld(t *testing.T) {
	t.Parallel()
	s, alarms := &school{model: NewModel()}, 0
	r := rand.New(rand.NewPCG(3, 21))
	placements := []string{"home", "cart"}
	for n := range 9000 {
		hidden := r.IntN(4)
		f := rapport.FieldsOf(map[string]any{"taste": fmt.Sprint(hidden), "city": fmt.Sprint(r.IntN(12)), "age": 20 + 10*hidden + r.IntN(30)})
		i := r.IntN(5)
		x := Example{ID: "d", Placement: placements[n%2], Action: fmt.Sprint("offer-", i), Kind: "offer", Features: f}
		s.teach(&x)
		chance := 0.08
		if hidden == i%4 {
			chance = 0.5
		}
		if n > 6000 && n%2 == 0 {
			chance = 0 // tastes have changed
		}
		if r.Float64() < chance {
			x.Goal, x.First = clicked, true
			s.teach(&x)
		}
	}
	for len(s.records) > 0 {
		n := min(200, len(s.records))
		was := s.model.Knowledge().relief
		if err := s.model.Fold(s.records[:n]); err != nil {
			t.Fatal(err)
		}
		s.records = s.records[n:]
		k := s.model.Knowledge()
		if k.relief != nil && *k.relief == *bandit.Flat() && was != nil && *was != *k.relief {
			alarms++
		}
		for key, a := range k.arms {
			for i := range a.beliefs {
				b := &a.beliefs[i]
				if b.weights.Slopes == nil {
					continue
				}
				if u := unsure(t, b.weights.Slopes, key.prior(b.outcome, k.relief)); u > 1+1e-4 {
					t.Fatalf("after %d examples the belief about %q of %q has %v times the variance of its prior", k.examples, b.outcome, key.action, u)
				}
			}
		}
		for key, b := range k.shared {
			if u := unsure(t, b.weights.Slopes, key.prior(k.relief)); u > 1+1e-4 {
				t.Fatalf("after %d examples the belief that %+v share has %v times the variance of its prior", k.examples, key, u)
			}
		}
	}
	if alarms == 0 {
		t.Error("there was no alarm")
	}
}
