package app

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// api returns the management interface.
func (s *Server) api() http.Handler {
	return api.New(api.Deps{
		Predictions: s.fitter, Found: s.insights, Lives: s.lives,
		Access: s.access, Config: s.config, Registry: s.registry, Engine: s.engine, Identity: s.identity, Decider: s.decider,
		Recent: s.recent, Model: s.model, Door: s.door, Deliver: s.deliver, Composer: s.composer, Log: s.events, Zones: s.zones, Live: s.live,
		Clock: s.opts.Clock, Logger: s.log, System: s, Demo: s.demo, InApp: s.inapp.Serve, Decided: s.rates.decided,
		SQL: s.sql(), Channels: s, Suppressed: s.suppressed,
		Items: s.items, Chain: s.chain, Updates: s.updates, PublicURL: s.opts.PublicURL, Recalls: recalls{s}, Draining: s.draining, SecureCookie: strings.HasPrefix(s.opts.PublicURL, "https://"),
	}).Handler()
}

// Status implements api.System.
func (s *Server) Status() api.Status {
	g := s.engine.Stats()
	out := api.Status{
		Version: rapport.Version, UptimeSeconds: time.Since(s.started).Seconds(), Ready: s.ready.Load(), GoVersion: runtime.Version(),
		MemoryBytes: residentBytes(), Log: s.logStatus(),
		Dedup: api.DedupStatus{Duplicates: g.Duplicates}, Partitions: []api.PartitionStatus{}, Clock: s.opts.Clock.Now().UTC(),
	}
	window := time.Duration(1 << 62)
	for _, p := range g.Partitions {
		window = min(window, p.DedupWindow)
		out.Partitions = append(out.Partitions, api.PartitionStatus{ID: p.Partition, Offset: p.Position, End: p.Position + p.Lag, Lag: p.Lag, Entities: p.Entities})
	}
	out.Dedup.WindowSeconds = window.Seconds()
	return out
}

// residentBytes is the memory the program really takes, where the system tells.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		if f := strings.Fields(string(text)); len(f) > 1 {
			if pages, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}

// Overview implements api.System.
func (s *Server) Overview(ctx context.Context) (api.Overview, error) {
	g := s.engine.Stats()
	events, decisions, hour := s.rates.perSecond()
	set, _ := s.config.Current()
	o := api.Overview{
		People: g.People(), Events: api.EventRates{Total: g.Folded, PerSecond: events, LastHour: hour},
		Decisions:  api.DecisionRates{Total: s.rates.decisions.Load(), PerSecond: decisions},
		Quarantine: api.QuarantineOpen{Open: s.door.Stats().HeldEntries.Load()}, NeedsYou: []api.Need{},
		Version: rapport.Version, UptimeSeconds: time.Since(s.started).Seconds(), Demo: s.demo.Status().Phase != "absent",
		Lift: api.LiftOf(s.model.Knowledge().Lift("")), CLV: s.worth.last.Load(), Clock: s.opts.Clock.Now().UTC(),
	}
	o.Decisions.P50Millis, o.Decisions.P99Millis = s.rates.quantiles()
	if first := s.firstEvent(ctx); !first.IsZero() {
		o.FirstEventAt = &first
	}
	for _, p := range config.Specs[*decide.PolicyDoc](set, "policy") {
		o.HoldoutShare, o.Currency = p.Holdout, p.Currency
	}
	nothing, all := 0, 0
	for _, d := range s.recent.List(decide.Filter{Limit: 1000}) {
		if !d.Holdout {
			all++
			if len(d.Items) == 0 {
				nothing++
			}
		}
	}
	if all > 0 {
		o.Decisions.NothingShare = float64(nothing) / float64(all)
	}
	kinds, err := s.engine.EffectKinds(ctx)
	if err != nil {
		return o, err
	}
	for _, kind := range kinds {
		if !strings.HasPrefix(kind, deliver.DeadKind("")) {
			continue
		}
		dead, err := s.engine.Waiting(ctx, kind, 1000)
		if err != nil {
			return o, err
		}
		o.DeadLetters += len(dead)
	}
	for kind, h := range s.deliver.Health() {
		if h.State == "paused" {
			o.NeedsYou = append(o.NeedsYou, api.Need{Kind: "delivery", Title: "A destination does not answer", Detail: kind + ": " + h.LastError, Href: "/setup/deliveries"})
		}
	}
	if n := len(s.config.Proposals(false)); n > 0 {
		o.NeedsYou = append(o.NeedsYou, api.Need{Kind: "proposals", Title: plural(int64(n), "change waits", "changes wait") + " for review", Detail: "Somebody else than the author publishes it.", Href: "/setup/config?view=review"})
	}
	if n, err := s.identity.Reviewing(ctx); err == nil && n > 0 {
		o.NeedsYou = append(o.NeedsYou, api.Need{Kind: "identity", Title: plural(int64(n), "question", "questions") + " about who is who", Detail: "The evidence alone does not settle it.", Href: "/setup/identity"})
	}
	if n := o.Quarantine.Open; n > 0 {
		o.NeedsYou = append(o.NeedsYou, api.Need{Kind: "quarantine", Title: plural(n, "event is", "events are") + " in quarantine", Detail: "They do not fit the tracking plan.", Href: "/setup/quarantine"})
	}
	if o.DeadLetters > 0 {
		o.NeedsYou = append(o.NeedsYou, api.Need{Kind: "deadLetters", Title: plural(int64(o.DeadLetters), "message", "messages") + " could not be delivered", Detail: "Send them again once the destination answers.", Href: "/setup/deliveries"})
	}
	return o, nil
}

