package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
)

// SegmentsReport is what Segments found.
type SegmentsReport struct {
	Machine Machine `json:"machine"`
	People  int     `json:"people"`
	// Estimate and Count are how long previews of segments nobody
	// defined before took: an estimate with sample people, and everybody counted.
	Estimate Latency `json:"estimateMillis"`
	Count    Latency `json:"countMillis"`
	// FillSeconds is how long a new segment took from its definition until it
	// was live, FillPastSeconds one that asks of the past what nothing asked before.
	FillSeconds     float64 `json:"fillSeconds"`
	FillPastSeconds float64 `json:"fillPastSeconds"`
	// Sizes are those of the two segments.
	Sizes [2]int64 `json:"sizes"`
	// Events is the load, WithinLoad whether it went on until all was measured.
	Events     Load  `json:"events"`
	WithinLoad bool  `json:"withinLoad"`
	RSS        int64 `json:"rss"`
	PeakRSS    int64 `json:"peakRss"`
}

// previews is how many previews of each kind are measured.
const previews = 5

// Segments measures how soon a server of our own answers how many people a new
// segment would have, and has found them all, beside a load of events.
func Segments(ctx context.Context, o Options) (SegmentsReport, error) {
	if o.URL != "" {
		return SegmentsReport{}, rapport.Errorf(rapport.Invalid, "segments are measured on a server of our own")
	}
	o, s, end, err := o.known(ctx)
	if err != nil {
		return SegmentsReport{}, err
	}
	defer end()
	r := SegmentsReport{Machine: machine(), People: o.People}
	o.Progress("measuring segments beside a load")
	type loaded struct {
		load Load
		err  error
	}
	load := make(chan loaded, 1) // the result outlives a measurement that failed
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		l, _, err := s.load(ctx, o, o.job(s, o.EventsRate))
		load <- loaded{l, err}
	}()
	select {
	case <-time.After(seconds(o.Warmup)):
	case <-ctx.Done():
		return r, ctx.Err()
	}
	if err := s.segments(ctx, o, &r); err != nil {
		return r, err
	}
	o.Progress("waiting for the load to end")
	r.WithinLoad = len(load) == 0
	l := <-load
	r.Events = l.load
	r.RSS, r.PeakRSS = s.memory()
	return r, l.err
}

func (s *server) segments(ctx context.Context, o Options, r *SegmentsReport) error {
	for _, exact := range []bool{false, true} {
		var took latencies
		for i := range previews {
			when := fmt.Sprintf(`traits.country == "NO" && traits.birthYear > %d && performed("Product Viewed").within("7d").count() < 201`, 1960+i)
			begun := time.Now()
			if err := s.post(ctx, "/v1/segments/preview", map[string]any{"when": when, "exact": exact}); err != nil {
				return err
			}
			took = append(took, time.Since(begun))
		}
		if exact {
			r.Count = took.summary()
		} else {
			r.Estimate = took.summary()
		}
	}
	for i, when := range []string{`traits.country == "NO" && traits.plan == "club"`, `performed("Product Added").within("30d").count() >= 1`} {
		o.Progress("defining the segment " + when)
		begun := time.Now()
		id := fmt.Sprintf("measured-%d-%d", run(), i)
		yaml := fmt.Sprintf("kind: segment\nid: %s\nwhen: %s\n", id, quoted(when))
		if err := s.post(ctx, "/v1/config/apply", map[string]any{"yaml": yaml, "note": "a measurement"}); err != nil {
			return err
		}
		defer func() { // the folder may be measured in again
			_ = s.post(ctx, "/v1/config/apply", map[string]any{"delete": []any{map[string]any{"kind": "segment", "id": id}}, "note": "a measurement ends"})
		}()
		for {
			var state struct {
				State string `json:"state"`
				Size  int64  `json:"size"`
			}
			status, body, err := s.get(ctx, "/v1/segments/"+id)
			if err == nil && status == 200 && json.Unmarshal(body, &state) == nil && state.State == "live" {
				r.Sizes[i] = state.Size
				break
			}
			if time.Since(begun) > 10*time.Minute {
				return rapport.Errorf(rapport.Unavailable, "the segment %s is not live after ten minutes: %d %s", id, status, body)
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if took := time.Since(begun).Seconds(); i == 0 {
			r.FillSeconds = took
		} else {
			r.FillPastSeconds = took
		}
	}
	return nil
}

// post sends JSON with the server's own token.
func (s *server) post(ctx context.Context, path string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return rapport.Errorf(rapport.Internal, "encode a request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := (&http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return rapport.Errorf(rapport.Unavailable, "POST %s: %w", path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	if err != nil || !slices.Contains([]int{200, 201, 202}, res.StatusCode) {
		return rapport.Errorf(rapport.Unavailable, "POST %s: %d %.300s", path, res.StatusCode, text)
	}
	return nil
}
