package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/engine/dedup"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
	"github.com/rapport-engine/rapport/state"
)

// verdict is what an examination found.
type verdict string

const (
	fine    verdict = "ok"
	warning verdict = "warn"
	failure verdict = "FAIL"
)

// finding is one line of the doctor's table.
type finding struct {
	verdict verdict
	subject string
	found   string
	hint    string
}

// doctor collects findings.
type doctor struct {
	env      Env
	findings []finding
}

func (d *doctor) add(v verdict, subject, found, hint string) {
	d.findings = append(d.findings, finding{v, subject, found, hint})
}

// fail adds an error, with its hint.
func (d *doctor) fail(subject string, err error) {
	d.add(failure, subject, err.Error(), rapport.HintOf(err))
}

// runDoctor examines a data folder, or with --server a running server.
func runDoctor(ctx context.Context, env Env, flags *flag.FlagSet) error {
	dir := flags.String("data", defaults().Data, "`folder` of a stopped server")
	var server remoteFlags
	server.flags(flags)
	if _, err := parse(env, flags, 0, 0); err != nil {
		return err
	}
	online := false
	flags.Visit(func(f *flag.Flag) { online = online || f.Name == "server" })
	for _, arg := range env.Args { // asked for here, whatever server the environment names
		if name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "="); strings.HasPrefix(arg, "-") && name == "data" {
			online = false
		}
	}
	d := &doctor{env: env}
	if online {
		if err := d.examineServer(ctx, &server); err != nil {
			return err
		}
	} else {
		d.examineFolder(ctx, *dir)
	}
	d.print(env.Stdout)
	bad := 0
	for _, f := range d.findings {
		if f.verdict == failure {
			bad++
		}
	}
	if bad > 0 {
		return rapport.Errorf(rapport.Internal, "%s", plural(int64(bad), "examination failed", "examinations failed"))
	}
	return nil
}

func (d *doctor) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range d.findings {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.verdict, f.subject, f.found)
		if f.hint != "" {
			fmt.Fprintf(t, "\t\t%s\n", f.hint)
		}
	}
	_ = t.Flush()
}

// examineFolder looks at everything a server would need to start.
func (d *doctor) examineFolder(ctx context.Context, dir string) {
	names, err := dataNames(dir)
	switch {
	case err != nil:
		d.fail("data folder", err)
		return
	case len(names) == 0:
		d.add(failure, "data folder", dir+" is empty or does not exist", "name the folder with --data")
		return
	}
	if err := idle(dir); err != nil {
		d.add(failure, "data folder", err.Error(), "stop the server to examine its files, or ask the running one with --server URL")
		return
	}
	if err := restored(dir); err != nil {
		d.fail("data folder", err)
		return
	}
	d.examinePermissions(dir)
	d.examineKey(dir)
	d.examineSpace(dir)
	d.examineLedger(dir)
	d.examineState(dir)
	d.examineDedup(dir)
	d.examineLog(ctx, dir)
}

func (d *doctor) examinePermissions(dir string) {
	open := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && path != dir {
			open++
		}
		return err
	})
	info, serr := os.Stat(dir)
	switch {
	case err != nil || serr != nil:
		d.fail("permissions", errors.Join(err, serr))
	case info.Mode().Perm()&0o077 != 0:
		d.add(warning, "permissions", fmt.Sprintf("%s may be opened by others (mode %03o)", dir, info.Mode().Perm()), "chmod 700 "+dir)
	default:
		d.add(fine, "permissions", "for the owner alone", "")
	}
	probe, err := os.CreateTemp(dir, ".doctor-*")
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		d.add(failure, "permissions", "the folder cannot be written to: "+err.Error(), "run as the user the server runs as")
	}
}

