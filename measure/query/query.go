package query

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/measure/lake"
)

// Options bound what a question may take. Zero fields take the defaults named.
type Options struct {
	// Lake is what is asked about. Required.
	Lake *lake.Lake
	// Command starts the child: a program that calls [Child]. Default: this
	// program with the argument "sql-child".
	Command []string
	// Parallel is how many questions are answered at once (2); as many again wait.
	Parallel int
	// MemoryMB bounds DuckDB's memory (512), Threads its processors (2).
	MemoryMB int
	Threads  int
	// Timeout is the longest an answer may take (2 minutes).
	Timeout time.Duration
	// MaxRows and MaxBytes are the most one answer holds (100,000 and 32 MiB).
	MaxRows  int
	MaxBytes int
	// Fresh is how long a question waits until the lake holds everything
	// acknowledged before it (5 s).
	Fresh time.Duration
}

// Runner answers questions. It is safe for concurrent use.
type Runner struct {
	o       Options
	running chan struct{} // capacity Parallel: held by each question being answered
	waiting chan struct{} // capacity twice that: held by all
}

// New returns a runner.
func New(o Options) (*Runner, error) {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.Parallel, 2)
	set(&o.MemoryMB, 512)
	set(&o.Threads, 2)
	set(&o.MaxRows, 100_000)
	set(&o.MaxBytes, 32<<20)
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Fresh <= 0 {
		o.Fresh = 5 * time.Second
	}
	if len(o.Command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find the program itself: %w", err)
		}
		o.Command = []string{self, "sql-child"}
	}
	return &Runner{o: o, running: make(chan struct{}, o.Parallel), waiting: make(chan struct{}, 2*o.Parallel)}, nil
}

// Request is one question.
type Request struct {
	SQL string
	// MaxRows and Timeout may be lower than the runner's; zero takes 10,000
	// rows and 30 seconds.
	MaxRows int
	Timeout time.Duration
	// Stale takes the lake as it is, without waiting for the latest events.
	Stale bool
	// Condition says that the SQL was made of a condition, and may be longer.
	Condition bool
	// Since and Until are the first and the last day looked at, as 2006-01-02;
	// empty is without end. Files of other days are not opened.
	Since, Until string
}

// Result is an answer.
type Result struct {
	Columns []Column `json:"columns"`
	// Rows hold one JSON array each.
	Rows []json.RawMessage `json:"rows"`
	// Truncated says that there is more: rows beyond the limit, or bytes.
	Truncated bool `json:"truncated"`
	// Lag is how many records of the log the lake did not hold when it was asked.
	Lag    int64   `json:"lag"`
	Millis float64 `json:"millis"`
	// Notes say in words what an answer leaves out.
	Notes []string `json:"notes,omitempty"`
}

// Column describes one column of an answer.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // as DuckDB calls it
}

// MaxSQL is the longest question, in bytes.
const MaxSQL = 64 << 10

const maxConditionSQL = 512 << 10

// Query answers a question. Kinds: Invalid (the question, or it took too much),
// Unavailable (too many at once).
func (r *Runner) Query(ctx context.Context, q Request) (*Result, error) {
	if strings.TrimSpace(q.SQL) == "" {
		return nil, rapport.Errorf(rapport.Invalid, "there is no SQL")
	}
	if most := map[bool]int{false: MaxSQL, true: maxConditionSQL}[q.Condition]; len(q.SQL) > most {
		if q.Condition {
			return nil, rapport.Errorf(rapport.Invalid, "the condition becomes more than %d bytes of SQL", most)
		}
		return nil, rapport.Errorf(rapport.Invalid, "the SQL is longer than %d bytes", most)
	}
	if q.MaxRows <= 0 {
		q.MaxRows = 10_000
	}
	q.MaxRows = min(q.MaxRows, r.o.MaxRows)
	if q.Timeout <= 0 {
		q.Timeout = 30 * time.Second
	}
	q.Timeout = min(q.Timeout, r.o.Timeout)
	select {
	case r.waiting <- struct{}{}:
		defer func() { <-r.waiting }()
	default:
		return nil, rapport.WithHint(rapport.Errorf(rapport.Unavailable, "too many questions at once"), "ask again in a moment")
	}
	select {
	case r.running <- struct{}{}:
		defer func() { <-r.running }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	begun := time.Now()
	if !q.Stale {
		fresh, cancel := context.WithTimeout(ctx, r.o.Fresh)
		err := r.o.Lake.Sync(fresh)
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("bring the lake up to date: %w", err)
		}
	}
	lag := r.o.Lake.Stats().Lag
	snapshot, err := r.o.Lake.Snapshot()
	if err != nil {
		return nil, err
	}
	defer func() { snapshot.Release() }()
	all := len(snapshot.Files)
	out, err := r.run(ctx, q, snapshot)
	if err != nil {
		return nil, err
	}
	out.Notes = notes(q, snapshot, lag, all)
	out.Lag, out.Millis = lag, float64(time.Since(begun).Microseconds())/1000
	return out, nil
}

