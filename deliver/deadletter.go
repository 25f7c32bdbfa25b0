package deliver

import (
	"context"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// DeadLetter is a message that could not be delivered. It stays until it is
// sent again or its person is erased.
type DeadLetter struct {
	Key     string     `json:"key"`
	Kind    string     `json:"destination"`
	Person  rapport.ID `json:"personId"`
	Event   string     `json:"event"`
	Created time.Time  `json:"created"`
	Round   int        `json:"round"` // how often it was sent off again
	Reason  string     `json:"reason,omitempty"`
	Message *Message   `json:"-"`
}

// ParseDeadLetter reads an effect kept under [DeadKind] of kind. The error is
// Internal if it is damaged.
func ParseDeadLetter(kind string, e engine.Effect) (DeadLetter, error) {
	m, err := decodeMessage(e)
	if err != nil {
		return DeadLetter{}, err
	}
	return DeadLetter{
		Key: m.Key, Kind: kind, Person: m.Person, Event: m.Event.Name, Created: rapport.Time(m.Created), Round: m.Round, Reason: m.Reason, Message: m,
	}, nil
}

// Replay sends a dead letter off again, by appending the fact that it was. Its
// attempts and its time to give up begin anew; its key stays. Kind: Conflict if
// its destination is not there.
func (d *Dispatcher) Replay(ctx context.Context, dead DeadLetter) error {
	if !d.serves(dead.Kind) {
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "%s does not exist any more", destinationName(dead.Kind)), "apply its document again, then send the dead letter off again")
	}
	m := *dead.Message
	m.Round++
	now := rapport.Millis(d.deps.Clock.Now())
	m.Created = now
	return d.deps.Append(ctx, resultEvent(dead.Kind, &m, Result{Status: Replayed}, 0, now))
}