func (d *doctor) examineKey(dir string) {
	path := filepath.Join(dir, "deployment.key")
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.add(failure, "deployment key", path+" is missing", "restore it from a backup; without it no identifier finds its person")
		return
	case err != nil:
		d.fail("deployment key", err)
		return
	}
	if _, err := deploymentKey(dir); err != nil {
		d.fail("deployment key", err)
		return
	}
	if info.Mode().Perm()&0o077 != 0 {
		d.add(warning, "deployment key", fmt.Sprintf("others may read it (mode %03o)", info.Mode().Perm()), "chmod 600 "+path)
		return
	}
	d.add(fine, "deployment key", "readable, for the owner alone", "")
}

// Below these shares and sizes of free space the doctor warns and fails.
const (
	spaceWarn, spaceFail = 0.10, 0.02
	spaceLeast           = 256 << 20
)

func (d *doctor) examineSpace(dir string) {
	free, total, err := diskSpace(dir)
	if err != nil {
		d.add(warning, "disk space", "cannot be told: "+err.Error(), "")
		return
	}
	v, hint := fine, ""
	switch share := float64(free) / float64(max(total, 1)); {
	case share < spaceFail || free < spaceLeast:
		v, hint = failure, "free some: a server that cannot write takes no events"
	case share < spaceWarn:
		v, hint = warning, "the log and the compaction of the state need room"
	}
	d.add(v, "disk space", fmt.Sprintf("%s of %s free", sized(free), sized(total)), hint)
}

