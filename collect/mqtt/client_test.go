package mqtt_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/collect/mqtt"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/test/port"
	"github.com/rapport-engine/rapport/twin"
)

// second is a broker of somebody else's: mosquitto, as Debian has it.
type second struct {
	t    testing.TB
	dir  string
	addr string
	cmd  *exec.Cmd
}

func startMosquitto(t testing.TB) *second {
	t.Helper()
	for _, name := range []string{"mosquitto_pub", "mosquitto_passwd"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("mosquitto is not here: run make deps-test")
		}
	}
	b := &second{t: t, dir: t.TempDir(), addr: port.Reserve(t)}
	_, at, _ := net.SplitHostPort(b.addr)
	config := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous false\npassword_file %s\npersistence true\npersistence_location %s/\nuser root\n", at, filepath.Join(b.dir, "users"), b.dir)
	if err := os.WriteFile(filepath.Join(b.dir, "mosquitto.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mosquitto_passwd", "-c", "-b", filepath.Join(b.dir, "users"), "rapport", "a secret").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *second) start() {
	b.t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto"
	}
	b.cmd = exec.Command(path, "-c", filepath.Join(b.dir, "mosquitto.conf"))
	if err := b.cmd.Start(); err != nil {
		b.t.Skipf("mosquitto does not start (%v): run make deps-test", err)
	}
	await(b.t, "mosquitto listens", func() bool {
		c, err := net.Dial("tcp", b.addr)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
}

// stop ends it as an operator would: what it holds for clients is kept.
func (b *second) stop() {
	if b.cmd != nil {
		_ = b.cmd.Process.Signal(os.Interrupt)
		_ = b.cmd.Wait()
		b.cmd = nil
	}
}

func (b *second) publish(topic string, messages ...string) {
	b.t.Helper()
	host, at, _ := net.SplitHostPort(b.addr)
	cmd := exec.Command("mosquitto_pub", "-h", host, "-p", at, "-u", "rapport", "-P", "a secret", "-q", "1", "-t", topic, "-l")
	cmd.Stdin = strings.NewReader(strings.Join(messages, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("%v %s", err, out)
	}
}

// log is a door that notes what is durable, and cannot store for a while.
type log struct {
	mu      sync.Mutex
	durable map[string]int
	fail    int // messages whose storing fails
	refuse  int // messages that cannot even be queued
}

func (l *log) Label(_ context.Context, name rapport.Identifier) (*twin.Label, error) {
	if name == twin.DeviceName("kitchen") {
		return &twin.Label{Item: "01_09506000134352_21_K"}, nil
	}
	return nil, rapport.Errorf(rapport.NotFound, "no such name")
}

func (l *log) Input(item string, channel item.Channel, payload []byte) (eventlog.Pending, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse > 0 {
		l.refuse--
		return nil, rapport.Errorf(rapport.Unavailable, "too much at once")
	}
	if !strings.HasPrefix(string(payload), "{") {
		return nil, rapport.Errorf(rapport.Invalid, "no JSON")
	}
	return &pending{l, fmt.Sprintf("%s %s %s", item, channel, payload)}, nil
}

type pending struct {
	l    *log
	text string
}

func (p *pending) Wait(context.Context) error {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	if p.l.fail > 0 {
		p.l.fail--
		return rapport.Errorf(rapport.Unavailable, "the disk is away")
	}
	p.l.durable[p.text]++
	return nil
}

// await waits for a state that stays.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (l *log) await(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		await(t, w+" arrives", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.durable[w] > 0
		})
	}
}

