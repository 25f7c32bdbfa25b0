package evaluate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/rapport-engine/rapport/learn/anomaly"
)

// Bounds of the page of a series.
const (
	drawnStretches = 600 // of a long series the lowest and highest of each is drawn
	listedAlarms   = 10
)

// writeAnomalies shows a series with its alarms, its scores, and the strangest readings.
func writeAnomalies(path, name string, result anomalyResult, texts []string, values []float64, readings []anomaly.Reading) error {
	p := &Page{Title: "What was unusual"}
	switch {
	case result.Alarms == 0:
		p.Lead = fmt.Sprintf("Of %d readings none deserved attention; the strangest was that of %s, with a score of %s.", result.Rows, result.HighestAt, short(result.Highest))
	default:
		p.Lead = fmt.Sprintf("Of %d readings %d deserved attention; the strangest was that of %s, with a score of %s. Each was judged by the readings before it alone.", result.Rows, result.Alarms, result.HighestAt, short(result.Highest))
	}
	var alarms []int
	alarm := Line{Name: "alarm", Dots: true}
	for i, r := range readings {
		if r.Alarm() {
			alarms = append(alarms, i)
			alarm.X, alarm.Y = append(alarm.X, float64(i+1)), append(alarm.Y, values[i])
		}
	}
	scores := make([]float64, len(readings))
	for i, r := range readings {
		scores[i] = r.Score
	}
	p.Chart("The series, and what deserved attention", "reading", name, outline(name, values), alarm)
	p.Chart("How strange each reading was (0: as usual as can be, towards 1: without precedent)", "reading", "score", outline("score", scores))
	slices.SortStableFunc(alarms, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	var rows [][]string
	for _, i := range alarms[:min(len(alarms), listedAlarms)] {
		rows = append(rows, []string{texts[i], strconv.Itoa(i + 1), short(values[i]), short(scores[i])})
	}
	if len(rows) > 0 {
		p.Figures("The strangest readings", []string{"time", "reading", name, "score"}, rows)
	}
	return p.WriteFile(path)
}

// outline is a line through a series: all of a short one, of a long one the
// lowest and highest of each stretch, so that no peak is lost.
func outline(name string, values []float64) Line {
	l := Line{Name: name}
	step := max((len(values)+drawnStretches-1)/drawnStretches, 1)
	for from := 0; from < len(values); from += step {
		low, high := -1, -1
		for i := from; i < min(from+step, len(values)); i++ {
			if math.IsNaN(values[i]) {
				continue
			}
			if low < 0 || values[i] < values[low] {
				low = i
			}
			if high < 0 || values[i] > values[high] {
				high = i
			}
		}
		if low < 0 {
			continue
		}
		l.X, l.Y = append(l.X, float64(min(low, high)+1)), append(l.Y, values[min(low, high)])
		if low != high {
			l.X, l.Y = append(l.X, float64(max(low, high)+1)), append(l.Y, values[max(low, high)])
		}
	}
	return l
}
