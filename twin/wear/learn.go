package wear

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/survival"
	"github.com/rapport-engine/rapport/twin"
)

// What is learned from, and how often.
const (
	leastLives = 10
	mostLives  = 500
	relearn    = 24 * time.Hour
	firstWait  = time.Minute
	longWait   = time.Hour
)

// Home is where items are.
type Home interface {
	Scan(ctx context.Context, o engine.ScanOptions, fn func(worker int, v *engine.View) error) error
}

// Deps are what a Learner needs. All are required.
type Deps struct {
	Home    Home
	Clock   rapport.Clock
	Logger  *slog.Logger
	Config  func() *engine.Config // in force now
	Publish func(ctx context.Context, m ModelDoc) error
}

// Learner learns from the lives of items off the hot path, and publishes models.
// One is learned at a time. Its methods are safe for concurrent use.
type Learner struct {
	d        Deps
	learning sync.Mutex
	mu       sync.Mutex
	tries    map[string]try // by GTIN
}

// try is the last time a product's lives were looked at.
type try struct {
	at     time.Time
	asked  uint64
	whole  int
	reason string // why there is no model
}

// NewLearner returns a Learner; Run makes it work by itself.
func NewLearner(d Deps) *Learner { return &Learner{d: d, tries: map[string]try{}} }

// followed lists the products whose lives are followed, and the models in force.
func (l *Learner) followed() (list []*catalog.ProductDoc, models Models) {
	c := l.d.Config()
	known, _ := c.Part(catalog.Part).(*catalog.Catalog)
	for _, p := range known.All() {
		if p.Life.Followed() {
			list = append(list, p)
		}
	}
	models, _ = c.Part(Part).(Models)
	return list, models
}

// Run learns where there is no model yet, less and less often while there is not
// enough to learn from, and again every day.
func (l *Learner) Run(ctx context.Context) error {
	wait := firstWait
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.d.Clock.After(wait):
			wait = min(2*wait, longWait)
		}
		list, models := l.followed()
		for _, p := range list {
			if m := models.of(p.GTIN, Digest(&p.Life)); m != nil && l.d.Clock.Now().Sub(m.Made) < relearn {
				continue
			}
			if err := l.try(ctx, p.GTIN, true); err != nil && rapport.KindOf(err) != rapport.Conflict && ctx.Err() == nil {
				l.d.Logger.Warn("the lives of a product were not learned from", "gtin", p.GTIN, "error", err)
			}
		}
	}
}

// errFew is why there is nothing to learn from.
type errFew struct{ reason string }

func (e errFew) Error() string { return e.reason }

// Learn learns from all whole lives of a product and publishes the model. Kinds:
// NotFound for a product whose lives are not followed, Conflict if there are too
// few, Unavailable.
func (l *Learner) Learn(ctx context.Context, gtin string) error { return l.try(ctx, gtin, false) }

func (l *Learner) try(ctx context.Context, gtin string, background bool) error {
	l.learning.Lock()
	defer l.learning.Unlock()
	list, _ := l.followed()
	i := slices.IndexFunc(list, func(p *catalog.ProductDoc) bool { return p.GTIN == gtin })
	if i < 0 {
		return rapport.WithHint(rapport.Errorf(rapport.NotFound, "the lives of %s are not followed", gtin), "name the readings that tell of wear under life in its product document")
	}
	p := list[i]
	now := l.d.Clock.Now()
	last := try{at: now, asked: Digest(&p.Life)}
	whole, err := l.gather(ctx, p, last.asked, background)
	last.whole = len(whole)
	if err == nil && len(whole) < leastLives {
		err = errFew{fmt.Sprintf("it takes %d whole lives, there are %d", leastLives, len(whole))}
	}
	if err == nil {
		err = l.learn(ctx, p, last.asked, whole, now)
	}
	if err != nil {
		last.reason = err.Error()
	}
	l.mu.Lock()
	l.tries[gtin] = last
	l.mu.Unlock()
	if few, ok := errors.AsType[errFew](err); ok {
		return rapport.Errorf(rapport.Conflict, "not enough data: %s", few.reason)
	}
	return err
}

func (l *Learner) learn(ctx context.Context, p *catalog.ProductDoc, asked uint64, whole []survival.Life, now time.Time) error {
	m, err := survival.FitLives(whole, float64(p.Life.Horizon.Millis())/day, coverage, func(int, int) error { return ctx.Err() })
	if err != nil {
		return rapport.Errorf(rapport.Unavailable, "learning from lives ended: %w", err)
	}
	data, err := pack(m)
	if err != nil {
		return err
	}
	return l.d.Publish(ctx, ModelDoc{ID: p.GTIN, Made: now.UTC().Format(time.RFC3339), Asked: strconv.FormatUint(asked, 16), Lives: len(whole), Data: data})
}

