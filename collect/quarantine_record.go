package collect

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/eventlog"
)

// Kinds of records in the quarantine topic. Their numbers are part of the log format.
const (
	kindHeld    uint8 = iota + 1 // an event that was kept out: a version, then Fields
	kindSettled                  // events that left: an outcome, then offsets as uvarints
)

// Outcomes of a settled event.
const (
	settledEntered = 1
	settledDeleted = 2
)

const heldCodec = 1

// held is a held event as it stands in the log.
type held struct {
	Held
	raw     []byte
	call    rapport.EventType // the type its address named, or 0
	sentAt  int64
	context rapport.Fields
	history bool
}

// append appends the Data of a kindHeld record.
func (h *held) append(b []byte) []byte {
	f := rapport.Fields(append(b, heldCodec))
	for _, s := range [...]struct{ key, value string }{
		{"source", h.Source}, {"event", h.Event}, {"messageId", h.MessageID}, {"schema", h.Schema},
	} {
		if s.value != "" {
			f = rapport.AppendField(f, s.key, rapport.StringValue(s.value))
		}
	}
	for _, n := range [...]struct {
		key   string
		value int64
	}{{"type", int64(h.Type)}, {"call", int64(h.call)}, {"receivedAt", h.ReceivedAt}, {"sentAt", h.sentAt}, {"bytes", int64(h.Bytes)}} {
		if n.value != 0 {
			f = rapport.AppendField(f, n.key, rapport.NumberValue(float64(n.value)))
		}
	}
	for _, t := range [...]struct {
		key   string
		value bool
	}{{"truncated", h.Truncated}, {"history", h.history}} {
		if t.value {
			f = rapport.AppendField(f, t.key, rapport.BoolValue(true))
		}
	}
	if len(h.context) > 0 {
		f = rapport.AppendField(f, "context", rapport.ObjectValue(h.context))
	}
	var problems []byte
	for _, p := range h.Problems {
		var one rapport.Fields
		for _, s := range [...]struct{ key, value string }{{"code", p.Code}, {"path", p.Path}, {"why", p.Why}, {"fix", p.Fix}} {
			one = rapport.AppendField(one, s.key, rapport.StringValue(s.value))
		}
		problems = rapport.AppendValue(problems, rapport.ObjectValue(one))
	}
	f = rapport.AppendField(f, "problems", rapport.ArrayValue(problems))
	return rapport.AppendField(f, "raw", rapport.StringValue(string(h.raw)))
}

// decodeHeld reads what append wrote; the result shares no memory with data.
func decodeHeld(data []byte) (held, error) {
	var h held
	if len(data) == 0 || data[0] != heldCodec {
		return h, errHeld
	}
	f := rapport.Fields(bytes.Clone(data[1:]))
	if !f.Valid(64) {
		return h, errHeld
	}
	for k, v := range f.All() {
		number, _ := v.Number()
		text, _ := v.Text()
		switch string(k) {
		case "source":
			h.Source = string(text)
		case "event":
			h.Event = string(text)
		case "messageId":
			h.MessageID = string(text)
		case "schema":
			h.Schema = string(text)
		case "type":
			h.Type = rapport.EventType(number)
		case "call":
			h.call = rapport.EventType(number)
		case "receivedAt":
			h.ReceivedAt = int64(number)
		case "sentAt":
			h.sentAt = int64(number)
		case "bytes":
			h.Bytes = int(number)
		case "truncated":
			h.Truncated = true
		case "history":
			h.history = true
		case "context":
			h.context, _ = v.Object()
		case "problems":
			for x := range v.Elements() {
				h.Problems = append(h.Problems, decodeProblem(x))
			}
		case "raw":
			h.raw = text
		}
	}
	if h.Source == "" || len(h.Problems) == 0 {
		return h, errHeld
	}
	return h, nil
}

func decodeProblem(v rapport.Value) (p segmentwire.Problem) {
	f, _ := v.Object()
	for k, v := range f.All() {
		switch string(k) {
		case "code":
			p.Code = v.Str()
		case "path":
			p.Path = v.Str()
		case "why":
			p.Why = v.Str()
		case "fix":
			p.Fix = v.Str()
		}
	}
	return p
}

// index returns the part kept in memory.
func (h *held) index() Held {
	out := h.Held
	out.Event = strings.Clone(clip(out.Event))
	p := out.Problems[0]
	p.Why, p.Path = clip(p.Why), clip(p.Path)
	out.Problems = []segmentwire.Problem{p}
	return out
}

// refusal is the error for an event that still may not enter.
func (h *held) refusal() error {
	var f rapport.Faults
	for _, p := range h.Problems {
		f = append(f, rapport.Fault{Path: p.Path, Message: p.Why, Hint: p.Fix})
	}
	return rapport.WithHint(&rapport.Error{Kind: rapport.Invalid, Err: f}, "%s", h.Problems[0].Fix)
}

func settledRecord(outcome byte, offsets ...int64) eventlog.Record {
	b := []byte{outcome}
	for _, o := range offsets {
		b = binary.AppendUvarint(b, uint64(o))
	}
	return eventlog.Record{Topic: eventlog.Quarantine, Kind: kindSettled, Data: b}
}

func decodeSettled(b []byte) []int64 {
	if len(b) == 0 {
		return nil
	}
	var offsets []int64
	for b = b[1:]; len(b) > 0; {
		o, n := binary.Uvarint(b)
		if n <= 0 {
			return offsets
		}
		offsets = append(offsets, int64(o))
		b = b[n:]
	}
	return offsets
}
