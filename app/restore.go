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
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Bounds of what a backup may hold, against one that was made to harm.
const (
	backupEntries   = 1_000_000
	backupNameBytes = 300
	backupSmall     = 256 << 20 // backup.json, SHA256SUMS
)

// readBackup reads a backup to its end and checks every sum. With sink the files
// are given to it, each valid until it returns.
func readBackup(r io.Reader, sink func(name string, r io.Reader) error) (backupInfo, error) {
	var info backupInfo
	var sums bytes.Buffer
	damaged := func(format string, args ...any) error {
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, "the backup is damaged: "+format, args...), "use another backup")
	}
	t := tar.NewReader(r)
	seen := map[string]bool{}
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return info, damaged("it ends before its sums")
		}
		if err != nil {
			return info, damaged("%w", err)
		}
		switch {
		case n >= backupEntries:
			return info, damaged("it has more than %d files", backupEntries)
		case h.Typeflag != tar.TypeReg || sparse(h) || !backupName(h.Name) || seen[h.Name]:
			return info, damaged("a backup has no entry %q", clip(h.Name, backupNameBytes))
		case (n == 0) != (h.Name == backupHeader):
			return info, damaged("it does not begin with %s", backupHeader)
		}
		seen[h.Name] = true
		sum := sha256.New()
		body := io.TeeReader(t, sum)
		switch h.Name {
		case backupHeader, backupSums:
			if h.Size > backupSmall {
				return info, damaged("%s has %d bytes", h.Name, h.Size)
			}
			text, err := io.ReadAll(body)
			if err != nil {
				return info, damaged("%w", err)
			}
			if h.Name == backupSums {
				if !bytes.Equal(text, sums.Bytes()) {
					return info, damaged("the sums do not agree with the files, first with %s", firstWrong(text, sums.Bytes()))
				}
				return info, nil
			}
			if err := json.Unmarshal(text, &info); err != nil || info.Format != backupFormat {
				return info, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the backup has format %d, this program reads %d", info.Format, backupFormat), "restore it with version %s", info.Version)
			}
		default:
			if sink == nil {
				_, err = io.Copy(io.Discard, body)
			} else {
				err = sink(h.Name, body)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return info, damaged("it ends in the middle of %s", h.Name)
			}
			if err != nil {
				return info, err
			}
		}
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum.Sum(nil)), h.Name)
	}
}

// sparse reports whether an entry claims bytes that are not in the archive: a
// small one could fill the disk.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// backupName reports whether a backup has an entry of that name: one of the
// known files, or something inside one of the known folders.
func backupName(name string) bool {
	if len(name) > backupNameBytes || path.Clean(name) != name || !filepath.IsLocal(name) {
		return false
	}
	folder, _, inside := strings.Cut(name, "/")
	if inside {
		return slices.Contains(backupFolders, folder)
	}
	return name == backupHeader || name == backupSums || slices.Contains(backupFiles, name)
}

// firstWrong names the first file whose sum differs.
func firstWrong(want, have []byte) string {
	lines := strings.Split(string(have), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(lines) || lines[i] != line {
			_, name, _ := strings.Cut(line, "  ")
			return clip(name, backupNameBytes)
		}
	}
	return "one that is missing"
}

const restoreFolder = "restore.tmp"

// runRestore unpacks a backup into a data folder.
func runRestore(_ context.Context, env Env, flags *flag.FlagSet) error {
	dir := flags.String("data", defaults().Data, "`folder` to restore to")
	force := flags.Bool("force", false, "replace what the folder holds; its list of erased people is kept and applied")
	operands, err := parse(env, flags, 1, 1)
	if err != nil {
		return err
	}
	f, err := os.Open(operands[0])
	if err != nil {
		return rapport.Errorf(rapport.NotFound, "open the backup: %w", err)
	}
	defer f.Close()
	info, err := restore(f, *dir, *force)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "Restored the backup of %s (version %s, %d partitions) to %s. Start the server with --data %s.\n",
		info.Time.Format("2006-01-02 15:04:05 MST"), info.Version, info.Partitions, *dir, *dir)
	return nil
}

