package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// send is the life of the sending goroutine.
func (c *Client) send(ctx context.Context) {
	defer close(c.done)
	for {
		batch := c.queue.take(ctx, c.opts.Interval)
		if batch == nil {
			return
		}
		err := c.SendEncoded(ctx, bytes.Join(batch, []byte{','}), false)
		if err != nil && ctx.Err() != nil {
			return // Close counts the batch in hand among what it gives up
		}
		if err != nil {
			c.opts.OnDrop(len(batch), err)
		}
		c.queue.settle()
	}
}

// SendEncoded sends events at once, past the queue, and returns when they are
// durable: JSON objects of the collection API with commas between them. With
// history they go to /v1/import, which updates what is known but causes no
// sending. It retries as the queue does, and returns Unauthenticated, Invalid,
// or Unavailable when all attempts failed.
func (c *Client) SendEncoded(ctx context.Context, events []byte, history bool) error {
	path := "/v1/batch"
	if history {
		path = "/v1/import"
	}
	// sentAt has a fixed place, to be written anew for each attempt: the server
	// corrects our clock by it, and a batch that waited was not sent when it
	// was made.
	const head, tail = `{"sentAt":"` + wireTime + `","batch":[`, `]}`
	body := make([]byte, 0, len(head)+len(events)+len(tail))
	body = append(append(append(body, head...), events...), tail...)
	return c.call(ctx, request{
		method: http.MethodPost, path: path, auth: "Basic", attempts: c.opts.Attempts,
		body: func() ([]byte, error) {
			copy(body[len(`{"sentAt":"`):], c.opts.Clock.Now().UTC().Format(wireTime))
			if !c.opts.Gzip {
				return body, nil
			}
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			if _, err := w.Write(body); err != nil {
				return nil, err
			}
			err := w.Close()
			return z.Bytes(), err
		},
		gzip: c.opts.Gzip,
	}, nil)
}

// request is one call of the API, as often as it takes.
type request struct {
	method, path string
	auth         string // "Basic" for the write key, "Bearer" for the token
	body         func() ([]byte, error)
	gzip         bool
	attempts     int
}

// call makes the request until it succeeds, is refused for good, or attempts
// or ctx run out, and decodes the answer into out if that is not nil.
func (c *Client) call(ctx context.Context, r request, out any) error {
	wait := c.opts.Backoff
	for attempt := 1; ; attempt++ {
		after, err := c.try(ctx, r, out)
		if err == nil || rapport.KindOf(err) != rapport.Unavailable {
			return err
		}
		if attempt >= r.attempts || ctx.Err() != nil {
			return err
		}
		// Full jitter keeps clients that failed together from returning together.
		pause := max(after, wait/2+time.Duration(c.random()%uint64(wait/2+1)))
		wait = min(wait*2, 100*c.opts.Backoff)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// random is a splitmix64 step: jitter needs to differ, not to be secret.
func (c *Client) random() uint64 {
	c.jitter.Lock()
	defer c.jitter.Unlock()
	c.jitter.state += 0x9e3779b97f4a7c15
	z := c.jitter.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

const maxAnswerBytes = 32 << 20

// try makes the request once. It returns how long the server asks to be left alone.
func (c *Client) try(ctx context.Context, r request, out any) (time.Duration, error) {
	var body io.Reader
	if r.body != nil {
		b, err := r.body()
		if err != nil {
			return 0, rapport.Errorf(rapport.Internal, "encode the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, body)
	if err != nil {
		return 0, rapport.Errorf(rapport.Invalid, "make the request: %w", err)
	}
	if r.auth == "Basic" && c.opts.Key != "" {
		req.SetBasicAuth(c.opts.Key, "")
	} else {
		req.Header.Set("Authorization", "Bearer "+c.opts.Token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	req.Header.Set("User-Agent", "rapport-go/"+rapport.Version)
	res, err := c.opts.HTTPClient.Do(req)
	if err != nil {
		return 0, rapport.Errorf(rapport.Unavailable, "%s %s: %w", r.method, r.path, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return 0, rapport.Errorf(rapport.Unavailable, "read the answer of %s: %w", r.path, err)
	}
	if res.StatusCode/100 != 2 {
		return retryAfter(res.Header.Get("Retry-After")), problem(r, res.StatusCode, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			return 0, rapport.Errorf(rapport.Internal, "decode the answer of %s: %w", r.path, err)
		}
	}
	return 0, nil
}

// maxRetryAfter bounds how long a server can hold a client off.
const maxRetryAfter = 10 * time.Minute

// retryAfter reads both forms of RFC 9110, section 10.2.3.
func retryAfter(header string) time.Duration {
	var d time.Duration
	if s, err := strconv.Atoi(strings.TrimSpace(header)); err == nil {
		d = time.Duration(s) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = time.Until(at)
	}
	return min(max(d, 0), maxRetryAfter)
}

// problem turns an answer that is not 2xx into an error of the right kind.
func problem(r request, status int, body []byte) error {
	kind := rapport.Internal
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		kind = rapport.Invalid
	case http.StatusUnauthorized:
		kind = rapport.Unauthenticated
	case http.StatusForbidden:
		kind = rapport.Denied
	case http.StatusNotFound:
		kind = rapport.NotFound
	case http.StatusConflict:
		kind = rapport.Conflict
	case http.StatusRequestEntityTooLarge:
		kind = rapport.TooLarge
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		kind = rapport.Unavailable
	default:
		if status >= 500 && status != http.StatusNotImplemented {
			kind = rapport.Unavailable
		}
	}
	var p struct{ Title, Detail string }
	detail := http.StatusText(status)
	if err := json.Unmarshal(body, &p); err == nil {
		detail = strings.TrimSpace(strings.Join([]string{p.Title, p.Detail}, " "))
	}
	err := rapport.Errorf(kind, "%s %s answered %d: %w", r.method, r.path, status, errors.New(detail))
	if kind == rapport.Unauthenticated {
		return rapport.WithHint(err, "check Options.Key against the key of the source document, or Options.Token")
	}
	return err
}
