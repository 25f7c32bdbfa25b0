package linkage_test

import (
	"syscall"
	"time"
)

// cpuTime is what this thread has used of a processor, which other programs on
// the machine do not change.
func cpuTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if syscall.Getrusage(thread, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
