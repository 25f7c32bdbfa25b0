package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/app"
	"github.com/rapport-engine/rapport/test/port"
)

// openMQTT is the shop with an MQTT listener.
func openMQTT(t testing.TB) (s *shop, host, number string) {
	t.Helper()
	addr := port.Reserve(t)
	host, number, _ = net.SplitHostPort(addr)
	return openProducts(t, t.TempDir(), func(o *app.Options) { o.MQTT.Listen = addr }), host, number
}

func mosquitto(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not here: run make deps-test", name)
	}
}

func TestMosquittoClientsSpeakForAnItem(t *testing.T) {
	t.Parallel()
	mosquitto(t, "mosquitto_pub")
	s, host, port := openMQTT(t)
	token := s.must("POST", "/v1/devices", map[string]any{"item": can, "name": "kitchen"})["token"].(string)
	stranger := s.must("POST", "/v1/devices", map[string]any{"item": "01_09506000134352_21_OTHER"})["token"].(string)
	pub := func(user, token string, args ...string) error {
		args = append([]string{"-h", host, "-p", port, "-u", user, "-P", token}, args...)
		out, err := exec.CommandContext(t.Context(), "mosquitto_pub", args...).CombinedOutput()
		if err == nil && len(out) > 0 {
			err = fmt.Errorf("%s", out)
		}
		return err
	}
	read := func() (map[string]any, map[string]any) {
		x := s.must("GET", "/v1/items/"+can, nil)
		latest, _ := x["telemetry"].(map[string]any)["latest"].(map[string]any)
		return x, latest
	}
	n := 0.0
	for _, version := range []string{"311", "5"} {
		for _, qos := range []string{"1", "2"} {
			n++
			if err := pub(can, token, "-V", version, "-q", qos, "-t", "d/"+can+"/telemetry", "-m", fmt.Sprintf(`{"level":%v}`, n/10)); err != nil {
				t.Errorf("version %s, QoS %s: %v", version, qos, err)
			}
			// Acknowledged is durable, and what is durable is read.
			if _, latest := read(); latest["level"] != n/10 {
				t.Errorf("version %s, QoS %s: the item reads %v", version, qos, latest)
			}
		}
	}
	if err := pub("kitchen", token, "-q", "1", "-r", "-t", "d/"+can+"/reported", "-m", `{"firmware":"2.0.1","interval":30}`); err != nil {
		t.Error(err)
	}
	if err := pub(can, token, "-q", "1", "-t", "d/"+can+"/event", "-m", `{"event":"opened"}`); err != nil {
		t.Error(err)
	}
	x, _ := read()
	if x["firmware"] != "2.0.1" || x["state"] != "opened" {
		t.Errorf("firmware %v, state %v", x["firmware"], x["state"])
	}

	// Nobody reaches another's topics.
	if err := pub(can, stranger, "-q", "1", "-t", "d/"+can+"/telemetry", "-m", `{"level":9}`); err == nil {
		t.Error("another's token signs in")
	}
	for _, version := range []string{"311", "5"} {
		_ = pub("01_09506000134352_21_OTHER", stranger, "-V", version, "-q", "1", "-t", "d/"+can+"/telemetry", "-m", `{"level":9}`)
		_ = pub("01_09506000134352_21_OTHER", stranger, "-V", version, "-q", "1", "-i", can, "-t", "d/"+can+"/command", "-m", `{}`)
	}
	if _, latest := read(); latest["level"] != n/10 {
		t.Errorf("a stranger wrote %v", latest)
	}
	s.must("PATCH", "/v1/items/"+can+"/desired", map[string]any{"interval": 60, "led": map[string]any{"on": true}})
	for _, filter := range []string{"#", "d/#", "d/+/desired", "d/" + can + "/desired", "$SYS/#", "+/+/+", "$share/g/d/" + can + "/#"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		out, _ := exec.CommandContext(ctx, "mosquitto_sub", "-h", host, "-p", port, "-u", "01_09506000134352_21_OTHER", "-P", stranger, "-W", "1", "-t", filter).Output()
		cancel()
		if len(out) > 0 {
			t.Errorf("a stranger subscribed to %s and hears %s", filter, out)
		}
	}

	// What is desired and not reported awaits every subscription, as a retained message.
	// Who subscribes while the change itself is still on its way hears that first, which is not marked.
	for _, version := range []string{"311", "5"} {
		await(t, "version "+version+" hears the retained state", func() bool {
			out, err := exec.CommandContext(t.Context(), "mosquitto_sub", "-h", host, "-p", port, "-u", can, "-P", token, "-V", version, "-C", "1", "-W", "10", "-q", "1", "-F", "%r %p", "-t", "d/"+can+"/desired").Output()
			if err != nil {
				t.Fatal(err)
			}
			retained, state, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
			if state != `{"interval":60,"led":{"on":true}}` {
				t.Errorf("version %s hears %s", version, out)
			}
			return retained == "1"
		})
	}
}

