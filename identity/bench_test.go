package identity_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
)

// linkedWorld has n people, each with a user id, an e-mail and a device.
func linkedWorld(b *testing.B, n int) *world {
	b.Helper()
	w := newWorld(b, eventlogtest.NewMemory(partitions))
	for at := 0; at < n; {
		events := make([]rapport.Event, 0, 1000)
		for ; len(events) < 1000 && at < n; at++ {
			events = append(events, person(at)[0])
		}
		if err := w.submit(events); err != nil {
			b.Fatal(err)
		}
	}
	return w
}

func person(i int) []rapport.Event {
	user := rapport.Identifier{Kind: rapport.KindUserID, Value: fmt.Sprintf("user-%d", i)}
	mail := rapport.Identifier{Kind: rapport.KindEmail, Value: fmt.Sprintf("user-%d@example.com", i)}
	device := rapport.Identifier{Kind: rapport.KindAnonymousID, Value: fmt.Sprintf("4be0643f-1d98-573b-97cd-%012d", i)}
	return []rapport.Event{
		{Type: rapport.TypeIdentify, MessageID: "m", Source: "web", Identifiers: []rapport.Identifier{user, mail, device}},
		{Type: rapport.TypeTrack, MessageID: "m", Source: "web", Identifiers: []rapport.Identifier{user, device}},
		{Type: rapport.TypeTrack, MessageID: "m", Source: "web", Identifiers: []rapport.Identifier{device}},
	}
}

// BenchmarkStampingWhatIsKnown: one op is one event; batches of 100, among all people (uniform)
// or those that come often (zipf).
func BenchmarkStampingWhatIsKnown(b *testing.B) {
	const people = 200_000
	w := linkedWorld(b, people)
	for _, among := range []string{"uniform", "zipf"} {
		b.Run(among, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			z := rand.NewZipf(r, 1.1, 10, people-1)
			batches := make([][]rapport.Event, 500)
			for i := range batches {
				for range 100 {
					p := r.IntN(people)
					if among == "zipf" {
						p = int(z.Uint64())
					}
					batches[i] = append(batches[i], person(p)[1+r.IntN(2)])
				}
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n%100 == 0 {
					if _, err := w.Stamp(batches[n/100%len(batches)]); err != nil {
						b.Fatal(err)
					}
				}
				n++
			}
		})
	}
}

// BenchmarkLinking: one op is one new person: an event with three identifiers, stamped and submitted.
func BenchmarkLinking(b *testing.B) {
	w := newWorld(b, eventlogtest.NewMemory(partitions))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e := person(i)[:1]
		i++
		s, err := w.Stamp(e)
		if err != nil {
			b.Fatal(err)
		}
		s.Submitted(w.log.Submit(s.Records))
	}
}

// BenchmarkOpen: one op is a start with 400,000 links in the journal.
func BenchmarkOpen(b *testing.B) {
	w := linkedWorld(b, 200_000)
	if _, err := w.Who(context.Background(), rapport.ID{}); err != nil { // the journal is up to date
		b.Fatal(err)
	}
	for b.Loop() {
		w.restart()
	}
}

func BenchmarkMinting(b *testing.B) {
	w := newWorld(b, eventlogtest.NewMemory(partitions))
	ids := make([]string, 1<<20)
	for i := range ids {
		ids[i] = fmt.Sprintf("user-%d", i)
	}
	for _, among := range []int{1000, 1 << 20} {
		b.Run(fmt.Sprint(among), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				w.Mint(rapport.KindUserID, ids[i%among], 0)
				i += 7919
			}
		})
	}
}

// BenchmarkComparing: one op is one source record told, read, compared with all
// others and, if it resembles one, linked in the log. A third are duplicates.
func BenchmarkComparing(b *testing.B) {
	w := likenessWorld(b)
	people := population(2, 20_000)
	told := func(i int) (string, []string) {
		if i%3 == 2 {
			return fmt.Sprint("twice", i), mistyped(people[(i-1)%len(people)], i)
		}
		return fmt.Sprint("p", i), people[i%len(people)]
	}
	for i := range 3000 {
		user, values := told(i)
		w.tell(user, values...)
	}
	w.learn()
	i := 3000
	began := time.Now()
	for b.Loop() {
		user, values := told(i)
		w.tell(user, values...)
		i++
	}
	w.compared() // what was told last counts as well
	b.ReportMetric(float64(i-3000)/time.Since(began).Seconds(), "records/s")
	b.ReportMetric(float64(w.Likeness().Links), "links")
}
