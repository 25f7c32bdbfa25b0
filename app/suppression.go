package app

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/feedback"
	"github.com/rapport-engine/rapport/deliver/suppression"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/profile"
)

// openSuppression opens the list of addresses nothing is sent to.
func (s *Server) openSuppression(key []byte) {
	s.suppressed = suppression.New(suppression.Options{Journal: s.journal, Key: subkey(key, "suppression"), Normalize: identity.Normalize})
	s.journal.OnFact(func(f config.Fact) error { return s.suppressed.Fold(f.Kind, f.Time, f.Author, f.Body) })
}

// addressOf is what a channel reaches people by: the trait, the kind of its
// identifier and what people call it. Browsers have none.
func addressOf(channelType string) (trait, kind, name string) {
	switch channelType {
	case deliver.ChannelEmail:
		return "email", rapport.KindEmail, "mail address"
	case deliver.ChannelSMS:
		return "phone", rapport.KindPhone, "phone number"
	}
	return "", "", ""
}

// unreached says why a person cannot be reached through a channel, "" if they can.
func (s *Server) unreached(v *engine.View, channel string) string {
	sends, _ := v.Config().Part(deliver.Part).(*deliver.Config)
	doc := sends.Channels()[channel]
	if doc == nil {
		return ""
	}
	if doc.Type == deliver.ChannelPush {
		if len(subscriptionsOf(v)) == 0 {
			return "no browser of the person takes messages"
		}
		return ""
	}
	trait, kind, name := addressOf(doc.Type)
	about, _ := v.State(profile.FoldAbout).(*profile.About)
	if about == nil || about.Trait(trait).Str() == "" {
		return "no " + name + " is known"
	}
	return s.suppressedText(kind, name, about.Trait(trait).Str())
}

// suppressedText says why nothing is sent to an address, "" if it may be.
func (s *Server) suppressedText(kind, name, value string) string {
	e, ok := s.suppressed.Find(kind, value)
	if !ok {
		return ""
	}
	why := map[string]string{
		suppression.Bounced: "it bounced", suppression.Complained: "the person complained",
		suppression.Manual: "by " + cmp.Or(e.By, "an operator"), suppression.Imported: "imported",
	}[e.Reason]
	if e.Detail != "" {
		why += ", " + e.Detail
	}
	return "the " + name + " is suppressed since " + rapport.Time(e.At).Format("2006-01-02") + ": " + why
}

// mailAddresses knows which mail addresses take no mail. It implements [smtp.Addresses].
type mailAddresses struct{ server *Server }

// Suppressed implements [smtp.Addresses].
func (a mailAddresses) Suppressed(address string) string {
	return a.server.suppressedText(rapport.KindEmail, "mail address", address)
}

// Mark implements [smtp.Addresses].
func (a mailAddresses) Mark(person rapport.ID, address string) string {
	return a.server.marker.Mark(person, address)
}

// Bounced implements [smtp.Addresses].
func (a mailAddresses) Bounced(ctx context.Context, person rapport.ID, channel, address, status string) error {
	_, err := a.server.reported(ctx, channel, "system", person, rapport.KindEmail, address, feedback.Report{Kind: feedback.Bounce, Permanent: true, Status: status})
	return err
}

// Report implements [api.Channels].
func (s *Server) Report(ctx context.Context, channel *deliver.ChannelDoc, author string, list []feedback.Report, marked bool) (out api.ReportsAnswer, err error) {
	trait, kind, _ := addressOf(channel.Type)
	if kind == "" {
		return out, rapport.Errorf(rapport.Invalid, "channel %s is of type %s: nobody reports what became of its messages", channel.ID, channel.Type)
	}
	for i := range list {
		r := &list[i]
		address, person := r.Address, rapport.ID{}
		mark, ours := s.marker.Read(r.MessageID)
		if ours {
			known, err := s.traitOf(ctx, mark.Person, trait)
			if err != nil {
				return out, err
			}
			switch {
			case mark.Binds(r.Address):
				person = mark.Person
			case mark.Binds(known):
				address, person = known, mark.Person
			default:
				ours = false
			}
		}
		if !ours && (marked || address == "") {
			out.Ignored++
			continue
		}
		if person.IsZero() {
			if person, err = s.identity.Ref(kind + ":" + address); err != nil {
				return out, err
			}
		}
		added, err := s.reported(ctx, channel.ID, author, person, kind, address, *r)
		if err != nil {
			return out, err
		}
		out.Taken++
		out.Suppressed += added
	}
	return out, nil
}

// traitOf reads one trait of a person, "" if they or it are not known.
func (s *Server) traitOf(ctx context.Context, person rapport.ID, trait string) (value string, err error) {
	err = s.engine.View(ctx, s.identity.Person(person), nil, func(v *engine.View) error {
		if about, _ := v.State(profile.FoldAbout).(*profile.About); about != nil {
			value = strings.Clone(about.Trait(trait).Str())
		}
		return nil
	})
	return value, err
}

// reportEvents are what a report is called on a person's timeline: by kind of
// address, then of report. Those of mail are Segment's.
var reportEvents = map[string]map[feedback.Kind]string{
	rapport.KindEmail: {feedback.Bounce: "Email Bounced", feedback.Complaint: "Email Marked as Spam"},
	rapport.KindPhone: {feedback.Bounce: "SMS Bounced", feedback.Complaint: "SMS Marked as Spam"},
}

// reported acts on a report that is believed: the address goes on the list if it
// takes nothing for good or its owner complained, and the person's timeline tells.
// It returns how many addresses are new on the list.
func (s *Server) reported(ctx context.Context, channel, author string, person rapport.ID, kind, address string, r feedback.Report) (added int, err error) {
	known := false
	if !person.IsZero() {
		if known, err = (consenter{s}).Allows(ctx, person, "", ""); err != nil {
			return 0, err
		}
	}
	if r.Kind == feedback.Complaint || r.Permanent {
		a := suppression.Address{Kind: kind, Value: address, Reason: suppression.Bounced, Detail: r.Status}
		if r.Kind == feedback.Complaint {
			a.Reason = suppression.Complained
		}
		if known {
			a.Person = person
		}
		list, err := s.suppressed.Add(ctx, author, []suppression.Address{a})
		if err != nil {
			return 0, err
		}
		added = len(list)
	}
	if !known {
		return added, nil
	}
	p := rapport.AppendField(nil, "channel", rapport.StringValue(channel))
	if r.Kind == feedback.Bounce {
		p = rapport.AppendField(p, "permanent", rapport.BoolValue(r.Permanent))
	}
	if r.Status != "" {
		p = rapport.AppendField(p, "status", rapport.StringValue(r.Status))
	}
	id := randomID()
	if r.MessageID != "" { // a report that comes twice counts once
		digest := sha256.Sum256([]byte(channel + "\x00" + string(r.Kind) + "\x00" + r.MessageID + "\x00" + address))
		id = "report/" + hex.EncodeToString(digest[:16])
	}
	now := rapport.Millis(s.opts.Clock.Now())
	return added, s.recordResult(ctx, &rapport.Event{
		Type: rapport.TypeTrack, Name: reportEvents[kind][r.Kind], Source: "rapport", Entity: person, MessageID: id,
		Timestamp: now, OriginalTimestamp: now, ReceivedAt: now, Properties: p,
	})
}
