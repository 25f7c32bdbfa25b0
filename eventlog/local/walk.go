package local

import (
	"bytes"
	"context"

	"github.com/rapport-engine/rapport/eventlog"
)

// Walk calls fn with the records of every group that is durable now, of all
// topics, in the order in which they became so: within a partition in order,
// between the partitions of one group in none. The records are valid during the
// call. It ends with the error of fn, with ctx.Err(), or with Internal at the
// first damage. progress, if not nil, hears how many of how many bytes are done.
func (l *Log) Walk(ctx context.Context, progress func(done, total int64), fn func([]eventlog.Record) error) error {
	l.maintain.Lock()
	defer l.maintain.Unlock()
	segments, total, err := l.all()
	if err != nil {
		return err
	}
	done := int64(0)
	for _, s := range segments {
		l.mu.Lock()
		end := s.end
		l.mu.Unlock()
		err := l.walkSegment(s, end, fn, func(pos int64) error {
			if progress != nil {
				progress(done+pos, total)
			}
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		done += end
	}
	return nil
}

func (l *Log) walkSegment(s *segment, end int64, fn func([]eventlog.Record) error, block func(pos int64) error) error {
	if s.empty() {
		return nil
	}
	f, err := s.acquire(l.fs)
	if err != nil {
		return diskError("open "+s.name(), l.dir, err)
	}
	defer s.release()
	l.mu.Lock()
	nexts := s.nexts
	l.mu.Unlock()
	var group []eventlog.Record
	give := func() error {
		if len(group) == 0 {
			return nil
		}
		err := fn(group)
		group = group[:0]
		return err
	}
	sc := scanner{
		file: f, size: end, seed: s.seed, shape: l.shape, firstSeq: s.firstSeq, limit: nexts, keepTail: true, block: block,
		group: func(groupHeader) error { return give() },
		frame: func(fr scannedFrame) error {
			err := fr.err
			if err == nil {
				group, err = appendRecords(group, bytes.Clone(fr.bytes), fr.frame, fr.first)
			}
			if err != nil {
				t, p := l.shape.place(fr.slot)
				return l.damageError(Damage{Topic: t, Partition: p, First: fr.first, Next: fr.first + int64(fr.count), File: s.name(), Position: fr.pos, Bytes: int64(len(fr.bytes)), Reason: err.Error()})
			}
			return nil
		},
		lost: func(pos, end int64) error {
			return l.damageError(Damage{File: s.name(), Position: pos, Bytes: end - pos, Reason: "no readable group"})
		},
	}
	if _, err := sc.run(); err != nil {
		return err
	}
	return give()
}
