package predict

import (
	"cmp"
	"context"
	"encoding/csv"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/gbdt"
	"github.com/rapport-engine/rapport/learn/propensity"
)

// largestIntent bounds the text of a model, which is a document of the configuration.
const largestIntent = 180 << 10

const (
	leastSessions  = 300 // at one moment each
	leastOutcomes  = 40  // of them with, and as many without a purchase
	mostStepKinds  = 24  // steps that are inputs
	leastStepUsers = 20  // sessions in which a step came up
	mostVisitors   = 20_000
	mostSteps      = 2_000_000 // held in memory at once
	mostSessions   = 10_000    // learned from
	mostNames      = 10_000
	mostLevels     = 20
)

// Moments is a table of sessions of people, each at one moment chosen by
// chance, with whether a purchase followed before the session ended.
type Moments struct {
	columns  []IntentColumn
	rows     [][]float64
	bought   []float64
	sessions []moment
	people   int
}

// moment is a session at one moment.
type moment struct {
	session Sessions
	bought  bool
}

// visitors are the people whose sessions are learnt from: a uniform sample.
func (f *Fitter) visitors(ctx context.Context) (fragments map[rapport.ID]int32, people int, err error) {
	type visitor struct {
		hash      uint64
		fragments []rapport.ID
	}
	var mu sync.Mutex
	var list []visitor
	below := uint64(math.MaxUint64)
	err = f.d.Home.Scan(ctx, engine.ScanOptions{Background: true}, func(_ int, v *engine.View) error {
		hash := hashOf(v.ID())
		mu.Lock()
		defer mu.Unlock()
		if hash > below {
			return nil
		}
		if s, _ := v.State(FoldSessions).(*Sessions); s == nil || s.start == 0 {
			return nil
		}
		list = append(list, visitor{hash, v.Fragments()})
		if len(list) > mostVisitors {
			below /= 2
			list = slices.DeleteFunc(list, func(v visitor) bool { return v.hash > below })
		}
		return nil
	})
	slices.SortFunc(list, func(a, b visitor) int { return cmp.Compare(a.hash, b.hash) })
	fragments = map[rapport.ID]int32{}
	for i, v := range list {
		for _, id := range v.fragments {
			fragments[id] = int32(i)
		}
	}
	return fragments, len(list), err
}

// personStep is a step of one of the visitors.
type personStep struct {
	step
	person int32
}

// Moments reads the newest history of a sample of people and lays their
// sessions out as a table. Kinds: Unavailable.
func (f *Fitter) Moments(ctx context.Context) (*Moments, error) {
	config := configOf(f.d.Config())
	now := rapport.Millis(f.d.Clock.Now())
	fragments, people, err := f.visitors(ctx)
	if err != nil {
		return nil, err
	}
	var steps []personStep
	names := map[uint32]string{}
	know := func(text string) uint32 {
		h := hash32(text)
		if _, known := names[h]; !known && len(names) < mostNames {
			names[h] = strings.Clone(text)
		}
		return h
	}
	err = f.d.History(ctx, func(e *rapport.Event) error {
		id := e.Fragment
		if id.IsZero() {
			id = e.Entity
		}
		person, ok := fragments[id]
		if !ok || len(steps) == mostSteps {
			return nil
		}
		x, name, ok := stepOf(config.settings.Event, e, now)
		if !ok {
			return nil
		}
		if name != "" {
			know(name)
		}
		for i, text := range settingOf(e) {
			if text != "" {
				x.setting[i] = know(text)
			}
		}
		steps = append(steps, personStep{x, person})
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Partitions are read one after the other: time puts each person's steps in order.
	slices.SortStableFunc(steps, func(a, b personStep) int { return cmp.Or(cmp.Compare(a.person, b.person), cmp.Compare(a.at, b.at)) })
	out := &Moments{people: people}
	for i := 0; i < len(steps); {
		j := i
		for j < len(steps) && steps[j].person == steps[i].person {
			j++
		}
		out.live(steps[i:j], now)
		i = j
	}
	out.thin()
	out.layOut(names)
	return out, nil
}

// live lives through one person's steps and keeps a moment of each session.
func (m *Moments) live(steps []personStep, now int64) {
	var s, kept Sessions
	have := false
	end := func(bought bool) {
		if have {
			m.sessions = append(m.sessions, moment{kept, bought})
		}
		have = false
	}
	for i := range steps {
		x := &steps[i].step
		if s.begins(x.at) {
			end(false)
		}
		events := s.events
		s.take(*x)
		if x.bought {
			end(true)
			continue
		}
		// The n-th step takes the place of the one before with a chance of one in
		// n: every step of a session is equally likely to be the moment. A step that only
		// ends the session before it leaves none.
		if s.events != 0 && s.events != events && (s.events == 1 || mix(uint64(s.start)^uint64(s.last)<<20)%uint64(s.events) == 0) {
			kept, have = s, true
		}
	}
	if !s.running(now) { // how one that still runs ends is not known
		end(false)
	}
}

// thin keeps a uniform sample of very many sessions: a fit of all of them takes
// minutes and tells hardly more.
func (m *Moments) thin() {
	if len(m.sessions) > mostSessions {
		rng := rand.New(rand.NewPCG(1, 1))
		rng.Shuffle(len(m.sessions), func(i, j int) { m.sessions[i], m.sessions[j] = m.sessions[j], m.sessions[i] })
		m.sessions = m.sessions[:mostSessions]
	}
}

// mix spreads a number evenly (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// layOut chooses the inputs and fills the table.
func (m *Moments) layOut(names map[uint32]string) {
	steps := map[uint32]int{}
	var levels [settings]map[string]int
	for i := range levels {
		levels[i] = map[string]int{}
	}
	for i := range m.sessions {
		s := &m.sessions[i].session
		for _, t := range s.steps[:s.n] {
			steps[t.name]++
		}
		for k, h := range s.setting {
			if text, ok := names[h]; ok && h != 0 {
				levels[k][text]++
			}
		}
	}
	for _, name := range inputNames {
		m.columns = append(m.columns, IntentColumn{Name: name})
	}
	for k, of := range levels {
		texts := most(of, mostLevels)
		m.columns = append(m.columns, IntentColumn{Name: settingNames[k], Levels: texts})
	}
	known := map[string]int{}
	for h, n := range steps {
		if name, ok := names[h]; ok && n >= leastStepUsers {
			known[name] += n
		}
	}
	for _, name := range most(known, mostStepKinds) {
		h := hash32(name)
		m.columns = append(m.columns, IntentColumn{Name: name, Step: h}, IntentColumn{Name: name + " (minutes)", Step: h, Minutes: true})
	}
	model := Intent{Columns: m.columns}
	for i := range m.sessions {
		x := &m.sessions[i]
		m.rows = append(m.rows, x.session.row(m.columns, model.code))
		y := 0.0
		if x.bought {
			y = 1
		}
		m.bought = append(m.bought, y)
	}
}

// most returns the most frequent texts, of equally frequent ones those that sort first.
func most(count map[string]int, n int) []string {
	var out []string
	for text := range count {
		out = append(out, text)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), strings.Compare(a, b)) })
	return out[:min(len(out), n)]
}

