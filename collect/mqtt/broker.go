// Package mqtt lets product items speak MQTT: as a broker of its own (3.1.1 and
// 5), and as a client of a broker the company already has.
//
// Guarantees: a message is acknowledged (PUBACK, PUBREC) only when it is durable
// in the event log, in the order in which the device sent; one that cannot be
// stored now is not acknowledged, so the device sends it again. A device reaches
// its own subtree d/{item}/# alone, whatever names and filters it gives itself,
// and nobody takes over another item's session. What is desired of an item and
// not reported yet, and commands that wait, are sent anew on every subscription,
// from the twin, not from sessions of the broker. Memory per device is bounded.
package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/twin"
)

// Door is where messages of items go. *item.Door is one.
type Door interface {
	Input(item string, channel item.Channel, payload []byte) (eventlog.Pending, error)
	Authenticate(ctx context.Context, username, token string) (item string, err error)
	Waiting(ctx context.Context, item string) (item.Pending, error)
	CommandSent(ctx context.Context, item, id string) error
	Connection(ctx context.Context, item string, connected bool) error
}

// Options say how to listen. Door, Logger and Listen are required.
type Options struct {
	Door   Door
	Logger *slog.Logger
	// Listen is the address, such as 127.0.0.1:1883.
	Listen string
	// TLS, if set, is used; with ClientAuth a verified certificate whose common
	// name is the item id signs a device in without a token.
	TLS *tls.Config
	// MaxClients bounds connections; default 100,000.
	MaxClients int64
}

// Broker is the embedded broker. Its methods are safe for concurrent use.
type Broker struct {
	o        Options
	listener net.Listener
	server   *broker.Server

	mu       sync.Mutex
	sessions map[string]*session    // by client id
	items    map[string]int         // sessions per item
	sending  map[packet]sentCommand // commands on their way
	noting   map[sentCommand]bool   // commands that arrived, which the log does not say yet
	// commanding are the items whose commands are being sent; true: look again.
	commanding map[string]bool
	connects   sync.WaitGroup
	ctx        context.Context
	cancel     context.CancelFunc
}

// packet names a message on its way to a client.
type packet struct {
	client string
	id     uint16
}

type sentCommand struct{ item, id string }

const (
	// window is how many acknowledgements of one device may wait for the log.
	window = 256
	// slowTime bounds how long a connection may take to say who it is.
	slowTime   = 10 * time.Second
	maxMessage = item.MaxPayload + 4096
)

// Open listens; nothing is accepted before Run. Kinds: Invalid.
func Open(o Options) (*Broker, error) {
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, rapport.WithHint(fmt.Errorf("listen for MQTT: %w", err), "choose another address with --mqtt, or off")
	}
	if o.MaxClients <= 0 {
		o.MaxClients = 100_000
	}
	caps := broker.NewDefaultServerCapabilities()
	caps.MaximumClients = o.MaxClients
	caps.MaximumPacketSize = maxMessage
	caps.MaximumSessionExpiryInterval = 3600
	caps.MaximumMessageExpiryInterval = 3600
	caps.MaximumClientWritesPending = 256
	caps.ReceiveMaximum = window
	caps.MaximumInflight = 256
	caps.TopicAliasMaximum = 16
	caps.SharedSubAvailable = 0
	b := &Broker{o: o, sessions: map[string]*session{}, items: map[string]int{}, sending: map[packet]sentCommand{}, noting: map[sentCommand]bool{}, commanding: map[string]bool{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.server = broker.New(&broker.Options{
		Capabilities: caps, InlineClient: true, ClientNetReadBufferSize: 1024, ClientNetWriteBufferSize: 1024, SysTopicResendInterval: 3600,
		Logger: slog.New(quiet{o.Logger.Handler()}),
	})
	if err := b.server.AddHook(&hook{b: b}, nil); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	b.listener = l
	var outer net.Listener = patient{l}
	if o.TLS != nil {
		outer = tls.NewListener(outer, o.TLS)
	}
	if err := b.server.AddListener(listeners.NewNet("mqtt", outer)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return b, nil
}

// patient gives each connection a moment to say who it is.
type patient struct{ net.Listener }

// Accept implements net.Listener.
func (p patient) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err == nil {
		err = c.SetDeadline(time.Now().Add(slowTime))
	}
	return c, err
}

// quiet keeps the broker's own chatter at debug: what an operator needs is told by us.
type quiet struct{ slog.Handler }

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	if !q.Enabled(ctx, r.Level) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.Handler.Enabled(ctx, slog.LevelDebug)
}

// Addr returns where the broker listens.
func (b *Broker) Addr() string { return b.listener.Addr().String() }

