package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/eventlog/local"
)

// runServe runs the server until ctx ends.
func runServe(ctx context.Context, env Env, flags *flag.FlagSet) error {
	o := defaults()
	o.flags(flags)
	logs := logFlags(flags)
	if _, err := parse(env, flags, 0, 0); err != nil {
		return err
	}
	o.ResumeDemo = true
	return serve(ctx, env, o, logs, nil)
}

// runDemo runs the server and the demo world in it.
func runDemo(ctx context.Context, env Env, flags *flag.FlagSet) error {
	o := defaults()
	o.flags(flags)
	logs := logFlags(flags)
	var d demoOptions
	flags.StringVar(&d.World, "world", "", "`file` that describes another world; see docs/world-file.md")
	flags.Float64Var(&d.Speed, "speed", 1, "how much faster than the wall the world's time passes once its history is told")
	fresh := flags.Bool("fresh", false, "forget the demo that lives in the data folder and begin anew")
	if _, err := parse(env, flags, 0, 0); err != nil {
		return err
	}
	if *fresh {
		if err := forgetDemo(o.Data); err != nil {
			return err
		}
	}
	return serve(ctx, env, o, logs, &d)
}

// logOptions say what the program tells of itself.
type logOptions struct {
	format  string
	level   slog.Level
	profile string
}

func logFlags(flags *flag.FlagSet) *logOptions {
	o := &logOptions{}
	flags.StringVar(&o.format, "log-format", "text", "text or json")
	flags.StringVar(&o.profile, "cpu-profile", "", "`file` to write a profile of the processor's time to, for pprof")
	flags.TextVar(&o.level, "log-level", slog.LevelInfo, "least `level` that is logged: debug, info, warn or error")
	return o
}

func (o *logOptions) logger(w io.Writer) (*slog.Logger, error) {
	h := &slog.HandlerOptions{Level: o.level}
	switch o.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, h)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, h)), nil
	}
	return nil, usagef("--log-format is text or json, not %q", o.format)
}

func serve(ctx context.Context, env Env, o Options, logs *logOptions, demo *demoOptions) (err error) {
	if o.Logger, err = logs.logger(env.Stderr); err != nil {
		return err
	}
	if o.RetainDays < 0 {
		return usagef("--retain-days is negative")
	}
	o.Getenv, o.AdminToken = env.Getenv, env.Getenv("RAPPORT_ADMIN_TOKEN")
	// A goroutine that reads a file holds a processor of the scheduler until the
	// runtime notices. With two of them every reader stalls everybody (p99 of
	// 688 ms against 3 ms), so small machines get twice as many as they have cores.
	if runtime.NumCPU() <= 4 && env.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.NumCPU())
	}
	if logs.profile != "" {
		f, err := os.OpenFile(logs.profile, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		defer f.Close()
		defer pprof.StopCPUProfile()
	}
	if err := restored(o.Data); err != nil {
		return err
	}
	s, err := Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.removeLeftovers(); err != nil {
		return err
	}
	if demo != nil && s.Secret == "" && o.AdminToken == "" {
		// Whoever comes back to a demo has lost the token of its first day.
		if _, s.Secret, err = s.access.Create(ctx, "system", "demo sign-in", access.Admin, time.Now().Add(30*24*time.Hour)); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if env.Getenv("GOGC") == "" {
		kept := make(chan struct{})
		go func() {
			defer close(kept)
			keepHeap(ctx, uint64(o.CacheMB)<<20*2)
		}()
		defer func() {
			stop(nil)
			<-kept
		}()
	}
	told := make(chan struct{})
	ready := func() {
		s.greet(env.Stdout)
		if demo == nil {
			close(told)
			return
		}
		go func() {
			defer close(told)
			if err := s.runDemo(ctx, *demo, env.Stdout); err != nil && ctx.Err() == nil {
				stop(fmt.Errorf("the demo world: %w", err))
			}
		}()
	}
	err = s.Run(ctx, ready)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	stop(nil)
	if s.ready.Load() {
		<-told // nothing writes to stdout after the end
	}
	return err
}

// greet tells whoever started the server where it is and how to get in.
func (s *Server) greet(w io.Writer) {
	fmt.Fprintf(w, "Rapport %s is ready at %s\n", rapport.Version, s.URL)
	if s.mqtt != nil {
		fmt.Fprintf(w, "Items connect to mqtt://%s\n", s.mqtt.Addr())
	}
	switch {
	case s.Secret != "":
		fmt.Fprintf(w, "Sign in with %s  (admin; it is kept as a hash only and not shown again)\n", s.Secret)
	case s.opts.AdminToken != "":
		fmt.Fprintln(w, "Sign in with the token in RAPPORT_ADMIN_TOKEN.")
	default:
		fmt.Fprintln(w, "Sign in with the token shown at the first start. If it is lost, start once with RAPPORT_ADMIN_TOKEN set to a new one.")
	}
}

// forgetDemo removes a demo deployment. It refuses any other.
func forgetDemo(dir string) error {
	names, err := dataNames(dir)
	if err != nil || len(names) == 0 {
		return err
	}
	ours := slices.Concat(backupFiles, backupFolders, []string{backupFolder, lakeFolder, lakeCopies})
	names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(ours, n) })
	if _, err := os.Stat(filepath.Join(dir, "demo.json")); err != nil {
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "the folder %s holds no demo, so --fresh leaves it alone", dir), "name another folder with --data")
	}
	if err := idle(dir); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("forget the demo: %w", err)
		}
	}
	return nil
}

// dataNames lists what lies in a data folder; nothing if there is none.
func dataNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, rapport.WithHint(fmt.Errorf("read the data folder: %w", err), "is --data right?")
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// idle returns an error if a process is using a data folder.
func idle(dir string) error {
	path := filepath.Join(dir, "log")
	if _, err := os.Stat(path); err != nil {
		return nil // nothing to use
	}
	lock, err := local.OSFS{}.Lock(filepath.Join(path, "lock"))
	if err != nil {
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "the data folder %s is in use", dir), "stop the server that runs there")
	}
	return lock.Close()
}
