package lake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/rapport-engine/rapport"
)

// Remote is object storage that a lake can lie in; see [lake/bucket] for one that
// speaks the S3 protocol. Names have slashes. An object is there whole or not at
// all. Kinds: NotFound, Conflict (Swap only), Unavailable.
type Remote interface {
	// Put makes an object of a name that was never used before out of a local file.
	Put(ctx context.Context, name, path string) error
	// Get copies an object and returns the tag of its content.
	Get(ctx context.Context, name string, w io.Writer) (tag string, err error)
	// Remove deletes an object; it is no error if there is none.
	Remove(ctx context.Context, name string) error
	// List calls yield with the name of every object that begins with a prefix.
	List(ctx context.Context, prefix string, yield func(name string) error) error
	// Swap makes an object hold text if its tag is was, or if there is none and
	// was is empty, and returns the new tag. Conflict: it holds something else.
	Swap(ctx context.Context, name string, text []byte, was string) (tag string, err error)
}

// depot is where the files of a lake lie: in a folder, or in object storage of
// which a folder holds what was written or read last.
//
// In object storage an answer can get lost, and a request can be carried out
// after its sender gave up. So no name is used twice there, and the manifest is
// only replaced where it is the one that was read or written last.
type depot struct {
	folder
	remote Remote // nil: the folder is all there is
	limit  int64  // bytes of copies kept in the folder
	logger *slog.Logger

	tag string // of the manifest in the bucket
	// tried are hashes of manifests of which it is not known whether they got
	// there, made the objects put since the last that surely did.
	tried map[[32]byte]bool
	made  []string

	mu     sync.Mutex
	copies map[string]*copied
	size   int64 // of all copies
	uses   int64
}

// copied is a file of the bucket that lies in the folder, too.
type copied struct {
	size int64
	used int64 // higher is later
	pins int   // who reads it
}

// where names the place to whoever reads an error.
func (d *depot) where() string {
	if d.remote != nil {
		return manifestName + " of the bucket"
	}
	return d.at(manifestName)
}

// load returns the manifest; nil if there is none or it is of another format.
func (d *depot) load(ctx context.Context) (*manifest, error) {
	text, err := d.loadText(ctx)
	if err != nil || text == nil {
		return nil, err
	}
	return parseManifest(text, d.where())
}

func (d *depot) loadText(ctx context.Context) ([]byte, error) {
	if d.remote == nil {
		text, err := os.ReadFile(d.at(manifestName))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return text, err
	}
	var b bytes.Buffer
	tag, err := d.remote.Get(ctx, manifestName, &b)
	if rapport.KindOf(err) == rapport.NotFound {
		d.tag = ""
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d.tag = tag
	return b.Bytes(), nil
}

// save makes m the manifest in force.
func (d *depot) save(ctx context.Context, m *manifest) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if d.remote == nil {
		_, err = d.write(manifestName, func(w io.Writer) error { _, err := w.Write(text); return err })
		return err
	}
	if err := d.step("swap " + manifestName); err != nil {
		return err
	}
	d.tried[sha256.Sum256(text)] = true // until an answer says otherwise
	before := d.tag
	tag, err := d.remote.Swap(ctx, manifestName, text, before)
	if err != nil { // perhaps only the answer was lost
		if there, lerr := d.loadText(ctx); lerr == nil && bytes.Equal(there, text) {
			tag, err = d.tag, nil
		}
		d.tag = before
	}
	if err == nil {
		err = d.step("swapped " + manifestName)
	}
	if rapport.KindOf(err) == rapport.Conflict { // whose it is, [depot.resolve] finds out
		err = rapport.Errorf(rapport.Unavailable, "%w", err)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", manifestName, err)
	}
	d.tag = tag
	clear(d.tried)
	return nil
}

// resolve finds out what came of a manifest whose saving failed. It returns the
// manifest if it is the one in force, and nil if the one before still is.
func (d *depot) resolve(ctx context.Context) (*manifest, error) {
	if len(d.tried) == 0 {
		return nil, nil
	}
	before := d.tag
	text, err := d.loadText(ctx)
	if err != nil || d.tag == before {
		return nil, err
	}
	if !d.tried[sha256.Sum256(text)] {
		d.tag = before // it is not ours to replace
		return nil, rapport.WithHint(rapport.Errorf(rapport.Conflict, "another server writes to the lake's bucket"), "give each server a place of its own with --lake, and start this one again")
	}
	return parseManifest(text, d.where())
}

// strays returns objects put that the manifest just saved does not name: those
// of manifests that can no longer come into force.
func (d *depot) strays(m *manifest) []string {
	made := d.made
	d.made = nil
	return slices.DeleteFunc(made, func(name string) bool {
		return m.People != nil && m.People.Path() == name || slices.ContainsFunc(m.Files, func(f File) bool { return f.Path() == name })
	})
}

