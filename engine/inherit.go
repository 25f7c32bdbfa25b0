package engine

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport/state"
)

// inheritance is what a start finds of folds and of a rebuild that was
// interrupted. A fold is run by every partition or by none, but for those of a
// rebuild that goes on.
type inheritance struct {
	active  [][]uint16 // ids of folds run by each partition; nil for one without state
	last    note       // of the last rebuild
	text    []string   // name@version of the folds of the interrupted rebuild
	of      []uint16   // their ids
	resumes bool       // all of them are here and nothing else is missing, so it goes on
	changed bool       // a partition runs less than before
}

// inherit reads what the partitions run.
func (g *Engine) inherit(folds []Fold) (h *inheritance, err error) {
	h = &inheritance{}
	for i := range g.parts {
		p := &partition{id: int32(i), prefix: mainPrefix}
		m := newMeta(len(g.parts))
		b, found, err := g.store.Get(p.key(nil, spanMeta), nil)
		if err == nil && found {
			err = m.decode(b)
		}
		if err != nil {
			return nil, err
		}
		if found && m.active == nil {
			m.active = []uint16{}
		}
		h.active = append(h.active, m.active)
	}
	if h.last, err = g.storedRebuild(); err != nil {
		return nil, err
	}
	h.text = strings.Fields(h.last.text)
	for _, name := range h.text {
		h.of = append(h.of, g.registry.id(name))
	}
	h.resumes = len(h.text) > 0 && len(h.targets(folds)) == len(h.text)
	for _, f := range folds { // a fold may look at any other: they are built together
		if id, _ := g.registry.add(f); !slices.Contains(h.of, id) && !h.runs(id, 0) {
			h.resumes = false
		}
	}
	return h, nil
}

// targets returns those of folds that the interrupted rebuild makes.
func (h *inheritance) targets(folds []Fold) (out []Fold) {
	for _, f := range folds {
		if slices.Contains(h.text, versionName(f)) {
			out = append(out, f)
		}
	}
	return out
}

// runs reports whether a partition goes on running a fold.
func (h *inheritance) runs(fold uint16, partition int32) bool {
	if slices.Contains(h.of, fold) {
		// Not all of its states may have been taken over: if the rebuild does not
		// go on, they are made anew.
		return h.resumes && slices.Contains(h.active[partition], fold)
	}
	for _, active := range h.active {
		if active != nil && !slices.Contains(active, fold) {
			return false
		}
	}
	return true
}

// disinherit removes what a partition holds of folds it does not run any more,
// and reports whether there were any.
func (p *partition) disinherit(before []uint16) (changed bool, err error) {
	gone := slices.DeleteFunc(slices.Clone(before), func(id uint16) bool { return slices.Contains(p.meta.active, id) })
	if len(gone) == 0 {
		return false, nil
	}
	b := p.store.Batch()
	var errs []error
	if p.layout.indexed == nil {
		p.listing.counts = map[uint64]int64{}
		for _, span := range []byte{spanIndex, spanCount} {
			prefix := p.key(nil, span)
			errs = append(errs, b.DeleteRange(prefix, state.PrefixEnd(prefix)))
		}
	}
	p.scan(spanTimer, func(key, _ []byte) {
		if k, ok := parseTimerKey(key); ok {
			if s := p.layout.byName(k.fold); s == nil || s.dark {
				errs = append(errs, b.Delete(p.timerKey(nil, k)))
			}
		}
	})
	for _, id := range gone {
		errs = append(errs, p.clearFold(b, id))
	}
	errs = append(errs, b.Set(p.key(nil, spanMeta), p.meta.append(nil)), b.Commit())
	return true, errors.Join(errs...)
}

// clearFold removes the cold states and rows of a fold.
func (p *partition) clearFold(b *state.Batch, id uint16) error {
	var errs []error
	for _, span := range []byte{spanRow, spanCold} {
		prefix := binary.BigEndian.AppendUint16(p.key(nil, span), id)
		errs = append(errs, b.DeleteRange(prefix, state.PrefixEnd(prefix)))
	}
	return errors.Join(errs...)
}

// resume goes on with a rebuild that was interrupted. This is before anything is
// folded: no partition passes its barrier unaware, and none meets a move that
// set out before it without finding what was laid down for that.
func (g *Engine) resume(h *inheritance) error {
	if !h.resumes {
		return nil
	}
	b, err := g.makeRebuild(h.last, g.folds, h.targets(g.folds))
	if err == nil {
		g.current.Store(b)
	}
	return err
}
