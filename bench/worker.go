package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
)

// job is what a worker process is told on its standard input.
type job struct {
	Role string `json:"role"` // load, preload, bare, discard or append
	Addr string `json:"addr"`
	Key  string `json:"key"`
	// Token reads people and asks for decisions.
	Token string `json:"token"`
	File  string `json:"file"`
	Run   int64  `json:"run"`

	People      int     `json:"people"`
	ZipfS       float64 `json:"zipfS"`
	ZipfV       float64 `json:"zipfV"`
	Batch       int     `json:"batch"`
	Connections int     `json:"connections"`
	Warmup      float64 `json:"warmup"`
	Seconds     float64 `json:"seconds"`
	Rate        float64 `json:"rate"`
	ProbeRate   float64 `json:"probeRate"`
	DecideRate  float64 `json:"decideRate"`
	Features    int     `json:"features"`
}

// note is what a worker says on its standard output: one JSON object a line.
type note struct {
	Listening string `json:"listening,omitempty"` // the bare handler's address
	Begin     bool   `json:"begin,omitempty"`     // warm; what follows is measured
	Done      *done  `json:"done,omitempty"`
}

// done is what a worker found in the measured time.
type done struct {
	Seconds float64 `json:"seconds"`
	Events  int64   `json:"events"`
	Bytes   int64   `json:"bytes"`
	// Sent counts the events accepted in warm-up too.
	Sent    int64   `json:"sent"`
	Refused int64   `json:"refused"`
	Failed  int64   `json:"failed"`
	CPU     float64 `json:"cpu"` // of the worker itself
	Request Latency `json:"request"`

	ProbePost Latency `json:"probePost"`
	ProbeRead Latency `json:"probeRead"`
	ProbeBoth Latency `json:"probeBoth"`
	ProbeDue  int64   `json:"probeDue"`
	ProbeLate int64   `json:"probeLate"`

	Decisions     int64   `json:"decisions"`
	DecideFailed  int64   `json:"decideFailed"`
	Empty         int64   `json:"empty"`
	Clicked       int64   `json:"clicked"`
	Answered      int64   `json:"answered"` // decisions in the measured time, whenever they were due
	DecideDue     Latency `json:"decideDue"`
	DecideService Latency `json:"decideService"`
	// Problem is the first answer that was not as it should be.
	Problem string `json:"problem,omitempty"`
}

// Worker is the other process of a measurement: it reads a job from in, does
// it, and tells on out. It is for a hidden command of the program that calls
// Ingest or Decide.
func Worker(ctx context.Context, in io.Reader, out io.Writer) error {
	var j job
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return rapport.Errorf(rapport.Invalid, "read the job: %w", err)
	}
	if err := json.Unmarshal(line, &j); err != nil {
		return rapport.Errorf(rapport.Invalid, "read the job: %w", err)
	}
	var mu sync.Mutex
	tell := func(n note) {
		mu.Lock()
		defer mu.Unlock()
		b, _ := json.Marshal(n) // plain structs of ours always encode
		_, _ = out.Write(append(b, '\n'))
	}
	switch j.Role {
	case "bare", "discard":
		return bare(ctx, j.Role, lines, tell)
	case "append":
		d, err := appendFile(ctx, j)
		if err != nil {
			return err
		}
		tell(note{Done: &d})
		return nil
	case "load", "preload":
		d, err := generate(ctx, j, func() { tell(note{Begin: true}) })
		if err != nil {
			return err
		}
		tell(note{Done: &d})
		return nil
	}
	return rapport.Errorf(rapport.Invalid, "%q is not a worker's role", j.Role)
}

// worker is a running worker process, seen from the measuring one.
type worker struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	notes *bufio.Scanner
	errs  *tail
	ended bool
}

func (o Options) startWorker(ctx context.Context, j job) (*worker, error) {
	w := &worker{cmd: exec.CommandContext(ctx, o.Worker[0], o.Worker[1:]...), errs: &tail{}}
	w.cmd.Stderr = w.errs
	w.cmd.Env = os.Environ()
	var err error
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "start a worker: %w", err)
	}
	stdout, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "start a worker: %w", err)
	}
	w.notes = bufio.NewScanner(stdout)
	if err := w.cmd.Start(); err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "start a worker: %w", err)
	}
	b, err := json.Marshal(j)
	if err == nil {
		_, err = w.stdin.Write(append(b, '\n'))
	}
	if err != nil {
		w.end()
		return nil, rapport.Errorf(rapport.Unavailable, "tell a worker its job: %w", err)
	}
	return w, nil
}

