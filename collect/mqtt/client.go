package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/twin"
)

// BrokerDoc is the config document of kind "broker": an MQTT 5 broker of
// somebody else's that items speak to, listened to with a shared subscription.
type BrokerDoc struct {
	ID       string     `yaml:"id" doc:"Name of the broker."`
	URL      string     `yaml:"url" required:"true" doc:"Where it is: mqtts://host:8883, or mqtt:// in a network one trusts."`
	Username string     `yaml:"username,omitempty" doc:"Who we sign in as."`
	Password string     `yaml:"password,omitempty" secret:"true" doc:"With what, from the environment."`
	ClientID string     `yaml:"clientId,omitempty" doc:"What the broker knows this server by, and keeps what is not acknowledged for; rapport- and the id if left out."`
	Alone    bool       `yaml:"alone,omitempty" doc:"Subscribe plainly in place of sharing: for one server alone, with a broker that does not keep shared subscriptions over its own restart, as mosquitto 2.0."`
	Group    string     `yaml:"group,omitempty" doc:"Name of the shared subscription; rapport if left out. Servers with the same one share the messages."`
	CA       string     `yaml:"ca,omitempty" doc:"PEM file with the authority of the broker's certificate; the system's if left out."`
	Cert     string     `yaml:"cert,omitempty" doc:"PEM file with a certificate of our own."`
	Key      string     `yaml:"key,omitempty" doc:"PEM file with its private key."`
	Topics   []TopicDoc `yaml:"topics,omitempty" doc:"Which topics are of which items; d/{item}/telemetry, event and reported if left out. At most 32."`
}

// TopicDoc says whom messages of a topic are about.
type TopicDoc struct {
	Filter  string `yaml:"filter" required:"true" doc:"Topic filter, such as plant/+/sensors."`
	Item    string `yaml:"item,omitempty" doc:"Item id or device name; {1} is what the first + stands for, {2} the second. {1} if left out."`
	Channel string `yaml:"channel,omitempty" enum:"telemetry,event,reported" doc:"What they tell; telemetry if left out."`
}

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults.
func (d *BrokerDoc) Validate() error {
	var f rapport.Faults
	u, err := url.Parse(d.URL)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "mqtt" && u.Scheme != "mqtts":
		f.Add("url", "%q is not an address such as mqtts://broker.example.com:8883", d.URL)
	case u.User != nil:
		f.Add("url", "a name and password stand in username and password, not in the address")
	case u.Scheme == "mqtt" && (d.CA != "" || d.Cert != ""):
		f.Add("url", "certificates need mqtts://")
	}
	if (d.Cert == "") != (d.Key == "") {
		f.Add("cert", "cert and key go together")
	}
	if d.Alone && d.Group != "" {
		f.Add("alone", "there is no group to share with: leave out one of alone and group")
	}
	if strings.ContainsAny(d.Group, "/+#$") {
		f.Add("group", "must not contain / + # or $")
	}
	if len(d.Topics) > 32 {
		f.Add("topics", "has %d entries, at most 32", len(d.Topics))
	}
	for i, t := range d.Topics {
		levels := strings.Split(t.Filter, "/")
		plus := 0
		for j, l := range levels {
			if l == "+" {
				plus++
			} else if strings.ContainsAny(l, "+#\x00") && (l != "#" || j != len(levels)-1) || l == "" && len(levels) == 1 {
				f.Add(fmt.Sprintf("topics[%d].filter", i), "%q is no topic filter", t.Filter)
				break
			}
		}
		if strings.HasPrefix(t.Filter, "$share/") {
			f.Add(fmt.Sprintf("topics[%d].filter", i), "leave out $share: the group stands in group")
		}
		for n := range placeholders(t.item()) {
			if n < 1 || n > plus {
				f.Add(fmt.Sprintf("topics[%d].item", i), "{%d} is not one of the %d + of the filter", n, plus)
			}
		}
	}
	return f.Err()
}

// share begins the filters that are subscribed to.
func (d *BrokerDoc) share() string {
	if d.Alone {
		return ""
	}
	return "$share/" + or(d.Group, "rapport") + "/"
}

func (t *TopicDoc) item() string {
	if t.Item == "" {
		return "{1}"
	}
	return t.Item
}

// placeholders yields the numbers in braces of a template, 0 for what is no number.
func placeholders(s string) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for rest := s; ; {
			_, after, ok := strings.Cut(rest, "{")
			if !ok {
				return
			}
			number, tail, _ := strings.Cut(after, "}")
			n, _ := strconv.Atoi(number)
			if !yield(n) {
				return
			}
			rest = tail
		}
	}
}

