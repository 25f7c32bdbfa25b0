package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
)

// life is a random history of people who sign in, are told apart again, and
// are erased, with what must be known of each at its end.
type life struct {
	submissions []submission
	person      []int // of each member
	counted     []int // events of each member
}

type submission struct {
	at      int64 // Unix ms
	settle  bool  // let everything that is on its way arrive first
	records func(partitions int) []eventlog.Record
}

// live makes a history of n submissions over that many members. A member is a
// fragment, and the entity it is minted as.
func live(seed uint64, n, members int) *life {
	r := rng(seed)
	l := &life{person: make([]int, members), counted: make([]int, members)}
	for i := range members {
		l.person[i] = i
	}
	at, version, message := int64(1_700_000_000_000), int64(0), 0
	add := func(fn func(partitions int) []eventlog.Record) {
		l.submissions = append(l.submissions, submission{at: at, records: fn})
	}
	stale := slices.Clone(l.person) // what a slow door believes
	for range n {
		at += int64(1 + r.IntN(400))
		switch k := r.IntN(100); {
		case k < 80: // a few events, some stamped by a slow door, some sent twice
			type sent struct {
				e    rapport.Event
				from int
			}
			var batch []sent
			for range 1 + r.IntN(5) {
				message++
				m := r.IntN(members)
				entity := l.person[m]
				if r.IntN(10) == 0 {
					entity = stale[m]
				}
				l.counted[m]++
				e := rapport.Event{
					Type: rapport.TypeTrack, Name: string(rune('a' + r.IntN(4))), MessageID: fmt.Sprintf("m%d", message), Source: "s",
					Timestamp: at - int64(r.IntN(2))*int64(r.IntN(60)), ReceivedAt: at, Entity: id(entity), Fragment: id(m),
				}
				if e.Timestamp < at && erasedSince(l, m) {
					e.Timestamp = at
				}
				if r.IntN(4) == 0 {
					e.Properties = rapport.FieldsOf(map[string]any{"friend": id(r.IntN(members)).String()})
				}
				batch = append(batch, sent{e, m})
				if r.IntN(8) == 0 {
					batch = append(batch, sent{e, m})
				}
			}
			add(func(partitions int) (out []eventlog.Record) {
				for _, s := range batch {
					out = append(out, engine.EventRecord(&s.e, engine.Fingerprint("s", s.e.MessageID), int32(id(s.from).Partition(partitions))))
				}
				return out
			})
		case k < 87: // two people are one
			a, b := l.person[r.IntN(members)], l.person[r.IntN(members)]
			if a == b {
				continue
			}
			copy(stale, l.person)
			for i := range l.person {
				if l.person[i] == b {
					l.person[i] = a
				}
			}
			link := fmt.Sprintf("l%d", at)
			add(func(partitions int) []eventlog.Record {
				return []eventlog.Record{engine.MergeRecord(partitions, id(b), id(a), link)}
			})
		case k < 92: // they were not
			m := r.IntN(members)
			whole := l.person[m]
			if whole == m {
				continue
			}
			copy(stale, l.person)
			l.person[m] = m
			link := fmt.Sprintf("l%d", at)
			add(func(partitions int) []eventlog.Record {
				return engine.SplitRecords(partitions, id(whole), id(m), id(m), link)
			})
			l.submissions[len(l.submissions)-1].settle = r.IntN(4) > 0
		case k < 94: // a person is forgotten
			m := r.IntN(members)
			whole := l.person[m]
			var merged []rapport.ID
			for i := range l.person {
				if l.person[i] == whole {
					merged = append(merged, id(i))
					l.person[i], l.counted[i] = i, 0
				}
			}
			copy(stale, l.person)
			at += 100
			add(func(partitions int) []eventlog.Record {
				return engine.EraseRecords(partitions, id(whole), merged, "job")
			})
			l.submissions[len(l.submissions)-1].settle = true
			at += 100
		case k < 96:
			version++
			v := version
			add(func(partitions int) []eventlog.Record { return engine.BarrierRecords(partitions, v) })
		default: // nothing happens for a while
			at += int64(r.IntN(20_000))
			add(func(partitions int) (out []eventlog.Record) {
				for p := range partitions {
					out = append(out, eventlog.Record{Topic: eventlog.Events, Partition: int32(p), Kind: engine.KindTick})
				}
				return out
			})
		}
	}
	return l
}

