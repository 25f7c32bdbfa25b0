package local_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
)

func TestAWalkMeetsEveryRecordInTheOrderItBecameDurable(t *testing.T) {
	t.Parallel()
	l := open(t, local.Options{Dir: t.TempDir(), Partitions: 3, SegmentBytes: 2000})
	var want []string
	for i := range 200 {
		r := []eventlog.Record{{Topic: eventlog.Events, Partition: int32(i % 3), Kind: 1, Data: fmt.Appendf(nil, "event %d", i)}}
		if i%10 == 0 {
			r = append(r, eventlog.Record{Topic: eventlog.Control, Kind: 1, Data: fmt.Appendf(nil, "control %d", i)})
		}
		add(t, l, r...)
		for _, x := range r {
			want = append(want, fmt.Sprintf("%s/%d/%d %s", x.Topic, x.Partition, x.Offset, x.Data))
		}
	}
	var got []string
	groups, last := 0, int64(0)
	err := l.Walk(t.Context(), func(done, total int64) {
		if done < last || done > total {
			t.Errorf("%d of %d bytes after %d", done, total, last)
		}
		last = done
	}, func(records []eventlog.Record) error {
		groups++
		for i, j := 0, len(got); i < len(records); i++ {
			x := records[i]
			got = append(got, fmt.Sprintf("%s/%d/%d %s", x.Topic, x.Partition, x.Offset, x.Data))
			if x.Topic == eventlog.Control { // partitions of one group come in no order
				got[j], got[len(got)-1] = got[len(got)-1], got[j]
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(want); i++ {
		if want[i][0] == 'c' {
			want[i-1], want[i] = want[i], want[i-1]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || groups != 200 {
		t.Errorf("%d groups: %s", groups, diff)
	}
	enough := errors.New("enough")
	if err := l.Walk(t.Context(), nil, func([]eventlog.Record) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Walk(ctx, nil, func([]eventlog.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestANewLogBeginsWhereItIsTold(t *testing.T) {
	t.Parallel()
	o := local.Options{Dir: t.TempDir(), Partitions: 2, Begin: func(topic eventlog.Topic, _ int32) int64 {
		if topic == eventlog.Identity {
			return 1000
		}
		return 0
	}}
	l := open(t, o)
	add(t, l, eventlog.Record{Topic: eventlog.Identity, Kind: 1, Data: []byte("x")}, event(0, "y"))
	for range 2 {
		if first, next := l.Bounds(eventlog.Identity, 0); first != 1000 || next != 1001 {
			t.Errorf("bounds %d and %d", first, next)
		}
		if first, next := l.Bounds(eventlog.Events, 0); first != 0 || next != 1 {
			t.Errorf("bounds %d and %d", first, next)
		}
		if _, err := l.Reader(eventlog.Identity, 0, 999); rapport.KindOf(err) != rapport.NotFound {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		o.Begin = func(eventlog.Topic, int32) int64 { return 7 } // it is made already
		l = open(t, o)
	}
}
