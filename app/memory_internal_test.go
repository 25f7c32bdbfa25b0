package app

import "testing"

func TestTheHeapMayGrowToTheFloorAndThenByTwoFifthsOfWhatIsAlive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ live, floor, want uint64 }{
		{0, 1000, 40}, {1, 1000, maxGCPercent}, {200, 1000, 400}, {400, 1000, 150}, {600, 1000, 66}, {2000, 1000, 40},
	} {
		if got := gcPercent(c.live, c.floor); got != c.want {
			t.Errorf("gcPercent(%d, %d) = %d, want %d", c.live, c.floor, got, c.want)
		}
	}
}
