package lake

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"github.com/rapport-engine/rapport"
)

const manifestName = "manifest.json"

// manifest says which files there are and what of the log they hold. It is the
// truth: a file it does not name is not part of the lake.
type manifest struct {
	Format     int    `json:"format"`
	Deployment string `json:"deployment,omitempty"`
	// Version rises by one with each change.
	Version int64 `json:"version"`
	// Events and Rewards are the offsets up to which the log is in the files.
	Events  []int64 `json:"events"`
	Rewards int64   `json:"rewards"`
	// Marks are the highest origins of outcomes taken from each partition.
	Marks []mark `json:"marks,omitempty"`
	// Next is the number of the next file.
	Next   int64  `json:"nextFile"`
	Files  []File `json:"files"`
	People *File  `json:"people,omitempty"`
	// Erase are erasures to be carried out, Erased the jobs that were.
	Erase  []erasure `json:"erase,omitempty"`
	Erased []string  `json:"erased,omitempty"`
}

type mark struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	N         uint32 `json:"n"`
}

// File is one Parquet file.
type File struct {
	Table string `json:"table"`
	Day   string `json:"day,omitempty"` // 2006-01-02, UTC
	Name  string `json:"name"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
	// Level says how often its rows were put together with those of others.
	Level int `json:"level,omitempty"`
}

// Path returns where the file lies below the lake's folder, with slashes.
func (f File) Path() string {
	if f.Day == "" {
		return path.Join(f.Table, f.Name)
	}
	return path.Join(f.Table, "day="+f.Day, f.Name)
}

type erasure struct {
	Job string       `json:"job"`
	IDs []rapport.ID `json:"ids"`
}

// edit returns a copy to change.
func (m *manifest) edit() *manifest {
	c := *m
	c.Version++
	c.Events, c.Marks, c.Files = slices.Clone(m.Events), slices.Clone(m.Marks), slices.Clone(m.Files)
	c.Erase, c.Erased = slices.Clone(m.Erase), slices.Clone(m.Erased)
	return &c
}

// pass reports whether an outcome with this origin is new, and remembers it.
func (m *manifest) pass(partition int32, offset int64, n uint32) bool {
	i := slices.IndexFunc(m.Marks, func(k mark) bool { return k.Partition == partition })
	if i < 0 {
		m.Marks = append(m.Marks, mark{partition, offset, n})
		return true
	}
	k := &m.Marks[i]
	if offset < k.Offset || offset == k.Offset && n <= k.N {
		return false
	}
	k.Offset, k.N = offset, n
	return true
}

func (m *manifest) replace(gone []File, with ...File) {
	m.Files = slices.DeleteFunc(m.Files, func(f File) bool { return slices.ContainsFunc(gone, func(g File) bool { return g.Path() == f.Path() }) })
	m.Files = append(m.Files, with...)
}

// name takes the next number for a file. In object storage a file may come to be
// after its sender gave up and took the number again, so there it is not all of the name.
func (m *manifest) name(remote bool) string {
	m.Next++
	if !remote {
		return fmt.Sprintf("%012d.parquet", m.Next-1)
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%012d-%x.parquet", m.Next-1, b)
}

// parseManifest reads a manifest; nil if it is of another format.
func parseManifest(text []byte, where string) (*manifest, error) {
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Internal, "%s is damaged: %w", where, err),
			"move it away with all that lies beside it: the lake is written anew from the log")
	}
	if m.Format != formatVersion {
		return nil, nil
	}
	return &m, nil
}
