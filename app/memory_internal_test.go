package app

import "testing"

func TestTheHeapMayGrowToTheFloorAndThenToTwiceWhatIsAlive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ live, floor, want uint64 }{
		{0, 1000, 100}, {1, 1000, maxGCPercent}, {200, 1000, 400}, {400, 1000, 150}, {600, 1000, 100}, {2000, 1000, 100},
	} {
		if got := gcPercent(c.live, c.floor); got != c.want {
			t.Errorf("gcPercent(%d, %d) = %d, want %d", c.live, c.floor, got, c.want)
		}
	}
}
