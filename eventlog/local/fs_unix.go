//go:build unix

package local

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Lock takes the flock of a file.
func (OSFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return flock{f}, nil
}

type flock struct{ *os.File }

// Close gives the lock back even if a child process that is just starting has
// a copy of the file.
func (f flock) Close() error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	if e := f.File.Close(); err == nil {
		err = e
	}
	return err
}
