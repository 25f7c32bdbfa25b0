package sim

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Progress is how far the history has been sent.
type Progress struct {
	Events   int64 // durable on the server
	Expected int64 // in the end, by what has been seen so far
	Shoppers int   // whose history is complete
	Total    int   // shoppers
	Rate     float64
	Left     time.Duration
}

const (
	chunkShoppers = 128       // shoppers whose history is made durable together
	bodyBytes     = 384 << 10 // of one request
	connections   = 4
)

// History writes the history of the shoppers from up to (not including) to, as
// it would have ended at end, in time order per shopper. take is given the
// channel of the world's sources ("web", "till", ...) and one event of the
// collection API, whose bytes it must not keep. It stops when take returns false.
func (w *World) History(end time.Time, from, to int, take func(channel string, event []byte) bool) {
	st := &taker{take: take}
	e := w.era(end.UnixMilli())
	var p pen
	for i := from; i < to && !st.over; i++ {
		w.history(i, e, st, &p)
	}
}

// taker is the stage of History.
type taker struct {
	take func(string, []byte) bool
	over bool
}

func (t *taker) say(c channel, event []byte) {
	if !t.over {
		t.over = !t.take(channelNames[c], event)
	}
}
func (t *taker) until(int64) bool            { return !t.over }
func (t *taker) observe(*visit, observation) {}
func (t *taker) ask(v *visit, _ *Placement, event []byte) answer {
	if event != nil {
		t.say(v.channel, event)
	}
	return answer{}
}

// Backfill sends the history that is not durable yet and returns when it is.
// progress is called about five times a second and may be nil. When ctx ends
// or the server refuses, a later Backfill goes on where this one stopped;
// what is sent twice carries the same message ids.
func (s *Sim) Backfill(ctx context.Context, progress func(Progress)) error {
	begun := time.Now()
	first := s.state.Imported
	var mu sync.Mutex // guards what follows
	next, reported, events := first, begun, int64(0)
	done := map[int]bool{} // chunks, by first shopper, beyond state.Imported

	report := func(force bool) {
		if progress == nil || (!force && time.Since(reported) < 200*time.Millisecond) {
			return
		}
		reported = time.Now()
		at := min(s.state.Imported+chunkShoppers*len(done), s.w.Shoppers)
		p := Progress{Events: events, Shoppers: at, Total: s.w.Shoppers}
		if sent := at - first; sent > 0 {
			p.Expected = int64(float64(events) / float64(sent) * float64(s.w.Shoppers-first))
			p.Rate = float64(events) / time.Since(begun).Seconds()
			p.Left = time.Duration(float64(p.Expected-events) / p.Rate * float64(time.Second)).Round(time.Second)
		}
		progress(p)
	}

	g, ctx := errgroup.WithContext(ctx)
	for range connections {
		g.Go(func() error {
			past := &past{ctx: ctx, sim: s}
			var p pen
			for {
				mu.Lock()
				from := next
				next += chunkShoppers
				mu.Unlock()
				if from >= s.w.Shoppers {
					return nil
				}
				for i := from; i < min(from+chunkShoppers, s.w.Shoppers) && past.err == nil; i++ {
					s.w.history(i, s.era, past, &p)
				}
				for c := range past.buffers {
					past.send(channel(c))
				}
				if past.err != nil {
					return past.err
				}
				mu.Lock()
				done[from] = true
				events += past.sent
				past.sent = 0
				s.mu.Lock()
				for done[s.state.Imported] {
					delete(done, s.state.Imported)
					s.state.Imported = min(s.state.Imported+chunkShoppers, s.w.Shoppers)
				}
				s.mu.Unlock()
				report(false)
				mu.Unlock()
			}
		})
	}
	err := g.Wait()
	report(true)
	if saved := s.save(); err == nil {
		err = saved
	}
	return err
}

// past is the stage of Backfill: it fills one body per source and sends it.
type past struct {
	ctx     context.Context // of the Backfill that owns this stage
	sim     *Sim
	buffers [channels][]byte
	counts  [channels]int64
	sent    int64
	err     error
}

func (p *past) say(c channel, event []byte) {
	if len(p.buffers[c]) > 0 {
		p.buffers[c] = append(p.buffers[c], ',')
	}
	p.buffers[c] = append(p.buffers[c], event...)
	p.counts[c]++
	if len(p.buffers[c]) >= bodyBytes {
		p.send(c)
	}
}

func (p *past) send(c channel) {
	if p.err != nil || p.counts[c] == 0 {
		return
	}
	if p.err = p.sim.clients[c].SendEncoded(p.ctx, p.buffers[c], true); p.err == nil {
		p.sent += p.counts[c]
	}
	p.buffers[c], p.counts[c] = p.buffers[c][:0], 0
}

func (p *past) until(int64) bool            { return p.err == nil }
func (p *past) observe(*visit, observation) {}
func (p *past) ask(v *visit, _ *Placement, event []byte) answer {
	if event != nil {
		p.say(v.channel, event)
	}
	return answer{}
}