// erasedSince reports whether a member has no events, as after an erasure.
func erasedSince(l *life, m int) bool { return l.counted[m] == 1 }

// tell submits the history to a log.
func (l *life) tell(w *world, from, to int) {
	w.t.Helper()
	for _, s := range l.submissions[from:to] {
		if d := time.UnixMilli(s.at).Sub(w.clock.Now()); d > 0 {
			w.clock.advance(d)
		}
		if s.settle {
			w.view(id(0), func(*engine.View) {})
		}
		records := s.records(w.partitions())
		for {
			err := eventlog.Append(w.t.Context(), w.log, records...)
			if err == nil {
				break
			}
			if rapport.KindOf(err) != rapport.Unavailable {
				w.t.Fatal(err)
			}
		}
	}
}

// check compares what an engine knows with what must be known.
func (l *life) check(w *world) {
	w.t.Helper()
	want := map[int]int{}
	for m, p := range l.person {
		want[p] += l.counted[m]
	}
	for m, p := range l.person {
		got := -1
		if want[p] > 0 {
			got = w.total(id(m))
			w.view(id(m), func(v *engine.View) {
				if v.ID() != id(p) && l.counted[m] > 0 {
					w.t.Errorf("member %d is part of %v, want %v", m, v.ID(), id(p))
				}
			})
		} else {
			got = w.total(id(p))
		}
		if l.counted[m] > 0 && got != want[p] {
			w.t.Errorf("person %d, by member %d: %d events, want %d", p, m, got, want[p])
		}
		if want[p] == 0 && got != 0 {
			w.t.Errorf("erased person %d has %d events", p, got)
		}
	}
}

func testFolds() []engine.Fold {
	return []engine.Fold{counts{}, coldCounts{counts{cold: true}}, diary{}}
}

// logOf returns the records of every partition.
func logOf(t testing.TB, l eventlog.Log) (out []eventlog.Record) {
	t.Helper()
	for p := range int32(l.Partitions(eventlog.Events)) {
		first, next := l.Bounds(eventlog.Events, p)
		if first == next {
			continue
		}
		r, err := l.Reader(eventlog.Events, p, first)
		if err != nil {
			t.Fatal(err)
		}
		for at := first; at < next; {
			records, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, rec := range records {
				if rec.Offset < next {
					out = append(out, rec)
				}
			}
			at = records[len(records)-1].Offset + 1
		}
		_ = r.Close()
	}
	return out
}

func TestWhateverHappensEveryEventIsCountedOnceForTheRightPerson(t *testing.T) {
	for seed := range uint64(12) {
		for _, partitions := range []int{1, 3, 8} {
			w := newWorld(t, partitions, testFolds()...).start()
			l := live(seed, 250, 12)
			l.tell(w, 0, len(l.submissions))
			l.check(w)
			if t.Failed() {
				t.Fatalf("seed %d, %d partitions", seed, partitions)
			}
			w.stop()
		}
	}
}

func TestAReplayGivesTheSameStateWhateverTheBatches(t *testing.T) {
	for seed := range uint64(8) {
		w := newWorld(t, 3, testFolds()...).start()
		l := live(100+seed, 250, 12)
		r := rng(seed)
		for at := 0; at < len(l.submissions); {
			to := min(at+r.IntN(60), len(l.submissions))
			l.tell(w, at, to)
			at = to
			switch r.IntN(4) {
			case 0:
				w.restart()
			case 1:
				w.must(w.eng.Flush(t.Context()))
			}
		}
		l.check(w)
		want := w.hash()
		w.stop()
		for _, limits := range []engine.Limits{
			{CacheEntities: 1, CommitEntities: 1},
			{CacheEntities: 1 << 20, CommitEntities: 1 << 20, CommitBytes: 1 << 30, CommitAge: time.Hour},
			{CommitEntities: 7, CacheBytes: 1},
		} {
			v := newWorld(t, 3, testFolds()...)
			v.clock, v.opts.Clock = w.clock, w.clock
			v.log = replayed(t, w.log)
			v.opts.Limits = limits
			v.start()
			if diff := cmp.Diff(want, v.hash()); diff != "" {
				t.Fatalf("seed %d, limits %+v: %s", seed, limits, diff)
			}
			v.stop()
		}
	}
}

