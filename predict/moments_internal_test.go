package predict

import "testing"

// A session that begins with a step that has no name (an identify call) has no
// moment to learn from before one that has.
func TestASessionThatBeginsWithANamelessStepIsLearnedFrom(t *testing.T) {
	t.Parallel()
	const hour = int64(3_600_000)
	at := func(h int64, name uint32, bought bool) personStep {
		return personStep{step: step{at: 1_000*hour + h*hour, name: name, bought: bought}}
	}
	m := &Moments{}
	// The first visit is followed by one that begins without a name; the third has nothing else.
	m.live([]personStep{at(0, 7, false), at(24, 0, false), at(24, 8, true), at(48, 0, false)}, 1_000*hour+100*hour)
	if len(m.sessions) != 1 || m.sessions[0].bought {
		t.Errorf("learned from %+v", m.sessions)
	}
}
