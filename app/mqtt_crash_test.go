package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/rapport-engine/rapport/test/port"
)

// connect signs an item in as an MQTT 5 client. open ends with the connection:
// whoever waits for an answer through it need not wait until it is overdue.
func connect(ctx context.Context, addr, item, token string) (c *paho.Client, open context.Context, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	open, end := context.WithCancel(ctx)
	c = paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: time.Minute, OnClientError: func(error) { end() }, OnServerDisconnect: func(*paho.Disconnect) { end() }})
	_, err = c.Connect(ctx, &paho.Connect{ClientID: "device", CleanStart: true, KeepAlive: 30, Username: item, UsernameFlag: true, Password: []byte(token), PasswordFlag: true})
	if err != nil {
		end()
		_ = conn.Close()
		return nil, nil, err
	}
	return c, open, nil
}

// TestNothingAnItemWasToldArrivedIsLostUnderKills publishes at QoS 1 from
// several items and kills the server again and again: every reading that was
// acknowledged is there in the end, and, as each is numbered, none counts twice.
func TestNothingAnItemWasToldArrivedIsLostUnderKills(t *testing.T) {
	t.Parallel()
	kills := 10
	if testing.Short() {
		kills = 2
	}
	mqtt := port.Reserve(t)
	p, s := newProgram(t, "", mqtt)

	const items = 4
	var acknowledged, sent [items]atomic.Int64
	var tokens [items]string
	name := func(i int) string { return fmt.Sprintf("01_09506000134352_21_K%d", i) }
	for i := range items {
		tokens[i] = s.must("POST", "/v1/devices", map[string]any{"item": name(i)})["token"].(string)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range items {
		wg.Go(func() {
			var c *paho.Client
			var open context.Context // while c is connected
			for seq := int64(1); ctx.Err() == nil; seq++ {
				sent[i].Store(seq)
				payload, _ := json.Marshal(map[string]any{"seq": seq, "n": seq})
				for ctx.Err() == nil { // until it is acknowledged
					if c == nil {
						var err error
						if c, open, err = connect(ctx, mqtt, name(i), tokens[i]); err != nil {
							<-time.After(10 * time.Millisecond) // the server is being killed or comes back
							continue
						}
					}
					r, err := c.Publish(open, &paho.Publish{QoS: 1, Topic: "d/" + name(i) + "/telemetry", Payload: payload})
					if err == nil && r.ReasonCode == 0 {
						acknowledged[i].Store(seq)
						break
					}
					c = nil
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range kills {
		before := acknowledged[0].Load()
		for acknowledged[0].Load() < before+20+rng.Int64N(50) {
			<-time.After(time.Millisecond)
		}
		p.kill()
		p.start()
	}
	stop()
	wg.Wait()
	for i := range items {
		x := s.must("GET", "/v1/items/"+name(i), nil)
		r := x["readings"].(map[string]any)["n"].(map[string]any)
		count, latest := int64(r["count"].(float64)), int64(r["value"].(float64))
		if count < acknowledged[i].Load() || count > sent[i].Load() || latest < acknowledged[i].Load() || count != latest {
			t.Errorf("item %d: %d acknowledged, %d sent, %d counted, the latest is %d", i, acknowledged[i].Load(), sent[i].Load(), count, latest)
		}
		t.Logf("item %d: %d acknowledged, %d counted", i, acknowledged[i].Load(), count)
	}
}
