package app

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/group"
)

// reviewedKey is where it stands which segments of items every item was looked
// at for.
var reviewedKey = []byte("Zi")

// keepItemsReviewed has every item looked at once when segments of items are
// defined or changed: so each is known to be in or out before anything more
// happens to it, and time alone can move it.
func (s *Server) keepItemsReviewed(ctx context.Context) error {
	if err := s.engine.Ready(ctx); err != nil {
		return err
	}
	for {
		err := s.reviewItems(ctx)
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			if !errors.Is(err, errNotAdopted) {
				s.log.Warn("items were not looked at for their segments; it is tried again", "error", err)
			}
			again = time.After(time.Second)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again:
		case <-s.segmented:
		}
	}
}

var errNotAdopted = errors.New("the configuration is not adopted everywhere yet")

func (s *Server) reviewItems(ctx context.Context) error {
	number := s.compiled.defs.number()
	if number == 0 {
		return nil
	}
	c, err := s.compiled.at(number)
	if err != nil {
		return err
	}
	wanted, _ := c.Part(group.Part).(*group.Config)
	digest := binary.BigEndian.AppendUint64(nil, wanted.Digest())
	done, _, err := s.store.Get(reviewedKey, nil)
	if err != nil || string(done) == string(digest) {
		return err
	}
	if len(wanted.All()) > 0 {
		if err := s.engine.View(ctx, rapport.ID{}, nil, func(*engine.View) error { return nil }); err != nil { // every partition is past its barrier
			return err
		}
		if err := s.reviewEach(ctx, number, wanted.Digest()); err != nil {
			return err
		}
	}
	b := s.store.Batch()
	if err := b.Set(reviewedKey, digest); err != nil {
		return err
	}
	return b.Commit()
}

func (s *Server) reviewEach(ctx context.Context, number int64, digest uint64) error {
	const batch = 500
	pages := make([][]eventlog.Record, s.events.Partitions(eventlog.Events)) // by worker
	send := func(worker int) error {
		err := eventlog.Append(ctx, s.events, pages[worker]...)
		pages[worker] = nil
		return err
	}
	now := rapport.Millis(s.opts.Clock.Now())
	err := s.engine.Scan(ctx, engine.ScanOptions{From: rapport.RankItem, Background: true}, func(worker int, v *engine.View) error {
		if here, _ := v.Config().Part(group.Part).(*group.Config); here.Digest() != digest {
			return errNotAdopted
		}
		if twin.Peek(v) == nil {
			return nil
		}
		id := v.ID()
		e := rapport.Event{
			Type: rapport.TypeSystem, Name: profile.SystemReview, MessageID: fmt.Sprintf("review/%d/%s", number, id), Source: twin.Source, Entity: id, Fragment: id,
			Timestamp: now, OriginalTimestamp: now, ReceivedAt: now,
		}
		pages[worker] = append(pages[worker], engine.EventRecord(&e, engine.Fingerprint(e.Source, e.MessageID), int32(id.Partition(len(pages)))))
		if len(pages[worker]) < batch {
			return nil
		}
		return send(worker)
	})
	for worker := range pages {
		if err == nil && len(pages[worker]) > 0 {
			err = send(worker)
		}
	}
	return err
}

// segmentsChanged has items reviewed if need be.
func (s *Server) segmentsChanged() {
	select {
	case s.segmented <- struct{}{}:
	default:
	}
}
