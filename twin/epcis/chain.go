package epcis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

var errDamaged = errors.New("a record of the supply chain is damaged")

// Deps are what a Chain needs.
type Deps struct {
	Log   eventlog.Log
	Store *state.Store
	Clock rapport.Clock
	// Items tells twins what happened to them; nil tells nobody.
	Items Items
	// Notify delivers what a subscription asked for; nil allows none.
	Notify Notifier
	Logger *slog.Logger
	Limits Limits
}

// Items lets twins know of facts.
type Items interface {
	// Tell appends what the facts mean to items together with mark, in one
	// submission, and returns when that is durable. Kinds: Unavailable is tried
	// again.
	Tell(ctx context.Context, facts []Fact, mark eventlog.Record) error
}

// Chain is the repository of events. It is safe for concurrent use once Run runs.
type Chain struct {
	Deps

	mu       sync.Mutex
	position int64 // next offset to fold
	moved    chan struct{}
	err      error
	pending  map[id]bool // event ids submitted and not folded yet
	unfolded []captured  // of those, the durable ones
	begun    int64       // where the log ended at the start: ids before it are known once it is folded

	recalls  chan struct{} // a recall changed; room for one, as more say no more
	changing sync.Mutex    // one at a time reads a recall and writes what becomes of it
	capture  sync.Mutex    // one capture at a time checks and submits
}

// captured are the event ids of a capture, known once everything before end is folded.
type captured struct {
	ids []id
	end int64
}

// Open returns the chain as far as it was folded before.
func Open(d Deps) (*Chain, error) {
	if d.Limits.Bytes == 0 {
		d.Limits.Bytes = DefaultLimits.Bytes
	}
	if d.Limits.Events == 0 {
		d.Limits.Events = DefaultLimits.Events
	}
	c := &Chain{Deps: d, moved: make(chan struct{}), recalls: make(chan struct{}, 1), pending: map[id]bool{}}
	v, found, err := d.Store.Get(key('p'), nil)
	if err != nil {
		return nil, err
	}
	if found {
		if len(v) != 8 {
			return nil, rapport.Errorf(rapport.Internal, "position of the supply chain's index is damaged")
		}
		c.position = readNum(v)
	}
	first, next := d.Log.Bounds(eventlog.Things, 0)
	c.begun = next
	if c.position < first || c.position > next {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Internal, "the supply chain's index reflects offset %d of a log that holds %d to %d", c.position, first, next),
			"was one of the two folders replaced? remove the state folder: it is folded again from the log")
	}
	return c, nil
}

