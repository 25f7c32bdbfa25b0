package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"iter"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/compose"
	"github.com/rapport-engine/rapport/deliver/feedback"
	"github.com/rapport-engine/rapport/deliver/preference"
	"github.com/rapport-engine/rapport/deliver/sms"
	"github.com/rapport-engine/rapport/deliver/smtp"
	"github.com/rapport-engine/rapport/deliver/webhook"
	"github.com/rapport-engine/rapport/deliver/webpush"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/profile"
)

// openChannels opens what writes messages to people and asks them what they
// want to hear.
func (s *Server) openChannels(key []byte) {
	s.preferences = preference.New(preference.Options{
		Key: subkey(key, "preferences"), Store: choices{s}, URL: func() string {
			if s.opts.PublicURL != "" {
				return strings.TrimSuffix(s.opts.PublicURL, "/")
			}
			return s.URL
		},
	})
	s.marker = feedback.NewMarker(subkey(key, "mail"))
	s.composer = compose.New(compose.Deps{Reader: recipients{s}, Links: s.preferences, Clock: s.opts.Clock, Decision: decide.DecodeGiven})
}

// channelDestinations makes a destination of every channel document.
func (s *Server) channelDestinations(c *deliver.Config) ([]deliver.Destination, error) {
	var list []deliver.Destination
	ids := make([]string, 0, len(c.Channels()))
	for id := range c.Channels() {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		doc := *c.Channels()[id]
		var sender deliver.Sender
		var err error
		switch doc.Type {
		case deliver.ChannelEmail:
			sender, err = smtp.New(smtp.Options{Channel: doc, Composer: s.composer, Addresses: mailAddresses{s}})
		case deliver.ChannelSMS:
			sender, err = sms.New(sms.Options{Channel: doc, Composer: s.composer, Caller: webhook.NewPoster(s.guard, s.opts.Clock), Suppressed: func(number string) string {
				return s.suppressedText(rapport.KindPhone, "phone number", number)
			}})
		case deliver.ChannelPush:
			// Push services compare times with the wall's clock, whatever the demo's does.
			wall := rapport.SystemClock{}
			sender, err = webpush.New(webpush.Options{Channel: doc, Composer: s.composer, Book: browsers{s}, Caller: webhook.NewPoster(s.guard, wall), Clock: wall})
		}
		if err != nil {
			return nil, err
		}
		list = append(list, deliver.Destination{
			Kind: deliver.ChannelKind(id), Channel: id, Sender: deliver.Paced(sender, doc.Rate, s.opts.Clock),
			Parallel: doc.Parallel, GiveUp: doc.GiveUp.Std(),
		})
	}
	return list, nil
}

// checkTemplates finds faults in the templates of actions that are sent as messages.
func checkTemplates(set *config.Set, channels map[string]*deliver.ChannelDoc) error {
	for a, ways := range waysOf(set) {
		if !slices.ContainsFunc(ways, func(c string) bool { return channels[c] != nil }) {
			continue
		}
		for path, content := range a.Contents() {
			for _, f := range compose.Check(content) {
				return rapport.Errorf(rapport.Invalid, "action %s: %s: %s", a.ID, path+strings.TrimPrefix(f.Path, "content"), f.Message)
			}
		}
	}
	return nil
}

// waysOf yields every action with the channels it may be sent through; "" is a
// slot on one's own site.
func waysOf(set *config.Set) iter.Seq2[*decide.ActionDoc, []string] {
	placements := map[string][]string{}
	for _, p := range config.Specs[*decide.PlacementDoc](set, "placement") {
		placements[p.ID] = decide.Ways(p.Channel, p.Channels)
	}
	return func(yield func(*decide.ActionDoc, []string) bool) {
		for _, a := range config.Specs[*decide.ActionDoc](set, "action") {
			ways := decide.Ways(a.Channel, a.Channels)
			for _, p := range a.Placements {
				if len(a.Channel)+len(a.Channels) > 0 {
					break
				}
				ways = append(slices.Clip(ways), placements[p]...)
				if len(placements[p]) == 0 {
					ways = append(ways, "")
				}
			}
			if !yield(a, ways) {
				return
			}
		}
	}
}

