package app

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/state"
)

// repartitionFolder ends the name of the folder a deployment is written to until it is whole.
const repartitionFolder = ".replay.tmp"

// A fact that follows from another must be in its place before the next facts
// are folded, as it was when they happened. So facts are given in steps, each
// folded with all that it causes before the next: up to so many, and of so long.
const (
	stepRecords = 2000
	stepTime    = time.Second
)

// outline is what must agree before and after.
type outline struct {
	hash             engine.Hash
	entities, folded int64
	effects          []engine.Effect
}

// repartition writes the deployment to a new folder, for another number of
// partitions: the facts of the events topic to where they belong now, what
// followed from them, and the examples learned from, anew, all else as it is.
// Nothing is sent on the way; what waits to be sent goes along.
func (o *offline) repartition(ctx context.Context, env Env, n int, to string) (err error) {
	from := o.log.Partitions(eventlog.Events)
	switch {
	case n < 1 || n > maxPartitions:
		return usagef("--partitions is %d, want 1 to %d", n, maxPartitions)
	case n == from:
		return rapport.Errorf(rapport.Conflict, "%s has %d partitions already", o.dir, n)
	}
	if names, err := dataNames(to); err != nil {
		return err
	} else if len(names) > 0 {
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "the folder %s is not empty", to), "name a new one with --to")
	}
	to = filepath.Clean(to)
	work := to + repartitionFolder
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work, 0o700)); err != nil {
		return fmt.Errorf("make a folder to write to: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	held := filepath.Join(work, "held")
	if err := o.copyState(held); err != nil {
		return err
	}
	var have, want outline
	have.hash, err = o.fold(ctx, held, 0, func(engine.Stats) {}, have.read(ctx))
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	if err := os.RemoveAll(held); err != nil {
		return err
	}
	begun := time.Now()
	if err := o.copyRest(work); err != nil {
		return fmt.Errorf("copy what stands beside log and state: %w", err)
	}
	want, err = o.rewrite(ctx, env, work, n, have.effects)
	if err != nil {
		return err
	}
	if err := have.compare(env, &want); err != nil {
		return err
	}
	if err := syncTree(work); err != nil {
		return err
	}
	_ = os.Remove(to) // an empty folder
	if err := os.Rename(work, to); err != nil {
		return err
	}
	if err := syncFolder(to); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "%s records written and folded anew in %s. Start the server with --data %s; %s is as it was.\n",
		grouped(o.records), time.Since(begun).Round(time.Millisecond), to, o.dir)
	return nil
}

const maxPartitions = 4096

// read takes the outline of an engine that has folded everything.
func (x *outline) read(ctx context.Context) func(e *engine.Engine) error {
	return func(e *engine.Engine) error {
		st := e.Stats()
		x.entities, x.folded = st.Entities, st.Folded
		kinds, err := e.EffectKinds(ctx)
		if err != nil {
			return err
		}
		for _, kind := range kinds {
			list, err := e.Waiting(ctx, kind, math.MaxInt)
			if err != nil {
				return err
			}
			x.effects = append(x.effects, list...)
		}
		return nil
	}
}

// keys is a fingerprint of what waits to be sent, and for whom.
func (x *outline) keys() string {
	sum := uint64(0)
	for i := range x.effects {
		e := &x.effects[i]
		fp := engine.Fingerprint(e.Kind+"\x00"+e.Entity.String(), e.Key)
		sum += binary.LittleEndian.Uint64(fp[:])
	}
	return fmt.Sprintf("%016x", sum)
}

// compare tells what agrees, and returns an error if anything does not.
func (x *outline) compare(env Env, now *outline) error {
	t := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tbefore\tafter\t")
	unequal := 0
	line := func(name, before, after string) {
		verdict := "equal"
		if before != after {
			verdict = "UNEQUAL"
			unequal++
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, before, after, verdict)
	}
	line("people and items", grouped(x.entities), grouped(now.entities))
	line("what is known of them", fmt.Sprintf("%016x", x.hash.People), fmt.Sprintf("%016x", now.hash.People))
	line("events counted", grouped(x.folded), grouped(now.folded))
	line("messages that wait", grouped(int64(len(x.effects))), grouped(int64(len(now.effects))))
	line("their keys", x.keys(), now.keys())
	_ = t.Flush()
	if unequal > 0 {
		return rapport.WithHint(rapport.Errorf(rapport.Internal, "the log folded for other partitions says something else"),
			"nothing was written; rapport replay without --partitions tells whether the state is what the log says")
	}
	return nil
}

