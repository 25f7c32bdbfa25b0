// Package bench measures a server from outside: how many events a second it
// takes and at what cost, how soon an accepted event can be read, how fast it
// decides beside that load, and how soon it is back after a stop.
//
// Guarantees. The load comes from a separate process over real HTTP
// connections, with bodies encoded beforehand, so that the figures are the
// server's. Every event has a fresh message id and the names of one person out
// of N, drawn by Zipf's law. Paced load is open: a request is due at its time
// whether or not the one before was answered, and its latency counts from when
// it was due. The machine's own limits (a bare net/http handler fed by the same
// generator, and the fsync'd append of the same bytes to a file) are taken in
// the same run, because figures of two machines, or of two days, do not compare.
package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/rapport-engine/rapport"
)

// Options of a measurement. The zero value measures a server of its own in a
// temporary folder that is removed afterwards.
type Options struct {
	// URL, Key, Token and PID name a running server: its address, a write key,
	// a token that may read people, and its process for CPU and memory (0 leaves
	// those out). With an empty URL a server is started and stopped.
	URL, Key, Token string
	PID             int
	// Serve and Worker are the commands that start a server and a worker: this
	// binary with "serve" and "bench-worker" if nil.
	Serve, Worker []string
	// Dir is where the server keeps its data, from one measurement to the next:
	// people known there are not made known again. A temporary folder if empty.
	Dir string
	// Profile is a file for the profile of our server's processor time, until it
	// is stopped first. Empty: none. A comparison leaves one for either side, the
	// one without named by ".without" behind.
	Profile string

	// People is how many there are. 0 is a million.
	People int
	// Preload makes every one of them known before anything is measured. Decide
	// always does: what is decided for strangers is mostly nothing.
	Preload bool
	// ZipfS and ZipfV shape how unevenly people act: the k-th does with weight
	// (v+k)^-s. 0 is 1.01 and 1.
	ZipfS, ZipfV float64
	// Batch is events per request. 0 is 100.
	Batch int
	// Connections is how many requests may be under way. 0 is 16.
	Connections int
	// Seconds is how long each load is measured after Warmup. 0 is 20 and 3.
	Seconds, Warmup float64
	// Rate is the pace of the measurement in events a second; 0 is as fast as
	// the server takes them.
	Rate float64
	// ReadRate is the pace of the load beside which accepted-to-readable is
	// measured. 0 is 20,000; below 0 leaves that out.
	ReadRate float64
	// Restart measures how soon the server is ready again, after a clean stop
	// and after a kill. It needs a server of our own.
	Restart bool
	// NoLimits leaves the machine's own limits out.
	NoLimits bool

	// Traits and Segments, if not 0, have Ingest measure the load on servers with
	// that many computed traits and live segments and all predictions, and on ones
	// with none of that, instead of the rest.
	Traits, Segments int
	noPredictions    bool

	// Actions is how many actions compete in Decide. 0 is 50.
	Actions int
	// Features is what models learn from at each decision: five of the moment and
	// the person, the others of the request's context. 0 is 20.
	Features int
	// DecideRate is decisions a second. 0 is 2,000.
	DecideRate float64
	// EventsRate is the load beside them, in events a second. 0 is 10,000.
	EventsRate float64

	// Progress is told what goes on, in words. It may be nil.
	Progress func(string)
}