// sized writes bytes for people.
func sized(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

func (d *doctor) examineLedger(dir string) {
	path := filepath.Join(dir, ledgerName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return
	}
	l, err := openLedger(path)
	if err != nil {
		d.fail("erasures", err)
		return
	}
	waiting := 0
	for _, e := range l.list() {
		if e.Scrubbed == 0 {
			waiting++
		}
	}
	d.add(fine, "erasures", fmt.Sprintf("%s, %d wait to leave the files", plural(int64(len(l.list())), "person", "people"), waiting), "")
}

func (d *doctor) examineState(dir string) {
	path := filepath.Join(dir, "state")
	if !isDir(path) {
		d.add(warning, "state", "there is none", "it is folded from the log at the next start, which takes a while")
		return
	}
	s, err := state.Open(state.Options{Dir: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		d.fail("state", err)
		return
	}
	size := s.Metrics().DiskBytes
	if err := s.Close(); err != nil {
		d.fail("state", err)
		return
	}
	d.add(fine, "state", fmt.Sprintf("opens, %s", sized(int64(size))), "")
}

func (d *doctor) examineDedup(dir string) {
	folders, err := filepath.Glob(filepath.Join(dir, "dedup", "*"))
	bad := 0
	for _, f := range folders {
		if verr := dedup.Verify(f); verr != nil {
			d.fail("deduplication", verr)
			bad++
		}
	}
	switch {
	case err != nil:
		d.fail("deduplication", err)
	case bad == 0:
		d.add(fine, "deduplication", plural(int64(len(folders)), "folder", "folders")+", every file agrees with its checksum", "")
	}
}

// examineLog reads every byte of the log, and the configuration in it.
func (d *doctor) examineLog(ctx context.Context, dir string) {
	path := filepath.Join(dir, "log")
	if !isDir(path) {
		d.add(failure, "log", path+" is missing", "restore a backup; a server would begin anew")
		return
	}
	l, err := local.Open(local.Options{Dir: path, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		d.fail("log", err)
		return
	}
	defer l.Close()
	begun := time.Now()
	found, err := l.Verify(ctx, func(done, total int64) {
		if isTerminal(d.env.Stderr) {
			fmt.Fprintf(d.env.Stderr, "\r\x1b[K%s log: %s of %s", bar(float64(done)/float64(max(total, 1)), 24), sized(done), sized(total))
		}
	})
	if isTerminal(d.env.Stderr) {
		fmt.Fprint(d.env.Stderr, "\r\x1b[K")
	}
	if err != nil {
		d.fail("log", err)
		return
	}
	for _, x := range found {
		d.add(failure, "log", x.Error(), "restore a backup, or ask for help with this line; records elsewhere are unharmed")
	}
	if len(found) == 0 {
		st := l.Stats()
		var records int64
		for p := range l.Partitions(eventlog.Events) {
			first, next := l.Bounds(eventlog.Events, int32(p))
			records += next - first
		}
		d.add(fine, "log", fmt.Sprintf("%s in %s, %s records of events, every byte read in %s", sized(st.Bytes), plural(int64(st.Segments), "segment", "segments"), grouped(records), time.Since(begun).Round(time.Millisecond)), "")
	}
	d.examineTrimming(dir, l)
	d.examineConfig(ctx, l)
}

func (d *doctor) examineConfig(ctx context.Context, l *local.Log) {
	journal := config.NewJournal(readOnly{Log: l}, rapport.SystemClock{})
	registry, err := config.NewRegistry(kinds())
	if err != nil {
		d.fail("configuration", err)
		return
	}
	store := config.NewStore(config.Options{Journal: journal, Registry: registry, Environment: environment(d.env)})
	if err := journal.Replay(ctx); err != nil {
		d.fail("configuration", err)
		return
	}
	set, _ := store.Current()
	if missing := unsetVariables(d.env, set); len(missing) > 0 {
		d.add(failure, "configuration", "variables are not set: "+strings.Join(missing, ", "), "set them where the server starts")
		return
	}
	resolved, version, err := store.Resolved()
	if err == nil {
		_, err = parts(resolved)
	}
	if err != nil {
		d.fail("configuration", err)
		return
	}
	d.add(fine, "configuration", fmt.Sprintf("version %d, %s", version, plural(int64(set.Len()), "document", "documents")), "")
}

// lagWarn is how many records may wait before the doctor warns.
const lagWarn = 10_000

// examineServer asks a running server how it is.
func (d *doctor) examineServer(ctx context.Context, server *remoteFlags) error {
	token := remoteToken(d.env)
	r, err := server.open(token)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, x := range []struct{ path, subject, hint string }{
		{"/health/live", "alive", ""},
		{"/health/ready", "ready", "it replays its log after a start, or is draining; its log tells"},
	} {
		resp, err := r.send(ctx, "GET", x.path, nil)
		if err != nil {
			hint := x.hint
			if hint == "" {
				hint = rapport.HintOf(err)
			}
			d.add(failure, x.subject, err.Error(), hint)
			if x.subject == "alive" {
				return nil
			}
			continue
		}
		_ = resp.Body.Close()
		d.add(fine, x.subject, "yes", "")
	}
	if token == "" {
		d.add(warning, "status", "not asked: there is no token", "set RAPPORT_TOKEN")
		return nil
	}
	var st api.Status
	if err := r.call(ctx, "GET", "/v1/system", nil, &st); err != nil {
		d.fail("status", err)
		return nil
	}
	d.examineStatus(&st)
	return nil
}

func (d *doctor) examineStatus(st *api.Status) {
	var lag, entities int64
	worst := api.PartitionStatus{ID: -1}
	for _, p := range st.Partitions {
		if entities += p.Entities; p.Lag > worst.Lag {
			worst = p
		}
		lag += p.Lag
	}
	v, hint := fine, ""
	if lag > lagWarn {
		v, hint = warning, fmt.Sprintf("partition %d is furthest behind, by %d", worst.ID, worst.Lag)
	}
	d.add(v, "lag", fmt.Sprintf("%s wait to be folded, over %s", plural(lag, "record", "records"), plural(int64(len(st.Partitions)), "partition", "partitions")), hint)
	v, hint = fine, ""
	if st.Dedup.WindowSeconds < time.Hour.Seconds() {
		v, hint = warning, "retries older than that are counted again"
	}
	d.add(v, "retries", fmt.Sprintf("recognised %s back", (time.Duration(st.Dedup.WindowSeconds)*time.Second).Round(time.Second)), hint)
	d.add(fine, "log", logWords(&st.Log), "")
	d.add(fine, "server", fmt.Sprintf("version %s, up %s, %s people, memory %s", st.Version,
		(time.Duration(st.UptimeSeconds)*time.Second).Round(time.Second), grouped(entities), sized(st.MemoryBytes)), "")
}
