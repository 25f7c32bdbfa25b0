package deliver

import (
	"context"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
)

// Paced returns a sender that begins at most rate attempts a second; 0 is as
// many as come.
func Paced(s Sender, rate int, clock rapport.Clock) Sender {
	if rate <= 0 {
		return s
	}
	return &paced{sender: s, gap: time.Second / time.Duration(rate), clock: clock}
}

type paced struct {
	sender Sender
	gap    time.Duration
	clock  rapport.Clock

	mu   sync.Mutex
	next time.Time
}

// Send implements [Sender].
func (p *paced) Send(ctx context.Context, m *Message) Result {
	p.mu.Lock()
	now := p.clock.Now()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(p.gap)
	p.mu.Unlock()
	if wait > 0 {
		select {
		case <-p.clock.After(wait):
		case <-ctx.Done():
			return Result{Status: Retry, Busy: true, Detail: "stopped while waiting for its turn"}
		}
	}
	return p.sender.Send(ctx, m)
}