func (o Options) defaults() (Options, error) {
	def := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	count := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	count(&o.People, 1_000_000)
	count(&o.Batch, 100)
	count(&o.Connections, 16)
	count(&o.Actions, 50)
	count(&o.Features, 20)
	def(&o.ZipfS, 1.01)
	def(&o.ZipfV, 1)
	def(&o.Seconds, 20)
	def(&o.Warmup, 3)
	def(&o.ReadRate, 20_000)
	def(&o.DecideRate, 2_000)
	def(&o.EventsRate, 10_000)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	switch {
	case o.People < 1 || o.People > maxPeople:
		return o, rapport.Errorf(rapport.Invalid, "people is %d, not between 1 and %d", o.People, maxPeople)
	case o.Batch < 1 || o.Batch > 1000 || o.Connections < 1 || o.Connections > 1000:
		return o, rapport.Errorf(rapport.Invalid, "batch and connections are between 1 and 1000")
	case o.ZipfS <= 1 || o.ZipfV < 1:
		return o, rapport.Errorf(rapport.Invalid, "Zipf's s must be above 1 and v at least 1")
	case o.Seconds < 0 || o.Warmup < 0 || o.Rate < 0 || o.DecideRate < 0 || o.EventsRate < 0:
		return o, rapport.Errorf(rapport.Invalid, "times and rates must not be negative")
	case o.Traits < 0 || o.Traits > 1000 || o.Segments < 0 || o.Segments > 5000:
		return o, rapport.Errorf(rapport.Invalid, "traits are between 0 and 1000, segments between 0 and 5000")
	case o.URL != "" && o.Traits+o.Segments > 0:
		return o, rapport.Errorf(rapport.Invalid, "traits and segments are given to servers of our own only")
	case o.Actions < 1 || o.Actions > 10_000:
		return o, rapport.Errorf(rapport.Invalid, "actions is %d, not between 1 and 10,000", o.Actions)
	case o.Features < leastFeatures || o.Features > leastFeatures+16:
		return o, rapport.Errorf(rapport.Invalid, "features is %d, not between %d and %d", o.Features, leastFeatures, leastFeatures+16)
	case o.URL != "" && o.Key == "":
		return o, rapport.WithHint(rapport.Errorf(rapport.Invalid, "a running server needs a write key"), "give the key of one of its source documents")
	case o.URL != "" && o.Restart:
		return o, rapport.Errorf(rapport.Invalid, "only a server of our own can be restarted")
	}
	if o.Worker == nil || o.Serve == nil {
		self, err := os.Executable()
		if err != nil {
			return o, rapport.Errorf(rapport.Internal, "find this program's file: %w", err)
		}
		if o.Worker == nil {
			o.Worker = []string{self, "bench-worker"}
		}
		if o.Serve == nil {
			o.Serve = []string{self, "serve"}
		}
	}
	return o, nil
}

// Machine is where a report was made.
type Machine struct {
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Arch string `json:"arch"`
	Go   string `json:"go"`
}

func machine() Machine {
	return Machine{runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()}
}

// Load is a load and what became of it.
type Load struct {
	Events          int64   `json:"events"` // accepted in the measured time
	Seconds         float64 `json:"seconds"`
	EventsPerSecond float64 `json:"eventsPerSecond"`
	// DrainSeconds is how long the server folded on after the last answer, and
	// SustainedPerSecond the rate with that counted in.
	DrainSeconds       float64 `json:"drainSeconds"`
	SustainedPerSecond float64 `json:"sustainedPerSecond"`
	Refused            int64   `json:"refused"` // requests answered 429 or 503 and tried again
	Failed             int64   `json:"failed"`  // requests that got no answer or another one
	// CPUSecondsPerMillion is the server's CPU time per million events, or null.
	CPUSecondsPerMillion *float64 `json:"cpuSecondsPerMillion"`
	// GeneratorCPUSeconds is the CPU time the generator took from the same machine.
	GeneratorCPUSeconds float64 `json:"generatorCpuSeconds"`
	// Request is the latency of one batch, from when it was due if the load is paced.
	Request Latency `json:"request"`
	// DiskBytesPerEvent is by how much the data folder grew per event, or null.
	DiskBytesPerEvent *float64 `json:"diskBytesPerEvent"`
	// RestSeconds is how long the server tidied up afterwards (state, history)
	// before the next measurement began, and RestCPUSeconds what that took.
	RestSeconds    float64 `json:"restSeconds,omitempty"`
	RestCPUSeconds float64 `json:"restCpuSeconds,omitempty"`
}

