package app_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rapport-engine/rapport/eventlog/local"
)

// fullDisk is the operating system's file system until it is full.
type fullDisk struct {
	local.OSFS
	full atomic.Bool
}

// Open implements local.FS.
func (d *fullDisk) Open(name string, flag int) (local.File, error) {
	if d.full.Load() && flag&os.O_CREATE != 0 {
		return nil, syscall.ENOSPC
	}
	f, err := d.OSFS.Open(name, flag)
	return fullFile{f, d}, err
}

type fullFile struct {
	local.File
	disk *fullDisk
}

// WriteAt implements local.File: what does not fit is torn in the middle.
func (f fullFile) WriteAt(b []byte, at int64) (int, error) {
	if f.disk.full.Load() {
		n, _ := f.File.WriteAt(b[:len(b)/2], at)
		return n, syscall.ENOSPC
	}
	return f.File.WriteAt(b, at)
}

func TestAFullDiskRefusesLosesNothingAndRecoversByItself(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.stop()
	disk := &fullDisk{}
	h.fs = disk
	h.start()
	acknowledged, refused := 0, 0
	post := func(n int) bool {
		body := fmt.Sprintf(`{"type":"track","event":"Thing Done","userId":"u","messageId":"m%d"}`, n)
		req, err := http.NewRequestWithContext(t.Context(), "POST", h.url+"/v1/track", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("wk_web_1234", "")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusOK:
			acknowledged++
			return true
		case http.StatusServiceUnavailable:
			refused++
			if resp.Header.Get("Retry-After") == "" {
				t.Error("a refusal does not say when to come again")
			}
		default:
			t.Errorf("event %d is answered with %d", n, resp.StatusCode)
		}
		return false
	}
	counted := func() (p struct {
		Counters map[string]int `json:"counters"`
	},
	) {
		if code := h.call("GET", "/v1/people/userId:u", "", &p); code != http.StatusOK {
			t.Errorf("the person reads %d", code)
		}
		return p
	}
	for n := range 20 {
		post(n)
	}
	disk.full.Store(true)
	for n := 20; n < 30; n++ {
		if post(n) {
			t.Errorf("event %d is acknowledged on a full disk", n)
		}
	}
	if p := counted(); p.Counters["Thing Done"] != 20 {
		t.Errorf("on a full disk the person has %v", p.Counters)
	}
	disk.full.Store(false)
	for n := 20; n < 40; n++ { // the clients send again what was refused
		await(t, "there is space again, and events are taken", func() bool { return post(n) })
	}
	if p := counted(); p.Counters["Thing Done"] != 40 || acknowledged != 40 || refused < 10 {
		t.Errorf("the person has %v; %d acknowledged, %d refused", p.Counters, acknowledged, refused)
	}
	h.stop()
	h.fs = nil
	h.replays(3)

	// A tail torn by a loss of power is cut off; all that was acknowledged stays.
	segments, err := filepath.Glob(filepath.Join(h.dir, "log", "*.seg"))
	if err != nil || len(segments) == 0 {
		segments, _ = filepath.Glob(filepath.Join(h.dir, "log", "*", "*.seg"))
	}
	if len(segments) == 0 {
		t.Fatal("no segments")
	}
	f, err := os.OpenFile(segments[len(segments)-1], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("half a record")); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	h.start()
	if p := counted(); p.Counters["Thing Done"] != 40 {
		t.Errorf("behind a torn tail the person has %v", p.Counters)
	}
	post(40)
	if p := counted(); p.Counters["Thing Done"] != 41 {
		t.Errorf("after a torn tail the person has %v", p.Counters)
	}
	h.stop()
	if code, out, errs := run(t, houseEnv, "doctor", "--data", h.dir); code != 0 {
		t.Errorf("doctor: %d\n%s%s", code, out, errs)
	}
}

func TestALoginBatchThatIsSentAgainAfterTheMergeItCausedCountsOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.send(`{"type":"page","name":"Home","anonymousId":"phone","messageId":"a"}`)
	h.send(`{"type":"track","event":"Order Completed","properties":{"revenue":3},"userId":"kari","messageId":"b"}`)
	login := []string{
		`{"type":"page","name":"Sign in","anonymousId":"phone","messageId":"c"}`,
		`{"type":"identify","anonymousId":"phone","userId":"kari","traits":{"email":"kari@example.com"},"messageId":"d"}`,
		`{"type":"track","event":"Order Completed","properties":{"revenue":5},"anonymousId":"phone","messageId":"e"}`,
	}
	check := func(when string) {
		t.Helper()
		for _, ref := range []string{"userId:kari", "anonymousId:phone", "email:kari@example.com"} {
			var p struct {
				Events   int            `json:"events"`
				Counters map[string]int `json:"counters"`
			}
			code := h.call("GET", "/v1/people/"+ref, "", &p)
			if c := p.Counters; code != http.StatusOK || p.Events != 5 || c["page"] != 2 || c["identify"] != 1 || c["Order Completed"] != 2 {
				t.Errorf("%s, %s reads %d %+v", when, ref, code, p)
			}
		}
	}
	h.send(login...)
	check("at first")
	for range 3 {
		h.send(login...)
	}
	check("after retries")
	h.stop()
	h.start()
	h.send(login...)
	check("after a restart and a retry")
	h.stop()
	h.replays(1)
}
