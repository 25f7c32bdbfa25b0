package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// FolderAuthor is the author of what comes from the folder of serve --config.
const FolderAuthor = "file"

// Kept is a document that was edited elsewhere since the folder last wrote it,
// and is therefore left as it is.
type Kept struct {
	Ref
	Version int64  `json:"version"` // that edited it; 0 if it was deleted
	Author  string `json:"author"`
	// Conflict is true if the folder has a new text for it, too.
	Conflict bool `json:"conflict"`
	// Diff leads from what is current to what the folder says.
	Diff string `json:"diff"`
}

// FolderReport tells what ApplyFolder did.
type FolderReport struct {
	Version int64
	// Applied is what changed; empty if the folder was applied before.
	Applied Plan
	Kept    []Kept
}

// ApplyFolder brings the config to what a folder says, once for each content of
// the folder, as the author "file". A document that somebody else edited since
// the folder last wrote it is reported and not overwritten; documents that left
// the folder are deleted unless edited. Kinds: those of Apply.
func (s *Store) ApplyFolder(ctx context.Context, folder *Set) (FolderReport, error) {
	s.o.Journal.mu.Lock()
	defer s.o.Journal.mu.Unlock()
	if err := s.o.Journal.catchUp(ctx); err != nil {
		return FolderReport{}, err
	}
	digest := digestOf(folder)
	c, report := s.folderChange(folder, digest)
	c.folder = digest
	if s.lastFolder() == digest {
		report.Applied, report.Version = nil, s.Version()
		return report, nil
	}
	version, err := s.apply(ctx, c)
	report.Version = version
	return report, err
}

func (s *Store) lastFolder() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.digest
}

// digestOf is the hash of what a set says, whatever its files are called.
func digestOf(set *Set) string {
	h := sha256.New()
	for _, doc := range set.All() {
		h.Write([]byte(doc.Ref.String() + "\x00" + strconv.Itoa(len(doc.Text)) + "\x00" + doc.Text))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// folderChange is the change a folder asks for, less what was edited elsewhere.
func (s *Store) folderChange(folder *Set, digest string) (Change, FolderReport) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := Change{Author: FolderAuthor, Note: "config folder " + digest[:12]}
	var report FolderReport
	keep := func(ref Ref, current *Entry, wanted *Document) {
		k := Kept{Ref: ref, Conflict: true}
		if wanted != nil {
			k.Conflict = s.inFolder[ref] != wanted.Text
			k.Diff = lineDiff("", wanted.Text)
		}
		if current != nil {
			k.Version, k.Author = current.Version, current.Author
			k.Diff = differ(ref, Changed, current.Document, wanted).Diff
		} else if last := s.lastRevision(ref); last != nil {
			k.Author = last.Author
		}
		report.Kept = append(report.Kept, k)
	}
	for _, doc := range folder.All() {
		last, known := s.inFolder[doc.Ref]
		now, exists := s.current[doc.Ref]
		edited := !now.folder && !(known && now.Document != nil && now.Text == last)
		switch {
		case exists && sameMeaning(now.Document, doc) && !s.set.broken[doc.Ref]:
			if !now.folder { // somebody came to the same text: the folder owns it from now on
				c.Put = append(c.Put, doc)
			}
		case exists && edited:
			keep(doc.Ref, &now, doc)
		case !exists && known:
			keep(doc.Ref, nil, doc)
		default:
			c.Put = append(c.Put, doc)
			op, old := Created, (*Document)(nil)
			if exists {
				op, old = Changed, now.Document
			}
			report.Applied = append(report.Applied, differ(doc.Ref, op, old, doc))
		}
	}
	for ref, last := range s.inFolder {
		if folder.docs[ref] != nil || folder.broken[ref] {
			continue
		}
		switch now, exists := s.current[ref]; {
		case !exists:
			c.forget = append(c.forget, ref)
		case now.folder || now.Text == last:
			c.Delete = append(c.Delete, ref)
			report.Applied = append(report.Applied, differ(ref, Deleted, now.Document, nil))
		default:
			keep(ref, &now, nil)
		}
	}
	slices.SortFunc(c.forget, Ref.Compare)
	slices.SortFunc(report.Applied, func(a, b Difference) int { return a.Ref.Compare(b.Ref) })
	slices.SortFunc(report.Kept, func(a, b Kept) int { return a.Ref.Compare(b.Ref) })
	return c, report
}

// lastRevision returns the newest change of a document; s.mu is held.
func (s *Store) lastRevision(ref Ref) *Revision {
	for _, r := range slices.Backward(s.history) {
		if slices.Contains(r.Changed, ref) || slices.Contains(r.Deleted, ref) {
			return r
		}
	}
	return nil
}
