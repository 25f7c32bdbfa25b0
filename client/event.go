package client

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"time"

	"github.com/rapport-engine/rapport"
)

// Event is one thing that happened. UserID or AnonymousID must be set; which
// other fields count depends on the call it is given to.
type Event struct {
	UserID      string
	AnonymousID string
	// Name is the event of Track, or the name of a page or screen.
	Name string
	// Properties belong to Track, Page and Screen.
	Properties map[string]any
	// Traits belong to Identify and Group.
	Traits map[string]any
	// GroupID belongs to Group, PreviousID to Alias.
	GroupID    string
	PreviousID string
	Context    map[string]any
	// Timestamp is when it happened. The zero time is now.
	Timestamp time.Time
	// MessageID names the event for deduplication. Empty mints one; set it when
	// the event has a natural key, so that reporting it twice counts once.
	MessageID string
}

// wireEvent is an Event as the collection API spells it.
type wireEvent struct {
	Type        string         `json:"type"`
	MessageID   string         `json:"messageId"`
	UserID      string         `json:"userId,omitempty"`
	AnonymousID string         `json:"anonymousId,omitempty"`
	Event       string         `json:"event,omitempty"`
	Name        string         `json:"name,omitempty"`
	GroupID     string         `json:"groupId,omitempty"`
	PreviousID  string         `json:"previousId,omitempty"`
	Timestamp   string         `json:"timestamp"`
	Properties  map[string]any `json:"properties,omitempty"`
	Traits      map[string]any `json:"traits,omitempty"`
	Context     map[string]any `json:"context,omitempty"`
}

const wireTime = "2006-01-02T15:04:05.000Z"

// Track queues something a person did. Name is required.
//
// Track and its siblings return an Invalid error for an event the server could
// not use, TooLarge for one over 256 KB, and Unavailable when the queue is full
// or the client closed.
func (c *Client) Track(e Event) error { return c.enqueue(rapport.TypeTrack, e) }

// Identify queues what is known about a person.
func (c *Client) Identify(e Event) error { return c.enqueue(rapport.TypeIdentify, e) }

// Page queues the view of a web page.
func (c *Client) Page(e Event) error { return c.enqueue(rapport.TypePage, e) }

// Screen queues the view of an app's screen.
func (c *Client) Screen(e Event) error { return c.enqueue(rapport.TypeScreen, e) }

// Group queues that a person belongs to GroupID, which is required.
func (c *Client) Group(e Event) error { return c.enqueue(rapport.TypeGroup, e) }

// Alias queues that PreviousID, which is required, was UserID.
func (c *Client) Alias(e Event) error { return c.enqueue(rapport.TypeAlias, e) }

// Shown queues that the person saw a decision. Until an outcome arrives, a
// shown decision counts as having earned nothing.
func (c *Client) Shown(who Who, decisionID string) error {
	return c.outcome("Decision Shown", who, decisionID)
}

// Clicked queues that the person followed a decision.
func (c *Client) Clicked(who Who, decisionID string) error {
	return c.outcome("Decision Clicked", who, decisionID)
}

// Dismissed queues that the person waved a decision away.
func (c *Client) Dismissed(who Who, decisionID string) error {
	return c.outcome("Decision Dismissed", who, decisionID)
}

func (c *Client) outcome(name string, who Who, decisionID string) error {
	if decisionID == "" {
		return rapport.Errorf(rapport.Invalid, "%s needs a decision id", name)
	}
	return c.Track(Event{UserID: who.UserID, AnonymousID: who.AnonymousID, Name: name, Properties: map[string]any{"decisionId": decisionID}})
}

func (c *Client) enqueue(t rapport.EventType, e Event) error {
	w, err := c.wire(t, e)
	if err != nil {
		return err
	}
	b, err := json.Marshal(w)
	if err != nil {
		return rapport.Errorf(rapport.Invalid, "encode %s event: %w", t, err)
	}
	return c.Enqueue(b)
}

// Enqueue queues an event that is already encoded as one JSON object of the
// collection API, messageId and timestamp included: for programs that make
// events by the thousand. It returns the errors Track returns, but checks the
// size alone. The slice must not be changed afterwards.
func (c *Client) Enqueue(event []byte) error {
	if len(event) > maxEventBytes {
		return rapport.Errorf(rapport.TooLarge, "the event has %d bytes; the limit is %d", len(event), maxEventBytes)
	}
	return c.queue.add(event)
}

func (c *Client) wire(t rapport.EventType, e Event) (wireEvent, error) {
	w := wireEvent{
		Type: t.String(), MessageID: e.MessageID, UserID: e.UserID, AnonymousID: e.AnonymousID,
		Properties: e.Properties, Traits: e.Traits, Context: e.Context,
	}
	if e.UserID == "" && e.AnonymousID == "" {
		return w, rapport.Errorf(rapport.Invalid, "a %s event needs a UserID or an AnonymousID", t)
	}
	missing := ""
	switch t {
	case rapport.TypeTrack:
		w.Event = e.Name
		if e.Name == "" {
			missing = "Name"
		}
	case rapport.TypePage, rapport.TypeScreen:
		w.Name = e.Name
	case rapport.TypeGroup:
		w.GroupID = e.GroupID
		if e.GroupID == "" {
			missing = "GroupID"
		}
	case rapport.TypeAlias:
		w.PreviousID = e.PreviousID
		if e.PreviousID == "" {
			missing = "PreviousID"
		}
	}
	if missing != "" {
		return w, rapport.Errorf(rapport.Invalid, "a %s event needs a %s", t, missing)
	}
	if w.MessageID == "" {
		w.MessageID = rand.Text()
	}
	if e.Timestamp.IsZero() {
		e.Timestamp = c.opts.Clock.Now()
	}
	w.Timestamp = e.Timestamp.UTC().Format(wireTime)
	if len(c.opts.Context) > 0 {
		merged := maps.Clone(c.opts.Context)
		maps.Copy(merged, e.Context)
		w.Context = merged
	}
	return w, nil
}