// replayed returns a log with the records of l. A replay derives the records
// again that were derived then: copies, which change nothing.
func replayed(t testing.TB, l eventlog.Log) eventlog.Log {
	m := eventlogtest.NewMemory(l.Partitions(eventlog.Events))
	records := logOf(t, l)
	if err := m.Submit(records).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPeopleAreTheSameWithAnotherNumberOfPartitions(t *testing.T) {
	for seed := range uint64(6) {
		l := live(200+seed, 250, 12)
		var want uint64
		for i, partitions := range []int{1, 2, 7, 16} {
			w := newWorld(t, partitions, counts{}, coldCounts{counts{cold: true}}).start()
			l.tell(w, 0, len(l.submissions))
			l.check(w)
			if got := w.hash().People; i == 0 {
				want = got
			} else if got != want {
				t.Errorf("seed %d, %d partitions: people %x, want %x", seed, partitions, got, want)
			}
			w.stop()
		}
	}
}

func TestALogThatRepeatsRefusesAndReassignsChangesNothing(t *testing.T) {
	for seed := range uint64(6) {
		l := live(300+seed, 200, 10)
		w := newWorld(t, 4, testFolds()...)
		chaos := eventlogtest.NewChaos(w.memory, eventlogtest.Faults{
			Seed: seed, Refuse: 0.05, LoseAnswer: 0.1, Repeat: 0.5, Reassign: 0.1, Back: 50,
		})
		w.log = chaos
		w.start()
		for at := 0; at < len(l.submissions); at += 50 {
			l.tell(w, at, min(at+50, len(l.submissions)))
			w.restart()
		}
		chaos.Heal()
		l.check(w)
		if n := chaos.Injected(); n.Repeated == 0 || n.Reassigned == 0 {
			t.Errorf("nothing went wrong: %+v", n)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		w.stop()
	}
}

// TestCrashesOnALogThatRepeatsAndReassignsLoseNothing throws state back to an
// earlier whole commit now and then, as a crash does, while the log repeats,
// refuses and reassigns; in the end the state is that of a clean replay.
func TestCrashesOnALogThatRepeatsAndReassignsLoseNothing(t *testing.T) {
	crashes := 0
	for seed := range uint64(6) {
		l := live(700+seed, 250, 12)
		r := rng(seed)
		w := newWorld(t, 4, testFolds()...)
		chaos := eventlogtest.NewChaos(w.memory, eventlogtest.Faults{
			Seed: seed, Refuse: 0.05, LoseAnswer: 0.1, Repeat: 0.5, Reassign: 0.1, Back: 50,
		})
		w.log = chaos
		w.start()
		kept := t.TempDir()
		saved := 0
		for at := 0; at < len(l.submissions); {
			to := min(at+1+r.IntN(40), len(l.submissions))
			l.tell(w, at, to)
			switch at = to; {
			case saved == 0 || r.IntN(3) == 0:
				saved++
				w.must(w.eng.Flush(t.Context()))
				to := filepath.Join(kept, strconv.Itoa(saved))
				w.must(os.CopyFS(filepath.Join(to, "dedup"), os.DirFS(w.opts.DedupDir)))
				w.must(w.store.Checkpoint(filepath.Join(to, "state")))
			default:
				crashes++
				w.stop()
				w.must(os.RemoveAll(w.dir))
				w.must(os.CopyFS(w.dir, os.DirFS(filepath.Join(kept, strconv.Itoa(saved)))))
				w.start()
			}
		}
		chaos.Heal()
		l.check(w)
		want := w.hash()
		if n := chaos.Injected(); n.Refused == 0 || n.AnswersLost == 0 || n.Repeated == 0 || n.Reassigned == 0 {
			t.Errorf("nothing went wrong: %+v", n)
		}
		w.stop()
		v := newWorld(t, 4, testFolds()...)
		v.clock, v.opts.Clock = w.clock, w.clock
		v.log = replayed(t, w.memory)
		v.opts.Limits = engine.Limits{CommitEntities: 3}
		v.start()
		if diff := cmp.Diff(want, v.hash()); diff != "" {
			t.Errorf("a clean replay differs: %s", diff)
		}
		v.stop()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d crashes", crashes)
}
