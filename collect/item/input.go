package item

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/twin"
)

// MaxPayload is the most bytes a device may send at once.
const MaxPayload = 64 << 10

// Channel is what a device speaks of.
type Channel string

// The channels of a device.
const (
	Telemetry Channel = "telemetry" // {at?, seq?, name: number|text|bool...}
	Events    Channel = "event"     // {event, at?, seq?, properties...} or {command, status, result?}
	Reported  Channel = "reported"  // {at?, seq?, ...merge patch}
)

// Input reads what a device sent and queues it. The device may be told that it
// arrived when the result's Wait returns nil. Kinds: Invalid (cannot be read;
// noted on the item), TooLarge, Unavailable.
func (d *Door) Input(item string, channel Channel, payload []byte) (eventlog.Pending, error) {
	e, err := d.read(item, channel, payload)
	if err != nil {
		kind := rapport.KindOf(err)
		if kind == rapport.Invalid || kind == rapport.TooLarge {
			// What cannot be read is not lost without a trace.
			now := d.now()
			p := rapport.AppendField(nil, "problem", rapport.StringValue(string(channel)+": "+err.Error()))
			name := rapport.Identifier{Kind: rapport.KindItem, Value: item}
			if _, perr := d.submit(twin.Fact(name, twin.EventRejected, random(), now, now, p)); perr != nil {
				return nil, perr
			}
		}
		return nil, err
	}
	return d.submit(e)
}

// Send is Input that waits until it is durable.
func (d *Door) Send(ctx context.Context, item string, channel Channel, payload []byte) error {
	p, err := d.Input(item, channel, payload)
	if err != nil {
		return err
	}
	return p.Wait(context.WithoutCancel(ctx))
}

func (d *Door) read(item string, channel Channel, payload []byte) (rapport.Event, error) {
	if len(payload) > MaxPayload {
		return rapport.Event{}, rapport.Errorf(rapport.TooLarge, "%d bytes, at most %d are taken", len(payload), MaxPayload)
	}
	all, err := segmentwire.Object(payload)
	if err != nil {
		return rapport.Event{}, err
	}
	now := d.now()
	at, named, err := moment(all, now)
	if err != nil {
		return rapport.Event{}, err
	}
	id := random()
	if named {
		// The device names its message by time or number: told twice it counts once.
		h := sha256.New()
		h.Write([]byte(item + "\x00" + string(channel) + "\x00"))
		h.Write(payload)
		id = hex.EncodeToString(h.Sum(nil)[:12])
	}
	var fields rapport.Fields
	for k, v := range all.All() {
		if s := string(k); s != "at" && s != "seq" {
			fields = rapport.AppendField(fields, s, v)
		}
	}
	name := twin.EventTelemetry
	switch channel {
	case Telemetry:
		if err := checkReadings(fields); err != nil {
			return rapport.Event{}, err
		}
	case Reported:
		name = twin.EventReported
	case Events:
		if name, fields, err = happened(fields); err != nil {
			return rapport.Event{}, err
		}
	default:
		return rapport.Event{}, rapport.WithHint(rapport.Errorf(rapport.Invalid, "there is no channel %q", channel), "publish to telemetry, event or reported")
	}
	e := twin.Fact(rapport.Identifier{Kind: rapport.KindItem, Value: item}, name, id, at, now, fields)
	e.History = now-at > historyAfter
	return e, nil
}

// historyAfter is the age from which what a device tells triggers nothing: it
// was away and sends what it kept.
const historyAfter = int64(6 * time.Hour / time.Millisecond)

// moment reads when something happened: a number of seconds or milliseconds
// since 1970, or RFC 3339. What lies in the future happens now.
func moment(f rapport.Fields, now int64) (at int64, named bool, err error) {
	_, named = f.Get("seq")
	v, ok := f.Get("at")
	if !ok || v.IsNull() {
		return now, named, nil
	}
	if x, ok := v.Number(); ok && x > 0 && x < 1e14 {
		if x < 1e11 {
			x *= 1000
		}
		return min(int64(math.Round(x)), now), true, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, v.Str()); err == nil {
		return min(rapport.Millis(t), now), true, nil
	}
	return 0, false, rapport.WithHint(rapport.Errorf(rapport.Invalid, "at is no time"), "write milliseconds since 1970, or 2026-01-15T12:00:00Z")
}

