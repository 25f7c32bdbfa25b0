package app

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
)

var noExpiry time.Time

// runRooms starts every goroutine that lives as long as the server.
func (s *Server) runRooms(ctx context.Context, group *errgroup.Group) {
	for _, run := range []func(context.Context) error{
		s.identity.Run,
		s.engine.Run,
		func(ctx context.Context) error { return s.model.Run(ctx, s.events) },
		s.keepModel,
		s.door.Run,
		s.deliver.Run,
		s.serveTriggers,
		s.rates.run,
		s.fitter.Run,
		s.newDaily().Run,
		s.lives.Run,
		s.keepWorth,
		s.demo.run,
		s.runErasures,
		s.buildDefinitions,
		s.keepSizes,
		s.runPasts,
		s.keepItemsReviewed,
		s.keepIdentity,
		s.runMQTT,
		s.runBrokers,
		s.chain.Run,
		s.runRecalls,
		s.updates.Run,
		s.sweepUpdates,
		s.runLake,
	} {
		group.Go(func() error { return ignoreEnd(ctx, run(ctx)) })
	}
}

// begin does what must be done before the server is ready.
func (s *Server) begin(ctx context.Context) error {
	if s.opts.Config != "" {
		if err := s.applyFolder(ctx, s.opts.Config); err != nil {
			return err
		}
	}
	if err := s.engine.Ready(ctx); err != nil {
		return err
	}
	kinds, err := s.engine.EffectKinds(ctx)
	if err != nil {
		return err
	}
	s.deliver.Retire(kinds)
	if err := s.recent.Rebuild(ctx); err != nil {
		return err
	}
	if err := s.applyErasures(ctx); err != nil {
		return err
	}
	s.awaitDefinitions(ctx, 3*time.Second)
	s.ready.Store(true)
	return nil
}

// keepIdentity makes the journal of links durable now and then, so that a
// restart reads little and the log may let go of the identity topic.
func (s *Server) keepIdentity(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if s.retention.held.Load() > 0 {
				continue
			}
			if err := s.identity.Checkpoint(); err != nil {
				s.log.Warn("the journal of identities was not made durable", "error", err)
			}
		}
	}
}

// serveTriggers answers the events that ask for a decision by themselves.
func (s *Server) serveTriggers(ctx context.Context) error {
	outbox := s.engine.Effects(decide.EffectKind)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(64) // decisions wait for the log, not for the processor
	for {
		effect, err := outbox.Next(ctx)
		if err != nil {
			_ = group.Wait()
			return err
		}
		group.Go(func() error {
			s.trigger(ctx, outbox, effect)
			return nil
		})
	}
}

func (s *Server) trigger(ctx context.Context, outbox *engine.Outbox, effect engine.Effect) {
	_, err := s.decider.Trigger(ctx, effect)
	if err == nil || ctx.Err() != nil {
		return
	}
	if rapport.KindOf(err) == rapport.Unavailable {
		select {
		case <-ctx.Done():
		case <-s.opts.Clock.After(time.Second):
			outbox.Release(effect.Key)
		}
		return
	}
	s.log.Error("a triggered decision failed", "error", err)
}
