package app_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rapport-engine/rapport/app"
	"github.com/rapport-engine/rapport/test/port"
)

// TestItemsAreHeardThroughABrokerOfTheCompanysOwn configures mosquitto as the
// broker, with its password from the environment.
func TestItemsAreHeardThroughABrokerOfTheCompanysOwn(t *testing.T) {
	t.Parallel()
	mosquitto(t, "mosquitto_pub")
	mosquitto(t, "mosquitto_passwd")
	dir, addr := t.TempDir(), port.Reserve(t)
	host, port, _ := net.SplitHostPort(addr)
	users := filepath.Join(dir, "users")
	if out, err := exec.Command("mosquitto_passwd", "-c", "-b", users, "rapport", "hush").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	conf := write(t, dir, "mosquitto.conf", "listener "+port+" 127.0.0.1\nallow_anonymous false\npassword_file "+users+"\nuser root\n")
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto"
	}
	broker := exec.Command(path, "-c", conf)
	if err := broker.Start(); err != nil {
		t.Skipf("mosquitto does not start (%v): run make deps-test", err)
	}
	t.Cleanup(func() { _ = broker.Process.Signal(os.Interrupt); _ = broker.Wait() })

	s := openProducts(t, t.TempDir(), func(o *app.Options) {
		o.Getenv = func(name string) string { return map[string]string{"BROKER_PASSWORD": "hush"}[name] }
	})
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": "kind: broker\nid: house\nurl: mqtt://" + addr + "\nusername: rapport\npassword: ${BROKER_PASSWORD}\n"})
	if status, _ := s.call("POST", "/v1/config/check", map[string]any{"yaml": "kind: broker\nid: house\nurl: mqtt://" + addr + "\npassword: hush\n"}); status != 200 {
		t.Errorf("check: %d", status)
	}
	s.must("POST", "/v1/devices", map[string]any{"item": can})
	await(t, "what the item tells the broker is heard", func() bool {
		err := exec.Command("mosquitto_pub", "-h", host, "-p", port, "-u", "rapport", "-P", "hush", "-q", "1", "-t", "d/"+can+"/telemetry", "-m", `{"level":0.12}`).Run()
		x := s.must("GET", "/v1/items/"+can, nil)
		return err == nil && x["telemetry"].(map[string]any)["level"] == 0.12 && x["state"] == "low"
	})
	// What is taken out of the configuration is listened to no more, and its place is free.
	s.must("POST", "/v1/config/apply", map[string]any{"delete": []any{map[string]any{"kind": "broker", "id": "house"}}})
}
