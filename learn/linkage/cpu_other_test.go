//go:build !linux

package linkage_test

import "time"

// cpuTime is not known of one thread here.
func cpuTime() time.Duration { return 0 }