// Readable is how soon an accepted event can be read.
type Readable struct {
	Load Load `json:"load"`
	// Accepted is the time of the single event's POST, Read that from its
	// answer to the answer of the GET that shows it, Both their sum.
	Accepted Latency `json:"accepted"`
	Read     Latency `json:"acceptedToReadable"`
	Both     Latency `json:"sentToReadable"`
	// Due is how many probes were to be made in the measured time, Missing how
	// many of them no read had shown at its end: refused, not sent because one
	// before was still awaited, or not readable. Their latency is longer than any
	// above and is not in there.
	Due     int64 `json:"due"`
	Missing int64 `json:"missing"`
	// Late counts probes whose first GET did not show the event yet.
	Late int64 `json:"late"`
	// Note says what the figures cannot.
	Note string `json:"note,omitempty"`
}

// readable sums up a load with probes.
func readable(l Load, d done) *Readable {
	r := &Readable{Load: l, Accepted: d.ProbePost, Read: d.ProbeRead, Both: d.ProbeBoth, Due: d.ProbeDue, Late: d.ProbeLate}
	r.Missing = max(r.Due-r.Read.Count, 0)
	switch {
	case r.Read.Count == 0:
		r.Note = fmt.Sprintf("none in time: of %d probes not one could be read before the end; there is no latency to tell", r.Due)
	case r.Missing*100 > r.Due:
		r.Note = fmt.Sprintf("%d of %d probes could not be read in time; the latencies are of the others, and too good", r.Missing, r.Due)
	}
	return r
}

// Restart is how soon the server was ready again.
type Restart struct {
	Events       int64   `json:"events"` // in the log
	CleanSeconds float64 `json:"cleanSeconds"`
	KillSeconds  float64 `json:"killSeconds"`
}

// Limits are what the machine itself can do with the same bodies.
type Limits struct {
	// Bare is a net/http handler that reads the body into memory (io.ReadAll)
	// and answers; Discard one that throws the body away unseen.
	Bare    Load `json:"bareHandler"`
	Discard Load `json:"discardingHandler"`
	// Append is the fsync'd append of the bodies to a file, all those waiting at once.
	AppendEventsPerSecond float64 `json:"appendEventsPerSecond"`
	AppendBytesPerSecond  float64 `json:"appendBytesPerSecond"`
}

// Report is what Ingest found.
type Report struct {
	Machine     Machine   `json:"machine"`
	People      int       `json:"people"`
	Preloaded   bool      `json:"preloaded"`
	Batch       int       `json:"batch"`
	Connections int       `json:"connections"`
	EventBytes  float64   `json:"eventBytes"`
	Preload     *Load     `json:"preload,omitempty"`
	Ingest      Load      `json:"ingest"`
	Readable    *Readable `json:"readable,omitempty"`
	// RSS is the server's memory after the load, PeakRSS the most it had, in bytes.
	RSS     int64    `json:"rss"`
	PeakRSS int64    `json:"peakRss"`
	Restart *Restart `json:"restart,omitempty"`
	Limits  *Limits  `json:"limits,omitempty"`
	// Compared is the load with traits, segments and predictions against that without; the
	// figures above are then of the server with them.
	Compared *Compared `json:"compared,omitempty"`
	// The shares are Ingest's events a second against the limits.
	ShareOfBare    float64 `json:"shareOfBareHandler,omitempty"`
	ShareOfDiscard float64 `json:"shareOfDiscardingHandler,omitempty"`
	ShareOfAppend  float64 `json:"shareOfAppend,omitempty"`
}

