package app

import (
	"context"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/measure/lake"
	"github.com/rapport-engine/rapport/measure/lake/bucket"
	"github.com/rapport-engine/rapport/measure/query"
	"github.com/rapport-engine/rapport/profile"
)

// lakeFolder is where the lake lies below the data folder unless told otherwise.
const lakeFolder = "lake"

// lakeCopies is where copies of its files lie if it is in a bucket.
const lakeCopies = "lake-cache"

// openBucketTime is how long the start waits for a bucket to answer.
const openBucketTime = 15 * time.Second

// lakePlace returns where the lake lies: a folder, or a bucket with a folder for
// copies; no folder is none.
func (s *Server) lakePlace(ctx context.Context) (dir string, remote lake.Remote, err error) {
	at := s.opts.Lake
	switch {
	case at == "off":
		return "", nil, nil
	case at == "":
		return filepath.Join(s.opts.Data, lakeFolder), nil, nil
	case strings.HasPrefix(at, bucket.Scheme):
		b, err := bucket.Open(ctx, bucket.Options{URL: at, Logger: s.log})
		if err == nil {
			s.closers = append(s.closers, b.Close)
		}
		return filepath.Join(s.opts.Data, lakeCopies), b, err
	case strings.Contains(at, "://"):
		scheme, _, _ := strings.Cut(at, "://") // the rest may hold a secret
		return "", nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the lake cannot lie at %s://", scheme), "name a folder, or a bucket as s3://bucket/prefix; Google's and others speak that, too, with ?endpoint=...")
	}
	return at, nil, nil
}

// openLake opens the history in Parquet files, unless it is turned off.
func (s *Server) openLake(ctx context.Context, key []byte) error {
	ctx, cancel := context.WithTimeout(ctx, openBucketTime)
	defer cancel()
	dir, remote, err := s.lakePlace(ctx)
	if err != nil {
		return fmt.Errorf("open the lake: %w", err)
	}
	if dir == "" {
		return nil
	}
	s.lake, err = lake.Open(ctx, lake.Options{
		Dir: dir, Remote: remote, CacheBytes: int64(s.opts.LakeCacheMB) << 20, Deployment: hex.EncodeToString(subkey(key, "lake")[:8]), Log: s.events, Dropped: s.engine, Clock: rapport.SystemClock{}, Logger: s.log,
		Every: s.opts.LakeEvery, Decision: decide.DecodeGiven,
		Outcome: lakeOutcome,
		Skip: func(e *rapport.Event) bool {
			return e.Name == profile.SystemAnswers || e.Name == profile.SystemReview || e.Name == profile.SystemBuilt
		},
		Partial: s.opts.PartialHistory,
		Gone:    s.lakeGone, People: s.identity.Merged,
		PeopleVersion: func() uint64 { _, next := s.events.Bounds(eventlog.Identity, 0); return uint64(next) },
		Busy:          (&pressure{server: s}).high,
	})
	if err != nil {
		return fmt.Errorf("open the lake: %w", err)
	}
	s.queries, err = query.New(query.Options{Lake: s.lake})
	return err
}

// runLake writes the lake until ctx ends.
func (s *Server) runLake(ctx context.Context) error {
	if s.lake == nil {
		return nil
	}
	if _, err := s.erasures.open(s.opts.Data); err != nil {
		return err
	}
	select { // until then it is not known who was erased
	case <-s.erasures.applied:
	case <-ctx.Done():
		return nil
	}
	return s.lake.Run(ctx)
}

// lakeOutcome turns an example of the rewards topic into a row.
func lakeOutcome(b []byte) (*lake.OutcomeRow, error) {
	l, err := decide.DecodeLesson(b)
	if err != nil || l.Example == nil {
		return nil, err
	}
	x := l.Example
	return &lake.OutcomeRow{
		Decision: x.ID, Slot: int32(x.Slot), ShownAt: x.At, Placement: x.Placement, Action: x.Action, Kind: x.Kind, Goal: x.Goal,
		First: x.First, Via: x.Via, Before: x.Before, After: x.After, Reward: x.Reward, Propensity: x.Propensity,
	}, nil
}

// lakeGone tells rows of people erased so far.
func (s *Server) lakeGone() func(lake.Trace) bool {
	l, err := s.erasures.open(s.opts.Data)
	if err != nil {
		return func(lake.Trace) bool { return false }
	}
	gone := goneOf(l)
	return func(x lake.Trace) bool {
		return s.namesErased(gone, x.Entity, x.Fragment, x.Identifiers, x.At)
	}
}

// eraseLake has the rows of an erased person removed from the lake.
func (s *Server) eraseLake(job string, nodes []rapport.ID) error {
	if s.lake == nil {
		return nil
	}
	return s.lake.Erase(job, nodes)
}

// pressure tells when events arrive so fast, or somebody waits for so much, that
// the lake had better wait.
type pressure struct {
	server *Server

	mu     sync.Mutex
	at     time.Time
	before int64
	is     bool
}

// busyRate is how many records a second leave little of a small machine for others.
const busyRate = 5000

func (p *pressure) high() bool {
	if p.server.counting.Load() > 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	passed := time.Since(p.at)
	if passed < 200*time.Millisecond {
		return p.is
	}
	now := p.server.events.Stats().Records
	p.is = float64(now-p.before) > busyRate*passed.Seconds() && !p.at.IsZero()
	p.at, p.before = time.Now(), now
	return p.is
}

// lakeFigures are the lake's metrics.
func (s *Server) lakeFigures(send func(kind prometheus.ValueType, name, help string, value float64, labels ...string)) {
	if s.lake == nil {
		return
	}
	st := s.lake.Stats()
	send(prometheus.CounterValue, "rapport_lake_rows_total", "Rows written to the lake since start.", float64(st.Written))
	send(prometheus.GaugeValue, "rapport_lake_files", "Parquet files of the lake.", float64(st.Files))
	send(prometheus.GaugeValue, "rapport_lake_bytes", "Size of the lake.", float64(st.Bytes))
	send(prometheus.GaugeValue, "rapport_lake_lag_records", "Records of the log that are not in the lake yet.", float64(st.Lag))
}

// lakeJob names an erasure to the lake. One that was repeated after a restore is another.
func lakeJob(e erasure) string { return fmt.Sprintf("%s/%d", e.Job, e.At) }
