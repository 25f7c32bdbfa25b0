package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// trim lets the log go below what is durable, as far as others allow. Whoever
// makes states from the log reads it from its first record: it stays until all
// folds are run and while a rebuild is under way.
func (g *Engine) trim(durable func(partition int32) int64) error {
	if g.floor == nil {
		return nil
	}
	select {
	case <-g.renewed:
	default:
		return nil
	}
	select {
	case g.building <- struct{}{}:
	default:
		return nil
	}
	defer func() { <-g.building }()
	for _, p := range g.parts {
		if below := min(durable(p.id), g.floor(p.id)); below > 0 {
			if err := g.log.Trim(eventlog.Events, p.id, below); err != nil {
				return fmt.Errorf("trim event log partition %d: %w", p.id, err)
			}
		}
	}
	return nil
}

// trimmed returns a partition whose log does not begin with its first record,
// and that beginning; -1 if there is none.
func (g *Engine) trimmed() (partition int32, first int64) {
	for i := range g.parts {
		if first, _ := g.log.Bounds(eventlog.Events, int32(i)); first > 0 {
			return int32(i), first
		}
	}
	return -1, 0
}

// whole returns an error if folds that people's states were kept of would have
// to be made from a log that lacks its beginning: what that told would be
// forgotten. It is asked before anything is removed.
func (g *Engine) whole(h *inheritance, folds []Fold) error {
	if g.partial {
		return nil
	}
	for i, active := range h.active {
		if first, _ := g.log.Bounds(eventlog.Events, int32(i)); active == nil && first > 0 {
			return rapport.WithHint(rapport.Errorf(rapport.Conflict, "there is no state of partition %d, and its log begins at record %d: what came before was trimmed", i, first), partialHint)
		}
	}
	var changed []Fold
	for _, f := range folds {
		if id, _ := g.registry.add(f); !h.runs(id, 0) && !(h.resumes && slices.Contains(h.of, id)) {
			changed = append(changed, f)
		}
	}
	return g.replaceable(changed, slices.Concat(h.active...))
}

// replaceable returns an error if folds are to take the place of other versions
// of themselves among those that are run, and the log lacks its beginning.
func (g *Engine) replaceable(folds []Fold, running []uint16) error {
	partition, first := g.trimmed()
	if partition < 0 || g.partial {
		return nil
	}
	var names []string
	for _, f := range folds {
		if g.registry.runsAny(f.Name(), running) {
			names = append(names, versionName(f))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return rapport.WithHint(rapport.Errorf(rapport.Conflict, "%s cannot be made from the log: partition %d begins at record %d, what came before was trimmed", strings.Join(names, ", "), partition, first), partialHint)
}

// runsAny reports whether any version of a fold is among those that are run.
func (r *registry) runsAny(name string, running []uint16) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for known, id := range r.ids {
		if base, _, _ := strings.Cut(known, "@"); base == name && slices.Contains(running, id) {
			return true
		}
	}
	return false
}

// partialHint says what to do where the log lacks what is needed.
const partialHint = "start the version that wrote the state, or restore a backup; with --partial-history it is made of what the log still holds, and what came before is forgotten"

// within returns an error if a state does not end within what the log holds.
func (p *partition) within() error {
	first, next := p.eng.log.Bounds(eventlog.Events, p.id)
	switch {
	case p.meta.pos < first && p.eng.partial:
		p.meta.pos = first
	case p.meta.pos < first:
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "the state of partition %d reflects the log up to record %d, but the log begins at %d: what lies between was trimmed", p.id, p.meta.pos, first),
			"restore state and log from the same backup; with --partial-history the gap is passed over")
	case p.meta.pos > next:
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "the state of partition %d reflects the log up to record %d, but the log ends at %d", p.id, p.meta.pos, next),
			"restore state and log from the same backup; or start once with --refold, which makes the state from the log")
	}
	return nil
}