// Ingest measures how a server takes events. It returns Unavailable errors
// when the server or a worker does not start or answer.
func Ingest(ctx context.Context, o Options) (Report, error) {
	o, err := o.defaults()
	if err != nil {
		return Report{}, err
	}
	dir, remove, err := o.workspace()
	if err != nil {
		return Report{}, err
	}
	defer remove()
	r := Report{Machine: machine(), People: o.People, Preloaded: o.Preload, Batch: o.Batch, Connections: o.Connections, EventBytes: eventBytes(o.Batch)}
	if o.Traits+o.Segments > 0 {
		if r.Compared, err = o.compare(ctx, dir); err == nil {
			r.Ingest = r.Compared.With
		}
		return r, err
	}
	s, err := o.server(ctx, dir)
	if err != nil {
		return r, err
	}
	defer s.stop()

	if o.Preload {
		l, err := s.preload(ctx, o)
		if err != nil {
			return r, err
		}
		if l.Events > 0 {
			r.Preload = &l
		}
	}
	o.Progress("measuring ingestion")
	if r.Ingest, _, err = s.load(ctx, o, o.job(s, o.Rate)); err != nil {
		return r, err
	}
	if o.ReadRate > 0 {
		o.Progress("measuring how soon an event can be read")
		j := o.job(s, o.ReadRate)
		j.ProbeRate, j.Seconds = 100, min(o.Seconds, 20)
		s.rest(ctx, &r.Ingest)
		l, done, err := s.load(ctx, o, j)
		if err != nil {
			return r, err
		}
		if r.Readable = readable(l, done); r.Readable.Note != "" {
			o.Progress(r.Readable.Note)
		}
	}
	r.RSS, r.PeakRSS = s.memory()
	if o.Restart {
		o.Progress("measuring restarts")
		if r.Restart, err = s.restarts(ctx, o); err != nil {
			return r, err
		}
	}
	s.stop()
	if o.NoLimits {
		return r, nil
	}
	o.Progress("measuring the machine's own limits")
	if r.Limits, err = o.limits(ctx, dir); err != nil {
		return r, err
	}
	r.ShareOfBare = r.Ingest.EventsPerSecond / r.Limits.Bare.EventsPerSecond
	r.ShareOfDiscard = r.Ingest.EventsPerSecond / r.Limits.Discard.EventsPerSecond
	r.ShareOfAppend = r.Ingest.EventsPerSecond / r.Limits.AppendEventsPerSecond
	return r, nil
}

// DecideReport is what Decide found.
type DecideReport struct {
	Machine   Machine `json:"machine"`
	People    int     `json:"people"`
	Preloaded bool    `json:"preloaded"`
	Actions   int     `json:"actions"`
	Features  int     `json:"features"`
	// Decisions were answered, at Rate a second; Failed were not.
	Decisions int64   `json:"decisions"`
	Rate      float64 `json:"rate"`
	Failed    int64   `json:"failed"`
	Empty     int64   `json:"empty"` // answered with nothing to show
	// Due is the latency from when a decision was due, Service from when it was sent.
	Due     Latency `json:"latency"`
	Service Latency `json:"serviceLatency"`
	// Events is the load beside the decisions.
	Events Load `json:"events"`
	// Clicked is how many were answered with a click, so that there is something to learn.
	Clicked int64 `json:"clicked"`
	// CPUMicros is the server's processor time per decision, clicks and what is
	// learned from them included: what it takes above that of the same events alone.
	CPUMicros *float64 `json:"cpuMicrosPerDecision"`
	// Trivial is the latency of a handler that does nothing but read the request,
	// asked by the same generator beside the same events right after; Ratio is the
	// 99th percentile of the decisions over that.
	Trivial *Latency `json:"trivialHandler,omitempty"`
	Ratio   float64  `json:"ratioToTrivialHandler,omitempty"`
	RSS     int64    `json:"rss"`
	PeakRSS int64    `json:"peakRss"`
}

