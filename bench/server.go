package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rapport-engine/rapport"
)

// server is the server under measurement. One of our own has a command.
type server struct {
	o       Options
	addr    string
	key     string
	token   string
	pid     int
	data    string // its data folder, or ""
	cmd     *exec.Cmd
	exited  chan struct{}
	log     *tail
	events  int64 // accepted so far, since we measure
	folding bool  // it tells how many events it has folded
	base    float64
}

// server returns the server of the options, started if need be, and ready.
func (o Options) server(ctx context.Context, dir string) (*server, error) {
	if o.URL != "" {
		u, err := url.Parse(o.URL)
		if err != nil || u.Scheme != "http" || u.Host == "" {
			return nil, rapport.Errorf(rapport.Invalid, "the server's URL must be http://host:port")
		}
		s := &server{o: o, addr: u.Host, key: o.Key, token: o.Token, pid: o.PID}
		if u.Port() == "" {
			s.addr += ":80"
		}
		s.base, s.folding = s.folded(ctx)
		return s, s.ready(ctx)
	}
	s := &server{o: o, key: "wk_bench_load", token: "bench-" + rand.Text() + rand.Text(), data: filepath.Join(dir, "data")}
	config := filepath.Join(dir, "config")
	if err := os.MkdirAll(config, 0o700); err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "make the folder %s: %w", config, err)
	}
	if err := os.WriteFile(filepath.Join(config, "bench.yaml"), []byte(documents(o.Actions)+definitions(o.Traits, o.Segments)), 0o600); err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "write the configuration: %w", err)
	}
	o.Progress("starting a server")
	if err := s.launch(ctx, config); err != nil {
		s.stop()
		return nil, err
	}
	s.base, s.folding = s.folded(ctx)
	return s, nil
}

// documents returns the configuration of a server under measurement: a source,
// a placement, and n actions whose conditions ask about traits and the past.
func documents(n int) string {
	var b strings.Builder
	b.WriteString("kind: source\nid: bench\nkey: wk_bench_load\n---\nkind: placement\nid: bench\nslots: 1\n---\n" +
		"kind: policy\nid: default\nholdout: 0.05\ncaps: [{scope: person, max: 1000, per: 1d}]\nfeatures: [traits.country, traits.plan, traits.birthYear]\n")
	names := [4]string{"Product Viewed", "Product Added", "Order Completed", "Decision Clicked"}
	for i := range n {
		// Twenty different questions about the past, however many actions.
		past := fmt.Sprintf(`performed("%s").within("%dd").count() < %d`, names[i%4], 7*(1+i%5), 200+i)
		traits := fmt.Sprintf(`traits.plan != "plan-%d"`, i)
		fmt.Fprintf(&b, "---\nkind: action\nid: action-%d\ntype: offer\nplacements: [bench]\nwhen: %s && %s\ncontent: {title: Offer %d}\ngoals:\n"+
			"  - {event: Order Completed, within: 7d, value: properties.revenue}\n  - {event: Decision Clicked, within: 1h, value: 0.1}\n", i, past, traits, i)
	}
	return b.String()
}

// launch starts the process and waits until it is ready. Where somebody took its
// port before it could, it is given another.
func (s *server) launch(ctx context.Context, config string) (err error) {
	for range 5 {
		if err = s.try(ctx, config); err == nil || !strings.Contains(s.log.String(), syscall.EADDRINUSE.Error()) {
			return err
		}
	}
	return err
}

func (s *server) try(ctx context.Context, config string) error {
	s.log = &tail{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return rapport.Errorf(rapport.Unavailable, "find a free port: %w", err)
	}
	s.addr = l.Addr().String()
	_ = l.Close() // the server takes it next
	args := append([]string{}, s.o.Serve[1:]...)
	args = append(args, "--data", s.data, "--config", config, "--listen", s.addr)
	if s.o.noPredictions {
		args = append(args, "--no-predictions")
	}
	if s.o.Profile != "" {
		args = append(args, "--cpu-profile", s.o.Profile)
		s.o.Profile = "" // a later start would write over it
	}
	s.cmd = exec.CommandContext(ctx, s.o.Serve[0], args...)
	s.cmd.Env = append(os.Environ(), "RAPPORT_ADMIN_TOKEN="+s.token)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return rapport.Errorf(rapport.Unavailable, "start the server: %w", err)
	}
	s.pid = s.cmd.Process.Pid
	exited := make(chan struct{})
	s.exited = exited
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(exited)
	}(s.cmd)
	return s.ready(ctx)
}

