package app_test

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/state"
)

const (
	annaMail  = "anna.secret@example.com"
	annaPhone = "+4741234567"
	day       = 24 * time.Hour
)

func TestAnErasedPersonLeavesEveryFileWhenTheRetentionHasPassed(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	// A destination that is down: what is to be sent stays in the outbox.
	h.apply("kind: webhook\nid: crm\nurl: http://127.0.0.1:9/\nevents: [identify, Newsletter Read]\nsecret: ${CRM_SECRET}\n")
	h.someone("anna", annaMail, annaPhone)
	h.someone("bob", "bob@example.com", "+4798765432")
	waiting := func() (people map[string]int) {
		var list struct {
			Deliveries []struct{ PersonID string } `json:"deliveries"`
		}
		if code := h.call("GET", "/v1/deliveries?status=waiting", "", &list); code != http.StatusOK {
			t.Fatal(code)
		}
		people = map[string]int{}
		for _, d := range list.Deliveries {
			people[d.PersonID]++
		}
		return people
	}
	if w := waiting(); len(w) != 2 {
		t.Fatalf("messages wait for %v", w)
	}
	var q struct {
		Total int `json:"total"`
	}
	if h.call("GET", "/v1/quarantine", "", &q); q.Total != 2 {
		t.Fatalf("%d events in quarantine", q.Total)
	}
	older := filepath.Join(t.TempDir(), "older.tar")
	h.backup(older)

	id := h.erase("email:" + annaMail)
	if code := h.call("GET", "/v1/people/userId:anna", "", nil); code != http.StatusNotFound {
		t.Errorf("anna is still read: %d", code)
	}
	if h.call("GET", "/v1/quarantine", "", &q); q.Total != 1 {
		t.Errorf("%d events in quarantine", q.Total)
	}
	var j job
	if h.call("GET", "/v1/jobs/"+id, "", &j); j.State != "done" || j.Done != 1 || j.Total != 2 {
		t.Errorf("before the retention has passed: %+v", j)
	}
	if w := waiting(); len(w) != 1 {
		t.Errorf("messages wait for %v", w)
	}
	h.clock.move(31 * day)
	h.finished(id)
	for _, text := range []string{annaMail, annaPhone} {
		if files := holding(t, h.dir, text); len(files) > 0 {
			t.Errorf("%s is in %v while the server runs", text, files)
		}
	}
	if code := h.call("GET", "/v1/people/email:bob@example.com", "", nil); code != http.StatusOK {
		t.Errorf("bob is gone, too: %d", code)
	}
	h.stop()
	for _, text := range []string{annaMail, annaPhone} {
		if files := holding(t, h.dir, text); len(files) > 0 {
			t.Errorf("%s is in %v", text, files)
		}
		if keys := inState(t, h.dir, text); len(keys) > 0 {
			t.Errorf("%s is in the state, under %q", text, keys)
		}
	}
	if keys := inState(t, h.dir, "bob@example.com"); len(keys) == 0 {
		t.Error("bob left the state, too")
	}
	if files := holding(t, h.dir, "bob@example.com"); len(files) == 0 {
		t.Error("bob left the files, too")
	}
	h.replays()

	// A backup from before is restored over it: the list of erasures stays.
	if code, out, errs := run(t, nil, "restore", older, "--data", h.dir, "--force"); code != 0 {
		t.Fatal(out, errs)
	}
	if files := holding(t, h.dir, annaMail); len(files) == 0 {
		t.Fatal("the backup does not hold what it should")
	}
	h.start() // ready only when anna is erased again
	if code := h.call("GET", "/v1/people/userId:anna", "", nil); code != http.StatusNotFound {
		t.Errorf("anna is back: %d", code)
	}
	if code := h.call("GET", "/v1/people/userId:bob", "", nil); code != http.StatusOK {
		t.Errorf("bob did not come back: %d", code)
	}
	h.clock.move(31 * day)
	h.finished(id)
	h.stop()
	for _, text := range []string{annaMail, annaPhone} {
		if files := holding(t, h.dir, text); len(files) > 0 {
			t.Errorf("after the restore %s is in %v", text, files)
		}
		if keys := inState(t, h.dir, text); len(keys) > 0 {
			t.Errorf("after the restore %s is in the state, under %q", text, keys)
		}
	}
	h.replays()
}

