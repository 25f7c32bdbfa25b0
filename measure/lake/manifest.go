package lake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

const manifestName = "manifest.json"

// manifest says which files there are and what of the log they hold. It is the
// truth: a file it does not name is not part of the lake.
type manifest struct {
	Format     int    `json:"format"`
	Deployment string `json:"deployment,omitempty"`
	// Version rises by one with each change.
	Version int64 `json:"version"`
	// Events and Rewards are the offsets up to which the log is in the files.
	Events  []int64 `json:"events"`
	Rewards int64   `json:"rewards"`
	// Marks are the highest origins of outcomes taken from each partition.
	Marks []mark `json:"marks,omitempty"`
	// Next is the number of the next file.
	Next   int64  `json:"nextFile"`
	Files  []File `json:"files"`
	People *File  `json:"people,omitempty"`
	// Erase are erasures to be carried out, Erased the jobs that were.
	Erase  []erasure `json:"erase,omitempty"`
	Erased []string  `json:"erased,omitempty"`
}

type mark struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	N         uint32 `json:"n"`
}

// File is one Parquet file.
type File struct {
	Table string `json:"table"`
	Day   string `json:"day,omitempty"` // 2006-01-02, UTC
	Name  string `json:"name"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
	// Level says how often its rows were put together with those of others.
	Level int `json:"level,omitempty"`
}

// Path returns where the file lies below the lake's folder, with slashes.
func (f File) Path() string {
	if f.Day == "" {
		return path.Join(f.Table, f.Name)
	}
	return path.Join(f.Table, "day="+f.Day, f.Name)
}

type erasure struct {
	Job string       `json:"job"`
	IDs []rapport.ID `json:"ids"`
}

// edit returns a copy to change.
func (m *manifest) edit() *manifest {
	c := *m
	c.Version++
	c.Events, c.Marks, c.Files = slices.Clone(m.Events), slices.Clone(m.Marks), slices.Clone(m.Files)
	c.Erase, c.Erased = slices.Clone(m.Erase), slices.Clone(m.Erased)
	return &c
}

// pass reports whether an outcome with this origin is new, and remembers it.
func (m *manifest) pass(partition int32, offset int64, n uint32) bool {
	i := slices.IndexFunc(m.Marks, func(k mark) bool { return k.Partition == partition })
	if i < 0 {
		m.Marks = append(m.Marks, mark{partition, offset, n})
		return true
	}
	k := &m.Marks[i]
	if offset < k.Offset || offset == k.Offset && n <= k.N {
		return false
	}
	k.Offset, k.N = offset, n
	return true
}

func (m *manifest) replace(gone []File, with ...File) {
	m.Files = slices.DeleteFunc(m.Files, func(f File) bool { return slices.ContainsFunc(gone, func(g File) bool { return g.Path() == f.Path() }) })
	m.Files = append(m.Files, with...)
}

// folder is where the files lie.
type folder struct {
	dir string
	// step is called before each change on disk; tests stop there.
	step func(what string) error
	// loose leaves it to the system when files reach the disk; tests do.
	loose bool
}

func (d *folder) at(p string) string { return filepath.Join(d.dir, filepath.FromSlash(p)) }

// write makes a file that is there whole or not at all, and stays.
func (d *folder) write(name string, fill func(io.Writer) error) (size int64, err error) {
	if err := d.step("write " + name); err != nil {
		return 0, err
	}
	at := d.at(name)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return 0, err
	}
	tmp := at + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	err = fill(f)
	if err == nil && !d.loose {
		err = f.Sync()
	}
	if info, serr := f.Stat(); serr == nil {
		size = info.Size()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.step("name " + name)
	}
	if err == nil {
		err = os.Rename(tmp, at)
	}
	if err == nil && !d.loose {
		err = syncFolder(filepath.Dir(at))
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", name, err)
	}
	return size, nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (d *folder) remove(name string) error {
	if err := d.step("remove " + name); err != nil {
		return err
	}
	err := os.Remove(d.at(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_ = os.Remove(filepath.Dir(d.at(name))) // the day's folder, if that was the last
	return err
}

// load reads the manifest; nil if there is none or it is of another format.
func (d *folder) load() (*manifest, error) {
	text, err := os.ReadFile(d.at(manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Internal, "%s is damaged: %w", d.at(manifestName), err),
			"move the folder away: the lake is written anew from the log")
	}
	if m.Format != formatVersion {
		return nil, nil
	}
	return &m, nil
}

func (d *folder) save(m *manifest) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = d.write(manifestName, func(w io.Writer) error { _, err := w.Write(text); return err })
	return err
}

// sweep removes what a stop in the middle left: files the manifest does not
// name. It drops from the manifest what somebody removed from the folder, and
// says how many that were.
func (d *folder) sweep(m *manifest) (missing int, err error) {
	known := map[string]bool{}
	for _, f := range m.Files {
		known[f.Path()] = true
	}
	if m.People != nil {
		known[m.People.Path()] = true
	}
	found := map[string]bool{}
	for _, table := range append([]string{People}, Tables[:]...) {
		err := filepath.WalkDir(d.at(table), func(at string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			}
			name, _ := filepath.Rel(d.dir, at)
			name = filepath.ToSlash(name)
			if known[name] {
				found[name] = true
				return nil
			}
			if strings.HasSuffix(name, ".parquet") || strings.HasSuffix(name, ".tmp") {
				return os.Remove(at)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	before := len(m.Files)
	m.Files = slices.DeleteFunc(m.Files, func(f File) bool { return !found[f.Path()] })
	if m.People != nil && !found[m.People.Path()] {
		m.People = nil
	}
	return before - len(m.Files), nil
}
