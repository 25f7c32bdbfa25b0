package local

import (
	"context"
	"os"
	"path/filepath"

	"github.com/rapport-engine/rapport"
)

// Snapshot makes a consistent copy of the log in another folder, which must be
// missing or empty, while the log is used: everything durable when it is
// called, ready to be opened. Sealed segments are hard links where the file
// system allows, copies elsewhere; a later Scrub does not reach them. When it
// returns nil the copy is durable. Kinds: Invalid (folder not empty),
// Unavailable (disk full, closed), Internal, or ctx.Err().
func (l *Log) Snapshot(ctx context.Context, dir string) error {
	l.maintain.Lock()
	defer l.maintain.Unlock()
	if err := l.fs.MakeDir(dir); err != nil {
		return diskError("make "+dir, dir, err)
	}
	if names, err := l.fs.List(dir); err != nil {
		return diskError("list "+dir, dir, err)
	} else if len(names) > 0 {
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, "snapshot: %s is not empty", dir), "name a new folder")
	}
	// One look at everything: what is appended later is not part of the copy.
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return closedError()
	}
	type part struct {
		*segment
		end    int64
		sealed bool
	}
	parts := make([]part, len(l.segments))
	for i, s := range l.segments {
		parts[i] = part{s, s.end, s.sealed}
	}
	lanes := make([]lane, len(l.parts))
	for i, p := range l.parts {
		lanes[i].next = p.next
	}
	fl := l.floors
	l.mu.Unlock()

	for _, p := range parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.copySegment(p.segment, dir, p.end, p.sealed); err != nil {
			return diskError("copy "+p.name(), dir, err)
		}
	}
	if err := l.copySmall(dir, lanes, fl); err != nil {
		return diskError("snapshot", dir, err)
	}
	return nil
}

// copySegment links or copies one segment as far as end.
func (l *Log) copySegment(s *segment, dir string, end int64, sealed bool) error {
	path := filepath.Join(dir, s.name())
	from, err := s.acquire(l.fs)
	if err != nil {
		return err
	}
	defer s.release()
	size, err := from.Size()
	if err != nil {
		return err
	}
	// What a failed sync left behind the end is not part of the copy.
	if sealed && size == end && l.fs.Link(s.path, path) == nil {
		_ = l.fs.Link(indexPath(s.path), indexPath(path)) // made again where it is missing
		return nil
	}
	to, err := l.fs.Open(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if err = copyRange(to, from, 0, end); err == nil {
		err = to.Sync()
	}
	if e := to.Close(); err == nil {
		err = e
	}
	return err
}

// copySmall writes the files beside the segments.
func (l *Log) copySmall(dir string, lanes []lane, fl floors) error {
	b, err := readFile(l.fs, filepath.Join(l.dir, metaName))
	if err != nil {
		return err
	}
	if err := replaceFile(l.fs, filepath.Join(dir, metaName), b); err != nil {
		return err
	}
	if err := replaceFile(l.fs, filepath.Join(dir, floorsName), fl.encode(l.id.seed(0))); err != nil {
		return err
	}
	m, _, err := openMark(l.fs, dir, l.id, l.shape)
	if err != nil {
		return err
	}
	err = m.write(lanes)
	if err == nil {
		err = m.file.Sync()
	}
	if e := m.file.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return l.fs.SyncDir(dir)
}
