package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// whole returns an error if a manifest does not reach the first record the log
// still holds: the rows between would stand nowhere.
func (l *Lake) whole(m *manifest, why string) error {
	if l.o.Partial {
		return nil
	}
	for p, at := range m.Events {
		if first, _ := l.o.Log.Bounds(eventlog.Events, int32(p)); at < first {
			return rapport.WithHint(rapport.Errorf(rapport.Conflict, "%s, but the log of partition %d begins at record %d: what came before was trimmed and stands in no other place", why, p, first),
				"bring the lake's files back (they are in a backup, and where --lake pointed before), or start the version that wrote them; with --partial-history it begins with what the log still holds")
		}
	}
	return nil
}

// trimmed reports whether the log lacks its beginning.
func (l *Lake) trimmed() bool {
	for p := range l.o.Log.Partitions(eventlog.Events) {
		if first, _ := l.o.Log.Bounds(eventlog.Events, int32(p)); first > 0 {
			return true
		}
	}
	return false
}

// cut takes back what a lake holds beyond the log's end, as after the log was
// put back from a backup: its offsets are going to be given again. l.m is the
// manifest in force. A stop in the middle does no harm: the positions come last.
func (l *Lake) cut(ctx context.Context) error {
	_, rewards := l.o.Log.Bounds(eventlog.Rewards, 0)
	ends := make([]int64, l.o.Log.Partitions(eventlog.Events))
	for p := range ends {
		_, ends[p] = l.o.Log.Bounds(eventlog.Events, int32(p))
	}
	for _, f := range l.m.Files {
		beyond, err := l.beyond(ctx, f, ends, rewards)
		if err != nil {
			return err
		}
		if len(beyond) > 0 {
			if err := l.rewrite(ctx, []File{f}, map[string][]int64{f.Path(): beyond}); err != nil {
				return err
			}
		}
	}
	m := l.m.edit()
	for p, end := range ends {
		m.Events[p] = min(m.Events[p], end)
	}
	m.Rewards = min(m.Rewards, rewards)
	// Which outcomes were taken is told again by those that are left.
	m.Marks = nil
	if first, _ := l.o.Log.Bounds(eventlog.Rewards, 0); first < m.Rewards {
		if err := l.passed(ctx, m, first); err != nil {
			return err
		}
	}
	return l.adopt(ctx, m, nil)
}

// placed are the columns that say where a row comes from.
type placed struct {
	Partition int32 `parquet:"partition"`
	Offset    int64 `parquet:"offset,delta"`
}

type placedOutcome struct {
	Offset int64 `parquet:"offset,delta"`
}

// beyond returns the rows of a file whose records the log does not hold yet.
func (l *Lake) beyond(ctx context.Context, f File, ends []int64, rewards int64) (rows []int64, err error) {
	release, err := l.depot.fetch(ctx, []File{f})
	if err != nil {
		return nil, err
	}
	defer release()
	row := int64(0)
	if f.Table == Outcomes {
		err = readRows(l, f, func(list []placedOutcome) error {
			for _, x := range list {
				if x.Offset >= rewards {
					rows = append(rows, row)
				}
				row++
			}
			return ctx.Err()
		})
		return rows, err
	}
	err = readRows(l, f, func(list []placed) error {
		for _, x := range list {
			if int(x.Partition) >= len(ends) || x.Offset >= ends[x.Partition] {
				rows = append(rows, row)
			}
			row++
		}
		return ctx.Err()
	})
	return rows, err
}

// passed notes the origins of the outcomes below m.Rewards.
func (l *Lake) passed(ctx context.Context, m *manifest, from int64) error {
	r, err := l.o.Log.Reader(eventlog.Rewards, 0, from)
	if err != nil {
		return err
	}
	defer r.Close()
	for from < m.Rewards {
		records, err := r.Next(ctx)
		if err != nil {
			return err
		}
		for i := range records {
			x := &records[i]
			if from = x.Offset + 1; x.Offset >= m.Rewards {
				break
			}
			if x.Kind != engine.KindReward {
				continue
			}
			partition, offset, n, err := engine.OriginOf(x)
			if err != nil {
				return fmt.Errorf("rewards offset %d: %w", x.Offset, err)
			}
			m.pass(partition, offset, n)
		}
	}
	return nil
}

// belongs decides what becomes of a manifest that was found, which may be nil,
// and returns the one to go on with. beyond says that it knows more of the log than there is.
func (l *Lake) belongs(m *manifest) (_ *manifest, beyond bool, err error) {
	why := "there is no lake of this format, so it would be written anew"
	switch {
	case m == nil:
	case !l.ofThis(m):
		l.o.Logger.Warn("the lake belongs to another log; it is written anew", slog.String("folder", l.o.Dir))
		why, m = "the lake belongs to another log, so it would be written anew", nil
	case l.ahead(m) && l.trimmed() && !l.o.Partial: // what was trimmed stands here only
		l.o.Logger.Warn("the lake knows more than the log; what is beyond is taken back", slog.String("folder", l.o.Dir))
		beyond = true
	case l.ahead(m):
		l.o.Logger.Warn("the lake knows more than the log; it is written anew", slog.String("folder", l.o.Dir))
		m = nil
	}
	if m != nil {
		why = "the lake ends before that"
	} else {
		m = &manifest{Format: formatVersion, Deployment: l.o.Deployment, Events: make([]int64, l.o.Log.Partitions(eventlog.Events)), Next: 1, Files: []File{}}
	}
	return m, beyond, l.whole(m, why)
}

// Copy writes the lake as it is now to a folder which must be missing: with
// second names for its files where the file system allows. What is written
// later is not part of it. Nothing is copied of a lake in a bucket. Kinds: Unavailable.
func (l *Lake) Copy(ctx context.Context, dir string) error {
	if l.o.Remote != nil {
		return nil
	}
	l.mu.Lock()
	m := l.m
	l.pins[m.Version]++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.pins[m.Version]--; l.pins[m.Version] == 0 {
			delete(l.pins, m.Version)
		}
	}()
	for _, f := range append(slices.Clone(m.Files), optional(m.People)...) {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(f.Path()))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		from := l.depot.at(f.Path())
		err := os.Link(from, to)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			err = copyFile(from, to)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // else somebody removed it by hand
			return fmt.Errorf("copy %s: %w", f.Path(), err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), text, 0o600)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// Reach returns the offsets of the events topic up to which the lake in a folder
// holds the log, by partition; nil if there is none of this format. It is for
// lakes that nobody has open.
func Reach(dir string) ([]int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(text, filepath.Join(dir, manifestName))
	if m == nil || err != nil {
		return nil, err
	}
	return m.Events, nil
}
