package epcis

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// NamedQuery is a query kept under a name.
type NamedQuery struct {
	Name    string    `json:"name"`
	Query   Params    `json:"query"`
	Created time.Time `json:"createdAt"`
	Removed bool      `json:"removed,omitempty"`
}

// Subscription asks to be told of new events that match a named query, as they
// come (stream) or gathered at least Every apart.
type Subscription struct {
	ID            string        `json:"subscriptionID"`
	Query         string        `json:"queryName"`
	Dest          string        `json:"dest"`
	Secret        string        `json:"secret"` // signs what is sent; shown when made
	ReportIfEmpty bool          `json:"reportIfEmpty"`
	Every         time.Duration `json:"every"` // 0: as they come
	Created       time.Time     `json:"createdAt"`
	From          int64         `json:"from"` // first offset of interest
	Removed       bool          `json:"removed,omitempty"`
}

// Notifier posts a query's results to a subscriber, signed, never to an address
// of the inside. Kinds of its errors: Invalid when the destination will never
// take it, others are tried again.
type Notifier interface {
	Check(dest string) error
	Notify(ctx context.Context, s *Subscription, key string, body []byte) error
}

func (c *Chain) append(ctx context.Context, kind uint8, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := eventlog.Append(ctx, c.Log, eventlog.Record{Topic: eventlog.Things, Kind: kind, Data: data}); err != nil {
		return err
	}
	return c.Settle(ctx)
}

// CreateQuery keeps a query under a name. Exceptions: QueryValidation,
// ResourceAlreadyExists.
func (c *Chain) CreateQuery(ctx context.Context, name string, p Params) error {
	if name == "" || len(name) > 128 || strings.ContainsAny(name, "/?#\x00 ") {
		return Raise(QueryValidationException, "a query's name has 1 to 128 bytes without white space and /?#")
	}
	if _, err := Compile(p); err != nil {
		return Raise(QueryValidationException, "%v", err)
	}
	if _, err := c.Query(ctx, name); err == nil {
		return Raise(ResourceAlreadyExistsException, "there is a query %s already", name)
	} else if rapport.KindOf(err) != rapport.NotFound {
		return err
	}
	return c.append(ctx, recordQuery, NamedQuery{Name: name, Query: p, Created: c.Clock.Now().UTC()})
}

// Query returns a named query. Exception: NoSuchResource.
func (c *Chain) Query(ctx context.Context, name string) (*NamedQuery, error) {
	if err := c.Settle(ctx); err != nil {
		return nil, err
	}
	data, found, err := c.Store.Get(key('q', []byte(name)), nil)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, Raise(NoSuchResourceException, "there is no query %s", name)
	}
	m, err := decodeObject(data)
	if err != nil {
		return nil, err
	}
	q := &NamedQuery{}
	if err := json.Unmarshal(data, q); err != nil {
		return nil, err
	}
	q.Query, _ = m["query"].(map[string]any) // with numbers as they stand
	return q, nil
}

// Queries lists the named queries by name.
func (c *Chain) Queries(ctx context.Context) ([]NamedQuery, error) {
	if err := c.Settle(ctx); err != nil {
		return nil, err
	}
	return decodeAll[NamedQuery](c.Store, key('q'))
}

// DeleteQuery removes a named query and its subscriptions. Exception: NoSuchResource.
func (c *Chain) DeleteQuery(ctx context.Context, name string) error {
	if _, err := c.Query(ctx, name); err != nil {
		return err
	}
	list, err := c.Subscriptions(ctx, name)
	if err != nil {
		return err
	}
	for _, s := range list {
		s.Removed = true
		if err := c.append(ctx, recordSubscription, s); err != nil {
			return err
		}
	}
	return c.append(ctx, recordQuery, NamedQuery{Name: name, Removed: true})
}

// Subscribe begins a subscription from the next event on. Exceptions:
// NoSuchResource, SubscriptionControls, SubscribeNotPermitted.
func (c *Chain) Subscribe(ctx context.Context, s Subscription) (*Subscription, error) {
	if _, err := c.Query(ctx, s.Query); err != nil {
		return nil, err
	}
	if c.Notify == nil {
		return nil, Raise(SubscribeNotPermittedException, "subscriptions are off")
	}
	if u, err := url.Parse(s.Dest); err != nil || u.Host == "" {
		return nil, Raise(SubscriptionControlsException, "dest must be a URL that takes POST")
	}
	if err := c.Notify.Check(s.Dest); err != nil {
		return nil, Raise(SubscriptionControlsException, "dest: %v", err)
	}
	if len(s.Secret) > 0 && len(s.Secret) < 16 {
		return nil, Raise(SubscriptionControlsException, "a signature token has at least 16 characters")
	}
	if s.Secret == "" {
		s.Secret = newHex() + newHex()
	}
	if s.Every < 0 || s.Every > 31*24*time.Hour {
		return nil, Raise(SubscriptionControlsException, "results come at least every 31 days")
	}
	s.ID, s.Created, s.Removed = newUUID(), c.Clock.Now().UTC(), false
	_, s.From = c.Log.Bounds(eventlog.Things, 0)
	return &s, c.append(ctx, recordSubscription, s)
}

// Subscriptions lists those of a query.
func (c *Chain) Subscriptions(ctx context.Context, query string) ([]Subscription, error) {
	if err := c.Settle(ctx); err != nil {
		return nil, err
	}
	return decodeAll[Subscription](c.Store, key('s', []byte(query), []byte{0}))
}

