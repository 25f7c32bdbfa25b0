package deliver

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// The schedule of retries and the breaker.
const (
	firstDelay = time.Second
	lastDelay  = 15 * time.Minute
	// window is how many messages of a destination are in memory at most, if not more are sent at once.
	window = 64
	// breakAfter attempts failed in a row open the breaker; it is tried again
	// after firstPause, then twice as long, up to lastPause.
	breakAfter = 5
	firstPause = 2 * time.Second
	lastPause  = 5 * time.Minute
	// maxAfter bounds what a destination may ask for in Retry-After.
	maxAfter = time.Hour
)

// attempt is a message in memory.
type attempt struct {
	message *Message
	tries   int
	due     time.Time
}

// lane brings messages to one destination. One goroutine decides what is sent
// when; attempts run beside it.
type lane struct {
	Destination
	deps  Deps
	after <-chan struct{} // the lane before this one has ended; nil if there was none

	// Owned by run.
	retries  []*attempt // in order of due time
	underWay int
	failures int // attempts failed in a row
	paused   time.Time

	mu     sync.Mutex
	health Health
}

func newLane(d Destination, deps Deps) *lane {
	d.Parallel = max(1, d.Parallel)
	l := &lane{Destination: d, deps: deps, health: Health{Kind: d.Kind, State: "working"}}
	if l.removed() {
		l.health.State = "removed"
	}
	return l
}

// inherit keeps the figures of the lane this one replaces.
func (l *lane) inherit(before *lane) {
	h := before.state()
	l.health.Delivered, l.health.Failed, l.health.Attempts = h.Delivered, h.Failed, h.Attempts
	l.health.LastError, l.health.LastSuccess = h.LastError, h.LastSuccess
}

func (l *lane) state() Health {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.health
}

// ended is an attempt that came back.
type ended struct {
	attempt *attempt
	result  Result
	sick    bool // speaks against the destination's health
	stopped bool // in the middle: the outbox has to offer the message again
}

func (l *lane) run(ctx context.Context) {
	if l.after != nil {
		<-l.after
	}
	box := l.deps.Outbox(l.Kind)
	fresh := make(chan engine.Effect)
	done := make(chan ended, l.Parallel) // so that an attempt ends although nobody listens any more
	var wait sync.WaitGroup
	wait.Add(1)
	go func() {
		defer wait.Done()
		l.pull(ctx, box, fresh)
	}()
	defer func() {
		wait.Wait()
		close(done)
		for x := range done {
			if x.stopped || x.result.Status == Retry {
				l.retries = append(l.retries, x.attempt)
			}
		}
		for _, a := range l.retries {
			box.Release(a.message.Key)
		}
	}()
	send := func(a *attempt) {
		l.underWay++
		failing := l.failures >= breakAfter
		wait.Add(1)
		go func() {
			defer wait.Done()
			done <- l.try(ctx, a, failing)
		}()
	}
	for ctx.Err() == nil {
		now := l.deps.Clock.Now()
		var in <-chan engine.Effect
		var wake time.Time
		switch {
		case now.Before(l.paused):
			wake = l.paused
		case l.underWay >= l.Parallel || l.failures >= breakAfter && l.underWay > 0:
			// Full, or one attempt under way decides whether the breaker closes.
		case len(l.retries) > 0 && !l.retries[0].due.After(now):
			a := l.retries[0]
			l.retries = slices.Delete(l.retries, 0, 1)
			send(a)
			continue
		default:
			if len(l.retries) > 0 {
				wake = l.retries[0].due
			}
			if len(l.retries)+l.underWay < max(window, l.Parallel) {
				in = fresh
			}
		}
		l.report()
		var timer <-chan time.Time
		if !wake.IsZero() {
			timer = l.deps.Clock.After(wake.Sub(now))
		}
		select {
		case <-ctx.Done():
		case <-timer:
		case e := <-in:
			m, err := decodeMessage(e)
			if err != nil {
				// Damage is told and passed over: it must not block what stands behind it.
				l.deps.Logger.Error("message cannot be read", slog.String("key", e.Key), slog.Any("error", err))
				continue
			}
			send(&attempt{message: m})
		case x := <-done:
			l.underWay--
			l.settle(x)
			if x.stopped {
				l.paused = l.deps.Clock.Now().Add(firstPause)
				box.Release(x.attempt.message.Key)
			}
		}
	}
}

// pull takes effects from the outbox one by one.
func (l *lane) pull(ctx context.Context, box Outbox, fresh chan<- engine.Effect) {
	for {
		e, err := box.Next(ctx)
		if ctx.Err() != nil {
			if err == nil {
				box.Release(e.Key) // for the lane that takes over
			}
			return
		}
		if err != nil {
			if rapport.KindOf(err) == rapport.Unavailable {
				return // the engine stops
			}
			l.deps.Logger.Error("outbox cannot be read", slog.String("destination", l.Kind), slog.Any("error", err))
			select {
			case <-l.deps.Clock.After(firstPause):
				continue
			case <-ctx.Done():
				return
			}
		}
		select {
		case fresh <- e:
		case <-ctx.Done():
			box.Release(e.Key)
			return
		}
	}
}