// Run folds the topic, tells items, and serves subscriptions until ctx ends.
func (c *Chain) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	for _, run := range []func(context.Context) error{c.fold, c.tell, c.subscribe} {
		work.Go(func() {
			if err := run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	work.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

// foldBatch is how many bytes of index are written at once.
const foldBatch = 4 << 20

func (c *Chain) fold(ctx context.Context) error {
	r, err := c.Log.Reader(eventlog.Things, 0, c.at())
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		records, err := r.Next(ctx)
		if err != nil {
			return err
		}
		for len(records) > 0 {
			n, err := c.foldSome(records)
			if err != nil {
				err = rapport.Errorf(rapport.Internal, "topic things, offset %d: %w", records[0].Offset, err)
				c.moveTo(c.at(), err)
				return err
			}
			records = records[n:]
		}
	}
}

func (c *Chain) foldSome(records []eventlog.Record) (n int, err error) {
	f := &folding{s: c.Store, batch: c.Store.Batch()}
	for n < len(records) && f.batch.Size() < foldBatch {
		if records[n].Kind != 0 {
			if err := f.record(&records[n]); err != nil {
				return 0, errors.Join(err, f.batch.Close())
			}
		}
		n++
	}
	next := records[n-1].Offset + 1
	f.set(key('p'), num(next))
	if f.err != nil {
		return 0, errors.Join(f.err, f.batch.Close())
	}
	if err := f.batch.Commit(); err != nil {
		return 0, err
	}
	c.moveTo(next, nil)
	return n, nil
}

func (c *Chain) at() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.position
}

func (c *Chain) moveTo(position int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.position, c.err = position, err
	close(c.moved)
	c.moved = make(chan struct{})
	c.unfolded = slices.DeleteFunc(c.unfolded, func(x captured) bool {
		if x.end > position {
			return false
		}
		c.release(x.ids)
		return true
	})
}

// Settle returns once the index reflects everything acknowledged before the call.
func (c *Chain) Settle(ctx context.Context) error {
	_, next := c.Log.Bounds(eventlog.Things, 0)
	return c.wait(ctx, next)
}

func (c *Chain) wait(ctx context.Context, offset int64) error {
	for {
		c.mu.Lock()
		position, err, moved := c.position, c.err, c.moved
		c.mu.Unlock()
		if position >= offset || err != nil {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return rapport.Errorf(rapport.Unavailable, "the index of the supply chain is behind: %w", ctx.Err())
		}
	}
}

// Behaviour says what becomes of a capture of which an event is refused.
type Behaviour string

// The behaviours (REST bindings, GS1-Capture-Error-Behaviour).
const (
	Rollback Behaviour = "rollback" // all or nothing; the default
	Proceed  Behaviour = "proceed"  // what is right is kept
)

// Job is what became of a capture.
type Job struct {
	ID         string     `json:"captureID"`
	CreatedAt  time.Time  `json:"createdAt"`
	FinishedAt time.Time  `json:"finishedAt"`
	Running    bool       `json:"running"`
	Success    bool       `json:"success"`
	Behaviour  Behaviour  `json:"captureErrorBehaviour"`
	Events     int        `json:"events"`
	Errors     []JobError `json:"errors"`
}

// JobError is why one event was not captured, as a problem document.
type JobError struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Event  string `json:"eventID,omitempty"`
}

// Capture appends the events of a document and returns the finished job: when
// it returns, everything captured is durable. An event whose id was captured
// before, without declaring an error, is refused. Kinds: Unavailable.
func (c *Chain) Capture(ctx context.Context, doc *Document, behaviour Behaviour) (*Job, error) {
	if behaviour != Proceed {
		behaviour = Rollback
	}
	if err := c.wait(ctx, c.begun); err != nil { // what was captured before a kill may not be folded yet
		return nil, err
	}
	j := &Job{ID: "id" + newHex(), CreatedAt: c.Clock.Now().UTC(), Behaviour: behaviour, Errors: []JobError{}}
	records := make([]eventlog.Record, 0, len(doc.Events)+1)

	c.capture.Lock()
	var ids []id
	for _, e := range doc.Events {
		made := e.ID == ""
		if made {
			e.ID = "urn:uuid:" + newUUID()
			e.JSON = append([]byte(`{"eventID":"`+e.ID+`",`), e.JSON[1:]...)
		}
		x := idOf(e.ID)
		if e.Error == nil && !made {
			known, err := c.known(x)
			if err != nil {
				c.capture.Unlock()
				return nil, err
			}
			if known {
				j.Errors = append(j.Errors, JobError{
					Type: "epcisException:" + ResourceAlreadyExistsException, Title: "Event exists", Status: 409,
					Detail: fmt.Sprintf("an event with the id %s was captured before", e.ID), Event: e.ID,
				})
				continue
			}
			c.mark(x)
			ids = append(ids, x)
		}
		records = append(records, eventlog.Record{Topic: eventlog.Things, Kind: recordEvent, Data: eventData(j.ID, e.JSON)})
	}
	if len(j.Errors) > 0 && behaviour == Rollback {
		records = records[:0]
		c.unmark(ids)
		ids = nil // they are free: who captures them next marks them anew
	}
	j.Events, j.Success, j.FinishedAt = len(records), len(j.Errors) == 0, c.Clock.Now().UTC()
	data, err := json.Marshal(j)
	if err == nil && len(doc.Master) > 0 && (j.Success || behaviour == Proceed) {
		var told eventlog.Record
		told, err = masterRecord(doc.Master)
		records = append(records, told)
	}
	if err != nil {
		c.capture.Unlock()
		return nil, err
	}
	records = append(records, eventlog.Record{Topic: eventlog.Things, Kind: recordJob, Data: data})
	pending := c.Log.Submit(records)
	c.capture.Unlock()
	// Whoever leaves before it is written must not free the ids: it may be written yet.
	if err := pending.Wait(context.WithoutCancel(ctx)); err != nil {
		c.unmark(ids)
		return nil, err
	}
	c.await(captured{ids, records[len(records)-1].Offset + 1})
	return j, nil
}

