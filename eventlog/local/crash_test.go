package local_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
)

// crashDir tells the test binary to be the process that gets killed.
const crashDir = "RAPPORT_EVENTLOG_CRASH_DIR"

const crashWriters = 24

// TestMain turns the test binary into a process under load if asked to.
func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		appendForever(dir)
		return
	}
	os.Exit(m.Run())
}

// appendForever appends from many goroutines and writes one line for each
// acknowledged record, until it is killed.
func appendForever(dir string) {
	l, err := local.Open(crashOptions(dir))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	start := time.Now().UnixNano()
	for who := range crashWriters {
		go func() {
			for n := int64(0); ; n++ {
				p := int32(n+int64(who)) % 4
				data := binary.BigEndian.AppendUint64(nil, uint64(start))
				data = binary.BigEndian.AppendUint32(data, uint32(who))
				data = binary.BigEndian.AppendUint64(data, uint64(n))
				records := []eventlog.Record{{Topic: eventlog.Events, Partition: p, Kind: 1, Data: append(data, make([]byte, n%300)...)}}
				if err := eventlog.Append(neverDone{}, l, records...); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				line := fmt.Appendf(nil, "%d %d %d %d %d\n", p, records[0].Offset, start, who, n)
				if _, err := os.Stdout.Write(line); err != nil { // one call, so whole lines
					os.Exit(1)
				}
			}
		}()
	}
	select {}
}

// neverDone is the context of a process that only a kill ends.
type neverDone struct{}

func (neverDone) Deadline() (time.Time, bool) { return time.Time{}, false }
func (neverDone) Done() <-chan struct{}       { return nil }
func (neverDone) Err() error                  { return nil }
func (neverDone) Value(any) any               { return nil }

func crashOptions(dir string) local.Options {
	return local.Options{Dir: dir, Partitions: 4, SegmentBytes: 256 << 10, TailBytes: 64 << 10}
}

type crashKey struct {
	start, n int64
	who      uint32
}

// After kill -9 under load, again and again, every acknowledged record is
// there, at the offset it was given, once, and each writer's in order.
func TestEveryAcknowledgedRecordSurvivesKill9(t *testing.T) {
	t.Parallel()
	kills := 30
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 9))
	acknowledged := map[crashKey]position{}
	for range kills {
		runAndKill(t, dir, acknowledged, 1+random.IntN(3000))
	}
	l, err := local.Open(crashOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if n := l.Stats().Damaged; n > 0 {
		t.Errorf("%d places damaged", n)
	}
	found := map[crashKey]bool{}
	total := 0
	for p := range int32(4) {
		_, next := l.Bounds(eventlog.Events, p)
		r, err := l.Reader(eventlog.Events, p, 0)
		if err != nil {
			t.Fatal(err)
		}
		order := map[crashKey]int64{}
		for at := int64(0); at < next; {
			records, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, rec := range records {
				k := crashKey{
					start: int64(binary.BigEndian.Uint64(rec.Data)),
					who:   binary.BigEndian.Uint32(rec.Data[8:]),
					n:     int64(binary.BigEndian.Uint64(rec.Data[12:])),
				}
				if rec.Offset != at || found[k] {
					t.Fatalf("record %+v at offset %d of partition %d: seen before %v, offset due %d", k, rec.Offset, p, found[k], at)
				}
				found[k] = true
				if want, ok := acknowledged[k]; ok && want != (position{p, at}) {
					t.Fatalf("record %+v is at %d/%d, was acknowledged at %+v", k, p, at, want)
				}
				writer := crashKey{start: k.start, who: k.who}
				if last, ok := order[writer]; ok && k.n <= last {
					t.Fatalf("record %+v follows number %d of the same writer", k, last)
				}
				order[writer] = k.n
				at++
				total++
			}
		}
		_ = r.Close()
	}
	for k, at := range acknowledged {
		if !found[k] {
			t.Fatalf("record %+v, acknowledged at %+v, is lost", k, at)
		}
	}
	t.Logf("%d kills, %d records acknowledged, %d in the log", kills, len(acknowledged), total)
}

type position struct {
	partition int32
	offset    int64
}

// runAndKill starts a process, kills it once it has acknowledged some records,
// and notes all it acknowledged.
func runAndKill(t *testing.T, dir string, acknowledged map[crashKey]position, after int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == after {
			_ = cmd.Process.Kill()
		}
		var k crashKey
		var at position
		if _, err := fmt.Sscanf(lines.Text(), "%d %d %d %d %d", &at.partition, &at.offset, &k.start, &k.who, &k.n); err != nil {
			t.Errorf("the process said %q", lines.Text())
			break
		}
		acknowledged[k] = at
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed, as it should be
}
