package segmentwire

import (
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Parse reads one body, of one event or of a batch, into b, which must be
// empty. It returns Invalid if the body is not JSON or not of this API, and
// TooLarge if it holds too many events.
func Parse(body []byte, o *Options, b *Batch) error {
	p := parser{arena: b.arena, limits: o.Limits.withDefaults()}
	p.b, b.body = body, body
	if need := len(body) + len(body)/4; cap(p.arena) < need {
		p.arena = make([]byte, 0, need)
	}
	if len(body) >= 3 && string(body[:3]) == "\xef\xbb\xbf" {
		p.i = 3
	}
	if p.peek() != '{' {
		p.broken("an object")
		return p.err()
	}
	top := envelope{batch: b}
	if p.event(&top.event, &top.draft, &top) {
		if p.peek(); p.i < len(body) {
			p.broken("nothing after the object")
		}
	}
	b.arena = p.arena
	if p.fail != "" {
		return p.err()
	}
	if top.crowded {
		return rapport.WithHint(rapport.Errorf(rapport.TooLarge, "the body holds more than %d events", p.limits.Events), "send smaller batches")
	}
	b.SentAt, b.Context = top.draft.sent, top.event.Context
	switch {
	case top.items:
	case top.metrics:
		b.Metrics = true
		return nil
	case o.Type == 0 && top.draft.typed == "":
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, `the body has neither "batch" nor "type"`),
			`send {"batch": [...]}, or one event with its type`)
	default:
		b.Events = append(b.Events, top.event)
		b.drafts = append(b.drafts, top.draft)
		b.SentAt, b.Context = 0, nil
	}
	if len(b.Context) > p.limits.EventBytes || len(b.Context)*len(b.Events) > maxShared+len(body) {
		return rapport.WithHint(rapport.Errorf(rapport.TooLarge, "a context of %d bytes for %d events is too much", len(b.Context), len(b.Events)),
			"send smaller batches, or less context in the envelope")
	}
	f := finisher{parser: &p, o: o, b: b}
	f.all()
	b.arena = p.arena
	return nil
}

// maxShared bounds what an envelope's context may grow to when every event of
// the batch gets its copy.
const maxShared = 16 << 20

// envelope is the outermost object: the envelope of a batch, or an event.
type envelope struct {
	event   rapport.Event
	draft   draft
	batch   *Batch
	items   bool // it has a batch
	metrics bool // it has a library's metrics
	crowded bool // too many events
}

// event reads the object that is next. top is nil inside a batch.
func (p *parser) event(e *rapport.Event, d *draft, top *envelope) bool {
	d.start, p.values, p.problem = p.i, 0, Problem{}
	for more := p.open('}'); more; more = p.next('}') {
		raw, plain, ok := p.key()
		if !ok {
			return false
		}
		if !plain {
			raw = unescape(nil, raw)
		}
		switch string(raw) {
		case "type":
			d.typed, ok = p.scalar("type")
			e.Type = callType(d.typed)
		case "event":
			e.Name, ok = p.scalar("event")
		case "name":
			d.name, ok = p.scalar("name")
		case "category":
			d.category, ok = p.scalar("category")
		case "messageId":
			e.MessageID, ok = p.scalar("messageId")
		case "userId":
			e.UserID, ok = p.scalar("userId")
		case "anonymousId":
			e.AnonymousID, ok = p.scalar("anonymousId")
		case "previousId":
			e.PreviousID, ok = p.scalar("previousId")
		case "groupId":
			e.GroupID, ok = p.scalar("groupId")
		case "timestamp":
			d.timestamp, ok = p.time("timestamp")
		case "originalTimestamp":
			d.original, ok = p.time("originalTimestamp")
		case "sentAt":
			// Only a help in correcting the clock: one that cannot be read is unsaid.
			was := p.problem
			d.sent, ok = p.time("sentAt")
			p.problem = was
		case "properties":
			e.Properties, ok = p.fields("properties")
		case "traits":
			e.Traits, ok = p.fields("traits")
		case "context":
			ok = p.context(e, d)
		case "writeKey":
			var s string
			if s, ok = p.scalar("writeKey"); top != nil {
				top.batch.WriteKey = s
			}
		case "batch":
			if top == nil || top.items {
				ok = p.skip(2)
				break
			}
			was, values := p.problem, p.values
			ok = p.items(top)
			p.problem, p.values = was, values
		case "series":
			if top != nil {
				top.metrics = true
			}
			ok = p.skip(2)
		default:
			ok = p.skip(2)
		}
		if !ok {
			return false
		}
	}
	d.end, d.problem = p.i, p.problem
	return p.fail == ""
}

