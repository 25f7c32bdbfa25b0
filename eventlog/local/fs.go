package local

import (
	"io"
	"os"
)

// FS is the part of a file system the log needs. OSFS is the real one; tests
// bring one that fills up, tears writes and forgets what was not synced.
type FS interface {
	Folder
	// Open opens a file with the O_ flags of package os. New files are
	// readable by their owner only.
	Open(name string, flag int) (File, error)
	// MakeDir makes a folder and its parents, readable by their owner only.
	MakeDir(dir string) error
	// Lock takes the exclusive lock of the named file, which it creates, or
	// fails at once. Closing gives it back, and so does the end of the process.
	Lock(name string) (io.Closer, error)
}

// Folder changes the names in a folder. A change is durable once SyncDir of
// the folder has returned nil.
type Folder interface {
	List(dir string) ([]string, error)
	Rename(from, to string) error
	Remove(name string) error
	Link(from, to string) error
	SyncDir(dir string) error
}

// File is an open file. What was written is durable once Sync has returned
// nil; after an error of Sync nothing is known about what it covered.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes data and size durable; other attributes may lag.
	Sync() error
}

// prefetcher is a File that can read ahead in the background.
type prefetcher interface{ Prefetch(offset, size int64) }

// OSFS is the operating system's file system.
type OSFS struct{}

var _ FS = OSFS{}

// Open opens a file.
func (OSFS) Open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// MakeDir makes a folder and its parents.
func (OSFS) MakeDir(dir string) error { return os.MkdirAll(dir, 0o700) }

// List returns the names in a folder, sorted.
func (OSFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// Rename moves a file over another.
func (OSFS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove deletes a file.
func (OSFS) Remove(name string) error { return os.Remove(name) }

// Link gives a file a second name.
func (OSFS) Link(from, to string) error { return os.Link(from, to) }

// SyncDir makes the names in a folder durable.
func (OSFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
