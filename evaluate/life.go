package evaluate

import (
	"cmp"
	"context"
	"flag"
	"math"
	"slices"
	"strconv"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/survival"
)

// lifeResult is what `rapport evaluate life` prints.
type lifeResult struct {
	Units      int    `json:"units"`
	Sensors    int    `json:"sensors"`
	Judged     int    `json:"judged"` // predictions compared with what then was
	Clip       Number `json:"clip"`   // 0: not clipped
	RMSE       Number `json:"rmse"`
	MAE        Number `json:"mae"`
	Score      Number `json:"score"` // of the PHM 2008 challenge: late is worse than early
	Coverage90 Number `json:"coverage90"`
	Width90    Number `json:"meanWidth90"`
	NaiveRMSE  Number `json:"naiveRmse"` // the mean remaining life for every unit
}

func lifeJob() Job {
	return Job{
		Name:    "life",
		Args:    "--runs F --unit COL --cycle COL [--test F --truth F] [--clip N]",
		Summary: "Tell how long units still last, from runs to failure",
		Prepare: func(fs *flag.FlagSet) func(context.Context, Progress) (any, error) {
			runs := fs.String("runs", "", "CSV `file` of whole lives: one row per unit and cycle, the last is the failure; every other number is a sensor")
			unit := fs.String("unit", "unit", "`column` of the unit")
			cycle := fs.String("cycle", "cycle", "`column` of the cycle, rising")
			test := fs.String("test", "", "CSV `file` of lives cut short, with the same columns; without it a fifth of the units is held back")
			truth := fs.String("truth", "", "CSV `file` of what remained after the last row of each test unit: a row per unit in order, or with the unit's column")
			clip := fs.Float64("clip", 0, "longest remaining life told apart, also in the truth; 0 for no limit")
			return func(ctx context.Context, progress Progress) (any, error) {
				return judgeLife(ctx, progress, *runs, *unit, *cycle, *test, *truth, *clip)
			}
		},
	}
}

// life is one unit's readings, in order of cycle.
type life struct {
	unit   string
	cycles []float64
	rows   [][]float64 // sensors
}

func judgeLife(ctx context.Context, progress Progress, runs, unit, cycle, test, truth string, clip float64) (any, error) {
	if clip < 0 || math.IsNaN(clip) {
		return nil, rapport.Errorf(rapport.Invalid, "--clip is not negative")
	}
	if (test == "") != (truth == "") {
		return nil, rapport.Errorf(rapport.Invalid, "--test and --truth go together")
	}
	train, sensors, err := readLives(runs, unit, cycle, nil)
	if err != nil {
		return nil, err
	}
	if len(train) < 10 {
		return nil, rapport.Errorf(rapport.Invalid, "%s: %d units are too few to learn a life from (10 or more)", runs, len(train))
	}
	var judged []example
	if test != "" {
		cut, _, err := readLives(test, unit, cycle, sensors)
		if err != nil {
			return nil, err
		}
		remaining, err := readTruth(truth, unit, cut)
		if err != nil {
			return nil, err
		}
		for i, l := range cut {
			rows := l.features()
			judged = append(judged, example{row: rows[len(rows)-1], y: clipped(remaining[i], clip)})
		}
	} else {
		var kept []life
		for i, l := range train {
			if i%5 != 4 {
				kept = append(kept, l)
				continue
			}
			// A life is cut at several places, as nobody knows where they are asked.
			for _, share := range []float64{0.3, 0.45, 0.6, 0.75, 0.9} {
				at := int(share * float64(len(l.rows)-1))
				judged = append(judged, example{row: l.features()[at], y: clipped(l.remaining(at), clip)})
			}
		}
		train = kept
	}
	progress("%d units with %d sensors; learning", len(train), len(sensors))
	m, err := fitLife(ctx, progress, train, clip)
	if err != nil {
		return nil, err
	}
	out := lifeResult{Units: len(train), Sensors: len(sensors), Judged: len(judged), Clip: Number(clip)}
	var squares, abs, score, within, width, naive float64
	for _, x := range judged {
		p, low, high := m.Remaining(x.row)
		d := p - x.y
		squares, abs, naive = squares+d*d, abs+math.Abs(d), naive+(m.Mean-x.y)*(m.Mean-x.y)
		if d < 0 {
			score += math.Exp(-d/13) - 1
		} else {
			score += math.Exp(d/10) - 1
		}
		if x.y >= low && x.y <= high {
			within++
		}
		width += high - low
	}
	n := float64(len(judged))
	out.RMSE, out.MAE, out.Score = Number(math.Sqrt(squares/n)), Number(abs/n), Number(score)
	out.Coverage90, out.Width90, out.NaiveRMSE = Number(within/n), Number(width/n), Number(math.Sqrt(naive/n))
	return out, nil
}

func clipped(x, clip float64) float64 {
	if clip > 0 {
		return min(x, clip)
	}
	return x
}

