package decide

import (
	"encoding/hex"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
)

// triggerPrefix begins the idempotency key of a trigger's request. The decision
// it leads to has the key as its message id, so that the log takes it once.
const triggerPrefix = "decide/"

// staleTrigger is how old a trigger's event may be when its turn comes. After a
// long stop the moment has passed, and the decision is nothing.
const staleTrigger = 15 * 60 * 1000

// maxTriggerContext bounds what of the event goes along with the request.
const maxTriggerContext = 16 << 10

// ask leaves a request in the outbox for every trigger the event fulfils.
func (s *record) ask(c *engine.Context, triggers []*Trigger, e *rapport.Event) {
	if c.History || s.env == nil {
		return
	}
	var env condition.Env
	for _, t := range triggers {
		if t.When != nil {
			if env == nil {
				env = s.env(c, e)
			}
			if !t.When.Holds(env) {
				continue
			}
		}
		fp := engine.Fingerprint(e.Source, e.MessageID)
		context := rapport.AppendField(nil, "event", rapport.StringValue(e.Name))
		if len(e.Properties) <= maxTriggerContext {
			context = rapport.AppendField(context, "properties", rapport.ObjectValue(e.Properties))
		}
		c.Effect(engine.Effect{
			Kind: EffectKind, Key: triggerPrefix + t.ID + "/" + hex.EncodeToString(fp[:]), Entity: c.Entity,
			Payload: appendRequest(nil, &triggered{trigger: t.ID, placement: t.Placement, at: c.Time, context: context}),
		})
	}
}

// Call is a decision that a fact asks for by right, such as the recall of what
// the person owns. It is owed: it waits however long the server is away, is made
// among the actions that have the right, and history asks for it too.
type Call struct {
	// Cause stands in the decision; Right is what its actions must have.
	Cause, Right string
	// Placement is where it is decided; "" is the first by id with such an action.
	Placement string
	// Context is what the decision and its content know of it.
	Context rapport.Fields
}

// Caller finds the facts that ask for a decision by right. Both methods are pure.
type Caller interface {
	// Wants reports at a glance whether an event may be one.
	Wants(e *rapport.Event) bool
	// Call returns what an event asks for.
	Call(c *engine.Context, e *rapport.Event) (call Call, ok bool)
}

// call leaves a request in the outbox for what is asked for by right.
func (s *record) call(c *engine.Context, e *rapport.Event) {
	if s.calls == nil || !s.calls.Wants(e) {
		return
	}
	x, ok := s.calls.Call(c, e)
	if !ok {
		return
	}
	fp := engine.Fingerprint(e.Source, e.MessageID)
	c.Effect(engine.Effect{
		Kind: EffectKind, Key: triggerPrefix + x.Cause + "/" + hex.EncodeToString(fp[:]), Entity: c.Entity,
		Payload: appendRequest(nil, &triggered{trigger: x.Cause, right: x.Right, placement: x.Placement, at: c.Time, context: x.Context}),
	})
}

// triggered is a trigger's request, as it stands in the outbox.
type triggered struct {
	trigger   string // its id, or the cause of what is asked for by right
	right     string // "" for a trigger
	placement string
	at        int64
	context   rapport.Fields
	// planned is when it is to be decided and sent, and until the latest moment
	// for that; nil for a request that nobody has planned yet.
	planned *plan
	until   int64
}

func appendRequest(b []byte, t *triggered) []byte {
	codec := byte(1)
	switch {
	case t.right != "":
		codec = 3
	case t.planned != nil:
		codec = 2
	}
	w := writer{b: append(b, codec)}
	if codec == 3 {
		w.text(t.right)
	}
	w.text(t.trigger)
	w.text(t.placement)
	w.int(t.at)
	w.bytes(t.context)
	if t.planned != nil {
		w.int(t.planned.at)
		w.float(t.planned.chance)
		w.text(t.planned.reason)
		w.int(t.until)
	}
	return w.b
}

func decodeRequest(b []byte) (t triggered, err error) {
	r := newReader(b)
	codec := r.Byte()
	if codec < 1 || codec > 3 {
		r.Fail()
	}
	right := ""
	if codec == 3 {
		right = r.Text()
	}
	t = triggered{right: right, trigger: r.Text(), placement: r.Text(), at: r.Varint(), context: r.fields()}
	if codec == 2 {
		t.planned = &plan{at: r.Varint(), chance: r.Float(), reason: r.Text()}
		t.until = r.Varint()
	}
	return t, r.done("request of a trigger")
}

// isTriggered reports whether a message id is that of a trigger's request.
func isTriggered(messageID string) bool { return strings.HasPrefix(messageID, triggerPrefix) }

// isMembership reports whether a system event tells that a person entered or
// left a segment: triggers may listen to those.
func isMembership(name string) bool {
	return name == rapport.SystemSegmentEntered || name == rapport.SystemSegmentLeft
}
