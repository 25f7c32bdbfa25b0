package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/state"
)

// replayFolder begins the name of the folder a replay works in.
const replayFolder = "replay.tmp-"

// runReplay folds the log of a stopped server from its first record and compares
// the hashes with those of the state it has.
func runReplay(ctx context.Context, env Env, flags *flag.FlagSet) (err error) {
	dir := flags.String("data", defaults().Data, "`folder` of a stopped server")
	scratch := flags.String("scratch", "", "`folder` for the state that is folded anew; beside the data without it")
	partitions := flags.Int("partitions", 0, "write the log anew for `N` partitions, fold it, and put the deployment into --to")
	to := flags.String("to", "", "new `folder` for --partitions")
	batch := flags.Int("batch", 0, "fold at most `N` records at once and commit after as many changed people; 0 is the server's own measure. The hashes are the same for every N")
	noPredictions := flags.Bool("no-predictions", false, "the server ran so: its state has nothing that predictions are made from")
	if _, err := parse(env, flags, 0, 0); err != nil {
		return err
	}
	if *batch < 0 {
		return usagef("--batch is negative")
	}
	if (*partitions != 0) != (*to != "") {
		return usagef("--partitions and --to go together: the deployment is written to a new folder")
	}
	logger := slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o, err := openOffline(ctx, *dir, env, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	o.noPredictions = *noPredictions
	if *partitions != 0 {
		return o.repartition(ctx, env, *partitions, *to)
	}
	if *scratch == "" {
		*scratch = *dir
	}
	work, err := os.MkdirTemp(*scratch, replayFolder)
	if err != nil {
		return fmt.Errorf("make a folder to fold in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	// The state at hand is looked at in a copy, which folds the end of the log it
	// has not folded yet: what it derives there must reach the real log, which
	// only the server may write.
	held := filepath.Join(work, "held")
	if err := o.copyState(held); err != nil {
		return err
	}
	have, err := o.fold(ctx, held, 0, func(engine.Stats) {}, nil)
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	begun := time.Now()
	want, err := o.fold(ctx, filepath.Join(work, "anew"), *batch, func(st engine.Stats) {
		if isTerminal(env.Stderr) {
			var done int64
			for _, p := range st.Partitions {
				done += p.Position
			}
			fmt.Fprintf(env.Stderr, "\r\x1b[K%s %s of %s records", bar(float64(done)/float64(max(o.records, 1)), 24), grouped(done), grouped(o.records))
		}
	}, nil)
	if isTerminal(env.Stderr) {
		fmt.Fprint(env.Stderr, "\r\x1b[K")
	}
	if err != nil {
		return fmt.Errorf("fold the log: %w", err)
	}
	t := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "partition\tstate\treplay\t")
	unequal := 0
	for i := range want.Partitions {
		verdict := "equal"
		if have.Partitions[i] != want.Partitions[i] {
			verdict = "UNEQUAL"
			unequal++
		}
		fmt.Fprintf(t, "%d\t%016x\t%016x\t%s\n", i, have.Partitions[i], want.Partitions[i], verdict)
	}
	fmt.Fprintf(t, "people\t%016x\t%016x\t\n", have.People, want.People)
	_ = t.Flush()
	fmt.Fprintf(env.Stdout, "%s records folded anew in %s\n", grouped(o.records), time.Since(begun).Round(time.Millisecond))
	if unequal > 0 {
		return rapport.WithHint(rapport.Errorf(rapport.Internal, "the state of %s is not what the log says", plural(int64(unequal), "partition", "partitions")),
			"stop the server, move the folders state and dedup away and start it: they are folded again from the log")
	}
	return nil
}

// offline is a deployment opened without its server, for reading.
type offline struct {
	dir      string
	log      *local.Log
	view     readOnly
	store    *state.Store
	config   *config.Store
	compiled *compiler
	key      []byte
	logger   *slog.Logger
	records  int64 // of the events topic
	// noPredictions is how the server was run.
	noPredictions bool
}

// openOffline opens log, state and configuration of a stopped server.
func openOffline(ctx context.Context, dir string, env Env, logger *slog.Logger) (o *offline, err error) {
	if !isDir(filepath.Join(dir, "log")) {
		return nil, rapport.WithHint(rapport.Errorf(rapport.NotFound, "%s is no data folder", dir), "name it with --data")
	}
	if _, err := os.Stat(filepath.Join(dir, "deployment.key")); err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.NotFound, "%s has no deployment key", dir), "restore it from a backup")
	}
	o = &offline{dir: dir, logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	if o.key, err = deploymentKey(dir); err != nil {
		return o, err
	}
	if o.log, err = local.Open(local.Options{Dir: filepath.Join(dir, "log"), Logger: logger}); err != nil {
		return o, inUse(err)
	}
	o.view = readOnly{Log: o.log}
	if o.store, err = state.Open(state.Options{Dir: filepath.Join(dir, "state"), Logger: logger}); err != nil {
		return o, inUse(err)
	}
	for p := range o.log.Partitions(eventlog.Events) {
		first, next := o.log.Bounds(eventlog.Events, int32(p))
		if o.records += next; first > 0 {
			return o, rapport.WithHint(rapport.Errorf(rapport.Conflict, "the log of partition %d begins at record %d: the beginning was trimmed", p, first), "only a whole log can be folded anew")
		}
	}
	journal := config.NewJournal(o.view, rapport.SystemClock{})
	registry, err := config.NewRegistry(kinds())
	if err != nil {
		return o, err
	}
	o.config = config.NewStore(config.Options{Journal: journal, Registry: registry, Environment: environment(env)})
	o.compiled = &compiler{server: &Server{config: o.config}, versions: map[int64]*engine.Config{}}
	o.compiled.defs = newDefinitions(o.config, registry, environment(env))
	journal.OnFact(o.compiled.defs.fold)
	return o, journal.Replay(ctx)
}

