package predict

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
)

// InsightDoc is an outcome the server looks at every day.
type InsightDoc struct {
	ID      string           `json:"id" yaml:"id"`
	Event   string           `json:"event" yaml:"event" required:"true" suggest:"event" doc:"The outcome: people who did this"`
	Within  rapport.Duration `json:"within" yaml:"within" min:"1d" max:"400d" doc:"In the last so long"`
	Exclude []string         `json:"exclude" yaml:"exclude" max:"50" doc:"Traits and events that must not explain it"`
}

// NewInsightDoc returns a document with the defaults.
func NewInsightDoc() *InsightDoc {
	return &InsightDoc{Within: rapport.Duration(30 * 24 * time.Hour)}
}

// lookEvery is how often it is checked whether a day has not been looked at.
const lookEvery = time.Hour

// DailyDeps are what a Daily needs.
type DailyDeps struct {
	Home   Home
	Clock  rapport.Clock
	Logger *slog.Logger
	Config func() *engine.Config // in force now
	Stream *Stream
	// Append writes the fact that make returns, unless it is nil, to the control
	// topic. Nothing else is written there between make and the fact.
	Append func(ctx context.Context, kind string, make func() ([]byte, error)) error
}

// Daily looks for insights once a (UTC) day, off the hot path.
type Daily struct{ d DailyDeps }

// NewDaily returns a Daily; Run makes it work.
func NewDaily(d DailyDeps) *Daily { return &Daily{d} }

// Run looks every day until ctx ends. A day that passed while nothing ran is
// not made up for: nobody knows any more how people were then.
func (y *Daily) Run(ctx context.Context) error {
	wait := firstWait
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-y.d.Clock.After(wait):
			wait = lookEvery
		}
		if err := y.Look(ctx); err != nil && ctx.Err() == nil {
			y.d.Logger.Warn("insights were not looked for", "error", err)
		}
	}
}

// Look looks if today has not been looked at. Where there is not enough to
// learn from it is no look: the next try may be one. Kinds: Unavailable.
func (y *Daily) Look(ctx context.Context) error {
	now := rapport.Millis(y.d.Clock.Now())
	out := looked{Day: dayOf(now)}
	if !y.d.Stream.due(out.Day) {
		return nil
	}
	reason := ""
	for _, doc := range configOf(y.d.Config()).outcomes() {
		q := Question{Event: doc.Event, Within: doc.Within, Now: now, Exclude: doc.Exclude}
		t, err := tabulate(ctx, y.d.Home, q, true)
		if err != nil {
			return err
		}
		if t.reason != "" {
			reason = doc.ID + ": " + t.reason
			continue
		}
		of, err := y.d.Stream.look(t, q, doc.ID)
		if err != nil {
			return err
		}
		out.Questions = append(out.Questions, of)
	}
	y.d.Stream.say(reason)
	if len(out.Questions) == 0 {
		return nil
	}
	return y.d.Append(ctx, FactLooked, func() ([]byte, error) {
		if !y.d.Stream.due(out.Day) {
			return nil, nil
		}
		return json.Marshal(out)
	})
}

// outcomes are what is looked at, in the order of their ids: purchases, where
// nothing is declared.
func (c *Config) outcomes() []InsightDoc {
	if len(c.asked) > 0 {
		return c.asked
	}
	doc := *NewInsightDoc()
	doc.ID, doc.Event = ModelPurchases, c.settings.Event
	return []InsightDoc{doc}
}

func sortedOutcomes(docs []InsightDoc) []InsightDoc {
	docs = slices.Clone(docs)
	slices.SortFunc(docs, func(a, b InsightDoc) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return docs
}
