package bench

import (
	"encoding/json"
	"testing"
	"time"
)

func TestBodiesHoldFreshIDsAndTheirPeople(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, b := range []*body{newBody(100, 7, 3), newPreload(33, 7, 3)} {
		var next int64
		for round := range 3 {
			k := 0
			b.fill(&next, func() int { k++; return round*1000 + k }, time.Date(2026, 3, 1, 2, 3, 4, 0, time.UTC))
			var out struct {
				SentAt string
				Batch  []struct {
					MessageID, UserID, AnonymousID, Timestamp string
					Traits                                    map[string]any
				}
			}
			if err := json.Unmarshal(b.text, &out); err != nil {
				t.Fatal(err)
			}
			if len(out.Batch) != len(b.slots) || out.SentAt != "2026-03-01T02:03:04.000Z" {
				t.Fatalf("%d events sent at %s", len(out.Batch), out.SentAt)
			}
			for i, e := range out.Batch {
				want := round*1000 + i + 1
				if seen[e.MessageID] || e.Timestamp != out.SentAt {
					t.Fatalf("event %+v", e)
				}
				seen[e.MessageID] = true
				number := []byte("000000000")
				decimal(number, int64(want))
				if e.UserID != "u"+string(number) || e.AnonymousID != "5f0c1e2a-7b3d-4c8e-9a41-000"+string(number) {
					t.Fatalf("event %d is of %s and %s, want %s", i, e.UserID, e.AnonymousID, number)
				}
				if m, ok := e.Traits["email"]; ok && m != e.UserID+"@bench.example" {
					t.Fatalf("e-mail %v of %s", m, e.UserID)
				}
			}
		}
	}
}

func TestTheCrowdFollowsZipfAndReachesEverybody(t *testing.T) {
	t.Parallel()
	const people, draws = 1000, 200_000
	c := newCrowd(people, 1.01, 1, 5)
	count := make([]int, people)
	for range draws {
		count[c.next()]++
	}
	most, silent := 0, 0
	for i := range count {
		if count[i] > count[most] {
			most = i
		}
		if count[i] == 0 {
			silent++
		}
	}
	if share := float64(count[most]) / draws; share < 0.1 || share > 0.2 || silent > people/50 {
		t.Errorf("the busiest makes %.3f of the events, %d of %d none", share, silent, people)
	}
}

func BenchmarkFill(b *testing.B) {
	body, c := newBody(100, 7, 3), newCrowd(1_000_000, 1.01, 1, 5)
	var next int64
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		body.fill(&next, c.next, now)
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
}
