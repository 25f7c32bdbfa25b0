package profile_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

func (w *world) timelineOf(ref string) []rapport.Event {
	w.t.Helper()
	var tl *profile.Timeline
	w.view(w.ref(ref), func(v *engine.View) { tl = profile.TimelineOf(v) })
	return w.timeline(tl)
}

func TestATimelineIsNewestFirstOverAllFragments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.sendAt(start.Add(-3*time.Hour), "page Third a=phone")
	w.sendAt(start.Add(-1*time.Hour), "page First a=tablet")
	w.sendAt(start.Add(-2*time.Hour), "track Second u=anna a=phone")
	w.sendAt(start.Add(-4*time.Hour), "identify u=anna a=tablet")
	var got []string
	for _, e := range w.timelineOf("userId:anna") {
		got = append(got, e.Name)
	}
	if !slices.Equal(got, []string{"First", "Second", "Third", ""}) {
		t.Errorf("the timeline reads %q", got)
	}
}

func TestATimelineKeepsTheNewestThousandAndStaysBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		times func(i int) int
	}{
		{"as they happen", func(i int) int { return i }},
		{"newest first", func(i int) int { return 5000 - i }},
		{"with some late ones", func(i int) int {
			if i%10 == 0 {
				return i - 5
			}
			return i
		}},
		{"history after the present", func(i int) int {
			if i < 1500 {
				return 100_000 + i
			}
			return i
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.clock.set(start.Add(200_000 * time.Second))
			var sent []string
			for i := 0; i < 5000; {
				var events []rapport.Event
				for ; len(events) < 500; i++ {
					at := start.Add(time.Duration(c.times(i)) * time.Second)
					events = append(events, w.event(at, fmt.Sprintf("track T%09d u=anna", at.Unix())))
					sent = append(sent, events[len(events)-1].Name)
				}
				w.submit(events)
			}
			got := w.timelineOf("userId:anna")
			slices.Sort(sent)
			slices.Reverse(sent)
			if len(got) < profile.TimelineKept || len(got) > 4*profile.TimelineKept {
				t.Fatalf("the timeline holds %d of %d events", len(got), len(sent))
			}
			if c.name == "newest first" {
				return // what comes in backwards is the newest until it is too much
			}
			for i := range profile.TimelineKept {
				if got[i].Name != sent[i] {
					t.Fatalf("event %d of the timeline is %s, not %s", i, got[i].Name, sent[i])
				}
			}
		})
	}
}

func TestAnyOrderLeavesABoundedTimeline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.clock.set(start.Add(30_000 * time.Second))
	r := rand.New(rand.NewPCG(1, 1))
	for range 30 {
		var events []rapport.Event
		for range 1000 {
			events = append(events, w.event(start.Add(time.Duration(r.IntN(30_000))*time.Second), "page Home u=anna"))
		}
		w.submit(events)
	}
	entries := 0
	last := profile.TimelineKey{At: math.MaxInt64}
	w.view(w.ref("userId:anna"), func(v *engine.View) {
		tl := profile.TimelineOf(v)
		w.must(tl.Walk(profile.TimelineKey{}, func(e profile.TimelineEntry) bool {
			if entries++; e.Type != rapport.TypePage || e.At > last.At {
				t.Fatalf("entry %d is %v after %v", entries, e, last)
			}
			last = e.TimelineKey
			return true
		}))
		w.must(tl.Close())
	})
	if entries < profile.TimelineKept || entries > 8*profile.TimelineKept {
		t.Errorf("%d entries of 30,000 events", entries)
	}
}
