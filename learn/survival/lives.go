package survival

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"slices"
	"strconv"

	"github.com/rapport-engine/rapport/learn/gbdt"
)

// Life is a unit's life from its beginning to its end, as running features.
type Life struct {
	// Unit names what lived: a life is learned from or calibrated on by its name alone.
	Unit string
	// Rows are features after each cycle: the age, then [RunningFeatures] of each sensor.
	Rows [][]float64
	// Left is what remained after each row.
	Left []float64
}

// Lives tells from running features how long something still lasts: the mean of
// forests, each grown without a part of the units, with an interval calibrated
// on the units left out (cross-conformal prediction: Vovk, 2015).
type Lives struct {
	forests  []*gbdt.Model
	interval *Interval
	// Clip is the longest remaining life that is told apart; 0 for no limit.
	Clip float64
	// Mean is the mean remaining life of what was learned from.
	Mean float64
	// RMSE and MeanRMSE are the errors on the units left out, and of Mean there;
	// Covered is the share of them within the interval of each.
	RMSE, MeanRMSE, Covered float64
}

// lifeFolds is into how many parts the units fall.
const lifeFolds = 5

// FitLives learns from whole lives. clip is the longest remaining life told
// apart, 0 for no limit; coverage that of intervals, in (0, 1). before is called
// before each forest, and its error ends the fit; nil is fine.
func FitLives(lives []Life, clip, coverage float64, before func(forest, of int) error) (*Lives, error) {
	m := &Lives{Clip: clip}
	var columns []gbdt.Column
	count := 0.0
	for i := range lives {
		l := &lives[i]
		for at, row := range l.Rows {
			for len(columns) < len(row) {
				columns = append(columns, gbdt.Column{Name: strconv.Itoa(len(columns))})
			}
			if len(row) != len(columns) || len(l.Left) != len(l.Rows) {
				return nil, errors.New("survival: lives have rows of the same length, and what was left after each")
			}
			m.Mean, count = m.Mean+m.clipped(l.Left[at]), count+1
		}
	}
	if count == 0 {
		return nil, errors.New("survival: there is no life to learn from")
	}
	m.Mean /= count
	var predicted, truth, weight []float64
	for fold := range lifeFolds {
		if before != nil {
			if err := before(fold, lifeFolds); err != nil {
				return nil, err
			}
		}
		set := &gbdt.Set{}
		for i := range lives {
			l := &lives[i]
			if foldOf(l.Unit) == fold {
				continue
			}
			for at, row := range l.Rows {
				set.Rows, set.Y = append(set.Rows, row), append(set.Y, m.clipped(l.Left[at]))
				set.Weight = append(set.Weight, 1/math.Sqrt(float64(len(l.Rows))))
			}
		}
		if len(set.Rows) == 0 {
			continue
		}
		f, err := gbdt.Fit(columns, set, nil, gbdt.Options{
			Objective: gbdt.Squared, Rounds: 120, LearningRate: 0.07, Leaves: 15, MinRows: min(60, max(5, len(set.Rows)/100)), L2: 5, Bins: 64, RowShare: 0.5, ColumnShare: 0.4, Seed: uint64(fold + 1),
		})
		if err != nil {
			return nil, err
		}
		f = f.Slim()
		m.forests = append(m.forests, f)
		for i := range lives {
			l := &lives[i]
			if foldOf(l.Unit) != fold {
				continue
			}
			for at, row := range l.Rows {
				if at < len(l.Rows)/10 { // hardly anything is known of it yet
					continue
				}
				predicted = append(predicted, max(0, m.clipped(f.Predict(row))))
				truth = append(truth, m.clipped(l.Left[at]))
				weight = append(weight, 1/float64(len(l.Rows)))
			}
		}
	}
	m.interval = NewInterval(predicted, truth, weight, coverage)
	m.judge(predicted, truth, weight)
	return m, nil
}

// judge compares what was foretold of the units left out with what then was.
func (m *Lives) judge(predicted, truth, weight []float64) {
	var squares, naive, within, total float64
	for i, p := range predicted {
		low, high := m.interval.Around(p)
		squares += weight[i] * (p - truth[i]) * (p - truth[i])
		naive += weight[i] * (m.Mean - truth[i]) * (m.Mean - truth[i])
		if truth[i] >= low && truth[i] <= high {
			within += weight[i]
		}
		total += weight[i]
	}
	if total > 0 {
		m.RMSE, m.MeanRMSE, m.Covered = math.Sqrt(squares/total), math.Sqrt(naive/total), within/total
	}
}

func (m *Lives) clipped(x float64) float64 {
	if m.Clip > 0 {
		return min(x, m.Clip)
	}
	return x
}

// Columns is how many features a row has.
func (m *Lives) Columns() int {
	if len(m.forests) == 0 {
		return 0
	}
	return len(m.forests[0].Columns)
}

// Remaining returns how long something still lasts, with its interval.
func (m *Lives) Remaining(row []float64) (left, low, high float64) {
	for _, f := range m.forests {
		left += f.Predict(row)
	}
	left = max(0, m.clipped(left/float64(len(m.forests))))
	low, high = m.interval.Around(left)
	return left, max(0, low), m.clipped(high)
}

// foldOf puts a unit into a part by its name alone.
func foldOf(unit string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(unit))
	return int(h.Sum32()>>4) % lifeFolds
}

const livesVersion = 1

var errLives = errors.New("survival: not the encoding of a model of lives")

// AppendBinary appends a canonical encoding of the model.
func (m *Lives) AppendBinary(b []byte) []byte {
	b = append(b, livesVersion, byte(len(m.forests)))
	for _, f := range m.forests {
		text := f.AppendBinary(nil)
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = binary.AppendUvarint(b, uint64(len(m.interval.heights)))
	for _, list := range [][]float64{{m.Clip, m.Mean, m.RMSE, m.MeanRMSE, m.Covered}, m.interval.heights, m.interval.scales} {
		for _, x := range list {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		}
	}
	return b
}

// DecodeLives reads what AppendBinary wrote.
func DecodeLives(b []byte) (*Lives, error) {
	if len(b) < 2 || b[0] != livesVersion || b[1] == 0 || b[1] > lifeFolds {
		return nil, errLives
	}
	m := &Lives{interval: &Interval{}}
	n := int(b[1])
	b = b[2:]
	for range n {
		size, k := binary.Uvarint(b)
		if k <= 0 || size > uint64(len(b)-k) {
			return nil, errLives
		}
		f, err := gbdt.Decode(b[k : k+int(size)])
		if err != nil {
			return nil, err
		}
		m.forests = append(m.forests, f)
		b = b[k+int(size):]
	}
	points, k := binary.Uvarint(b)
	if k <= 0 || points == 0 || points > intervalPoints || uint64(len(b)-k) != 8*(5+2*points) {
		return nil, errLives
	}
	b = b[k:]
	m.interval.heights, m.interval.scales = make([]float64, points), make([]float64, points)
	read := func(into *float64) {
		*into = math.Float64frombits(binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	for _, p := range []*float64{&m.Clip, &m.Mean, &m.RMSE, &m.MeanRMSE, &m.Covered} {
		read(p)
	}
	for _, list := range [][]float64{m.interval.heights, m.interval.scales} {
		for i := range list {
			read(&list[i])
		}
	}
	for _, f := range m.forests {
		if len(f.Columns) != m.Columns() || f.Objective != gbdt.Squared {
			return nil, errLives
		}
	}
	if !slices.IsSorted(m.interval.heights) {
		return nil, errLives
	}
	return m, nil
}
