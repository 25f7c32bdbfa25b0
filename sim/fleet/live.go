package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"golang.org/x/sync/errgroup"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/twin/tap"
)

// line is how a thing speaks to the server: by MQTT, or by HTTP.
type line interface {
	say(ctx context.Context, channel string, body map[string]any) error
	close()
}

// Live lets the things live in the present until ctx ends, and then returns nil.
// A server that is away is waited for.
func (f *Fleet) Live(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range f.things {
		g.Go(func() error { f.live(ctx, t); return nil })
	}
	if f.o.Tags != nil && len(f.things) > 0 {
		g.Go(func() error { f.taps(ctx); return nil })
	}
	g.Go(func() error { return f.keepState(ctx) })
	return g.Wait()
}

// Sent returns how many messages the things have sent in the present.
func (f *Fleet) Sent() int64 { return f.sent.Load() }

func (f *Fleet) keepState(ctx context.Context) error {
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return f.save()
		case <-tick.C:
			if err := f.save(); err != nil {
				return err
			}
		}
	}
}

// live is one thing's life: connect, tell, connect again.
func (f *Fleet) live(ctx context.Context, t *thing) {
	r := rand.New(rand.NewPCG(t.key, uint64(f.o.Clock.Now().UnixNano())))
	now := f.now()
	l := &living{f: f, t: t, r: r, full: f.until(t, now), scale: t.scaleOf(now), running: t.firmware(now).Version, day: now / day, orders: make(chan order, 16)}
	wait := time.Duration(r.Float64() * float64(min(f.o.Pause, 10*time.Second))) // not all at once
	for sleep(ctx, wait) {
		if err := l.connected(ctx); err != nil && ctx.Err() == nil {
			f.o.Log.Debug("a thing lost its connection", "item", t.item, "error", err)
		}
		wait = time.Duration((0.5 + r.Float64()) * float64(f.o.Pause) / 3)
	}
}

// living is a thing in the present.
type living struct {
	f       *Fleet
	t       *thing
	r       *rand.Rand
	full    int64   // until when the stock lasted when it was last looked at
	scale   float64 // as it last was
	running string  // the firmware it has reported
	day     int64
	told    bool // whether it has reported its state
	orders  chan order
}

// order is a message from the server.
type order struct {
	desired map[string]any
	command *command
}

type command struct {
	ID   string         `json:"id"`
	Name string         `json:"name"`
	Args map[string]any `json:"args"`
}

func (f *Fleet) now() int64 { return f.o.Clock.Now().UnixMilli() }

// until returns until when the stock of a thing's home lasts now.
func (f *Fleet) until(t *thing, at int64) int64 {
	if f.o.RunsOut != nil && f.o.World.Fleet.Canister != nil {
		if u, ok := f.o.RunsOut(t.home.Shopper.Index, f.o.World.Fleet.Canister.Category); ok {
			return u
		}
	}
	return t.stock(at)
}

func (t *thing) scaleOf(at int64) float64 {
	if t.machine == nil {
		return 0
	}
	return t.scale(at)
}

func (l *living) connected(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var c line = post{l}
	if l.f.o.MQTT != "" {
		m, err := l.dial(ctx, cancel)
		if err != nil {
			return err
		}
		c = m
	}
	defer c.close()
	for {
		if err := l.tell(ctx, c); err != nil {
			return err
		}
		pause := time.NewTimer(time.Duration((0.7 + 0.6*l.r.Float64()) * float64(l.f.o.Pause)))
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case o := <-l.orders:
			pause.Stop()
			if err := l.obey(ctx, c, o); err != nil {
				return err
			}
		case <-pause.C:
		}
	}
}

// tell says what is new and what is measured.
func (l *living) tell(ctx context.Context, c line) error {
	t, at := l.t, l.f.now()
	l.f.mu.Lock()
	version, scale := t.firmware(at).Version, t.scaleOf(at)
	var trouble map[string]any
	if at/day != l.day {
		trouble = t.trouble(at)
	}
	until := l.f.until(t, at)
	body := t.reading(at, until)
	l.f.mu.Unlock()
	if !l.told || version != l.running {
		if err := c.say(ctx, "reported", map[string]any{"at": at, "firmware": version}); err != nil {
			return err
		}
		l.told, l.running = true, version
	}
	var events []map[string]any
	if t.machine == nil && until > l.full {
		events = append(events, map[string]any{"at": at - 2*second, "event": "opened"}, map[string]any{"at": at - second, "event": "refilled"})
	}
	if scale < l.scale-0.5 {
		events = append(events, map[string]any{"at": at, "event": "serviced", "what": "descaled"})
	}
	if trouble != nil {
		trouble["at"] = at
		events = append(events, trouble)
	}
	for _, e := range events {
		if err := c.say(ctx, "event", e); err != nil {
			return err
		}
	}
	l.full, l.scale, l.day = until, scale, at/day
	body["at"] = at
	return c.say(ctx, "telemetry", body)
}

// obey does what the server asks.
func (l *living) obey(ctx context.Context, c line, o order) error {
	if o.command != nil {
		return l.do(ctx, c, o.command)
	}
	if update, ok := o.desired["update"].(map[string]any); ok {
		delete(o.desired, "update")
		if err := l.update(ctx, c, update); err != nil {
			return err
		}
	}
	if len(o.desired) == 0 {
		return nil
	}
	o.desired["at"] = l.f.now()
	return c.say(ctx, "reported", o.desired)
}

