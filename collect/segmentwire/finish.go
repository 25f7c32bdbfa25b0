package segmentwire

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/rapport-engine/rapport"
)

// finisher completes the drafts once the whole body is read, because an
// envelope's sentAt and context may stand behind its events.
type finisher struct {
	*parser
	o *Options
	b *Batch
}

func (f *finisher) all() {
	kept := 0
	for i := range f.b.Events {
		e, d := &f.b.Events[i], &f.b.drafts[i]
		if d.problem.Code == "" && d.end-d.start > f.limits.EventBytes {
			tooLarge(d, f.limits.EventBytes)
		}
		if d.problem.Code == "" {
			f.problem = Problem{}
			f.event(e, d, i)
			d.problem = f.problem
		}
		if d.problem.Code != "" {
			typ := e.Type
			if typ == 0 {
				typ = f.o.Type
			}
			f.b.Rejects = append(f.b.Rejects, Reject{
				Raw: f.scanner.b[d.start:d.end:d.end], Index: i, Type: typ, Name: e.Name, MessageID: e.MessageID, Problem: d.problem,
			})
			continue
		}
		if kept != i {
			f.b.Events[kept], f.b.drafts[kept] = *e, *d
		}
		kept++
	}
	clear(f.b.Events[kept:])
	f.b.Events = f.b.Events[:kept]
	f.ahead()
}

// ahead sets right what is dated after its receipt, by a clock that runs ahead:
// nothing happens before its time. The latest happened when it was received, those
// before it a millisecond earlier each, so that they stay in their order.
func (f *finisher) ahead() {
	received := f.o.ReceivedAt
	var dates []int64
	for i := range f.b.Events {
		if at := f.b.Events[i].Timestamp; at > received {
			dates = append(dates, at)
		}
	}
	if len(dates) == 0 {
		return
	}
	slices.Sort(dates)
	dates = slices.Compact(dates)
	for i := range f.b.Events {
		if e := &f.b.Events[i]; e.Timestamp > received {
			at, _ := slices.BinarySearch(dates, e.Timestamp)
			e.Timestamp = max(received-int64(len(dates)-1-at), 0)
		}
	}
}

func (f *finisher) event(e *rapport.Event, d *draft, index int) {
	o := f.o
	if o.Type != 0 {
		e.Type = o.Type // the address decides
	}
	f.envelope(e, d)
	f.times(e, d)
	f.shape(e, d)
	if f.problem.Code != "" {
		return
	}
	f.identifiers(e, d)
	if len(e.Identifiers) == 0 {
		f.note(CodeIdentifier, "", "has neither userId nor anonymousId", "send the anonymousId of the device, or the userId of the person")
		return
	}
	if e.MessageID == "" {
		if e.MessageID = o.Defaults.MessageID; e.MessageID == "" {
			e.MessageID = MintMessageID(f.scanner.b[d.start:d.end], o.ReceivedAt, index)
		}
	}
}

// envelope adds what the body says once for all.
func (f *finisher) envelope(e *rapport.Event, d *draft) {
	if d.sent == 0 {
		if d.sent = f.b.SentAt; d.sent == 0 {
			d.sent = f.o.Defaults.SentAt
		}
	}
	for _, shared := range [...]rapport.Fields{f.b.Context, f.o.Defaults.Context} {
		if len(shared) == 0 {
			continue
		}
		e.Context = f.merge(e.Context, shared)
		if d.traits == nil {
			if v, ok := shared.Get("traits"); ok {
				d.traits, _ = v.Object()
			}
		}
	}
}

// merge returns own with the members of shared it does not have itself, in
// time linear in the sum of both.
func (f *finisher) merge(own, shared rapport.Fields) rapport.Fields {
	switch {
	case len(own) == 0:
		return shared
	case len(shared) == 0:
		return own
	}
	has := func(key []byte) bool { _, ok := own.Get(alias(key)); return ok }
	if len(own) > 2048 {
		keys := make(map[string]bool)
		for k := range own.All() {
			keys[alias(k)] = true
		}
		has = func(key []byte) bool { return keys[alias(key)] }
	}
	start := len(f.arena)
	f.arena = append(f.arena, own...)
	rest := []byte(shared)
	for k := range shared.All() {
		n := memberLength(rest)
		if !has(k) {
			f.arena = append(f.arena, rest[:n]...)
		}
		rest = rest[n:]
	}
	return rapport.Fields(f.arena[start:len(f.arena):len(f.arena)])
}

// memberLength returns the length of the first member of well-formed Fields.
func memberLength(b []byte) int {
	l, n := binary.Uvarint(b)
	at := n + int(l)
	_, vn := rapport.DecodeValue(b[at:])
	return at + vn
}

func (f *finisher) times(e *rapport.Event, d *draft) {
	o := f.o
	e.ReceivedAt, e.SentAt = o.ReceivedAt, d.sent
	e.Timestamp, e.OriginalTimestamp = correct(o.ReceivedAt, d.sent, d.original, d.timestamp)
	now, after := o.Now, o.HistoryAfter
	if now == 0 {
		now = o.ReceivedAt
	}
	if after == 0 {
		after = time.Hour.Milliseconds()
	}
	e.History = o.History || now-e.Timestamp > after
}

