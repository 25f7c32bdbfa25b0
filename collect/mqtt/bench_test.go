package mqtt_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/collect/mqtt"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog/local"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/state"
	"github.com/rapport-engine/rapport/twin"
)

// open starts the broker on a whole, durable world.
func open(t testing.TB) (*mqtt.Broker, *item.Door) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, logger, clock := t.TempDir(), slog.New(slog.DiscardHandler), rapport.SystemClock{}
	log, err := local.Open(local.Options{Dir: dir + "/log", Partitions: 4, Clock: clock, Logger: logger})
	must(err)
	store, err := state.Open(state.Options{Dir: dir + "/state", Logger: logger, CacheBytes: 64 << 20})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	who, err := identity.Open(ctx, identity.Options{Key: []byte("a key for tests only"), Log: log, State: store, Clock: clock, Logger: logger})
	must(err)
	mint := func(kind, value string) rapport.ID { return who.Mint(kind, value, 0) }
	eng, err := engine.Open(engine.Options{
		Log: log, Store: store, Clock: clock, Logger: logger, EraseKey: []byte("another"), DedupDir: dir + "/dedup",
		Folds: []engine.Fold{twin.Fold{Mint: mint}, twin.NameFold{Mint: mint}, twin.ThingsFold{}},
	})
	must(err)
	door := item.New(item.Deps{Log: log, Resolver: who, Engine: eng, Clock: clock, Key: []byte("signing")})
	b, err := mqtt.Open(mqtt.Options{Door: door, Logger: logger, Listen: "127.0.0.1:0"})
	must(err)
	door.Changed, door.Revoked = b.Changed, b.Revoked
	rooms, stopRooms := context.WithCancel(context.Background())
	var outer, inner sync.WaitGroup
	for _, run := range []func(context.Context) error{eng.Run, who.Run} {
		inner.Go(func() {
			if err := run(rooms); err != nil {
				t.Error(err)
			}
		})
	}
	must(eng.Ready(ctx))
	outer.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		outer.Wait()
		stopRooms()
		inner.Wait()
		must(store.Close())
		must(log.Close())
	})
	return b, door
}

func connect(t testing.TB, addr, user, password string) *paho.Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: 30 * time.Second})
	_, err = c.Connect(context.Background(), &paho.Connect{ClientID: user, CleanStart: true, KeepAlive: 600, Username: user, UsernameFlag: true, Password: []byte(password), PasswordFlag: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// everybody lets anybody in.
type everybody struct{ broker.HookBase }

func (*everybody) Provides(x byte) bool {
	return x == broker.OnConnectAuthenticate || x == broker.OnACLCheck
}
func (*everybody) OnConnectAuthenticate(*broker.Client, packets.Packet) bool { return true }
func (*everybody) OnACLCheck(*broker.Client, string, bool) bool              { return true }

const publishers = 64

// flood publishes at QoS 1 from many clients with one message open each, as
// devices do, b.N messages in all.
func flood(b *testing.B, clients []*paho.Client, topics []string) {
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := i; n < b.N; n += len(clients) {
				r, err := c.Publish(context.Background(), &paho.Publish{QoS: 1, Topic: topics[i], Payload: fmt.Appendf(nil, `{"seq":%d,"level":0.5,"temperature":93.1}`, n)})
				if err != nil || r.ReasonCode >= 0x80 {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "publishes/s")
}

// BenchmarkPublish compares acknowledged-when-durable with the bare broker that
// acknowledges at once, with the same clients in the same run.
func BenchmarkPublish(b *testing.B) {
	b.Run("durable", func(b *testing.B) {
		server, door := open(b)
		var clients []*paho.Client
		var topics []string
		for i := range publishers {
			id := fmt.Sprintf("01_09506000134352_21_B%d", i)
			token, err := door.NewToken(b.Context(), item.Registration{Item: id}, false)
			if err != nil {
				b.Fatal(err)
			}
			clients, topics = append(clients, connect(b, server.Addr(), id, token)), append(topics, "d/"+id+"/telemetry")
		}
		flood(b, clients, topics)
	})
	b.Run("bare", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		s := broker.New(&broker.Options{Logger: slog.New(slog.DiscardHandler)})
		if err := s.AddHook(new(everybody), nil); err != nil {
			b.Fatal(err)
		}
		if err := s.AddListener(listeners.NewNet("bare", l)); err != nil {
			b.Fatal(err)
		}
		if err := s.Serve(); err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		var clients []*paho.Client
		var topics []string
		for i := range publishers {
			clients, topics = append(clients, connect(b, l.Addr().String(), fmt.Sprint("c", i), "x")), append(topics, fmt.Sprintf("d/c%d/telemetry", i))
		}
		flood(b, clients, topics)
	})
}

// BenchmarkConnected tells what a connected device costs, clients not included.
func BenchmarkConnected(b *testing.B) {
	const devices = 5000
	for b.Loop() {
		server, door := open(b)
		list := make([]string, devices)
		for i := range list {
			var err error
			if list[i], err = door.NewToken(b.Context(), item.Registration{Item: fmt.Sprintf("01_09506000134352_21_D%d", i)}, false); err != nil {
				b.Fatal(err)
			}
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		conns := make([]net.Conn, devices)
		for i := range conns {
			conns[i] = raw(b, server.Addr(), fmt.Sprintf("01_09506000134352_21_D%d", i), list[i])
		}
		for server.Clients() < devices {
			runtime.Gosched()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/devices, "bytes/device")
		for _, c := range conns {
			_ = c.Close()
		}
	}
}

// raw signs in with nothing but bytes, so that the client costs no memory.
func raw(t testing.TB, addr, user, password string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	field := func(b []byte, s string) []byte { return append(append(b, byte(len(s)>>8), byte(len(s))), s...) }
	body := append(field(nil, "MQTT"), 4, 0xc2, 2, 0x58)
	body = field(field(field(body, user), user), password)
	head := []byte{0x10}
	for n := len(body); ; {
		x := byte(n % 128)
		if n /= 128; n > 0 {
			head = append(head, x|128)
			continue
		}
		head = append(head, x)
		break
	}
	if _, err := c.Write(append(head, body...)); err != nil {
		t.Fatal(err)
	}
	var answer [4]byte
	if _, err := c.Read(answer[:]); err != nil || answer[3] != 0 {
		t.Fatalf("%v %v", answer, err)
	}
	return c
}