// gather reads the whole lives of a product, of very many those whose names
// sort first by a hash, always in the same order.
func (l *Learner) gather(ctx context.Context, p *catalog.ProductDoc, asked uint64, background bool) ([]survival.Life, error) {
	type found struct {
		hash uint64
		life survival.Life
	}
	var mu sync.Mutex
	var all []found
	err := l.d.Home.Scan(ctx, engine.ScanOptions{From: rapport.RankItem, Background: background}, func(_ int, v *engine.View) error {
		item := twin.Peek(v)
		state, _ := v.State(FoldLife).(*Life)
		if item == nil || state == nil || state.asked != asked || len(state.ended) == 0 || item.Key().GTIN() != p.GTIN {
			return nil
		}
		rows := v.Rows(FoldLife)
		defer rows.Close()
		for _, x := range state.ended {
			life := survival.Life{Unit: item.ID + "/" + strconv.Itoa(int(x.number))}
			err := rows.Walk(rowKey(x.number, 0), rowKey(x.number+1, 0), false, func(_, value []byte) bool {
				row := make([]float64, 0, len(value)/4-2)
				for b := value[8:]; len(b) >= 4; b = b[4:] {
					row = append(row, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
				}
				life.Rows = append(life.Rows, row)
				life.Left = append(life.Left, float64(x.At-int64(binary.LittleEndian.Uint64(value)))/day)
				return true
			})
			if err != nil {
				return err
			}
			if len(life.Rows) == 0 {
				continue
			}
			h := fnv.New64a()
			_, _ = h.Write([]byte(life.Unit))
			mu.Lock()
			all = append(all, found{h.Sum64(), life})
			mu.Unlock()
		}
		return nil
	})
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.life.Unit, b.life.Unit))
	})
	out := make([]survival.Life, 0, min(len(all), mostLives))
	for i := range min(len(all), mostLives) {
		out = append(out, all[i].life)
	}
	return out, err
}

// Page is what is learned of one product's lives.
type Page struct {
	GTIN     string   `json:"gtin"`
	Readings []string `json:"readings"`
	// Reason is why there is no model; empty where there is one.
	Reason string     `json:"reason,omitempty" doc:"Why there is no model"`
	Tried  *time.Time `json:"tried,omitempty" doc:"When it was looked last whether there is enough to learn from"`
	Made   *time.Time `json:"made,omitempty"`
	Lives  int        `json:"lives" doc:"Whole lives: those the model learned from, or those there are while there is none"`
	// What it missed by on lives it had not seen.
	RMSE      float64 `json:"rmse,omitempty" doc:"Days it missed by on lives it had not seen (root mean square)"`
	NaiveRMSE float64 `json:"naiveRmse,omitempty" doc:"The same for always telling the mean"`
	Covered90 float64 `json:"coverage90,omitempty" doc:"Share of them within its 90 % interval"`
}

// Pages returns what is learned of the products whose lives are followed, by id of the product.
func (l *Learner) Pages() []Page {
	list, models := l.followed()
	out := []Page{}
	for _, p := range list {
		out = append(out, l.page(p, models))
	}
	return out
}

func (l *Learner) page(p *catalog.ProductDoc, models Models) Page {
	l.mu.Lock()
	last, tried := l.tries[p.GTIN]
	l.mu.Unlock()
	out := Page{GTIN: p.GTIN, Readings: p.Life.Readings}
	asked := Digest(&p.Life)
	if tried && last.asked == asked {
		out.Tried, out.Lives = &last.at, last.whole
	}
	m := models.of(p.GTIN, asked)
	switch {
	case m != nil:
		made := m.Made
		out.Made, out.Lives = &made, m.Lives
		out.RMSE, out.NaiveRMSE, out.Covered90 = m.Errors()
	case out.Tried == nil:
		out.Reason = "not enough data: its lives were not looked at yet"
	default:
		out.Reason = "not enough data: " + last.reason
	}
	return out
}

// Reason returns why nothing can be told of the lives of a product; "" if
// something can, or its lives are not followed.
func (l *Learner) Reason(gtin string) string {
	list, models := l.followed()
	for _, p := range list {
		if p.GTIN == gtin {
			return l.page(p, models).Reason
		}
	}
	return ""
}
