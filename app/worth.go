package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/rapport-engine/rapport/predict"
)

// The active base is valued again this often; looked for more often while there
// is no value yet.
const (
	worthEvery = 10 * time.Minute
	worthFirst = 5 * time.Second
)

// worth holds what the active base was last valued at.
type worth struct {
	last atomic.Pointer[predict.ActiveBase]
}

// keepWorth values the active base now and then, off the hot path.
func (s *Server) keepWorth(ctx context.Context) error {
	wait := worthFirst
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		base, err := s.fitter.Base(ctx, s.engine.Stats().Entities)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.log.Warn("the active base was not valued", "error", err)
		case base != nil:
			s.worth.last.Store(base)
			wait = worthEvery
		}
	}
}
