package collect

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// QuarantineOptions bound the quarantine. A zero field means its default. What
// exceeds a bound leaves oldest first, and is counted.
type QuarantineOptions struct {
	Entries  int              // events held; default 50,000
	Bytes    int64            // their size in the log; default 256 MiB
	Age      rapport.Duration // default 30 days
	RawBytes int              // kept of one event; default 256 KiB, which is any event that is not oversize
}

func (o QuarantineOptions) withDefaults() QuarantineOptions {
	if o.Entries <= 0 {
		o.Entries = 50_000
	}
	if o.Bytes <= 0 {
		o.Bytes = 256 << 20
	}
	if o.Age <= 0 {
		o.Age = rapport.Duration(30 * 24 * time.Hour)
	}
	if o.RawBytes <= 0 {
		o.RawBytes = 256 << 10
	}
	return o
}

// Held is an event in quarantine.
type Held struct {
	ID         string            `json:"id"`
	Source     string            `json:"source"`
	Type       rapport.EventType `json:"type"`
	Event      string            `json:"event,omitempty"`
	MessageID  string            `json:"messageId"`
	ReceivedAt int64             `json:"receivedAt"` // Unix ms
	// Schema is the schema it breaks, empty if it breaks none.
	Schema string `json:"schema,omitempty"`
	// Problems are what is wrong, at most 16. In a list only the first is told.
	Problems []segmentwire.Problem `json:"problems"`
	// Bytes is the size of its JSON as received; Truncated says that only the
	// beginning was kept.
	Bytes     int  `json:"bytes"`
	Truncated bool `json:"truncated,omitempty"`
}

// HeldDetail is a held event with what was received.
type HeldDetail struct {
	Held
	// Raw is the event's JSON.
	Raw string `json:"raw"`
	// SentAt and Context came with its envelope.
	SentAt  int64          `json:"sentAt,omitempty"`
	Context rapport.Fields `json:"context,omitempty"`
	History bool           `json:"history,omitempty"`
}

// HeldFilter selects held events. Empty fields select all.
type HeldFilter struct {
	Source string
	Event  string
	Reason string // a problem's code, or its part before the dot
	Schema string
	// After continues a list behind the entry with this id.
	After string
	// Limit bounds a page; default 100, at most 1000.
	Limit int
}

// HeldPage is a part of a list, newest first.
type HeldPage struct {
	Events []Held `json:"events"`
	// Next is the After of the next page, empty at the end.
	Next string `json:"next,omitempty"`
	// Total is how many match in all.
	Total int `json:"total"`
}

// HeldCount counts held events that are alike.
type HeldCount struct {
	Source string `json:"source"`
	Event  string `json:"event"`
	Reason string `json:"reason"`
	Schema string `json:"schema,omitempty"`
	Count  int    `json:"count"`
}

// Quarantine holds the events that were kept out. It is a fold of its own topic
// of the log: an index in memory, the events themselves in the log. It answers
// while [Door.Run] runs, and sees all that was acknowledged before it was asked.
// Its methods return Unavailable if their context ends first.
type Quarantine struct {
	door *Door
	o    QuarantineOptions

	mu       sync.Mutex
	moved    chan struct{} // closed and replaced whenever position moves
	position int64         // next offset to fold
	trimmed  int64
	order    []int64 // offsets held, rising; some of them have left
	entries  map[int64]*entry
	known    map[[16]byte]int64 // fingerprint of (source, messageId) -> offset
	bytes    int64
}

// entry is what the index knows of a held event.
type entry struct {
	Held
	print [16]byte
	size  int64
}

func newQuarantine(d *Door) *Quarantine {
	return &Quarantine{door: d, o: d.Options.Quarantine, moved: make(chan struct{}), entries: map[int64]*entry{}, known: map[[16]byte]int64{}}
}

// run folds the topic until ctx ends.
func (q *Quarantine) run(ctx context.Context) error {
	first, _ := q.door.Log.Bounds(eventlog.Quarantine, 0)
	q.advance(first)
	for {
		err := q.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if rapport.KindOf(err) != rapport.NotFound {
			return err
		}
		// The log trimmed what was not folded yet: it was too old to be held.
		first, _ := q.door.Log.Bounds(eventlog.Quarantine, 0)
		q.advance(first)
	}
}

