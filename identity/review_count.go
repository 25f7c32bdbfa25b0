package identity

import (
	"context"
	"sync"
	"time"
)

// counted is how many links wait for somebody, when that was last found out.
type counted struct {
	mu    sync.Mutex
	n     int
	at    int64  // offset of the identity topic it reflects
	rules *Rules // in force
	took  time.Duration
	when  time.Time
	known bool
}

// countingShare is how many times longer than counting took a count is good for
// while links come in.
const countingShare = 100

// Reviewing returns how many links wait for somebody, for whoever asks again and
// again: it is counted anew when something has changed, and then only so often
// that it takes a hundredth of the time. Kinds: Unavailable.
func (r *Resolver) Reviewing(ctx context.Context) (int, error) {
	c := &r.reviewing
	c.mu.Lock()
	defer c.mu.Unlock()
	at, rules := r.journal.at(), r.Rules()
	if c.known && c.rules == rules && (c.at == at || time.Since(c.when) < countingShare*c.took) {
		return c.n, nil
	}
	begun := time.Now()
	_, n, err := r.Reviews(ctx, 0)
	if err != nil {
		return 0, err
	}
	c.n, c.at, c.rules, c.known = n, at, rules, true
	c.when = time.Now()
	c.took = c.when.Sub(begun)
	return n, nil
}

// forget has it counted anew: whoever decided wants to see it.
func (c *counted) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = false
}
