package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// keepHeap lets the heap grow to floor bytes before the collector runs, and
// beyond that by two fifths of what is alive. Marking the people in memory over
// and over while there is room took a tenth of the processor; when there are
// many, most of what is alive are tables without pointers, cheap to mark and
// dear to hold twice.
func keepHeap(ctx context.Context, floor uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	before := debug.SetGCPercent(int(maxGCPercent))
	defer debug.SetGCPercent(before)
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	last := uint64(maxGCPercent)
	for {
		metrics.Read(sample)
		if percent := gcPercent(sample[0].Value.Uint64(), floor); percent != last {
			debug.SetGCPercent(int(percent))
			last = percent
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

const (
	minGCPercent = 40
	maxGCPercent = 800
)

// gcPercent returns how much the heap may grow over what is alive, in percent.
func gcPercent(live, floor uint64) uint64 {
	if live == 0 || floor <= live {
		return minGCPercent
	}
	return min(max((floor-live)*100/live, minGCPercent), maxGCPercent)
}