// Unsubscribe ends a subscription. Exception: NoSuchResource.
func (c *Chain) Unsubscribe(ctx context.Context, query, id string) error {
	list, err := c.Subscriptions(ctx, query)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.ID == id {
			s.Removed = true
			return c.append(ctx, recordSubscription, s)
		}
	}
	return Raise(NoSuchResourceException, "the query %s has no subscription %s", query, id)
}

func decodeAll[T any](s *state.Store, prefix []byte) ([]T, error) {
	it, err := s.Scan(prefix, state.PrefixEnd(prefix))
	if err != nil {
		return nil, err
	}
	out := []T{}
	for it.First(); it.Valid(); it.Next() {
		var v T
		if err := json.Unmarshal(it.Value(), &v); err != nil {
			return nil, errors.Join(err, it.Close())
		}
		out = append(out, v)
	}
	return out, it.Close()
}

// progress is how far a subscription was served. It is a fact of the topic
// too, so that a restart goes on where the last answer was taken.
type progress struct {
	Subscription string `json:"subscription"`
	Query        string `json:"query"`
	Next         int64  `json:"next"`
	At           int64  `json:"at"`
}

const subscriptionTick = time.Second

// subscribe serves every subscription until ctx ends.
func (c *Chain) subscribe(ctx context.Context) error {
	if c.Notify == nil {
		return nil
	}
	served := map[string]progress{}
	for {
		c.mu.Lock()
		moved, position := c.moved, c.position
		c.mu.Unlock()
		list, err := decodeAll[Subscription](c.Store, key('s'))
		if err != nil {
			return err
		}
		for i := range list {
			s := &list[i]
			p, ok := served[s.ID]
			if !ok {
				if p, err = c.progress(s); err != nil {
					return err
				}
			}
			now := rapport.Millis(c.Clock.Now())
			if p.Next >= position && !s.ReportIfEmpty || s.Every > 0 && now < p.At+s.Every.Milliseconds() {
				served[s.ID] = p
				continue
			}
			next, err := c.serve(ctx, s, p, position)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				c.Logger.Warn("a subscriber of the supply chain was not reached", "subscription", s.ID, "error", err)
			}
			next.At = now
			served[s.ID] = next
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
			if len(list) == 0 {
				continue
			}
		case <-c.Clock.After(subscriptionTick):
		}
	}
}

func (c *Chain) progress(s *Subscription) (progress, error) {
	p := progress{Subscription: s.ID, Query: s.Query, Next: s.From, At: s.Created.UnixMilli()}
	data, found, err := c.Store.Get(key('g', []byte(s.ID)), nil)
	if err != nil || !found {
		return p, err
	}
	return p, json.Unmarshal(data, &p)
}

// serveMost bounds the events of one notification.
const serveMost = 500

// serve sends what matches between a subscription's progress and a position.
// What fails is sent again with the same key later.
func (c *Chain) serve(ctx context.Context, s *Subscription, p progress, position int64) (progress, error) {
	named, err := c.Query(ctx, s.Query)
	if err != nil {
		return p, err
	}
	q, err := Compile(named.Query)
	if err != nil {
		return p, err
	}
	from := p.Next
	var events []*Event
	it, err := c.Store.Scan(key('e', num(from)), key('e', num(position)))
	if err != nil {
		return p, err
	}
	next := position
	for it.First(); it.Valid(); it.Next() {
		seq := readNum(it.Key()[len(key('e')):])
		e, err := c.event(c.Store, seq)
		if err != nil {
			return p, errors.Join(err, it.Close())
		}
		fits, err := c.fits(q, e)
		if err != nil {
			return p, errors.Join(err, it.Close())
		}
		if fits {
			events = append(events, e)
		}
		if len(events) >= serveMost {
			next = seq + 1
			break
		}
	}
	if err := it.Close(); err != nil {
		return p, err
	}
	if len(events) > 0 || s.ReportIfEmpty && s.Every > 0 {
		body := QueryDocument(events, s.Query, s.ID, c.Clock.Now())
		if err := c.Notify.Notify(ctx, s, s.ID+"-"+strconv.FormatInt(from, 10), body); err != nil && rapport.KindOf(err) != rapport.Invalid {
			return p, err
		}
	}
	p.Next = next
	if len(events) == 0 {
		return p, nil
	}
	// Only what was sent is worth a fact.
	data, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	return p, eventlog.Append(ctx, c.Log, eventlog.Record{Topic: eventlog.Things, Kind: recordServed, Data: data})
}

// QueryDocument writes events as an EPCISQueryDocument.
func QueryDocument(events []*Event, query, subscription string, at time.Time) []byte {
	b := []byte(`{"@context":["` + Context + `"],"type":"EPCISQueryDocument","schemaVersion":"2.0","creationDate":"` + at.UTC().Format("2006-01-02T15:04:05.000Z07:00") + `","epcisBody":{"queryResults":{`)
	if subscription != "" {
		b = append(b, `"subscriptionID":`...)
		b = append(quoted(b, subscription), ',')
	}
	b = append(quoted(append(b, `"queryName":`...), query), `,"resultsBody":{"eventList":[`...)
	for i, e := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e.JSON...)
	}
	return append(b, `]}}}}`...)
}

func quoted(b []byte, s string) []byte {
	q, _ := json.Marshal(s) // a string always encodes
	return append(b, q...)
}

// WithContext writes one event as a document of its own.
func WithContext(e *Event) []byte {
	m, err := decodeObject(e.JSON)
	if err != nil {
		return e.JSON
	}
	context := []any{Context}
	if own, ok := m["@context"].([]any); ok {
		context = append(context, own...)
	}
	m["@context"] = context
	data, err := json.Marshal(m)
	if err != nil {
		return e.JSON
	}
	return data
}
