package webhook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
)

// Poster posts ready bodies to URLs that callers of the API name, with the
// guarantees of a [Sender].
type Poster struct {
	guard  *Guard
	clock  rapport.Clock
	client *http.Client
}

// NewPoster returns a Poster.
func NewPoster(g *Guard, clock rapport.Clock) *Poster {
	return &Poster{guard: g, clock: clock, client: g.client()}
}

// Check returns an Invalid error for a URL that is never posted to.
func (p *Poster) Check(dest string) error {
	u, err := url.Parse(dest)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return rapport.Errorf(rapport.Invalid, "the destination is not an http URL")
	}
	if u.Scheme != "https" && !p.guard.allowsPlain(u.Hostname()) {
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, "%s is not https", u.Host), "use https, or allow the host for this deployment")
	}
	return nil
}

// Post sends a body under an idempotency key, signed with secret.
func (p *Poster) Post(ctx context.Context, dest, secret, key, contentType string, body []byte) deliver.Result {
	signing, err := parseSecret(secret)
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: err.Error()}
	}
	now := p.clock.Now()
	headers := http.Header{}
	headers.Set("Content-Type", contentType)
	headers.Set("Idempotency-Key", key)
	headers.Set("Webhook-Id", key)
	headers.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	headers.Set("Webhook-Signature", Sign(signing, key, now.Unix(), body))
	return p.Call(ctx, dest, headers, body)
}

// Call posts a body with headers of the caller's own.
func (p *Poster) Call(ctx context.Context, dest string, headers http.Header, body []byte) deliver.Result {
	if err := p.Check(dest); err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, dest, bytes.NewReader(body))
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: "the request cannot be made"}
	}
	req.Header = headers
	req.Header.Set("User-Agent", "Rapport/"+rapport.Version)
	resp, err := p.client.Do(req)
	if err != nil {
		return failure(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, maxResponse); err != nil && err != io.EOF {
		return deliver.Result{Status: deliver.Retry, Detail: fmt.Sprintf("answered %d, then broke off", resp.StatusCode)}
	}
	return answer(resp, p.clock.Now())
}
