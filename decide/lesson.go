package decide

import (
	"encoding/binary"

	"github.com/rapport-engine/rapport"
)

// Lesson is one record of the rewards topic: what one giving of an action has
// brought so far, or a change of what one person has brought in all. Each is
// complete by itself, so that any node folding the topic learns the same.
type Lesson struct {
	Example *Example
	Measure *Measure
	Lease   *Lease
	Send    *Send
	Order   *Order
}

// Example tells of one action given in one decision. The first, at exposure,
// is a provisional failure; each outcome that arrives corrects it.
type Example struct {
	// ID and Slot name what was given; examples of equal ID and Slot correct each other.
	ID        string
	Slot      int
	Placement string
	// Action is empty where nothing was given to somebody held out who would
	// have been given something: what comes of nothing.
	Action string
	// Kind is the action's type.
	Kind       string
	At         int64 // of exposure, Unix ms
	Propensity float64
	Features   rapport.Fields
	// Sight is what the person had made of the action before.
	Sight
	// Match is how much of the person's interest goes to the categories or brands,
	// and to the products, that the action is about.
	Match [2]float32
	// About are the keys of what the action is about.
	About []uint32
	// Goals are the events that would be a success; of the exposure and of a click.
	Goals []string
	// Goal is the event that is the outcome; empty for the exposure.
	Goal string
	// First is set for the first outcome of this goal.
	First bool
	// Via is set for an outcome that came after a click.
	Via bool
	// Before and After are what this goal has brought in all.
	Before, After float64
	// Reward is what all goals have brought.
	Reward float64
}

// Measure tells how the outcome of one person changed, for the comparison of
// those treated with the holdout.
type Measure struct {
	// Action is what the person got, or in the holdout would have got; empty for everything together.
	Action  string
	Holdout bool
	// Entered is set when the person begins to be counted; Before and After are then 0.
	Entered       bool
	Before, After float64
	// Covariate is what the person had brought before the first decision.
	Covariate float64
	// Actions tell, with the change of everything together, how the same was
	// counted for each action the person had got by then.
	Actions []Change
}

// Change is how the outcome of one person changed, counted from when they first
// got an action.
type Change struct {
	Action        string
	Held          bool // in the holdout, or in the control group of the action
	Before, After float64
}

const (
	lessonOld     = 1 // an example without kind, seen and via
	lessonCount   = 2 // a measure without covariate and sides
	lessonExample = 3
	lessonLease   = 4
	lessonMeasure = 5
	lessonSend    = 6
	lessonMatched = 7 // an example of an action that is about something liked
	lessonAbout   = 8 // an example of an action with what it is about
	lessonOrder   = 9
)

const (
	bitFirst   = 1
	bitEntered = 1
	bitHeld    = 2
	bitActions = 4
)

// appendExample appends the binary form of an example.
func appendExample(b []byte, x *Example) []byte {
	kind := byte(lessonExample)
	if len(x.About) > 0 || x.Given > 0 || x.Match != (match{}) {
		kind = lessonAbout
	}
	w := writer{b: append(b, kind)}
	w.text(x.ID)
	w.uint(uint64(x.Slot))
	w.text(x.Placement)
	w.text(x.Action)
	w.int(x.At)
	w.float(x.Propensity)
	w.bytes(x.Features)
	w.uint(uint64(len(x.Goals)))
	for _, g := range x.Goals {
		w.text(g)
	}
	w.text(x.Goal)
	w.bool(x.First)
	w.float(x.Before)
	w.float(x.After)
	w.float(x.Reward)
	w.text(x.Kind)
	w.small(x.Seen)
	w.bool(x.Via)
	if kind == lessonAbout {
		w.small(x.Given)
		w.small(x.Answered)
		w.small(float64(x.Match[0]))
		w.small(float64(x.Match[1]))
		w.keys(x.About)
	}
	return w.b
}

