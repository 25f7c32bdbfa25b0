package app_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// outside takes what webhooks send.
type outside struct {
	*httptest.Server
	mu  sync.Mutex
	got map[string]int // by idempotency key
}

func newOutside(t *testing.T) *outside {
	r := &outside{got: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got[req.Header.Get("Webhook-Id")]++
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *outside) keys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.got))
}

// unordered returns what happened, without the order of one moment and without
// the ids of what folds made, which name its place in the log.
func unordered(events []any) (lines []string) {
	for _, e := range events {
		e := e.(map[string]any)
		if e["event"] == "Segment Entered" {
			delete(e, "id")
		}
		if e["event"] == "Delivery Result" && strings.HasPrefix(e["id"].(string), "webhook/gone/") {
			continue // it goes on being tried
		}
		line, _ := json.Marshal(e)
		lines = append(lines, string(line))
	}
	slices.Sort(lines)
	return lines
}

func TestADeploymentWrittenForOtherPartitionsIsTheSameAndSendsNothingTwice(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	crm := newOutside(t)
	h.apply("kind: segment\nid: buyers\nwhen: performed(\"Order Completed\").count() >= 2\n---\n" +
		"kind: webhook\nid: crm\nsecret: ${CRM_SECRET}\nurl: " + crm.URL + "/\nevents: [identify, Order Completed, Segment Entered]\n---\n" +
		"kind: webhook\nid: gone\nsecret: ${CRM_SECRET}\nurl: http://127.0.0.1:9/\nevents: [Order Completed]\n---\n" +
		"kind: action\nid: hello\ntype: offer\nplacements: [hero]\ncontent: {title: Hello}\ngoals: [{event: Order Completed, within: 7d, value: 10}]\n")
	for i := range 12 {
		user := fmt.Sprintf("u%d", i)
		h.someone(user, user+"@example.com", fmt.Sprintf("+47987654%02d", i))
		h.send(fmt.Sprintf(`{"type":"track","event":"Order Completed","userId":"%s","messageId":"more-%d","properties":{"revenue":30}}`, user, i))
		if i == 6 {
			h.clock.move(26 * time.Hour) // timers fire
		}
	}
	h.send(`{"type":"identify","userId":"u1","messageId":"one","traits":{"email":"both@example.com"}}`, `{"type":"identify","anonymousId":"dev-zz","messageId":"two","traits":{"email":"both@example.com"}}`)
	h.erase("userId:u11")
	h.apply("kind: action\nid: later\ntype: offer\nplacements: [hero]\n")
	if code := h.call("POST", "/v1/decide", `{"person":{"userId":"u3"},"placement":"hero"}`, nil); code != http.StatusOK {
		t.Fatal(code)
	}
	look := func() map[string]any {
		t.Helper()
		told := map[string]any{}
		for i := range 11 {
			for _, of := range []string{"", "/timeline?include=system", "/identity"} {
				var got map[string]any
				code := h.call("GET", fmt.Sprintf("/v1/people/userId:u%d%s", i, of), "", &got)
				delete(got, "version") // a place in the log
				if events, ok := got["events"].([]any); ok {
					told[fmt.Sprint(i, of)] = unordered(events)
					continue
				}
				told[fmt.Sprint(i, of)] = []any{code, got}
			}
		}
		for _, of := range []string{"decisions", "segments", "deliveries?status=waiting", "deliveries?status=dead"} {
			var got map[string]any
			if code := h.call("GET", "/v1/"+of, "", &got); code != http.StatusOK {
				t.Fatal(of, code)
			}
			if list, ok := got["deliveries"].([]any); ok { // tried again meanwhile, perhaps
				keys, _ := told["undelivered"].([]string)
				for _, x := range list {
					keys = append(keys, x.(map[string]any)["key"].(string))
				}
				slices.Sort(keys)
				told["undelivered"] = slices.Compact(keys)
				continue
			}
			told[of] = got
		}
		told["erased"] = h.call("GET", "/v1/people/userId:u11", "", nil)
		return told
	}
	await(t, "all messages came", func() bool { return len(crm.keys()) >= 12*3 }) // what is sent is told to nobody else
	h.stop()
	h.start() // what was on its way when it stopped is folded
	before := look()
	h.stop()
	sent := crm.keys()
	h.replays()

	old, anew := h.dir, filepath.Join(t.TempDir(), "anew")
	if code, _, errs := run(t, houseEnv, "replay", "--data", old, "--partitions", "4", "--to", anew); code == 0 || !strings.Contains(errs, "already") {
		t.Error(code, errs)
	}
	code, out, errs := run(t, houseEnv, "replay", "--data", old, "--partitions", "7", "--to", anew)
	if code != 0 || strings.Contains(out, "UNEQUAL") {
		t.Fatal(code, out, errs)
	}
	if _, err := os.Stat(anew + ".replay.tmp"); err == nil {
		t.Error("the folder it worked in stayed")
	}
	if code, _, errs := run(t, houseEnv, "replay", "--data", old, "--partitions", "7", "--to", anew); code == 0 || !strings.Contains(errs, "is not empty") {
		t.Error(code, errs)
	}
	h.dir = anew
	h.replays() // state and log belong together
	h.start()
	if diff := cmp.Diff(before, look()); diff != "" {
		t.Error(diff)
	}
	// A retry of before is still known, and what is new goes on.
	h.send(`{"type":"track","event":"Order Completed","userId":"u3","messageId":"more-3","properties":{"revenue":30}}`)
	if diff := cmp.Diff(before["3"], look()["3"]); diff != "" {
		t.Error("a retry counts:", diff)
	}
	h.send(`{"type":"track","event":"Order Completed","userId":"u3","messageId":"new","properties":{"revenue":30}}`)
	await(t, "another message came", func() bool { return len(crm.keys()) > len(sent) })
	h.stop()
	crm.mu.Lock()
	defer crm.mu.Unlock()
	if extra := len(crm.got) - len(sent); extra != 1 {
		t.Errorf("%d messages were sent for one event", extra)
	}
	for key, n := range crm.got {
		if n > 1 {
			t.Errorf("%s was sent %d times", key, n)
		}
	}
}
