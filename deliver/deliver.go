// Package deliver brings what was decided, and what happened, to the outside:
// it takes effects from the engine's outbox, hands them to a channel's sender,
// retries, gives up, and records every final result as an event.
//
// Properties: a message is handed to its sender at least once and under one
// idempotency key, and not again once its result is in the log. Every
// destination has its own outbox, queue and breaker, so one that is dead or
// slow delays no other; what waits for it stays on disk, not in memory. A
// message that cannot be delivered becomes a dead letter that is kept, listed
// and can be sent again. Consent is asked once more right before each attempt.
package deliver

import (
	"context"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// Message is one thing to bring to one destination.
type Message struct {
	// Key is the idempotency key: the same for every attempt.
	Key string
	// Person is whom it concerns.
	Person rapport.ID
	// Event is the fact that caused it, a "Decision Made" among them.
	Event *rapport.Event
	// Created is when it was caused, Unix ms.
	Created int64
	// Round counts how often it was brought back from the dead letters.
	Round int
	// Reason says of a dead letter why it could not be delivered; otherwise empty.
	Reason string
}

// Status is what became of an attempt.
type Status string

// The statuses. Retry is of an attempt; the others are final.
const (
	Delivered Status = "delivered"
	Failed    Status = "failed"   // became a dead letter
	Expired   Status = "expired"  // its moment has passed; kept nowhere
	Withheld  Status = "withheld" // consent was withdrawn, or the person is gone
	Replayed  Status = "replayed" // a dead letter was sent off again
	Retry     Status = "retry"
)

// Result tells of one attempt.
type Result struct {
	Status Status
	// Code is the destination's answer in its own terms (an HTTP status); 0 if it gave none.
	Code int
	// Detail says in a few words what happened; never secrets or personal data.
	Detail string
	// After is how long a Retry has to wait at least; 0 leaves it to the schedule.
	After time.Duration
	// Busy marks a Retry that says nothing against the destination's health.
	Busy bool
}

// Sender makes one attempt to bring a message to its destination. It may be
// called by several goroutines at once, respects ctx, and bounds what it reads
// and how long it takes.
type Sender interface {
	Send(ctx context.Context, m *Message) Result
}

// Consenter is asked once more right before sending.
type Consenter interface {
	// Allows reports whether the person still exists and, if purpose is not
	// empty, consents to it through the channel.
	Allows(ctx context.Context, person rapport.ID, purpose, channel string) (bool, error)
}

// Outbox is the engine's outbox of one kind of effect ([engine.Outbox]).
type Outbox interface {
	// Next returns the next effect that is due, waiting for one.
	Next(ctx context.Context) (engine.Effect, error)
	// Release gives one back: it is offered again.
	Release(key string)
}

// Forms of a payload: the second has the reason of a dead letter as well.
const (
	messageCodec = 1
	deadCodec    = 2
)

// AppendPayload appends the payload of a message's effect. Key and person
// stand in the effect itself.
func AppendPayload(b []byte, m *Message) []byte {
	codec := byte(messageCodec)
	if m.Reason != "" {
		codec = deadCodec
	}
	b = append(b, codec)
	b = binary.AppendVarint(b, m.Created)
	b = binary.AppendUvarint(b, uint64(m.Round))
	if m.Reason != "" {
		b = binary.AppendUvarint(b, uint64(len(m.Reason)))
		b = append(b, m.Reason...)
	}
	return rapport.AppendEvent(b, m.Event)
}

// decodeMessage reads the payload of an effect. The message shares b.
func decodeMessage(e engine.Effect) (*Message, error) {
	m := &Message{Key: e.Key, Person: e.Entity, Event: &rapport.Event{}}
	d := rapport.NewDecoder(e.Payload)
	codec := d.Byte()
	created, round := d.Varint(), d.Uvarint()
	m.Created, m.Round = created, int(round)
	if codec == deadCodec {
		m.Reason = d.Text()
	}
	if d.Failed() || codec != messageCodec && codec != deadCodec || round > 1<<20 || codec == deadCodec && m.Reason == "" {
		return nil, rapport.Errorf(rapport.Internal, "message %s is damaged", e.Key)
	}
	if err := rapport.DecodeEvent(d.Take(uint64(d.Len())), m.Event); err != nil {
		return nil, rapport.Errorf(rapport.Internal, "message %s: %w", e.Key, err)
	}
	return m, nil
}

// Purpose returns what the person must consent to for this message, "" for none.
func (m *Message) Purpose() string { return property(m.Event, "purpose") }

func property(e *rapport.Event, key string) string {
	v, _ := e.Properties.Get(key)
	return v.Str()
}

// resultEvent returns the fact that tells what became of a message. The dead
// letter's payload goes along, so that it can be sent again.
func resultEvent(kind string, m *Message, r Result, attempts int, now int64) *rapport.Event {
	p := rapport.AppendField(nil, "key", rapport.StringValue(m.Key))
	p = rapport.AppendField(p, "destination", rapport.StringValue(kind))
	p = rapport.AppendField(p, "status", rapport.StringValue(string(r.Status)))
	p = rapport.AppendField(p, "event", rapport.StringValue(m.Event.Name))
	p = rapport.AppendField(p, "attempts", rapport.NumberValue(float64(attempts)))
	if r.Code != 0 {
		p = rapport.AppendField(p, "code", rapport.NumberValue(float64(r.Code)))
	}
	if r.Detail != "" {
		p = rapport.AppendField(p, "detail", rapport.StringValue(clip(r.Detail, 300)))
	}
	if d := property(m.Event, "decisionId"); d != "" && m.Event.Name == rapport.SystemDecision {
		p = rapport.AppendField(p, "decisionId", rapport.StringValue(d))
	}
	e := &rapport.Event{
		Type: rapport.TypeSystem, Name: rapport.SystemDelivery, Source: "rapport", Entity: m.Person,
		MessageID: m.Key + "/" + string(r.Status) + "/" + strconv.Itoa(m.Round),
		Timestamp: now, OriginalTimestamp: now, ReceivedAt: now, Properties: p,
	}
	if r.Status == Failed || r.Status == Replayed {
		kept := *m
		kept.Reason = ""
		if r.Status == Failed {
			kept.Reason = clip(r.Detail, 300)
		}
		e.Body = AppendPayload(nil, &kept)
	}
	return e
}

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