func (q *Quarantine) follow(ctx context.Context) error {
	q.mu.Lock()
	from := q.position
	q.mu.Unlock()
	r, err := q.door.Log.Reader(eventlog.Quarantine, 0, from)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		records, err := r.Next(ctx)
		if err != nil {
			return err
		}
		q.mu.Lock()
		for i := range records {
			q.fold(&records[i])
		}
		q.mu.Unlock()
		q.advance(records[len(records)-1].Offset + 1)
		q.expire()
	}
}

func (q *Quarantine) advance(position int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.position = max(q.position, position)
	close(q.moved)
	q.moved = make(chan struct{})
}

// fold applies one record. A record that cannot be read is passed over: it was
// written by a version that knew more.
func (q *Quarantine) fold(r *eventlog.Record) {
	switch r.Kind {
	case kindHeld:
		h, err := decodeHeld(r.Data)
		if err != nil {
			return
		}
		e := &entry{Held: h.index(), print: engine.Fingerprint(h.Source, h.MessageID), size: int64(len(r.Data))}
		if _, again := q.known[e.print]; again {
			q.door.stats.HeldRepeated.Add(1)
			return
		}
		e.ID = heldID(r.Offset)
		q.known[e.print] = r.Offset
		q.entries[r.Offset] = e
		q.order = append(q.order, r.Offset)
		q.bytes += e.size
	case kindSettled:
		for _, offset := range decodeSettled(r.Data) {
			q.drop(offset)
		}
	}
}

func (q *Quarantine) drop(offset int64) bool {
	e := q.entries[offset]
	if e == nil {
		return false
	}
	delete(q.entries, offset)
	delete(q.known, e.print)
	q.bytes -= e.size
	return true
}

// expire lets go what is too old or too much, and lets the log trim what lies
// before the oldest event still held.
func (q *Quarantine) expire() {
	oldest := rapport.Millis(q.door.Clock.Now()) - q.o.Age.Millis()
	q.mu.Lock()
	front := 0
	for ; front < len(q.order); front++ {
		e := q.entries[q.order[front]]
		if e == nil {
			continue
		}
		if len(q.entries) <= q.o.Entries && q.bytes <= q.o.Bytes && e.ReceivedAt >= oldest {
			break
		}
		q.drop(q.order[front])
		q.door.stats.HeldExpired.Add(1)
	}
	q.order = q.order[front:]
	if len(q.order) > 2*len(q.entries)+64 {
		q.order = slices.DeleteFunc(slices.Clone(q.order), func(o int64) bool { return q.entries[o] == nil })
	}
	below := q.position
	if len(q.order) > 0 {
		below = q.order[0]
	}
	trim := below > q.trimmed
	q.trimmed = max(q.trimmed, below)
	q.door.stats.HeldEntries.Store(int64(len(q.entries)))
	q.door.stats.HeldBytes.Store(q.bytes)
	q.mu.Unlock()
	if trim {
		// Trimming saves space only; it is tried again with the next event.
		_ = q.door.Log.Trim(eventlog.Quarantine, 0, below)
	}
}

// current waits until everything durable now is in the index.
func (q *Quarantine) current(ctx context.Context) error {
	_, next := q.door.Log.Bounds(eventlog.Quarantine, 0)
	for {
		q.mu.Lock()
		position, moved := q.position, q.moved
		q.mu.Unlock()
		if position >= next {
			q.expire()
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return rapport.Errorf(rapport.Unavailable, "the quarantine is still being read: %w", ctx.Err())
		}
	}
}

// List returns a page of held events, newest first. Kinds: Invalid (After is no
// id), Unavailable.
func (q *Quarantine) List(ctx context.Context, f HeldFilter) (HeldPage, error) {
	page := HeldPage{Events: []Held{}}
	before := int64(-1)
	if f.After != "" {
		var err error
		if before, err = heldOffset(f.After); err != nil {
			return page, err
		}
	}
	if err := q.current(ctx); err != nil {
		return page, err
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, offset := range slices.Backward(q.order) {
		e := q.entries[offset]
		if e == nil || !f.selects(&e.Held) {
			continue
		}
		page.Total++
		if before >= 0 && offset >= before {
			continue
		}
		if len(page.Events) < limit {
			page.Events = append(page.Events, e.Held)
		} else if page.Next == "" {
			page.Next = page.Events[limit-1].ID
		}
	}
	return page, nil
}

func (f *HeldFilter) selects(h *Held) bool {
	if (f.Source != "" && f.Source != h.Source) || (f.Event != "" && f.Event != h.Event) || (f.Schema != "" && f.Schema != h.Schema) {
		return false
	}
	code := h.Problems[0].Code
	group, _, _ := strings.Cut(code, ".")
	return f.Reason == "" || f.Reason == code || f.Reason == group
}

// Counts returns how many events are held of each sort, most first.
func (q *Quarantine) Counts(ctx context.Context) ([]HeldCount, error) {
	if err := q.current(ctx); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	counts := map[HeldCount]int{}
	for _, e := range q.entries {
		counts[HeldCount{Source: e.Source, Event: e.Event, Reason: e.Problems[0].Code, Schema: e.Schema}]++
	}
	out := make([]HeldCount, 0, len(counts))
	for c, n := range counts {
		c.Count = n
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b HeldCount) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Source+"\x00"+a.Event+"\x00"+a.Reason+"\x00"+a.Schema, b.Source+"\x00"+b.Event+"\x00"+b.Reason+"\x00"+b.Schema)
	})
	return out, nil
}

