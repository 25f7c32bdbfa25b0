package state_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

func open(t testing.TB, o state.Options) *state.Store {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := state.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t testing.TB, s *state.Store, pairs ...string) {
	t.Helper()
	b := s.Batch()
	for i := 0; i < len(pairs); i += 2 {
		if err := b.Set([]byte(pairs[i]), []byte(pairs[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
}

func all(t testing.TB, it *state.Iterator, err error) (pairs []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		pairs = append(pairs, string(it.Key()), string(it.Value()))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return pairs
}

func TestAScanSeesASpanInOrderAndNothingElse(t *testing.T) {
	s := open(t, state.Options{Dir: t.TempDir()})
	put(t, s, "b2", "y", "a", "1", "b1", "x", "c", "2")
	it, err := s.Scan([]byte("b"), state.PrefixEnd([]byte("b")))
	if diff := cmp.Diff([]string{"b1", "x", "b2", "y"}, all(t, it, err)); diff != "" {
		t.Error(diff)
	}
}

func TestASnapshotDoesNotSeeLaterBatches(t *testing.T) {
	s := open(t, state.Options{Dir: t.TempDir()})
	put(t, s, "k", "old")
	snap := s.Snapshot()
	put(t, s, "k", "new")
	v, found, err := snap.Get([]byte("k"), nil)
	if err != nil || !found || string(v) != "old" {
		t.Errorf("snapshot reads %q, %v, %v", v, found, err)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	if v, _, _ = s.Get([]byte("k"), []byte(">")); string(v) != ">new" {
		t.Errorf("store reads %q", v)
	}
}

func TestACheckpointOpensWithEverythingCommittedBeforeIt(t *testing.T) {
	s := open(t, state.Options{Dir: t.TempDir()})
	large := strings.Repeat("x", 5000)
	put(t, s, "a", "1", "b", "2", "large", large)
	dir := filepath.Join(t.TempDir(), "copy")
	if err := s.Checkpoint(dir); err != nil {
		t.Fatal(err)
	}
	put(t, s, "c", "3")
	it, err := open(t, state.Options{Dir: dir}).Scan(nil, nil)
	if diff := cmp.Diff([]string{"a", "1", "b", "2", "large", large}, all(t, it, err)); diff != "" {
		t.Error(diff)
	}
}

func TestAfterPowerLossTheStoreHoldsAWholePrefixOfTheBatches(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fs := vfs.NewCrashableMem()
		logger := slog.New(slog.DiscardHandler)
		s, err := state.Open(state.Options{Dir: "/state", FS: fs, MemTableBytes: 256 << 10, Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		flushed, n := 0, 50+rng.IntN(400)
		for i := 1; i <= n; i++ {
			b := s.Batch()
			for j := range 8 {
				_ = b.Set(fmt.Appendf(nil, "k%d", j), fmt.Appendf(nil, "%d %0*d", i, 100+j*100, 0))
			}
			if err := b.Commit(); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(100) == 0 {
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
				flushed = i
			}
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, err = state.Open(state.Options{Dir: "/state", FS: crashed, Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		var at [8]int
		for j := range at {
			if v, found, _ := s.Get(fmt.Appendf(nil, "k%d", j), nil); found {
				_, _ = fmt.Sscan(string(v), &at[j])
			}
		}
		for j := range at {
			if at[j] != at[0] || at[j] < flushed || at[j] > n {
				t.Fatalf("seed %d: batch %v of %d after the crash, flushed %d", seed, at, n, flushed)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAStoreInUseIsAConflict(t *testing.T) {
	dir := t.TempDir()
	open(t, state.Options{Dir: dir})
	_, err := state.Open(state.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if rapport.KindOf(err) != rapport.Conflict || rapport.HintOf(err) == "" {
		t.Errorf("got %v, kind %v", err, rapport.KindOf(err))
	}
}

func TestPrefixEndIsTheFirstKeyAfterASpan(t *testing.T) {
	for _, c := range []struct{ in, want string }{{"a", "b"}, {"a\xff", "b"}, {"\xff\xff", ""}, {"ab", "ac"}} {
		if got := string(state.PrefixEnd([]byte(c.in))); got != c.want {
			t.Errorf("PrefixEnd(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func BenchmarkCommitAndGetOf1400Bytes(b *testing.B) {
	s := open(b, state.Options{Dir: b.TempDir()})
	rng, value, key := rand.New(rand.NewPCG(1, 2)), make([]byte, 1400), make([]byte, 8)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		batch := s.Batch()
		for range 256 {
			for i := range key {
				key[i] = byte(rng.Uint32N(100))
			}
			buf, _, _ = s.Get(key, buf[:0])
			_ = batch.Set(key, value)
		}
		if err := batch.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}
