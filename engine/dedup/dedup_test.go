package dedup_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine/dedup"
)

func fp(i int) dedup.Fingerprint {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(i)))
	return dedup.Fingerprint(sum[:16])
}

// owner stores what a set drains the way a partition does, so that a crash can
// take it back to an earlier commit.
type owner struct {
	t      testing.TB
	opts   dedup.Options
	set    *dedup.Set
	chunks map[uint64][]byte // durable
	starts map[uint64]int64
}

func newOwner(t testing.TB, o dedup.Options) *owner {
	w := &owner{t: t, opts: o, chunks: map[uint64][]byte{}, starts: map[uint64]int64{}}
	w.open()
	t.Cleanup(func() { w.set.Close() })
	return w
}

func (w *owner) open() {
	set, err := dedup.Open(w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, seq := range slices.Sorted(maps.Keys(w.chunks)) {
		if err := set.Restore(seq, w.starts[seq], w.chunks[seq]); err != nil {
			w.t.Fatal(err)
		}
	}
	w.set = set
}

// commit makes everything seen so far durable.
func (w *owner) commit() {
	w.set.Drain(func(seq uint64, b []byte) {
		w.chunks[seq] = append(w.chunks[seq], b...)
		w.starts[seq] = w.set.Start(seq)
	})
	obsolete, err := w.set.Durable(w.set.Mark())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, seq := range obsolete {
		delete(w.chunks, seq)
	}
}

func (w *owner) restart() {
	if err := w.set.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

func TestARetryWithinTheWindowIsSeen(t *testing.T) {
	t.Parallel()
	w := newOwner(t, dedup.Options{Dir: t.TempDir(), BucketMax: 100, Max: 10_000})
	now := int64(1_700_000_000_000)
	for i := range 5_000 {
		now += 10
		if w.set.Seen(fp(i), now) {
			t.Fatalf("%d is new", i)
		}
		if i%37 == 0 {
			w.commit()
		}
	}
	for i := range 5_000 {
		if !w.set.Seen(fp(i), now) {
			t.Fatalf("%d was forgotten", i)
		}
	}
	if w.set.Len() != 5_000 {
		t.Errorf("holds %d", w.set.Len())
	}
}

func TestWhatLiesBeyondTheWindowIsForgottenAndItsFilesGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newOwner(t, dedup.Options{Dir: dir, Window: time.Hour, BucketMax: 50, Max: 100_000})
	now := int64(0)
	for i := range 20_000 {
		now += 1_000
		w.set.Seen(fp(i), now)
		w.commit()
	}
	if n := w.set.Len(); n < 3_600 || n > 3_600+250 {
		t.Errorf("an hour at one a second holds %d", n)
	}
	w.restart()
	w.commit()
	files, _ := filepath.Glob(filepath.Join(dir, "*.dup"))
	if len(files) > 80 {
		t.Errorf("%d files for 72 buckets", len(files))
	}
	if got := w.set.Window(now); got < time.Hour-time.Minute || got > time.Hour {
		t.Errorf("window %v", got)
	}
}

// TestACrashChangesNoAnswer runs random sequences of events, retries, commits
// and crashes on one set, and the same events without crash or file on
// another: every answer must be the same, for retries of any age.
func TestACrashChangesNoAnswer(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			o := dedup.Options{Window: time.Minute, BucketMax: 1 + rng.IntN(64), Max: 50 + rng.IntN(1000)}
			o.Dir = t.TempDir()
			crashing := newOwner(t, o)
			o.Dir = t.TempDir()
			calm := newOwner(t, o)
			type call struct {
				fp  dedup.Fingerprint
				now int64
			}
			var sinceCommit []call
			now, next := int64(0), 0
			for range 6_000 {
				switch r := rng.IntN(200); {
				case r == 0: // crash: back to the last commit, then replay
					crashing.restart()
					for _, c := range sinceCommit {
						crashing.set.Seen(c.fp, c.now)
					}
				case r < 8:
					crashing.commit()
					sinceCommit = sinceCommit[:0]
				default:
					now += int64(rng.IntN(200))
					id := next
					if rng.IntN(3) == 0 && next > 0 {
						id = max(0, next-1-rng.IntN(1500))
					} else {
						next++
					}
					c := call{fp(id), now}
					sinceCommit = append(sinceCommit, c)
					if a, b := crashing.set.Seen(c.fp, c.now), calm.set.Seen(c.fp, c.now); a != b {
						t.Fatalf("id %d at %d: %v after crashes, %v without", id, now, a, b)
					}
				}
			}
		})
	}
}

func TestADamagedFileIsReportedWithWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newOwner(t, dedup.Options{Dir: dir, BucketMax: 64, Max: 10_000})
	for i := range 1_000 {
		w.set.Seen(fp(i), int64(i))
	}
	for range 40 {
		w.commit()
		w.restart()
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.dup"))
	if len(files) == 0 {
		t.Fatal("no files were written")
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		bad := slices.Clone(whole)
		bad[at] ^= 0x40
		if err := os.WriteFile(files[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := dedup.Open(dedup.Options{Dir: dir})
		if err == nil {
			s.Close()
			err = dedup.Verify(dir)
		} else if rapport.HintOf(err) == "" {
			t.Fatalf("byte %d: no hint in %v", at, err)
		}
		if rapport.KindOf(err) != rapport.Internal {
			t.Fatalf("byte %d: damage went unnoticed: %v", at, err)
		}
	}
}

func BenchmarkSeen(b *testing.B) {
	for _, held := range []int{0, 1 << 20, 4 << 20} {
		b.Run(fmt.Sprintf("new/held=%d", held), func(b *testing.B) {
			w := filled(b, held)
			rng := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			for b.Loop() {
				var f dedup.Fingerprint
				binary.LittleEndian.PutUint64(f[:], rng.Uint64())
				binary.LittleEndian.PutUint64(f[8:], rng.Uint64())
				w.set.Seen(f, 1)
			}
		})
		if held > 0 {
			b.Run(fmt.Sprintf("duplicate/held=%d", held), func(b *testing.B) {
				w := filled(b, held)
				rng := rand.New(rand.NewPCG(1, 2))
				b.ReportAllocs()
				for b.Loop() {
					if !w.set.Seen(fp(rng.IntN(held)), 1) {
						b.Fatal("forgotten")
					}
				}
			})
		}
	}
}

func filled(b *testing.B, held int) *owner {
	w := newOwner(b, dedup.Options{Dir: b.TempDir(), Max: 64 << 20})
	for i := range held {
		w.set.Seen(fp(i), 1)
		if i%(64<<10) == 0 {
			w.commit()
		}
	}
	for range held >> 17 {
		w.commit()
		w.restart()
	}
	return w
}