// restore unpacks a backup beside what the folder holds, checks it, and only
// then puts it in its place.
func restore(backup io.Reader, dir string, force bool) (info backupInfo, err error) {
	names, err := dataNames(dir)
	if err != nil {
		return info, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == ledgerName || n == restoreFolder || n == "lost+found" })
	if len(names) > 0 && !force {
		return info, rapport.WithHint(rapport.Errorf(rapport.Conflict, "the folder %s is not empty", dir), "restore to an empty folder, or add --force to replace what is there")
	}
	if err := idle(dir); err != nil {
		return info, err
	}
	kept, err := openLedger(filepath.Join(dir, ledgerName))
	if err != nil {
		return info, err
	}
	tmp := filepath.Join(dir, restoreFolder)
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o700)); err != nil {
		return info, fmt.Errorf("restore: %w", err)
	}
	// While files change places the folder stays, so that no server starts.
	moving := false
	defer func() {
		if !moving {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if info, err = unpack(backup, tmp); err != nil {
		return info, err
	}
	theirs, err := openLedger(filepath.Join(tmp, ledgerName))
	if err != nil {
		return info, err
	}
	// The list of erasures comes first and is never without those of the folder.
	var list bytes.Buffer
	for _, e := range mergeLedgers(kept.list(), theirs.list()) {
		b, err := json.Marshal(e)
		if err != nil {
			return info, err
		}
		list.Write(append(b, '\n'))
	}
	if err := writeDurably(filepath.Join(dir, ledgerName), list.Bytes(), 0o600); err != nil {
		return info, fmt.Errorf("keep the list of erasures: %w", err)
	}
	if err := os.Remove(filepath.Join(tmp, ledgerName)); err != nil && !os.IsNotExist(err) {
		return info, err
	}
	moving = true
	// A lake that lies here already is left alone by a backup that brings none.
	order := slices.DeleteFunc(slices.Concat(backupFiles, backupFolders), func(n string) bool {
		return n == ledgerName || n == lakeFolder && !isDir(filepath.Join(tmp, lakeFolder))
	})
	for _, name := range order {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return info, fmt.Errorf("restore: %w", err)
		}
	}
	for _, name := range order {
		if err := os.Rename(filepath.Join(tmp, name), filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			return info, fmt.Errorf("restore: %w", err)
		}
	}
	moving = false
	return info, syncFolder(filepath.Join(dir, "log"))
}

// restored returns an error if a restore into a data folder was cut off.
func restored(dir string) error {
	if isDir(filepath.Join(dir, restoreFolder)) {
		return rapport.WithHint(rapport.Errorf(rapport.Conflict, "a restore into %s was cut off", dir), "run it again with --force")
	}
	return nil
}

// unpack writes the files of a backup below dir and returns once they are
// checked and durable.
func unpack(backup io.Reader, dir string) (backupInfo, error) {
	root, err := os.OpenRoot(dir) // nothing leads out of it
	if err != nil {
		return backupInfo{}, err
	}
	defer root.Close()
	folders := map[string]bool{".": true}
	info, err := readBackup(backup, func(name string, r io.Reader) error {
		if folder := path.Dir(name); !folders[folder] {
			if err := root.MkdirAll(folder, 0o700); err != nil {
				return err
			}
			for ; !folders[folder]; folder = path.Dir(folder) {
				folders[folder] = true
			}
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if _, err = io.Copy(f, r); err == nil {
			err = f.Sync()
		}
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return info, err
	}
	for folder := range folders {
		if err := syncFolder(filepath.Join(dir, folder, "x")); err != nil {
			return info, err
		}
	}
	for _, name := range []string{"deployment.key", "log", "state"} {
		if _, err := root.Stat(name); err != nil {
			return info, rapport.Errorf(rapport.Invalid, "the backup holds no %s", name)
		}
	}
	return info, nil
}
