package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-engine/rapport"
)

// Files of one table, day and level are put together once there are so many:
// a row is written anew at most once a level, and a day ends with few files.
// While others need the machine more of them are awaited, so that a row is
// written anew half as often.
const (
	together     = 8
	togetherBusy = 48
	topLevel     = 6
)

// compactOne puts some files together and reports whether there is more to do.
func (l *Lake) compactOne(ctx context.Context) (more bool, err error) {
	type place struct {
		table, day string
		level      int
	}
	groups := map[place][]File{}
	m := l.current()
	var full *place
	enough := together
	if l.o.Busy() {
		enough = togetherBusy
	}
	for _, f := range m.Files {
		p := place{f.Table, f.Day, f.Level}
		if len(groups[p]) == togetherBusy {
			continue
		}
		if groups[p] = append(groups[p], f); full == nil && f.Level < topLevel && len(groups[p]) == enough {
			full = &p
		}
	}
	if full == nil {
		return false, nil
	}
	files := groups[*full]
	slices.SortFunc(files, func(a, b File) int { return compareText(a.Name, b.Name) })
	return true, l.rewrite(ctx, files, nil)
}

func compareText(a, b string) int {
	if a < b {
		return -1
	}
	if a > b {
		return 1
	}
	return 0
}

// rewrite replaces files of one table and day by one that holds their rows but
// those doomed (by file and row, ascending).
func (l *Lake) rewrite(ctx context.Context, files []File, doomed map[string][]int64) error {
	m := l.current().edit()
	out := File{Table: files[0].Table, Day: files[0].Day, Name: l.name(m)}
	for _, f := range files {
		out.Level = max(out.Level, f.Level)
	}
	if len(files) > 1 {
		out.Level++
	}
	var err error
	switch out.Table {
	case Events:
		err = rewriteRows[EventRow](ctx, l, &out, files, doomed)
	case Decisions:
		err = rewriteRows[DecisionRow](ctx, l, &out, files, doomed)
	default:
		err = rewriteRows[OutcomeRow](ctx, l, &out, files, doomed)
	}
	if err != nil {
		return err
	}
	m.replace(files)
	if out.Rows > 0 {
		m.Files = append(m.Files, out)
	} else if err := l.depot.drop(ctx, out.Path()); err != nil {
		return err
	}
	return l.adopt(ctx, m, files)
}

func rewriteRows[T any](ctx context.Context, l *Lake, out *File, files []File, doomed map[string][]int64) error {
	p := pacer{lake: l, begun: time.Now()}
	release, err := l.depot.fetch(ctx, files)
	if err != nil {
		return err
	}
	defer release()
	out.Bytes, err = l.depot.make(ctx, out.Path(), func(w io.Writer) error {
		pw := newSink[T](w)
		for _, f := range files {
			skip := doomed[f.Path()]
			row := int64(0)
			err := readRows(l, f, func(rows []T) error {
				for len(rows) > 0 {
					n := int64(len(rows))
					for len(skip) > 0 && skip[0] < row {
						skip = skip[1:]
					}
					if len(skip) > 0 {
						n = min(n, skip[0]-row)
					}
					if n > 0 {
						if err := pw.write(rows[:n]); err != nil {
							return err
						}
						out.Rows += n
						rows, row = rows[n:], row+n
					}
					if len(skip) > 0 && skip[0] == row && len(rows) > 0 {
						rows, row = rows[1:], row+1
					}
				}
				return p.rest(ctx)
			})
			if err != nil {
				return err
			}
		}
		return pw.Close()
	})
	return err
}

// readRows calls fn with the rows of a file, or with the columns of them T has.
func readRows[T any](l *Lake, f File, fn func([]T) error) (err error) {
	file, err := os.Open(l.depot.at(f.Path()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	pf, err := parquet.OpenFile(file, info.Size(), parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path(), err)
	}
	r := parquet.NewGenericReader[T](pf)
	defer r.Close()
	rows := make([]T, atOnce)
	for {
		n, err := r.Read(rows)
		if n > 0 {
			if err := fn(rows[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path(), err)
		}
	}
}

// Erase has the rows of somebody erased removed. ids are all they were known
// by; Options.Gone must know them by now. When it returns they are named by
// every [Snapshot] until the files hold nothing of them, which happens soon:
// see [Lake.Erased].
func (l *Lake) Erase(job string, ids []rapport.ID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m != nil && slices.Contains(l.m.Erased, job) || l.m != nil && slices.ContainsFunc(l.m.Erase, func(e erasure) bool { return e.Job == job }) {
		return nil
	}
	l.asked = append(l.asked, erasure{job, slices.Clone(ids)})
	l.nudge()
	return nil
}

// Erased waits until every erasure asked for is carried out. Kinds: Unavailable, Internal.
func (l *Lake) Erased(ctx context.Context) error { return l.Sync(ctx) }

// eraseNow carries out what was asked for: it looks through all files, and
// writes those anew that hold a row of somebody erased.
func (l *Lake) eraseNow(ctx context.Context) error {
	l.mu.Lock()
	asked := l.asked
	m := l.m.edit()
	l.mu.Unlock()
	if len(asked) > 0 {
		for _, e := range asked {
			if !slices.ContainsFunc(m.Erase, func(x erasure) bool { return x.Job == e.Job }) {
				m.Erase = append(m.Erase, e)
			}
		}
		if err := l.adopt(ctx, m, nil); err != nil {
			return err
		}
		l.mu.Lock()
		l.asked = l.asked[len(asked):]
		l.mu.Unlock()
	}
	jobs := m.Erase
	if len(jobs) == 0 || l.o.Gone == nil {
		return nil
	}
	gone := l.o.Gone()
	for _, f := range m.Files {
		doomed, err := l.doomed(ctx, f, gone)
		if err != nil {
			return err
		}
		if len(doomed) == 0 {
			continue
		}
		if err := l.rewrite(ctx, []File{f}, map[string][]int64{f.Path(): doomed}); err != nil {
			return err
		}
	}
	if err := l.collect(ctx); err != nil { // it is done when the old files are gone, too
		return err
	}
	m = l.current().edit()
	m.Erase = m.Erase[len(jobs):]
	for _, e := range jobs {
		m.Erased = append(m.Erased, e.Job)
	}
	m.Erased = m.Erased[max(0, len(m.Erased)-keepJobs):]
	return l.adopt(ctx, m, nil)
}

// keepJobs is how many erasures are remembered as carried out; to carry one out
// again changes nothing.
const keepJobs = 10_000

// doomed returns the rows of a file that belong to somebody erased.
func (l *Lake) doomed(ctx context.Context, f File, gone func(Trace) bool) (doomed []int64, err error) {
	release, err := l.depot.fetch(ctx, []File{f})
	if err != nil {
		return nil, err
	}
	defer release()
	p := pacer{lake: l, begun: time.Now()}
	row := int64(0)
	switch f.Table {
	case Events:
		err = readRows(l, f, func(rows []traceRow) error {
			for i := range rows {
				x := &rows[i]
				if gone(trace(x.Entity, x.Fragment, x.Identifiers, min(x.Time, x.LoggedAt))) {
					doomed = append(doomed, row)
				}
				row++
			}
			return p.rest(ctx)
		})
	case Decisions:
		err = readRows(l, f, func(rows []decisionTrace) error {
			for i := range rows {
				x := &rows[i]
				if gone(trace(x.Entity, "", nil, min(x.Time, x.LoggedAt))) {
					doomed = append(doomed, row)
				}
				row++
			}
			return p.rest(ctx)
		})
	}
	return doomed, err
}
