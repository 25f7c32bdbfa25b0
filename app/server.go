package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/collect/mqtt"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/console"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/compose"
	"github.com/rapport-engine/rapport/deliver/feedback"
	"github.com/rapport-engine/rapport/deliver/inapp"
	"github.com/rapport-engine/rapport/deliver/preference"
	"github.com/rapport-engine/rapport/deliver/suppression"
	"github.com/rapport-engine/rapport/deliver/webhook"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog/local"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/measure/lake"
	"github.com/rapport-engine/rapport/measure/query"
	"github.com/rapport-engine/rapport/passport"
	"github.com/rapport-engine/rapport/predict"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/state"
	"github.com/rapport-engine/rapport/twin/epcis"
	"github.com/rapport-engine/rapport/twin/ota"
	"github.com/rapport-engine/rapport/twin/wear"
)

// Server is a running deployment.
type Server struct {
	opts Options
	log  *slog.Logger

	clock    *worldClock
	events   *local.Log
	store    *state.Store
	journal  *config.Journal
	config   *config.Store
	registry *config.Registry
	access   *access.Store
	identity *identity.Resolver
	engine   *engine.Engine
	model    *decide.Model
	kept     int64 // version of what was learned that stands in its file, -1 for none
	decider  *decide.Decider
	recent   *decide.Recent
	door     *collect.Door
	deliver  *deliver.Dispatcher
	inapp    *inapp.Hub
	composer *compose.Composer
	guard    *webhook.Guard
	zones    *profile.Zones
	live     *api.Live
	compiled *compiler
	demo     *demoWorld
	items    *item.Door
	itemKey  []byte
	minter   *identity.Minter

	preferences *preference.Pages
	suppressed  *suppression.List
	marker      *feedback.Marker

	mqtt      *mqtt.Broker
	brokers   *mqtt.Clients
	pages     *passport.Server
	rates     *rates
	took      durations
	fitter    *predict.Fitter
	insights  *predict.Stream
	worth     worth
	lives     *wear.Learner
	chain     *epcis.Chain
	surveys   surveys
	updates   *ota.Updates
	visits    visits
	lake      *lake.Lake // nil: turned off
	queries   *query.Runner
	erasures  erasures
	builder   builder
	retention retention
	pasts     pasts
	// segmented is told when segments of items may have changed. Capacity 1: one word is enough.
	segmented chan struct{}

	// Secret is the bootstrap token's, if it was made by this start.
	Secret string
	// URL is where the server listens.
	URL string

	draining  chan struct{}
	drainOnce sync.Once
	ready     atomic.Bool
	counting  atomic.Int32 // who waits for people to be counted
	started   time.Time
	firstMu   sync.Mutex
	first     time.Time      // when the first event was taken in
	closers   []func() error // in the order of opening
}

// Open opens every room in order; nothing runs yet. Close must be called, and
// is called by Open itself when it fails.
func Open(ctx context.Context, o Options) (s *Server, err error) {
	s = &Server{opts: o, log: o.Logger, draining: make(chan struct{}), started: time.Now(), pasts: pasts{wanted: make(chan struct{}, 1)}, segmented: make(chan struct{}, 1), visits: newVisits()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
			s = nil
		}
	}()
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return s, rapport.WithHint(fmt.Errorf("make the data folder: %w", err), "choose another with --data")
	}
	if o.Clock == nil {
		if s.clock, err = openClock(o.Data); err != nil {
			return s, err
		}
		s.opts.Clock = s.clock
	}
	key, err := deploymentKey(o.Data)
	if err != nil {
		return s, err
	}
	if err := s.openRetention(); err != nil {
		return s, err
	}
	if err := s.openStorage(); err != nil {
		return s, err
	}
	if err := s.openControl(ctx, key); err != nil {
		return s, err
	}
	if err := s.openPeople(ctx, key); err != nil {
		return s, err
	}
	if err := s.openLake(ctx, key); err != nil {
		return s, err
	}
	if err := s.openDoors(); err != nil {
		return s, err
	}
	if err := s.openChain(); err != nil {
		return s, err
	}
	if err := s.openUpdates(key); err != nil {
		return s, err
	}
	s.demo = newDemoWorld(s)
	return s, nil
}

