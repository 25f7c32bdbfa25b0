package profile

import (
	"encoding/binary"
	"slices"
	"strings"
	"unique"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// maxConsents bounds how many (purpose, channel) pairs one fragment holds.
const maxConsents = 128

// ConsentUpdated is the name of the track event that tells consent.
const ConsentUpdated = "Consent Updated"

// ConsentFold keeps what a person allowed, by purpose and channel. It learns
// from context.consent.categoryPreferences and from the event Consent Updated.
type ConsentFold struct{}

// Name implements engine.Fold.
func (ConsentFold) Name() string { return FoldConsent }

// Version implements engine.Fold.
func (ConsentFold) Version() uint32 { return 1 }

// Scope implements engine.Fold.
func (ConsentFold) Scope() engine.Scope { return engine.PerFragment }

// Rowless implements engine.Rowless.
func (ConsentFold) Rowless() {}

// New implements engine.Fold.
func (ConsentFold) New() engine.State { return &Consent{} }

// Consent is what was allowed and refused. The zero Consent allows nothing.
type Consent struct{ said []Said } // by purpose, channel

// Said is one standing answer.
type Said struct {
	Purpose string `json:"purpose"`
	Channel string `json:"channel,omitempty"` // empty: for every channel
	Allowed bool   `json:"allowed"`
	At      int64  `json:"at"` // Unix ms
	Source  string `json:"source"`
}

// All returns the standing answers by purpose and channel.
func (c *Consent) All() []Said { return c.said }

// Allows reports whether a purpose is allowed on a channel. A refusal for the
// channel holds until that channel is allowed again; a refusal of the purpose
// holds for channels not allowed since. Without a channel the purpose's own
// answer counts, or that any channel was allowed. Nothing said is a refusal.
func (c *Consent) Allows(purpose, channel string) bool {
	general, hasGeneral := c.get(purpose, "")
	if channel == "" {
		if hasGeneral {
			return general.Allowed
		}
		return slices.ContainsFunc(c.said, func(s Said) bool { return s.Purpose == purpose && s.Allowed })
	}
	special, hasSpecial := c.get(purpose, channel)
	switch {
	case !hasSpecial:
		return hasGeneral && general.Allowed
	case !special.Allowed:
		return false
	}
	return !hasGeneral || general.Allowed || general.At < special.At
}

func (c *Consent) get(purpose, channel string) (Said, bool) {
	i, ok := c.find(purpose, channel)
	if !ok {
		return Said{}, false
	}
	return c.said[i], true
}

func (c *Consent) find(purpose, channel string) (int, bool) {
	return slices.BinarySearchFunc(c.said, Said{Purpose: purpose, Channel: channel}, func(a, b Said) int {
		if d := strings.Compare(a.Purpose, b.Purpose); d != 0 {
			return d
		}
		return strings.Compare(a.Channel, b.Channel)
	})
}

// Apply implements engine.State.
func (c *Consent) Apply(_ *engine.Context, e *rapport.Event) {
	if consent, ok := e.Context.Get("consent"); ok {
		if f, ok := consent.Object(); ok {
			if prefs, ok := f.Get("categoryPreferences"); ok {
				if f, ok := prefs.Object(); ok {
					for purpose, v := range f.All() {
						if allowed, ok := v.Bool(); ok {
							c.say(Said{text(purpose), "", allowed, e.Timestamp, e.Source})
						}
					}
				}
			}
		}
	}
	if e.Type != rapport.TypeTrack || e.Name != rapport.EventConsentUpdated {
		return
	}
	purpose, _ := e.Properties.Get("purpose")
	channel, _ := e.Properties.Get("channel")
	allowed, _ := e.Properties.Get("allowed")
	p, _ := purpose.Text()
	ch, _ := channel.Text()
	if ok, said := allowed.Bool(); said && len(p) > 0 {
		c.say(Said{text(p), text(ch), ok, e.Timestamp, e.Source})
	}
}

// say takes in an answer: the newest stands, a tie refuses.
func (c *Consent) say(s Said) {
	if len(s.Purpose) == 0 || len(s.Purpose) > 64 || len(s.Channel) > 64 {
		return
	}
	i, ok := c.find(s.Purpose, s.Channel)
	if ok {
		have := &c.said[i]
		if s.At < have.At || s.At == have.At && (s.Allowed && !have.Allowed || s.Allowed == have.Allowed && s.Source <= have.Source) {
			return
		}
	} else {
		if len(c.said) >= maxConsents && i >= maxConsents {
			return
		}
		c.said = slices.Insert(c.said, i, Said{})
		if len(c.said) > maxConsents {
			c.said = c.said[:maxConsents] // the same pairs stay whatever the order
		}
	}
	s.Purpose, s.Channel, s.Source = own(s.Purpose), own(s.Channel), own(s.Source)
	c.said[i] = s
}

// own returns a shared copy of a text that lies in a record.
func own(s string) string { return unique.Make(strings.Clone(s)).Value() }

// Merge implements engine.State.
func (c *Consent) Merge(other engine.State) {
	for _, s := range other.(*Consent).said {
		c.say(s)
	}
}

// AppendBinary implements engine.State.
func (c *Consent) AppendBinary(b []byte) []byte {
	for _, s := range c.said {
		b = appendString(b, s.Purpose)
		b = appendString(b, s.Channel)
		b = appendString(b, s.Source)
		if s.Allowed {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
		b = binary.AppendVarint(b, s.At)
	}
	return b
}

// DecodeBinary implements engine.State.
func (c *Consent) DecodeBinary(b []byte) error {
	c.said = c.said[:0]
	r := reader{b: b}
	for len(r.b) > 0 && !r.bad {
		c.said = append(c.said, Said{
			Purpose: intern(r.bytes()), Channel: intern(r.bytes()), Source: intern(r.bytes()), Allowed: r.byte() == 1, At: r.varint(),
		})
	}
	return r.done("consent")
}
