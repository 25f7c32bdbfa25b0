package lake

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// pending is a record on its way to a file.
type pending struct {
	record eventlog.Record
	day    int32
}

// batch is what is written at once.
type batch struct {
	rows  []pending
	bytes int
	// outcomes come decoded: there are few.
	outcomes []OutcomeRow
}

// writeBatch brings one batch of the log into files and reports whether there is more.
func (l *Lake) writeBatch(ctx context.Context) (more bool, err error) {
	m := l.current().edit()
	p := pacer{lake: l, begun: time.Now()}
	var b batch
	for i := range m.Events {
		full, err := l.gather(ctx, m, int32(i), &b, &p)
		if err != nil {
			return false, err
		}
		if full {
			more = true
			break
		}
	}
	full, err := l.gatherOutcomes(ctx, m, &b)
	if err != nil {
		return false, err
	}
	if slices.Equal(m.Events, l.current().Events) && m.Rewards == l.current().Rewards {
		return false, nil
	}
	files, err := l.writeFiles(ctx, m, &b, &p)
	if err != nil {
		return false, err
	}
	m.Files = append(m.Files, files...)
	if err := l.adopt(ctx, m, nil); err != nil {
		return false, err
	}
	for _, f := range files {
		l.rows.Add(f.Rows)
		l.files.Add(1)
	}
	return more || full, nil
}

// gather reads what is new in a partition, as far as the batch goes.
func (l *Lake) gather(ctx context.Context, m *manifest, partition int32, b *batch, p *pacer) (full bool, err error) {
	first, next := l.o.Log.Bounds(eventlog.Events, partition)
	from := m.Events[partition]
	if l.urgent.Load() == 0 { // nobody waits: what is not folded yet is for the next time
		next = min(next, l.o.Dropped.Folded(partition))
	}
	if from < first {
		l.o.Logger.Warn("the log was trimmed above the lake: rows are missing", slog.Int("partition", int(partition)), slog.Int64("records", first-from))
		from, m.Events[partition] = first, first
	}
	// The engine is asked about as many records at a time as are going to be read.
	for from < next {
		room := l.o.BatchRows - len(b.rows)
		if room <= 0 || b.bytes >= l.o.BatchBytes {
			return true, nil
		}
		to := min(next, from+int64(room))
		dropped, err := l.o.Dropped.Dropped(ctx, partition, from, to)
		if err != nil {
			return false, err
		}
		if from, err = l.read(ctx, partition, from, to, dropped, b, p); err != nil {
			return false, err
		}
		m.Events[partition] = from
	}
	return false, nil
}

// read adds the records from <= offset < to, those that count, and returns how far it came.
func (l *Lake) read(ctx context.Context, partition int32, from, to int64, dropped []int64, b *batch, p *pacer) (int64, error) {
	r, err := l.o.Log.Reader(eventlog.Events, partition, from)
	if err != nil {
		return from, err
	}
	defer r.Close()
	var e rapport.Event
	for from < to && b.bytes < l.o.BatchBytes {
		records, err := r.Next(ctx)
		if err != nil {
			return from, err
		}
		for i := range records {
			x := &records[i]
			if x.Offset < from {
				continue
			}
			if x.Offset >= to {
				break
			}
			from = x.Offset + 1
			for len(dropped) > 0 && dropped[0] < x.Offset {
				dropped = dropped[1:]
			}
			if len(dropped) > 0 && dropped[0] == x.Offset {
				continue
			}
			ok, err := engine.EventOf(x, &e)
			if err != nil {
				return from, fmt.Errorf("partition %d offset %d: %w", partition, x.Offset, err)
			}
			if !ok || e.Type == rapport.TypeSystem && l.o.Skip != nil && l.o.Skip(&e) {
				continue
			}
			b.rows = append(b.rows, pending{*x, dayOf(e.Timestamp)})
			b.bytes += len(x.Data)
		}
		if err := p.rest(ctx); err != nil {
			return from, err
		}
	}
	return from, nil
}

