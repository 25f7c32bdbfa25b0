package api

import (
	"sync"
	"time"
)

// Moment is one line of the live feed.
type Moment struct {
	ID       int64     `json:"id"`
	Kind     string    `json:"kind" enum:"event,decision,delivery"`
	Time     time.Time `json:"time"`
	PersonID string    `json:"personId"`
	Person   string    `json:"person" doc:"Name, masked identifier or id"`
	Name     string    `json:"name"`
	Detail   string    `json:"detail"`
	Source   string    `json:"source"`
	Millis   float64   `json:"millis,omitempty" doc:"Decisions: how long making it took, before it was recorded"`
	// DecisionID is set on decisions, to ask why.
	DecisionID string `json:"decisionId,omitempty"`
}

// Live fans the feed out to the consoles watching. Publishing never waits: a
// slow watcher loses moments and is told that there is a gap. The newest
// moments are kept, so that a watcher who reconnects misses nothing short.
type Live struct {
	mu       sync.Mutex
	next     int64
	kept     [512]Moment
	seeded   int64 // when the last moment nobody watched was kept, Unix ms
	watchers map[*Watcher]struct{}
}

// Watcher is one open console. C delivers moments; Gap is set when some were lost.
type Watcher struct {
	C    chan Moment // 256: about a second of a busy feed while a browser is slow
	live *Live
	gap  bool
}

// NewLive returns a feed nobody watches. Its ids begin at the given number,
// which must be higher than any used before.
func NewLive(first int64) *Live {
	return &Live{next: first, watchers: map[*Watcher]struct{}{}}
}

// Watched reports whether anybody is looking, so that nobody formats in vain.
func (l *Live) Watched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.watchers) > 0
}

// seedEvery is how often, in ms, a moment is kept while nobody watches: whoever
// opens a console sees at once what happened lately.
const seedEvery = 500

// Wants reports whether a moment at a time, Unix ms, is to be published: all
// while somebody watches, else a few a second.
func (l *Live) Wants(at int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.watchers) > 0 {
		return true
	}
	if at < l.seeded+seedEvery && at >= l.seeded {
		return false
	}
	l.seeded = at
	return true
}

// Publish adds a moment and hands it to every watcher that keeps up.
func (l *Live) Publish(m Moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.ID = l.next
	l.next++
	l.kept[m.ID%int64(len(l.kept))] = m
	for w := range l.watchers {
		select {
		case w.C <- m:
		default:
			w.gap = true
		}
	}
}

// Watch returns a watcher and what it missed since the moment with id last
// (0: the newest kept). missed is false when more was lost than is kept.
func (l *Live) Watch(last int64) (w *Watcher, backlog []Moment, whole bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w = &Watcher{C: make(chan Moment, 256), live: l}
	l.watchers[w] = struct{}{}
	whole = true
	from := l.next - 30
	if last > 0 && last < l.next {
		from = last + 1
	}
	if oldest := l.next - int64(len(l.kept)); from < oldest {
		from, whole = oldest, last == 0
	}
	for i := max(from, 0); i < l.next; i++ {
		if m := l.kept[i%int64(len(l.kept))]; m.ID == i && !m.Time.IsZero() {
			backlog = append(backlog, m)
		}
	}
	return w, backlog, whole
}

// Lost reports, once, whether moments were lost since the last call.
func (w *Watcher) Lost() bool {
	w.live.mu.Lock()
	defer w.live.mu.Unlock()
	gap := w.gap
	w.gap = false
	return gap
}

// Close ends the watch.
func (w *Watcher) Close() {
	w.live.mu.Lock()
	defer w.live.mu.Unlock()
	delete(w.live.watchers, w)
}
