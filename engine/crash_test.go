package engine_test

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog/local"
)

const (
	crashDir  = "RAPPORT_CRASH_DIR"
	crashFrom = "RAPPORT_CRASH_FROM"
	crashTrim = "RAPPORT_CRASH_TRIM" // trims as it goes
	crashSeed = 4711
)

// crashWorld is a world on disk.
func crashWorld(t testing.TB, dir string) *world {
	w := newWorld(t, 4, testFolds()...)
	w.dir = dir
	o := local.Options{Dir: filepath.Join(dir, "log"), Partitions: 4, Clock: w.clock, SegmentBytes: 1 << 20}
	if os.Getenv(crashTrim) != "" {
		o.SegmentBytes = 1 << 12
		w.opts.TrimFloor = func(int32) int64 { return math.MaxInt64 }
	}
	l, err := local.Open(o)
	w.must(err)
	t.Cleanup(func() { _ = l.Close() })
	w.log = l
	return w
}

// TestCrashChild is the process that is killed: it tells a history, a line on
// standard output for each submission that was acknowledged.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("runs as a child of the crash test only")
	}
	from, err := strconv.Atoi(os.Getenv(crashFrom))
	if err != nil {
		t.Fatal(err)
	}
	w := crashWorld(t, dir)
	w.opts.Limits.FlushEvery = 20 * time.Millisecond // so that crashes meet stores of every age
	w.start()
	l := live(crashSeed, 2000, 40)
	for i := from; i < len(l.submissions); i++ {
		l.tell(w, i, i+1)
		fmt.Printf("told %d\n", i)
	}
	fmt.Println("told all")
	<-t.Context().Done()
}

func TestAfterKillsEveryAcknowledgedEventIsFoldedOnce(t *testing.T) {
	l := live(crashSeed, 2000, 40)
	dir := t.TempDir()
	r := rng(9)
	kills, next := 0, 0
	for next < len(l.submissions) {
		told := runUntilKilled(t, dir, next, 1+r.IntN(2*len(l.submissions)/30))
		next += told
		kills++
	}
	w := crashWorld(t, dir)
	w.start()
	l.check(w)
	want := w.hash()
	w.stop()
	t.Logf("%d kills, %d submissions", kills, len(l.submissions))

	v := newWorld(t, 4, testFolds()...)
	v.clock, v.opts.Clock = w.clock, w.clock
	v.log = replayed(t, w.log)
	v.opts.Limits = engine.Limits{CommitEntities: 100}
	v.start()
	if diff := cmp.Diff(want, v.hash()); diff != "" {
		t.Errorf("a clean replay differs: %s", diff)
	}
}

// runUntilKilled starts a child at a submission, kills it after it told so
// many, and returns how many it told in all.
func runUntilKilled(t *testing.T, dir string, from, tell int) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
	// What the child puts aside goes where this test tidies up: killed, it does not itself.
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashFrom+"="+strconv.Itoa(from), "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	told := 0
	var rest []string
	for s := bufio.NewScanner(out); s.Scan(); {
		switch line := s.Text(); {
		case line == "told all":
			_ = cmd.Process.Kill()
		case strings.HasPrefix(line, "told "):
			if told++; told == tell {
				_ = cmd.Process.Kill()
			}
		default:
			rest = append(rest, line)
		}
	}
	_ = cmd.Wait()
	if told == 0 {
		t.Fatalf("the child told nothing:\n%s", strings.Join(rest, "\n"))
	}
	return told
}
