//go:build unix

package query

import (
	"fmt"
	"syscall"
)

// confine takes from the process what it does not need: it can write no file,
// leaves no core, ends after so much processor time, and is last in line.
func confine(t *task) error {
	cpu := uint64(t.Seconds*max(t.Threads, 1) + 5)
	for resource, most := range map[int]uint64{syscall.RLIMIT_FSIZE: 0, syscall.RLIMIT_CORE: 0, syscall.RLIMIT_CPU: cpu} {
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("confine the process: %w", err)
		}
	}
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10) // a favour to others; nothing depends on it
	return nil
}
