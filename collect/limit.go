package collect

import (
	"math"
	"time"

	"github.com/rapport-engine/rapport"
)

// busy is the cause of a refusal that asks the client to come back.
type busy struct{ after time.Duration }

// Error says when.
func (b busy) Error() string { return "try again in " + b.after.Round(time.Second).String() }

// burst is how many seconds of its rate a source may spend at once.
const burst = 10

// bucket holds what a source may still send.
type bucket struct {
	left float64 // events
	at   time.Time
}

// allow takes n events from the source's bucket. A batch larger than the whole
// bucket passes when the bucket is full: refusing it would be for ever.
func (d *Door) allow(s *Source, n int) error {
	if s.Rate <= 0 {
		return nil
	}
	now := d.Clock.Now()
	rate, most := float64(s.Rate), float64(s.Rate*burst)
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.buckets[s.ID]
	if b == nil {
		b = &bucket{left: most, at: now}
		d.buckets[s.ID] = b
	}
	b.left = math.Min(most, b.left+rate*now.Sub(b.at).Seconds())
	b.at = now
	need := math.Min(float64(n), most)
	if b.left < need {
		after := time.Duration((need - b.left) / rate * float64(time.Second))
		return rapport.Errorf(rapport.Unavailable, "the source %s sends more than %d events a second: %w", s.ID, s.Rate, busy{after})
	}
	b.left -= float64(n)
	return nil
}

// reserve accounts for total bytes held by w, or refuses.
func (d *Door) reserve(w *work, total int) error {
	more := int64(total) - w.reserved
	if more <= 0 {
		return nil
	}
	if d.memory.Add(more) > d.Options.AllBytes {
		d.memory.Add(-more)
		return rapport.Errorf(rapport.Unavailable, "too many large requests at a time: %w", busy{time.Second})
	}
	w.reserved += more
	return nil
}

// admit asks whether what is behind the door can take n more events.
func (d *Door) admit(n int) error {
	if d.Admitter == nil {
		return nil
	}
	if err := d.Admitter.Admit(n); err != nil {
		// Clients refused together should not all come back together.
		after := time.Duration(1+d.spread.Add(1)%4) * time.Second
		return rapport.Errorf(rapport.Unavailable, "%s: %w", err.Error(), busy{after})
	}
	return nil
}