// run follows brokers until it is stopped.
func (l *log) run(t *testing.T, docs ...mqtt.BrokerDoc) (stop func()) {
	c := mqtt.NewClients(mqtt.ClientsDeps{Door: l, Logger: slog.New(slog.DiscardHandler)})
	c.Set(docs)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// reaches publishes until a message arrives: nobody keeps one before the subscription stands.
func (b *second) reaches(l *log, item string, n int) {
	b.t.Helper()
	await(b.t, "something arrives", func() bool {
		b.publish("d/"+item+"/telemetry", fmt.Sprintf(`{"n":%d}`, n))
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.durable[fmt.Sprintf("%s telemetry {\"n\":%d}", item, n)] > 0
	})
}

func TestAnOutsideBrokersMessagesArriveAtLeastOnceWhateverFails(t *testing.T) {
	t.Parallel()
	b := startMosquitto(t)
	l := &log{durable: map[string]int{}}
	doc := mqtt.BrokerDoc{
		ID: "factory", URL: "mqtt://" + b.addr, Username: "rapport", Password: "a secret",
		Topics: []mqtt.TopicDoc{{Filter: "d/+/telemetry"}, {Filter: "d/+/event", Channel: "event"}, {Filter: "plant/+/+/state", Item: "{2}", Channel: "reported"}},
	}
	if err := doc.Validate(); err != nil {
		t.Fatal(err)
	}
	stop := l.run(t, doc)
	const can = "01_09506000134352_21_A"
	telemetry := func(n int) string { return fmt.Sprintf("%s telemetry {\"n\":%d}", can, n) }
	b.reaches(l, can, 0)
	b.publish("d/"+can+"/event", `{"event":"opened"}`, `not JSON`)
	b.publish("plant/7/kitchen/state", `{"firmware":"2"}`)
	b.publish("plant/7/nobody/state", `{"firmware":"2"}`)
	l.await(t, can+` event {"event":"opened"}`, `01_09506000134352_21_K reported {"firmware":"2"}`)

	// What could not be stored comes again.
	l.mu.Lock()
	l.fail, l.refuse = 2, 1
	l.mu.Unlock()
	var messages, want []string
	for n := 1; n <= 300; n++ {
		messages, want = append(messages, fmt.Sprintf(`{"n":%d}`, n)), append(want, telemetry(n))
	}
	b.publish("d/"+can+"/telemetry", messages...)
	l.await(t, want...)

	// While we are away the broker keeps it for us.
	stop()
	b.publish("d/"+can+"/telemetry", `{"n":1000}`)
	stop = l.run(t, doc)
	l.await(t, telemetry(1000))

	// A broker that goes and comes back is found again.
	b.stop()
	b.start()
	b.reaches(l, can, 2000)
	stop()
}

// TestWhatABrokerHoldsWhileWeAreAwayComesOnceAlsoAfterItsOwnRestart takes the
// messages of many items from mosquitto while the server goes away and comes
// back, and mosquitto itself is ended and started in between: all of them arrive,
// and none twice.
func TestWhatABrokerHoldsWhileWeAreAwayComesOnceAlsoAfterItsOwnRestart(t *testing.T) {
	t.Parallel()
	b := startMosquitto(t)
	l := &log{durable: map[string]int{}}
	doc := mqtt.BrokerDoc{ID: "factory", URL: "mqtt://" + b.addr, Username: "rapport", Password: "a secret", Alone: true}
	const can = "01_09506000134352_21_A"
	stop := l.run(t, doc)
	b.reaches(l, can, 0) // the session stands
	var want []string
	next := 1
	send := func(count int) {
		var messages []string
		for range count {
			messages, want = append(messages, fmt.Sprintf(`{"n":%d}`, next)), append(want, fmt.Sprintf("%s telemetry {\"n\":%d}", can, next))
			next++
		}
		b.publish("d/"+can+"/telemetry", messages...)
	}
	for range 3 {
		stop()
		send(80) // held by the broker
		b.stop()
		b.start() // which kept them on its disk
		send(20)
		stop = l.run(t, doc)
		l.await(t, want...)
		send(50) // and those that come while it is read
		l.await(t, want...)
	}
	stop()
	for _, w := range want {
		if l.durable[w] != 1 {
			t.Errorf("%s came %d times", w, l.durable[w])
		}
	}
}

func TestTwoServersShareTheMessagesOfABroker(t *testing.T) {
	t.Parallel()
	b := startMosquitto(t)
	l := &log{durable: map[string]int{}}
	for _, name := range []string{"one", "two"} {
		t.Cleanup(l.run(t, mqtt.BrokerDoc{ID: "factory", URL: "mqtt://" + b.addr, Username: "rapport", Password: "a secret", ClientID: name}))
	}
	var messages, want []string
	for n := 1; n <= 50; n++ {
		messages, want = append(messages, fmt.Sprintf(`{"n":%d}`, n)), append(want, fmt.Sprintf("01_09506000134352_21_A telemetry {\"n\":%d}", n))
	}
	b.reaches(l, "01_09506000134352_21_A", 0)
	b.publish("d/01_09506000134352_21_A/telemetry", messages...)
	l.await(t, want...)
	for _, w := range want {
		if l.durable[w] != 1 {
			t.Errorf("%s came %d times", w, l.durable[w])
		}
	}
}

func TestABrokerDocumentSaysWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]mqtt.BrokerDoc{
		"is not an address":       {URL: "tcp://x"},
		"not in the address":      {URL: "mqtt://a:b@x"},
		"need mqtts":              {URL: "mqtt://x", CA: "ca.pem"},
		"go together":             {URL: "mqtts://x", Cert: "a"},
		"group: must not contain": {URL: "mqtt://x", Group: "a/b"},
		"no group to share":       {URL: "mqtt://x", Alone: true, Group: "a"},
		"no topic filter":         {URL: "mqtt://x", Topics: []mqtt.TopicDoc{{Filter: "a/b+"}}},
		"leave out $share":        {URL: "mqtt://x", Topics: []mqtt.TopicDoc{{Filter: "$share/g/+"}}},
		"{2} is not one":          {URL: "mqtt://x", Topics: []mqtt.TopicDoc{{Filter: "a/+", Item: "{2}"}}},
		"{0} is not one":          {URL: "mqtt://x", Topics: []mqtt.TopicDoc{{Filter: "a/#", Item: "{x}"}}},
	} {
		if err := d.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", d, err, want)
		}
	}
}

