package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// generator is a load under way.
type generator struct {
	job
	start   time.Time
	begin   time.Time // of what is measured
	end     time.Time
	next    atomic.Int64 // preload: the next person
	sent    atomic.Int64
	refused atomic.Int64
	failed  atomic.Int64

	mu       sync.Mutex
	done     done
	requests latencies
	problem  string
	probe    struct{ post, read, both latencies }
	decide   struct{ due, service latencies }
}

// generate makes the load of a job, calling warm when the measured time begins.
func generate(ctx context.Context, j job, warm func()) (done, error) {
	g := &generator{job: j, start: time.Now()}
	g.begin = g.start.Add(seconds(j.Warmup))
	g.end = g.begin.Add(seconds(j.Seconds))
	preload := j.Role == "preload"
	if preload {
		g.begin, g.end = g.start, g.start.Add(24*time.Hour)
	}
	ctx, stop := context.WithDeadline(ctx, g.end)
	defer stop()

	cpu := 0.0
	timer := time.AfterFunc(time.Until(g.begin), func() {
		g.mu.Lock()
		cpu = ownCPU()
		g.mu.Unlock()
		warm()
	})
	defer timer.Stop()
	var all sync.WaitGroup
	for i := range j.Connections {
		if preload {
			all.Go(func() { g.preload(ctx, i) })
		} else {
			all.Go(func() { g.batches(ctx, i) })
		}
	}
	if j.ProbeRate > 0 {
		const probes = 4
		for i := range probes {
			all.Go(func() { g.probes(ctx, i, probes) })
		}
	}
	if j.DecideRate > 0 {
		for i := range j.Connections {
			all.Go(func() { g.decisions(ctx, i, j.Connections) })
		}
	}
	all.Wait()

	g.mu.Lock()
	defer g.mu.Unlock()
	d := &g.done
	d.Seconds = min(time.Since(g.begin).Seconds(), j.Seconds)
	if preload {
		d.Seconds = time.Since(g.start).Seconds()
	}
	d.Sent, d.Refused, d.Failed, d.Problem = g.sent.Load(), g.refused.Load(), g.failed.Load(), g.problem
	d.CPU = ownCPU() - cpu
	d.Request = g.requests.summary()
	if !preload {
		d.ProbeDue = int64(j.ProbeRate * j.Seconds)
	}
	d.ProbePost, d.ProbeRead, d.ProbeBoth = g.probe.post.summary(), g.probe.read.summary(), g.probe.both.summary()
	d.DecideDue, d.DecideService = g.decide.due.summary(), g.decide.service.summary()
	return *d, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// pace yields the moments at which requests of one of n writers are due, until
// the load ends. With no rate they are due at once.
func (g *generator) pace(ctx context.Context, rate float64, writer, n int, act func(due time.Time)) {
	if rate <= 0 {
		for ctx.Err() == nil {
			act(time.Now())
		}
		return
	}
	gap := float64(time.Second) / rate
	for k := 0; ; k++ {
		due := g.start.Add(time.Duration(gap * float64(k*n+writer)))
		if due.After(g.end) || ctx.Err() != nil {
			return
		}
		time.Sleep(time.Until(due))
		act(due)
	}
}

func (g *generator) measured(due time.Time) bool { return !due.Before(g.begin) }

// trouble keeps the first thing that went wrong.
func (g *generator) trouble(what string, status int, err error, answer []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.problem == "" {
		g.problem = fmt.Sprintf("%s: status %d, %v: %.300s", what, status, err, answer)
	}
}

// post sends one request until it is accepted, and reports whether it was.
func (g *generator) post(ctx context.Context, c *connection, head string, b *body) bool {
	for ctx.Err() == nil {
		status, after, err := c.do(head, b.text)
		switch {
		case err == nil && status == 200:
			g.sent.Add(int64(len(b.slots)))
			return true
		case err == nil && (status == 429 || status == 503):
			g.refused.Add(1)
			select {
			case <-time.After(max(after, 20*time.Millisecond)):
			case <-ctx.Done():
			}
		default:
			g.failed.Add(1)
			g.trouble("POST /v1/batch", status, err, c.text)
			return false
		}
	}
	return false
}

// batches is one connection that sends events of the crowd.
func (g *generator) batches(ctx context.Context, writer int) {
	c := &connection{addr: g.Addr}
	defer c.close()
	b := newBody(g.Batch, g.Run, writer)
	people := newCrowd(g.People, g.ZipfS, g.ZipfV, uint64(g.Run)+uint64(writer))
	head := head("POST", "/v1/batch", g.Addr, basic(g.Key))
	var next, events, bytes int64
	var took latencies
	g.pace(ctx, g.Rate/float64(g.Batch), writer, g.Connections, func(due time.Time) {
		b.fill(&next, people.next, time.Now())
		if !g.post(ctx, c, head, b) {
			return
		}
		if now := time.Now(); !now.Before(g.begin) && !now.After(g.end) {
			events += int64(len(b.slots))
			bytes += int64(len(b.text))
			if g.measured(due) {
				took = append(took, now.Sub(due))
			}
		}
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done.Events += events
	g.done.Bytes += bytes
	g.requests = append(g.requests, took...)
}

// preload is one connection that makes people known, from the first to the last.
func (g *generator) preload(ctx context.Context, writer int) {
	c := &connection{addr: g.Addr}
	defer c.close()
	each := max(g.Batch/preloadEvents, 1)
	b := newPreload(each, g.Run, writer)
	head := head("POST", "/v1/batch", g.Addr, basic(g.Key))
	var next int64
	var took latencies
	events := int64(0)
	for {
		first := int(g.next.Add(int64(each))) - each
		if first >= g.People || ctx.Err() != nil {
			break
		}
		k := 0
		b.fill(&next, func() int {
			p := min(first+k/preloadEvents, g.People-1)
			k++
			return p
		}, time.Now())
		due := time.Now()
		if !g.post(ctx, c, head, b) {
			break
		}
		took = append(took, time.Since(due))
		events += int64(len(b.slots))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done.Events += events
	g.requests = append(g.requests, took...)
}

// probes sends single events and reads the person until they show.
func (g *generator) probes(ctx context.Context, writer, n int) {
	c := &connection{addr: g.Addr}
	defer c.close()
	people := newCrowd(g.People, g.ZipfS, g.ZipfV, uint64(g.Run)+1000+uint64(writer))
	post := head("POST", "/v1/batch", g.Addr, basic(g.Key))
	var posts, reads, boths latencies
	late := int64(0)
	k := int64(0)
	g.pace(ctx, g.ProbeRate, writer, n, func(due time.Time) {
		k++
		// A probe has a person of its own kind of name now and then shared with
		// the crowd: the read must not be spared the write-back of busy people.
		user := fmt.Sprintf("u%0*d", digits, people.next())
		probe := fmt.Sprintf("%d-%d-%d", g.Run, writer, k)
		event := fmt.Sprintf(`{"batch":[{"type":"identify","messageId":"probe-%s","userId":"%s","traits":{"benchProbe%d":"%s"}}]}`, probe, user, writer, probe)
		t0 := time.Now()
		status, _, err := c.do(post, []byte(event))
		t1 := time.Now()
		if err == nil && (status == 429 || status == 503) {
			g.refused.Add(1)
			return // the next one tries again
		}
		if err != nil || status != 200 {
			if ctx.Err() == nil {
				g.failed.Add(1)
				g.trouble("POST of a probe", status, err, c.text)
			}
			return
		}
		g.sent.Add(1)
		get := head("GET", "/v1/people/userId:"+user, g.Addr, "Bearer "+g.Token)
		for try := 0; ctx.Err() == nil; try++ {
			status, _, err = c.do(get, nil)
			if err != nil || (status != 200 && status != 404) {
				g.failed.Add(1)
				g.trouble("GET of a probe", status, err, c.text)
				return
			}
			if status == 200 && bytes.Contains(c.text, []byte(probe)) {
				break
			}
			if try == 0 {
				late++
			}
		}
		if t2 := time.Now(); ctx.Err() == nil && g.measured(due) {
			posts = append(posts, t1.Sub(t0))
			reads = append(reads, t2.Sub(t1))
			boths = append(boths, t2.Sub(t0))
		}
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probe.post = append(g.probe.post, posts...)
	g.probe.read = append(g.probe.read, reads...)
	g.probe.both = append(g.probe.both, boths...)
	g.done.ProbeLate += late
}

// leastFeatures are those every decision has: hour, weekday, and three traits.
const leastFeatures = 5

// clickShare is which share of what is given is clicked.
const clickShare = 0.1

// decisions asks for decisions at their pace.
func (g *generator) decisions(ctx context.Context, writer, n int) {
	c := &connection{addr: g.Addr}
	defer c.close()
	people := newCrowd(g.People, g.ZipfS, g.ZipfV, uint64(g.Run)+2000+uint64(writer))
	auth := "Bearer " + g.Token
	if g.Token == "" {
		auth = basic(g.Key)
	}
	ask := head("POST", "/v1/decide", g.Addr, auth)
	var dues, services latencies
	post := head("POST", "/v1/batch", g.Addr, basic(g.Key))
	random := rand.New(rand.NewPCG(uint64(g.Run), uint64(writer)))
	var answered, failed, empty, clicks, all int64
	g.pace(ctx, g.DecideRate, writer, n, func(due time.Time) {
		person := people.next()
		body := fmt.Appendf(nil, `{"person":{"userId":"u%0*d"},"placement":"bench","context":{`, digits, person)
		for i := range max(0, g.Features-leastFeatures) {
			if i > 0 {
				body = append(body, ',')
			}
			body = fmt.Appendf(body, `"f%d":%d`, i, random.IntN(8))
		}
		body = append(body, "}}"...)
		sent := time.Now()
		status, _, err := c.do(ask, body)
		now := time.Now()
		if g.measured(now) {
			all++
		}
		if !g.measured(due) || ctx.Err() != nil {
			return
		}
		if err != nil || status != 200 {
			failed++
			g.trouble("POST /v1/decide", status, err, c.text)
			return
		}
		answered++
		if bytes.Contains(c.text, []byte(`"items":[]`)) {
			empty++
		}
		dues = append(dues, now.Sub(due))
		services = append(services, now.Sub(sent))
		// Some are clicked, so that the models have something to learn.
		_, id, given := bytes.Cut(c.text, []byte(`"decisionId":"`))
		if given && len(id) >= 28 && random.Float64() < clickShare && !bytes.Contains(c.text, []byte(`"items":[]`)) {
			clicks++
			click := fmt.Appendf(nil, `{"batch":[{"type":"track","event":"Decision Clicked","messageId":"k%d-%d-%d","userId":"u%0*d","properties":{"decisionId":"%s"}}]}`,
				g.Run, writer, clicks, digits, person, id[:28])
			if status, _, err := c.do(post, click); err == nil && status == 200 {
				g.sent.Add(1)
			}
		}
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done.Decisions += answered
	g.done.DecideFailed += failed
	g.done.Empty += empty
	g.done.Clicked += clicks
	g.done.Answered += all
	g.decide.due = append(g.decide.due, dues...)
	g.decide.service = append(g.decide.service, services...)
}
