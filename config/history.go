package config

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// At returns the documents of a version, for replay and comparison. Documents
// this program cannot read any more are left out. Kinds: NotFound.
func (s *Store) At(version int64) (*Set, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	texts, err := s.textsAt(version)
	if err != nil {
		return nil, err
	}
	if version == s.version() {
		return s.set, nil
	}
	set, broken := NewSet(), map[Ref]Problems{}
	for ref, text := range texts {
		doc, problems := s.o.Registry.stored(ref, text)
		set.docs[ref] = doc
		if len(problems) > 0 {
			broken[ref] = problems
		}
	}
	return s.readable(set, broken), nil
}

// textsAt returns the texts of a version; s.mu is held.
func (s *Store) textsAt(version int64) (map[Ref]string, error) {
	if version < 0 || version > s.version() {
		return nil, rapport.Errorf(rapport.NotFound, "there is no version %d of the config; the current one is %d", version, s.version())
	}
	texts := make(map[Ref]string)
	for _, rev := range s.history[:version] {
		for _, r := range rev.Deleted {
			delete(texts, r)
		}
		maps.Copy(texts, rev.texts)
	}
	return texts, nil
}

// ResolvedAt is At with references replaced by today's environment.
func (s *Store) ResolvedAt(version int64) (*Set, error) {
	set, err := s.At(version)
	if err != nil {
		return nil, err
	}
	resolved, problems := s.o.Registry.Resolve(set, s.o.Environment)
	return resolved, problems.Err()
}

// History returns the newest changes, newest first, at most limit; 0 is all.
func (s *Store) History(limit int) []Revision {
	return s.revisions(limit, func(*Revision) bool { return true })
}

// HistoryOf returns the changes of one document, newest first.
func (s *Store) HistoryOf(kind, id string, limit int) []Revision {
	ref := Ref{kind, id}
	return s.revisions(limit, func(r *Revision) bool {
		return slices.Contains(r.Changed, ref) || slices.Contains(r.Deleted, ref)
	})
}

func (s *Store) revisions(limit int, want func(*Revision) bool) []Revision {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []Revision{}
	for _, r := range slices.Backward(s.history) {
		if want(r) {
			if list = append(list, *r); len(list) == limit {
				break
			}
		}
	}
	return list
}

// Diff returns what a version changed. Kinds: NotFound.
func (s *Store) Diff(version int64) (Plan, error) {
	before, err := s.At(version - 1)
	if err != nil {
		return nil, err
	}
	after, err := s.At(version)
	if err != nil {
		return nil, err
	}
	return Compare(before, after, false), nil
}

// Undo takes one version back, as a new change: what it changed becomes what it
// was before. Kinds: NotFound, Conflict (a document was changed again since),
// and those of Apply.
func (s *Store) Undo(ctx context.Context, version int64, author string) (int64, error) {
	s.o.Journal.mu.Lock()
	next, err := s.undoLocked(ctx, version, author)
	s.o.Journal.mu.Unlock()
	s.settle(ctx, err)
	return next, err
}

func (s *Store) undoLocked(ctx context.Context, version int64, author string) (int64, error) {
	if err := s.o.Journal.catchUp(ctx); err != nil {
		return 0, err
	}
	c, err := s.undo(version)
	if err != nil {
		return 0, err
	}
	c.Author, c.Note, c.undoes = author, "undo version "+itoa(version), version
	return s.apply(ctx, c)
}

func (s *Store) undo(version int64) (Change, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	before, err := s.textsAt(version - 1)
	if err != nil {
		return Change{}, err
	}
	if version > s.version() {
		return Change{}, rapport.Errorf(rapport.NotFound, "there is no version %d of the config; the current one is %d", version, s.version())
	}
	rev := s.history[version-1]
	var c Change
	var moved []string
	for _, ref := range slices.Concat(rev.Changed, rev.Deleted) {
		now, exists := s.current[ref]
		if text, put := rev.texts[ref]; put != exists || put && now.Text != text {
			moved = append(moved, ref.String())
			continue
		}
		if text, was := before[ref]; was {
			doc, _ := s.o.Registry.stored(ref, text)
			c.Put = append(c.Put, doc)
		} else {
			c.Delete = append(c.Delete, ref)
		}
	}
	if len(moved) > 0 {
		return Change{}, rapport.WithHint(rapport.Errorf(rapport.Conflict, "%s changed again since version %d", strings.Join(moved, ", "), version),
			"undo the later versions first, newest before oldest")
	}
	return c, nil
}

// Restore makes everything as it was at a version, as a new change. Kinds: NotFound, and those of Apply.
func (s *Store) Restore(ctx context.Context, version int64, author string) (int64, error) {
	s.o.Journal.mu.Lock()
	defer s.o.Journal.mu.Unlock()
	if err := s.o.Journal.catchUp(ctx); err != nil {
		return 0, err
	}
	then, err := s.At(version)
	if err != nil {
		return 0, err
	}
	now, _ := s.Current()
	c := Compare(now, then, false).Change(then)
	c.Author, c.Note = author, "restore version "+itoa(version)
	return s.apply(ctx, c)
}
