package app

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/inapp"
	"github.com/rapport-engine/rapport/deliver/webhook"
	"github.com/rapport-engine/rapport/deliver/webpush"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/predict"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
)

// openPeople opens who is who and the engine with everything folded per person.
func (s *Server) openPeople(ctx context.Context, key []byte) (err error) {
	var rules *identity.Rules
	if version := s.config.Version(); version > 0 {
		v, err := s.compiled.at(version)
		if err != nil {
			return err
		}
		rules = v.Part(identityPart).(*identity.Rules)
	}
	s.identity, err = identity.Open(ctx, identity.Options{
		Rules: rules, Sources: sources{s}, Publish: s.publishLikeness,
		Key: subkey(key, "identity"), Log: s.events, State: s.store, Clock: s.opts.Clock, Logger: s.log,
		Settled: func(ctx context.Context) error { // no id: what all partitions have, and all that it caused
			return s.engine.View(ctx, rapport.ID{}, nil, func(*engine.View) error { return nil })
		},
	})
	if err != nil {
		return fmt.Errorf("open identity: %w", err)
	}
	s.minter, s.itemKey = s.identity.Minter, subkey(key, "items")
	s.zones = &profile.Zones{}
	s.openChannels(key)
	s.model = decide.NewModel()
	if err := s.openModel(); err != nil {
		return err
	}
	s.live = api.NewLive(time.Now().UnixMilli())
	s.engine, err = engine.Open(engine.Options{
		Log: s.events, Store: s.store, Clock: s.opts.Clock, Logger: s.log,
		Folds:    s.folds(),
		Configs:  s.compiled.at,
		DedupDir: filepath.Join(s.opts.Data, "dedup"),
		EraseKey: subkey(key, "erased"),
		Refold:   s.opts.Refold, Partial: s.opts.PartialHistory, TrimFloor: s.trimFloor(),
		Observer: s.observe,
		Limits:   engine.Limits{CacheBytes: s.opts.CacheMB << 20 / 2, FlushEvery: s.opts.FlushEvery},
	})
	if err != nil {
		return fmt.Errorf("open the engine: %w", err)
	}
	return nil
}

// folds lists the folds in the order in which they see an event.
func (s *Server) folds() []engine.Fold {
	env := func(c *engine.Context, e *rapport.Event) condition.Env { return s.eventEnv(c, e) }
	predictions := []engine.Fold{predict.PurchasesFold{}, predict.TastesFold{}, predict.SessionsFold{}, predict.SensedFold{}}
	if s.opts.NoPredictions {
		predictions = nil
	}
	return slices.Concat([]engine.Fold{
		profile.ActivityFold{},
		profile.ConsentFold{},
		profile.AboutFold{},
		profile.AggregateFold{},
		profile.TimelineFold{},
	}, predictions, s.productFolds(), []engine.Fold{
		webpush.Fold{},
		segment.NewFold(s.segmentEnv),
		decide.InterestFold{},
		decide.Fold{Env: env, Calls: recallCalls{}},
		deliver.Fold{Env: env},
	})
}

// openDoors opens what listens, decides and sends.
func (s *Server) openDoors() error {
	s.door = collect.New(collect.Deps{
		Log: s.events, Resolver: s.identity, Normalize: s.identity.Normalize, Admitter: s.engine, Clock: s.opts.Clock, Logger: s.log,
		Options: collect.Options{PublicURL: s.opts.PublicURL},
	})
	s.recent = decide.NewRecent(s.events, 5_000)
	s.decider = decide.New(decide.Deps{
		Home: arrivals{s.engine, s.identity, s.events.Partitions(eventlog.Events)}, Log: s.events, Model: s.model, Recent: s.recent, Clock: s.opts.Clock,
		Made: func(d *rapport.Decision, took time.Duration) {
			if s.live.Watched() {
				s.took.put(d.ID, took)
			}
		},
		Env: func(v *engine.View, now time.Time) condition.Env {
			return s.viewEnv(v, rapport.Millis(now))
		},
		Reach: s.unreached, Strict: s.strict,
		Random: func() uint64 {
			var b [8]byte
			_, _ = rand.Read(b[:])
			return binary.LittleEndian.Uint64(b[:])
		},
	})
	allow := strings.FieldsFunc(s.opts.WebhookAllow, func(r rune) bool { return r == ',' || r == ' ' })
	guard, err := webhook.NewGuard(allow)
	if err != nil {
		return err
	}
	s.guard = guard
	s.inapp = inapp.New(inapp.Options{Clock: s.opts.Clock, Decision: decide.DecodeGiven, Consent: consenter{s}, Fill: s.composer.Fill})
	s.deliver = deliver.New(deliver.Deps{
		Outbox: func(kind string) deliver.Outbox { return s.engine.Effects(kind) },
		Append: s.recordResult, Consent: consenter{s}, Clock: s.opts.Clock, Logger: s.log,
	})
	s.rates = newRates(s.opts.Clock)
	if err := s.openProducts(); err != nil {
		return err
	}
	s.fitter, s.lives = s.newFitter(), s.newLearner()
	return s.adopt()
}

// consenter answers senders from the profile as it is now.
type consenter struct{ server *Server }

// Allows implements deliver.Consenter.
func (c consenter) Allows(ctx context.Context, person rapport.ID, purpose, channel string) (allowed bool, err error) {
	err = c.server.engine.View(ctx, c.server.identity.Person(person), nil, func(v *engine.View) error {
		allowed = v.Exists()
		if purpose != "" {
			consent, _ := v.State(profile.FoldConsent).(*profile.Consent)
			allowed = allowed && consent != nil && consent.Allows(purpose, channel)
		}
		return nil
	})
	return allowed, err
}

// record makes an event of our own durable in its person's home.
func (s *Server) record(ctx context.Context, e *rapport.Event) error {
	e.Entity = s.identity.Person(e.Entity)
	if e.Fragment.IsZero() {
		e.Fragment = e.Entity
	}
	home := int32(e.Entity.Partition(s.events.Partitions(eventlog.Events)))
	return eventlog.Append(ctx, s.events, engine.EventRecord(e, engine.Fingerprint(e.Source, e.MessageID), home))
}

// recordResult records what became of a message, unless the person was erased
// meanwhile: the message went with them, and a result would bring them back.
func (s *Server) recordResult(ctx context.Context, e *rapport.Event) error {
	known, err := consenter{s}.Allows(ctx, e.Entity, "", "")
	if err != nil || !known {
		return err
	}
	return s.record(ctx, e)
}

// setDestinations brings the senders in line with the configuration.
func (s *Server) setDestinations(c *deliver.Config) error {
	list := []deliver.Destination{{Kind: deliver.KindInApp, Channel: "inapp", Sender: s.inapp, Parallel: inapp.Parallel}}
	for _, w := range c.Webhooks() {
		sender, err := webhook.New(webhook.Options{Webhook: w.WebhookDoc, Guard: s.guard, Clock: s.opts.Clock, Decision: decide.DecodeGiven})
		if err != nil {
			return err
		}
		list = append(list, deliver.Destination{
			Kind: deliver.WebhookKind(w.ID), Channel: "webhook", Sender: sender,
			Parallel: max(w.Parallel, 1), GiveUp: w.GiveUp.Std(),
		})
	}
	channels, err := s.channelDestinations(c)
	if err != nil {
		return err
	}
	s.deliver.Set(append(list, channels...))
	return nil
}