// next reads the worker's next note.
func (w *worker) next() (note, error) {
	var n note
	if !w.notes.Scan() {
		w.end()
		return n, rapport.Errorf(rapport.Unavailable, "a worker ended early: %s", w.errs)
	}
	if err := json.Unmarshal(w.notes.Bytes(), &n); err != nil {
		return n, rapport.Errorf(rapport.Internal, "read a worker's note: %w", err)
	}
	return n, nil
}

// listening waits for the address of a bare handler.
func (w *worker) listening() (string, error) {
	n, err := w.next()
	return n.Listening, err
}

// wait returns what the worker found, after calling begin when it is warm.
func (w *worker) wait(begin func()) (done, error) {
	defer w.end()
	for {
		n, err := w.next()
		if err != nil {
			return done{}, err
		}
		if n.Begin && begin != nil {
			begin()
		}
		if n.Done != nil {
			return *n.Done, nil
		}
	}
}

// end closes the worker's input, which ends a bare handler, and reaps it.
func (w *worker) end() {
	if w.ended {
		return
	}
	w.ended = true
	_ = w.stdin.Close()
	_ = w.cmd.Wait()
}

// tail keeps the last of what a process wrote.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - 2000; over > 0 {
		t.b = t.b[over:]
	}
	return len(p), nil
}

// String returns the end of what was written.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}

// bare serves the least a server can do with a batch, until in ends: role
// "bare" has the body in memory before it answers, "discard" lets it run by.
func bare(ctx context.Context, role string, in io.Reader, tell func(note)) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return rapport.Errorf(rapport.Unavailable, "listen: %w", err)
	}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if role == "bare" {
			_, err = io.ReadAll(r.Body)
		} else {
			_, err = io.Copy(io.Discard, r.Body)
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"success":true}`)
	})}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = s.Close()
	}()
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	tell(note{Listening: l.Addr().String()})
	if err := s.Serve(l); err != http.ErrServerClosed {
		return rapport.Errorf(rapport.Unavailable, "serve: %w", err)
	}
	return nil
}

// appendFile writes requests to a file and syncs before each counts, all the
// waiting ones at once: what a log could do at best.
func appendFile(ctx context.Context, j job) (done, error) {
	f, err := os.OpenFile(j.File, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return done{}, rapport.Errorf(rapport.Unavailable, "make the file: %w", err)
	}
	defer f.Close()
	type entry struct {
		text []byte
		ok   chan struct{}
	}
	ctx, stop := context.WithTimeout(ctx, time.Duration(j.Seconds*float64(time.Second)))
	queue := make(chan entry) // unbuffered: what waits is what the writers hold
	var writers sync.WaitGroup
	for i := range j.Connections {
		writers.Go(func() {
			b := newBody(j.Batch, j.Run, i)
			c := newCrowd(j.People, j.ZipfS, j.ZipfV, uint64(i))
			var next int64
			ok := make(chan struct{})
			for {
				b.fill(&next, c.next, time.Now())
				select {
				case queue <- entry{b.text, ok}:
					<-ok
				case <-ctx.Done():
					return
				}
			}
		})
	}
	defer func() {
		stop()
		writers.Wait()
	}()
	d := done{}
	begun := time.Now()
	var held []entry
	for {
		held = held[:0]
		select {
		case e := <-queue:
			held = append(held, e)
		case <-ctx.Done():
			d.Seconds = time.Since(begun).Seconds()
			return d, nil
		}
	more:
		for len(held) < j.Connections {
			select {
			case e := <-queue:
				held = append(held, e)
			default:
				break more
			}
		}
		for _, e := range held {
			n, werr := f.Write(e.text)
			d.Bytes += int64(n)
			if err == nil {
				err = werr
			}
		}
		if err == nil {
			err = f.Sync()
		}
		for _, e := range held {
			e.ok <- struct{}{}
		}
		if err != nil {
			return d, rapport.Errorf(rapport.Unavailable, "append: %w", err)
		}
		d.Events += int64(len(held) * j.Batch)
	}
}