// Decide measures how fast a server decides beside a load of events. A running
// server must have the placement "bench"; one of our own gets it.
func Decide(ctx context.Context, o Options) (DecideReport, error) {
	o, s, end, err := o.known(ctx)
	if err != nil {
		return DecideReport{}, err
	}
	defer end()
	r := DecideReport{Machine: machine(), People: o.People, Preloaded: true, Actions: o.Actions, Features: o.Features}
	o.Progress("measuring the events alone")
	alone, _, err := s.load(ctx, o, o.job(s, o.EventsRate))
	if err != nil {
		return r, err
	}
	o.Progress("measuring decisions")
	j := o.job(s, o.EventsRate)
	j.DecideRate, j.Features = o.DecideRate, o.Features
	l, done, err := s.load(ctx, o, j)
	if err != nil {
		return r, err
	}
	if a, b := alone.CPUSecondsPerMillion, l.CPUSecondsPerMillion; a != nil && b != nil && done.Answered > 0 {
		v := (*b - *a) * float64(l.Events) / float64(done.Answered)
		r.CPUMicros = &v
	}
	r.Clicked = done.Clicked
	r.Events, r.Decisions, r.Failed, r.Empty, r.Due, r.Service = l, done.Decisions, done.DecideFailed, done.Empty, done.DecideDue, done.DecideService
	r.Rate = float64(done.Decisions) / done.Seconds
	r.RSS, r.PeakRSS = s.memory()
	s.stop()
	if o.NoLimits {
		return r, nil
	}
	o.Progress("measuring a trivial handler")
	bare, err := o.startWorker(ctx, job{Role: "bare"})
	if err != nil {
		return r, err
	}
	defer bare.end()
	if j.Addr, err = bare.listening(); err != nil {
		return r, err
	}
	_, done, err = (&server{addr: j.Addr, pid: bare.cmd.Process.Pid, key: j.Key}).load(ctx, o, j)
	if err != nil {
		return r, err
	}
	r.Trivial = &done.DecideDue
	if done.DecideDue.P99 > 0 {
		r.Ratio = r.Due.P99 / done.DecideDue.P99
	}
	return r, nil
}

// known returns the options with their defaults and a server that knows every
// person; end stops it and tidies up.
func (o Options) known(ctx context.Context) (_ Options, s *server, end func(), err error) {
	if o, err = o.defaults(); err != nil {
		return o, nil, nil, err
	}
	dir, remove, err := o.workspace()
	if err != nil {
		return o, nil, nil, err
	}
	if s, err = o.server(ctx, dir); err != nil {
		remove()
		return o, nil, nil, err
	}
	end = func() { s.stop(); remove() }
	if _, err = s.preload(ctx, o); err != nil {
		end()
	}
	return o, s, end, err
}

// workspace returns a folder to work in and what takes it away again.
func (o Options) workspace() (dir string, remove func(), err error) {
	if o.Dir != "" {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return "", nil, rapport.Errorf(rapport.Unavailable, "make the folder %s: %w", o.Dir, err)
		}
		return o.Dir, func() {}, nil
	}
	dir, err = os.MkdirTemp("", "rapport-bench-")
	if err != nil {
		return "", nil, rapport.Errorf(rapport.Unavailable, "make a temporary folder: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// limits measures the bare handlers and the append.
func (o Options) limits(ctx context.Context, dir string) (*Limits, error) {
	l := &Limits{}
	for role, into := range map[string]*Load{"bare": &l.Bare, "discard": &l.Discard} {
		bare, err := o.startWorker(ctx, job{Role: role})
		if err != nil {
			return nil, err
		}
		addr, err := bare.listening()
		if err == nil {
			s := &server{addr: addr, pid: bare.cmd.Process.Pid, key: "wk_bench_load"}
			j := o.job(s, 0)
			j.Seconds = min(o.Seconds, 8)
			*into, _, err = s.load(ctx, o, j)
		}
		bare.end()
		if err != nil {
			return nil, err
		}
	}
	file := filepath.Join(dir, "append.log")
	defer os.Remove(file)
	w, err := o.startWorker(ctx, job{Role: "append", File: file, Batch: o.Batch, Connections: o.Connections, People: o.People, ZipfS: o.ZipfS, ZipfV: o.ZipfV, Seconds: min(o.Seconds, 5), Run: run()})
	if err != nil {
		return nil, err
	}
	done, err := w.wait(nil)
	if err != nil {
		return nil, err
	}
	l.AppendEventsPerSecond = float64(done.Events) / done.Seconds
	l.AppendBytesPerSecond = float64(done.Bytes) / done.Seconds
	return l, nil
}

// run names a run in message ids, so that no two share one.
func run() int64 { return time.Now().UnixMilli() }