// items reads the events of a batch.
func (p *parser) items(top *envelope) bool {
	if p.peek() != '[' {
		return p.broken(`"batch" to be an array`)
	}
	top.items = true
	b := top.batch
	for more := p.open(']'); more; more = p.next(']') {
		if len(b.Events) >= p.limits.Events {
			top.crowded = true
			if !p.skip(2) {
				return false
			}
			continue
		}
		b.Events = append(b.Events, rapport.Event{})
		b.drafts = append(b.drafts, draft{})
		d := &b.drafts[len(b.drafts)-1]
		if p.peek() != '{' {
			d.start = p.i
			if !p.skip(2) {
				return false
			}
			d.end = p.i
			d.problem = Problem{Code: CodeShape, Why: "is not an object", Fix: "send every event as a JSON object"}
			continue
		}
		mark := len(p.arena)
		if !p.event(&b.Events[len(b.Events)-1], d, nil) {
			return false
		}
		if d.end-d.start > p.limits.EventBytes {
			tooLarge(d, p.limits.EventBytes)
			e := &b.Events[len(b.Events)-1]
			*e = rapport.Event{Type: e.Type, Name: strings.Clone(e.Name), MessageID: strings.Clone(e.MessageID)}
			p.arena = p.arena[:mark]
		}
	}
	return p.fail == ""
}

func tooLarge(d *draft, limit int) {
	d.problem = Problem{Code: CodeSize, Why: "has " + strconv.Itoa(d.end-d.start) + " bytes, the limit is " + strconv.Itoa(limit), Fix: "send less detail, or a reference to it"}
}

// context reads the context and remembers the traits in it.
func (p *parser) context(e *rapport.Event, d *draft) bool {
	if p.peek() != '{' {
		_, ok := p.fields("context")
		return ok
	}
	start := len(p.arena)
	for more := p.open('}'); more; more = p.next('}') {
		raw, plain, ok := p.key()
		if !ok {
			return false
		}
		p.text(raw, plain)
		at := len(p.arena)
		if !p.value(2) {
			return false
		}
		if p.arena[at] == byte(rapport.KindObject) && string(raw) == "traits" {
			v, _ := rapport.DecodeValue(p.arena[at:])
			d.traits, _ = v.Object()
		}
	}
	e.Context = rapport.Fields(p.arena[start:len(p.arena):len(p.arena)])
	return p.fail == ""
}

// scalar reads a short text. A number counts as its text, null as none.
func (p *parser) scalar(path string) (string, bool) {
	var s string
	switch c := p.peek(); {
	case c == '"':
		raw, plain, ok := p.quoted()
		if !ok {
			return "", false
		}
		if !plain {
			start := len(p.arena)
			p.arena = unescape(p.arena, raw)
			raw = p.arena[start:]
		}
		s = alias(raw)
	case c == 'n':
		return "", p.literal("null")
	case c == '-' || c-'0' <= 9:
		raw, _, _, ok := p.number()
		if !ok {
			return "", false
		}
		s = alias(raw)
	default:
		p.note(CodeShape, path, "is not text", "send "+path+" as a string")
		return "", p.skip(2)
	}
	if len(s) > p.limits.TextBytes {
		p.note(CodeSize, path, "is longer than "+strconv.Itoa(p.limits.TextBytes)+" bytes", "send a shorter "+path)
	}
	return s, true
}

// time reads a time; 0 is unsaid.
func (p *parser) time(path string) (int64, bool) {
	var ms int64
	known := false
	switch c := p.peek(); {
	case c == '"':
		raw, _, ok := p.quoted()
		if !ok {
			return 0, false
		}
		if ms, known = ParseTime(raw); !known && len(raw) > 0 {
			p.note(CodeTime, path, "is "+strconv.Quote(clip(raw))+", which is not a time", "use RFC 3339, such as 2026-03-01T12:00:00.000Z, or milliseconds since 1970")
		}
	case c == 'n':
		return 0, p.literal("null")
	case c == '-' || c-'0' <= 9:
		raw, _, _, ok := p.number()
		if !ok {
			return 0, false
		}
		ms, _ = parseEpoch(raw)
	default:
		p.note(CodeShape, path, "is not a time", "use RFC 3339, such as 2026-03-01T12:00:00.000Z")
		return 0, p.skip(2)
	}
	return max(ms, 0), true
}

// callType returns the type a client may send, or 0.
func callType(s string) rapport.EventType {
	switch s {
	case "track":
		return rapport.TypeTrack
	case "identify":
		return rapport.TypeIdentify
	case "page":
		return rapport.TypePage
	case "screen":
		return rapport.TypeScreen
	case "group":
		return rapport.TypeGroup
	case "alias":
		return rapport.TypeAlias
	}
	return 0
}
