package deliver

import (
	"encoding/hex"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
)

// FoldName is the name of this room's fold.
const FoldName = "deliver"

// Kinds of effects. A webhook has its own: its outbox is its own.
const (
	KindInApp   = "inapp"
	webhookKind = "webhook/"
	channelKind = "channel/"
	deadKind    = "dead/"
)

// WebhookKind returns the kind of effects of a webhook document.
func WebhookKind(id string) string { return webhookKind + id }

// DeadKind returns the kind under which dead letters of a kind are kept.
func DeadKind(kind string) string { return deadKind + kind }

// Fold turns live events into effects for the destinations that want them, and
// results into their end. It keeps no state. Env gives the person and the event
// at hand to the conditions of webhooks; it must be pure.
type Fold struct {
	Env func(c *engine.Context, e *rapport.Event) condition.Env
}

var (
	_ engine.Fold  = Fold{}
	_ engine.Cold  = Fold{}
	_ engine.State = (*outlet)(nil)
)

// Name implements [engine.Fold].
func (Fold) Name() string { return FoldName }

// Version implements [engine.Fold].
func (Fold) Version() uint32 { return 1 }

// Rowless implements [engine.Rowless].
func (Fold) Rowless() {}

// Scope implements [engine.Fold].
func (Fold) Scope() engine.Scope { return engine.PerEntity }

// New implements [engine.Fold].
func (f Fold) New() engine.State { return &outlet{env: f.Env} }

// Wants implements [engine.Cold].
func (f Fold) Wants(c *engine.Context, e *rapport.Event) bool {
	if e.Type == rapport.TypeSystem {
		switch e.Name {
		case rapport.SystemDelivery:
			return true
		case rapport.SystemDecision:
			if !c.History && pushedTo(c, e) != "" {
				return true
			}
		}
	}
	if c.History {
		return false
	}
	cfg, _ := c.Config.Part(Part).(*Config)
	return len(cfg.wanting(e)) > 0
}

// outlet is the state of the fold: none.
type outlet struct {
	env func(*engine.Context, *rapport.Event) condition.Env
}

// Apply implements [engine.State].
func (o *outlet) Apply(c *engine.Context, e *rapport.Event) {
	if e.Type == rapport.TypeSystem && e.Name == rapport.SystemDelivery {
		settle(c, e)
		return
	}
	if c.History {
		return
	}
	key := messageKey(e)
	if kind := pushedTo(c, e); kind != "" {
		leave(c, e, kind, key)
	}
	cfg, _ := c.Config.Part(Part).(*Config)
	var env condition.Env
	for _, w := range cfg.wanting(e) {
		if w.when != nil && o.env != nil {
			if env == nil {
				env = o.env(c, e)
			}
			if !w.when.Holds(env) {
				continue
			}
		}
		leave(c, e, WebhookKind(w.ID), key)
	}
}

// pushedTo returns the kind of destination that a decision is pushed through,
// or "" for anything else.
func pushedTo(c *engine.Context, e *rapport.Event) string {
	if e.Type != rapport.TypeSystem || e.Name != rapport.SystemDecision || property(e, "action") == "" {
		return ""
	}
	channel := property(e, "channel")
	if channel == KindInApp {
		return KindInApp
	}
	if cfg, _ := c.Config.Part(Part).(*Config); cfg.Channels()[channel] != nil {
		return ChannelKind(channel)
	}
	return ""
}

// leave puts a message in the outbox.
func leave(c *engine.Context, e *rapport.Event, kind, key string) {
	m := &Message{Event: e, Created: c.Time}
	c.Effect(engine.Effect{Kind: kind, Key: kind + "/" + key, Entity: c.Entity, Payload: AppendPayload(nil, m)})
}

// settle ends a message whose result is known: it goes, moves to the dead
// letters, or comes back from them.
func settle(c *engine.Context, e *rapport.Event) {
	key, kind := property(e, "key"), property(e, "destination")
	if key == "" || kind == "" {
		return
	}
	switch Status(property(e, "status")) {
	case Failed:
		c.Effect(engine.Effect{Kind: DeadKind(kind), Key: key, Entity: c.Entity, Payload: e.Body})
	case Replayed:
		c.Effect(engine.Effect{Kind: kind, Key: key, Entity: c.Entity, Payload: e.Body})
	default:
		c.CancelEffect(key)
	}
}

// messageKey names the event in idempotency keys: letters, digits and dashes only.
func messageKey(e *rapport.Event) string {
	if id := property(e, "decisionId"); e.Type == rapport.TypeSystem && strings.HasPrefix(id, "d_") && len(id) == 28 {
		return id
	}
	fp := engine.Fingerprint(e.Source, e.MessageID)
	return hex.EncodeToString(fp[:])
}

// Merge implements [engine.State]: there is nothing to merge.
func (*outlet) Merge(engine.State) {}

// AppendBinary implements [engine.State].
func (*outlet) AppendBinary(b []byte) []byte { return b }

// DecodeBinary implements [engine.State].
func (*outlet) DecodeBinary([]byte) error { return nil }
