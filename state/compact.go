package state

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Compact rewrites the files that hold keys lower <= key < upper, so that when
// it returns nil nothing of keys deleted and values replaced before the call is
// left in them, nor in files that were replaced. A snapshot or iterator that was
// open meanwhile keeps what it sees. It reads and writes the whole range, so it
// is for what must be gone (erased people), not for speed. An upper of nil is
// the end.
func (s *Store) Compact(ctx context.Context, lower, upper []byte) error {
	if upper == nil {
		upper = maxKey
	}
	if err := s.db.Flush(); err != nil {
		return wrap("flush state", err)
	}
	if err := s.db.Compact(ctx, lower, upper, true); err != nil {
		return wrap("compact state", err)
	}
	// Replaced files are deleted in the background.
	for pause := time.Millisecond; obsolete(s.db.Metrics()) > 0; pause = min(2*pause, 100*time.Millisecond) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil
}

// maxKey is above every key: keys begin with the ASCII letters of their span.
var maxKey = []byte{0xff}

func obsolete(m *pebble.Metrics) int64 { return m.Table.ObsoleteCount }