// inState returns the spans of the state in which a text lies: profiles, rows,
// timers and outbox. Files are compressed, so that looking at them is not enough.
func inState(t *testing.T, dir, text string) (spans []string) {
	t.Helper()
	s, err := state.Open(state.Options{Dir: filepath.Join(dir, "state"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	it, err := s.Scan([]byte{0}, []byte{0xff})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		if all := strings.ToLower(string(it.Key()) + " " + string(it.Value())); strings.Contains(all, strings.ToLower(text)) {
			spans = append(spans, string(it.Key()[:min(2, len(it.Key()))]))
		}
	}
	if err := errors.Join(it.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	return spans
}

func TestWithoutRetentionTheBytesGoAtOnceAndWhoComesBackIsNew(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 0)
	h.someone("anna", annaMail, annaPhone)
	h.finished(h.erase("userId:anna"))
	for _, text := range []string{annaMail, annaPhone} {
		if files := holding(t, h.dir, text); len(files) > 0 {
			t.Errorf("%s is in %v", text, files)
		}
	}
	h.clock.move(time.Hour)
	h.someone("anna", annaMail, annaPhone)
	var p struct {
		Events int64 `json:"events"`
	}
	if code := h.call("GET", "/v1/people/email:"+annaMail, "", &p); code != http.StatusOK || p.Events != 4 {
		t.Errorf("who came back is %d %+v", code, p)
	}
	// The second life does not vanish with another scrub of the first.
	h.someone("eve", "eve@example.com", "+4711111111")
	h.finished(h.erase("userId:eve"))
	if files := holding(t, h.dir, "eve@example.com"); len(files) > 0 {
		t.Errorf("eve is in %v", files)
	}
	h.stop()
	h.replays()
	h.start()
	if code := h.call("GET", "/v1/people/userId:anna", "", &p); code != http.StatusOK || p.Events != 4 {
		t.Errorf("after a restart who came back is %d %+v", code, p)
	}
}

func TestAScrubThatIsDueSurvivesARestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	id := h.erase("userId:anna")
	h.stop()
	h.clock.move(40 * day)
	h.start()
	h.finished(id)
	if files := holding(t, h.dir, annaMail); len(files) > 0 {
		t.Errorf("it is in %v", files)
	}
}

func TestALostListOfErasuresIsCompletedFromTheLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	id := h.erase("userId:anna")
	h.stop()
	if err := os.Remove(filepath.Join(h.dir, "erasures.jsonl")); err != nil {
		t.Fatal(err)
	}
	h.clock.move(40 * day)
	h.start()
	h.finished(id)
	if files := holding(t, h.dir, annaMail); len(files) > 0 {
		t.Errorf("it is in %v", files)
	}
}

func TestErasingAPersonLeavesOthersOnTheSameDeviceAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 0)
	h.send(
		`{"type":"track","event":"A","anonymousId":"tablet","messageId":"1"}`,
		`{"type":"track","event":"B","anonymousId":"tablet","userId":"anna","messageId":"2","context":{"traits":{"email":"`+annaMail+`"}}}`,
		`{"type":"track","event":"C","anonymousId":"tablet","userId":"bob","messageId":"3"}`,
		`{"type":"track","event":"D","anonymousId":"tablet","messageId":"4","properties":{"of":"bobs-turn"}}`,
	)
	h.finished(h.erase("userId:anna"))
	var p struct {
		Events int64 `json:"events"`
	}
	if code := h.call("GET", "/v1/people/userId:bob", "", &p); code != http.StatusOK || p.Events != 2 {
		t.Errorf("bob is %d %+v", code, p)
	}
	var line struct {
		Events []struct{ Event string } `json:"events"`
	}
	if h.call("GET", "/v1/people/userId:bob/timeline", "", &line); len(line.Events) != 2 {
		t.Errorf("bob's timeline: %+v", line)
	}
	if files := holding(t, h.dir, annaMail); len(files) > 0 {
		t.Errorf("anna is in %v", files)
	}
	if files := holding(t, h.dir, "bobs-turn"); len(files) == 0 {
		t.Error("what bob did is gone")
	}
	h.stop()
	h.replays()
}

// backup saves a backup with the program.
func (h *house) backup(path string) {
	h.t.Helper()
	code, out, errs := run(h.t, map[string]string{"RAPPORT_TOKEN": houseToken}, "backup", path, "--server", h.url)
	if code != 0 {
		h.t.Fatal(out, errs)
	}
}

// replays checks that the stopped server's state is what its log says, folded
// in batches of its own or of other sizes.
func (h *house) replays(batches ...int) {
	h.t.Helper()
	for _, n := range append(batches, 0) {
		code, out, errs := run(h.t, houseEnv, "replay", "--data", h.dir, "--batch", strconv.Itoa(n))
		if code != 0 || strings.Contains(out, "UNEQUAL") || !strings.Contains(out, "equal") {
			h.t.Errorf("replay in batches of %d: %d\n%s%s", n, code, out, errs)
		}
	}
}
