package engine

import (
	"sync/atomic"
	"time"

	"github.com/rapport-engine/rapport/eventlog"
)

// partitionStats are figures the owner publishes for others to read.
type partitionStats struct {
	commits, cut                              atomic.Int64
	folded, duplicates, erased, live, items   atomic.Int64
	hits, misses, entities, bytes, recordTime atomic.Int64
	config, window                            atomic.Int64
}

func (p *partition) publish() {
	s, m := &p.stats, &p.meta
	s.folded.Store(m.folded)
	s.duplicates.Store(m.duplicates)
	s.erased.Store(m.erased)
	s.live.Store(m.live)
	s.items.Store(m.items)
	s.recordTime.Store(m.time)
	version, _ := VersionStage(m.config)
	s.config.Store(version)
	s.hits.Store(int64(p.hits))
	s.misses.Store(int64(p.misses))
	s.entities.Store(int64(len(p.cache.byID)))
	s.bytes.Store(int64(p.cache.bytes + p.cache.warm.bytes() + p.cache.apart.ring.bytes()))
	if p.dedup != nil {
		s.window.Store(p.dedup.Window(m.time).Milliseconds())
	}
}

// Stats are figures of an engine. Counts of events are part of the state: they
// go on over restarts.
type Stats struct {
	Folded     int64 // accepted events folded, each once
	Duplicates int64 // retries dropped
	Erased     int64 // events dropped because they happened before their entity was erased
	CutChains  int64 // derived events dropped at the hop limit, since start
	Entities   int64 // not merged into another
	Items      int64 // those of them that are items; the rest are people
	Commits    int64 // since start
	CacheHits  int64 // since start
	CacheMiss  int64 // since start
	Cached     int64 // entities in memory
	CacheBytes int64
	Partitions []PartitionStats
	// Rebuild tells of folds that are being built from the log; nil if none is.
	Rebuild *RebuildStats
}

// RebuildStats is the progress of a rebuild.
type RebuildStats struct {
	Folds []string // name@version
	// Left of Total records in the log are still to be folded. When none is
	// left the states are being put in place.
	Left, Total int64
}

func (g *Engine) rebuildStats() *RebuildStats {
	g.mu.Lock()
	folds := g.folds
	g.mu.Unlock()
	b := g.current.Load()
	out := &RebuildStats{}
	targets := g.missing(folds)
	if b != nil {
		targets = b.targets
		out.Left, out.Total = b.lag(g)
	}
	for _, f := range targets {
		out.Folds = append(out.Folds, versionName(f))
	}
	if len(out.Folds) == 0 {
		return nil
	}
	return out
}

// PartitionStats are figures of one partition.
type PartitionStats struct {
	Partition int32
	Position  int64 // offset of the next record to fold
	Lag       int64 // records durable and not folded
	Time      int64 // of the last record folded, Unix ms
	Entities  int64
	Config    int64 // version adopted
	// DedupWindow is how far back a retry is recognised.
	DedupWindow time.Duration
}

// Stats returns the present figures; they may be some milliseconds old.
func (g *Engine) Stats() Stats {
	out := Stats{Rebuild: g.rebuildStats()}
	for _, p := range g.parts {
		s := &p.stats
		_, next := g.log.Bounds(eventlog.Events, p.id)
		pos := p.pos.get()
		out.Folded += s.folded.Load()
		out.Duplicates += s.duplicates.Load()
		out.Erased += s.erased.Load()
		out.CutChains += s.cut.Load()
		out.Entities += s.live.Load()
		out.Items += s.items.Load()
		out.Commits += s.commits.Load()
		out.CacheHits += s.hits.Load()
		out.CacheMiss += s.misses.Load()
		out.Cached += s.entities.Load()
		out.CacheBytes += s.bytes.Load()
		out.Partitions = append(out.Partitions, PartitionStats{
			Partition: p.id, Position: pos, Lag: max(next-pos, 0), Time: s.recordTime.Load(), Entities: s.live.Load(),
			Config: s.config.Load(), DedupWindow: time.Duration(s.window.Load()) * time.Millisecond,
		})
	}
	return out
}
