// Package inapp pushes decisions to people who are looking, as server-sent
// events.
//
// Guarantees: a message counts as delivered when it was written to at least one
// open connection of the person; one that meets nobody within the linger time
// expires, for its moment has passed. A client that reconnects with
// Last-Event-ID gets what it missed within the keep time, and may see an id
// twice, never a message of somebody else. Memory is bounded: so many people,
// so few messages each; a slow client delays nobody and loses the oldest.
package inapp

import (
	"container/list"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
)

// Limits of the hub.
const (
	maxPeople      = 20_000 // people with kept messages and nobody connected
	maxConnections = 50_000
	maxPerPerson   = 8  // connections of one person
	maxKept        = 16 // messages kept of one person
	keep           = 5 * time.Minute
	heartbeat      = 15 * time.Second
	writeTimeout   = 10 * time.Second
)

// Linger is how long a message waits for its person to connect, as between two pages.
const Linger = 30 * time.Second

// Parallel is how many messages may wait for their people at once.
const Parallel = 1024

// Options are what a Hub needs.
type Options struct {
	Clock rapport.Clock
	// Decision reads the body of a "Decision Made" event.
	Decision func(body []byte) (*rapport.Decision, error)
	// Consent is asked for every item, since one decision may hold several purposes.
	Consent deliver.Consenter
	// Fill, if set, fills in the templates of an item's content.
	Fill func(ctx context.Context, person rapport.ID, decision string, c *rapport.Choice) (rapport.Fields, error)
}

// Hub connects senders and clients. It implements [deliver.Sender].
type Hub struct {
	opts Options

	mu          sync.Mutex
	boxes       map[rapport.ID]*mailbox
	idle        list.List // boxes without connections, oldest first
	connections int
}

var _ deliver.Sender = (*Hub)(nil)

// mailbox holds the newest messages of one person.
type mailbox struct {
	person  rapport.ID
	next    int64 // sequence of the next message
	kept    []item
	clients map[chan struct{}]struct{} // each of capacity 1: a wake
	place   *list.Element              // in idle; nil while someone is connected
}

type item struct {
	seq  int64
	id   string
	data []byte
	at   time.Time
	seen chan struct{} // closed when written to a client; nil once that happened
}

// New returns a Hub nobody is connected to.
func New(o Options) *Hub {
	return &Hub{opts: o, boxes: map[rapport.ID]*mailbox{}}
}

// Send implements [deliver.Sender]: it waits until a client of the person has
// taken the message, at most for Linger.
func (h *Hub) Send(ctx context.Context, m *deliver.Message) deliver.Result {
	d, err := h.opts.Decision(m.Event.Body)
	if err != nil {
		return deliver.Result{Status: deliver.Failed, Detail: "the decision cannot be read"}
	}
	shown := *d
	shown.Items = nil
	for _, c := range d.Items {
		if c.Purpose != "" {
			ok, err := h.opts.Consent.Allows(ctx, m.Person, c.Purpose, c.Channel)
			if err != nil {
				return deliver.Result{Status: deliver.Retry, Busy: true, Detail: "consent cannot be read"}
			}
			if !ok {
				continue
			}
		}
		if h.opts.Fill != nil {
			if c.Content, err = h.opts.Fill(ctx, m.Person, d.ID, &c); err != nil {
				return deliver.Result{Status: deliver.Retry, Busy: true, Detail: "the profile cannot be read"}
			}
		}
		shown.Items = append(shown.Items, c)
	}
	if len(shown.Items) == 0 {
		return deliver.Result{Status: deliver.Withheld, Detail: "consent was withdrawn before sending"}
	}
	seq, seen := h.put(m.Person, d.ID, deliver.AppendItems(nil, &shown))
	select {
	case <-seen:
		return deliver.Result{Status: deliver.Delivered}
	case <-h.opts.Clock.After(Linger):
	case <-ctx.Done():
	}
	if !h.withdraw(m.Person, seq) {
		return deliver.Result{Status: deliver.Delivered} // taken in the last moment
	}
	if ctx.Err() != nil {
		return deliver.Result{Status: deliver.Retry, Busy: true, Detail: "stopped while waiting"}
	}
	return deliver.Result{Status: deliver.Expired, Detail: "nobody was looking"}
}

// put keeps a message and wakes the person's clients.
func (h *Hub) put(person rapport.ID, id string, data []byte) (seq int64, seen <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.opts.Clock.Now()
	b := h.box(person, now)
	it := item{seq: b.next, id: id, data: data, at: now, seen: make(chan struct{})}
	b.next++
	if len(b.kept) == maxKept {
		b.kept = append(b.kept[:0], b.kept[1:]...)
	}
	b.kept = append(b.kept, it)
	for c := range b.clients {
		wake(c)
	}
	return it.seq, it.seen
}

