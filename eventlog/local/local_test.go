package local_test

import (
	"testing"

	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/eventlog/local"
)

func TestLocalConforms(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]local.Options{
		"with default sizes":   {},
		"with tiny segments":   {SegmentBytes: 4 << 10},
		"with files only":      {SegmentBytes: 64 << 10, TailBytes: 1},
		"with a small queue":   {MaxQueuedBytes: 2 << 20, TailBytes: 64 << 10},
		"with many partitions": {Partitions: 300, SegmentBytes: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eventlogtest.Run(t, func(t testing.TB, dir string) eventlog.Log {
				o := o
				o.Dir = dir
				l, err := local.Open(o)
				if err != nil {
					t.Fatal(err)
				}
				return l
			})
		})
	}
}
