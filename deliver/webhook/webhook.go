// Package webhook posts events to URLs, signed as Standard Webhooks
// (standardwebhooks.com, version 1) has it.
//
// Guarantees: every attempt carries the message's idempotency key in webhook-id
// and Idempotency-Key and a fresh signature; only public addresses are dialled,
// checked on the address actually connected to, so that neither DNS nor a
// redirect reaches the inside, unless the deployment allows a host or network;
// redirects are not followed, proxies from the environment are not used; time,
// request and response are bounded; the secret is never logged.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
)

// Limits of one attempt.
const (
	timeout      = 10 * time.Second
	dialTimeout  = 5 * time.Second
	maxBody      = 512 << 10
	maxResponse  = 64 << 10
	idleConns    = 4
	idleTimeout  = time.Minute
	maxRespHead  = 64 << 10
	rateLimitGap = time.Second
)

// Options are what a Sender needs.
type Options struct {
	Webhook deliver.WebhookDoc
	// Guard decides which addresses may be dialled.
	Guard *Guard
	Clock rapport.Clock
	// Decision reads the body of a "Decision Made" event.
	Decision func(body []byte) (*rapport.Decision, error)
}

// Sender posts messages to one URL. It implements [deliver.Sender].
type Sender struct {
	url      string
	secret   []byte
	headers  http.Header
	clock    rapport.Clock
	client   *http.Client
	decision func([]byte) (*rapport.Decision, error)
}

var _ deliver.Sender = (*Sender)(nil)

// New returns a Sender for a webhook document. The error is Invalid: plain
// http to a host that is not allowed, or a secret that does not read.
func New(o Options) (*Sender, error) {
	u, err := url.Parse(o.Webhook.URL)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "webhook %s: url does not read", o.Webhook.ID)
	}
	if u.Scheme != "https" && !o.Guard.allowsPlain(u.Hostname()) {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "webhook %s: %s is not https", o.Webhook.ID, u.Host),
			"use https, or allow the host for this deployment")
	}
	secret, err := parseSecret(o.Webhook.Secret)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "webhook %s: %w", o.Webhook.ID, err)
	}
	s := &Sender{url: u.String(), secret: secret, headers: http.Header{}, clock: o.Clock, decision: o.Decision}
	for k, v := range o.Webhook.Headers {
		s.headers.Set(k, v)
	}
	s.client = o.Guard.client()
	return s, nil
}

// client returns an HTTP client that dials what the guard lets through.
func (g *Guard) client() *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext:            g.dial,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    idleConns,
			IdleConnTimeout:        idleTimeout,
			TLSHandshakeTimeout:    dialTimeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: maxRespHead,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// parseSecret reads whsec_ and base64, or takes the text itself.
func parseSecret(s string) ([]byte, error) {
	if encoded, ok := strings.CutPrefix(s, "whsec_"); ok {
		b, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(b) < 16 {
			return nil, errors.New("secret begins with whsec_ but is not base64 of 16 bytes or more")
		}
		return b, nil
	}
	if len(s) < 16 {
		return nil, errors.New("secret is shorter than 16 bytes")
	}
	return []byte(s), nil
}

// Sign returns the signature of a body under a message id and time in Unix
// seconds: "v1," and base64 of HMAC-SHA256 over "id.seconds.body".
func Sign(secret []byte, id string, seconds int64, body []byte) string {
	h := hmac.New(sha256.New, secret)
	fmt.Fprintf(h, "%s.%d.", id, seconds)
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// Send implements [deliver.Sender].
func (s *Sender) Send(ctx context.Context, m *deliver.Message) deliver.Result {
	body, err := s.body(m)
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: "the event cannot be written as JSON"}
	}
	if len(body) > maxBody {
		return deliver.Result{Status: deliver.Failed, Detail: fmt.Sprintf("the event is %d bytes, at most %d are sent", len(body), maxBody)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: "the request cannot be made"}
	}
	for k, v := range s.headers {
		req.Header[k] = v
	}
	now := s.clock.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Rapport/"+rapport.Version)
	req.Header.Set("Idempotency-Key", m.Key)
	req.Header.Set("Webhook-Id", m.Key)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", Sign(s.secret, m.Key, now.Unix(), body))
	resp, err := s.client.Do(req)
	if err != nil {
		return failure(err)
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, maxResponse) // so that the connection can be used again
	return answer(resp, now)
}