func inUse(err error) error {
	if k := rapport.KindOf(err); k == rapport.Unavailable || k == rapport.Conflict {
		return rapport.WithHint(err, "stop the server that runs there first")
	}
	return err
}

func (o *offline) close() error {
	var errs []error
	if o.store != nil {
		errs = append(errs, o.store.Close())
	}
	if o.log != nil {
		errs = append(errs, o.log.Close())
	}
	return errors.Join(errs...)
}

// copyState copies state and deduplication memory, by hard links where possible.
func (o *offline) copyState(to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	if err := o.store.Checkpoint(filepath.Join(to, "state")); err != nil {
		return err
	}
	_, err := linkFiles(filepath.Join(o.dir, "dedup"), filepath.Join(to, "dedup"))
	return err
}

// fold folds everything the log holds into the state in a folder and returns its
// hashes. batch is how many records are folded at once; 0 leaves it to the engine.
// look, if not nil, is shown the engine before it stops.
func (o *offline) fold(ctx context.Context, dir string, batch int, progress func(engine.Stats), look func(*engine.Engine) error) (h engine.Hash, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return h, err
	}
	store, err := state.Open(state.Options{Dir: filepath.Join(dir, "state"), Logger: o.logger})
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	minter, err := identity.NewMinter(subkey(o.key, "identity"))
	if err != nil {
		return h, err
	}
	e, err := engine.Open(engine.Options{
		Log: readOnly{o.log, batch}, Store: store, Limits: engine.Limits{CommitEntities: batch}, Clock: stillClock{}, Logger: o.logger, Configs: o.compiled.at,
		Folds:    (&Server{zones: &profile.Zones{}, minter: minter, opts: Options{NoPredictions: o.noPredictions}}).folds(),
		DedupDir: filepath.Join(dir, "dedup"), EraseKey: subkey(o.key, "erased"),
	})
	if err != nil {
		return h, err
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(run) }()
	ready := make(chan error, 1)
	go func() { ready <- e.Ready(ctx) }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case err = <-ready:
			waiting = false
		case <-tick.C:
			progress(e.Stats())
		}
	}
	if err == nil {
		h, err = e.Hash(ctx)
	}
	if err == nil && look != nil {
		err = look(e)
	}
	stop()
	return h, errors.Join(<-ended, err)
}

// readOnly is a log whose readers find what it holds, and which takes nothing:
// what folding derives stands in it already.
type readOnly struct {
	eventlog.Log
	batch int // records at once, at most; 0 for what there is
}

// Reader implements eventlog.Log.
func (l readOnly) Reader(t eventlog.Topic, p int32, from int64) (eventlog.Reader, error) {
	r, err := l.Log.Reader(t, p, from)
	if err != nil || l.batch == 0 {
		return r, err
	}
	return &slowReader{Reader: r, batch: l.batch}, nil
}

// slowReader delivers few records at once.
type slowReader struct {
	eventlog.Reader
	batch int
	rest  []eventlog.Record
}

// Next implements eventlog.Reader.
func (r *slowReader) Next(ctx context.Context) ([]eventlog.Record, error) {
	if len(r.rest) == 0 {
		var err error
		if r.rest, err = r.Reader.Next(ctx); err != nil {
			return nil, err
		}
	}
	n := min(r.batch, len(r.rest))
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out, nil
}

// Submit implements eventlog.Log.
func (readOnly) Submit([]eventlog.Record) eventlog.Pending { return nothing{} }

// Trim implements eventlog.Log.
func (readOnly) Trim(eventlog.Topic, int32, int64) error { return nil }

type nothing struct{}

// Wait implements eventlog.Pending.
func (nothing) Wait(context.Context) error { return nil }

// stillClock stands still, so that no time passes but that in the log.
type stillClock struct{}

// Now implements rapport.Clock.
func (stillClock) Now() time.Time { return time.Unix(0, 0).UTC() }

// After implements rapport.Clock.
func (stillClock) After(time.Duration) <-chan time.Time { return nil }
