package clients_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
	"github.com/rapport-engine/rapport/test/port"
)

func TestTheNpmClientSpeaksForAnItem(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	if _, err := os.Stat("node_modules/mqtt"); err != nil {
		t.Skip("the clients are not installed: run make deps-test")
	}
	addr := port.Reserve(t)
	s := startServer(t, app.MQTTOptions{Listen: addr})
	call := func(method, path string, body any) map[string]any {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+reader)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		var out map[string]any
		if err != nil || resp.StatusCode >= 300 || json.Unmarshal(answer, &out) != nil {
			t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, answer)
		}
		return out
	}
	const item, other = "01_09506000134352_21_NPM", "01_09506000134352_21_STRANGER"
	token := call("POST", "/v1/devices", map[string]any{"item": item})["token"].(string)
	stranger := call("POST", "/v1/devices", map[string]any{"item": other})["token"].(string)
	call("PATCH", "/v1/items/"+item+"/desired", map[string]any{"interval": 60})

	cmd := exec.CommandContext(t.Context(), "node", "mqtt.mjs", "mqtt://"+addr, item, token, other, stranger)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var heard struct {
		Desired []struct {
			Topic    string
			Payload  map[string]any
			Stranger bool
		}
		Refused      []string
		Acknowledged int
	}
	if err := json.Unmarshal(text, &heard); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if heard.Acknowledged != 6 || len(heard.Refused) != 10 {
		t.Errorf("%s", text)
	}
	if len(heard.Desired) != 2 {
		t.Errorf("what is desired: %s", text)
	}
	for _, d := range heard.Desired {
		if d.Stranger || d.Topic != "d/"+item+"/desired" || d.Payload["interval"] != 60.0 {
			t.Errorf("%+v", d)
		}
	}
	for deadline := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		x := call("GET", "/v1/items/"+item, nil)
		latest := x["telemetry"].(map[string]any)["latest"].(map[string]any)
		if x["moments"].(map[string]any)["Product Fault"] == 2.0 && len(latest) == 6 && x["firmware"] == "3.5" {
			if latest["stolen"] != nil {
				t.Error("a stranger wrote")
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v %v %v", latest, x["moments"], x["firmware"])
		}
	}
}
