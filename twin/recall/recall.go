// Package recall remembers per person which recalls concern them, what was
// decided to tell them, whether it reached them and whether they took note.
//
// Guarantees: a pure fold of the person's events. A recall asks for one decision
// per person and round, one more for each item they come to later, and a further
// one, at most twice, when a message did not arrive, so that another channel may.
// Who holds none of the items any more is remembered no longer.
package recall

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/twin"
)

// FoldName is the name of the fold.
const FoldName = "recalls"

// Right is what messages of a recall are given by.
const Right = "recall"

// causePrefix begins the cause of a recall's decisions; its id follows.
const causePrefix = "recall "

// Cause returns the cause of the decisions a recall asks for.
func Cause(recall string) string { return causePrefix + recall }

const (
	maxNotices = 32
	maxItems   = 64
	maxTries   = 2 // further decisions when a message did not arrive
)

// State says how far a recall came with a person.
type State string

// The states.
const (
	Waiting      State = "waiting"      // nothing is decided yet
	Sent         State = "sent"         // on its way, or shown where the person looks next
	Reached      State = "reached"      // a channel took it, or the person saw it
	Acknowledged State = "acknowledged" // the person said so
	Unreachable  State = "unreachable"  // no channel leads to them
)

// States lists the states in the order of progress.
func States() []State { return []State{Waiting, Unreachable, Sent, Reached, Acknowledged} }

// Notice is what a person was told of a recall. Times are Unix milliseconds, 0 is never.
type Notice struct {
	Recall    string   `json:"r"`
	Round     int64    `json:"n"`
	Placement string   `json:"p,omitempty"`
	Items     []string `json:"i"` // sorted
	// About are the properties of the latest "Product Recalled".
	About encoded `json:"f,omitempty"`
	At    int64   `json:"t"`
	// Asked names the event that asked for the latest decision, Tries how often a
	// failed message did.
	Asked string `json:"a,omitempty"`
	Tries int    `json:"y,omitempty"`
	// Decision is the latest decision, Nothing why it gave nothing.
	Decision  string `json:"d,omitempty"`
	DecidedAt int64  `json:"dt,omitempty"`
	Channel   string `json:"c,omitempty"`
	Nothing   string `json:"z,omitempty"`
	// Status is what became of the message, Detail in words.
	Status       string `json:"s,omitempty"`
	Detail       string `json:"x,omitempty"`
	ArrivedAt    int64  `json:"st,omitempty"`
	Seen         int64  `json:"v,omitempty"`
	Acknowledged int64  `json:"k,omitempty"`
	Lifted       int64  `json:"l,omitempty"`
}

// encoded are fields, stored as the bytes they are.
type encoded []byte

// State returns how far it came.
func (n *Notice) State() State {
	switch {
	case n.Acknowledged > 0:
		return Acknowledged
	case n.Seen > 0 || n.Status == "delivered":
		return Reached
	case n.Decision == "":
		return Waiting
	case n.Nothing != "" || n.Status != "":
		return Unreachable
	}
	return Sent
}

// Why says in words what keeps somebody from being reached, or "".
func (n *Notice) Why() string {
	if n.State() != Unreachable {
		return ""
	}
	if n.Nothing != "" {
		return n.Nothing
	}
	return strings.TrimSuffix(n.Status+": "+n.Detail, ": ")
}

// Fold keeps the notices of people.
type Fold struct{}

var (
	_ engine.Fold  = Fold{}
	_ engine.Cold  = Fold{}
	_ engine.State = (*Notices)(nil)
)

// Name implements [engine.Fold].
func (Fold) Name() string { return FoldName }

// Version implements [engine.Fold].
func (Fold) Version() uint32 { return 1 }

// Scope implements [engine.Fold].
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// Rowless implements [engine.Rowless].
func (Fold) Rowless() {}

// New implements [engine.Fold].
func (Fold) New() engine.State { return &Notices{} }

