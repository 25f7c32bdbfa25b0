package app_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/test/port"
)

// program is the server in a process of its own, to be killed.
type program struct {
	t      *testing.T
	dir    string
	addr   string
	config string // its folder; testdata/shop if empty
	mqtt   string // where items connect; nowhere if empty
	flags  []string
	env    []string
	says   io.Writer // what it writes, if anybody reads it
	cmd    *exec.Cmd
}

// newProgram starts the program in a folder of its own; it ends with the test.
func newProgram(t *testing.T, config, mqtt string) (*program, *shop) {
	t.Helper()
	p := &program{t: t, dir: t.TempDir(), addr: port.Reserve(t), config: config, mqtt: mqtt}
	p.start()
	return p, &shop{t: t, url: "http://" + p.addr}
}

// await waits for a state that stays.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(10 * time.Millisecond) // the program tells by being asked
	}
}

// start starts the program and waits until it is ready.
func (p *program) start() {
	p.t.Helper()
	args := []string{"serve", "--data", p.dir, "--config", cmp.Or(p.config, "testdata/shop"), "--listen", p.addr, "--mqtt", cmp.Or(p.mqtt, "off"), "--partitions", "4", "--cache-mb", "32"}
	first := p.cmd == nil
	p.cmd = exec.Command(os.Args[0], append(args, p.flags...)...)
	p.cmd.Env = append(append(os.Environ(), "RAPPORT_TEST_PROGRAM=1", "RAPPORT_ADMIN_TOKEN="+adminToken), p.env...)
	if p.cmd.Stdout, p.cmd.Stderr = p.says, p.says; p.says == nil && testing.Verbose() {
		p.cmd.Stderr = os.Stderr
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	if first {
		p.t.Cleanup(p.kill)
	}
	http.DefaultClient.CloseIdleConnections() // they lead to the program that was killed
	await(p.t, "the program is ready", func() bool {
		resp, err := http.Get("http://" + p.addr + "/health/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
}

func (p *program) kill() {
	_ = p.cmd.Process.Kill() // SIGKILL
	_ = p.cmd.Wait()
}

// TestNothingAcknowledgedIsLostOrCountedTwiceUnderKills sends events from
// several clients, kills the server at random points, and lets the clients send
// again what was not acknowledged, as real clients do. In the end everybody's
// counts must be exactly what was sent.
func TestNothingAcknowledgedIsLostOrCountedTwiceUnderKills(t *testing.T) {
	t.Parallel()
	kills := 30
	if testing.Short() {
		kills = 4
	}
	p, s := newProgram(t, "", "")
	const people, clients = 40, 4
	var sent [people]atomic.Int64
	var acknowledged atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 7))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				batch := make([]map[string]any, 0, 20)
				for i := range 20 {
					who := rng.IntN(people)
					sent[who].Add(1)
					e := event("track", fmt.Sprintf("%d-%d-%d", c, n, i), map[string]any{"event": "Thing Done", "anonymousId": fmt.Sprintf("a%d", who)})
					if rng.IntN(3) == 0 { // at some point the person signs in on the device
						e["userId"] = fmt.Sprintf("u%d", who)
					}
					batch = append(batch, e)
				}
				body, _ := json.Marshal(map[string]any{"batch": batch})
				for !post(p.addr, body) {
					<-time.After(5 * time.Millisecond) // the server is being killed or comes back
				}
				acknowledged.Add(20)
			}
		})
	}
	// Meanwhile an editor changes the config and a page asks for decisions, whose
	// outcomes and timers stand in the log as well.
	var edits, decisions atomic.Int64
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond): // the pace of the two
			}
			if n%5 == 0 {
				yaml := fmt.Sprintf("kind: action\nid: edited\ntype: content\nplacements: [home_hero]\ncontent: {title: Take %d}\ngoals: [{event: Thing Done, within: 1s, value: 1}]\n", n)
				if request(p.addr, "Bearer "+adminToken, "/v1/config/apply", map[string]any{"yaml": yaml}) {
					edits.Add(1)
				}
			}
			who := map[string]any{"anonymousId": fmt.Sprintf("a%d", n%people)}
			if request(p.addr, "Bearer wk_test_web", "/v1/decide", map[string]any{"person": who, "placement": "home_hero"}) {
				decisions.Add(1)
			}
		}
	})
	rng := rand.New(rand.NewPCG(1, 2))
	for range kills {
		<-time.After(time.Duration(rng.IntN(250)) * time.Millisecond) // the random point
		p.kill()
		p.start()
	}
	close(stop)
	wg.Wait()

	var total int64
	for who := range people {
		n := sent[who].Load()
		total += n
		if n == 0 {
			continue
		}
		person := s.must("GET", fmt.Sprintf("/v1/people/anonymousId:a%d", who), nil)
		if got := person["counters"].(map[string]any)["Thing Done"]; got != float64(n) {
			t.Errorf("person %d: %v counted, %d sent", who, got, n)
		}
	}
	if total != acknowledged.Load() {
		t.Fatalf("%d sent, %d acknowledged: the test is wrong", total, acknowledged.Load())
	}
	t.Logf("%d kills, %d events, each folded exactly once, %d config edits, %d decisions", kills, total, edits.Load(), decisions.Load())
	if edits.Load() == 0 || decisions.Load() == 0 {
		t.Error("nothing was edited or decided in between")
	}

	// The state that came through the kills is the one a calm replay of the
	// whole log gives, byte for byte.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
	for _, batch := range []string{"0", "1", "37"} {
		replay := exec.Command(os.Args[0], "replay", "--data", p.dir, "--batch", batch)
		replay.Env = append(os.Environ(), "RAPPORT_TEST_PROGRAM=1")
		out, err := replay.CombinedOutput()
		if err != nil {
			t.Errorf("replay in batches of %s: %v\n%s", batch, err, out)
		}
		t.Logf("in batches of %s:\n%s", batch, out)
	}
}

func post(addr string, body []byte) bool {
	return send(addr, "Bearer wk_test_web", "/v1/batch", body)
}

func request(addr, auth, path string, body any) bool {
	text, err := json.Marshal(body)
	return err == nil && send(addr, auth, path, text)
}

// send reports whether a request was answered with 200.
func send(addr, auth, path string, body []byte) bool {
	req, err := http.NewRequest("POST", "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", auth)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == 200
}