func checkReadings(f rapport.Fields) error {
	n := 0
	for k, v := range f.All() {
		n++
		if !twin.CheckReading(string(k), v) {
			return rapport.WithHint(rapport.Errorf(rapport.Invalid, "the reading %s is not one", strconv.Quote(clip(string(k)))),
				"names have 1 to %d bytes; values are numbers, texts of at most %d bytes, true or false", twin.MaxName, twin.MaxText)
		}
	}
	switch {
	case n == 0:
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, "there is no reading"), `send for example {"level": 0.42}`)
	case n > twin.MaxReadings:
		return rapport.Errorf(rapport.Invalid, "%d readings, at most %d", n, twin.MaxReadings)
	}
	return nil
}

// happened reads a moment, or the answer to a command.
func happened(f rapport.Fields) (name string, fields rapport.Fields, err error) {
	if c, ok := f.Get("command"); ok && c.Str() != "" {
		status, _ := f.Get("status")
		state := twin.CommandState(status.Str())
		switch state {
		case twin.Done, twin.Failed, twin.Refused:
		case "", "ok", "success", "succeeded":
			state = twin.Done
		case "error":
			state = twin.Failed
		default:
			return "", nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the status of a command is not %q", clip(string(state))), "answer done, failed or refused")
		}
		out := rapport.AppendField(nil, "id", c)
		out = rapport.AppendField(out, "state", rapport.StringValue(string(state)))
		if r, ok := f.Get("result"); ok {
			out = rapport.AppendField(out, "result", r)
		}
		return twin.EventResult, out, nil
	}
	v, _ := f.Get("event")
	if v.Str() == "" || len(v.Str()) > 128 {
		return "", nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "event is missing or longer than 128 bytes"), `send for example {"event": "Product Opened"}`)
	}
	name = momentName(v.Str())
	if reserved(name) {
		return "", nil, rapport.Errorf(rapport.Invalid, "a device may not say %q", name)
	}
	for k, v := range f.All() {
		switch string(k) {
		case "event":
		case "properties":
			o, _ := v.Object()
			fields = append(fields, o...)
		default:
			fields = rapport.AppendField(fields, string(k), v)
		}
	}
	return name, fields, nil
}

// reserved reports whether only the server may record a fact of that name.
func reserved(name string) bool {
	switch name {
	case twin.ProductTapped, twin.ProductClaimed, twin.ProductReleased, twin.ProductRecalled, twin.ProductRecallLifted, twin.ProductRecallAcknowledged, rapport.SystemDecision, rapport.SystemScheduled, rapport.SystemDelivery, rapport.SystemErased:
		return true
	}
	return strings.HasPrefix(name, "Item ") || strings.HasPrefix(name, "Tag ") || strings.HasPrefix(name, "Name ") || strings.HasPrefix(name, "Segment ") || strings.HasPrefix(name, "Event ")
}

// momentName gives the short words of small devices their full names.
func momentName(s string) string {
	switch strings.ToLower(s) {
	case "opened", "open":
		return twin.ProductOpened
	case "closed", "close":
		return twin.ProductClosed
	case "used", "use", "cycle":
		return twin.ProductUsed
	case "low":
		return twin.ProductRunningLow
	case "refilled", "refill":
		return twin.ProductRefilled
	case "fault", "error":
		return twin.ProductFault
	case "service":
		return twin.ProductNeedsService
	case "serviced":
		return twin.ProductServiced
	}
	return strings.Clone(s)
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}

// Moment records something that happened to an item, known to the server itself.
func (d *Door) Moment(ctx context.Context, item, name, messageID string, properties rapport.Fields) error {
	now := d.now()
	if messageID == "" {
		messageID = random()
	}
	return d.append(ctx, twin.Fact(rapport.Identifier{Kind: rapport.KindItem, Value: item}, name, messageID, now, now, properties))
}

// Connection records that a device came or went.
func (d *Door) Connection(ctx context.Context, item string, connected bool) error {
	return d.Moment(ctx, item, twin.EventConnection, "", rapport.AppendField(nil, "connected", rapport.BoolValue(connected)))
}
