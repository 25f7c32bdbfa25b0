package app_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	annaMail  = "anna.secret@example.com"
	annaPhone = "+4741234567"
	day       = 24 * time.Hour
)

func TestAnErasedPersonLeavesEveryFileWhenTheRetentionHasPassed(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	h.someone("bob", "bob@example.com", "+4798765432")
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
	}
	h.replays()
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
		code, out, errs := run(h.t, nil, "replay", "--data", h.dir, "--batch", strconv.Itoa(n))
		if code != 0 || strings.Contains(out, "UNEQUAL") || !strings.Contains(out, "equal") {
			h.t.Errorf("replay in batches of %d: %d\n%s%s", n, code, out, errs)
		}
	}
}
