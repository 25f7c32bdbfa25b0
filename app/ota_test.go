package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ddiRequest is one request of a recorded updater.
type ddiRequest struct{ method, path, body string }

func readTrace(t *testing.T, name string) (out []ddiRequest) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", "hawkbit-ddi", name))
	if err != nil {
		t.Skip("the recorded updaters are not beside the repository (../shared/data/hawkbit-ddi)")
	}
	for part := range strings.SplitSeq(string(data), "--- ") {
		head, rest, ok := strings.Cut(part, "\n")
		fields := strings.Fields(head)
		if !ok || len(fields) != 3 {
			continue
		}
		_, body, _ := strings.Cut(rest, "\n\n")
		out = append(out, ddiRequest{fields[1], fields[2], strings.TrimSpace(body)})
	}
	return out
}

// updater plays a recorded updater against a server.
type updater struct {
	*shop
	auth     string
	rollout  string
	download string
	action   string // id our server gave
	config   bool   // told its attributes
}

func (s *shop) newUpdater(auth string) *updater {
	s.t.Helper()
	status, device := s.call("POST", "/v1/devices", map[string]any{"item": "01_09506000134352_21_ABC123"})
	if status >= 300 {
		s.t.Fatal(status, device)
	}
	u := &updater{shop: s, auth: auth}
	if auth == "" {
		u.auth = "TargetToken " + device["token"].(string)
	}
	return u
}

func (u *updater) begin() {
	u.t.Helper()
	resp, text := u.raw("POST", "/v1/artifacts?name=pkg.swu&version=2.0", "application/octet-stream", []byte("new software"))
	if resp.StatusCode != http.StatusCreated {
		u.t.Fatalf("%d %s", resp.StatusCode, text)
	}
	var a struct{ SHA256 string }
	if err := json.Unmarshal(text, &a); err != nil {
		u.t.Fatal(err)
	}
	status, r := u.call("POST", "/v1/rollouts", map[string]any{"artifact": a.SHA256, "stages": []any{map[string]any{"percent": 100}}, "soakSeconds": 1})
	if status != http.StatusCreated {
		u.t.Fatal(status, r)
	}
	u.rollout = r["id"].(string)
	u.must("POST", "/v1/rollouts/"+u.rollout+"/start", nil)
}

func (u *updater) steps() map[string]any {
	u.t.Helper()
	return u.must("GET", "/v1/rollouts/"+u.rollout, nil)["steps"].(map[string]any)
}

var (
	ddiAction = regexp.MustCompile(`/(deploymentBase|cancelAction)/\d+`)
	ddiSleep  = regexp.MustCompile(`^\d\d:\d\d:\d\d$`)
)

// play sends one recorded request and checks that the answer is one the updater can go on from.
func (u *updater) play(x ddiRequest, next string) {
	u.t.Helper()
	path := ddiAction.ReplaceAllString(x.path, "/$1/"+u.action)
	if strings.HasPrefix(path, "/dl/") {
		path = u.download
	}
	req, err := http.NewRequestWithContext(u.t.Context(), x.method, u.url+path, strings.NewReader(x.body))
	if err != nil {
		u.t.Fatal(err)
	}
	req.Header.Set("Authorization", u.auth)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		u.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		u.t.Fatalf("%s %s: %d %s", x.method, path, resp.StatusCode, text)
	}
	switch {
	case x.method == "PUT":
		u.config = true
	case x.method == "GET" && strings.Contains(path, "/deploymentBase/"):
		var d struct {
			ID         string
			Deployment struct {
				Chunks []struct {
					Version   string
					Artifacts []struct {
						Filename string
						Hashes   map[string]string
						Size     int
						Links    map[string]struct{ Href string } `json:"_links"`
					}
				}
			}
		}
		if err := json.Unmarshal(text, &d); err != nil || d.ID != u.action || len(d.Deployment.Chunks) != 1 {
			u.t.Fatalf("%s: %v", text, err)
		}
		a := d.Deployment.Chunks[0].Artifacts[0]
		if len(a.Hashes["sha1"]) != 40 || len(a.Hashes["sha256"]) != 64 || a.Size != len("new software") || a.Filename != "pkg.swu" {
			u.t.Errorf("artifact %+v", a)
		}
		u.download = strings.TrimPrefix(a.Links["download-http"].Href, u.url)
	case x.method == "GET" && strings.HasPrefix(path, "/ota/"):
		if !bytes.Equal(text, []byte("new software")) {
			u.t.Errorf("the file is %q", text)
		}
	case x.method == "GET" && !strings.Contains(path, "/cancelAction/"):
		var b struct {
			Config struct{ Polling struct{ Sleep string } }
			Links  map[string]struct{ Href string } `json:"_links"`
		}
		if err := json.Unmarshal(text, &b); err != nil || !ddiSleep.MatchString(b.Config.Polling.Sleep) {
			u.t.Fatalf("%s: %v", text, err)
		}
		if _, asked := b.Links["configData"]; asked == u.config {
			u.t.Errorf("asked for attributes: %t, told before: %t", asked, u.config)
		}
		for _, kind := range []string{"deploymentBase", "cancelAction"} {
			link, there := b.Links[kind]
			if strings.Contains(next, "/"+kind+"/") && !there {
				u.t.Fatalf("no %s in %s", kind, text)
			}
			if there {
				u.action = link.Href[strings.LastIndex(link.Href, "/")+1:]
			}
		}
	}
}

