package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/rapport-engine/rapport"
)

// Who names the person a call is about. The strongest name is enough.
type Who struct {
	UserID      string `json:"userId,omitempty"`
	AnonymousID string `json:"anonymousId,omitempty"`
	ID          string `json:"id,omitempty"` // Rapport's own person id
}

// Ask is one question for the next best thing.
type Ask struct {
	Person    Who
	Placement string
	// Context is what is known about the moment: page, cart, device.
	Context map[string]any
	// Limit bounds the items; 0 is the slots of the placement.
	Limit int
	// Event, if set, is recorded first (durably) and seen by the decision.
	Event *Event
	// EventType says which call Event stands for; 0 is a track.
	EventType rapport.EventType
}

// Decision is the answer to an Ask. No Items is the decision "nothing".
type Decision struct {
	ID       string `json:"decisionId"`
	PersonID string `json:"personId"` // empty when asked with a write key
	Holdout  bool   `json:"holdout"`
	Items    []Item `json:"items"`
}

// Item is one thing to show or do.
type Item struct {
	Action     string             `json:"action"`
	Kind       rapport.ActionType `json:"kind"`
	Content    map[string]any     `json:"content"`
	Value      float64            `json:"value"` // in the deployment's currency; 0 when asked with a write key
	Propensity float64            `json:"propensity"`
	Reason     string             `json:"reason"`
}

// Decide asks for the next best thing for one person. It is tried once: a page
// that waits is better served with nothing. It returns NotFound for an unknown
// placement and Unavailable when the server cannot answer now.
func (c *Client) Decide(ctx context.Context, a Ask) (Decision, error) {
	in := struct {
		Person    Who             `json:"person"`
		Placement string          `json:"placement"`
		Context   map[string]any  `json:"context,omitempty"`
		Limit     int             `json:"limit,omitempty"`
		Event     json.RawMessage `json:"event,omitempty"`
	}{a.Person, a.Placement, a.Context, a.Limit, nil}
	if a.Event != nil {
		t := a.EventType
		if t == 0 {
			t = rapport.TypeTrack
		}
		w, err := c.wire(t, *a.Event)
		if err != nil {
			return Decision{}, err
		}
		if in.Event, err = json.Marshal(w); err != nil {
			return Decision{}, rapport.Errorf(rapport.Invalid, "encode the event: %w", err)
		}
	}
	b, err := json.Marshal(in)
	if err != nil {
		return Decision{}, rapport.Errorf(rapport.Invalid, "encode the question: %w", err)
	}
	return c.DecideEncoded(ctx, b)
}

// DecideEncoded asks with a body that is already in the form of POST
// /v1/decide. It is otherwise Decide.
func (c *Client) DecideEncoded(ctx context.Context, body []byte) (Decision, error) {
	auth := "Basic"
	if c.opts.Token != "" {
		auth = "Bearer"
	}
	var d Decision
	err := c.call(ctx, request{
		method: http.MethodPost, path: "/v1/decide", auth: auth, attempts: 1,
		body: func() ([]byte, error) { return body, nil },
	}, &d)
	return d, err
}

// Person is what is known about one person.
type Person struct {
	ID          string               `json:"id"`
	Identifiers []rapport.Identifier `json:"identifiers"`
	Traits      map[string]any       `json:"traits"`
	Computed    map[string]any       `json:"computed"`
	Segments    []Segment            `json:"segments"`
	Scores      map[string]any       `json:"scores"`
	Consent     json.RawMessage      `json:"consent"`
	Items       []json.RawMessage    `json:"items"`
	FirstSeen   Time                 `json:"firstSeen"`
	LastSeen    Time                 `json:"lastSeen"`
	Version     json.Number          `json:"version"`
}

// Segment is a membership: Degree is 1 in a live segment, less in a soft one.
type Segment struct {
	ID     string  `json:"id"`
	Degree float64 `json:"degree"`
	Since  Time    `json:"since"`
}

// Moment is one entry of a timeline.
type Moment struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Event      string         `json:"event"`
	Timestamp  Time           `json:"timestamp"`
	Properties map[string]any `json:"properties"`
	Traits     map[string]any `json:"traits"`
}

// Time is a moment on the wire: RFC 3339 text, or Unix milliseconds. An empty
// text or null is the zero time.
type Time struct{ time.Time }

// UnmarshalJSON reads either form.
func (t *Time) UnmarshalJSON(b []byte) error {
	if s := string(b); s == "null" || s == `""` {
		t.Time = time.Time{}
		return nil
	}
	if ms, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		t.Time = time.UnixMilli(ms).UTC()
		return nil
	}
	return t.Time.UnmarshalJSON(b)
}

// Ref names a person for reading: Rapport's own id if set, else the user id,
// else the anonymous id.
func (w Who) Ref() string {
	switch {
	case w.ID != "":
		return w.ID
	case w.UserID != "":
		return rapport.KindUserID + ":" + w.UserID
	}
	return rapport.KindAnonymousID + ":" + w.AnonymousID
}

// Person reads one person by reference: a person id, or "userId:x",
// "anonymousId:x", "email:x", "phone:x". The answer reflects every event
// accepted before the call. It returns NotFound for someone never seen, and
// Denied if the token may not read people.
func (c *Client) Person(ctx context.Context, ref string) (Person, error) {
	var p Person
	err := c.read(ctx, "/v1/people/"+url.PathEscape(ref), &p)
	return p, err
}

// Timeline reads up to limit (1 to 1000; 0 is the server's default) moments of
// a person, newest first. next is the before of the following call and empty
// at the end.
func (c *Client) Timeline(ctx context.Context, ref string, limit int, before string) (moments []Moment, next string, err error) {
	q := url.Values{}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	if before != "" {
		q.Set("before", before)
	}
	path := "/v1/people/" + url.PathEscape(ref) + "/timeline"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	var out struct {
		Events []Moment        `json:"events"`
		Next   json.RawMessage `json:"next"`
	}
	if err := c.read(ctx, path, &out); err != nil {
		return nil, "", err
	}
	next = string(out.Next)
	if s, uerr := strconv.Unquote(next); uerr == nil {
		next = s
	} else if next == "null" {
		next = ""
	}
	return out.Events, next, nil
}

// Erase asks for everything about a person to be deleted. It returns as soon
// as the server has taken the job, and NotFound for someone never seen.
func (c *Client) Erase(ctx context.Context, ref string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: "/v1/people/" + url.PathEscape(ref), auth: "Bearer", attempts: c.opts.Attempts}, nil)
}

func (c *Client) read(ctx context.Context, path string, out any) error {
	return c.call(ctx, request{method: http.MethodGet, path: path, auth: "Bearer", attempts: c.opts.Attempts}, out)
}