// known reports whether an event id was captured, or is about to be.
func (c *Chain) known(x id) (bool, error) {
	c.mu.Lock()
	pending := c.pending[x]
	c.mu.Unlock()
	if pending {
		return true, nil
	}
	_, found, err := c.Store.Get(key('i', x[:]), nil)
	return found, err
}

func (c *Chain) mark(x id) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending[x] = true
}

func (c *Chain) unmark(ids []id) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(ids)
}

// release is unmark for who holds the mutex.
func (c *Chain) release(ids []id) {
	for _, x := range ids {
		delete(c.pending, x)
	}
}

// await keeps the ids of a durable capture marked until the index knows them.
func (c *Chain) await(x captured) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.end <= c.position {
		c.release(x.ids)
		return
	}
	c.unfolded = append(c.unfolded, x)
}

// Job returns a capture job. Exception: NoSuchResource.
func (c *Chain) Job(ctx context.Context, name string) (*Job, error) {
	if err := c.Settle(ctx); err != nil {
		return nil, err
	}
	at, found, err := c.Store.Get(key('b', []byte(name)), nil)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, Raise(NoSuchResourceException, "there is no capture job %s", name)
	}
	data, _, err := c.Store.Get(key('j', at), nil)
	if err != nil {
		return nil, err
	}
	j := &Job{}
	return j, json.Unmarshal(data, j)
}

// Jobs returns capture jobs, newest first, those before the page token.
func (c *Chain) Jobs(ctx context.Context, limit int, token string) (jobs []Job, next string, err error) {
	if err := c.Settle(ctx); err != nil {
		return nil, "", err
	}
	upper := state.PrefixEnd(key('j'))
	if token != "" {
		b, err := hex.DecodeString(token)
		if err != nil {
			return nil, "", Raise(QueryParameterException, "nextPageToken is none of ours")
		}
		upper = key('j', b)
	}
	it, err := c.Store.Scan(key('j'), upper)
	if err != nil {
		return nil, "", err
	}
	jobs = []Job{}
	for it.Last(); it.Valid(); it.Prev() {
		if len(jobs) == limit {
			break
		}
		var j Job
		if err := json.Unmarshal(it.Value(), &j); err != nil {
			return nil, "", errors.Join(err, it.Close())
		}
		jobs = append(jobs, j)
		next = hex.EncodeToString(it.Key()[len(key('j')):])
	}
	if !it.Valid() {
		next = ""
	}
	return jobs, next, it.Close()
}

// CaptureOne captures a single event and returns its id. Exception:
// ResourceAlreadyExists.
func (c *Chain) CaptureOne(ctx context.Context, e *Event) (string, error) {
	j, err := c.Capture(ctx, &Document{Events: []*Event{e}}, Rollback)
	if err != nil {
		return "", err
	}
	if !j.Success {
		return "", Raise(ResourceAlreadyExistsException, "%s", j.Errors[0].Detail)
	}
	return e.ID, nil
}

// event returns a captured event by its offset.
func (c *Chain) event(r reader, seq int64) (*Event, error) {
	data, found, err := r.Get(key('e', num(seq)), nil)
	if err != nil {
		return nil, err
	}
	if !found || len(data) < 8 {
		return nil, rapport.Errorf(rapport.Internal, "event %d of the supply chain is missing", seq)
	}
	e, err := decodeEvent(data[8:])
	if err != nil {
		return nil, err
	}
	e.Record = readMoment(data)
	e.JSON = append([]byte(`{"recordTime":"`+formatTime(e.Record)+`",`), e.JSON[1:]...)
	return e, nil
}

// reader is the store, or a snapshot of it.
type reader interface {
	Get(key, dst []byte) ([]byte, bool, error)
	Scan(lower, upper []byte) (*state.Iterator, error)
}

func newHex() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
