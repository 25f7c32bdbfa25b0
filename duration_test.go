package rapport_test

import (
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
)

func TestDurationsReadAndPrintAsConfigWritesThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "15m": 15 * time.Minute, "7d": 168 * time.Hour,
		"1d12h": 36 * time.Hour, "2w": 336 * time.Hour, "250ms": 250 * time.Millisecond, "0s": 0,
	} {
		d, err := rapport.ParseDuration(in)
		if err != nil || d.Std() != want {
			t.Errorf("%s = %v, %v; want %v", in, d.Std(), err, want)
		}
		if again, err := rapport.ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%s printed as %s and did not come back", in, d)
		}
	}
	for _, in := range []string{"", "7", "d", "-1d", "1h1d", "1.5h", "7 d", "99999999999d", "1d1d"} {
		if _, err := rapport.ParseDuration(in); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%q was taken for a duration: %v", in, err)
		}
	}
}
