package local

import (
	"errors"
	"os"
	"syscall"
)

// Sync calls fdatasync, which leaves out the times of the file.
func (f osFile) Sync() error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EINTR):
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}

// Prefetch asks the kernel to read a range into its cache.
func (f osFile) Prefetch(offset, size int64) {
	const willNeed = 3 // POSIX_FADV_WILLNEED
	_, _, _ = syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), uintptr(offset), uintptr(size), willNeed, 0, 0)
}
