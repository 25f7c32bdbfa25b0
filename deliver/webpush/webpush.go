// Package webpush brings messages to browsers that are closed, through the push
// services of their makers: encrypted for the one browser (RFC 8291), let in by
// the deployment's own key (VAPID, RFC 8292), sent by the protocol of RFC 8030.
//
// Guarantees: nobody but the browser can read a message, and its length says
// little. Every browser of the person gets it once, also when it is tried again
// because another one's service was busy. A subscription its service calls gone
// (404, 410) is recorded as such and not used again. Requests go only where the
// deployment allows; endpoints come from browsers and are not trusted.
package webpush

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/compose"
)

// Caller makes one guarded HTTP request ([webhook.Poster]).
type Caller interface {
	Call(ctx context.Context, dest string, headers http.Header, body []byte) deliver.Result
}

// Book knows the browsers of people.
type Book interface {
	// Subscriptions returns those that take messages now, the newest first.
	Subscriptions(ctx context.Context, person rapport.ID) ([]Subscription, error)
	// Gone records that a subscription is no more.
	Gone(ctx context.Context, person rapport.ID, endpoint string) error
}

// Options are what a Sender needs.
type Options struct {
	Channel  deliver.ChannelDoc
	Composer *compose.Composer
	Book     Book
	Caller   Caller
	// Clock is the wall's: push services compare signatures with theirs.
	Clock rapport.Clock
}

// Sender sends to browsers. It implements [deliver.Sender].
type Sender struct {
	o   Options
	key *Key

	mu   sync.Mutex
	done map[string][]string // by message: endpoints that have it, while others are tried again
}

var _ deliver.Sender = (*Sender)(nil)

// New returns a Sender for a channel document. The error is Invalid.
func New(o Options) (*Sender, error) {
	key, err := ParseKey(o.Channel.PrivateKey)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "channel %s: %w", o.Channel.ID, err)
	}
	return &Sender{o: o, key: key, done: map[string][]string{}}, nil
}

const (
	// enough is after how long it is enough that one of several browsers has a message.
	enough = time.Hour
	// maxHalfway bounds how many messages are remembered that only some browsers have.
	maxHalfway = 4096
	defaultTTL = 24 * time.Hour
)

// Send implements [deliver.Sender].
func (s *Sender) Send(ctx context.Context, m *deliver.Message) deliver.Result {
	draft, why := s.o.Composer.Compose(ctx, m, s.o.Channel.ID)
	if why != nil {
		return *why
	}
	list, err := s.o.Book.Subscriptions(ctx, m.Person)
	if err != nil {
		return deliver.Result{Status: deliver.Retry, Busy: true, Detail: "the profile cannot be read"}
	}
	if len(list) == 0 {
		return deliver.Result{Status: deliver.Failed, Detail: "no browser of the person takes messages"}
	}
	body, err := payload(draft)
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: err.Error()}
	}
	left := s.ttl() - s.o.Clock.Now().Sub(rapport.Time(m.Created))
	headers := http.Header{}
	headers.Set("Ttl", strconv.Itoa(max(0, int(min(left, s.ttl()).Seconds()))))
	headers.Set("Urgency", s.urgency(draft.Fields["urgency"]))
	if topic := draft.Fields["topic"]; topic != "" {
		headers.Set("Topic", topicOf(topic))
	}
	have := s.halfway(m.Key)
	var worst deliver.Result
	delivered := len(have)
	for i := range list {
		if slices.Contains(have, list[i].Endpoint) {
			continue
		}
		r := s.one(ctx, m, &list[i], headers, body)
		switch {
		case r.Status == deliver.Delivered:
			delivered++
			have = append(have, list[i].Endpoint)
		case worst.Status == "" || r.Status == deliver.Retry && worst.Status != deliver.Retry:
			worst = r
		case r.Status == deliver.Retry:
			worst.After, worst.Busy = max(worst.After, r.After), worst.Busy && r.Busy
		}
	}
	if worst.Status == deliver.Retry && (delivered == 0 || left > s.ttl()-enough) {
		s.remember(m.Key, have)
		return worst
	}
	s.remember(m.Key, nil)
	if delivered > 0 {
		return deliver.Result{Status: deliver.Delivered, Code: http.StatusCreated, Detail: browsers(delivered)}
	}
	return worst
}

