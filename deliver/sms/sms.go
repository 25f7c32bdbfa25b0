// Package sms sends texts through a provider's HTTP interface, whatever that
// looks like: the request is a template of the channel document.
//
// Guarantees: requests go only where the deployment allows (no request
// forgery), over https unless a host is named; redirects are not followed; what
// the provider answers is bounded and never logged. A template quotes with the
// filter json, or url_encode in a form.
package sms

import (
	"context"
	"net/http"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/compose"
	"github.com/rapport-engine/rapport/deliver/liquid"
)

// Caller makes one guarded HTTP request ([webhook.Poster]).
type Caller interface {
	Call(ctx context.Context, dest string, headers http.Header, body []byte) deliver.Result
	Check(dest string) error
}

// Options are what a Sender needs.
type Options struct {
	Channel  deliver.ChannelDoc
	Composer *compose.Composer
	Caller   Caller
	// Suppressed, if set, says why nothing is sent to a number, "" if it may be.
	Suppressed func(number string) string
}

// Sender sends texts. It implements [deliver.Sender].
type Sender struct {
	o    Options
	body *liquid.Template
}

var _ deliver.Sender = (*Sender)(nil)

// New returns a Sender for a channel document. The error is Invalid.
func New(o Options) (*Sender, error) {
	body, err := liquid.Parse(o.Channel.Body)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "channel %s: body: %w", o.Channel.ID, err)
	}
	if err := o.Caller.Check(o.Channel.URL); err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "channel %s: %w", o.Channel.ID, err)
	}
	return &Sender{o: o, body: body}, nil
}

// maxText is the most bytes of a text: ten parts of a long message.
const maxText = 1530

// Send implements [deliver.Sender].
func (s *Sender) Send(ctx context.Context, m *deliver.Message) deliver.Result {
	draft, why := s.o.Composer.Compose(ctx, m, s.o.Channel.ID)
	if why != nil {
		return *why
	}
	if draft.Recipient.Phone == "" {
		return deliver.Result{Status: deliver.Failed, Detail: "no phone number is known"}
	}
	if s.o.Suppressed != nil {
		if why := s.o.Suppressed(draft.Recipient.Phone); why != "" {
			return deliver.Result{Status: deliver.Withheld, Detail: why}
		}
	}
	text := draft.Text()
	if text == "" || len(text) > maxText {
		return deliver.Result{Status: deliver.Failed, Detail: "the text is empty or longer than 1530 bytes"}
	}
	body, err := s.body.Render(map[string]any{"to": draft.Recipient.Phone, "from": s.o.Channel.From, "text": text, "key": m.Key}, liquid.Options{})
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: "the request's template fails"}
	}
	headers := http.Header{}
	headers.Set("Content-Type", "application/x-www-form-urlencoded")
	if strings.HasPrefix(strings.TrimSpace(body), "{") {
		headers.Set("Content-Type", "application/json")
	}
	headers.Set("Idempotency-Key", m.Key)
	for k, v := range s.o.Channel.Headers {
		headers.Set(k, v)
	}
	return s.o.Caller.Call(ctx, s.o.Channel.URL, headers, []byte(body))
}