// people returns how many people are known.
func (s *Server) people() int64 {
	g := s.engine.Stats()
	return g.People()
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// firstKey is where the time of the first event stands in the state store.
const firstKey = "Zf"

// firstEvent is when the first event of this deployment was taken in; the zero
// time while there is none.
func (s *Server) firstEvent(ctx context.Context) (first time.Time) {
	s.firstMu.Lock()
	defer s.firstMu.Unlock()
	if !s.first.IsZero() || s.engine.Stats().Folded == 0 {
		return s.first
	}
	known, found, err := s.store.Get([]byte(firstKey), nil)
	if ms, n := binary.Varint(known); err == nil && found && n > 0 {
		s.first = rapport.Time(ms)
		return s.first
	}
	for p := range int32(s.events.Partitions(eventlog.Events)) {
		at, ok := s.firstOf(ctx, p)
		if ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if s.first = first; !first.IsZero() { // the log may be trimmed later
		b := s.store.Batch()
		if err := errors.Join(b.Set([]byte(firstKey), binary.AppendVarint(nil, rapport.Millis(first))), b.Commit()); err != nil {
			s.log.Warn("the time of the first event was not noted", "error", err)
		}
	}
	return first
}

// firstOf returns when the first event of a partition was taken in.
func (s *Server) firstOf(ctx context.Context, p int32) (at time.Time, ok bool) {
	from, next := s.events.Bounds(eventlog.Events, p)
	if from == next {
		return at, false
	}
	r, err := s.events.Reader(eventlog.Events, p, from)
	if err != nil {
		return at, false
	}
	defer r.Close()
	for from < next {
		records, err := r.Next(ctx)
		if err != nil {
			return at, false
		}
		for _, record := range records {
			if record.Kind == engine.KindEvent {
				return rapport.Time(record.Time), true
			}
			from = record.Offset + 1
		}
	}
	return at, false
}

// quantiles returns the median and the 99th percentile of recent decisions, ms.
func (r *rates) quantiles() (p50, p99 float64) {
	r.mu.Lock()
	took := slices.Clone(r.took)
	r.mu.Unlock()
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return took[len(took)/2], took[min(len(took)-1, len(took)*99/100)]
}

// money writes an amount with the currency of its event.
func money(x float64, e *rapport.Event) string {
	amount := strconv.FormatFloat(x, 'f', 2, 64)
	if c, ok := e.Properties.Get("currency"); ok && c.Str() != "" {
		return c.Str() + " " + amount
	}
	return amount
}
