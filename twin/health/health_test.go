package health_test

import (
	"fmt"
	"testing"

	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/health"
)

func TestOnlyABadFirmwareIsAnInsight(t *testing.T) {
	t.Parallel()
	for _, bad := range []bool{true, false} {
		fleet := health.NewFleet()
		for i := range 3000 {
			item := &twin.Item{ID: fmt.Sprintf("01_09506000134352_21_%d", i), Firmware: fmt.Sprintf("1.%d", i%5)}
			if i*7919%101 < 5 || bad && i%5 == 3 && i%4 == 0 {
				item.Moments = []twin.Moment{{Name: twin.ProductFault, Count: 1, Last: 10}}
			}
			fleet.Add(item, nil, 5)
		}
		groups := fleet.Groups()
		insights := 0
		for _, g := range groups {
			if g.Insight {
				insights++
			}
		}
		want := 0
		if bad {
			want = 1
		}
		if insights != want || bad && groups[0].Firmware != "1.3" {
			t.Errorf("bad %t: %+v", bad, groups)
		}
	}
}

func FuzzDecodingHealthNeverPanicsAndKeepsWhatItTakes(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 1, 'a', 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var h health.Health
		if h.DecodeBinary(b) != nil {
			return
		}
		again := h.AppendBinary(nil)
		var o health.Health
		if err := o.DecodeBinary(again); err != nil || string(o.AppendBinary(nil)) != string(again) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}