// Wants implements [engine.Cold].
func (Fold) Wants(_ *engine.Context, e *rapport.Event) bool {
	if e.Type == rapport.TypeSystem {
		switch e.Name {
		case twin.EventHeld:
			return text(e, "role") == ""
		case rapport.SystemDecision:
			return strings.HasPrefix(text(e, "cause"), causePrefix)
		case rapport.SystemDelivery:
			return true
		}
		return false
	}
	switch e.Name {
	case twin.ProductRecalled, twin.ProductRecallLifted:
		return ours(e)
	case twin.ProductRecallAcknowledged, rapport.EventDecisionShown, rapport.EventDecisionClicked:
		return e.Type == rapport.TypeTrack
	}
	return false
}

// ours reports whether a track event was passed on by an item: nobody else may
// say that something is recalled.
func ours(e *rapport.Event) bool {
	return e.Type == rapport.TypeTrack && e.Source == twin.Source && len(e.Identifiers) == 0
}

// Notices are the recalls that concern one person, oldest first.
type Notices struct{ list []Notice }

// Apply implements [engine.State].
func (s *Notices) Apply(_ *engine.Context, e *rapport.Event) {
	switch e.Name {
	case twin.ProductRecalled:
		s.recalled(e)
	case twin.ProductRecallLifted:
		if n := s.find(text(e, "recall")); n != nil {
			n.Lifted = e.Timestamp
		}
	case twin.ProductRecallAcknowledged:
		for i := range s.list {
			n := &s.list[i]
			if id := text(e, "recall"); id == n.Recall || id == "" && slices.Contains(n.Items, text(e, "item")) {
				n.Acknowledged = max(n.Acknowledged, e.Timestamp)
			}
		}
	case twin.EventHeld:
		item := text(e, "item")
		for i := range s.list {
			s.list[i].Items = slices.DeleteFunc(s.list[i].Items, func(x string) bool { return x == item })
		}
		s.list = slices.DeleteFunc(s.list, func(n Notice) bool { return len(n.Items) == 0 })
	case rapport.SystemDecision:
		if n := s.find(strings.TrimPrefix(text(e, "cause"), causePrefix)); n != nil {
			n.Decision, n.DecidedAt = clone(text(e, "decisionId")), e.Timestamp
			n.Channel, n.Nothing = clone(text(e, "channel")), clone(text(e, "nothing"))
			n.Status, n.Detail, n.ArrivedAt, n.Seen = "", "", 0, 0
		}
	case rapport.SystemDelivery:
		s.delivered(e)
	case rapport.EventDecisionShown, rapport.EventDecisionClicked:
		if n := s.decided(text(e, "decisionId")); n != nil && n.Seen == 0 {
			n.Seen = e.Timestamp
		}
	}
}

func (s *Notices) recalled(e *rapport.Event) {
	id, item := text(e, "recall"), text(e, "item")
	if id == "" || item == "" {
		return
	}
	v, _ := e.Properties.Get("round")
	round, _ := v.Number()
	v, _ = e.Properties.Get("late")
	late, _ := v.Bool()
	n := s.find(id)
	if n == nil {
		if len(s.list) == maxNotices {
			s.list = slices.Delete(s.list, 0, 1)
		}
		s.list = append(s.list, Notice{Recall: clone(id)})
		n = &s.list[len(s.list)-1]
	}
	i, known := slices.BinarySearch(n.Items, item)
	if !known && len(n.Items) < maxItems {
		n.Items = slices.Insert(n.Items, i, clone(item))
	}
	if !known {
		n.Acknowledged = 0 // what they took note of was another item
	}
	n.Lifted, n.At = 0, e.Timestamp
	n.About, n.Placement = encoded(slices.Clone(e.Properties)), clone(text(e, "placement"))
	again := int64(round) > n.Round && n.Acknowledged == 0
	n.Round = max(n.Round, int64(round))
	if again || late && !known {
		n.Asked, n.Tries = clone(e.MessageID), 0
		n.Decision, n.DecidedAt, n.Channel, n.Nothing = "", 0, "", ""
		n.Status, n.Detail, n.ArrivedAt, n.Seen = "", "", 0, 0
	}
}