// TestWhatASharedSubscriptionHoldsSurvivesTheBrokersRestart shares a
// subscription with mosquitto: what it held for the session when it ended comes
// after its restart, and once the server is back nothing more is missing.
// (What is published between the two mosquitto 2.0 gives to nobody: it does not
// keep shared subscriptions. That is what alone is for.)
func TestWhatASharedSubscriptionHoldsSurvivesTheBrokersRestart(t *testing.T) {
	t.Parallel()
	b := startMosquitto(t)
	l := &log{durable: map[string]int{}}
	doc := mqtt.BrokerDoc{ID: "factory", URL: "mqtt://" + b.addr, Username: "rapport", Password: "a secret"}
	const can = "01_09506000134352_21_A"
	var want []string
	send := func(from, count int) {
		var messages []string
		for n := from; n < from+count; n++ {
			messages, want = append(messages, fmt.Sprintf(`{"n":%d}`, n)), append(want, fmt.Sprintf("%s telemetry {\"n\":%d}", can, n))
		}
		b.publish("d/"+can+"/telemetry", messages...)
	}
	stop := l.run(t, doc)
	b.reaches(l, can, 0)
	for round := range 2 {
		stop()
		send(1000*round+1, 60) // held for us
		b.stop()
		b.start()
		stop = l.run(t, doc)
		l.await(t, want...)
		b.reaches(l, can, 1000*round+500) // it is subscribed again
		send(1000*round+600, 40)
		l.await(t, want...)
	}
	stop()
	for _, w := range want {
		if l.durable[w] != 1 {
			t.Errorf("%s came %d times", w, l.durable[w])
		}
	}
}
