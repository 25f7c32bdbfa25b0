package metric_test

import (
	"math"
	"testing"

	"github.com/rapport-engine/rapport/learn/metric"
)

func near(t *testing.T, name string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 || math.IsNaN(got) != math.IsNaN(want) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

// The example of the scikit-learn manual for roc_auc_score and average_precision_score.
func TestRankingFiguresAgreeWithTheTextbook(t *testing.T) {
	t.Parallel()
	y, score := []float64{0, 0, 1, 1}, []float64{.1, .4, .35, .8}
	near(t, "AUC", metric.AUC(score, y), .75)
	near(t, "average precision", metric.AveragePrecision(score, y), .8333333333333333)
	near(t, "Brier", metric.Brier([]float64{.1, .9, .8, .3}, []float64{0, 1, 1, 0}), .0375)
	near(t, "all tied", metric.AUC([]float64{1, 1, 1}, []float64{0, 1, 1}), .5)
	near(t, "all tied", metric.AveragePrecision([]float64{1, 1, 1, 1}, []float64{0, 1, 1, 0}), .5)
	near(t, "log loss", metric.LogLoss([]float64{.5}, []float64{1}), math.Ln2)
	near(t, "no negatives", metric.AUC([]float64{1}, []float64{1}), math.NaN())
}

func TestCalibrationBinsHoldEveryRowOnceAndKeepTiesTogether(t *testing.T) {
	t.Parallel()
	var p, y []float64
	for i := range 1000 {
		p = append(p, float64(i%7)/10)
		y = append(y, float64(i%2))
	}
	for _, bins := range []int{1, 3, 10, 2000} {
		got := metric.Calibration(p, y, bins)
		n := 0
		for i, b := range got {
			n += b.Count
			if i > 0 && b.Predicted <= got[i-1].Predicted {
				t.Errorf("%d bins: a tie is parted", bins)
			}
		}
		if n != 1000 || len(got) > bins || len(got) > 7 {
			t.Errorf("%d bins: %d rows in %d bins", bins, n, len(got))
		}
	}
	near(t, "error", metric.CalibrationError([]metric.Bin{{.2, .1, 10}, {.5, .8, 30}}), .25)
}

func TestErrorsAndCorrelation(t *testing.T) {
	t.Parallel()
	mae, rmse := metric.Errors([]float64{1, 2}, []float64{2, 5})
	near(t, "mae", mae, 2)
	near(t, "rmse", rmse, math.Sqrt(5))
	near(t, "correlation", metric.Pearson([]float64{1, 2, 3}, []float64{6, 4, 2}), -1)
}
