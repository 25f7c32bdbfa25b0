package propensity

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"

	"github.com/rapport-engine/rapport/learn/calibrate"
	"github.com/rapport-engine/rapport/learn/gbdt"
)

// text is a model as JSON.
type text struct {
	Forests [][]byte  `json:"forests"` // each the forest's own encoding, deflated
	Score   []float64 `json:"score"`
	Chance  []float64 `json:"chance"`
}

// largest bounds a forest on its way in: a thousand trees of fifteen leaves take 2 MB.
const largest = 16 << 20

var errCorrupt = errors.New("propensity: not the encoding of a model")

// MarshalJSON implements json.Marshaler: equal models, equal bytes.
func (m *Model) MarshalJSON() ([]byte, error) {
	t := text{Score: m.curve.Score, Chance: m.curve.Chance}
	for _, f := range m.forests {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.AppendBinary(nil)); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		t.Forests = append(t.Forests, b.Bytes())
	}
	return json.Marshal(t)
}

// UnmarshalJSON implements json.Unmarshaler. It refuses anything that could not
// be asked for a chance.
func (m *Model) UnmarshalJSON(b []byte) error {
	var t text
	if err := json.Unmarshal(b, &t); err != nil {
		return err
	}
	if len(t.Forests) == 0 || len(t.Forests) > 16 || len(t.Score) == 0 || len(t.Score) != len(t.Chance) || !slices.IsSorted(t.Score) || !slices.IsSorted(t.Chance) {
		return errCorrupt
	}
	for i, x := range t.Chance {
		if !(x > 0 && x < 1) || math.IsNaN(t.Score[i]) {
			return errCorrupt
		}
	}
	out := Model{curve: &calibrate.Isotonic{Score: t.Score, Chance: t.Chance}}
	for _, f := range t.Forests {
		plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(f)), largest))
		if err != nil {
			return errCorrupt
		}
		one, err := gbdt.Decode(plain)
		if err != nil {
			return errCorrupt
		}
		if one.Objective != gbdt.Logistic || len(out.forests) > 0 && !slices.Equal(one.Columns, out.forests[0].Columns) {
			return errCorrupt
		}
		out.forests = append(out.forests, one)
	}
	*m = out
	return nil
}