// copyRest copies what a data folder holds beside log, state and what follows from them.
func (o *offline) copyRest(to string) error {
	names, err := dataNames(o.dir)
	if err != nil {
		return err
	}
	made := slices.Concat(backupFolders, []string{backupFolder, restoreFolder, lakeCopies, modelName, "build", "lost+found"})
	for _, name := range names {
		if slices.Contains(made, name) || filepath.Ext(name) == ".tmp" {
			continue
		}
		from := filepath.Join(o.dir, name)
		if isDir(from) {
			err = os.CopyFS(filepath.Join(to, name), os.DirFS(from))
		} else {
			err = copyFile(from, filepath.Join(to, name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rewriter gives the facts of a log to another.
type rewriter struct {
	o      *offline
	log    *local.Log
	engine *engine.Engine
	clock  *logClock
	minter *identity.Minter
	from   int
	to     int

	queue []eventlog.Record // of the step at hand
	begun int64             // its time
	on    bool              // something in it is passed on to another partition
}

// rewrite makes log and state of n partitions in a folder.
func (o *offline) rewrite(ctx context.Context, env Env, dir string, n int, effects []engine.Effect) (x outline, err error) {
	w := &rewriter{o: o, clock: &logClock{}, from: o.log.Partitions(eventlog.Events), to: n}
	w.log, err = local.Open(local.Options{
		Dir: filepath.Join(dir, "log"), Partitions: n, Clock: w.clock, Logger: o.logger, FS: unsynced{}, MaxQueuedBytes: 128 << 20,
		Begin: func(t eventlog.Topic, p int32) int64 {
			if t == eventlog.Events {
				return 0
			}
			first, _ := o.log.Bounds(t, p)
			return first
		},
	})
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, w.log.Close()) }()
	if err := o.store.Checkpoint(filepath.Join(dir, "state")); err != nil {
		return x, err
	}
	store, err := state.Open(state.Options{Dir: filepath.Join(dir, "state"), Logger: o.logger})
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if w.minter, err = identity.NewMinter(subkey(o.key, "identity")); err != nil {
		return x, err
	}
	w.engine, err = engine.Open(engine.Options{
		Log: w.log, Store: store, Clock: stillClock{}, Logger: o.logger, Configs: o.compiled.at, Refold: true,
		Folds:    (&Server{zones: &profile.Zones{}, minter: w.minter}).folds(),
		DedupDir: filepath.Join(dir, "dedup"), EraseKey: subkey(o.key, "erased"),
	})
	if err != nil {
		return x, err
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.engine.Run(run) }()
	if err = w.engine.Ready(ctx); err == nil {
		err = w.all(ctx, env)
	}
	if err == nil {
		err = w.outbox(ctx, effects)
	}
	if err == nil {
		x.hash, err = w.engine.Hash(ctx)
	}
	if err == nil {
		err = x.read(ctx)(w.engine)
	}
	if err == nil {
		err = w.engine.Flush(ctx)
	}
	stop()
	return x, errors.Join(err, <-ended)
}

// all gives everything.
func (w *rewriter) all(ctx context.Context, env Env) error {
	shown := time.Time{}
	progress := func(done, total int64) {
		if isTerminal(env.Stderr) && time.Since(shown) > 100*time.Millisecond {
			shown = time.Now()
			fmt.Fprintf(env.Stderr, "\r\x1b[K%s %s of %s", bar(float64(done)/float64(max(total, 1)), 24), sized(done), sized(total))
		}
	}
	last := int64(0)
	err := w.o.log.Walk(ctx, progress, func(group []eventlog.Record) error {
		for i := range group {
			last = max(last, group[i].Time)
		}
		return w.give(ctx, group)
	})
	if isTerminal(env.Stderr) {
		fmt.Fprint(env.Stderr, "\r\x1b[K")
	}
	if err == nil {
		err = w.step(ctx)
	}
	if err == nil {
		err = w.pass(ctx, last)
	}
	return err
}

// give takes one group of the old log. What was adopted in it by every partition
// stands in each of them between what was accepted before and after.
func (w *rewriter) give(ctx context.Context, group []eventlog.Record) error {
	at := int64(math.MaxInt64)
	var rest []eventlog.Record
	parts := make([][]*eventlog.Record, w.from)
	for i := range group {
		r := &group[i]
		at = min(at, r.Time)
		switch r.Topic {
		case eventlog.Events:
			parts[r.Partition] = append(parts[r.Partition], r)
		case eventlog.Rewards:
			// Examples are made again by the folds. Leases are facts of their own.
			if partition, _, _, err := engine.OriginOf(r); err != nil || partition == decide.LeaseOrigin {
				rest = append(rest, *r)
			}
		default:
			rest = append(rest, *r)
		}
	}
	var derived, after, on bool
	for more := true; more; {
		more = false
		var barrier []eventlog.Record
		for p := range parts {
			for len(parts[p]) > 0 {
				r := parts[p][0]
				out, err := engine.Reroute(r, w.from, w.to, w.minter.Partition)
				if err != nil {
					return fmt.Errorf("partition %d offset %d: %w", p, r.Offset, err)
				}
				parts[p], derived = parts[p][1:], derived || r.Kind == engine.KindDerived
				after, on = after || out.After, on || out.On
				if engine.IsConfigBarrier(r) {
					barrier = append(barrier, out.Records...)
					more = true
					break
				}
				rest = append(rest, out.Records...)
			}
		}
		rest = append(rest, barrier...)
	}
	if len(w.queue) > 0 && (derived || after && w.on || len(w.queue) >= stepRecords || at-w.begun > stepTime.Milliseconds()) {
		if err := w.step(ctx); err != nil {
			return err
		}
	}
	if err := w.pass(ctx, at); err != nil {
		return err
	}
	if len(w.queue) == 0 {
		w.begun = at
	}
	w.queue, w.on = append(w.queue, rest...), w.on || on
	return nil
}

// outbox brings what waits to be sent in line with what waited before. Most of it
// is: messages and their results are facts. But a key may name the place in the
// log of what it is about, and then the result that stands in the log is that of
// another key.
func (w *rewriter) outbox(ctx context.Context, effects []engine.Effect) error {
	var now outline
	if err := now.read(ctx)(w.engine); err != nil {
		return err
	}
	type place struct {
		entity    rapport.ID
		kind, key string
	}
	of := func(e *engine.Effect) place { return place{e.Entity, e.Kind, e.Key} }
	missing := map[place]*engine.Effect{}
	for i := range effects {
		missing[of(&effects[i])] = &effects[i]
	}
	gone, wait := map[rapport.ID][]string{}, map[rapport.ID][]engine.Effect{}
	var whose []rapport.ID
	for i := range now.effects {
		e := &now.effects[i]
		if _, waited := missing[of(e)]; waited {
			delete(missing, of(e))
			continue
		}
		gone[e.Entity] = append(gone[e.Entity], e.Key)
		whose = append(whose, e.Entity)
	}
	for i := range effects { // in their order
		if e := &effects[i]; missing[of(e)] != nil {
			wait[e.Entity] = append(wait[e.Entity], *e)
			whose = append(whose, e.Entity)
		}
	}
	slices.SortFunc(whose, rapport.ID.Compare)
	for _, id := range slices.Compact(whose) {
		r := engine.OutboxRecord(w.to, id, wait[id], gone[id])
		r.Time = w.clock.ms.Load()
		if w.queue = append(w.queue, r); len(w.queue) >= stepRecords {
			if err := w.step(ctx); err != nil {
				return err
			}
		}
	}
	return w.step(ctx)
}

// pass lets time pass up to at in partitions in which something is due.
func (w *rewriter) pass(ctx context.Context, at int64) error {
	for {
		ticks := w.engine.Ticks(at)
		if len(ticks) == 0 {
			return nil
		}
		if len(w.queue) > 0 { // they happened before
			if err := w.step(ctx); err != nil {
				return err
			}
			continue
		}
		w.queue = append(w.queue, ticks...)
		if err := w.step(ctx); err != nil {
			return err
		}
	}
}

// step appends what is queued and waits until it is folded with all it causes.
func (w *rewriter) step(ctx context.Context) error {
	for i := range w.queue {
		w.clock.reach(w.queue[i].Time)
	}
	for rest := w.queue; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && (n == 0 || size+len(rest[n].Data) < 32<<20) {
			size += len(rest[n].Data) + 64
			n++
		}
		if err := eventlog.Append(ctx, w.log, rest[:n]...); err != nil {
			return err
		}
		rest = rest[n:]
	}
	w.queue, w.on = w.queue[:0], false
	return w.engine.Settle(ctx)
}

// logClock says what time it is in the log that is being written.
type logClock struct {
	stillClock
	ms atomic.Int64
}

func (c *logClock) reach(ms int64) { c.ms.Store(max(c.ms.Load(), ms)) }

// Now implements rapport.Clock.
func (c *logClock) Now() time.Time { return rapport.Time(c.ms.Load()) }

// unsynced is a file system for what is made durable as a whole at its end.
type unsynced struct{ local.OSFS }

// Open implements local.FS.
func (f unsynced) Open(name string, flag int) (local.File, error) {
	file, err := f.OSFS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{file}, nil
}

// SyncDir implements local.FS.
func (unsynced) SyncDir(string) error { return nil }

type unsyncedFile struct{ local.File }

// Sync implements local.File.
func (unsyncedFile) Sync() error { return nil }

// syncTree makes a folder and all below it durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