// appendMeasure appends the binary form of a measure.
func appendMeasure(b []byte, m *Measure) []byte {
	w := writer{b: append(b, lessonMeasure)}
	var bits byte
	if m.Entered {
		bits |= bitEntered
	}
	if m.Holdout {
		bits |= bitHeld
	}
	if len(m.Actions) > 0 {
		bits |= bitActions
	}
	w.b = append(w.b, bits)
	w.text(m.Action)
	w.float(m.Before)
	w.float(m.After)
	w.float(m.Covariate)
	if len(m.Actions) > 0 {
		w.uint(uint64(len(m.Actions)))
		for i := range m.Actions {
			x := &m.Actions[i]
			w.text(x.Action)
			w.bool(x.Held)
			w.float(x.Before)
			w.float(x.After)
		}
	}
	return w.b
}

// DecodeLesson reads the data of a record of the rewards topic. A kind that
// this version does not know gives a Lesson with neither part.
func DecodeLesson(b []byte) (Lesson, error) {
	r := newReader(b)
	var l Lesson
	switch kind := r.Byte(); kind {
	case lessonExample, lessonMatched, lessonAbout, lessonOld:
		l.Example = &Example{
			ID: r.Text(), Slot: int(r.Uvarint()), Placement: r.Text(), Action: r.Text(), At: r.Varint(), Propensity: r.Float(),
			Features: r.fields(), Goals: r.texts(), Goal: r.Text(), First: r.Bool(), Before: r.Float(), After: r.Float(), Reward: r.Float(),
		}
		if kind != lessonOld {
			l.Example.Kind, l.Example.Seen, l.Example.Via = r.Text(), r.small(), r.Bool()
		}
		if kind == lessonAbout {
			l.Example.Given, l.Example.Answered = r.small(), r.small()
		}
		if kind == lessonMatched || kind == lessonAbout {
			l.Example.Match = match{float32(r.small()), float32(r.small())}
		}
		if kind == lessonAbout {
			l.Example.About = r.keys()
		}
	case lessonOrder:
		l.Order = r.order()
	case lessonSend:
		l.Send = r.send()
	case lessonLease:
		l.Lease = &Lease{Quota: r.Text(), Window: r.Varint(), Units: r.Float()}
	case lessonMeasure, lessonCount:
		bits := r.Byte()
		l.Measure = &Measure{Entered: bits&bitEntered != 0, Holdout: bits&bitHeld != 0, Action: r.Text(), Before: r.Float(), After: r.Float()}
		if kind == lessonMeasure {
			l.Measure.Covariate = r.Float()
		}
		if bits&bitActions != 0 {
			l.Measure.Actions = make([]Change, r.Count(17))
			for i := range l.Measure.Actions {
				x := &l.Measure.Actions[i]
				x.Action, x.Held = r.Text(), l.Measure.Holdout
				if kind == lessonMeasure {
					x.Held = r.Bool()
				}
				x.Before, x.After = r.Float(), r.Float()
			}
		}
	default:
		if !r.Failed() {
			return l, nil
		}
	}
	return l, r.done("learning record")
}

func (r *reader) texts() []string {
	n := r.Count(1)
	if n == 0 {
		return nil
	}
	out := make([]string, n)
	for i := range out {
		out[i] = r.Text()
	}
	return out
}

// Decision ids carry where to look: partition of the home log, the position it
// had reached, and 64 random bits that keep the id from being guessed.

// newID returns the id of a decision made when the home log's owner stood at offset.
func newID(partition int32, offset int64, random uint64) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(offset+1)<<16|uint64(uint16(partition)))
	binary.BigEndian.PutUint64(id[8:], random)
	return id
}

// locate returns the partition and the first offset where the decision can stand.
func locate(id [16]byte) (partition int32, from int64) {
	x := binary.BigEndian.Uint64(id[:])
	return int32(uint16(x)), int64(x >> 16)
}

// formatID returns the public form, "d_" and 26 characters.
func formatID(id [16]byte) string { return "d_" + rapport.ID(id).String()[2:] }

// parseID parses the public form; ok is false for anything else.
func parseID(s string) (id [16]byte, ok bool) {
	if len(s) != 28 || s[:2] != "d_" {
		return id, false
	}
	p, err := rapport.ParseID("p_" + s[2:])
	return p, err == nil
}