// try makes one attempt and, when its result is final, records it.
func (l *lane) try(ctx context.Context, a *attempt, failing bool) ended {
	m := a.message
	age := l.deps.Clock.Now().Sub(rapport.Time(m.Created))
	var r Result
	switch ok, err := l.deps.Consent.Allows(ctx, m.Person, m.Purpose(), l.Channel); {
	case err != nil:
		r = Result{Status: Retry, Detail: "consent cannot be read", Busy: true}
	case !ok:
		r = Result{Status: Withheld, Detail: "consent was withdrawn before sending"}
	case failing && l.GiveUp > 0 && age > l.GiveUp:
		r = Result{Status: Failed, Detail: "not delivered within " + rapport.Duration(l.GiveUp).String()}
	default:
		a.tries++
		r = l.Sender.Send(ctx, m)
	}
	if ctx.Err() != nil && r.Status != Delivered {
		return ended{attempt: a, result: r, stopped: true}
	}
	x := ended{attempt: a, result: r, sick: r.Status == Retry && !r.Busy}
	if r.Status == Retry && age >= l.GiveUp && a.tries > 0 {
		x.result.Status = Failed
	}
	if x.result.Status != Retry {
		x.stopped = !l.record(ctx, a, x.result)
	}
	return x
}

// record appends the result. It tries until the log takes it or the program
// stops: then the message is sent again after the start, under the same key.
func (l *lane) record(ctx context.Context, a *attempt, r Result) bool {
	e := resultEvent(l.Kind, a.message, r, a.tries, rapport.Millis(l.deps.Clock.Now()))
	for n := 0; ; n++ {
		err := l.append(ctx, e)
		if err == nil {
			return true
		}
		if ctx.Err() != nil || rapport.KindOf(err) != rapport.Unavailable {
			l.deps.Logger.Error("result of a delivery was not recorded", slog.String("key", a.message.Key), slog.Any("error", err))
			return false
		}
		select {
		case <-l.deps.Clock.After(delay(e.MessageID, n)):
		case <-ctx.Done():
		}
	}
}

// append gives a result a last try while stopping: without it, the message is sent twice.
func (l *lane) append(ctx context.Context, e *rapport.Event) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return l.deps.Append(ctx, e)
}

// settle takes note of an attempt that ended.
func (l *lane) settle(x ended) {
	now := l.deps.Clock.Now()
	tried := x.attempt.tries > 0
	l.mu.Lock()
	if tried {
		l.health.Attempts++
	}
	switch x.result.Status {
	case Delivered:
		l.health.Delivered++
		l.health.LastSuccess = &now
	case Failed:
		l.health.Failed++
	}
	if x.sick || x.result.Status == Failed {
		l.health.LastError = x.result.Detail
	}
	l.mu.Unlock()
	pause := min(x.result.After, maxAfter)
	switch {
	case x.sick:
		if l.failures++; l.failures >= breakAfter {
			l.paused = now.Add(max(pause, min(lastPause, firstPause<<min(l.failures-breakAfter, 10))))
		}
	case x.result.Busy:
		if pause > 0 {
			l.paused = now.Add(pause) // it asked for less of everything
		}
	case tried:
		l.failures = 0 // it answered
	}
	if x.result.Status == Retry {
		x.attempt.due = now.Add(max(delay(x.attempt.message.Key, max(0, x.attempt.tries-1)), pause))
		at, _ := slices.BinarySearchFunc(l.retries, x.attempt, func(a, b *attempt) int { return a.due.Compare(b.due) })
		l.retries = slices.Insert(l.retries, at, x.attempt)
	}
}

// report publishes the state of the lane.
func (l *lane) report() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.health.UnderWay, l.health.Retrying = l.underWay, len(l.retries)
	l.health.PausedUntil = nil
	switch {
	case l.removed():
		l.health.State = "removed"
	case l.failures >= breakAfter:
		l.health.State = "paused"
		until := l.paused
		l.health.PausedUntil = &until
	case l.failures > 0:
		l.health.State = "failing"
	default:
		l.health.State = "working"
	}
}

// delay returns how long to wait after the n-th failure (from 0): doubling, with
// a jitter of half to one and a half that depends on the key alone, so that many
// messages do not come back at once and a test knows when they do.
func delay(key string, n int) time.Duration {
	d := min(lastDelay, firstDelay<<min(n, 20))
	h := fnv.New64a()
	h.Write(binary.AppendUvarint([]byte(key), uint64(n)))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return d/2 + time.Duration(float64(d)*float64(x>>11)/(1<<53))
}
