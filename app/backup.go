package app

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// A backup is a tar file: backup.json, the files of a data folder in the order
// of their names, and SHA256SUMS, which `sha256sum -c` reads. As the sums come
// last, a file that was cut off has none and is refused.
const (
	backupHeader = "backup.json"
	backupSums   = "SHA256SUMS"
	backupFormat = 1
	backupFolder = "backup.tmp"
)

// backupFiles and backupFolders are what a backup holds of a data folder.
var (
	backupFiles   = []string{"deployment.key", ledgerName, "clock.json", "demo.json"}
	backupFolders = []string{"state", "dedup", "log", lakeFolder}
)

// backupInfo is backup.json.
type backupInfo struct {
	Format     int       `json:"format"`
	Version    string    `json:"version"`
	Time       time.Time `json:"time"`
	Partitions int       `json:"partitions"`
}

// removeLeftovers removes what a backup or a replay that was cut off left.
func (s *Server) removeLeftovers() error {
	names, err := dataNames(s.opts.Data)
	for _, name := range names {
		if name == backupFolder || strings.HasPrefix(name, replayFolder) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.opts.Data, name)))
		}
	}
	if err != nil {
		return fmt.Errorf("remove what was left unfinished: %w", err)
	}
	return nil
}

// Backup implements api.System: it writes a consistent copy of everything as a
// tar stream while the server works. Kinds: Unavailable (not ready), Conflict
// (another is being made).
func (s *Server) Backup(ctx context.Context, w io.Writer) (err error) {
	if !s.ready.Load() {
		return rapport.WithHint(rapport.Errorf(rapport.Unavailable, "the server is not ready yet"), "try again when /health/ready answers 200")
	}
	dir := filepath.Join(s.opts.Data, backupFolder)
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return rapport.Errorf(rapport.Conflict, "another backup is being made")
		}
		return fmt.Errorf("make a folder for the backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// The copy of the log must reach back to where the copies of state and lake end.
	defer s.retention.hold()()
	if err := s.engine.Flush(ctx); err != nil {
		return err
	}
	// State before log: the copy of the log then reaches at least as far as the
	// state does, and what lies between is folded again after a restore. The
	// other way round the state would know of records the log does not have.
	if err := s.copyState(ctx, dir); err != nil {
		return err
	}
	// What was trimmed stands in the lake alone, so that it belongs to the backup.
	if s.lake != nil && s.trimmedRecords() > 0 {
		if err := s.lake.Copy(ctx, filepath.Join(dir, lakeFolder)); err != nil {
			return err
		}
	}
	if err := s.events.Snapshot(ctx, filepath.Join(dir, "log")); err != nil {
		return err
	}
	// The list of erasures last, so that it knows of all that log and state know.
	for _, name := range backupFiles {
		data, err := os.ReadFile(filepath.Join(s.opts.Data, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	info := backupInfo{Format: backupFormat, Version: rapport.Version, Time: time.Now().UTC(), Partitions: s.events.Partitions(eventlog.Events)}
	return writeBackup(ctx, w, dir, info)
}

// stateTries bounds how often a copy of the state is begun again.
const stateTries = 100

// copyState copies the state and the files of the deduplication memory that
// belong to it. A fingerprint is in a file or in the state, or in both: when a
// file is complete, the state's copy of it is deleted. So the files must not be
// older than the state (it may have deleted what they lack), nor newer (they
// would know records the state has not folded, which then would be dropped as
// repeated). A file never changes and appears only every now and then: they are
// listed before and after, and if one has come in between, it is done again.
func (s *Server) copyState(ctx context.Context, dir string) error {
	from, to := filepath.Join(s.opts.Data, "dedup"), filepath.Join(dir, "dedup")
	for range stateTries {
		before, err := linkFiles(from, to)
		if err != nil {
			return fmt.Errorf("copy the deduplication memory: %w", err)
		}
		if err := s.store.Checkpoint(filepath.Join(dir, "state")); err != nil {
			return err
		}
		after, err := listFiles(from)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(after, func(name string) bool { return !slices.Contains(before, name) }) {
			return nil
		}
		if err := errors.Join(os.RemoveAll(to), os.RemoveAll(filepath.Join(dir, "state")), ctx.Err()); err != nil {
			return err
		}
	}
	return rapport.WithHint(rapport.Errorf(rapport.Unavailable, "the deduplication memory changed during each of %d tries", stateTries), "try again when fewer events arrive")
}

// listFiles returns the complete files below dir, relative to it, sorted.
func listFiles(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && (path == dir || d == nil || !d.IsDir()) {
			return nil
		}
		if err != nil || d.IsDir() || filepath.Ext(path) == ".tmp" {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	slices.Sort(names)
	return names, err
}

// linkFiles gives the files below one folder second names below another. Files
// that go meanwhile are left out.
func linkFiles(from, to string) ([]string, error) {
	names, err := listFiles(from)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		if err := os.Link(filepath.Join(from, name), path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			if err := copyFile(filepath.Join(from, name), path); err != nil {
				return nil, err
			}
		}
	}
	return names, nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// fileTime is how long a client may take to receive one file of a backup.
const fileTime = 5 * time.Minute

// writeBackup writes the folder as a tar stream.
func writeBackup(ctx context.Context, w io.Writer, dir string, info backupInfo) error {
	names, err := listFiles(dir)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	var sums bytes.Buffer
	head, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	put := func(name string, size int64, r io.Reader) error {
		if rw, ok := w.(http.ResponseWriter); ok { // the whole may take longer than any request; a file must not
			_ = http.NewResponseController(rw).SetWriteDeadline(time.Now().Add(fileTime))
		}
		h := sha256.New()
		err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: info.Time.Truncate(time.Second), Format: tar.FormatPAX})
		if err == nil {
			_, err = io.Copy(t, io.TeeReader(io.LimitReader(r, size), h))
		}
		if err != nil {
			return fmt.Errorf("write %s to the backup: %w", name, err)
		}
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(h.Sum(nil)), name)
		return nil
	}
	head = append(head, '\n')
	if err := put(backupHeader, int64(len(head)), bytes.NewReader(head)); err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err == nil {
			err = put(name, info.Size(), f)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	text := bytes.NewReader(sums.Bytes())
	if err := put(backupSums, text.Size(), text); err != nil {
		return err
	}
	return t.Close()
}

// runBackup saves a backup of a running server to a file.
func runBackup(ctx context.Context, env Env, flags *flag.FlagSet) error {
	var server remoteFlags
	server.flags(flags)
	force := flags.Bool("force", false, "replace the file if it is there")
	operands, err := parse(env, flags, 1, 1)
	if err != nil {
		return err
	}
	path := operands[0]
	if _, err := os.Stat(path); err == nil && !*force {
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "%s is there already", path), "choose another name, or add --force")
	}
	r, err := server.openAdmin(env)
	if err != nil {
		return err
	}
	resp, err := r.send(ctx, "GET", "/v1/backup", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// It holds the deployment key and everybody's data: for the owner alone.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	size := &countedBytes{r: io.TeeReader(resp.Body, f)}
	info, err := readBackup(size, nil)
	if err == nil { // what follows the end of the archive
		_, err = io.Copy(io.Discard, size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncFolder(path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return rapport.WithHint(fmt.Errorf("save the backup: %w", err), "nothing was written to %s", path)
	}
	fmt.Fprintf(env.Stdout, "%s: %s bytes, of version %s, checked\n", path, grouped(size.n), info.Version)
	return nil
}

// syncFolder makes the name of a file durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