func browsers(n int) string {
	if n == 1 {
		return "taken for 1 browser"
	}
	return "taken for " + strconv.Itoa(n) + " browsers"
}

func (s *Sender) ttl() time.Duration {
	return cmp.Or(s.o.Channel.TTL.Std(), defaultTTL)
}

// urgency returns what a content asks for, if it is one, else the channel's.
func (s *Sender) urgency(asked string) string {
	switch asked {
	case "very-low", "low", "normal", "high":
		return asked
	}
	return cmp.Or(s.o.Channel.Urgency, "normal")
}

// one sends to one browser.
func (s *Sender) one(ctx context.Context, m *deliver.Message, to *Subscription, headers http.Header, plain []byte) deliver.Result {
	endpoint, err := url.Parse(to.Endpoint)
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: "the subscription's endpoint is damaged"}
	}
	private, salt, err := newKey(rand.Reader)
	if err != nil {
		return deliver.Result{Status: deliver.Retry, Detail: "no key for the message"}
	}
	body, err := encrypt(plain, to, private, salt, padding(len(plain)))
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: err.Error()}
	}
	headers = headers.Clone()
	headers.Set("Content-Type", "application/octet-stream")
	headers.Set("Content-Encoding", "aes128gcm")
	permit, err := s.key.authorization(endpoint, s.o.Channel.Subject, s.o.Clock.Now())
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: "the message cannot be signed"}
	}
	headers.Set("Authorization", permit)
	r := s.o.Caller.Call(ctx, to.Endpoint, headers, body)
	switch r.Code {
	case http.StatusNotFound, http.StatusGone:
		if err := s.o.Book.Gone(ctx, m.Person, to.Endpoint); err != nil {
			return deliver.Result{Status: deliver.Retry, Busy: true, Code: r.Code, Detail: "the subscription is gone, and that could not be recorded"}
		}
		return deliver.Result{Status: deliver.Failed, Code: r.Code, Detail: "the browser takes no messages any more"}
	case http.StatusUnauthorized, http.StatusForbidden:
		return deliver.Result{Status: deliver.Failed, Code: r.Code, Detail: "the push service does not accept our key: the browser subscribed to another"}
	}
	return r
}

// halfway returns the endpoints that have a message already.
func (s *Sender) halfway(key string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.done[key])
}

func (s *Sender) remember(key string, have []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(have) == 0 {
		delete(s.done, key)
		return
	}
	if len(s.done) >= maxHalfway {
		clear(s.done) // a browser may see a message twice; it shows it once, by its tag
	}
	s.done[key] = have
}

// topicOf writes a topic as the protocol has it: at most 32 letters of base64url
// (RFC 8030, section 5.4). Others are hashed.
func topicOf(s string) string {
	plain := len(s) <= 32 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
	if plain {
		return s
	}
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:16])
}

// payload writes a message in the form of Declarative Web Push: browsers that
// know it show it by themselves, in others the page's service worker does.
func payload(d *compose.Draft) ([]byte, error) {
	f := d.Fields
	n := map[string]any{}
	for key, text := range map[string]string{
		"title": cmp.Or(f["title"], f["subject"]), "body": cmp.Or(f["body"], f["text"]), "navigate": f["url"],
		"icon": f["icon"], "image": f["image"], "badge": f["badge"], "lang": d.Recipient.Locale, "tag": cmp.Or(f["tag"], d.Decision),
	} {
		if text = strings.TrimSpace(text); text != "" {
			n[key] = text
		}
	}
	if n["title"] == nil {
		return nil, rapport.Errorf(rapport.Invalid, "the content has no title")
	}
	n["data"] = map[string]any{"decisionId": d.Decision, "action": d.Action}
	b, err := json.Marshal(map[string]any{"web_push": 8030, "notification": n})
	if err != nil {
		return nil, err
	}
	if len(b) > MaxPayload {
		return nil, rapport.Errorf(rapport.Invalid, "the message is %d bytes, browsers take at most %d", len(b), MaxPayload)
	}
	return b, nil
}
