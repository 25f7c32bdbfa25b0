package app

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// health answers probes: live while the process runs, ready when replay is done
// and until it drains.
func (s *Server) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-s.draining:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		default:
		}
		if !s.ready.Load() {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	return mux
}

// metrics serves the figures of all rooms for Prometheus.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &figures{s})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// figures reads the rooms' own counters when asked, so that no room knows
// Prometheus. Label values come from closed sets, never from data.
type figures struct{ server *Server }

// Describe implements prometheus.Collector: the set is open.
func (*figures) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (f *figures) Collect(out chan<- prometheus.Metric) {
	s := f.server
	send := func(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
		var names, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
	}
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue

	g := s.engine.Stats()
	send(counter, "rapport_engine_events_folded_total", "Accepted events folded, each once.", float64(g.Folded))
	send(counter, "rapport_engine_duplicates_total", "Retries dropped.", float64(g.Duplicates))
	send(counter, "rapport_engine_events_erased_total", "Events dropped because their person was erased after they happened.", float64(g.Erased))
	send(counter, "rapport_engine_commits_total", "Commits since start.", float64(g.Commits))
	send(counter, "rapport_engine_cache_hits_total", "People found in memory since start.", float64(g.CacheHits))
	send(counter, "rapport_engine_cache_misses_total", "People read from disk since start.", float64(g.CacheMiss))
	send(gauge, "rapport_engine_people", "People known, not merged into another.", float64(g.People()))
	send(gauge, "rapport_engine_items", "Items known.", float64(g.Items))
	send(gauge, "rapport_engine_entities", "People and other entities known.", float64(g.Entities))
	send(gauge, "rapport_engine_cache_bytes", "Memory of people held.", float64(g.CacheBytes))
	var lag int64
	window := time.Duration(1 << 62)
	for _, p := range g.Partitions {
		lag += p.Lag
		window = min(window, p.DedupWindow)
	}
	send(gauge, "rapport_engine_lag_records", "Records durable and not folded yet.", float64(lag))
	send(gauge, "rapport_engine_dedup_window_seconds", "How far back a retry is surely recognised.", window.Seconds())

	c := s.door.Stats()
	send(counter, "rapport_collect_requests_total", "Requests to collection paths.", float64(c.Requests.Load()))
	send(counter, "rapport_collect_bytes_total", "Bytes of bodies, decompressed.", float64(c.Bytes.Load()))
	send(counter, "rapport_collect_events_total", "Events by what became of them.", float64(c.Accepted.Load()), "result", "accepted")
	send(counter, "rapport_collect_events_total", "Events by what became of them.", float64(c.Held.Load()), "result", "quarantined")
	send(counter, "rapport_collect_refused_total", "Requests refused, by reason.", float64(c.Refused.Load()), "reason", "invalid")
	send(counter, "rapport_collect_refused_total", "Requests refused, by reason.", float64(c.Unknown.Load()), "reason", "key")
	send(counter, "rapport_collect_refused_total", "Requests refused, by reason.", float64(c.Overloaded.Load()), "reason", "overload")
	send(counter, "rapport_collect_refused_total", "Requests refused, by reason.", float64(c.Failed.Load()), "reason", "failure")
	send(gauge, "rapport_collect_quarantine_events", "Events in quarantine.", float64(c.HeldEntries.Load()))
	send(gauge, "rapport_collect_quarantine_bytes", "Bytes in quarantine.", float64(c.HeldBytes.Load()))

	l := s.events.Stats()
	send(gauge, "rapport_eventlog_bytes", "Size of the log on disk.", float64(l.Bytes))
	send(gauge, "rapport_eventlog_segments", "Segment files of the log.", float64(l.Segments))
	if at := s.events.Since(eventlog.Events); !at.IsZero() {
		send(gauge, "rapport_eventlog_oldest_timestamp_seconds", "About when the oldest event stored in the log was appended.", float64(at.Unix()))
	}
	send(gauge, "rapport_eventlog_trimmed_records", "Records of events trimmed from the log.", float64(s.trimmedRecords()))
	send(counter, "rapport_eventlog_fsyncs_total", "Syncs to disk since start.", float64(l.Syncs))

	i := s.identity.Metrics()
	send(gauge, "rapport_identity_linked_ids", "Identifiers that are linked to another.", float64(i.Nodes))
	send(counter, "rapport_identity_links_total", "Links made since start.", float64(i.Linked))

	send(counter, "rapport_decide_decisions_total", "Decisions recorded since start.", float64(s.rates.decisions.Load()))
	for kind, h := range s.deliver.Health() {
		send(counter, "rapport_deliver_messages_total", "Messages by destination and result since start.", float64(h.Delivered), "destination", kind, "result", "delivered")
		send(counter, "rapport_deliver_messages_total", "Messages by destination and result since start.", float64(h.Failed), "destination", kind, "result", "failed")
	}
	s.lakeFigures(send)
	send(gauge, "rapport_info", "The version running.", 1, "version", rapport.Version, "go", runtime.Version())
}
