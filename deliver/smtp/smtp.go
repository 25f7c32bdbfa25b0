// Package smtp sends messages as mail through a server.
//
// Guarantees: a mail has a text and an HTML form, a Message-ID made from the
// message's key (so that a second attempt is recognised as the same mail), and
// where consent was needed the headers of one-click unsubscribing (RFC 8058).
// A password is only sent over TLS. A refusal that is for good becomes a dead
// letter, any other is tried again. Subject and addresses cannot carry headers.
package smtp

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/compose"
	"github.com/rapport-engine/rapport/deliver/feedback"
)

const timeout = 30 * time.Second

// Options are what a Sender needs.
type Options struct {
	Channel  deliver.ChannelDoc
	Composer *compose.Composer
	// Addresses, if set, knows which addresses take no mail.
	Addresses Addresses
	// TLS is how to trust the server; nil trusts the system's authorities.
	TLS *tls.Config
}

// Addresses knows which addresses take no mail, and marks the mails that go out.
type Addresses interface {
	// Suppressed says why nothing is sent to an address, "" if it may be.
	Suppressed(address string) string
	// Bounced records that the server refused a person's address for good.
	Bounced(ctx context.Context, person rapport.ID, channel, address, status string) error
	// Mark returns what the Message-ID carries, so that a report is believed.
	Mark(person rapport.ID, address string) string
}

// Sender sends mail. It implements [deliver.Sender].
type Sender struct {
	o      Options
	domain string // of the sender
	client []gomail.Option
	host   string
}

var _ deliver.Sender = (*Sender)(nil)

// New returns a Sender for a channel document. The error is Invalid.
func New(o Options) (*Sender, error) {
	host, portText, err := net.SplitHostPort(o.Channel.Server)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "channel %s: server: %w", o.Channel.ID, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "channel %s: %q is not a port", o.Channel.ID, portText)
	}
	from, err := mail.ParseAddress(o.Channel.From)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "channel %s: from: %w", o.Channel.ID, err)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	s := &Sender{o: o, domain: domain, host: host}
	s.client = append(s.client, gomail.WithPort(int(port)), gomail.WithTimeout(timeout), gomail.WithHELO(domain))
	switch o.Channel.TLS {
	case "none":
		s.client = append(s.client, gomail.WithTLSPolicy(gomail.NoTLS))
	case "implicit":
		s.client = append(s.client, gomail.WithSSL())
	default:
		s.client = append(s.client, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if o.TLS != nil {
		trust := o.TLS.Clone()
		trust.ServerName = host
		s.client = append(s.client, gomail.WithTLSConfig(trust))
	}
	if o.Channel.Username != "" {
		s.client = append(s.client, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(o.Channel.Username), gomail.WithPassword(o.Channel.Password))
	}
	if _, err := gomail.NewClient(host, s.client...); err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "channel %s: %w", o.Channel.ID, err)
	}
	return s, nil
}

// Send implements [deliver.Sender].
func (s *Sender) Send(ctx context.Context, m *deliver.Message) deliver.Result {
	draft, why := s.o.Composer.Compose(ctx, m, s.o.Channel.ID)
	if why != nil {
		return *why
	}
	if draft.Recipient.Email == "" {
		return deliver.Result{Status: deliver.Failed, Detail: "no mail address is known"}
	}
	mark := ""
	if a := s.o.Addresses; a != nil {
		if why := a.Suppressed(draft.Recipient.Email); why != "" {
			return deliver.Result{Status: deliver.Withheld, Detail: why}
		}
		mark = "." + a.Mark(m.Person, draft.Recipient.Email)
	}
	msg, err := s.message(draft, m.Key, mark)
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: err.Error()}
	}
	client, err := gomail.NewClient(s.host, s.client...)
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: "the server's options cannot be used"}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := client.DialWithContext(ctx); err != nil {
		return failure(err, "the mail server cannot be reached")
	}
	defer client.Close()
	if err := client.Send(msg); err != nil {
		r := failure(err, "the mail server refused")
		if status, permanent := refused(err); permanent && s.o.Addresses != nil {
			if err := s.o.Addresses.Bounced(ctx, m.Person, s.o.Channel.ID, draft.Recipient.Email, status); err != nil {
				return deliver.Result{Status: deliver.Retry, Busy: true, Code: r.Code, Detail: "the address was refused, and that could not be recorded"}
			}
		}
		return r
	}
	return deliver.Result{Status: deliver.Delivered, Code: 250}
}

// message puts a draft into the form of a mail.
func (s *Sender) message(draft *compose.Draft, key, mark string) (*gomail.Msg, error) {
	content, err := draft.Mail()
	if err != nil {
		return nil, errors.New("the mail cannot be laid out")
	}
	if content.Subject == "" {
		return nil, errors.New("the content has no subject")
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From(s.o.Channel.From); err != nil {
		return nil, errors.New("the sender's address cannot be used")
	}
	to := mail.Address{Name: draft.Recipient.Name, Address: draft.Recipient.Email}
	if err := msg.To(to.String()); err != nil {
		return nil, errors.New("the mail address of the person cannot be used")
	}
	if s.o.Channel.ReplyTo != "" {
		if err := msg.ReplyTo(s.o.Channel.ReplyTo); err != nil {
			return nil, errors.New("the address for answers cannot be used")
		}
	}
	msg.Subject(content.Subject)
	digest := sha256.Sum256([]byte(key))
	msg.SetMessageIDWithValue(hex.EncodeToString(digest[:10]) + mark + "@" + s.domain)
	msg.SetDate()
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if draft.Unsubscribe != "" {
		msg.SetGenHeader(gomail.HeaderListUnsubscribe, "<"+draft.Unsubscribe+">")
		msg.SetGenHeader(gomail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
	}
	msg.SetBodyString(gomail.TypeTextPlain, content.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, content.HTML)
	return msg, nil
}

// refused reports whether the server refused the recipient's address for good, and
// with which status.
func refused(err error) (status string, permanent bool) {
	var e *gomail.SendError
	if !errors.As(err, &e) || e.Reason != gomail.ErrSMTPRcptTo {
		return "", false
	}
	status = e.EnhancedStatusCode()
	if permanent = feedback.Permanent(status, e.ErrorCode()); status == "" {
		status = strconv.Itoa(e.ErrorCode())
	}
	return status, permanent
}

// failure judges an error: what the server refuses for good is not tried again.
// The text of an error may hold addresses, so only its kind is told.
func failure(err error, what string) deliver.Result {
	var refused *gomail.SendError
	if errors.As(err, &refused) {
		r := deliver.Result{Status: deliver.Retry, Code: refused.ErrorCode(), Detail: what}
		if code := refused.ErrorCode(); code >= 500 && code < 600 && !refused.IsTemp() {
			r.Status = deliver.Failed
			if code == 550 || code == 551 || code == 553 {
				r.Detail = "the mailbox does not exist or takes no mail"
			}
		}
		return r
	}
	return deliver.Result{Status: deliver.Retry, Detail: what}
}
