package local_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/rapport-engine/rapport/eventlog/local"
)

var (
	errPower    = errors.New("the power has failed")
	errPowerNow = errors.New("the power fails")
)

// disk is a file system in memory that behaves like the worst that POSIX
// allows: what was not synced may survive, vanish or turn to garbage when the
// power fails, sector by sector; after a failed sync the data looks written
// and never becomes durable; writes stop short when the disk is full.
type disk struct {
	mu     sync.Mutex
	random *rand.Rand
	names  map[string]*inode // as seen
	safe   map[string]*inode // as synced
	ops    []nameOp          // not synced, in order
	locked map[string]bool
	life   int // files of an earlier life are dead

	room       int64 // bytes left; negative means unlimited
	left       int   // operations until the power fails; 0 means never
	failSyncs  int   // how many syncs of segments fail from now on
	failCuts   bool  // Truncate fails
	noLinks    bool  // Link fails as between volumes
	beforeSync func(name string)
}

type inode struct {
	data  []byte
	safe  []byte
	dirty []write // not synced, in order
}

// write is a change of an inode: data at an offset, or a new size.
type write struct {
	off  int64
	data []byte
	cut  bool
}

// nameOp gives a name to an inode, or takes it away.
type nameOp struct{ set map[string]*inode }

func newDisk(seed uint64) *disk {
	return &disk{
		random: rand.New(rand.NewPCG(seed, 1)), names: map[string]*inode{}, safe: map[string]*inode{},
		locked: map[string]bool{}, room: -1,
	}
}

// process is the disk as one process sees it: after a kill or a crash its
// operations fail.
type process struct {
	*disk
	born int
}

var _ local.FS = process{}

// start begins a process.
func (d *disk) start() process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return process{d, d.life}
}

// step counts an operation and says whether there still is power.
func (d *disk) step(life int) error {
	if life != d.life {
		return errPower
	}
	if d.left > 0 {
		if d.left--; d.left == 0 {
			d.life++
			return errPowerNow
		}
	}
	return nil
}

// crash cuts the power, if it is still on, and brings the disk back as it may
// look then.
func (d *disk) crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
	d.left, d.failSyncs, d.failCuts = 0, 0, false
	clear(d.locked)
	for _, op := range d.ops[:d.random.IntN(len(d.ops)+1)] {
		apply(d.safe, op)
	}
	d.ops = nil
	d.names = maps.Clone(d.safe)
	done := map[*inode]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		n := d.names[name]
		if done[n] {
			continue
		}
		done[n] = true
		mode := d.random.IntN(3)
		for _, w := range n.dirty {
			d.survive(n, w, mode)
		}
		n.dirty = nil
		n.data = slices.Clone(n.safe)
	}
}

// kill ends the process and leaves the disk as it is.
func (d *disk) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
	d.left, d.failSyncs, d.failCuts = 0, 0, false
	clear(d.locked)
}

// survive lets parts of an unsynced write reach the disk.
func (d *disk) survive(n *inode, w write, mode int) {
	const sector = 64 // small, so that small groups tear
	switch {
	case mode == 0 || w.cut && d.random.IntN(2) == 0:
		return
	case w.cut:
		n.safe = resize(n.safe, w.off)
		return
	case mode == 1:
		n.safe = put(n.safe, w)
		return
	}
	for at := 0; at < len(w.data); {
		end := min(len(w.data), (int(w.off)+at)/sector*sector+sector-int(w.off))
		part := write{off: w.off + int64(at), data: w.data[at:end]}
		switch d.random.IntN(3) {
		case 0:
			n.safe = put(n.safe, part)
		case 1:
			garbage := make([]byte, end-at)
			if d.random.IntN(2) == 0 {
				for i := range garbage {
					garbage[i] = byte(d.random.Uint32())
				}
			}
			n.safe = put(n.safe, write{off: part.off, data: garbage})
		}
		at = end
	}
}

func apply(names map[string]*inode, op nameOp) {
	for name, n := range op.set {
		if n == nil {
			delete(names, name)
		} else {
			names[name] = n
		}
	}
}

func (d *disk) change(op nameOp) {
	apply(d.names, op)
	d.ops = append(d.ops, op)
}

