package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/eventlog"
)

// modelName is the file that holds what was learned, so that a restart reads
// only the lessons since. It follows from the log: without it, or with one of an
// earlier format, everything is learned anew.
const modelName = "model.snapshot"

// openModel restores what was learned before the last stop.
func (s *Server) openModel() error {
	s.kept = -1
	b, err := os.ReadFile(filepath.Join(s.opts.Data, modelName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what was learned: %w", err)
	}
	err = s.model.Restore(b)
	if _, next := s.events.Bounds(eventlog.Rewards, 0); err == nil && s.model.Knowledge().Version() >= next {
		s.model = decide.NewModel() // the log was put back to before
		err = errors.New("it is newer than the log")
	}
	if err == nil {
		s.kept = s.model.Knowledge().Version()
	} else {
		s.log.Info("what was learned is read from the log anew", "reason", err)
	}
	return nil
}

// keepModel writes down what was learned now and then, and at the end.
func (s *Server) keepModel(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		stop := false
		select {
		case <-ctx.Done():
			stop = true
		case <-tick.C:
		}
		if k := s.model.Knowledge(); k.Version() != s.kept {
			if err := writeDurably(filepath.Join(s.opts.Data, modelName), k.Snapshot(), 0o600); err != nil {
				s.log.Warn("what was learned was not written down", "error", err)
			} else {
				s.kept = k.Version()
			}
		}
		if stop {
			return nil
		}
	}
}
