package mqtt

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/eventlog"
)

// session is one connected client of an item. A goroutine of its own runs only
// while acknowledgements are open.
type session struct {
	item   string
	client *broker.Client

	mu      sync.Mutex
	room    sync.Cond
	open    []ack // messages whose outcome is not known yet, in the order they came
	running bool
	ended   bool
}

func newSession(id string, cl *broker.Client) *session {
	s := &session{item: id, client: cl}
	s.room.L = &s.mu
	return s
}

// ack is one message to be acknowledged when it is durable.
type ack struct {
	pending eventlog.Pending
	id      uint16
	code    byte
	pass    *passed // for whoever listens to it; usually nil
}

type passed struct {
	topic   string
	payload []byte
}

// end lets go of whoever waits.
func (s *session) end() {
	s.mu.Lock()
	s.ended = true
	s.room.Broadcast()
	s.mu.Unlock()
}

// push queues an acknowledgement; it waits while too many are open. start says
// that the goroutine is to be started; ok is false when the session has ended.
func (s *session) push(a ack) (start, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.open) >= window && !s.ended {
		s.room.Wait()
	}
	if s.ended {
		return false, false
	}
	s.open = append(s.open, a)
	start = !s.running
	s.running = true
	return start, true
}

// next returns the acknowledgement that is due; ok is false when there is none.
func (s *session) next() (a ack, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) == 0 || s.ended {
		s.running, s.open = false, nil
		return a, false
	}
	return s.open[0], true
}

// pop removes the one that is done.
func (s *session) pop() {
	s.mu.Lock()
	if len(s.open) > 0 {
		s.open = s.open[1:]
	}
	s.room.Broadcast()
	s.mu.Unlock()
}

// hook is what the broker asks us.
type hook struct {
	broker.HookBase
	b *Broker
}

// ID implements broker.Hook.
func (h *hook) ID() string { return "rapport" }

// Provides implements broker.Hook.
func (h *hook) Provides(x byte) bool {
	return bytes.IndexByte([]byte{
		broker.OnConnectAuthenticate, broker.OnACLCheck, broker.OnSessionEstablished, broker.OnDisconnect, broker.OnPublish,
		broker.OnSubscribe, broker.OnSubscribed, broker.OnWill, broker.OnQosPublish, broker.OnQosComplete, broker.OnPacketSent,
	}, x) >= 0
}

// OnConnectAuthenticate implements broker.Hook: a device signs in with item id
// or name and token, or with a certificate.
func (h *hook) OnConnectAuthenticate(cl *broker.Client, pk packets.Packet) bool {
	ctx, cancel := context.WithTimeout(h.b.ctx, slowTime)
	defer cancel()
	id, err := h.certified(cl)
	if id == "" && err == nil {
		id, err = h.b.o.Door.Authenticate(ctx, string(pk.Connect.Username), string(pk.Connect.Password))
	}
	if err != nil {
		return false
	}
	if pk.Connect.WillFlag && !mine(id, pk.Connect.WillTopic, true) {
		return false
	}
	// Sessions are found by client id: with the item's name in it, nobody takes
	// over another's.
	cl.ID = id + "|" + cl.ID
	s := newSession(id, cl)
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	if h.b.ctx.Err() != nil {
		return false
	}
	if old := h.b.sessions[cl.ID]; old != nil { // it is taken over
		old.end()
		h.b.items[id]--
	}
	h.b.sessions[cl.ID] = s
	h.b.items[id]++
	return true
}

// certified returns the item a verified certificate names.
func (h *hook) certified(cl *broker.Client) (string, error) {
	c, ok := cl.Net.Conn.(*tls.Conn)
	if !ok {
		return "", nil
	}
	chains := c.ConnectionState().VerifiedChains
	if len(chains) == 0 {
		return "", nil
	}
	return item.Resolve(chains[0][0].Subject.CommonName)
}

// OnACLCheck implements broker.Hook.
func (h *hook) OnACLCheck(cl *broker.Client, topic string, write bool) bool {
	h.b.mu.Lock()
	s := h.b.sessions[cl.ID]
	h.b.mu.Unlock()
	return s != nil && mine(s.item, topic, write)
}

// mine reports whether a topic, or every topic of a filter, is of an item's own subtree.
func mine(id, topic string, write bool) bool {
	rest, ok := strings.CutPrefix(topic, "d/"+id+"/")
	if !ok {
		return false
	}
	if write {
		_, _, ok := ParseTopic(topic)
		return ok
	}
	return rest != ""
}

