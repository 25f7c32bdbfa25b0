package app

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/sim"
	"github.com/rapport-engine/rapport/sim/fleet"
)

// demoOptions are what `rapport demo` adds to serve.
type demoOptions struct {
	World string  // a world file; empty is Northbean
	Speed float64 // how much faster than the wall the world's clock runs once history is told
}

// demoWorld runs the demo world beside a server, as a client of its public HTTP
// interface. It implements api.Demo.
type demoWorld struct {
	server *Server
	path   string // where the world's state is kept

	mu     sync.Mutex
	status api.DemoStatus
	world  *sim.Sim
	fleet  *fleet.Fleet
	cancel context.CancelFunc
	done   chan struct{}
	told   chan struct{} // closed when history is told
	ctx    context.Context
}

func newDemoWorld(s *Server) *demoWorld {
	return &demoWorld{server: s, path: filepath.Join(s.opts.Data, "demo.json"), status: api.DemoStatus{Phase: "absent", Speed: 1}}
}

// Status implements api.Demo.
func (d *demoWorld) Status() api.DemoStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

// Start implements api.Demo.
func (d *demoWorld) Start(_ context.Context, author string) error {
	return d.start(demoOptions{Speed: 1}, author)
}

// start brings the world to life; what it does goes on until stop.
func (d *demoWorld) start(o demoOptions, author string) error {
	world, documents, err := loadWorld(o.World)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		return rapport.Errorf(rapport.Conflict, "the demo world is running already")
	}
	if d.ctx == nil {
		return rapport.Errorf(rapport.Unavailable, "the server is not ready yet")
	}
	ctx, cancel := context.WithCancel(d.ctx)
	d.cancel, d.done, d.told = cancel, make(chan struct{}), make(chan struct{})
	d.status = api.DemoStatus{Running: true, Phase: "history", Speed: d.server.clock.Speed()}
	go func(done chan struct{}) {
		defer close(done)
		err := d.live(ctx, world, documents, o, author)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.cancel, d.world = nil, nil
		if d.status.Running = false; err != nil && ctx.Err() == nil {
			d.status.Phase, d.status.Error = "failed", err.Error()
			d.server.log.Error("the demo world stopped", "error", err)
		}
	}(d.done)
	return nil
}

// loadWorld reads a world and the documents that go with it.
func loadWorld(path string) (*sim.World, fs.FS, error) {
	if path == "" {
		return sim.Northbean()
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, rapport.WithHint(fmt.Errorf("read the world file: %w", err), "docs/world-file.md describes the form")
	}
	w, err := sim.Load(text)
	if err != nil {
		return nil, nil, err
	}
	// A world's documents lie beside it, in a folder named as the file is, or in
	// "config"; else Northbean's serve.
	for _, dir := range []string{strings.TrimSuffix(path, filepath.Ext(path)), filepath.Join(filepath.Dir(path), "config")} {
		if isDir(dir) {
			return w, os.DirFS(dir), nil
		}
	}
	_, documents, err := sim.Northbean()
	return w, documents, err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// live configures the brand, tells its history and then lives on.
func (d *demoWorld) live(ctx context.Context, world *sim.World, documents fs.FS, o demoOptions, author string) error {
	s := d.server
	set, problems, err := s.registry.Load(documents)
	if err == nil {
		err = problems.Err()
	}
	if err != nil {
		return fmt.Errorf("read the demo's configuration: %w", err)
	}
	current, _ := s.config.Current()
	change := config.Compare(current, set, true).Change(set)
	tags, keys, err := d.tags(world, current)
	if err != nil {
		return err
	}
	change.Put = append(change.Put, tags...)
	change.Author, change.Note = author, "demo world"
	if len(change.Put) > 0 {
		if _, err := s.config.Apply(ctx, change); err != nil {
			return fmt.Errorf("apply the demo's configuration: %w", err)
		}
	}
	saved, err := os.ReadFile(d.path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	_, token, err := s.access.Create(ctx, "system", "demo world", access.Admin, time.Now().Add(30*24*time.Hour))
	if err != nil {
		return err
	}
	w, err := sim.Open(sim.Options{
		World: world, URL: s.URL, Token: token, Clock: s.clock, State: saved, Speed: s.clock.Speed(), Log: s.log,
		Save:       func(state []byte) error { return writeDurably(d.path, state, 0o600) },
		HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	})
	if err != nil {
		return err
	}
	homes, err := d.openFleet(world, w, token, keys)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.world, d.fleet = w, homes
	d.mu.Unlock()
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := w.Close(end); err != nil {
			s.log.Warn("the demo world did not close well", "error", err)
		}
	}()
	err = w.Backfill(ctx, func(p sim.Progress) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.status.Done, d.status.Total, d.status.Rate, d.status.Left = p.Events, p.Expected, p.Rate, p.Left.Seconds()
	})
	if err != nil {
		return fmt.Errorf("tell the demo's history: %w", err)
	}
	if err := homes.Furnish(ctx); err != nil {
		return fmt.Errorf("tell the history of the demo's products: %w", err)
	}
	d.mu.Lock()
	d.status.Phase = "live"
	close(d.told)
	d.mu.Unlock()
	if o.Speed > 0 && o.Speed != 1 {
		if err := d.SetSpeed(o.Speed); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.Live(ctx) })
	group.Go(func() error { return homes.Live(ctx) })
	return group.Wait()
}