func readLives(path, unit, cycle string, sensors []string) ([]life, []string, error) {
	table, err := OpenTable(path, unit, cycle)
	if err != nil {
		return nil, nil, err
	}
	defer table.Close()
	columns := table.Columns()
	var places []int
	if sensors == nil {
		for i, c := range columns {
			if c != unit && c != cycle {
				sensors, places = append(sensors, c), append(places, i)
			}
		}
	} else {
		for _, s := range sensors {
			i := slices.Index(columns, s)
			if i < 0 {
				return nil, nil, rapport.Errorf(rapport.Invalid, "%s: there is no column %q, which the runs have", path, s)
			}
			places = append(places, i)
		}
	}
	if len(sensors) == 0 {
		return nil, nil, rapport.Errorf(rapport.Invalid, "%s: there is no sensor beside %s and %s", path, unit, cycle)
	}
	index := map[string]int{}
	var lives []life
	for table.Next() {
		name := table.Text(0)
		at, err := table.Float(1)
		if err != nil {
			return nil, nil, err
		}
		row := make([]float64, len(places))
		for j, p := range places {
			if row[j], err = strconv.ParseFloat(table.At(p), 64); err != nil || math.IsInf(row[j], 0) {
				if table.At(p) != "" {
					return nil, nil, rapport.Errorf(rapport.Invalid, "%s, line %d, column %s: %q is not a number", path, table.Line(), columns[p], table.At(p))
				}
				row[j] = math.NaN() // not measured
			}
		}
		i, ok := index[name]
		if !ok {
			i = len(lives)
			index[name] = i
			lives = append(lives, life{unit: name})
		}
		lives[i].cycles, lives[i].rows = append(lives[i].cycles, at), append(lives[i].rows, row)
	}
	if err := table.Err(); err != nil {
		return nil, nil, err
	}
	if len(lives) == 0 {
		return nil, nil, rapport.Errorf(rapport.Invalid, "%s: there are no rows below the header", path)
	}
	for _, l := range lives {
		l.sort()
	}
	return lives, sensors, nil
}

func (l *life) sort() {
	order := make([]int, len(l.cycles))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(l.cycles[a], l.cycles[b]) })
	cycles, rows := make([]float64, len(order)), make([][]float64, len(order))
	for i, k := range order {
		cycles[i], rows[i] = l.cycles[k], l.rows[k]
	}
	copy(l.cycles, cycles)
	copy(l.rows, rows)
}

func (l *life) remaining(at int) float64 { return l.cycles[len(l.cycles)-1] - l.cycles[at] }

// features returns the running features after each cycle; nothing ahead is used.
func (l *life) features() [][]float64 {
	running := make([]survival.Running, len(l.rows[0]))
	out := make([][]float64, len(l.rows))
	for i, row := range l.rows {
		f := make([]float64, 0, 1+survival.RunningFeatures*len(row))
		f = append(f, l.cycles[i])
		for j, x := range row {
			if !math.IsNaN(x) {
				running[j].Add(x)
			}
			f = running[j].Append(f)
		}
		out[i] = f
	}
	return out
}

// readTruth reads what remained of each cut life: by unit where the file names
// it, else in the order in which the test file brings the units.
func readTruth(path, unit string, cut []life) ([]float64, error) {
	table, err := OpenTable(path)
	if err != nil {
		return nil, err
	}
	defer table.Close()
	columns := table.Columns()
	key := slices.Index(columns, unit)
	value := len(columns) - 1
	if value == key {
		value = 0
	}
	if value == key {
		return nil, rapport.Errorf(rapport.Invalid, "%s: there is no column beside %s", path, unit)
	}
	byUnit := map[string]float64{}
	var inOrder []float64
	for table.Next() {
		x, err := strconv.ParseFloat(table.At(value), 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, rapport.Errorf(rapport.Invalid, "%s, line %d, column %s: %q is not a number", path, table.Line(), columns[value], table.At(value))
		}
		inOrder = append(inOrder, x)
		if key >= 0 {
			byUnit[table.At(key)] = x
		}
	}
	if err := table.Err(); err != nil {
		return nil, err
	}
	out := make([]float64, len(cut))
	for i, l := range cut {
		switch x, ok := byUnit[l.unit]; {
		case ok:
			out[i] = x
		case key >= 0:
			return nil, rapport.Errorf(rapport.Invalid, "%s says nothing of the unit %s", path, l.unit)
		case len(inOrder) != len(cut):
			return nil, rapport.Errorf(rapport.Invalid, "%s has %d rows for %d test units", path, len(inOrder), len(cut))
		default:
			out[i] = inOrder[i]
		}
	}
	return out, nil
}

type example struct {
	row []float64
	y   float64
}

const lifeCoverage = 0.9

func fitLife(ctx context.Context, progress Progress, lives []life, clip float64) (*survival.Lives, error) {
	whole := make([]survival.Life, len(lives))
	for i := range lives {
		whole[i] = survival.Life{Unit: lives[i].unit, Rows: lives[i].features()}
		for at := range whole[i].Rows {
			whole[i].Left = append(whole[i].Left, lives[i].remaining(at))
		}
	}
	return survival.FitLives(whole, clip, lifeCoverage, func(forest, of int) error {
		progress("forest %d of %d", forest+1, of)
		return ctx.Err()
	})
}