func (l *Lake) gatherOutcomes(ctx context.Context, m *manifest, b *batch) (full bool, err error) {
	first, next := l.o.Log.Bounds(eventlog.Rewards, 0)
	from := max(m.Rewards, first)
	if from >= next {
		m.Rewards = max(m.Rewards, from)
		return false, nil
	}
	r, err := l.o.Log.Reader(eventlog.Rewards, 0, from)
	if err != nil {
		return false, err
	}
	defer r.Close()
	for from < next {
		if len(b.outcomes) >= l.o.BatchRows {
			full = true
			break
		}
		records, err := r.Next(ctx)
		if err != nil {
			return false, err
		}
		for i := range records {
			x := &records[i]
			if x.Offset < from || x.Offset >= next {
				continue
			}
			from = x.Offset + 1
			if err := l.outcome(m, x, b); err != nil {
				return false, fmt.Errorf("rewards offset %d: %w", x.Offset, err)
			}
		}
	}
	m.Rewards = from
	return full, nil
}

func (l *Lake) outcome(m *manifest, x *eventlog.Record, b *batch) error {
	if x.Kind != engine.KindReward || l.o.Outcome == nil {
		return nil
	}
	partition, offset, n, err := engine.OriginOf(x)
	if err != nil {
		return err
	}
	if !m.pass(partition, offset, n) {
		return nil
	}
	example, err := engine.RewardOf(x)
	if err != nil {
		return err
	}
	row, err := l.o.Outcome(example)
	if err != nil || row == nil {
		return err
	}
	row.Offset, row.Time = x.Offset, x.Time
	b.outcomes = append(b.outcomes, *row)
	return nil
}

// writeFiles writes the files of a batch: a row goes to the day it happened on.
func (l *Lake) writeFiles(ctx context.Context, m *manifest, b *batch, p *pacer) (files []File, err error) {
	slices.SortStableFunc(b.rows, func(x, y pending) int { return cmp.Compare(x.day, y.day) })
	gone := func(Trace) bool { return false }
	if l.o.Gone != nil {
		gone = l.o.Gone()
	}
	for i := 0; i < len(b.rows); {
		j := i
		for j < len(b.rows) && b.rows[j].day == b.rows[i].day {
			j++
		}
		made, err := l.writeDay(ctx, m, b.rows[i:j], gone, p)
		if err != nil {
			return nil, err
		}
		files = append(files, made...)
		i = j
	}
	slices.SortStableFunc(b.outcomes, func(x, y OutcomeRow) int { return cmp.Compare(dayOf(x.Time), dayOf(y.Time)) })
	for i := 0; i < len(b.outcomes); {
		j := i
		for j < len(b.outcomes) && dayOf(b.outcomes[j].Time) == dayOf(b.outcomes[i].Time) {
			j++
		}
		f, err := writeRows(ctx, l, m, Outcomes, dayOf(b.outcomes[i].Time), b.outcomes[i:j], p)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		i = j
	}
	return files, nil
}

// pacer lets others go first: while they are busy it rests four times as long as it works.
type pacer struct {
	lake  *Lake
	begun time.Time
}

// workAtOnce is short, or who asks for something meanwhile waits for it.
const workAtOnce = time.Millisecond

func (p *pacer) rest(ctx context.Context) error {
	worked := time.Since(p.begun)
	if worked < workAtOnce {
		return ctx.Err()
	}
	defer func() { p.begun = time.Now() }()
	if !p.lake.o.Busy() {
		return ctx.Err()
	}
	timer := time.NewTimer(4 * worked)
	defer timer.Stop()
	for p.lake.urgent.Load() == 0 {
		select {
		case <-timer.C:
			return ctx.Err()
		case <-p.lake.hurry: // somebody began to wait, or did and has gone
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}
