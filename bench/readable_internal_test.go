package bench

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestAReportSaysPlainlyWhenNothingCouldBeReadInTime(t *testing.T) {
	t.Parallel()
	none := readable(Load{}, done{ProbeDue: 2000})
	b, err := json.Marshal(none)
	if err != nil {
		t.Fatal(err)
	}
	if none.Missing != 2000 || !strings.HasPrefix(none.Note, "none in time") || !strings.Contains(string(b), `"acceptedToReadable":{"count":0,"p50":null`) {
		t.Errorf("nothing was read: %s", b)
	}
	some := readable(Load{}, done{ProbeDue: 10, ProbeRead: latencies{time.Millisecond}.summary()})
	if some.Missing != 9 || !strings.Contains(some.Note, "9 of 10") {
		t.Errorf("one was read: %+v", some)
	}
	if all := readable(Load{}, done{ProbeDue: 1, ProbeRead: latencies{time.Millisecond}.summary()}); all.Missing != 0 || all.Note != "" {
		t.Errorf("all were read: %+v", all)
	}
	var back Latency
	if err := json.Unmarshal([]byte(`{"count":0,"p50":null}`), &back); err != nil || back.Count != 0 {
		t.Errorf("read back: %+v, %v", back, err)
	}
}