// failure tells of an attempt that got no answer. The text of a network error
// may hold the URL, so only its kind is told.
func failure(err error) deliver.Result {
	var refused *refusedError
	if errors.As(err, &refused) {
		return deliver.Result{Status: deliver.Retry, Detail: refused.Error()}
	}
	var dns *net.DNSError
	var timed interface{ Timeout() bool }
	var op *net.OpError
	detail := "no answer"
	switch {
	case errors.As(err, &dns):
		detail = "the host name does not resolve"
	case errors.As(err, &timed) && timed.Timeout():
		detail = "no answer in time"
	case errors.As(err, &op):
		detail = op.Op + " failed"
	}
	return deliver.Result{Status: deliver.Retry, Detail: detail}
}

// answer judges an HTTP response: success, not worth repeating, or later.
func answer(resp *http.Response, now time.Time) deliver.Result {
	r := deliver.Result{Code: resp.StatusCode, Detail: "answered " + strconv.Itoa(resp.StatusCode)}
	switch c := resp.StatusCode; {
	case c >= 200 && c < 300:
		r.Status = deliver.Delivered
		return r
	case c >= 300 && c < 400:
		r.Status, r.Detail = deliver.Retry, r.Detail+"; redirects are not followed"
	case c == http.StatusBadRequest, c == http.StatusGone, c == http.StatusRequestEntityTooLarge,
		c == http.StatusUnsupportedMediaType, c == http.StatusUnprocessableEntity:
		r.Status = deliver.Failed
		return r
	case c == http.StatusTooManyRequests:
		r.Status, r.Busy, r.After = deliver.Retry, true, rateLimitGap
	default:
		r.Status = deliver.Retry
	}
	if after, ok := retryAfter(resp.Header.Get("Retry-After"), now); ok {
		r.After = after
	}
	return r
}

// retryAfter reads seconds or an HTTP date.
func retryAfter(s string, now time.Time) (time.Duration, bool) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return time.Duration(min(n, 86400)) * time.Second, true
	}
	if t, err := http.ParseTime(s); err == nil && t.After(now) {
		return t.Sub(now), true
	}
	return 0, false
}

// body writes the message as JSON: {"type", "timestamp", "data"}.
func (s *Sender) body(m *deliver.Message) ([]byte, error) {
	e := m.Event
	name := e.Name
	if e.Type != rapport.TypeTrack && e.Type != rapport.TypeSystem {
		name = e.Type.String()
	}
	data := rapport.AppendField(nil, "personId", rapport.StringValue(m.Person.String()))
	text := func(key, value string) {
		if value != "" {
			data = rapport.AppendField(data, key, rapport.StringValue(value))
		}
	}
	object := func(key string, f rapport.Fields) {
		if len(f) > 0 {
			data = rapport.AppendField(data, key, rapport.ObjectValue(f))
		}
	}
	text("messageId", e.MessageID)
	text("type", e.Type.String())
	text("name", e.Name)
	text("userId", e.UserID)
	text("anonymousId", e.AnonymousID)
	text("groupId", e.GroupID)
	object("properties", e.Properties)
	object("traits", e.Traits)
	object("context", e.Context)
	stamp := rapport.Time(e.Timestamp).Format("2006-01-02T15:04:05.000Z07:00")
	b := []byte(`{"type":`)
	b = rapport.StringValue(name).AppendJSON(b)
	b = append(b, `,"timestamp":"`+stamp+`","data":`...)
	b = data.AppendJSON(b)
	if e.Type == rapport.TypeSystem && e.Name == rapport.SystemDecision && s.decision != nil {
		d, err := s.decision(e.Body)
		if err != nil {
			return nil, err
		}
		items := deliver.AppendItems(nil, d)
		b = append(b[:len(b)-1], `,"decision":`...)
		b = append(b, items...)
		b = append(b, '}')
	}
	return append(b, '}'), nil
}
