// Package client is the Go SDK of Rapport: it sends what people do, asks what
// to do next for one of them, and reads what is known about them.
//
// Guarantees. Sending never blocks the caller: an event is encoded, queued and
// sent in batches by one goroutine, so the events of one Client arrive in the
// order they were given. The queue is bounded; a full queue refuses the event
// with an Unavailable error rather than losing another silently. Every event
// has a messageId from the moment it is queued, and a batch is sent again with
// the same ids until the server has answered, so that a retry is counted once.
// 429 and 503 are waited out as long as Retry-After asks; other failures back
// off with jitter. What is given up is reported to Options.OnDrop, never
// dropped unseen. Flush returns when all that was queued before it is settled;
// an event that was flushed without a drop is durable and is reflected by the
// next read.
package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
)

// Options configure a Client. Only URL and one of Key and Token are needed.
type Options struct {
	// URL is the address of the server, such as "http://127.0.0.1:8080".
	URL string
	// Key is the write key of a source document: it sends events, and asks for
	// decisions about the caller's own person.
	Key string
	// Token is an API token; reading people needs one.
	Token string
	// HTTPClient makes the requests. Nil takes one with a 30 s timeout.
	HTTPClient *http.Client
	// BatchSize is how many events leave together, 1 to 1000. 0 is 100.
	BatchSize int
	// Interval is the longest an event waits for company. 0 is 500 ms.
	Interval time.Duration
	// QueueSize bounds the events waiting to be sent. 0 is 10,000.
	QueueSize int
	// QueueBytes bounds the memory of the events waiting. 0 is 64 MiB.
	QueueBytes int
	// Attempts bounds how often one batch or read is tried. 0 is 10.
	Attempts int
	// Backoff is the first wait between attempts; it doubles up to 100 times
	// itself. 0 is 100 ms.
	Backoff time.Duration
	// Gzip compresses batches: worth it over a network, not on one machine.
	Gzip bool
	// Context is laid under the context of every event.
	Context map[string]any
	// Clock stamps events. Nil is the system clock.
	Clock rapport.Clock
	// OnDrop is told of every batch given up: how many events, and why. It is
	// called by the sending goroutine and must not call Flush or Close.
	OnDrop func(events int, reason error)
}

const (
	maxEventBytes = 256 << 10 // the server's default limit for one event
	maxBatchBytes = 4 << 20   // well under the server's limit for one body
)

// Client talks to one server with one identity. It is safe for concurrent use.
type Client struct {
	opts  Options
	base  string
	queue queue
	stop  context.CancelFunc
	done  chan struct{}

	jitter struct {
		sync.Mutex
		state uint64
	}
}

// New returns a Client that sends in the background until it is closed. It
// returns an Invalid error if the options cannot work.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the server's URL is not an http address"), "set Options.URL to something like http://127.0.0.1:8080")
	}
	if o.Key == "" && o.Token == "" {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "neither a write key nor a token is set"), "set Options.Key to the key of a source document, or Options.Token")
	}
	o.BatchSize = min(orDefault(o.BatchSize, 100), 1000)
	o.QueueSize = orDefault(o.QueueSize, 10_000)
	o.QueueBytes = orDefault(o.QueueBytes, 64<<20)
	o.Attempts = orDefault(o.Attempts, 10)
	o.Interval = orDefault(o.Interval, 500*time.Millisecond)
	o.Backoff = orDefault(o.Backoff, 100*time.Millisecond)
	if o.Clock == nil {
		o.Clock = rapport.SystemClock{}
	}
	if o.HTTPClient == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 64
		o.HTTPClient = &http.Client{Transport: t, Timeout: 30 * time.Second}
	}
	if o.OnDrop == nil {
		o.OnDrop = func(int, error) {}
	}
	// The sender outlives every call that feeds it, so its context is its own;
	// Close ends it.
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{opts: o, base: strings.TrimRight(o.URL, "/"), stop: stop, done: make(chan struct{})}
	c.jitter.state = uint64(time.Now().UnixNano())
	c.queue.init(o.BatchSize, o.QueueSize, o.QueueBytes)
	go c.send(ctx)
	return c, nil
}

func orDefault[T int | time.Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// Flush waits until every event queued before the call has been accepted by
// the server or given up. It returns ctx's error if that comes first.
func (c *Client) Flush(ctx context.Context) error { return c.queue.flush(ctx) }

// Close refuses new events, sends what is queued and ends the sender. When ctx
// ends first, the rest is given up, reported to OnDrop, and an Unavailable
// error says how many events that were. Close may be called more than once.
func (c *Client) Close(ctx context.Context) error {
	c.queue.close()
	select {
	case <-c.done:
	case <-ctx.Done():
		c.stop()
		<-c.done
	}
	c.stop()
	if n := c.queue.abandon(); n > 0 {
		err := rapport.Errorf(rapport.Unavailable, "%d events were not sent before the client closed: %w", n, context.Cause(ctx))
		c.opts.OnDrop(n, err)
		return err
	}
	return nil
}
