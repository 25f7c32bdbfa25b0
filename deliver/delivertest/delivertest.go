// Package delivertest judges senders and makes trouble: a suite every sender
// passes, and a channel that fails, loses answers and dawdles as told.
//
// The channel's faults come from a seed, so that a trial repeats.
package delivertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
)

// Faults are what goes wrong, each a share of the attempts in [0,1].
type Faults struct {
	Fail   float64       // nothing arrives, worth trying again
	Lose   float64       // the message arrives, its answer does not
	Refuse float64       // nothing arrives, and never will
	Slow   time.Duration // how long every attempt takes
}

// Channel is a sender that keeps what arrives and fails as told.
type Channel struct {
	mu       sync.Mutex
	faults   Faults
	random   *rand.Rand
	arrived  map[string]int // by key
	attempts int
	busy     int
	mostBusy int
}

var _ deliver.Sender = (*Channel)(nil)

// New returns a channel with faults drawn from a seed.
func New(seed uint64, f Faults) *Channel {
	return &Channel{faults: f, random: rand.New(rand.NewPCG(seed, 0)), arrived: map[string]int{}}
}

// Set changes the faults.
func (c *Channel) Set(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = f
}

// Arrived returns how often each key arrived.
func (c *Channel) Arrived() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]int, len(c.arrived))
	for k, n := range c.arrived {
		out[k] = n
	}
	return out
}

// Attempts returns how many attempts were made, and how many at once at most.
func (c *Channel) Attempts() (all, atOnce int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attempts, c.mostBusy
}

// Send implements [deliver.Sender].
func (c *Channel) Send(ctx context.Context, m *deliver.Message) deliver.Result {
	c.mu.Lock()
	c.attempts++
	c.busy++
	c.mostBusy = max(c.mostBusy, c.busy)
	f, luck := c.faults, c.random.Float64()
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.busy--
		c.mu.Unlock()
	}()
	if f.Slow > 0 {
		select {
		case <-time.After(f.Slow):
		case <-ctx.Done():
			return deliver.Result{Status: deliver.Retry, Detail: "stopped"}
		}
	}
	switch {
	case luck < f.Fail:
		return deliver.Result{Status: deliver.Retry, Detail: "failed as told"}
	case luck < f.Fail+f.Refuse:
		return deliver.Result{Status: deliver.Failed, Code: 400, Detail: "refused as told"}
	}
	c.mu.Lock()
	c.arrived[m.Key]++
	c.mu.Unlock()
	if luck < f.Fail+f.Refuse+f.Lose {
		return deliver.Result{Status: deliver.Retry, Detail: "lost the answer as told"}
	}
	return deliver.Result{Status: deliver.Delivered}
}

// Message returns the n-th message for trials: an event of a person of its own.
func Message(n int) *deliver.Message {
	person := rapport.ID{byte(rapport.RankUserID), 8: byte(n), 9: byte(n >> 8)}
	return &deliver.Message{
		Key: fmt.Sprintf("webhook/crm/%04d", n), Person: person, Created: 1_770_000_000_000,
		Event: &rapport.Event{
			Type: rapport.TypeTrack, Name: "Order Completed", MessageID: fmt.Sprint("m", n), Source: "web", UserID: fmt.Sprint("u", n),
			Timestamp: 1_770_000_000_000, Properties: rapport.FieldsOf(map[string]any{"revenue": n, "note": "<é&\u2028>"}),
		},
	}
}

// Fixture is a sender with a destination to look into.
type Fixture struct {
	Sender deliver.Sender
	// Message returns the n-th message this sender can bring.
	Message func(n int) *deliver.Message
	// Received returns how often the destination got a message, by key.
	Received func() map[string]int
	// Break makes the destination answer nobody until Repair.
	Break, Repair func()
}

// Conform checks that a sender keeps the promises of [deliver.Sender].
func Conform(t *testing.T, open func(t *testing.T) Fixture) {
	t.Run("a message arrives and is said to", func(t *testing.T) {
		f := open(t)
		m := f.Message(1)
		if r := f.Sender.Send(t.Context(), m); r.Status != deliver.Delivered || f.Received()[m.Key] != 1 {
			t.Errorf("%+v, received %v", r, f.Received())
		}
	})
	t.Run("a second attempt goes under the same key", func(t *testing.T) {
		f := open(t)
		m := f.Message(1)
		f.Sender.Send(t.Context(), m)
		f.Sender.Send(t.Context(), m)
		if got := f.Received(); len(got) != 1 {
			t.Errorf("received %v", got)
		}
	})
	t.Run("a broken destination is worth another try", func(t *testing.T) {
		f := open(t)
		f.Break()
		m := f.Message(1)
		if r := f.Sender.Send(t.Context(), m); r.Status != deliver.Retry || r.Detail == "" {
			t.Errorf("broken: %+v", r)
		}
		f.Repair()
		if r := f.Sender.Send(t.Context(), m); r.Status != deliver.Delivered {
			t.Errorf("repaired: %+v", r)
		}
	})
	t.Run("an attempt ends when it is told to", func(t *testing.T) {
		f := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if r := f.Sender.Send(ctx, f.Message(1)); r.Status == deliver.Delivered || len(f.Received()) > 0 {
			t.Errorf("cancelled: %+v, received %v", r, f.Received())
		}
	})
	t.Run("many send at once", func(t *testing.T) {
		f := open(t)
		var wait sync.WaitGroup
		for n := range 32 {
			wait.Go(func() {
				if r := f.Sender.Send(t.Context(), f.Message(n)); r.Status != deliver.Delivered {
					t.Errorf("message %d: %+v", n, r)
				}
			})
		}
		wait.Wait()
		if got := f.Received(); len(got) != 32 {
			t.Errorf("%d of 32 arrived", len(got))
		}
	})
}