// topics returns what is listened to.
func (d *BrokerDoc) topics() []TopicDoc {
	if len(d.Topics) > 0 {
		return d.Topics
	}
	return []TopicDoc{
		{Filter: "d/+/telemetry", Channel: string(item.Telemetry)}, {Filter: "d/+/event", Channel: string(item.Events)}, {Filter: "d/+/reported", Channel: string(item.Reported)},
	}
}

// match returns whom a topic is about, by the document's words; ok is false if
// the filter does not match.
func (t *TopicDoc) match(topic string) (name string, channel item.Channel, ok bool) {
	channel = item.Channel(t.Channel)
	if channel == "" {
		channel = item.Telemetry
	}
	filter, levels := strings.Split(t.Filter, "/"), strings.Split(topic, "/")
	name = t.item()
	n := 0
	for i, f := range filter {
		if f == "#" {
			return name, channel, true
		}
		if i >= len(levels) || f != "+" && f != levels[i] {
			return "", "", false
		}
		if f == "+" {
			n++
			name = strings.ReplaceAll(name, "{"+strconv.Itoa(n)+"}", levels[i])
		}
	}
	return name, channel, len(filter) == len(levels)
}

// Namer finds the item of a device name. *item.Door is one.
type Namer interface {
	Label(ctx context.Context, name rapport.Identifier) (*twin.Label, error)
	Input(item string, channel item.Channel, payload []byte) (eventlog.Pending, error)
}

// ClientsDeps are what Clients stand on. All are required.
type ClientsDeps struct {
	Door   Namer
	Logger *slog.Logger
}

// Clients listen to the brokers of the configuration. Their methods are safe for
// concurrent use.
type Clients struct {
	deps    ClientsDeps
	mu      sync.Mutex
	want    []BrokerDoc
	changed chan struct{} // capacity 1: one look is enough for many changes
}

// NewClients returns clients without brokers; nothing is connected before Run.
func NewClients(d ClientsDeps) *Clients {
	return &Clients{deps: d, changed: make(chan struct{}, 1)}
}

