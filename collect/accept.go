package collect

import (
	"compress/gzip"
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// Delivery is one body for [Door.Accept].
type Delivery struct {
	// Source is the id of the source it came from.
	Source string
	// Body is JSON: one event, or a batch. It must not change during the call
	// and is not kept.
	Body []byte
	// Type is that of the event if Body does not say it, or 0.
	Type rapport.EventType
	// History marks every event as history.
	History bool
}

// Receipt says what became of a body.
type Receipt struct {
	// Accepted events are durable; duplicates are among them.
	Accepted int
	// Held events are durable too, in quarantine.
	Held int
	// Problems are those of the first few held events.
	Problems []segmentwire.Problem
	// Tokens are the positions a read must have passed to see the events, one
	// per partition touched.
	Tokens []engine.Token
	// Strongest is the strongest identifier of the first accepted event.
	Strongest rapport.Identifier
}

// Accept takes in a body that did not come through this door's HTTP handlers,
// with the same rules. It returns when all of it is durable. Kinds: NotFound
// (source), Denied (source disabled), Invalid (not JSON), TooLarge,
// Unavailable (try again), Internal.
func (d *Door) Accept(ctx context.Context, in Delivery) (Receipt, error) {
	s := d.Config().Source(in.Source)
	if s == nil {
		return Receipt{}, rapport.Errorf(rapport.NotFound, "there is no source %q", in.Source)
	}
	w := d.work.Get().(*work)
	defer d.release(w)
	w.want(&d.Deps, in.Type, in.History, rapport.Millis(d.Clock.Now()))
	if err := segmentwire.Parse(in.Body, w.opts(s), &w.batch); err != nil {
		return Receipt{}, err
	}
	var r Receipt
	err := d.take(ctx, w, s, &r)
	return r, err
}

// work is the memory one request needs, used again by later ones.
type work struct {
	body, inflated []byte
	gzip           *gzip.Reader
	batch          segmentwire.Batch
	options        segmentwire.Options
	records        []eventlog.Record
	data           []byte
	held           []held
	reserved       int64
	// strict makes an event that would be held an error: it comes from quarantine.
	strict bool
	// settles are records about the quarantine to submit with the events.
	settles []eventlog.Record
}

// want sets how the body at hand is to be read.
func (w *work) want(o *Deps, t rapport.EventType, history bool, now int64) {
	w.options = segmentwire.Options{
		Type: t, History: history, ReceivedAt: now, HistoryAfter: o.Options.HistoryAfter.Millis(), Limits: o.Options.Wire, Normalize: o.Normalize,
	}
}

// opts completes the options once the source is known.
func (w *work) opts(s *Source) *segmentwire.Options {
	w.options.Identifiers = s.Identifiers
	return &w.options
}

func (d *Door) release(w *work) {
	d.memory.Add(-w.reserved)
	const keep = 4 << 20
	if cap(w.body) > keep || cap(w.inflated) > keep || cap(w.data) > keep || cap(w.records) > 8192 || cap(w.held) > 1024 {
		return
	}
	w.batch.Reset()
	clear(w.records)
	clear(w.held)
	*w = work{body: w.body[:0], inflated: w.inflated[:0], gzip: w.gzip, batch: w.batch, records: w.records[:0], data: w.data[:0], held: w.held[:0]}
	d.work.Put(w)
}

// take makes the parsed events of w durable. r may be nil.
func (d *Door) take(ctx context.Context, w *work, s *Source, r *Receipt) error {
	if s.Disabled && !w.strict {
		return rapport.WithHint(rapport.Errorf(rapport.Denied, "the source %s is disabled", s.ID), "enable it in its source document")
	}
	b := &w.batch
	total := len(b.Events) + len(b.Rejects)
	if total == 0 {
		return nil
	}
	if !w.strict {
		if err := d.allow(s, total); err != nil {
			return err
		}
	}
	d.hold(w, s)
	if w.strict && len(w.held) > 0 {
		return w.held[0].refusal()
	}
	events := b.Events
	size := 0
	for i := range events {
		e := &events[i]
		size += len(e.Properties) + len(e.Traits) + len(e.Context)
	}
	if size > maxSubmission {
		return rapport.WithHint(rapport.Errorf(rapport.TooLarge, "the events take %d bytes, at most %d can be stored together", size, maxSubmission), "send smaller batches")
	}
	if p, ok := d.Admitter.(Pacer); ok {
		p.Pace(ctx, len(events))
	}
	if err := d.admit(len(events)); err != nil {
		return err
	}
	stamped, err := d.Resolver.Stamp(events)
	if err != nil {
		return err
	}
	for i := range events {
		d.record(w, &events[i])
	}
	w.records = append(w.records, stamped.Records...)
	for i := range w.held {
		w.records = append(w.records, eventlog.Record{
			Topic: eventlog.Quarantine, Kind: kindHeld, Time: w.options.ReceivedAt, Data: w.held[i].append(nil),
		})
	}
	w.records = append(w.records, w.settles...)
	pending := d.Log.Submit(w.records)
	stamped.Submitted(pending)
	// The outcome is awaited even when the client has gone: the log uses this
	// memory until it is known.
	if err := pending.Wait(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	d.count(s, len(events), len(w.held), w.options.ReceivedAt)
	if r == nil {
		return nil
	}
	r.Accepted, r.Held = len(events), len(w.held)
	for i := range w.held {
		if len(r.Problems) < maxProblems {
			r.Problems = append(r.Problems, w.held[i].Problems[0])
		}
	}
	if len(events) > 0 {
		id := events[0].Identifiers[0]
		r.Strongest = rapport.Identifier{Kind: id.Kind, Value: string([]byte(id.Value))}
	}
	for _, rec := range w.records[:len(events)] {
		r.token(rec.Partition, rec.Offset)
	}
	return nil
}

// maxSubmission bounds what one body may grow to in the log, where a number
// takes nine bytes: logs bound a submission, and one beyond would never pass.
const maxSubmission = 40 << 20

// record appends the log record of an event; all of a request share one buffer.
func (d *Door) record(w *work, e *rapport.Event) {
	start := len(w.data)
	w.data = engine.AppendEventData(w.data, e, engine.Fingerprint(e.Source, e.MessageID))
	at := e.ReceivedAt
	if w.strict {
		at = w.options.Now // it enters the log now
	}
	w.records = append(w.records, eventlog.Record{
		Topic: eventlog.Events, Partition: d.Resolver.Partition(e, d.Log.Partitions(eventlog.Events)), Kind: engine.KindEvent,
		Time: at, Data: w.data[start:len(w.data):len(w.data)],
	})
}

// hold moves the events that may not enter from the batch to w.held, and names
// the source of the others.
func (d *Door) hold(w *work, s *Source) {
	b := &w.batch
	for i := range b.Rejects {
		r := &b.Rejects[i]
		h := w.newHeld(s, r.Raw, d.Options.Quarantine.RawBytes)
		h.Type, h.Event, h.MessageID = r.Type, r.Name, r.MessageID
		h.Problems = []segmentwire.Problem{r.Problem}
		if h.MessageID == "" {
			if h.MessageID = w.options.Defaults.MessageID; h.MessageID == "" {
				h.MessageID = segmentwire.MintMessageID(r.Raw, w.options.ReceivedAt, r.Index)
			}
		}
		w.held = append(w.held, h)
	}
	kept := 0
	for i := range b.Events {
		e := &b.Events[i]
		e.Source = s.ID
		id, mode, problems := s.plan.check(e)
		if len(problems) > 0 {
			if mode == modeEnforce {
				h := w.newHeld(s, b.Raw(i), d.Options.Quarantine.RawBytes)
				h.Type, h.Event, h.MessageID, h.Schema, h.Problems = e.Type, e.Name, e.MessageID, id, problems
				w.held = append(w.held, h)
				continue
			}
			d.stats.observe(id)
		}
		if kept != i {
			b.Events[kept] = *e
		}
		kept++
	}
	b.Events = b.Events[:kept]
}

func (w *work) newHeld(s *Source, raw []byte, most int) held {
	h := held{
		Held: Held{Source: s.ID, ReceivedAt: w.options.ReceivedAt, Bytes: len(raw)},
		raw:  raw, call: w.options.Type, sentAt: w.batch.SentAt, context: w.batch.Context, history: w.options.History,
	}
	if len(raw) > most {
		h.raw, h.Truncated = raw[:most], true
	}
	return h
}

func (d *Door) count(s *Source, accepted, held int, at int64) {
	d.stats.Accepted.Add(int64(accepted))
	d.stats.Held.Add(int64(held))
	c := d.stats.Source(s.ID)
	c.Accepted.Add(int64(accepted))
	c.Held.Add(int64(held))
	c.LastAt.Store(at)
}

// token notes a position, keeping the highest of each partition.
func (r *Receipt) token(partition int32, offset int64) {
	for i := range r.Tokens {
		if t := &r.Tokens[i]; t.Partition == partition {
			t.Offset = max(t.Offset, offset)
			return
		}
	}
	r.Tokens = append(r.Tokens, engine.Token{Partition: partition, Offset: offset})
}