// OnSessionEstablished implements broker.Hook.
func (h *hook) OnSessionEstablished(cl *broker.Client, _ packets.Packet) {
	h.b.mu.Lock()
	s := h.b.sessions[cl.ID]
	h.b.mu.Unlock()
	if s == nil {
		return
	}
	if err := h.b.o.Door.Connection(h.b.ctx, s.item, true); err != nil {
		h.b.o.Logger.Warn("a connection was not recorded", "item", s.item, "error", err)
	}
	h.b.Changed(s.item)
}

// OnDisconnect implements broker.Hook.
func (h *hook) OnDisconnect(cl *broker.Client, _ error, _ bool) {
	h.b.mu.Lock()
	s := h.b.sessions[cl.ID]
	if s == nil || s.client != cl {
		h.b.mu.Unlock()
		return
	}
	delete(h.b.sessions, cl.ID)
	for p := range h.b.sending {
		if p.client == cl.ID {
			delete(h.b.sending, p)
		}
	}
	h.b.items[s.item]--
	last := h.b.items[s.item] == 0
	if last {
		delete(h.b.items, s.item)
	}
	h.b.mu.Unlock()
	s.end()
	if last {
		h.b.forget(topic(s.item, "desired"))
		ctx, cancel := context.WithTimeout(context.WithoutCancel(h.b.ctx), 5*time.Second)
		defer cancel()
		if err := h.b.o.Door.Connection(ctx, s.item, false); err != nil && !errors.Is(err, context.Canceled) {
			h.b.o.Logger.Debug("the end of a connection was not recorded", "item", s.item, "error", err)
		}
	}
}

// OnSubscribe implements broker.Hook: the retained message is made before the
// broker looks for it.
func (h *hook) OnSubscribe(cl *broker.Client, pk packets.Packet) packets.Packet {
	h.b.mu.Lock()
	s := h.b.sessions[cl.ID]
	h.b.mu.Unlock()
	if s != nil {
		h.b.retain(s.item)
	}
	return pk
}

// retain brings the retained message of what is desired up to date without
// sending it to those subscribed already.
func (b *Broker) retain(id string) {
	p, err := b.o.Door.Waiting(b.ctx, id)
	if err != nil {
		return
	}
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Retain: true, Qos: 1}, TopicName: topic(id, "desired"), Created: time.Now().Unix(),
	}
	if len(p.Delta) > 0 {
		pk.Payload = p.Delta.AppendJSON(nil)
	}
	b.server.Topics.RetainMessage(pk)
}

// OnSubscribed implements broker.Hook.
func (h *hook) OnSubscribed(cl *broker.Client, _ packets.Packet, _ []byte) {
	h.b.mu.Lock()
	s := h.b.sessions[cl.ID]
	h.b.mu.Unlock()
	if s != nil {
		h.b.later(func() { h.b.commands(s.item) })
	}
}

// OnPublish implements broker.Hook. At most once is queued and forgotten; at
// least once is acknowledged by our own goroutine when it is durable, so that a
// device may send on meanwhile; exactly once waits.
func (h *hook) OnPublish(cl *broker.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil
	}
	h.b.mu.Lock()
	s := h.b.sessions[cl.ID]
	h.b.mu.Unlock()
	id, channel, ok := ParseTopic(pk.TopicName)
	if s == nil || !ok || id != s.item {
		return pk, packets.ErrNotAuthorized
	}
	pending, err := h.b.o.Door.Input(id, channel, pk.Payload)
	switch pk.FixedHeader.Qos {
	case 0:
		return pk, h.unreadable(err)
	case 1:
		code := codeOf(err)
		if code == packets.ErrServerBusy {
			// Not stored and not told: the device sends it again after it has reconnected.
			_ = h.b.server.DisconnectClient(cl, code)
			return pk, packets.ErrRejectPacket
		}
		a := ack{pending: pending, id: pk.PacketID, code: code.Code}
		if err == nil && (pk.FixedHeader.Retain || h.b.listened(pk.TopicName)) {
			a.pass = &passed{pk.TopicName, pk.Payload}
		}
		if start, ok := s.push(a); ok && start && !h.b.later(func() { h.b.acknowledge(s) }) {
			s.end()
		}
		return pk, packets.ErrRejectPacket // we acknowledge it, not the broker
	}
	if err == nil {
		err = pending.Wait(h.b.ctx)
	}
	if code := codeOf(err); code == packets.ErrServerBusy {
		_ = h.b.server.DisconnectClient(cl, packets.ErrServerBusy)
		return pk, packets.ErrRejectPacket
	}
	return pk, h.unreadable(err)
}

