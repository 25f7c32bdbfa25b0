package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/rapport-engine/rapport/app"
	"github.com/rapport-engine/rapport/test/port"
)

// listener is a device that hears what is desired of it by MQTT.
type listener struct {
	item   string
	client *paho.Client
	wanted chan map[string]any // desired states, newest last
}

func hear(t *testing.T, addr, item, token string) *listener {
	t.Helper()
	c, _, err := connect(t.Context(), addr, item, token)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{item: item, client: c, wanted: make(chan map[string]any, 64)}
	c.AddOnPublishReceived(func(p paho.PublishReceived) (bool, error) {
		var desired map[string]any
		if strings.HasSuffix(p.Packet.Topic, "/desired") && (len(p.Packet.Payload) == 0 || json.Unmarshal(p.Packet.Payload, &desired) == nil) {
			l.wanted <- desired // nothing at all where nothing is desired any more
		}
		return true, nil
	})
	if _, err := c.Subscribe(t.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "d/" + item + "/desired", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	return l
}

// update waits for an update to be desired, or with gone for none to be.
func (l *listener) update(t *testing.T, gone bool) map[string]any {
	t.Helper()
	late := time.After(2 * time.Minute)
	for {
		select {
		case desired := <-l.wanted:
			if u, ok := desired["update"].(map[string]any); ok != gone {
				return u
			}
		case <-late:
			t.Fatal("no word of the update")
		}
	}
}

func (l *listener) report(t *testing.T, state map[string]any) {
	t.Helper()
	payload, _ := json.Marshal(state)
	if r, err := l.client.Publish(t.Context(), &paho.Publish{QoS: 1, Topic: "d/" + l.item + "/reported", Payload: payload}); err != nil || r.ReasonCode != 0 {
		t.Fatal(r, err)
	}
}

// TestDevicesAreUpdatedByMQTTAlone brings new software to devices that never ask
// for it: one installs it, one fails, one is not there until later, and one is
// told to let it be.
func TestDevicesAreUpdatedByMQTTAlone(t *testing.T) {
	t.Parallel()
	addr := port.Reserve(t)
	s := openProducts(t, t.TempDir(), func(o *app.Options) { o.MQTT.Listen = addr })
	const base = "01_09506000134352_21_"
	tokens := map[string]string{}
	for _, name := range []string{"GOOD", "BAD", "LATE"} {
		tokens[name] = s.must("POST", "/v1/devices", map[string]any{"item": base + name})["token"].(string)
	}
	good, bad := hear(t, addr, base+"GOOD", tokens["GOOD"]), hear(t, addr, base+"BAD", tokens["BAD"])
	good.report(t, map[string]any{"firmware": "1.0"})
	bad.report(t, map[string]any{"firmware": "1.0"})

	begin := func(version string) string {
		resp, text := s.raw("POST", "/v1/artifacts?name=app.bin&version="+version, "application/octet-stream", []byte("software "+version))
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
		var a struct{ SHA256 string }
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatal(err)
		}
		r := s.must("POST", "/v1/rollouts", map[string]any{"artifact": a.SHA256, "stages": []any{map[string]any{"percent": 100}}, "soakSeconds": 1, "minimum": 5})
		s.must("POST", "/v1/rollouts/"+r["id"].(string)+"/start", nil)
		return r["id"].(string)
	}
	steps := func(rollout string) map[string]any {
		return s.must("GET", "/v1/rollouts/"+rollout, nil)["steps"].(map[string]any)
	}
	rollout := begin("2.0")
	u := good.update(t, false)
	resp, err := http.Get(u["url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	file, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(file) != "software 2.0" || u["version"] != "2.0" || u["size"] != 12.0 {
		t.Errorf("%v leads to %q", u, file)
	}
	good.report(t, map[string]any{"firmware": "2.0"})
	bad.update(t, false)
	bad.report(t, map[string]any{"update": map[string]any{"status": "failed"}})
	await(t, "one soaks or succeeded and one failed", func() bool {
		x := steps(rollout)
		return (x["soaking"] == 1.0 || x["succeeded"] == 1.0) && x["failed"] == 1.0
	})
	await(t, "it soaked, and goes on answering", func() bool {
		good.report(t, map[string]any{"uptime": time.Now().UnixMilli()})
		return steps(rollout)["succeeded"] == 1.0
	})
	// A device that was away finds the update when it comes.
	late := hear(t, addr, base+"LATE", tokens["LATE"])
	if u := late.update(t, false); u["version"] != "2.0" {
		t.Errorf("the late one is asked for %v", u)
	}
	// The rollout is canceled before it wrote anything: it is asked no more.
	s.must("POST", "/v1/rollouts/"+rollout+"/cancel", nil)
	late.update(t, true)
	await(t, "the late one's update is canceled", func() bool { return steps(rollout)["canceled"] == 1.0 })
	if x := steps(rollout); x["succeeded"] != 1.0 || x["failed"] != 1.0 {
		t.Errorf("in the end: %v", x)
	}
}

// TestARolloutUnderKillsOffersNoDeviceTwiceAndLosesNoSuccess lets many devices
// ask for their update and confirm it while the server is killed again and again.
func TestARolloutUnderKillsOffersNoDeviceTwiceAndLosesNoSuccess(t *testing.T) {
	t.Parallel()
	devices, kills := 40, 6
	if testing.Short() {
		devices, kills = 16, 2
	}
	p, s := newProgram(t, "", "")
	ids := make([]string, devices)
	var items []any
	for i := range ids {
		ids[i] = fmt.Sprintf("01_09506000134352_21_U%d", i)
		items = append(items, map[string]any{"item": ids[i]})
	}
	s.must("POST", "/v1/items/import", map[string]any{"items": items})
	resp, text := s.raw("POST", "/v1/artifacts?name=app.bin&version=2.0", "application/octet-stream", []byte("software"))
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	var a struct{ SHA256 string }
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatal(err)
	}
	rollout := s.must("POST", "/v1/rollouts", map[string]any{"artifact": a.SHA256, "stages": []any{map[string]any{"percent": 100}}, "soakSeconds": 1, "minimum": 1000})["id"].(string)
	s.must("POST", "/v1/rollouts/"+rollout+"/start", nil)

	// ask sends one request of a device; ok is false while the server is away.
	ask := func(ctx context.Context, method, path, body string) (text string, ok bool) {
		req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
		if err != nil {
			return "", false
		}
		req.Header.Set("Authorization", "GatewayToken "+adminToken)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", false
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		return string(data), err == nil && resp.StatusCode == http.StatusOK
	}
	ctx, stop := context.WithCancel(t.Context())
	var offered [40]map[string]bool
	var confirmed, asked atomic.Int64
	var wg sync.WaitGroup
	for i, id := range ids {
		offered[i] = map[string]bool{}
		wg.Go(func() {
			said := ""
			for ctx.Err() == nil {
				asked.Add(1)
				text, ok := ask(ctx, "GET", "/DEFAULT/controller/v1/"+id, "")
				if m := ddiAction.FindString(text); ok && m != "" {
					action := m[strings.LastIndex(m, "/")+1:]
					offered[i][action] = true
					feedback := `{"id":"` + action + `","status":{"execution":"closed","result":{"finished":"success"},"details":["booted"]}}`
					for ok := false; !ok && ctx.Err() == nil; { // as an updater does, until it is answered
						_, ok = ask(ctx, "POST", "/DEFAULT/controller/v1/"+id+"/deploymentBase/"+action+"/feedback", feedback)
						if ok && said == "" {
							said = action
							confirmed.Add(1)
						}
					}
				}
				<-time.After(20 * time.Millisecond) // as a device waits between two questions
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range kills {
		for before := asked.Load(); asked.Load() < before+int64(devices/4)+rng.Int64N(int64(devices)); {
			<-time.After(time.Millisecond)
		}
		p.kill()
		p.start()
	}
	await(t, "every device succeeded", func() bool {
		// One may have succeeded and ask again for the answer that a kill cut off.
		return confirmed.Load() == int64(devices) && s.must("GET", "/v1/rollouts/"+rollout, nil)["steps"].(map[string]any)["succeeded"] == float64(devices)
	})
	stop()
	wg.Wait()
	for i := range ids {
		if len(offered[i]) != 1 {
			t.Errorf("%s was offered %v", ids[i], offered[i])
		}
		if x := s.must("GET", "/v1/items/"+ids[i], nil); x["firmware"] != "2.0" {
			t.Errorf("the twin of %s runs %v", ids[i], x["firmware"])
		}
	}
	if x := s.must("GET", "/v1/rollouts/"+rollout, nil); fmt.Sprint(x["steps"]) != fmt.Sprintf("map[succeeded:%d]", devices) {
		t.Errorf("in the end: %v", x["steps"])
	}
}
