package app

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
)

// worldClock is the deployment's clock. It is the wall clock until the demo
// world lets time pass faster; from then on it never goes back to the wall's
// time, because time must not fall, and remembers over restarts where it was.
type worldClock struct {
	path string

	mu      sync.Mutex
	at      rapport.ScaledClock
	changed chan struct{} // closed when the speed changes
}

// savedClock is what a clock remembers.
type savedClock struct {
	Ahead int64   `json:"aheadMillis"` // of the wall clock when saved
	Speed float64 `json:"speed"`
}

// openClock returns the clock of a data folder.
func openClock(dir string) (*worldClock, error) {
	now := time.Now()
	c := &worldClock{
		path: filepath.Join(dir, "clock.json"), changed: make(chan struct{}),
		at: rapport.ScaledClock{Start: now, Epoch: now, Speed: 1},
	}
	text, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	var saved savedClock
	if err := json.Unmarshal(text, &saved); err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "%s is damaged", c.path), "delete it: the demo's time then begins at the wall's")
	}
	if saved.Ahead > 0 {
		c.at.Epoch = now.Add(time.Duration(saved.Ahead) * time.Millisecond)
	}
	return c, nil
}

func (c *worldClock) now() (rapport.ScaledClock, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.changed
}

// Now implements rapport.Clock.
func (c *worldClock) Now() time.Time {
	at, _ := c.now()
	return at.Now()
}

// After implements rapport.Clock. A change of speed reaches those who wait.
func (c *worldClock) After(d time.Duration) <-chan time.Time {
	at, changed := c.now()
	if at.Speed == 1 && d <= time.Minute {
		return time.After(d) // the usual case needs no goroutine; a change of speed can wait a minute
	}
	out := make(chan time.Time, 1) // the waiter may have left
	due := at.Now().Add(d)
	go func() {
		for {
			at, changed = c.now()
			left := due.Sub(at.Now())
			if left <= 0 {
				out <- at.Now()
				return
			}
			timer := time.NewTimer(time.Duration(float64(left) / at.Speed))
			select {
			case <-timer.C:
			case <-changed:
				timer.Stop()
			}
		}
	}()
	return out
}

// SetSpeed lets time pass speed times as fast as the wall's from now on.
func (c *worldClock) SetSpeed(speed float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = rapport.ScaledClock{Start: time.Now(), Epoch: c.at.Now(), Speed: speed}
	close(c.changed)
	c.changed = make(chan struct{})
}

// Speed returns the present speed.
func (c *worldClock) Speed() float64 {
	at, _ := c.now()
	return at.Speed
}

// save remembers how far ahead of the wall the clock is. It does nothing for a
// clock that never left the wall's time.
func (c *worldClock) save() error {
	at, _ := c.now()
	ahead := time.Until(at.Now())
	if ahead < time.Second && at.Speed == 1 {
		return nil
	}
	text, err := json.Marshal(savedClock{ahead.Milliseconds() + 1, at.Speed})
	if err != nil {
		return err
	}
	return writeDurably(c.path, append(text, '\n'), 0o600)
}
