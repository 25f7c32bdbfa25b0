package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
)

// What a trigger asks for waits for its time of the day, through a restart, and
// the person's page says so. Without a time it goes out at once, and says why.
func TestAMessageWaitsForItsHourThroughARestartAndSaysWhyItWentOut(t *testing.T) {
	t.Parallel()
	box := newLetterbox()
	now := time.Now().UTC()
	at := now.Add(5 * time.Hour).Format("15:04")
	folder := mailShop(t, box, "channels: [email, inapp]", "content: {subject: Thank you}\npriority: 1\ntiming: {at: \""+at+"\", within: 1d}")
	data := t.TempDir()
	change := func(o *app.Options) { o.Config = folder }
	s := open(t, data, change)
	s.send(
		event("identify", "1", map[string]any{"userId": "ada", "traits": map[string]any{"email": "ada@people.example"}}),
		event("track", "2", map[string]any{"userId": "ada", "event": "Consent Updated", "properties": map[string]any{"purpose": "marketing", "channel": "email", "allowed": true}}),
		event("track", "3", map[string]any{"userId": "ada", "event": "Order Completed"}),
	)
	waiting := func() []any {
		t.Helper()
		page := s.must("GET", "/v1/people/userId:ada/sending", nil)
		if hours := page["hours"].([]any); len(hours) != 24 {
			t.Fatalf("the day has %d hours", len(hours))
		}
		return page["waiting"].([]any)
	}
	await(t, "a message waits for its hour", func() bool { return len(waiting()) > 0 })
	s.end()
	s = open(t, data, change)
	list := waiting()
	if len(list) != 1 || !strings.Contains(fmt.Sprint(list[0]), at) || !strings.Contains(fmt.Sprint(list[0]), "its time of the day is set to "+at) {
		t.Fatalf("after a restart there waits %v", list)
	}
	if page := fmt.Sprint(s.must("GET", "/v1/people/userId:ada/timeline?include=system", nil)); strings.Contains(page, "Decision Made") || !strings.Contains(page, "Decision Scheduled") {
		t.Errorf("the timeline: %s", page)
	}

	s.must("POST", "/v1/config/apply", map[string]any{"yaml": "kind: action\nid: thanks\ntype: message\npurpose: marketing\nplacements: [mailbox]\ncontent: {subject: Thank you}\npriority: 1\n"})
	s.send(event("track", "4", map[string]any{"userId": "ada", "event": "Order Completed"}))
	select {
	case <-box.mails:
	case <-time.After(2 * time.Minute):
		t.Fatal("no mail came")
	}
	made := s.must("GET", "/v1/decisions?limit=1", nil)["decisions"].([]any)
	id := made[0].(map[string]any)["decisionId"].(string)
	why := s.must("GET", "/v1/decisions/"+id+"/explain", nil)
	if sentence := fmt.Sprint(why["sentence"]); !strings.Contains(sentence, "; sent by email at ") || !strings.Contains(sentence, "because no other of its channels is open to them") {
		t.Errorf("why: %s", sentence)
	}
	page := s.must("GET", "/v1/people/userId:ada/sending", nil)
	for _, c := range page["channels"].([]any) {
		c := c.(map[string]any)
		if want := map[string]float64{"email": 1, "inapp": 0}[c["channel"].(string)]; c["sent"].(float64) < want-0.01 || c["sent"].(float64) > want {
			t.Errorf("sent: %v", c)
		}
	}
	if status, _ := s.call("GET", "/v1/people/userId:nobody/sending", nil); status != 404 {
		t.Errorf("nobody answered %d", status)
	}
}
