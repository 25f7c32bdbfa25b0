package linkage_test

import (
	"testing"

	"github.com/rapport-engine/rapport/learn/linkage"
)

func TestDecisionsMoveWhatTheyAreAboutAndNothingElse(t *testing.T) {
	t.Parallel()
	records, truth := synthetic(41, 700, 300, 1000)
	s := linkage.Person()
	m, err := linkage.Train(s, records, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Twins: one surname, address and birth date, another given name.
	pair := func(i int) (a, b linkage.Record) {
		v := records[i].Values(len(s))
		v[2], v[3], v[0] = "", "", "Annemarie"
		a = s.Record(v)
		v[0] = "Annelise"
		return a, s.Record(v)
	}
	var refused []linkage.Example
	for i := range 40 {
		a, b := pair(i)
		refused = append(refused, linkage.Example{A: a, B: b})
	}
	a, b := pair(100)
	before, _ := linkage.Score(m, a, b)
	one, _ := linkage.Score(m.Teach(refused[:1]), a, b)
	taught := m.Teach(refused)
	after, _ := linkage.Score(taught, a, b)
	if !(after < one && one < before) || before-one > 8 || before-after < 12 {
		t.Errorf("twins score %.1f bits, after one decision %.1f, after 40 %.1f", before, one, after)
	}
	if taught.Check() != nil || taught.Taught != 40 || m.Taught != 0 {
		t.Error("the taught model is no model", taught.Check())
	}
	was, is := judge(stream(m, records, linkage.Options{}), truth), judge(stream(taught, records, linkage.Options{}), truth)
	if is.f1 < was.f1-0.01 {
		t.Errorf("others are found at F1 %.4f, before %.4f", is.f1, was.f1)
	}
	if again, _ := linkage.Score(m.Teach(refused), a, b); again != after {
		t.Error("the same decisions teach another model")
	}
}