// unreadable lets a message that cannot be read be acknowledged without being
// passed on: sent again it would not become better, and it is noted on the item.
func (h *hook) unreadable(err error) error {
	if err == nil {
		return nil
	}
	return packets.CodeSuccessIgnore
}

func codeOf(err error) packets.Code {
	switch {
	case err == nil:
		return packets.CodeSuccess
	case rapport.KindOf(err) == rapport.Invalid || rapport.KindOf(err) == rapport.TooLarge:
		return packets.ErrPayloadFormatInvalid
	}
	return packets.ErrServerBusy
}

// acknowledge tells a device what is durable, in order, until nothing is open.
func (b *Broker) acknowledge(s *session) {
	for {
		a, ok := s.next()
		if !ok {
			return
		}
		if a.pending != nil {
			if err := a.pending.Wait(b.ctx); err != nil {
				s.end()
				_ = b.server.DisconnectClient(s.client, packets.ErrServerBusy)
				return
			}
		}
		pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: a.id}
		if s.client.Properties.ProtocolVersion == 5 {
			pk.ReasonCode = a.code
		}
		if err := s.client.WritePacket(pk); err == nil && a.pass != nil {
			_ = b.server.Publish(a.pass.topic, a.pass.payload, false, 1)
		}
		s.pop()
	}
}

// later runs fn on a goroutine that Run waits for; once it stops, not at all.
func (b *Broker) later(fn func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return false
	}
	b.connects.Go(fn)
	return true
}

func (b *Broker) listened(t string) bool {
	subs := b.server.Topics.Subscribers(t)
	return len(subs.Subscriptions) > 0
}

// OnWill implements broker.Hook: a device's last will is an input like others.
func (h *hook) OnWill(cl *broker.Client, will broker.Will) (broker.Will, error) {
	h.b.mu.Lock()
	s := h.b.sessions[cl.ID]
	h.b.mu.Unlock()
	id, channel, ok := ParseTopic(will.TopicName)
	if s == nil || !ok || id != s.item {
		return will, nil
	}
	will.Retain = false
	if pending, err := h.b.o.Door.Input(id, channel, will.Payload); err == nil {
		if err := pending.Wait(h.b.ctx); err != nil {
			h.b.o.Logger.Warn("a last will was not stored", "item", id, "error", err)
		}
	}
	return will, nil
}

// OnQosPublish implements broker.Hook: it remembers which message is which command.
func (h *hook) OnQosPublish(cl *broker.Client, pk packets.Packet, _ int64, _ int) {
	if c, ok := commandOf(&pk); ok {
		h.b.mu.Lock()
		h.b.sending[packet{cl.ID, pk.PacketID}] = c
		h.b.mu.Unlock()
	}
}

// OnQosComplete implements broker.Hook: the device has the command.
func (h *hook) OnQosComplete(cl *broker.Client, pk packets.Packet) {
	h.b.mu.Lock()
	c, ok := h.b.sending[packet{cl.ID, pk.PacketID}]
	delete(h.b.sending, packet{cl.ID, pk.PacketID})
	if ok {
		h.b.noting[c] = true // in the same moment: it is not sent again in between
	}
	h.b.mu.Unlock()
	if ok {
		h.b.sent(c)
	}
}

// OnPacketSent implements broker.Hook: at most once there is no other sign.
func (h *hook) OnPacketSent(_ *broker.Client, pk packets.Packet, _ []byte) {
	if pk.FixedHeader.Qos != 0 {
		return
	}
	if c, ok := commandOf(&pk); ok {
		h.b.mu.Lock()
		h.b.noting[c] = true
		h.b.mu.Unlock()
		h.b.sent(c)
	}
}

// sent writes down that a command arrived. Until that is durable it is noted,
// so that nobody takes it for one that waits.
func (b *Broker) sent(c sentCommand) {
	b.later(func() {
		defer func() {
			b.mu.Lock()
			delete(b.noting, c)
			b.mu.Unlock()
		}()
		if err := b.o.Door.CommandSent(b.ctx, c.item, c.id); err != nil {
			b.o.Logger.Warn("the delivery of a command was not recorded", "item", c.item, "error", err)
		}
	})
}

func commandOf(pk *packets.Packet) (sentCommand, bool) {
	if pk.FixedHeader.Type != packets.Publish {
		return sentCommand{}, false
	}
	rest, ok := strings.CutPrefix(pk.TopicName, "d/")
	id, last, _ := strings.Cut(rest, "/")
	if !ok || last != "command" {
		return sentCommand{}, false
	}
	var c struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(pk.Payload, &c) != nil || c.ID == "" {
		return sentCommand{}, false
	}
	return sentCommand{id, c.ID}, true
}