func resize(b []byte, size int64) []byte {
	if int64(len(b)) >= size {
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

func put(b []byte, w write) []byte {
	if end := w.off + int64(len(w.data)); end > int64(len(b)) {
		b = resize(b, end)
	}
	copy(b[w.off:], w.data)
	return b
}

func (d process) Open(name string, flag int) (local.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.born != d.life {
		return nil, errPower
	}
	n := d.names[name]
	if n == nil && flag&os.O_CREATE == 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if n == nil {
		if err := d.step(d.born); err != nil {
			return nil, err
		}
		if d.room == 0 {
			return nil, syscall.ENOSPC
		}
		n = &inode{}
		d.change(nameOp{map[string]*inode{name: n}})
	} else if flag&os.O_TRUNC != 0 {
		d.grow(n, -int64(len(n.data)))
		n.data = nil
		n.dirty = append(n.dirty, write{cut: true})
	}
	return &diskFile{d: d.disk, n: n, name: name, life: d.born}, nil
}

// grow accounts for a change of size.
func (d *disk) grow(_ *inode, by int64) {
	if d.room >= 0 {
		d.room = max(0, d.room-by)
	}
}

func (d process) MakeDir(string) error { return nil }

func (d process) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.born != d.life {
		return nil, errPower
	}
	if d.locked[name] {
		return nil, syscall.EWOULDBLOCK
	}
	d.locked[name] = true
	return unlock{d.disk, name, d.born}, nil
}

type unlock struct {
	d    *disk
	name string
	life int
}

func (u unlock) Close() error {
	u.d.mu.Lock()
	defer u.d.mu.Unlock()
	if u.life == u.d.life {
		delete(u.d.locked, u.name)
	}
	return nil
}

func (d process) List(dir string) (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range d.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d process) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(d.born); err != nil {
		return err
	}
	n := d.names[from]
	if n == nil {
		return fs.ErrNotExist
	}
	d.change(nameOp{map[string]*inode{from: nil, to: n}})
	return nil
}

func (d process) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(d.born); err != nil {
		return err
	}
	n := d.names[name]
	if n == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	d.grow(n, -int64(len(n.data)))
	d.change(nameOp{map[string]*inode{name: nil}})
	return nil
}

func (d process) Link(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(d.born); err != nil {
		return err
	}
	if d.noLinks {
		return syscall.EXDEV
	}
	n := d.names[from]
	if n == nil {
		return fs.ErrNotExist
	}
	d.change(nameOp{map[string]*inode{to: n}})
	return nil
}

func (d process) SyncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(d.born); err != nil {
		return err
	}
	d.ops = nil
	d.safe = maps.Clone(d.names)
	return nil
}

type diskFile struct {
	d    *disk
	n    *inode
	name string
	life int
}

func (f *diskFile) ReadAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.life != f.d.life {
		return 0, errPower
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *diskFile) WriteAt(b []byte, off int64) (int, error) {
	d := f.d
	d.mu.Lock()
	defer d.mu.Unlock()
	stepErr := d.step(f.life)
	if stepErr == errPower {
		return 0, stepErr
	}
	if stepErr != nil { // in the middle of this write
		b = b[:d.random.IntN(len(b)+1)]
	}
	var err error
	if by := off + int64(len(b)) - int64(len(f.n.data)); d.room >= 0 && by > d.room {
		b = b[:max(0, int64(len(b))-(by-d.room))]
		err = syscall.ENOSPC
	}
	if len(b) > 0 {
		if by := off + int64(len(b)) - int64(len(f.n.data)); by > 0 {
			d.grow(f.n, by)
		}
		w := write{off: off, data: slices.Clone(b)}
		f.n.data = put(f.n.data, w)
		f.n.dirty = append(f.n.dirty, w)
	}
	if len(f.n.dirty) > 64 { // the kernel writes back by itself
		f.n.flush(32)
	}
	if stepErr != nil {
		return len(b), stepErr
	}
	return len(b), err
}

// flush makes the oldest changes durable.
func (n *inode) flush(count int) {
	for _, w := range n.dirty[:count] {
		if w.cut {
			n.safe = resize(n.safe, w.off)
		} else {
			n.safe = put(n.safe, w)
		}
	}
	n.dirty = slices.Delete(n.dirty, 0, count)
}

func (f *diskFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(f.life); err != nil {
		return err
	}
	if f.d.failCuts {
		return syscall.EIO
	}
	f.d.grow(f.n, size-int64(len(f.n.data)))
	f.n.data = resize(f.n.data, size)
	f.n.dirty = append(f.n.dirty, write{off: size, cut: true})
	return nil
}

func (f *diskFile) Sync() error {
	f.d.mu.Lock()
	before := f.d.beforeSync
	f.d.mu.Unlock()
	if before != nil {
		before(f.name)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step(f.life); err != nil {
		return err
	}
	if f.d.failSyncs > 0 && strings.HasSuffix(f.name, ".seg") {
		f.d.failSyncs--
		// The kernel calls the pages clean and forgets about them.
		for _, w := range f.n.dirty {
			f.d.survive(f.n, w, f.d.random.IntN(3))
		}
		f.n.dirty = nil
		return syscall.EIO
	}
	f.n.flush(len(f.n.dirty))
	return nil
}

func (f *diskFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.life != f.d.life {
		return 0, errPower
	}
	return int64(len(f.n.data)), nil
}

func (f *diskFile) Close() error { return nil }