// Get returns a held event with all that was received. Kinds: NotFound,
// Unavailable, Internal.
func (q *Quarantine) Get(ctx context.Context, id string) (HeldDetail, error) {
	h, err := q.read(ctx, id)
	if err != nil {
		return HeldDetail{}, err
	}
	h.ID = id
	return HeldDetail{Held: h.Held, Raw: string(h.raw), SentAt: h.sentAt, Context: h.context, History: h.history}, nil
}

// read returns a held event from the log.
func (q *Quarantine) read(ctx context.Context, id string) (held, error) {
	offset, err := heldOffset(id)
	if err != nil {
		return held{}, err
	}
	if err := q.current(ctx); err != nil {
		return held{}, err
	}
	gone := rapport.Errorf(rapport.NotFound, "there is no event %s in quarantine", id)
	q.mu.Lock()
	known := q.entries[offset] != nil
	q.mu.Unlock()
	if !known {
		return held{}, gone
	}
	r, err := q.door.Log.Reader(eventlog.Quarantine, 0, offset)
	if err != nil {
		return held{}, err
	}
	defer r.Close()
	records, err := r.Next(ctx)
	if err != nil {
		return held{}, err
	}
	if records[0].Kind != kindHeld {
		return held{}, gone // erased from the log
	}
	return decodeHeld(records[0].Data)
}

// oldest returns the ids a filter selects, oldest first.
func (q *Quarantine) oldest(ctx context.Context, f HeldFilter) (ids []string, more bool, err error) {
	if err := q.current(ctx); err != nil {
		return nil, false, err
	}
	limit := f.Limit
	if limit <= 0 || limit > 1000 {
		limit = 1000
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, offset := range q.order {
		e := q.entries[offset]
		if e == nil || !f.selects(&e.Held) {
			continue
		}
		if len(ids) == limit {
			return ids, true, nil
		}
		ids = append(ids, e.ID)
	}
	return ids, false, nil
}

// Delete removes held events for good. It returns how many were there.
func (q *Quarantine) Delete(ctx context.Context, ids ...string) (int, error) {
	offsets := make([]int64, 0, len(ids))
	for _, id := range ids {
		offset, err := heldOffset(id)
		if err != nil {
			return 0, err
		}
		offsets = append(offsets, offset)
	}
	if err := q.current(ctx); err != nil {
		return 0, err
	}
	q.mu.Lock()
	offsets = slices.DeleteFunc(offsets, func(o int64) bool { return q.entries[o] == nil })
	q.mu.Unlock()
	if len(offsets) == 0 {
		return 0, nil
	}
	return len(offsets), eventlog.Append(ctx, q.door.Log, settledRecord(settledDeleted, offsets...))
}

// DeleteAll deletes what a filter selects, oldest first, at most Limit events
// (default and most 1000). It returns how many.
func (q *Quarantine) DeleteAll(ctx context.Context, f HeldFilter) (int, error) {
	ids, _, err := q.oldest(ctx, f)
	if err != nil {
		return 0, err
	}
	return q.Delete(ctx, ids...)
}

// heldID names the entry at an offset.
func heldID(offset int64) string { return "q_" + strconv.FormatInt(offset, 36) }

func heldOffset(id string) (int64, error) {
	if text, ok := strings.CutPrefix(id, "q_"); ok {
		if n, err := strconv.ParseInt(text, 36, 64); err == nil && n >= 0 {
			return n, nil
		}
	}
	return 0, rapport.Errorf(rapport.Invalid, "%q is not the id of a held event (want q_ and letters or digits)", id)
}

var errHeld = errors.New("quarantine record is damaged")
