package local

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"path/filepath"

	"github.com/rapport-engine/rapport"
)

const metaName = "log.json"

// meta is fixed when the log is made.
type meta struct {
	Format     int    `json:"format"`
	ID         string `json:"id"`
	Partitions int    `json:"partitions"`
	// Check is a checksum of the above.
	Check uint32 `json:"check"`
}

func (m meta) sum() uint32 {
	return checksum(uint32(m.Format)<<16|uint32(m.Partitions), []byte(m.ID))
}

// openMeta reads what the log is, or decides it if the folder is new. A
// damaged meta file is made again from a segment.
func openMeta(fs FS, dir string, names []string, partitions int) (id logID, shape geometry, err error) {
	path := filepath.Join(dir, metaName)
	b, err := readFile(fs, path)
	if err != nil {
		return id, shape, rapport.Errorf(rapport.Internal, "read %s: %w", path, err)
	}
	var m meta
	if b != nil {
		m, err = decodeMeta(b)
	}
	switch {
	case b != nil && err == nil:
	default:
		h, found := anyHeader(fs, dir, names)
		switch {
		case found:
			m = meta{Format: formatVersion, ID: hex.EncodeToString(h.log[:]), Partitions: int(h.partitions)}
		case b != nil:
			return id, shape, rapport.WithHint(rapport.Errorf(rapport.Internal, "%s: %w", path, err),
				"restore the event log in %s from a backup", dir)
		default:
			if _, err := rand.Read(id[:]); err != nil {
				return id, shape, rapport.Errorf(rapport.Internal, "make a log id: %w", err)
			}
			if partitions == 0 {
				partitions = defaultPartitions
			}
			m = meta{Format: formatVersion, ID: hex.EncodeToString(id[:]), Partitions: partitions}
		}
		m.Check = m.sum()
		if b, err = json.Marshal(m); err != nil {
			return id, shape, rapport.Errorf(rapport.Internal, "encode %s: %w", path, err)
		}
		if err := replaceFile(fs, path, append(b, '\n')); err != nil {
			return id, shape, diskError("write "+path, dir, err)
		}
	}
	raw, err := hex.DecodeString(m.ID)
	if err != nil || len(raw) != len(id) {
		return id, shape, rapport.Errorf(rapport.Internal, "%s: the log id is malformed", path)
	}
	if partitions != 0 && partitions != m.Partitions {
		return id, shape, rapport.WithHint(
			rapport.Errorf(rapport.Invalid, "the event log in %s has %d partitions, not %d", dir, m.Partitions, partitions),
			"the number is fixed when the log is made: set it to %d, or begin a new log in another folder", m.Partitions)
	}
	return logID(raw), geometry{m.Partitions}, nil
}

func decodeMeta(b []byte) (m meta, err error) {
	if json.Unmarshal(b, &m) != nil {
		return m, errMalformed
	}
	switch {
	case m.Check != m.sum() || m.Partitions < 1 || m.Partitions > maxPartitions:
		return m, errChecksum
	case m.Format != formatVersion:
		return m, errMalformed
	}
	return m, nil
}

// anyHeader returns the first readable segment header.
func anyHeader(fs FS, dir string, names []string) (segmentHeader, bool) {
	for _, name := range names {
		id, ok := segmentID(name)
		if !ok {
			continue
		}
		h, _, err := readHeader(fs, segmentPath(dir, id))
		if err == nil && h.id == id && h.partitions >= 1 && h.partitions <= maxPartitions {
			return h, true
		}
	}
	return segmentHeader{}, false
}