// ready waits until the server says it is.
func (s *server) ready(ctx context.Context) error {
	begun := time.Now()
	ctx, stop := context.WithTimeout(ctx, 5*time.Minute)
	defer stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if status, _, err := s.get(ctx, "/health/ready"); err == nil && status == 200 {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.exited: // nil, and so never, for a server that is not ours
			return rapport.Errorf(rapport.Unavailable, "the server ended after %s: %s", time.Since(begun).Round(time.Millisecond), s.log)
		case <-ctx.Done():
			return rapport.Errorf(rapport.Unavailable, "the server at %s is not ready: %w", s.addr, ctx.Err())
		}
	}
}

func (s *server) get(ctx context.Context, path string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	res, err := (&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 8<<20))
	return res.StatusCode, body, err
}

// stop ends a server of ours as an operator would, and waits for it.
func (s *server) stop() { s.end(syscall.SIGTERM) }

func (s *server) end(signal syscall.Signal) {
	if s.cmd == nil || s.cmd.Process == nil || s.exited == nil {
		return
	}
	_ = s.cmd.Process.Signal(signal)
	select {
	case <-s.exited:
	case <-time.After(60 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	s.cmd = nil
}

// job returns a load on the server at a pace.
func (o Options) job(s *server, rate float64) job {
	return job{
		Role: "load", Addr: s.addr, Key: s.key, Token: s.token, Run: run(), People: o.People, ZipfS: o.ZipfS, ZipfV: o.ZipfV,
		Batch: o.Batch, Connections: o.Connections, Warmup: o.Warmup, Seconds: o.Seconds, Rate: rate,
	}
}

// preload makes every person known, unless an earlier measurement in the same
// folder did: then the load is empty.
func (s *server) preload(ctx context.Context, o Options) (Load, error) {
	mark, people := "", strconv.Itoa(o.People)
	if s.data != "" {
		mark = filepath.Join(filepath.Dir(s.data), "people")
		if b, err := os.ReadFile(mark); err == nil && string(b) == people {
			o.Progress("every person is known in " + s.data + " already")
			return Load{}, nil
		}
	}
	o.Progress("making every person known")
	j := o.job(s, 0)
	j.Role = "preload"
	l, _, err := s.load(ctx, o, j)
	s.rest(ctx, &l)
	if err == nil && mark != "" {
		if err := os.WriteFile(mark, []byte(people), 0o600); err != nil {
			return l, rapport.Errorf(rapport.Unavailable, "note that people are known: %w", err)
		}
	}
	return l, err
}

// load has a worker make a load and measures the server meanwhile.
func (s *server) load(ctx context.Context, o Options, j job) (Load, done, error) {
	w, err := o.startWorker(ctx, j)
	if err != nil {
		return Load{}, done{}, err
	}
	disk := s.disk()
	cpu, known := processCPU(s.pid)
	d, err := w.wait(func() {
		cpu, known = processCPU(s.pid)
		disk = s.disk()
	})
	if err != nil {
		return Load{}, d, err
	}
	s.events += d.Sent
	l := Load{
		Events: d.Events, Seconds: d.Seconds, EventsPerSecond: float64(d.Events) / d.Seconds,
		Refused: d.Refused, Failed: d.Failed, GeneratorCPUSeconds: d.CPU, Request: d.Request,
	}
	l.DrainSeconds = s.drain(ctx).Seconds()
	l.SustainedPerSecond = float64(d.Events) / (d.Seconds + l.DrainSeconds)
	// What is folded after the last answer belongs to these events too.
	if after, ok := processCPU(s.pid); ok && known && d.Events > 0 {
		v := (after - cpu) / float64(d.Events) * 1e6
		l.CPUSecondsPerMillion = &v
	}
	if s.data != "" && d.Events > 0 {
		v := float64(s.disk()-disk) / float64(d.Events)
		l.DiskBytesPerEvent = &v
	}
	if d.Events == 0 || (d.Failed > 0 && d.Failed*10 > d.Request.Count+d.DecideDue.Count) {
		return l, d, rapport.WithHint(rapport.Errorf(rapport.Unavailable, "the load was not taken: %d events accepted, %d requests failed: %s", d.Events, d.Failed, d.Problem), "the server's last words: %s", s.log)
	}
	if d.Problem != "" {
		o.Progress("a request failed: " + d.Problem)
	}
	return l, d, nil
}

// drain waits until the server has folded all it accepted, if it tells.
func (s *server) drain(ctx context.Context) time.Duration {
	if !s.folding {
		return 0
	}
	begun := time.Now()
	for ctx.Err() == nil && time.Since(begun) < 2*time.Minute {
		n, ok := s.folded(ctx)
		if !ok || n-s.base >= float64(s.events) {
			break
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return time.Since(begun)
}

// rest waits until what the server does by itself after a load l is done, so that
// the next load is measured alone, and notes in l what that took.
func (s *server) rest(ctx context.Context, l *Load) {
	begin, known := processCPU(s.pid)
	const (
		look    = 500 * time.Millisecond
		quiet   = 0.05 // seconds of processor time in a look
		looks   = 3
		longest = 2 * time.Minute
	)
	begun, cpu := time.Now(), begin
	for still := 0; known && still < looks && time.Since(begun) < longest; {
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return
		}
		var now float64
		now, known = processCPU(s.pid)
		if still++; now-cpu > quiet {
			still = 0
		}
		cpu = now
	}
	l.RestSeconds, l.RestCPUSeconds = time.Since(begun).Seconds(), cpu-begin
}

// folded reads how many events the server has folded.
func (s *server) folded(ctx context.Context) (float64, bool) {
	status, body, err := s.get(ctx, "/metrics")
	if err != nil || status != 200 {
		return 0, false
	}
	sum, found := 0.0, false
	for line := range bytes.Lines(body) {
		if name, value, ok := strings.Cut(strings.TrimSpace(string(line)), " "); ok && (name == foldedMetric || strings.HasPrefix(name, foldedMetric+"{")) {
			if v, err := strconv.ParseFloat(value, 64); err == nil {
				sum, found = sum+v, true
			}
		}
	}
	return sum, found
}

const foldedMetric = "rapport_engine_events_folded_total"

// restarts stops the server, kills it, and measures each return.
func (s *server) restarts(ctx context.Context, o Options) (*Restart, error) {
	config := filepath.Join(filepath.Dir(s.data), "config")
	r := &Restart{Events: s.events}
	s.end(syscall.SIGTERM)
	var err error
	if r.CleanSeconds, err = s.timed(ctx, config); err != nil {
		return nil, err
	}
	// Something must be in the log that no checkpoint has.
	j := o.job(s, 0)
	j.Warmup, j.Seconds = 0, min(o.Seconds, 5)
	if _, _, err := s.load(ctx, o, j); err != nil {
		return nil, err
	}
	r.Events = s.events
	s.end(syscall.SIGKILL)
	r.KillSeconds, err = s.timed(ctx, config)
	return r, err
}

func (s *server) timed(ctx context.Context, config string) (float64, error) {
	begun := time.Now()
	err := s.launch(ctx, config)
	took := time.Since(begun).Seconds()
	s.base, s.folding = 0, false // the count begins anew with the process
	return took, err
}

// disk returns the bytes of the server's data folder, 0 if it is not known.
func (s *server) disk() int64 {
	if s.data == "" {
		return 0
	}
	var sum int64
	_ = filepath.WalkDir(s.data, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, ierr := e.Info(); ierr == nil {
				sum += info.Size()
			}
		}
		return nil // files come and go while the server works
	})
	return sum
}

// memory returns the resident set now and at its greatest.
func (s *server) memory() (rss, peak int64) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			rss = kb << 10
		case "VmHWM":
			peak = kb << 10
		}
	}
	return rss, peak
}

// processCPU returns the CPU seconds of a process, from /proc where there is one.
func processCPU(pid int) (float64, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || pid <= 0 {
		return 0, false
	}
	// The name may hold spaces and parentheses; the fields begin after it.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseFloat(f[11], 64)
	system, err2 := strconv.ParseFloat(f[12], 64)
	const ticks = 100 // USER_HZ, the same on every Linux
	return (user + system) / ticks, err1 == nil && err2 == nil
}
