package evaluate

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/anomaly"
)

// anomalyResult is what `rapport evaluate anomaly` prints.
type anomalyResult struct {
	Rows          int    `json:"rows"`
	NanosPerPoint Number `json:"nanosPerPoint"` // scoring alone, without reading and writing files
	Alarms        int    `json:"alarms"`        // see anomaly.Reading.Alarm
	Highest       Number `json:"highestScore"`
	HighestAt     string `json:"highestAt"`
}

func anomalyJob() Job {
	return Job{
		Name:    "anomaly",
		Args:    "--series F --time COL --value COL [--out F] [--report F]",
		Summary: "Score every reading of a series by what came before it",
		Prepare: func(fs *flag.FlagSet) func(context.Context, Progress) (any, error) {
			series := fs.String("series", "", "CSV `file` of one series, oldest row first")
			timeColumn := fs.String("time", "timestamp", "`column` of the time")
			valueColumn := fs.String("value", "value", "`column` of the value")
			out := fs.String("out", "", "write timestamp,score of each row to this `file`")
			report := fs.String("report", "", "write an HTML page with charts to this `file`")
			return func(ctx context.Context, progress Progress) (any, error) {
				return scoreSeries(ctx, progress, *series, *timeColumn, *valueColumn, *out, *report)
			}
		},
	}
}

func scoreSeries(ctx context.Context, progress Progress, path, timeColumn, valueColumn, out, report string) (any, error) {
	table, err := OpenTable(path, timeColumn, valueColumn)
	if err != nil {
		return nil, err
	}
	defer table.Close()
	var (
		texts  []string
		times  []int64
		values []float64
	)
	for table.Next() {
		text := table.Text(0)
		at, ok := parseInstant(text)
		if !ok {
			return nil, table.Errorf(0, "%q is not a time (want 2006-01-02 15:04:05, RFC 3339, or seconds or milliseconds since 1970)", text)
		}
		x, err := table.Float(1)
		if err != nil {
			return nil, err
		}
		texts, times, values = append(texts, text), append(times, at), append(values, x)
	}
	if err := table.Err(); err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, rapport.Errorf(rapport.Invalid, "%s: there are no rows below the header", path)
	}
	progress("%d readings", len(values))

	var d anomaly.Detector
	readings := make([]anomaly.Reading, len(values))
	start := time.Now()
	for i, x := range values {
		readings[i] = d.Next(times[i], x)
	}
	spent := time.Since(start)
	if err := ctx.Err(); err != nil {
		return nil, err
	}

	result := anomalyResult{Rows: len(values), NanosPerPoint: Number(float64(spent.Nanoseconds()) / float64(len(values)))}
	for i, r := range readings {
		if r.Alarm() {
			result.Alarms++
		}
		if i == 0 || r.Score > float64(result.Highest) {
			result.Highest, result.HighestAt = Number(r.Score), texts[i]
		}
	}
	if out != "" {
		if err := writeScores(out, texts, readings); err != nil {
			return nil, rapport.Errorf(rapport.Invalid, "write the scores: %w", err)
		}
	}
	if report != "" {
		if err := writeAnomalies(report, valueColumn, result, texts, values, readings); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func writeScores(path string, texts []string, readings []anomaly.Reading) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffered := bufio.NewWriter(f)
	w := csv.NewWriter(buffered)
	if err := w.Write([]string{"timestamp", "score"}); err != nil {
		return err
	}
	for i, r := range readings {
		if err := w.Write([]string{texts[i], strconv.FormatFloat(r.Score, 'f', -1, 64)}); err != nil {
			return err
		}
	}
	w.Flush()
	return errors.Join(w.Error(), buffered.Flush())
}

var instantLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04", "2006-01-02"}

// parseInstant reads a time as tables hold them, in Unix milliseconds. A bare
// number counts seconds, or milliseconds where seconds would lie beyond the year 5000.
func parseInstant(s string) (ms int64, ok bool) {
	if n, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
		const year5000 = 95_617_584_000
		switch {
		case n != n || n > 1e15 || n < -1e15:
			return 0, false
		case n > year5000 || n < -year5000:
			return int64(n), true
		}
		return int64(n * 1000), true
	}
	for _, layout := range instantLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}