// Run serves until ctx ends.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.server.Serve(); err != nil {
		return err
	}
	<-ctx.Done()
	err := b.server.Close()
	b.mu.Lock()
	b.cancel() // nothing is begun any more
	b.mu.Unlock()
	b.connects.Wait()
	return err
}

// Close stops listening, also if Run was never called.
func (b *Broker) Close() error {
	b.cancel()
	if err := b.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Clients returns how many clients are connected.
func (b *Broker) Clients() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sessions)
}

// Changed sends an item that is connected what waits for it now. It does not block.
func (b *Broker) Changed(id string) {
	b.mu.Lock()
	connected := b.items[id] > 0
	b.mu.Unlock()
	if connected {
		b.later(func() {
			b.refresh(id)
			b.commands(id)
		})
	}
}

// Connected returns the items that are connected now, sorted.
func (b *Broker) Connected() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.items))
}

// Revoked disconnects an item's clients: they must sign in again.
func (b *Broker) Revoked(id string) {
	b.mu.Lock()
	var gone []*broker.Client
	for _, s := range b.sessions {
		if s.item == id {
			gone = append(gone, s.client)
		}
	}
	b.mu.Unlock()
	for _, c := range gone {
		_ = b.server.DisconnectClient(c, packets.ErrNotAuthorized)
	}
}

func topic(id, last string) string { return "d/" + id + "/" + last }

// refresh brings the retained message of what is desired up to date and sends
// it to whoever is subscribed.
func (b *Broker) refresh(id string) {
	p, err := b.o.Door.Waiting(b.ctx, id)
	if err != nil {
		return // it is read again at the next subscription
	}
	t := topic(id, "desired")
	if len(p.Delta) == 0 {
		told := len(b.server.Topics.Messages(t)) > 0
		if b.forget(t); told { // who was told of something is told that nothing is left of it
			err = b.server.Publish(t, []byte("{}"), false, 1)
		}
	} else {
		err = b.server.Publish(t, p.Delta.AppendJSON(nil), true, 1)
	}
	if err != nil {
		b.o.Logger.Warn("a desired state was not sent", "item", id, "error", err)
	}
}

// forget removes a retained message without telling subscribers.
func (b *Broker) forget(t string) {
	b.server.Topics.RetainMessage(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Retain: true}, TopicName: t})
}

// commands sends the commands that wait and are not on their way. One at a time
// sends those of an item: who asks meanwhile has it looked at once more.
func (b *Broker) commands(id string) {
	b.mu.Lock()
	_, busy := b.commanding[id]
	b.commanding[id] = busy
	b.mu.Unlock()
	for again := !busy; again; {
		b.sendCommands(id)
		b.mu.Lock()
		if again = b.commanding[id]; again {
			b.commanding[id] = false
		} else {
			delete(b.commanding, id)
		}
		b.mu.Unlock()
	}
}

func (b *Broker) sendCommands(id string) {
	// Looked at before the twin is: one that arrives meanwhile still waits in what is read.
	under := b.underway(id)
	p, err := b.o.Door.Waiting(b.ctx, id)
	if err != nil {
		return
	}
	t := topic(id, "command")
	if !b.listened(t) {
		return
	}
	for i := range p.Commands {
		c := &p.Commands[i]
		if under[c.ID] {
			continue
		}
		if err := b.server.Publish(t, CommandPayload(c), false, 1); err != nil {
			b.o.Logger.Warn("a command was not sent", "item", id, "error", err)
		}
	}
}

// underway returns the ids of an item's commands that are on their way to it,
// or have arrived without the log saying so yet.
func (b *Broker) underway(item string) map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := map[string]bool{}
	for _, c := range b.sending {
		if c.item == item {
			ids[c.id] = true
		}
	}
	for c := range b.noting {
		if c.item == item {
			ids[c.id] = true
		}
	}
	return ids
}

// CommandPayload is the message of a command: {id, name, args, expires, timeout}.
func CommandPayload(c *twin.Command) []byte {
	f := rapport.AppendField(nil, "id", rapport.StringValue(c.ID))
	f = rapport.AppendField(f, "name", rapport.StringValue(c.Name))
	f = rapport.AppendField(f, "args", rapport.ObjectValue(c.Args))
	f = rapport.AppendField(f, "expires", rapport.NumberValue(float64(c.Expires)))
	f = rapport.AppendField(f, "timeout", rapport.NumberValue(float64(c.Timeout)))
	return f.AppendJSON(nil)
}

// ParseTopic takes apart a topic a device publishes to. ok is false for any other.
func ParseTopic(t string) (id string, channel item.Channel, ok bool) {
	rest, ok := strings.CutPrefix(t, "d/")
	if !ok {
		return "", "", false
	}
	id, last, ok := strings.Cut(rest, "/")
	channel = item.Channel(last)
	return id, channel, ok && id != "" && (channel == item.Telemetry || channel == item.Events || channel == item.Reported)
}
