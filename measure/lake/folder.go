package lake

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// folder is a folder that files lie in.
type folder struct {
	dir string
	// step is called before each change on disk; tests stop there.
	step func(what string) error
	// loose leaves it to the system when files reach the disk: tests do, and so
	// does the copy of a bucket.
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

// sweep removes what a stop in the middle left: files that are not wanted. found
// are those that are, with their sizes.
func (d *folder) sweep(wanted func(name string, size int64) bool) (found map[string]int64, err error) {
	found = map[string]int64{}
	for _, table := range allTables {
		err := filepath.WalkDir(d.at(table), func(at string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(d.dir, at)
			name = filepath.ToSlash(name)
			if wanted(name, info.Size()) {
				found[name] = info.Size()
				return nil
			}
			if strings.HasSuffix(name, ".parquet") || strings.HasSuffix(name, ".tmp") {
				return os.Remove(at)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// install gives a file of the same folder its name.
func (d *folder) install(from, name string) error {
	if err := os.MkdirAll(filepath.Dir(d.at(name)), 0o700); err != nil {
		return err
	}
	return os.Rename(from, d.at(name))
}
