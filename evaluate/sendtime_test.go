package evaluate_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type sendTimeFigures struct {
	Sends, People, BestHour       int
	Played                        bool
	BestHourForAll, Learned, Lead struct{ Value, Low, High float64 }
	EffectiveSampleSize           float64
	Verdict                       string
	Warnings                      []string
}

// written is a log of messages that went out at any hour; those to people of
// habit are answered around an hour of their own.
func written(t *testing.T, seed uint64, habit float64) string {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	b.WriteString("who,kind,at,replied\n")
	for range 120 {
		for person := range 250 {
			hour := r.IntN(24)
			d := math.Abs(float64(hour - (8 + 12*(person%2) + person%5 - 2)))
			yes := 0
			if r.Float64() < 0.05+habit*math.Exp(-min(d, 24-d)*min(d, 24-d)/4) {
				yes = 1
			}
			fmt.Fprintf(&b, "p%d,%d,%d,%d\n", person, person%2, hour, yes)
		}
	}
	path := filepath.Join(t.TempDir(), "sends.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var asNamed = []string{"--person", "who", "--hour", "at", "--answered", "replied", "--group", "kind"}

func TestHoursLearnedPerPersonAreFoundToBeAnsweredMoreThanTheBestHourForAll(t *testing.T) {
	t.Parallel()
	var f sendTimeFigures
	if err := evaluated(t, "sendtime", &f, append(asNamed, "--sends", written(t, 1, 0.4))...); err != nil {
		t.Fatal(err)
	}
	if f.Lead.Low <= 0 || f.Verdict != "hours learned per person are answered more" || f.People != 250 || len(f.Warnings) != 1 || f.Learned.Value < 1.15*f.BestHourForAll.Value {
		t.Errorf("%+v", f)
	}
	var none sendTimeFigures
	if err := evaluated(t, "sendtime", &none, append(asNamed, "--sends", written(t, 2, 0))...); err != nil {
		t.Fatal(err)
	}
	if none.Verdict != "no difference beyond noise" {
		t.Errorf("where no hour is better: %+v", none)
	}
	var played sendTimeFigures
	if err := evaluated(t, "sendtime", &played); err != nil {
		t.Fatal(err)
	}
	t.Logf("played: best hour for all %.3f, learned %.3f", played.BestHourForAll.Value, played.Learned.Value)
	if !played.Played || played.Learned.Value < 1.25*played.BestHourForAll.Value || played.Lead.Low <= 0 {
		t.Errorf("%+v", played)
	}
}

func TestAnUnusableLogOfSendsSaysWhy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"person,hour,answered\na,25,1\n": "is not an hour",
		"person,hour,answered\na,3,2\n":  "neither 0 nor 1",
		"person,hour,answered\na,3,1\n":  "too few",
		"person,answered\na,1\n":         "hour",
	} {
		path := filepath.Join(t.TempDir(), "sends.csv")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := evaluated(t, "sendtime", &sendTimeFigures{}, "--sends", path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
