package decide

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/learn"
)

// school feeds a model with examples, as records of the rewards topic.
type school struct {
	model   *Model
	records []eventlog.Record
}

func (s *school) teach(x *Example) {
	b := binary.AppendUvarint(nil, 0)
	b = binary.AppendUvarint(b, uint64(len(s.records)))
	b = binary.AppendUvarint(b, 0)
	s.records = append(s.records, eventlog.Record{Offset: int64(len(s.records)), Time: int64(len(s.records)), Data: appendExample(b, x)})
}

// give teaches that an action was given, and clicked if so.
func (s *school) give(a *Action, f rapport.Fields, click bool) {
	x := Example{ID: "d", Placement: "home", Action: a.ID, Kind: string(a.Type), Features: f, Match: matching(likesOf(f), a.about), Goals: []string{rapport.EventDecisionClicked}}
	s.teach(&x)
	if click {
		x.Goal, x.First = clicked, true
		s.teach(&x)
	}
}

// liking returns the features of somebody who dealt with things of a name.
func liking(name string) rapport.Fields {
	s := &interest{at: 1}
	for _, key := range keysOf([]string{name})[:1] {
		s.add(key, 2)
	}
	return s.feature(nil)
}

func about(id, name string) *Action {
	return &Action{
		ID: id, Type: rapport.ActionRecommendation, Weight: 1, about: keysOf([]string{name}),
		Goals: []Goal{{Event: rapport.EventDecisionClicked, Value: Amount{Fixed: 1}, Margin: 1, Feedback: true}},
	}
}

func TestAnActionNobodyEverSawAppealsToThoseWhoDealtWithWhatItIsAbout(t *testing.T) {
	t.Parallel()
	known := []*Action{about("pods", "pods"), about("milk", "milk"), about("gifts", "gifts")}
	people := []rapport.Fields{liking("pods"), liking("milk"), liking("gifts")}
	s := &school{model: NewModel()}
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		a, p := r.IntN(3), r.IntN(3)
		rate := 0.02
		if a == p {
			rate = 0.2
		}
		s.give(known[a], people[p], r.Float64() < rate)
	}
	if err := s.model.Fold(s.records); err != nil {
		t.Fatal(err)
	}
	unseen := about("machines", "machines")
	worth := func(f rapport.Fields) float64 {
		var out [1]learn.Estimate
		s.model.Knowledge().Score(&Query{Placement: "home", Features: f}, []*Action{unseen}, []Sight{{}}, out[:])
		return out[0].Mean
	}
	to, others := worth(liking("machines")), worth(liking("beans"))
	t.Logf("expected of somebody who dealt with machines %.3f, of somebody who did not %.3f", to, others)
	if to < 2*others {
		t.Errorf("interest in what the action is about makes it worth %.3f instead of %.3f", to, others)
	}
	sum := 0.0
	found := false
	for _, term := range s.model.Knowledge().Terms(&Query{Placement: "home", Features: liking("machines")}, unseen, Sight{}, nil) {
		sum += term.Value
		found = found || term.Name == "interest in what it is about"
	}
	if d := sum - to; d > 1e-6 || d < -1e-6 || !found {
		t.Errorf("contributions add up to %.6f, not to %.6f, or do not name the interest", sum, to)
	}
}

func TestALessonTellsWhatSomebodyLikesOfAnAction(t *testing.T) {
	t.Parallel()
	want := Example{ID: "d", Placement: "home", Action: "pods", Kind: "offer", Match: match{0.5, 1}, About: keysOf([]string{"pods"}), Sight: Sight{1, 2, 0.5}, Goals: []string{"x"}}
	l, err := DecodeLesson(appendExample(nil, &want))
	if err != nil || l.Example == nil || l.Example.Match != want.Match || l.Example.Sight != want.Sight || !slices.Equal(l.Example.About, want.About) || l.Example.Kind != "offer" {
		t.Errorf("%+v was read as %+v, %v", want, l.Example, err)
	}
	want.Match = match{}
	if l, err = DecodeLesson(appendExample(nil, &want)); err != nil || l.Example.Match != (match{}) {
		t.Errorf("without interest: %+v, %v", l.Example, err)
	}
}
