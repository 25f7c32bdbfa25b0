package app

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
	"github.com/rapport-engine/rapport/measure/lake"
)

// examineTrimming looks whether what was trimmed from the log stands where it should.
func (d *doctor) examineTrimming(dir string, l *local.Log) {
	var trimmed int64
	for p := range int32(l.Partitions(eventlog.Events)) {
		first, _ := l.Bounds(eventlog.Events, p)
		trimmed += first
	}
	if trimmed == 0 {
		return
	}
	since := "none is left"
	if at := l.Since(eventlog.Events); !at.IsZero() {
		since = "those since " + at.UTC().Format(time.DateTime) + " are left"
	}
	d.add(fine, "trimming", fmt.Sprintf("%s records of events were trimmed from the log, %s", grouped(trimmed), since), "")
	if !isDir(filepath.Join(dir, "state")) {
		d.add(failure, "trimming", "the state is missing and cannot be folded from this log", "restore a backup")
	}
	path := filepath.Join(dir, lakeFolder)
	reach, err := lake.Reach(path)
	switch {
	case err != nil:
		d.fail("lake", err)
		return
	case reach == nil:
		d.add(warning, "lake", "there is none in "+path+", and the log begins later than the history", "if it lies where --lake points, all is well; else restore a backup")
		return
	case len(reach) != l.Partitions(eventlog.Events):
		d.add(failure, "lake", fmt.Sprintf("it is of a log of %d partitions, this one has %d", len(reach), l.Partitions(eventlog.Events)), "bring back the lake that belongs to this log")
		return
	}
	for p, at := range reach {
		if first, _ := l.Bounds(eventlog.Events, int32(p)); at < first {
			d.add(failure, "lake", fmt.Sprintf("it ends at record %d of partition %d, the log begins at %d", at, p, first), "bring back the lake that belongs to this log, or restore a backup")
			return
		}
	}
	d.add(fine, "lake", "holds what was trimmed", "")
}

// logWords says of a running server how much of its log there is.
func logWords(l *api.LogStatus) string {
	words := []string{sized(l.Bytes)}
	if !l.Oldest.IsZero() {
		words = append(words, "events since "+l.Oldest.UTC().Format(time.DateTime))
	}
	if l.Trimmed > 0 {
		words = append(words, grouped(l.Trimmed)+" older records trimmed")
	}
	switch {
	case l.KeepDays > 0 && l.KeepMB > 0:
		words = append(words, fmt.Sprintf("kept for %s or up to %s", plural(int64(l.KeepDays), "day", "days"), sized(int64(l.KeepMB)<<20)))
	case l.KeepDays > 0:
		words = append(words, "kept for "+plural(int64(l.KeepDays), "day", "days"))
	case l.KeepMB > 0:
		words = append(words, "kept up to "+sized(int64(l.KeepMB)<<20))
	default:
		words = append(words, "kept whole")
	}
	return strings.Join(words, ", ")
}