// make writes a file, which is there whole or not at all.
func (d *depot) make(ctx context.Context, name string, fill func(io.Writer) error) (size int64, err error) {
	size, err = d.write(name, fill)
	if err != nil || d.remote == nil {
		return size, err
	}
	d.made = append(d.made, name)
	if err = d.step("put " + name); err == nil {
		err = d.remote.Put(ctx, name, d.at(name))
	}
	if err == nil {
		err = d.step("sent " + name)
	}
	if err != nil {
		_ = os.Remove(d.at(name)) // the name is not used again
		return 0, fmt.Errorf("write %s: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keep(name, size)
	d.evict(0)
	return size, nil
}

// drop removes a file everywhere.
func (d *depot) drop(ctx context.Context, name string) error {
	if d.remote != nil {
		if err := d.step("delete " + name); err != nil {
			return err
		}
		if err := d.remote.Remove(ctx, name); err != nil {
			return err
		}
		d.mu.Lock()
		if c := d.copies[name]; c != nil {
			d.size -= c.size
			delete(d.copies, name)
		}
		d.mu.Unlock()
	}
	return d.remove(name)
}

// keep notes a copy. The caller holds mu.
func (d *depot) keep(name string, size int64) *copied {
	d.uses++
	c := &copied{size: size, used: d.uses}
	d.copies[name], d.size = c, d.size+size
	return c
}

// evict removes copies, those used longest ago first, until there is room for
// more bytes. The caller holds mu.
func (d *depot) evict(more int64) {
	if d.size+more <= d.limit {
		return
	}
	var names []string
	for name, c := range d.copies {
		if c.pins == 0 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return int(d.copies[a].used - d.copies[b].used) })
	for _, name := range names {
		if d.size+more <= d.limit {
			return
		}
		if err := d.remove(name); err != nil {
			d.logger.Warn("a copy of a file of the lake was not removed", slog.Any("error", err))
			continue
		}
		d.size -= d.copies[name].size
		delete(d.copies, name)
	}
}

// fetch brings files into the folder and holds them there until released.
func (d *depot) fetch(ctx context.Context, files []File) (release func(), err error) {
	if d.remote == nil {
		return func() {}, nil
	}
	total := int64(0)
	for _, f := range files {
		total += f.Bytes
	}
	if total > d.limit {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "this needs %d MiB of the lake's files at once, and %d MiB of them are kept here", total>>20, d.limit>>20),
			"ask of fewer days with since and until, allow more with --lake-cache-mb, or ask the bucket with another program")
	}
	var held []string
	release = sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, name := range held {
			if c := d.copies[name]; c != nil {
				c.pins--
			}
		}
		d.evict(0)
	})
	for _, f := range files {
		if err := d.copy(ctx, f); err != nil {
			release()
			return nil, err
		}
		held = append(held, f.Path())
	}
	return release, nil
}

// copy pins the copy of a file, and makes it if there is none.
func (d *depot) copy(ctx context.Context, f File) error {
	name := f.Path()
	d.mu.Lock()
	if c := d.copies[name]; c != nil {
		d.uses++
		c.used, c.pins = d.uses, c.pins+1
		d.mu.Unlock()
		return nil
	}
	d.evict(f.Bytes)
	d.mu.Unlock()
	// Two that need one file at once both fetch it: what they write is the same.
	tmp, err := os.CreateTemp(d.dir, "fetch-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = d.remote.Get(ctx, name, tmp)
	info, serr := tmp.Stat()
	if err = errors.Join(err, serr, tmp.Close()); err != nil {
		return fmt.Errorf("fetch %s: %w", name, err)
	}
	if info.Size() != f.Bytes {
		return rapport.Errorf(rapport.Unavailable, "fetch %s: %d bytes instead of %d", name, info.Size(), f.Bytes)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.copies[name]
	if c == nil {
		if err := d.install(tmp.Name(), name); err != nil {
			return err
		}
		c = d.keep(name, f.Bytes)
	}
	c.pins++
	return nil
}

// sweep removes what a stop in the middle left: files the manifest does not
// name. It drops from the manifest what somebody removed, and says how many that
// were.
func (d *depot) sweep(ctx context.Context, m *manifest) (missing int, err error) {
	known := map[string]int64{}
	for _, f := range m.Files {
		known[f.Path()] = f.Bytes
	}
	if m.People != nil {
		known[m.People.Path()] = m.People.Bytes
	}
	found, err := d.folder.sweep(func(name string, size int64) bool {
		bytes, ok := known[name]
		return ok && (d.remote == nil || size == bytes)
	})
	if err != nil {
		return 0, err
	}
	if d.remote != nil {
		d.mu.Lock()
		for name, size := range found {
			if d.copies[name] == nil {
				d.keep(name, size)
			}
		}
		d.evict(0)
		d.mu.Unlock()
		if found, err = d.sweepRemote(ctx, known); err != nil {
			return 0, err
		}
	}
	gone := func(f File) bool { _, ok := found[f.Path()]; return !ok }
	before := len(m.Files)
	m.Files = slices.DeleteFunc(m.Files, gone)
	if m.People != nil && gone(*m.People) {
		m.People = nil
	}
	return before - len(m.Files), nil
}

func (d *depot) sweepRemote(ctx context.Context, known map[string]int64) (found map[string]int64, err error) {
	found = map[string]int64{}
	for _, table := range allTables {
		var orphans []string
		err := d.remote.List(ctx, table+"/", func(name string) error {
			if size, ok := known[name]; ok {
				found[name] = size
			} else if strings.HasSuffix(name, ".parquet") {
				orphans = append(orphans, name)
			}
			return nil
		})
		for _, name := range orphans {
			if err == nil {
				err = d.drop(ctx, name)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	for name, size := range known { // forgetting a file is for good: each that is missing is looked for once more
		if _, ok := found[name]; ok {
			continue
		}
		err := d.remote.List(ctx, name, func(n string) error {
			if n == name {
				found[name] = size
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// foreign returns a Parquet file of a bucket that has no manifest: it is not the lake's.
func (d *depot) foreign(ctx context.Context) (name string, err error) {
	stop := errors.New("found")
	for _, table := range allTables {
		err := d.remote.List(ctx, table+"/", func(n string) error { name = n; return stop })
		if err != nil && !errors.Is(err, stop) {
			return "", err
		}
		if name != "" {
			return name, nil
		}
	}
	return "", nil
}