// listen starts a subscriber and returns its lines; the first is read when it is connected.
func listen(t testing.TB, host, port, token string, args ...string) (lines chan string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	args = append([]string{"-h", host, "-p", port, "-u", can, "-P", token, "-F", "%t %p"}, args...)
	cmd := exec.CommandContext(ctx, "mosquitto_sub", args...)
	r, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines = make(chan string, 16)
	go func() {
		defer close(lines)
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			for line := range bytes.SplitSeq(bytes.TrimSpace(buf[:n]), []byte("\n")) {
				if len(line) > 0 {
					lines <- string(line)
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return lines, func() { cancel(); _ = cmd.Wait() }
}

func TestACommandReachesAConnectedItemAndIsAnswered(t *testing.T) {
	t.Parallel()
	mosquitto(t, "mosquitto_sub")
	s, host, port := openMQTT(t)
	token := s.must("POST", "/v1/devices", map[string]any{"item": can})["token"].(string)
	early := s.must("POST", "/v1/items/"+can+"/commands", map[string]any{"name": "blink", "args": map[string]any{"times": 3}})
	lines, stop := listen(t, host, port, token, "-V", "5", "-q", "1", "-t", "d/"+can+"/command", "-t", "d/"+can+"/desired",
		"--will-topic", "d/"+can+"/event", "--will-payload", `{"event":"Product Fault","code":"gone"}`, "--will-qos", "1")
	defer stop()
	next := func() (topic string, payload map[string]any) {
		t.Helper()
		select {
		case line := <-lines:
			topic, text, _ := strings.Cut(line, " ")
			if err := json.Unmarshal([]byte(text), &payload); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return topic, payload
		case <-time.After(2 * time.Minute):
			t.Fatal("nothing came")
		}
		return "", nil
	}
	topic, got := next()
	if topic != "d/"+can+"/command" || got["id"] != early["id"] || got["name"] != "blink" || got["args"].(map[string]any)["times"] != 3.0 {
		t.Errorf("%s %v", topic, got)
	}
	late := s.must("POST", "/v1/items/"+can+"/commands", map[string]any{"name": "descale"})
	if topic, got := next(); topic != "d/"+can+"/command" || got["id"] != late["id"] {
		t.Errorf("%s %v, want %v", topic, got, late["id"])
	}
	s.must("PATCH", "/v1/items/"+can+"/desired", map[string]any{"interval": 60})
	if topic, got := next(); topic != "d/"+can+"/desired" || got["interval"] != 60.0 {
		t.Errorf("%s %v", topic, got)
	}
	answer := fmt.Sprintf(`{"command":%q,"status":"done","result":{"ok":true}}`, early["id"])
	if out, err := exec.CommandContext(t.Context(), "mosquitto_pub", "-h", host, "-p", port, "-u", can, "-P", token, "-q", "1", "-t", "d/"+can+"/event", "-m", answer).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	state := func(id any) any {
		for _, c := range s.must("GET", "/v1/items/"+can, nil)["commands"].([]any) {
			if c := c.(map[string]any); c["id"] == id {
				return c["state"]
			}
		}
		return nil
	}
	if state(early["id"]) != "done" {
		t.Errorf("the answered command is %v", state(early["id"]))
	}
	await(t, "the delivered command is sent", func() bool { return state(late["id"]) == "sent" })
	// A revoked token ends the connection; the last will of the device is its event.
	s.must("DELETE", "/v1/devices/"+can, nil)
	for range lines { // until it is gone
		break
	}
	stop()
	await(t, "the last will is an event", func() bool {
		return s.must("GET", "/v1/items/"+can, nil)["moments"].(map[string]any)["Product Fault"] == 1.0
	})
}