func (s *Notices) delivered(e *rapport.Event) {
	n := s.decided(text(e, "decisionId"))
	if n == nil {
		return
	}
	switch status := text(e, "status"); status {
	case "delivered":
		n.Status, n.Detail, n.ArrivedAt = "delivered", clone(text(e, "detail")), e.Timestamp
	case "failed", "expired", "withheld":
		n.Status, n.Detail = clone(status), clone(text(e, "detail"))
		if n.Tries < maxTries && n.Acknowledged == 0 && n.Seen == 0 && n.Lifted == 0 {
			n.Asked, n.Tries = clone(e.MessageID), n.Tries+1
		}
	case "replayed":
		n.Status, n.Detail = "", ""
	}
}

func (s *Notices) find(recall string) *Notice {
	for i := range s.list {
		if s.list[i].Recall == recall {
			return &s.list[i]
		}
	}
	return nil
}

func (s *Notices) decided(decision string) *Notice {
	for i := range s.list {
		if decision != "" && s.list[i].Decision == decision {
			return &s.list[i]
		}
	}
	return nil
}

// Merge implements [engine.State]: what concerned either concerns the one; of
// two notices of one recall the one that came further stays.
func (s *Notices) Merge(other engine.State) {
	for _, n := range other.(*Notices).list {
		n.Items, n.About = slices.Clone(n.Items), slices.Clone(n.About)
		mine := s.find(n.Recall)
		if mine == nil {
			s.list = append(s.list, n)
			continue
		}
		items := append(mine.Items, n.Items...)
		slices.Sort(items)
		items = slices.Compact(items)
		items = items[:min(len(items), maxItems)]
		round, order := max(mine.Round, n.Round), States()
		if slices.Index(order, n.State()) > slices.Index(order, mine.State()) {
			*mine = n
		}
		mine.Items, mine.Round = items, round
	}
	slices.SortStableFunc(s.list, func(a, b Notice) int { return strings.Compare(a.Recall, b.Recall) })
	if len(s.list) > maxNotices {
		s.list = s.list[:maxNotices]
	}
}

// AppendBinary implements [engine.State].
func (s *Notices) AppendBinary(b []byte) []byte {
	if len(s.list) == 0 {
		return b
	}
	text, err := json.Marshal(s.list)
	if err != nil {
		panic("recall: notices cannot be encoded: " + err.Error()) // strings, numbers and bytes always can
	}
	return append(b, text...)
}

// DecodeBinary implements [engine.State].
func (s *Notices) DecodeBinary(b []byte) error {
	s.list = nil
	if len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, &s.list); err != nil {
		return rapport.Errorf(rapport.Internal, "stored recalls of a person are damaged: %w", err)
	}
	return nil
}

// May reports whether an event may ask for a decision, cheaply.
func May(e *rapport.Event) bool {
	if e.Type == rapport.TypeSystem {
		return e.Name == rapport.SystemDelivery && text(e, "status") != "delivered"
	}
	return e.Name == twin.ProductRecalled && ours(e)
}

// Asked returns the notice for which an event asks for a decision, or nil. It
// is to be called by a fold that comes after this one.
func Asked(c *engine.Context, e *rapport.Event) *Notice {
	s, _ := c.State(FoldName).(*Notices)
	if s == nil || e.MessageID == "" {
		return nil
	}
	for i := range s.list {
		if s.list[i].Asked == e.MessageID {
			return &s.list[i]
		}
	}
	return nil
}

// List returns the notices, oldest first. They must not be changed.
func (s *Notices) List() []Notice { return s.list }

// Read copies the notices of the person of a view, oldest first.
func Read(v *engine.View) []Notice {
	s, _ := v.State(FoldName).(*Notices)
	if s == nil {
		return nil
	}
	copied := &Notices{}
	if copied.DecodeBinary(s.AppendBinary(nil)) != nil {
		return nil
	}
	return copied.list
}

func text(e *rapport.Event, key string) string {
	v, _ := e.Properties.Get(key)
	return v.Str()
}

// clone copies a text out of the record's buffer.
func clone(s string) string { return strings.Clone(s) }