// openStorage opens what everything is kept in: the log and the state.
func (s *Server) openStorage() (err error) {
	s.events, err = local.Open(local.Options{
		Dir: filepath.Join(s.opts.Data, "log"), Partitions: s.partitionsOption(), Clock: s.opts.Clock, Logger: s.log, FS: s.opts.LogFS,
		RetainAge: s.retention.age(), RetainBytes: int64(s.opts.LogMB) << 20,
		SegmentBytes: s.retention.segment(),
	})
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	s.closers = append(s.closers, s.events.Close)
	s.store, err = state.Open(state.Options{
		Dir: filepath.Join(s.opts.Data, "state"), CacheBytes: int64(s.opts.CacheMB) << 20 / 4, Logger: s.log,
	})
	if err != nil {
		return fmt.Errorf("open the state: %w", err)
	}
	s.closers = append(s.closers, s.store.Close)
	return nil
}

// partitionsOption leaves an existing log its own number of partitions.
func (s *Server) partitionsOption() int {
	if entries, err := os.ReadDir(filepath.Join(s.opts.Data, "log")); err == nil && len(entries) > 0 {
		return 0
	}
	return s.opts.Partitions
}

// handler returns all that is served over HTTP.
func (s *Server) handler() (http.Handler, error) {
	pages, err := console.Embedded()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	s.door.Register(mux)
	s.pages.Register(mux)
	a := s.api()
	mux.Handle("/v1/", a)
	mux.Handle("/epcis", a)
	mux.Handle("/epcis/", a)
	mux.Handle("/DEFAULT/", a)
	mux.Handle("/ota/", a)
	mux.Handle("/docs/api", a)
	mux.Handle("/docs/{name...}", documentation(pages))
	mux.Handle("/openapi.json", a)
	mux.Handle("/openapi.yaml", a)
	mux.Handle(preference.Path, s.preferences)
	mux.Handle("/health/", s.health())
	mux.Handle("/metrics", s.metrics())
	mux.Handle("/", pages)
	return mux, nil
}

// Run serves until ctx ends, then drains. ready, if not nil, is closed when
// replay is done and requests are answered in full.
func (s *Server) Run(ctx context.Context, ready func()) error {
	tracing, err := openTracing(ctx, s.opts.TraceEndpoint, s.opts.TraceRatio)
	if err != nil {
		return err
	}
	handler, err := s.handler()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", s.opts.Listen)
	if err != nil {
		return rapport.WithHint(fmt.Errorf("listen: %w", err), "choose another address with --listen")
	}
	s.URL = "http://" + listener.Addr().String()
	server := &http.Server{
		Handler: tracing.around(handler), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second,
		WriteTimeout: 120 * time.Second, IdleTimeout: 120 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}

	// The rooms outlive the listener: requests in flight are answered before
	// folding stops.
	rooms, stopRooms := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRooms()
	group, rooms := errgroup.WithContext(rooms)
	s.runRooms(rooms, group)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		if err := s.begin(rooms); err != nil {
			return ignoreEnd(rooms, err)
		}
		s.log.Info("ready", "url", s.URL, "took", time.Since(s.started).Round(time.Millisecond))
		if ready != nil {
			ready()
		}
		return nil
	})
	select {
	case <-ctx.Done():
	case <-rooms.Done():
	}
	s.demo.stop()
	s.drainOnce.Do(func() { close(s.draining) })
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err = server.Shutdown(drain)
	stopRooms()
	if gerr := group.Wait(); gerr != nil && !errors.Is(gerr, context.Canceled) {
		err = errors.Join(gerr, err)
	}
	return errors.Join(err, tracing.close(drain))
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Close releases everything in reverse order of opening.
func (s *Server) Close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}