// recipients reads people as messages need them.
type recipients struct{ server *Server }

// Recipient implements [compose.Reader].
func (r recipients) Recipient(ctx context.Context, person rapport.ID) (out compose.Recipient, err error) {
	s := r.server
	id := s.identity.Person(person)
	err = s.engine.View(ctx, id, nil, func(v *engine.View) error {
		p, ok := profile.Read(v)
		if !ok {
			return rapport.Errorf(rapport.NotFound, "there is no person %s", id)
		}
		traits := map[string]any{}
		for i := range p.Traits {
			traits[p.Traits[i].Name] = p.Traits[i].Value()
		}
		traits["id"] = p.ID.String()
		said := func(name string) string { return p.Trait(name).Str() }
		out = compose.Recipient{
			Name:  strings.TrimSpace(cmp.Or(said("name"), said("firstName")+" "+said("lastName"))),
			Email: said("email"), Phone: said("phone"), Locale: cmp.Or(said("locale"), p.Locale), Variables: traits,
		}
		if zone := cmp.Or(said("timezone"), p.Zone); zone != "" {
			out.Zone = s.zones.Find(zone)
		}
		return nil
	})
	return out, err
}

// choices keeps what people choose on their page as events of their own.
type choices struct{ server *Server }

// Choices implements [preference.Store]: every purpose that an action in force
// needs, by the channels it is sent through, and whatever else was answered.
func (c choices) Choices(ctx context.Context, person rapport.ID) (out []preference.Choice, err error) {
	s := c.server
	set, _ := s.config.Current()
	seen := map[[2]string]bool{}
	var asked [][2]string
	add := func(purpose, channel string) {
		if key := [2]string{purpose, channel}; purpose != "" && !seen[key] {
			seen[key] = true
			asked = append(asked, key)
		}
	}
	for a, ways := range waysOf(set) {
		for _, c := range ways {
			add(a.Purpose, c)
		}
	}
	err = s.engine.View(ctx, s.identity.Person(person), nil, func(v *engine.View) error {
		if !v.Exists() {
			return rapport.Errorf(rapport.NotFound, "there is no such person")
		}
		consent, _ := v.State(profile.FoldConsent).(*profile.Consent)
		if consent == nil {
			consent = &profile.Consent{}
		}
		for _, said := range consent.All() {
			add(strings.Clone(said.Purpose), strings.Clone(said.Channel))
		}
		for _, key := range asked {
			out = append(out, preference.Choice{Purpose: key[0], Channel: key[1], Allowed: consent.Allows(key[0], key[1])})
		}
		return nil
	})
	slices.SortFunc(out, func(a, b preference.Choice) int {
		return strings.Compare(a.Purpose+"\x00"+a.Channel, b.Purpose+"\x00"+b.Channel)
	})
	return out, err
}

// randomID names an event of our own that nobody sends twice.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Choose implements [preference.Store].
func (c choices) Choose(ctx context.Context, person rapport.ID, choice preference.Choice) error {
	p := rapport.AppendField(nil, "purpose", rapport.StringValue(choice.Purpose))
	if choice.Channel != "" {
		p = rapport.AppendField(p, "channel", rapport.StringValue(choice.Channel))
	}
	p = rapport.AppendField(p, "allowed", rapport.BoolValue(choice.Allowed))
	now := rapport.Millis(c.server.opts.Clock.Now())
	e := &rapport.Event{
		Type: rapport.TypeTrack, Name: rapport.EventConsentUpdated, Source: "preferences", Entity: person, MessageID: randomID(),
		Timestamp: now, OriginalTimestamp: now, ReceivedAt: now, Properties: p,
	}
	if err := c.server.record(ctx, e); err != nil {
		return err
	}
	// Whoever reads next, the page among them, sees it.
	return c.server.engine.View(ctx, e.Entity, c.server.engine.Ends(int32(e.Entity.Partition(c.server.events.Partitions(eventlog.Events)))), func(*engine.View) error { return nil })
}