// notes says what an answer was made of, where that may surprise.
func notes(q Request, s *lake.Snapshot, lag int64, all int) (list []string) {
	switch {
	case all == 0 && lag == 0:
		list = append(list, "the lake is empty: nothing was accepted yet")
	case all == 0:
		list = append(list, "the lake is empty: nothing of the log was written yet")
	case len(s.Files) == 0:
		list = append(list, fmt.Sprintf("no file of the lake is of the days from %s to %s", or(q.Since, "the first"), or(q.Until, "the last")))
	}
	if lag > 0 {
		list = append(list, fmt.Sprintf("the newest %d records of the log were not in the lake yet; ask again in a moment", lag))
	}
	return list
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// run starts a child and reads its answer.
func (r *Runner) run(ctx context.Context, q Request, s *lake.Snapshot) (*Result, error) {
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	files := slices.DeleteFunc(slices.Clone(s.Files), func(f lake.File) bool { return f.Day < q.Since || q.Until != "" && f.Day > q.Until })
	s.Files = files
	if err := s.Fetch(ctx); err != nil {
		if ctx.Err() == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, err
		}
		return nil, tooLong(q.Timeout)
	}
	t := task{
		SQL: q.SQL, Dir: r.o.Lake.Dir(), Files: files, People: s.People, MaxRows: q.MaxRows, MaxBytes: r.o.MaxBytes,
		MemoryMB: r.o.MemoryMB, Threads: r.o.Threads, Seconds: int(q.Timeout/time.Second) + 1,
	}
	for _, id := range s.Erased {
		t.Erased = append(t.Erased, id.String())
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, r.o.Command[0], r.o.Command[1:]...)
	cmd.Env = []string{"TZ=UTC"}
	cmd.WaitDelay = time.Second
	var stderr tail
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "start the process for SQL: %w", err)
	}
	// The child ends when its input does, so it is held open until there is an answer.
	_, werr := in.Write(append(text, '\n'))
	result, err := readAnswer(out, r.o.MaxBytes)
	_ = in.Close()
	if err != nil {
		_ = cmd.Process.Kill()
	}
	status := cmd.Wait()
	switch {
	case err == nil:
		return result, nil
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, tooLong(q.Timeout)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case rapport.KindOf(err) == rapport.Invalid:
		return nil, err
	}
	if stderr.has(tooMuchMemory) {
		return nil, errMemory(r.o.MemoryMB)
	}
	return nil, rapport.Errorf(rapport.Internal, "the process for SQL ended without an answer: %w", errors.Join(err, werr, status, errors.New(stderr.String())))
}

func tooLong(timeout time.Duration) error {
	return rapport.WithHint(rapport.Errorf(rapport.Invalid, "the answer took longer than %s", timeout), "narrow it down, as by WHERE day >= current_date - 30 or with since, or allow more time")
}

func errMemory(mb int) error {
	return rapport.WithHint(rapport.Errorf(rapport.Invalid, "the answer needs more than %d MiB of memory", mb), "narrow it down, or group by less")
}

// task is what a child is given: one line of JSON.
type task struct {
	SQL      string      `json:"sql"`
	Dir      string      `json:"dir"`
	Files    []lake.File `json:"files"`
	People   *lake.File  `json:"people,omitempty"`
	Erased   []string    `json:"erased,omitempty"`
	MaxRows  int         `json:"maxRows"`
	MaxBytes int         `json:"maxBytes"`
	MemoryMB int         `json:"memoryMB"`
	Threads  int         `json:"threads"`
	Seconds  int         `json:"seconds"`
}

// head and end are the first and the last line of an answer; in between stand the rows.
type head struct {
	Columns []Column `json:"columns"`
	Error   string   `json:"error,omitempty"`
	Hint    string   `json:"hint,omitempty"`
}

type end struct {
	End       bool   `json:"end"`
	Truncated bool   `json:"truncated,omitempty"`
	Error     string `json:"error,omitempty"`
	Hint      string `json:"hint,omitempty"`
}

func fault(message, hint string) error {
	err := error(rapport.Errorf(rapport.Invalid, "%s", message))
	if hint != "" {
		err = rapport.WithHint(err, "%s", hint)
	}
	return err
}

// readAnswer reads the lines of a child. It bounds what it keeps itself.
func readAnswer(r io.Reader, maxBytes int) (*Result, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxBytes+64<<10)
	if !lines.Scan() {
		return nil, errors.Join(io.ErrUnexpectedEOF, lines.Err())
	}
	var h head
	if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
		return nil, err
	}
	if h.Error != "" {
		return nil, fault(h.Error, h.Hint)
	}
	out := &Result{Columns: h.Columns, Rows: []json.RawMessage{}}
	total := 0
	for lines.Scan() {
		line := lines.Bytes()
		if bytes.HasPrefix(line, []byte("{")) {
			var e end
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, err
			}
			if e.Error != "" {
				return nil, fault(e.Error, e.Hint)
			}
			out.Truncated = e.Truncated
			return out, nil
		}
		if total += len(line); total > 2*maxBytes {
			return nil, errors.New("an answer beyond its limit")
		}
		out.Rows = append(out.Rows, bytes.Clone(line))
	}
	return nil, errors.Join(io.ErrUnexpectedEOF, lines.Err())
}

// tail keeps the end of what is written.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-4096):]
	return len(p), nil
}

func (t *tail) has(s string) bool { return bytes.Contains(t.b, []byte(s)) }
func (t *tail) String() string    { return string(t.b) }