// SetSpeed implements api.Demo. The clock is the whole deployment's, so it is
// left alone where real sources send events.
func (d *demoWorld) SetSpeed(speed float64) error {
	if speed < 0.1 || speed > 10_000 {
		return rapport.Errorf(rapport.Invalid, "speed %g is not between 0.1 and 10000", speed)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status.Phase != "live" || d.world == nil {
		return rapport.Errorf(rapport.Conflict, "the demo world does not live yet")
	}
	set, _ := d.server.config.Current()
	for _, doc := range set.Of("source") {
		if !doc.Demo {
			return rapport.WithHint(rapport.Errorf(rapport.Conflict, "source %s is not the demo's, and time is everybody's", doc.ID), "try other speeds on a deployment of their own")
		}
	}
	d.server.clock.SetSpeed(speed)
	d.world.SetSpeed(speed)
	d.status.Speed = speed
	return d.server.clock.save()
}

// Remove implements api.Demo: shoppers are erased, documents deleted.
func (d *demoWorld) Remove(_ context.Context, author string) error {
	d.mu.Lock()
	w, homes, cancel, done := d.world, d.fleet, d.cancel, d.done
	if w == nil || d.status.Phase != "live" {
		d.mu.Unlock()
		return rapport.Errorf(rapport.Conflict, "the demo world does not live here")
	}
	ctx := d.ctx
	d.mu.Unlock()
	cancel()
	<-done
	go func() {
		d.set(api.DemoStatus{Running: true, Phase: "removing", Speed: d.server.clock.Speed()})
		err := homes.Remove(ctx)
		if err == nil {
			err = w.Remove(ctx, func(n, total int) {
				d.set(api.DemoStatus{Running: true, Phase: "removing", Done: int64(n), Total: int64(total), Speed: d.server.clock.Speed()})
			})
		}
		if err == nil {
			err = d.forget(ctx, author)
		}
		status := api.DemoStatus{Phase: "absent", Speed: d.server.clock.Speed()}
		if err != nil {
			status.Phase, status.Error = "failed", err.Error()
		}
		d.set(status)
	}()
	return nil
}

func (d *demoWorld) set(st api.DemoStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = st
}

// forget deletes the demo's documents and state.
func (d *demoWorld) forget(ctx context.Context, author string) error {
	set, _ := d.server.config.Current()
	change := config.Change{Author: author, Note: "demo world removed"}
	for _, doc := range set.All() {
		if doc.Demo {
			change.Delete = append(change.Delete, doc.Ref)
		}
	}
	if len(change.Delete) > 0 {
		if _, err := d.server.config.Apply(ctx, change); err != nil {
			return err
		}
	}
	if err := os.Remove(d.path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return d.forgetFleet()
}

// run gives the world the server's life: it ends with it.
func (d *demoWorld) run(ctx context.Context) error {
	if d.server.clock == nil {
		return nil // a test brought its own clock: no world to live in
	}
	d.mu.Lock()
	d.ctx = ctx
	d.mu.Unlock()
	if _, err := os.Stat(d.path); err == nil && d.server.opts.ResumeDemo {
		if err := d.start(demoOptions{}, "system"); err != nil {
			return err
		}
	}
	save := time.NewTicker(5 * time.Second)
	defer save.Stop()
	for {
		select {
		case <-ctx.Done():
			return d.server.clock.save()
		case <-save.C:
			if err := d.server.clock.save(); err != nil {
				return err
			}
		}
	}
}

// stop ends the world's life while the server still answers, so that what it
// has in hand is sent.
func (d *demoWorld) stop() {
	d.mu.Lock()
	cancel, done := d.cancel, d.done
	d.ctx = nil // nothing starts any more
	d.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

// runDemo starts the demo world and shows its progress until history is told.
func (s *Server) runDemo(ctx context.Context, o demoOptions, out io.Writer) error {
	if err := s.demo.start(o, "demo"); err != nil {
		return err
	}
	s.demo.mu.Lock()
	told, done := s.demo.told, s.demo.done
	s.demo.mu.Unlock()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	live := isTerminal(out)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-done:
			if st := s.demo.Status(); st.Error != "" {
				return rapport.Errorf(rapport.Internal, "%s", st.Error)
			}
			return nil
		case <-told:
			st := s.demo.Status()
			if live {
				fmt.Fprint(out, "\r\x1b[K")
			}
			if st.Done > 0 {
				fmt.Fprintf(out, "History told: %s events.\n", grouped(st.Done))
			}
			return nil
		case <-tick.C:
			if st := s.demo.Status(); live && st.Total > 0 {
				fmt.Fprintf(out, "\r\x1b[K%s %s of %s events, %s/s, %s left",
					bar(float64(st.Done)/float64(st.Total), 24), grouped(st.Done), grouped(st.Total), grouped(int64(st.Rate)), (time.Duration(st.Left) * time.Second).String())
			}
		}
	}
}

// bar draws a share of width characters.
func bar(share float64, width int) string {
	full := min(max(int(share*float64(width)), 0), width)
	return "[" + strings.Repeat("█", full) + strings.Repeat("·", width-full) + "]"
}

// grouped writes a number with thin groups of three.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
