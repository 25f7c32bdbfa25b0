package engine

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// stateFormat is raised when the engine's own forms change (records of
// entities, positions, the outbox). The form of a fold's state is the fold's:
// it raises its version, and only that fold is made anew.
const stateFormat = 2

func markFormat(b *state.Batch) error {
	return b.Set(globalKey("format"), binary.AppendUvarint(nil, stateFormat))
}

// readable reports whether the engine's part of the store has this build's forms.
func (g *Engine) readable() (bool, error) {
	v, found, err := g.store.Get(globalKey("format"), nil)
	if err != nil {
		return false, err
	}
	if !found { // a store nobody has worked with is of every build
		_, used, err := g.store.Get(globalKey("folds"), nil)
		return !used, err
	}
	format, _ := binary.Uvarint(v)
	return format == stateFormat, nil
}

// refold empties the engine's part of the store, so that Run folds everything
// again from the first record of the log. What other rooms keep stays, and so
// does the key of the erased. Nothing is sent a second time: to senders and to
// those who learn, the records there are now are the past.
func (g *Engine) refold(dedupDir string) error {
	var records int64
	for i := range g.parts {
		first, next := g.log.Bounds(eventlog.Events, int32(i))
		records += next - first
		if first > 0 && !g.partial {
			return rapport.WithHint(rapport.Errorf(rapport.Conflict, "state cannot be folded again: the log of partition %d begins at record %d, what came before was trimmed", i, first),
				partialHint)
		}
	}
	if records > 0 {
		g.logger.Warn("state is folded again from the log", slog.Int64("records", records))
	}
	// First the memory of what was seen: with it, a record would be taken for its own repetition.
	if dedupDir != "" {
		if err := os.RemoveAll(dedupDir); err != nil {
			return fmt.Errorf("remove the deduplication memory: %w", err)
		}
	}
	key, found, err := g.store.Get(globalKey("erasekey"), nil)
	if err != nil {
		return err
	}
	b := g.store.Batch()
	for _, span := range [...]byte{mainSpan, rebuildSpan} {
		if err := b.DeleteRange([]byte{span}, state.PrefixEnd([]byte{span})); err != nil {
			return err
		}
	}
	if found {
		if err := b.Set(globalKey("erasekey"), key); err != nil {
			return err
		}
	}
	if err := b.Commit(); err != nil {
		return err
	}
	return g.store.Flush()
}
