package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestCapturesHoldWholeOrNotAtAllUnderKills lets clients capture documents and
// send again what was not answered, while the server is killed among them. In
// the end each event is there once, a document that was rolled back left nothing
// behind, one that went on left all but what was there, and each thing was told
// of each of its events once.
func TestCapturesHoldWholeOrNotAtAllUnderKills(t *testing.T) {
	t.Parallel()
	kills := 6
	if testing.Short() {
		kills = 2
	}
	p, s := newProgram(t, "", "")
	const clients, events = 4, 60
	id := func(client, doc, n int) string { return fmt.Sprintf("urn:uuid:%d-%d-%d", client, doc, n) }
	document := func(client, doc int) []byte {
		list := make([]string, 0, events+1)
		thing := func(n int) string {
			return fmt.Sprintf("https://id.gs1.org/01/09520123456788/21/K%d-%d-%d", client, doc, n%4)
		}
		for n := range events {
			list = append(list, fmt.Sprintf(`{"type":"ObjectEvent","eventID":%q,"eventTime":"2026-03-01T08:00:%02dZ","eventTimeZoneOffset":"+00:00","action":"OBSERVE","bizStep":"shipping","epcList":[%q]}`, id(client, doc, n), n, thing(n)))
		}
		if doc > 0 { // and one that was captured before: an error
			list = append(list, fmt.Sprintf(`{"type":"ObjectEvent","eventID":%q,"eventTime":"2026-03-01T09:00:00Z","eventTimeZoneOffset":"+00:00","action":"OBSERVE","epcList":[%q]}`, id(client, 0, 0), thing(0)))
		}
		return chainDocument(list...)
	}
	// post returns the errors of the job, or false if there was no answer.
	post := func(ctx context.Context, body []byte, behaviour string) (location string, errors int, ok bool) {
		req, err := http.NewRequestWithContext(ctx, "POST", s.url+"/epcis/capture", bytes.NewReader(body))
		if err != nil {
			return "", 0, false
		}
		req.Header.Set("Authorization", "Bearer "+adminToken)
		req.Header.Set("Content-Type", "application/ld+json")
		req.Header.Set("GS1-Capture-Error-Behaviour", behaviour)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", 0, false
		}
		defer resp.Body.Close()
		var job struct{ Errors []any }
		if resp.StatusCode != http.StatusAccepted || json.NewDecoder(resp.Body).Decode(&job) != nil {
			return "", 0, false
		}
		return resp.Header.Get("Location"), len(job.Errors), true
	}
	type outcome struct {
		behaviour, location string
		kept                bool
	}
	var mu sync.Mutex
	done := map[[2]int]outcome{}
	var answered atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for doc := 0; ctx.Err() == nil; doc++ {
				behaviour := []string{"rollback", "proceed"}[doc%2]
				body := document(client, doc)
				for ctx.Err() == nil {
					location, errors, ok := post(ctx, body, behaviour)
					if !ok {
						<-time.After(5 * time.Millisecond) // the server is being killed or comes back
						continue
					}
					// The first document is new, or was captured without an answer before; of the
					// others one event was there, or all were.
					wrong := doc == 0 && errors != 0 && errors != events || doc > 0 && errors != 1 && (behaviour == "rollback" || errors != events+1)
					if wrong {
						t.Errorf("document %d of client %d has %d errors", doc, client, errors)
					}
					mu.Lock()
					done[[2]int{client, doc}] = outcome{behaviour, location, doc == 0 || behaviour == "proceed"}
					mu.Unlock()
					answered.Add(1)
					break
				}
			}
		})
	}
	for range kills {
		for before := answered.Load(); answered.Load() < before+5; {
			<-time.After(time.Millisecond)
		}
		p.kill()
		p.start()
	}
	stop()
	wg.Wait()
	for at, x := range done {
		var job struct{ Running bool }
		if resp, text := s.raw("GET", x.location, "", nil); resp.StatusCode != http.StatusOK || json.Unmarshal(text, &job) != nil || job.Running {
			t.Errorf("the job of document %v: %d %s", at, resp.StatusCode, text)
		}
		for n := range 4 {
			item := fmt.Sprintf("01_09520123456788_21_K%d-%d-%d", at[0], at[1], n)
			want := events / 4
			if !x.kept {
				want = 0
			}
			_, text := s.raw("GET", fmt.Sprintf("/epcis/events?MATCH_anyEPC=https://id.gs1.org/01/09520123456788/21/K%d-%d-%d&perPage=1000", at[0], at[1], n), "", nil)
			if got := strings.Count(string(text), `"eventID"`); got != want {
				t.Errorf("%s of document %v (%s) has %d events, want %d", item, at, x.behaviour, got, want)
			}
			if want == 0 {
				continue
			}
			steps := -1
			await(t, item+" knows its way", func() bool {
				_, twin := s.call("GET", "/v1/items/"+item, nil)
				list, _ := twin["provenance"].([]any)
				steps = len(list)
				return steps >= want
			})
			if steps != want {
				t.Errorf("%s has %d steps, want %d", item, steps, want)
			}
		}
	}
	t.Logf("%d documents, %d kills", len(done), kills)
}
