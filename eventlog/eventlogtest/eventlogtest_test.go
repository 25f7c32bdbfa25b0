package eventlogtest_test

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
)

func TestMemoryConforms(t *testing.T) {
	t.Parallel()
	eventlogtest.Run(t, memories())
}

func TestChaosWithoutFaultsConforms(t *testing.T) {
	t.Parallel()
	open := memories()
	eventlogtest.Run(t, func(t testing.TB, dir string) eventlog.Log {
		return eventlogtest.NewChaos(open(t, dir), eventlogtest.Faults{})
	})
}

// memories opens logs in memory by folder.
func memories() func(testing.TB, string) eventlog.Log {
	var mu sync.Mutex
	logs := map[string]*eventlogtest.Memory{}
	return func(_ testing.TB, dir string) eventlog.Log {
		mu.Lock()
		defer mu.Unlock()
		if m := logs[dir]; m != nil {
			logs[dir] = m.Reopen()
		} else {
			logs[dir] = eventlogtest.NewMemory(3)
		}
		return logs[dir]
	}
}

// A consumer that skips offsets it has seen and ids it knows sees every record
// once, whatever chaos does.
func TestChaosLosesNothingForThoseWhoRetryAndDeduplicate(t *testing.T) {
	t.Parallel()
	const n = 2000
	for seed := range uint64(5) {
		c := eventlogtest.NewChaos(eventlogtest.NewMemory(2), eventlogtest.Faults{
			Seed: seed, Refuse: 0.1, LoseAnswer: 0.1, Repeat: 0.7, Reassign: 0.2, Back: 100,
		})
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range n {
				data := binary.BigEndian.AppendUint32(nil, uint32(i))
				for {
					err := eventlog.Append(t.Context(), c, eventlog.Record{Topic: eventlog.Events, Kind: 1, Data: data})
					if err == nil {
						break
					}
					if rapport.KindOf(err) != rapport.Unavailable {
						t.Error(err)
						return
					}
				}
			}
			c.Heal()
		})
		r, err := c.Reader(eventlog.Events, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[uint32]bool{}
		next, again, doubled := int64(0), 0, 0
		for i := 0; len(seen) < n; i++ {
			if i%50 == 10 {
				c.Reassign()
			}
			records, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, rec := range records {
				switch {
				case rec.Offset < next:
					again++
					continue
				case rec.Offset > next:
					t.Fatalf("offset %d where %d is due", rec.Offset, next)
				}
				next++
				id := binary.BigEndian.Uint32(rec.Data)
				if seen[id] {
					doubled++
				}
				seen[id] = true
			}
		}
		wg.Wait()
		if again == 0 || doubled == 0 {
			t.Errorf("seed %d: %d records delivered again and %d appended twice, want some of each: %+v", seed, again, doubled, c.Injected())
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
