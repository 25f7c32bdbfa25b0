package engine

import (
	"context"
	"encoding/binary"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Rerouted is what became of a record.
type Rerouted struct {
	Records []eventlog.Record
	// After: it was written when what came before had been folded, with all that
	// it caused. On: it is passed on, or passes something on, to other partitions.
	After, On bool
}

// Reroute returns the records by which a log of other partitions says what r
// says in one of them: none for what follows from other records (derived ones,
// ticks, folds switched on) and for what was erased. A configuration is adopted
// in every partition: the barrier in partition 0 stands for all. route is the
// door's: it tells where an event belongs by its strongest identifier.
func Reroute(r *eventlog.Record, from, to int, route func(e *rapport.Event, partitions int) int32) (Rerouted, error) {
	move := func(partition int, kind uint8, data []byte) eventlog.Record {
		return eventlog.Record{Topic: eventlog.Events, Partition: int32(partition), Kind: kind, Time: r.Time, Data: data}
	}
	short := func(n int) error {
		if len(r.Data) < n {
			return damaged("record")
		}
		return nil
	}
	switch r.Kind {
	case KindEvent:
		var e rapport.Event
		if _, err := DecodeEventRecord(r.Data, &e); err != nil {
			return Rerouted{}, err
		}
		home := rerouted(&e, r.Partition, from, to, route)
		return Rerouted{[]eventlog.Record{move(home, KindEvent, r.Data)}, e.Type == rapport.TypeSystem, home != e.Entity.Partition(to)}, nil
	case KindMerge, KindErase, KindOutbox:
		if err := short(16); err != nil {
			return Rerouted{}, err
		}
		return Rerouted{[]eventlog.Record{move(rapport.ID(r.Data[:16]).Partition(to), r.Kind, r.Data)}, true, true}, nil
	case KindSplit:
		if err := short(48); err != nil {
			return Rerouted{}, err
		}
		entity, target := rapport.ID(r.Data[:16]), rapport.ID(r.Data[32:48])
		out := []eventlog.Record{move(entity.Partition(to), KindSplit, r.Data)}
		if home := target.Partition(to); home != entity.Partition(to) {
			b := append(append(append([]byte(nil), target[:]...), r.Data[16:32]...), r.Data[48:]...)
			out = append(out, move(home, KindRevive, b))
		}
		return Rerouted{out, true, true}, nil
	case KindBarrier:
		if r.Partition != 0 || len(r.Data) == 0 || r.Data[0] != barrierConfig {
			return Rerouted{}, nil
		}
		out := make([]eventlog.Record, to)
		for i := range out {
			out[i] = move(i, KindBarrier, r.Data)
		}
		return Rerouted{Records: out}, nil
	}
	return Rerouted{}, nil
}

// rerouted finds by which rule an event stands where it does, and follows it.
func rerouted(e *rapport.Event, at int32, from, to int, route func(e *rapport.Event, partitions int) int32) int {
	byDoor := len(e.Identifiers) > 0 && route(e, from) == at
	byEntity := int32(e.Entity.Partition(from)) == at
	switch {
	case byDoor && (e.Type != rapport.TypeSystem || !byEntity):
		return int(route(e, to))
	case byEntity || e.Fragment.IsZero() || int32(e.Fragment.Partition(from)) != at:
		return e.Entity.Partition(to)
	}
	return e.Fragment.Partition(to)
}

// IsConfigBarrier reports whether a record is one at which a partition adopts a configuration.
func IsConfigBarrier(r *eventlog.Record) bool {
	return r.Topic == eventlog.Events && r.Kind == KindBarrier && len(r.Data) > 0 && r.Data[0] == barrierConfig
}

// Settle waits until everything acknowledged, and all that it caused, is folded.
func (g *Engine) Settle(ctx context.Context) error { return g.reach(ctx, g.Ends()) }

// Ticks returns the records that let time pass in the partitions that have
// timers due by until, up to shortly after the first of them; none when no timer is.
func (g *Engine) Ticks(until int64) (ticks []eventlog.Record) {
	first := until + 1
	for _, p := range g.parts {
		first = min(first, p.due.Load())
	}
	if first > until {
		return nil
	}
	at := min(first+g.limits.TickEvery.Milliseconds(), until)
	for _, p := range g.parts {
		if p.due.Load() <= at {
			ticks = append(ticks, tickRecord(p.id, at))
		}
	}
	return ticks
}

// OutboxRecord returns the fact that effects of one entity wait in the outbox,
// and that others, of the keys in gone, do not.
func OutboxRecord(partitions int, entity rapport.ID, wait []Effect, gone []string) eventlog.Record {
	b := append([]byte(nil), entity[:]...)
	b = binary.AppendUvarint(b, uint64(len(gone)))
	for _, key := range gone {
		b = appendBytes(b, key)
	}
	b = binary.AppendUvarint(b, uint64(len(wait)))
	for i := range wait {
		e := &wait[i]
		b = appendBytes(appendBytes(b, e.Kind), e.Key)
		b = appendBytes(binary.AppendVarint(b, e.NotBefore), e.Payload)
	}
	return fact(entity.Partition(partitions), KindOutbox, b)
}

func (p *partition) setOutbox(r *eventlog.Record, data []byte) {
	rd := reader{b: data}
	id := rd.id()
	var gone []string
	for n := rd.count(1); n > 0; n-- {
		gone = append(gone, rd.text())
	}
	var wait []Effect
	for n := rd.count(4); n > 0; n-- {
		wait = append(wait, Effect{Kind: rd.text(), Key: rd.text(), Entity: id, NotBefore: rd.varint(), Payload: rd.bytes()})
	}
	if !rd.done() {
		p.fail(p.damaged(r))
		return
	}
	e := p.peek(id)
	if p.mute || int32(id.Partition(p.count)) != p.id || !e.live() {
		return
	}
	for _, key := range gone {
		p.removeEffect(e, key)
	}
	for i := range wait {
		p.addEffect(e, wait[i])
	}
	p.touch(e)
}