// Set says which brokers to listen to from now on.
func (c *Clients) Set(list []BrokerDoc) {
	c.mu.Lock()
	same := reflect.DeepEqual(c.want, list)
	c.want = slices.Clone(list)
	c.mu.Unlock()
	if same {
		return
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Run listens until ctx ends.
func (c *Clients) Run(ctx context.Context) error {
	type running struct {
		doc  BrokerDoc
		stop context.CancelFunc
		done chan struct{}
	}
	have := map[string]*running{}
	end := func(id string) {
		have[id].stop()
		<-have[id].done
		delete(have, id)
	}
	for {
		c.mu.Lock()
		want := c.want
		c.mu.Unlock()
		for id, r := range have {
			if !slices.ContainsFunc(want, func(d BrokerDoc) bool { return d.ID == id && reflect.DeepEqual(d, r.doc) }) {
				end(id)
			}
		}
		for _, d := range want {
			if have[d.ID] == nil {
				own, stop := context.WithCancel(ctx)
				r := &running{d, stop, make(chan struct{})}
				have[d.ID] = r
				go func() {
					defer close(r.done)
					c.listen(own, d)
				}()
			}
		}
		select {
		case <-ctx.Done():
			for id := range have {
				end(id)
			}
			return nil
		case <-c.changed:
		}
	}
}

// listen stays connected to a broker until ctx ends.
func (c *Clients) listen(ctx context.Context, d BrokerDoc) {
	const least, most = 250 * time.Millisecond, 30 * time.Second
	wait, down := least, false
	for ctx.Err() == nil {
		up, err := c.connected(ctx, &d)
		if ctx.Err() != nil {
			return
		}
		if up { // it went well until it did not
			wait, down = least, false
		}
		if !down {
			c.deps.Logger.Warn("a broker is not connected; it is tried again", "broker", d.ID, "error", err)
			down = true
		}
		pause := time.NewTimer(time.Duration((0.5 + rand.Float64()) * float64(wait)))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		wait = min(2*wait, most)
	}
}

func (d *BrokerDoc) dial(ctx context.Context) (net.Conn, error) {
	u, err := url.Parse(d.URL)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if u.Scheme == "mqtt" {
		return dialer.DialContext(ctx, "tcp", withPort(u, "1883"))
	}
	conf := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if d.CA != "" {
		text, err := os.ReadFile(d.CA)
		if err != nil {
			return nil, fmt.Errorf("read the authority: %w", err)
		}
		if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, rapport.Errorf(rapport.Invalid, "the file %s holds no PEM certificate", d.CA)
		}
	}
	if d.Cert != "" {
		pair, err := tls.LoadX509KeyPair(d.Cert, d.Key)
		if err != nil {
			return nil, fmt.Errorf("read our certificate: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	conn, err := (&tls.Dialer{NetDialer: dialer, Config: conf}).DialContext(ctx, "tcp", withPort(u, "8883"))
	if err != nil {
		return nil, err
	}
	return packets.NewThreadSafeConn(conn), nil
}

func withPort(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// taken is a message on its way into the log.
type taken struct {
	packet  *paho.Publish
	pending eventlog.Pending // nil: it cannot be read, and would not become better
}

// connected listens while the connection lasts. up says whether it came about.
func (c *Clients) connected(ctx context.Context, d *BrokerDoc) (up bool, err error) {
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	conn, err := d.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	queue := make(chan taken, window) // as many as the broker may send without an answer
	client := paho.NewClient(paho.ClientConfig{
		Conn: conn, PacketTimeout: 20 * time.Second, EnableManualAcknowledgment: true, SendAcksInterval: 5 * time.Millisecond,
		OnClientError:      func(err error) { lost(err) },
		OnServerDisconnect: func(p *paho.Disconnect) { lost(fmt.Errorf("the broker disconnected us with code %d", p.ReasonCode)) },
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			pending, err := c.take(ctx, d, p.Packet)
			if err != nil { // not stored and not acknowledged: it comes again
				lost(err)
				return true, nil
			}
			select {
			case queue <- taken{p.Packet, pending}:
			case <-ctx.Done():
			}
			return true, nil
		}},
	})
	expiry, receive := uint32(24*3600), uint16(window)
	if _, err := client.Connect(ctx, &paho.Connect{
		ClientID: or(d.ClientID, "rapport-"+d.ID), CleanStart: false, KeepAlive: 30,
		Username: d.Username, UsernameFlag: d.Username != "", Password: []byte(d.Password), PasswordFlag: d.Password != "",
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry, ReceiveMaximum: &receive},
	}); err != nil {
		return false, fmt.Errorf("sign in: %w", err)
	}
	var subscriptions []paho.SubscribeOptions
	for _, t := range d.topics() {
		subscriptions = append(subscriptions, paho.SubscribeOptions{Topic: d.share() + t.Filter, QoS: 1})
	}
	if _, err := client.Subscribe(ctx, &paho.Subscribe{Subscriptions: subscriptions}); err != nil {
		return false, fmt.Errorf("subscribe: %w", err)
	}
	c.deps.Logger.Info("a broker is connected", "broker", d.ID)
	for {
		select {
		case <-ctx.Done():
			_ = client.Disconnect(&paho.Disconnect{})
			return true, context.Cause(ctx)
		case t := <-queue:
			if t.pending != nil {
				if err := t.pending.Wait(ctx); err != nil {
					return true, err
				}
			}
			if t.packet.QoS == 0 {
				continue
			}
			if err := client.Ack(t.packet); err != nil {
				return true, err
			}
		}
	}
}

// take queues a message for the log. An error says that it could not be taken
// now; what can never be read is taken as it is and leaves a trace.
func (c *Clients) take(ctx context.Context, d *BrokerDoc, p *paho.Publish) (eventlog.Pending, error) {
	for _, t := range d.topics() {
		name, channel, ok := t.match(p.Topic)
		if !ok {
			continue
		}
		id, err := item.Resolve(name)
		if err != nil {
			label, lerr := c.deps.Door.Label(ctx, twin.DeviceName(name))
			if lerr != nil && rapport.KindOf(lerr) != rapport.NotFound {
				return nil, lerr
			}
			if lerr != nil {
				c.deps.Logger.Warn("a message of a broker is about no item", "broker", d.ID, "topic", p.Topic)
				return nil, nil
			}
			id = label.Item
		}
		pending, err := c.deps.Door.Input(id, channel, p.Payload)
		if kind := rapport.KindOf(err); kind == rapport.Invalid || kind == rapport.TooLarge {
			return nil, nil // it is noted on the item
		}
		return pending, err
	}
	return nil, nil // of an earlier subscription
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
