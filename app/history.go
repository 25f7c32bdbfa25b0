package app

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// mostHistory bounds how many records the models that learn from single events
// read: the newest of all partitions.
const mostHistory = 2_000_000

// newestEvents calls fn with the newest events accepted, each once. It rests as
// long as it works: people's own requests come first.
func (s *Server) newestEvents(ctx context.Context, fn func(e *rapport.Event) error) error {
	ends := s.engine.Ends()
	for _, end := range ends {
		first, _ := s.events.Bounds(eventlog.Events, end.Partition)
		if err := s.newestOf(ctx, end, max(first, end.Offset+1-mostHistory/int64(len(ends))), fn); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) newestOf(ctx context.Context, end engine.Token, from int64, fn func(e *rapport.Event) error) error {
	if end.Offset < from {
		return nil
	}
	reader, err := s.events.Reader(eventlog.Events, end.Partition, from)
	if err != nil {
		return err
	}
	defer reader.Close()
	seen := map[uint64]struct{}{} // a client that was not answered told it again
	var e rapport.Event
	for at := from; at <= end.Offset; {
		records, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		begin := time.Now()
		for i := range records {
			r := &records[i]
			if at = r.Offset + 1; r.Offset > end.Offset {
				break
			}
			if r.Kind == engine.KindEvent && len(r.Data) >= 16 {
				id := binary.LittleEndian.Uint64(r.Data)
				if _, again := seen[id]; again {
					continue
				}
				seen[id] = struct{}{}
			}
			ok, err := engine.EventOf(r, &e)
			if err != nil {
				return err
			}
			if ok && e.Type != rapport.TypeSystem {
				if err := fn(&e); err != nil {
					return err
				}
			}
		}
		select {
		case <-time.After(time.Since(begin)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