// shape checks and completes what each type of call needs.
func (f *finisher) shape(e *rapport.Event, d *draft) {
	switch e.Type {
	case rapport.TypeTrack:
		if e.Name == "" {
			f.note(CodeName, "event", "is missing", "name what happened, such as Order Completed")
		}
	case rapport.TypePage, rapport.TypeScreen:
		if e.Name = d.name; e.Name == "" {
			if v, ok := e.Properties.Get("name"); ok {
				if t, ok := v.Text(); ok && len(t) <= f.limits.TextBytes {
					e.Name = alias(t)
				}
			}
		}
		if d.category != "" {
			if _, ok := e.Properties.Get("category"); !ok {
				start := len(f.arena)
				f.arena = append(f.arena, e.Properties...)
				f.arena = rapport.AppendField(f.arena, "category", rapport.StringValue(d.category))
				e.Properties = f.arena[start:len(f.arena):len(f.arena)]
			}
		}
	case rapport.TypeIdentify:
		e.Name = ""
		if len(d.traits) > 0 {
			e.Traits = f.merge(e.Traits, d.traits)
		}
	case rapport.TypeGroup:
		e.Name = ""
		if e.GroupID == "" {
			f.note(CodeIdentifier, "groupId", "is missing", "send the id of the group the person belongs to")
		}
	case rapport.TypeAlias:
		e.Name = ""
		if e.PreviousID == "" {
			e.PreviousID = e.AnonymousID
		}
		if e.PreviousID == "" || e.UserID == "" {
			f.note(CodeIdentifier, "previousId", "or userId is missing", "send both names that are one person")
		}
	default:
		why := "is missing"
		if d.typed != "" {
			why = "is " + strconv.Quote(clip([]byte(d.typed)))
		}
		f.note(CodeType, "type", why, "use track, identify, page, screen, group or alias")
	}
}

// identifiers gathers every name on the event, strongest first.
func (f *finisher) identifiers(e *rapport.Event, d *draft) {
	start := len(f.b.ids)
	f.identifier(start, rapport.KindUserID, e.UserID)
	f.identifier(start, rapport.KindAnonymousID, e.AnonymousID)
	f.traits(start, d.traits)
	if e.Type == rapport.TypeIdentify { // a group's traits are not the person's
		f.traits(start, e.Traits)
	}
	if len(f.o.Identifiers) > 0 {
		if v, ok := e.Context.Get("externalIds"); ok {
			for x := range v.Elements() {
				f.external(start, x)
			}
		}
	}
	ids := f.b.ids[start:len(f.b.ids):len(f.b.ids)]
	if len(ids) > 1 {
		slices.SortStableFunc(ids, func(a, b rapport.Identifier) int {
			return int(rapport.RankOf(a.Kind)) - int(rapport.RankOf(b.Kind))
		})
	}
	e.Identifiers = ids
}

func (f *finisher) traits(start int, traits rapport.Fields) {
	for k, v := range traits.All() {
		switch string(k) {
		case rapport.KindEmail, rapport.KindPhone:
			if t, ok := v.Text(); ok && f.o.Normalize != nil {
				f.identifier(start, string(k), alias(t))
			}
		case rapport.KindUserID, rapport.KindAnonymousID:
		default:
			if len(f.o.Identifiers) > 0 && slices.Contains(f.o.Identifiers, string(k)) {
				f.identifier(start, string(k), string(text(v)))
			}
		}
	}
}

// external reads one entry of context.externalIds: {type, id}.
func (f *finisher) external(start int, x rapport.Value) {
	fields, ok := x.Object()
	if !ok {
		return
	}
	kind, _ := fields.Get("type")
	id, _ := fields.Get("id")
	if slices.Contains(f.o.Identifiers, kind.Str()) {
		f.identifier(start, kind.Str(), string(text(id)))
	}
}

// text returns a string, or a number as text.
func text(v rapport.Value) []byte {
	switch v.Kind() {
	case rapport.KindString:
		t, _ := v.Text()
		return t
	case rapport.KindNumber, rapport.KindBigNumber:
		return v.AppendJSON(nil)
	}
	return nil
}

// maxIdentifiers bounds the names on one event. More than a few are a defect
// of the sender, and would tie strangers together.
const maxIdentifiers = 16

func (f *finisher) identifier(start int, kind, value string) {
	if f.o.Normalize != nil && value != "" {
		var ok bool
		if value, ok = f.o.Normalize(kind, value); !ok {
			return
		}
	}
	if value == "" || len(value) > f.limits.TextBytes {
		return
	}
	id := rapport.Identifier{Kind: kind, Value: value}
	if len(f.b.ids)-start < maxIdentifiers && !slices.Contains(f.b.ids[start:], id) {
		f.b.ids = append(f.b.ids, id)
	}
}

// MintMessageID names an event that came without a name: the same bytes,
// received in the same millisecond at the same place of a body, get the same
// name, so that an event that re-enters keeps it.
func MintMessageID(raw []byte, receivedAt int64, index int) string {
	h := sha256.New()
	var at [16]byte
	binary.LittleEndian.PutUint64(at[:8], uint64(receivedAt))
	binary.LittleEndian.PutUint64(at[8:], uint64(index))
	_, _ = h.Write(at[:])
	_, _ = h.Write(raw)
	return "minted-" + hex.EncodeToString(h.Sum(nil)[:16])
}
