package collect

import (
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/eventlog"
)

// Replay lets a held event in as it is, under its original message id and time
// of receipt: after the schema or the limit it broke has been changed. It
// returns Invalid with the problem if it still may not enter, and NotFound,
// Conflict (its source is gone), Unavailable, Internal.
func (q *Quarantine) Replay(ctx context.Context, id string) error {
	h, err := q.read(ctx, id)
	if err != nil {
		return err
	}
	if h.Truncated {
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, "event %s was larger than what quarantine keeps", id), "send it again in smaller parts")
	}
	return q.enter(ctx, id, &h, h.raw)
}

// Fix lets a held event in as the given JSON, under its original time of
// receipt, and its original message id unless the JSON names another. Errors
// are those of Replay; then nothing has changed.
func (q *Quarantine) Fix(ctx context.Context, id string, event []byte) error {
	h, err := q.read(ctx, id)
	if err != nil {
		return err
	}
	return q.enter(ctx, id, &h, event)
}

func (q *Quarantine) enter(ctx context.Context, id string, h *held, event []byte) error {
	d := q.door
	s := d.Config().Source(h.Source)
	if s == nil {
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "the source %s of event %s does not exist any more", h.Source, id), "declare it again, or delete the event")
	}
	offset, err := heldOffset(id)
	if err != nil {
		return err
	}
	w := d.work.Get().(*work)
	defer d.release(w)
	w.want(&d.Deps, h.call, h.history, h.ReceivedAt)
	w.options.Now = rapport.Millis(d.Clock.Now())
	w.options.Defaults = segmentwire.Defaults{SentAt: h.sentAt, MessageID: h.MessageID, Context: h.context}
	w.strict = true
	w.settles = []eventlog.Record{settledRecord(settledEntered, offset)}
	if err := segmentwire.Parse(event, w.opts(s), &w.batch); err != nil {
		return err
	}
	if len(w.batch.Events)+len(w.batch.Rejects) != 1 {
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, "this is not one event"), "send the JSON object of the event alone")
	}
	if err := d.take(ctx, w, s, nil); err != nil {
		return err
	}
	d.stats.Replayed.Add(1)
	return nil
}

// ReplayResult says what became of many.
type ReplayResult struct {
	Replayed int `json:"replayed"`
	// Refused events still may not enter; they stay.
	Refused int `json:"refused"`
	// More is true if further events match.
	More bool `json:"more"`
}

// ReplayAll replays what a filter selects, oldest first, at most Limit events
// (default and most 1000). It stops at the first error that is not about one event.
func (q *Quarantine) ReplayAll(ctx context.Context, f HeldFilter) (ReplayResult, error) {
	ids, more, err := q.oldest(ctx, f)
	result := ReplayResult{More: more}
	if err != nil {
		return result, err
	}
	for _, id := range ids {
		switch err := q.Replay(ctx, id); rapport.KindOf(err) {
		case rapport.Invalid, rapport.TooLarge, rapport.Conflict:
			result.Refused++
		case rapport.NotFound: // somebody was faster
		default:
			if err != nil {
				return result, err
			}
			result.Replayed++
		}
	}
	return result, nil
}