// withdraw takes a message back; it is false if a client has it already.
func (h *Hub) withdraw(person rapport.ID, seq int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.boxes[person]
	if b == nil {
		return true
	}
	for i := range b.kept {
		if b.kept[i].seq == seq {
			if b.kept[i].seen == nil {
				return false
			}
			b.kept = append(b.kept[:i], b.kept[i+1:]...)
			return true
		}
	}
	return true
}

// box returns a person's mailbox, a new one if need be. The mutex is held.
func (h *Hub) box(person rapport.ID, now time.Time) *mailbox {
	for e := h.idle.Front(); e != nil; e = h.idle.Front() {
		old := e.Value.(*mailbox)
		fresh := len(old.kept) > 0 && now.Sub(old.kept[len(old.kept)-1].at) < keep
		if fresh && h.idle.Len() < maxPeople {
			break
		}
		h.idle.Remove(e)
		delete(h.boxes, old.person)
	}
	b := h.boxes[person]
	if b == nil {
		// Sequences begin at the time, so that an id from before a restart is older than all.
		b = &mailbox{person: person, next: now.UnixMicro(), clients: map[chan struct{}]struct{}{}}
		b.place = h.idle.PushBack(b)
		h.boxes[person] = b
	} else if b.place != nil {
		h.idle.MoveToBack(b.place)
	}
	return b
}

// take returns the messages after seq that are still of use.
func (h *Hub) take(b *mailbox, seq int64) []item {
	h.mu.Lock()
	defer h.mu.Unlock()
	oldest := h.opts.Clock.Now().Add(-keep)
	var out []item
	for _, it := range b.kept {
		if it.seq > seq && it.at.After(oldest) {
			out = append(out, it)
		}
	}
	return out
}

// written marks messages as delivered.
func (h *Hub) written(b *mailbox, upTo int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range b.kept {
		if it := &b.kept[i]; it.seq <= upTo && it.seen != nil {
			close(it.seen)
			it.seen = nil
		}
	}
}

// connect adds a client. The error is Unavailable when there are too many.
func (h *Hub) connect(person rapport.ID, last string) (b *mailbox, c chan struct{}, from int64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.connections >= maxConnections {
		return nil, nil, 0, rapport.Errorf(rapport.Unavailable, "%d streams are open, no more are taken", h.connections)
	}
	b = h.box(person, h.opts.Clock.Now())
	if len(b.clients) >= maxPerPerson {
		return nil, nil, 0, rapport.Errorf(rapport.Unavailable, "this person has %d streams open, no more are taken", len(b.clients))
	}
	if b.place != nil {
		h.idle.Remove(b.place)
		b.place = nil
	}
	c = make(chan struct{}, 1)
	b.clients[c] = struct{}{}
	h.connections++
	// A new client gets what waits for its person; one that comes back, also
	// what others may have seen since the message it names.
	from = b.next - 1
	for i := range b.kept {
		if b.kept[i].seen != nil {
			from = min(from, b.kept[i].seq-1)
		}
		if last != "" && b.kept[i].id == last {
			from = b.kept[i].seq
		}
	}
	return b, c, from, nil
}

func (h *Hub) disconnect(b *mailbox, c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.connections--
	delete(b.clients, c)
	if len(b.clients) == 0 {
		b.place = h.idle.PushBack(b)
	}
}

// Connections returns how many streams are open.
func (h *Hub) Connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.connections
}

// Serve streams a person's messages until the client leaves or the request's
// context ends. The caller has made sure that the client may read them. An
// error is returned before anything was written: Unavailable when too many
// streams are open, Internal when the writer cannot stream.
func (h *Hub) Serve(w http.ResponseWriter, r *http.Request, person rapport.ID) error {
	b, c, seq, err := h.connect(person, r.Header.Get("Last-Event-ID"))
	if err != nil {
		return err
	}
	defer h.disconnect(b, c)
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	if err := write(w, out, []byte("retry: 2000\n\n")); err != nil {
		return rapport.Errorf(rapport.Internal, "stream: %w", err)
	}
	wake(c)
	for {
		select {
		case <-r.Context().Done():
			return nil
		case <-h.opts.Clock.After(heartbeat):
			if write(w, out, []byte(": still here\n\n")) != nil {
				return nil
			}
		case <-c:
			items := h.take(b, seq)
			if len(items) == 0 {
				continue
			}
			var buf []byte
			for _, it := range items {
				buf = append(buf, "id: "+it.id+"\nevent: decision\ndata: "...)
				buf = append(buf, it.data...)
				buf = append(buf, "\n\n"...)
			}
			if write(w, out, buf) != nil {
				return nil // the client is gone; what it did not get waits for the next
			}
			seq = items[len(items)-1].seq
			h.written(b, seq)
		}
	}
}

func write(w http.ResponseWriter, out *http.ResponseController, b []byte) error {
	// Not every writer has deadlines; then the server's own hold.
	_ = out.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := w.Write(b); err != nil {
		return err
	}
	return out.Flush()
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// People returns of how many people something is remembered.
func (h *Hub) People() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.boxes)
}
