package app

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/eventlog"
)

// retention says how much of the log is kept once state and lake hold what it
// says. The zero value keeps everything.
type retention struct {
	days, megabytes int

	held atomic.Int32 // by whom the log is being read from its beginning, or copied
}

// on reports whether anything may ever go.
func (r *retention) on() bool { return r.days > 0 || r.megabytes > 0 }

// hold keeps the log as it is until release is called.
func (r *retention) hold() (release func()) {
	r.held.Add(1)
	return func() { r.held.Add(-1) }
}

// age is how long records are kept unless the log grows too large.
func (r *retention) age() time.Duration {
	switch {
	case r.days > 0:
		return time.Duration(r.days) * 24 * time.Hour
	case r.megabytes > 0:
		return math.MaxInt64 / 4 // until the size says otherwise
	}
	return 0
}

// segment is the size of the log's files, which go whole; 0 is the log's measure.
func (r *retention) segment() int64 {
	if r.megabytes == 0 {
		return 0
	}
	return min(max(int64(r.megabytes)<<20/16, 1<<20), 64<<20)
}

// openRetention checks what was asked for. What leaves the log must stand in the lake.
func (s *Server) openRetention() error {
	r := &s.retention
	r.days, r.megabytes = s.opts.LogDays, s.opts.LogMB
	switch {
	case r.days < 0 || r.megabytes < 0:
		return rapport.Errorf(rapport.Invalid, "--log-days and --log-mb must not be negative")
	case r.days > 36500:
		return rapport.Errorf(rapport.Invalid, "--log-days is more than a hundred years; 0 keeps everything")
	case r.on() && s.opts.Lake == "off":
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, "--log-days and --log-mb need the lake: what is trimmed from the log would stand nowhere"), "leave out --lake off, or keep the whole log")
	}
	return nil
}

// trimFloor returns the offset below which nobody but the folds needs the log.
func (s *Server) trimFloor() func(partition int32) int64 {
	if !s.retention.on() {
		return nil
	}
	return func(partition int32) int64 {
		if s.lake == nil || s.retention.held.Load() > 0 || !s.ready.Load() {
			return 0
		}
		return s.lake.Position(partition)
	}
}

// logSince returns when the log began to hold all events; the zero time if that
// is since the first.
func (s *Server) logSince() time.Time {
	for p := range int32(s.events.Partitions(eventlog.Events)) {
		if first, _ := s.events.Bounds(eventlog.Events, p); first > 0 {
			return s.events.Since(eventlog.Events)
		}
	}
	return time.Time{}
}

// trimmedRecords returns how many records of events were trimmed from the log.
func (s *Server) trimmedRecords() (n int64) {
	for p := range int32(s.events.Partitions(eventlog.Events)) {
		first, _ := s.events.Bounds(eventlog.Events, p)
		n += first
	}
	return n
}

func (s *Server) logStatus() api.LogStatus {
	l := s.events.Stats()
	return api.LogStatus{
		Bytes: l.Bytes, Segments: l.Segments, Oldest: s.events.Since(eventlog.Events), Trimmed: s.trimmedRecords(),
		KeepDays: s.retention.days, KeepMB: s.retention.megabytes,
	}
}