func (u *updater) playAll(requests []ddiRequest, before func(i int)) {
	u.t.Helper()
	for i, x := range requests {
		next := ""
		if i+1 < len(requests) {
			next = requests[i+1].path
		}
		if before != nil {
			before(i)
		}
		u.play(x, next)
	}
}

func TestARecordedUpdaterConfirmsItsBootThroughAGateway(t *testing.T) {
	t.Parallel()
	requests := readTrace(t, "trace_confirm.log")
	dir := t.TempDir()
	s := open(t, dir, nil)
	u := s.newUpdater("GatewayToken " + adminToken)
	u.begin()
	u.playAll(requests[:3], nil)
	if got := u.steps(); got["soaking"] != 1.0 && got["succeeded"] != 1.0 {
		t.Errorf("a confirmed boot is %v", got)
	}
	s.end()
	u.shop = open(t, dir, nil) // the device does not notice a restart
	u.playAll(requests[3:], nil)
	if got := u.steps(); got["soaking"] != 1.0 && got["succeeded"] != 1.0 {
		t.Errorf("after a restart: %v", got)
	}
	if item := u.must("GET", "/v1/items/01_09506000134352_21_ABC123", nil); item["firmware"] != "2.0" {
		t.Errorf("the twin runs %v", item["firmware"])
	}
}

func TestARecordedUpdaterReportsADamagedPackage(t *testing.T) {
	t.Parallel()
	requests := readTrace(t, "trace_corrupt.log")
	u := open(t, t.TempDir(), nil).newUpdater("")
	u.playAll(requests, func(i int) {
		if i == 2 {
			u.begin()
		}
	})
	if got := u.steps(); got["failed"] != 1.0 {
		t.Errorf("%v", got)
	}
}

func TestARecordedUpdaterLetsACanceledUpdateBe(t *testing.T) {
	t.Parallel()
	requests := readTrace(t, "trace_cancel.log")
	u := open(t, t.TempDir(), nil).newUpdater("")
	u.playAll(requests, func(i int) {
		if i == 0 {
			u.begin()
		}
		if i == 2 {
			u.must("POST", "/v1/rollouts/"+u.rollout+"/cancel", nil)
		}
	})
	if got := u.steps(); got["canceled"] != 1.0 {
		t.Errorf("%v", got)
	}
}

func TestAStrangersTokenReachesNoDevice(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	u := s.newUpdater("")
	for path, auth := range map[string]string{
		"/DEFAULT/controller/v1/09506000134352.OTHER":  u.auth,
		"/DEFAULT/controller/v1/09506000134352.ABC123": "TargetToken wrong",
		"/DEFAULT/controller/v1/ABC123":                "GatewayToken wrong",
		"/DEFAULT/controller/v1/x":                     "",
	} {
		if status, _ := s.callAs(auth, "GET", path, nil); status != http.StatusUnauthorized {
			t.Errorf("%s with %.11s: %d", path, auth, status)
		}
	}
	if status, _ := s.callAs(u.auth, "GET", "/DEFAULT/controller/v1/09506000134352.ABC123/deploymentBase/7", nil); status != http.StatusNotFound {
		t.Errorf("an action that is not there: %d", status)
	}
}
