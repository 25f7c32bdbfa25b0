package engine

import (
	"context"
	"slices"
	"sort"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// flight is a derived record on its way from one partition to another.
type flight struct {
	origin    int64 // offset of the record that caused it
	seq       int64 // its number among those its partition queued
	partition int32 // where it goes
	offset    int64 // -1 until it is durable
}

// flights knows, per partition, the derived records that are not settled:
// folded where they went, and everything they caused there settled too. It
// lets a reader wait for all consequences of what it has seen acknowledged.
type flights struct {
	mu     sync.Mutex
	from   [][]flight // per partition, in order
	folded func(partition int32) int64
}

// leave notes a record that was queued. It is called before the position of
// its partition passes its origin.
func (f *flights) leave(from int32, l flight) {
	f.mu.Lock()
	f.from[from] = append(f.from[from], l)
	f.mu.Unlock()
}

// land notes where the records of a batch, numbered from first on, stand.
func (f *flights) land(from int32, first int64, batch []eventlog.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.from[from]
	i := sort.Search(len(list), func(i int) bool { return list[i].seq >= first })
	for ; i < len(list) && list[i].seq < first+int64(len(batch)); i++ {
		list[i].offset = batch[list[i].seq-first].Offset
	}
	f.prune(from)
}

// prune forgets the first flights of a partition that are settled.
func (f *flights) prune(from int32) {
	list := f.from[from]
	n := 0
	for n < len(list) && f.settled(&list[n]) {
		n++
	}
	f.from[from] = slices.Delete(list, 0, n)
}

// settled looks at what a flight caused, at most a few hops, and not at whether
// that was forgotten already: two partitions that send to each other would wait
// for each other to forget first.
func (f *flights) settled(l *flight) bool {
	if l.offset < 0 || l.offset >= f.folded(l.partition) {
		return false
	}
	caused := f.causedBy(l.partition, l.offset)
	for i := range caused {
		if !f.settled(&caused[i]) {
			return false
		}
	}
	return true
}

// causedBy returns the flights caused by one record.
func (f *flights) causedBy(partition int32, offset int64) []flight {
	list := f.from[partition]
	lo := sort.Search(len(list), func(i int) bool { return list[i].origin >= offset })
	hi := lo
	for hi < len(list) && list[hi].origin == offset {
		hi++
	}
	return list[lo:hi]
}

// open returns the flights from a partition caused by the record at offset,
// or by any up to it.
func (f *flights) open(partition int32, offset int64, upTo bool) []flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.prune(partition)
	if !upTo {
		return slices.Clone(f.causedBy(partition, offset))
	}
	list := f.from[partition]
	return slices.Clone(list[:sort.Search(len(list), func(i int) bool { return list[i].origin > offset })])
}

// reach waits until the records up to the tokens, and all records these caused
// directly or indirectly, are folded. What others cause meanwhile is not waited for.
func (g *Engine) reach(ctx context.Context, tokens []Token) error {
	upTo := true
	for len(tokens) > 0 {
		var caused []Token
		for _, t := range tokens {
			if t.Partition < 0 || int(t.Partition) >= len(g.parts) {
				return rapport.Errorf(rapport.Invalid, "there is no partition %d", t.Partition)
			}
			p := g.parts[t.Partition]
			if err := p.pos.wait(ctx, t.Offset+1); err != nil {
				return err
			}
			open := g.flights.open(t.Partition, t.Offset, upTo)
			if len(open) == 0 {
				continue
			}
			if err := p.out.durable.wait(ctx, open[len(open)-1].seq); err != nil {
				return err
			}
			for _, l := range g.flights.open(t.Partition, t.Offset, upTo) {
				caused = append(caused, Token{l.partition, l.offset})
			}
		}
		tokens, upTo = caused, false
	}
	return nil
}
