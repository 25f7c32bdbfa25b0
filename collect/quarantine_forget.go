package collect

import (
	"bytes"
	"context"
	"slices"
	"strconv"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/identity"
)

// Concerns returns a test for records of the quarantine topic: whether the held
// event names the person known by any of the identifiers. Erasing a person
// scrubs those records from the log and deletes the entries, see [Quarantine.Forget].
func (q *Quarantine) Concerns(identifiers []rapport.Identifier) func(eventlog.Record) bool {
	var quoted [][]byte
	for _, id := range identifiers {
		quoted = append(quoted, bytes.ToLower(strconv.AppendQuote(nil, id.Value)))
	}
	return func(r eventlog.Record) bool {
		if r.Topic != eventlog.Quarantine || r.Kind != kindHeld {
			return false
		}
		h, err := decodeHeld(r.Data)
		if err != nil {
			return true // what cannot be read cannot be cleared of naming them
		}
		raw := bytes.ToLower(h.raw)
		for _, text := range quoted {
			if bytes.Contains(raw, text) {
				return true
			}
		}
		return names(&h, identifiers)
	}
}

// names reports whether a held event that parses names one of the identifiers,
// in whatever form it was written.
func names(h *held, identifiers []rapport.Identifier) bool {
	o := segmentwire.Options{Type: h.call, ReceivedAt: h.ReceivedAt, Normalize: identity.Normalize, Defaults: segmentwire.Defaults{Context: h.context}}
	var b segmentwire.Batch
	if segmentwire.Parse(h.raw, &o, &b) != nil {
		return false
	}
	for i := range b.Events {
		if slices.ContainsFunc(b.Events[i].Identifiers, func(id rapport.Identifier) bool { return slices.Contains(identifiers, id) }) {
			return true
		}
	}
	return false
}

// Forget deletes every held event that names the person known by any of the
// identifiers, and returns how many. Their records stay in the log, unread,
// until they are scrubbed with [Quarantine.Concerns] or age out.
func (q *Quarantine) Forget(ctx context.Context, identifiers []rapport.Identifier) (int, error) {
	if err := q.current(ctx); err != nil {
		return 0, err
	}
	concerns := q.Concerns(identifiers)
	q.mu.Lock()
	all := make([]string, 0, len(q.entries))
	for _, offset := range q.order {
		if e := q.entries[offset]; e != nil {
			all = append(all, e.ID)
		}
	}
	q.mu.Unlock()
	var found []string
	for _, id := range all {
		h, err := q.read(ctx, id)
		if err != nil {
			if rapport.KindOf(err) == rapport.NotFound {
				continue
			}
			return 0, err
		}
		if concerns(eventlog.Record{Topic: eventlog.Quarantine, Kind: kindHeld, Data: h.append(nil)}) {
			found = append(found, id)
		}
	}
	if len(found) == 0 {
		return 0, nil
	}
	return q.Delete(ctx, found...)
}
