package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/rapport-engine/rapport"
)

// erasure is one person who was erased: by the keyed hashes of their
// identifiers, which nobody without the deployment key can tell.
type erasure struct {
	Job string `json:"job"`
	// At is the time of the erasure, Unix ms: what happened until then goes.
	At    int64        `json:"at,omitempty"`
	Nodes []rapport.ID `json:"nodes,omitempty"`
	// Scrubbed is when nothing of them was left in the files, Unix ms.
	Scrubbed int64 `json:"scrubbed,omitempty"`
}

// ledger is the list of erasures in a file of its own, beside log and state, so
// that a restored backup that is older than an erasure cannot undo it. Each line
// is an erasure or tells that one is scrubbed; of one job the last lines count.
type ledger struct {
	path string

	mu    sync.Mutex
	jobs  map[string]*erasure
	order []string
}

const ledgerName = "erasures.jsonl"

// openLedger reads a ledger; there may be none yet. A last line that a crash
// tore is dropped: its writer was not told of success.
func openLedger(path string) (*ledger, error) {
	l := &ledger{path: path, jobs: map[string]*erasure{}}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the list of erasures: %w", err)
	}
	if whole := bytes.LastIndexByte(data, '\n') + 1; whole < len(data) {
		data = data[:whole]
		if err := writeDurably(path, data, 0o600); err != nil {
			return nil, fmt.Errorf("mend the list of erasures: %w", err)
		}
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, len(data)+1)
	for n := 1; lines.Scan(); n++ {
		var e erasure
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Job == "" {
			return nil, rapport.WithHint(rapport.Errorf(rapport.Internal, "%s: line %d is damaged", path, n),
				"restore the file from a backup: without it a person who was erased may come back with an old one")
		}
		l.take(e)
	}
	return l, lines.Err()
}

func (l *ledger) take(e erasure) {
	known := l.jobs[e.Job]
	switch {
	case len(e.Nodes) > 0:
		if known == nil {
			l.order = append(l.order, e.Job)
		}
		l.jobs[e.Job] = &e
	case known != nil:
		known.Scrubbed = e.Scrubbed
	}
}

// write appends lines and returns once they are durable.
func (l *ledger) write(lines ...erasure) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b []byte
	for _, e := range lines {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		b = append(append(b, text...), '\n')
	}
	if len(b) == 0 {
		return nil
	}
	_, missing := os.Stat(l.path)
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write the list of erasures: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		if _, err = f.Write(b); err == nil {
			err = f.Sync()
		}
		if err != nil { // half a line must not stand before the next
			err = errors.Join(err, f.Truncate(info.Size()))
		}
	}
	if err = errors.Join(err, f.Close()); err == nil && missing != nil {
		err = syncFolder(l.path)
	}
	if err != nil {
		return fmt.Errorf("write the list of erasures: %w", err)
	}
	for _, e := range lines {
		l.take(e)
	}
	return nil
}

// list returns a copy of all erasures, oldest first.
func (l *ledger) list() []erasure {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]erasure, 0, len(l.order))
	for _, job := range l.order {
		out = append(out, *l.jobs[job])
	}
	return out
}

func (l *ledger) get(job string) (erasure, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.jobs[job]
	if !ok {
		return erasure{}, false
	}
	return *e, true
}

// mergeLedgers joins the list of a data folder with that of a backup restored
// into it. What is scrubbed by the folder's list may stand in the backup again,
// so only what was scrubbed before the backup was made stays marked.
func mergeLedgers(folder, backup []erasure) []erasure {
	merged := slices.Clone(backup)
	for _, e := range folder {
		e.Scrubbed = 0
		if i := slices.IndexFunc(merged, func(b erasure) bool { return b.Job == e.Job }); i < 0 {
			merged = append(merged, e)
		} else if merged[i].At < e.At {
			merged[i] = e
		}
	}
	return merged
}