// WriteCSV writes the table as `rapport evaluate intent` reads it; the outcome
// is the last column, purchase.
func (m *Moments) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	var line []string
	for _, c := range m.columns {
		line = append(line, c.Name)
	}
	if err := out.Write(append(line, "purchase")); err != nil {
		return err
	}
	for i, row := range m.rows {
		line = line[:0]
		for c, x := range row {
			switch {
			case math.IsNaN(x):
				line = append(line, "")
			case len(m.columns[c].Levels) > 0:
				line = append(line, m.columns[c].Levels[int(x)])
			default:
				line = append(line, strconv.FormatFloat(x, 'g', -1, 64))
			}
		}
		if err := out.Write(append(line, strconv.FormatFloat(m.bought[i], 'g', -1, 64))); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// fitIntent fits the model of intent to the brand's own sessions.
func (f *Fitter) fitIntent(ctx context.Context, config *Config, now time.Time) (*Intent, error) {
	m, err := f.Moments(ctx)
	if err != nil {
		return nil, err
	}
	out := &Intent{Event: config.settings.Event, Made: now.UnixMilli(), Columns: m.columns, Health: IntentHealth{People: m.people, Sessions: len(m.rows), Calibration: []Point{}, Inputs: []IntentInput{}}}
	h := &out.Health
	for _, y := range m.bought {
		h.Purchases += int(y)
	}
	f.set(func() { f.seenIntent = *h })
	if h.Sessions < leastSessions || h.Purchases < leastOutcomes || h.Sessions-h.Purchases < leastOutcomes {
		return nil, errNotEnough{"it takes " + count(leastSessions) + " sessions that ended, " + count(leastOutcomes) + " of them with a purchase and " + count(leastOutcomes) +
			" without; there are " + count(h.Sessions) + ", " + count(h.Purchases) + " with one"}
	}
	set := &gbdt.Set{Rows: m.rows, Y: m.bought}
	if out.Model, err = propensity.FitWithin(out.columns(), set, 1, largestIntent); err != nil {
		return nil, err
	}
	found, err := propensity.Judge(ctx, out.columns(), set, func(int) {})
	if err != nil {
		return nil, err
	}
	h.AUC, h.AveragePrecision, h.Brier, h.CalibrationError = found.AUC, found.AveragePrecision, found.Brier, found.CalibrationError
	for _, b := range found.Bins {
		h.Calibration = append(h.Calibration, Point{round(b.Predicted), round(b.Actual), b.Count})
	}
	for c, share := range found.Gains {
		if share > 0 {
			h.Inputs = append(h.Inputs, IntentInput{m.columns[c].Name, round(share)})
		}
	}
	slices.SortStableFunc(h.Inputs, func(a, b IntentInput) int { return cmp.Compare(b.Share, a.Share) })
	if old := config.intent; old != nil {
		h.Tracking = m.track(old)
	}
	return out, nil
}

// track compares what a model says of the sessions begun since it was fitted
// with what happened.
func (m *Moments) track(old *Intent) *float64 {
	var foretold, made float64
	for i := range m.sessions {
		s := &m.sessions[i].session
		if s.start <= old.Made {
			continue
		}
		foretold += old.Model.Chance(s.row(old.Columns, old.code))
		made += m.bought[i]
	}
	if made == 0 {
		return nil
	}
	off := round((foretold - made) / made)
	return &off
}

func gradeIntent(h *IntentHealth) (status, reason string) {
	switch {
	case h.Tracking != nil && math.Abs(*h.Tracking) > 0.3:
		return "poor", "the model before it missed the purchases in sessions since its fit by more than 30 %"
	case h.CalibrationError > 0.05:
		return "poor", "its chances are off by more than 5 points in the mean, over sessions it had not seen"
	case h.AUC < 0.6:
		return "poor", "it hardly tells the sessions that end in a purchase from the others"
	}
	return "good", "fresh, and its chances mean what they say"
}