func (l *living) do(ctx context.Context, c line, x *command) error {
	answer := map[string]any{"command": x.ID, "status": "done"}
	switch {
	case x.Name == "blink" || x.Name == "identify":
	case x.Name == "descale" && l.t.machine != nil:
		l.f.mu.Lock()
		l.t.kept.Descaled = l.t.brewed(l.f.now())
		l.f.mu.Unlock()
	case x.Name == "brew" && l.t.machine != nil:
		answer["result"] = map[string]any{"seconds": 27}
	default:
		answer["status"], answer["result"] = "refused", map[string]any{"reason": "unknown command " + x.Name}
	}
	return c.say(ctx, "event", answer)
}

// update fetches software, checks it and runs it.
func (l *living) update(ctx context.Context, c line, u map[string]any) error {
	address, _ := u["url"].(string)
	version, _ := u["version"].(string)
	sum, _ := u["sha256"].(string)
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err == nil {
		err = func() error {
			resp, err := l.f.o.HTTPClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			h := sha256.New()
			if _, err := io.Copy(h, io.LimitReader(resp.Body, 256<<20)); err != nil {
				return err
			}
			if resp.StatusCode != http.StatusOK || hex.EncodeToString(h.Sum(nil)) != sum || version == "" {
				return fmt.Errorf("the software is not what was announced (%s)", resp.Status)
			}
			return nil
		}()
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return c.say(ctx, "reported", map[string]any{"at": l.f.now(), "update": map[string]any{"status": "failed"}})
	}
	at := l.f.now()
	l.f.mu.Lock()
	l.t.kept.Firmware, l.t.kept.Updated = version, at
	l.f.mu.Unlock()
	l.running = version
	return c.say(ctx, "reported", map[string]any{"at": at, "firmware": version, "update": map[string]any{"status": "installed", "sha256": sum}})
}

// post speaks by HTTP.
type post struct{ l *living }

func (p post) say(ctx context.Context, channel string, body map[string]any) error {
	if channel == "event" {
		channel = "events"
	}
	p.l.f.sent.Add(1)
	return p.l.f.call(ctx, p.l.f.token(p.l.t), "POST", "/v1/items/"+p.l.t.item+"/"+channel, body, nil)
}

func (post) close() {}

// dial signs a thing in by MQTT 5 and listens for what is asked of it.
func (l *living) dial(ctx context.Context, lost func()) (*wire, error) {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", l.f.o.MQTT)
	if err != nil {
		return nil, err
	}
	w := &wire{l: l}
	w.client = paho.NewClient(paho.ClientConfig{
		Conn: conn, PacketTimeout: 20 * time.Second,
		OnClientError:      func(error) { lost() },
		OnServerDisconnect: func(*paho.Disconnect) { lost() },
		OnPublishReceived:  []func(paho.PublishReceived) (bool, error){w.heard},
	})
	_, err = w.client.Connect(ctx, &paho.Connect{
		ClientID: l.t.serial, CleanStart: true, KeepAlive: 120, Username: l.t.item, UsernameFlag: true, Password: []byte(l.f.token(l.t)), PasswordFlag: true,
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	_, err = w.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{
		{Topic: w.topic("desired"), QoS: 1}, {Topic: w.topic("command"), QoS: 1},
	}})
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// wire speaks by MQTT.
type wire struct {
	l      *living
	client *paho.Client
}

func (w *wire) topic(last string) string { return "d/" + w.l.t.item + "/" + last }

func (w *wire) say(ctx context.Context, channel string, body map[string]any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.l.f.sent.Add(1)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answering)
	defer cancel()
	_, err = w.client.Publish(ctx, &paho.Publish{QoS: 1, Topic: w.topic(channel), Payload: text})
	return err
}

func (w *wire) close() { _ = w.client.Disconnect(&paho.Disconnect{}) }

func (w *wire) heard(p paho.PublishReceived) (bool, error) {
	var o order
	switch p.Packet.Topic {
	case w.topic("desired"):
		if json.Unmarshal(p.Packet.Payload, &o.desired) != nil || len(o.desired) == 0 {
			return true, nil
		}
	case w.topic("command"):
		o.command = new(command)
		if json.Unmarshal(p.Packet.Payload, o.command) != nil {
			return true, nil
		}
	}
	select {
	case w.l.orders <- o:
	default: // it is busy; what is not done is sent again
	}
	return true, nil
}

// taps holds a phone to one thing after the other.
func (f *Fleet) taps(ctx context.Context) {
	r := rand.New(rand.NewPCG(f.o.World.Seed, uint64(f.o.Clock.Now().UnixNano())))
	for sleep(ctx, time.Duration((0.5+r.Float64())*float64(f.o.Pause))) {
		t := f.things[r.IntN(len(f.things))]
		// The counter of a tag rises with every tap: so do minutes.
		counter := f.o.Clock.Now().Unix()/60 - 26_297_280 // since 2020
		m := tap.Sign(*f.o.Tags, t.uid(), counter)
		err := f.once(ctx, "", "GET", "/01/"+t.gtin+"/21/"+t.serial+"?picc_data="+m.PICC+"&cmac="+m.CMAC, nil, nil)
		if err != nil && ctx.Err() == nil && rapport.KindOf(err) != rapport.Unavailable {
			f.o.Log.Debug("a tap was not taken", "item", t.item, "error", err)
		}
	}
}

// sleep waits; it reports false when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
