package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// rowGroup is how many rows a group of a file holds at most: what a reader
// takes at once.
const rowGroup = 128 << 10

// atOnce is how many rows are laid out before they are encoded.
const atOnce = 256

// writers are kept for their memory.
type writers struct {
	events *sink[EventRow]
	rows   []EventRow
	arena  []byte
}

func options() []parquet.WriterOption {
	return []parquet.WriterOption{
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.MaxRowsPerRowGroup(rowGroup),
		parquet.CreatedBy("rapport", rapport.Version, ""),
		parquet.KeyValueMetadata("rapport.format", fmt.Sprint(formatVersion)),
		parquet.PageBufferSize(64 << 10),
	}
}

// writeDay writes the events of one day, and the decisions among them.
func (l *Lake) writeDay(ctx context.Context, m *manifest, rows []pending, gone func(Trace) bool, p *pacer) (files []File, err error) {
	var decisions []DecisionRow
	f := File{Table: Events, Day: dayName(rows[0].day), Name: l.name(m)}
	f.Bytes, err = l.depot.make(ctx, f.Path(), func(w io.Writer) error {
		wr := &l.writers
		if wr.events == nil {
			wr.events = newSink[EventRow](w)
			wr.rows = make([]EventRow, atOnce)
		} else {
			wr.events.Reset(w)
		}
		var e rapport.Event
		n := 0
		flush := func() error {
			err := wr.events.write(wr.rows[:n])
			f.Rows += int64(n)
			n, wr.arena = 0, wr.arena[:0]
			if err == nil {
				err = p.rest(ctx)
			}
			return err
		}
		for i := range rows {
			r := &rows[i].record
			if _, err := engine.EventOf(r, &e); err != nil {
				return err
			}
			if gone(Trace{e.Entity, e.Fragment, e.Identifiers, min(e.Timestamp, r.Time)}) {
				continue
			}
			if e.Type == rapport.TypeSystem && e.Name == rapport.SystemDecision && l.o.Decision != nil {
				d, err := l.o.Decision(e.Body)
				if err != nil {
					return err
				}
				decisions = appendDecision(decisions, d, &e, r.Partition, r.Offset, r.Time)
			}
			wr.row(&wr.rows[n], &e, r.Partition, r.Offset, r.Time)
			if n++; n == atOnce {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
		return wr.events.Close()
	})
	if err != nil {
		l.writers.events = nil // it may be in the middle of something
		return nil, err
	}
	if f.Rows > 0 {
		files = append(files, f)
	} else if err := l.depot.drop(ctx, f.Path()); err != nil {
		return nil, err
	}
	if len(decisions) > 0 {
		d, err := writeRows(ctx, l, m, Decisions, rows[0].day, decisions, p)
		if err != nil {
			return nil, err
		}
		files = append(files, d)
	}
	return files, nil
}

// writeRows writes one file of rows at hand.
func writeRows[T any](ctx context.Context, l *Lake, m *manifest, table string, day int32, rows []T, p *pacer) (File, error) {
	f := File{Table: table, Day: dayName(day), Name: l.name(m), Rows: int64(len(rows))}
	size, err := l.depot.make(ctx, f.Path(), func(w io.Writer) error {
		pw := newSink[T](w)
		for part := range slices.Chunk(rows, atOnce) {
			if err := pw.write(part); err != nil {
				return err
			}
			if err := p.rest(ctx); err != nil {
				return err
			}
		}
		return pw.Close()
	})
	f.Bytes = size
	return f, err
}

// row lays an event out. What it refers to is valid until the arena is emptied.
func (w *writers) row(x *EventRow, e *rapport.Event, partition int32, offset, logged int64) {
	ids := x.Identifiers[:0]
	*x = EventRow{
		Partition: partition, Offset: offset, Time: e.Timestamp, ReceivedAt: e.ReceivedAt, OriginalTime: e.OriginalTimestamp, SentAt: max(e.SentAt, 0), LoggedAt: logged,
		Type: e.Type.String(), Event: eventName(e), Source: e.Source, MessageID: e.MessageID,
		UserID: e.UserID, AnonymousID: e.AnonymousID, PreviousID: e.PreviousID, GroupID: e.GroupID, History: e.History,
	}
	if x.Event != e.Name {
		x.Name = e.Name
	}
	if !e.Entity.IsZero() {
		x.Entity, x.Kind = w.id(e.Entity), "person"
		if e.Entity.Rank() == rapport.RankItem {
			x.Kind = "item"
		}
		x.Fragment = x.Entity
		if !e.Fragment.IsZero() && e.Fragment != e.Entity {
			x.Fragment = w.id(e.Fragment)
		} else if e.Fragment.IsZero() {
			x.Fragment = ""
		}
	}
	for _, i := range e.Identifiers {
		ids = append(ids, w.text(func(b []byte) []byte { return append(append(append(b, i.Kind...), ':'), i.Value...) }))
		if i.Kind == rapport.KindItem {
			x.Item = i.Value
		}
	}
	x.Identifiers = ids
	x.Properties = w.bytes(func(b []byte) []byte { return appendFields(b, e.Properties) })
	if len(e.Traits) > 0 {
		x.Traits = w.text(func(b []byte) []byte { return appendFields(b, e.Traits) })
	}
	if len(e.Context) > 0 {
		x.Context = w.text(func(b []byte) []byte { return appendFields(b, e.Context) })
	}
}

// bytes writes into the arena. When it grows, what was written before stays in
// the memory it had.
func (w *writers) bytes(fill func([]byte) []byte) []byte {
	at := len(w.arena)
	w.arena = fill(w.arena)
	return w.arena[at:len(w.arena):len(w.arena)]
}

func (w *writers) id(id rapport.ID) string {
	return w.text(func(b []byte) []byte {
		b, _ = id.AppendText(b) // never fails
		return b
	})
}

func (w *writers) text(fill func([]byte) []byte) string {
	b := w.bytes(fill)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// appendDecision lays a decision out: one row for each action, or one for nothing.
func appendDecision(rows []DecisionRow, d *rapport.Decision, e *rapport.Event, partition int32, offset, logged int64) []DecisionRow {
	base := DecisionRow{
		Partition: partition, Offset: offset, Decision: d.ID, Time: d.Time, LoggedAt: logged, Entity: e.Entity.String(),
		Placement: d.Placement, Cause: d.Cause, Config: d.Config, Model: d.Model, Holdout: d.Holdout,
	}
	if len(d.Features) > 0 {
		base.Features = string(appendFields(nil, d.Features))
	}
	if len(d.Context) > 0 {
		base.Context = string(appendFields(nil, d.Context))
	}
	add := func(c *rapport.Choice, withheld bool) {
		r := base
		r.Withheld, r.Slot, r.Action, r.Kind, r.Channel, r.Purpose = withheld, int32(c.Slot), c.Action, string(c.Type), c.Channel, c.Purpose
		r.Value, r.Propensity, r.Explored, r.Reason = c.Value, c.Propensity, c.Explored, c.Reason
		r.Row = base.Row
		base.Row++
		rows = append(rows, r)
	}
	for i := range d.Items {
		add(&d.Items[i], false)
	}
	if len(d.Items) == 0 {
		r := base
		r.Reason, r.Propensity = d.Nothing, d.Idle
		base.Row++
		rows = append(rows, r)
	}
	for i := range d.Withheld {
		add(&d.Withheld[i], true)
	}
	return rows
}

// peopleEvery is how often it is written whom ids belong to while nobody asks.
const peopleEvery = 10 * time.Minute

// writePeople writes whom ids belong to, when that changed and somebody waits
// or it was long ago.
func (l *Lake) writePeople(ctx context.Context) error {
	if l.o.People == nil {
		return nil
	}
	version := l.o.PeopleVersion()
	l.mu.Lock()
	due := !l.peopleOK || version != l.peopleAt && (l.urgent.Load() > 0 || l.o.Clock.Now().Sub(l.peopleOf) > peopleEvery)
	l.mu.Unlock()
	if !due {
		return nil
	}
	m := l.current().edit()
	f := File{Table: People, Name: l.name(m)}
	var err error
	f.Bytes, err = l.depot.make(ctx, f.Path(), func(w io.Writer) error { return l.people(ctx, w, &f) })
	if err != nil {
		return err
	}
	var gone []File
	if m.People != nil {
		gone = append(gone, *m.People)
	}
	m.People = &f
	if err := l.adopt(ctx, m, gone); err != nil {
		return err
	}
	l.mu.Lock()
	l.peopleOK, l.peopleAt, l.peopleOf = true, version, l.o.Clock.Now()
	l.mu.Unlock()
	return nil
}

func (l *Lake) people(ctx context.Context, w io.Writer, f *File) error {
	p := pacer{lake: l, begun: time.Now()}
	pw := newSink[PersonRow](w)
	rows := make([]PersonRow, 0, atOnce)
	var err error
	flush := func() bool {
		err = pw.write(rows)
		f.Rows += int64(len(rows))
		if rows = rows[:0]; err == nil {
			err = p.rest(ctx)
		}
		return err == nil
	}
	l.o.People(func(id, person rapport.ID) bool {
		rows = append(rows, PersonRow{id.String(), person.String()})
		return len(rows) < atOnce || flush()
	})
	if err == nil {
		flush()
	}
	return errors.Join(err, pw.Close())
}

// traceRow is what an erasure looks at.
type traceRow struct {
	Entity      string   `parquet:"entity,optional"`
	Fragment    string   `parquet:"fragment,optional"`
	Identifiers []string `parquet:"identifiers,list"`
	Time        int64    `parquet:"time,timestamp(millisecond)"`
	LoggedAt    int64    `parquet:"logged_at,timestamp(millisecond)"`
}

type decisionTrace struct {
	Entity   string `parquet:"entity"`
	Time     int64  `parquet:"time,timestamp(millisecond)"`
	LoggedAt int64  `parquet:"logged_at,timestamp(millisecond)"`
}

func trace(entity, fragment string, identifiers []string, at int64) Trace {
	t := Trace{At: at}
	t.Entity, _ = rapport.ParseID(entity)
	t.Fragment, _ = rapport.ParseID(fragment)
	for _, i := range identifiers {
		if k, v, ok := bytes.Cut([]byte(i), []byte{':'}); ok {
			t.Identifiers = append(t.Identifiers, rapport.Identifier{Kind: string(k), Value: string(v)})
		}
	}
	return t
}
