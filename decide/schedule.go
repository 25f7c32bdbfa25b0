package decide

import (
	"context"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/learn/sendtime"
)

// plannedSuffix ends the key of a request that was planned; the message id of
// the fact that planned it ends with scheduledSuffix.
const (
	plannedSuffix   = "@"
	scheduledSuffix = "/when"
)

// soon is how near a moment is that nothing is planned for, ms.
const soon = 60_000

// plan finds out when what a trigger asks for is to be sent, and if that is
// later, records it: the fold leaves the request in the outbox again, not to be
// offered before then. Whatever dies, it is planned once and asked for once. now
// is set where it is to be decided at once, by that plan if by any.
func (s *Decider) plan(ctx context.Context, e engine.Effect, t triggered, r *Request) (at *plan, now bool, err error) {
	millis := rapport.Millis(s.deps.Clock.Now())
	if t.planned != nil && millis-t.planned.at <= staleTrigger {
		return t.planned, true, nil
	}
	var made *arbitrated
	err = s.deps.Home.View(ctx, r.Person, r.Tokens, func(v *engine.View) (err error) {
		if cfg, _ := v.Config().Part(Part).(*Config); !cfg.delays(r.Placement) {
			return nil
		}
		made, err = s.look(v, r, "trigger "+t.trigger, true)
		return err
	})
	if err != nil || made == nil {
		return nil, true, err
	}
	if err := s.choose(ctx, made, true); err != nil {
		return nil, true, err
	}
	given := chosen(made.decision)
	if len(given) == 0 {
		given = made.decision.Withheld
	}
	if len(given) == 0 {
		return nil, true, nil
	}
	m := made.moment
	a := m.config.Action(given[0].Action)
	timing := m.placement.timingOf(a)
	if timing == nil {
		return nil, true, nil
	}
	until := t.at + timing.within
	if t.planned != nil {
		until = t.until
	}
	if a.until != 0 {
		until = min(until, a.until-1)
	}
	if millis >= until {
		return nil, true, nil // whether it is too late altogether is not for the plan to say
	}
	p := m.schedule(timing, until)
	if p.at-m.now <= soon {
		return &p, true, nil
	}
	t.planned, t.until = &p, until
	return nil, false, s.postpone(ctx, e, &t, a, given[0].Channel)
}

// delays reports whether anything in a placement may wait for its hour.
func (c *Config) delays(placement string) bool {
	p := c.Placement(placement)
	if p == nil {
		return false
	}
	for _, a := range p.Candidates {
		if p.timingOf(a) != nil {
			return true
		}
	}
	return false
}

// postpone records when a trigger's request is to be decided.
func (s *Decider) postpone(ctx context.Context, e engine.Effect, t *triggered, a *Action, channel string) error {
	now := rapport.Millis(s.deps.Clock.Now())
	p := rapport.AppendField(nil, "trigger", rapport.StringValue(t.trigger))
	p = rapport.AppendField(p, "placement", rapport.StringValue(t.placement))
	p = rapport.AppendField(p, "at", rapport.StringValue(stamp(rapport.Time(t.planned.at))))
	p = rapport.AppendField(p, "leading", rapport.StringValue(a.ID))
	if channel != "" {
		p = rapport.AppendField(p, "channel", rapport.StringValue(channel))
	}
	p = rapport.AppendField(p, "propensity", rapport.NumberValue(t.planned.chance))
	p = rapport.AppendField(p, "reason", rapport.StringValue(t.planned.reason))
	event := &rapport.Event{
		Type: rapport.TypeSystem, Name: rapport.SystemScheduled, MessageID: e.Key + scheduledSuffix, Source: "rapport", Entity: e.Entity,
		Timestamp: now, OriginalTimestamp: now, ReceivedAt: now, Properties: p, Body: appendRequest(nil, t),
	}
	home := int32(e.Entity.Partition(len(s.ledgers)))
	return eventlog.Append(ctx, s.deps.Log, engine.EventRecord(event, engine.Fingerprint(event.Source, event.MessageID), home))
}

// scheduled folds in when a trigger's request is to be decided.
func (s *record) scheduled(c *engine.Context, e *rapport.Event) {
	key, ok := strings.CutSuffix(e.MessageID, scheduledSuffix)
	t, err := decodeRequest(e.Body)
	if !ok || err != nil || t.planned == nil || !isTriggered(key) {
		return
	}
	c.CancelEffect(key)
	c.Effect(engine.Effect{Kind: EffectKind, Key: key + plannedSuffix, Entity: c.Entity, NotBefore: t.planned.at, Payload: e.Body})
}

// Habits are when and through what one person answers, as it is believed now.
type Habits struct {
	// Zone is where the hours are counted.
	Zone string `json:"zone"`
	// Alike names the people the person is taken for while little is known of
	// themselves: those active in the same part of the day; empty if that is not known.
	Alike    string          `json:"alike,omitempty"`
	Hours    []HourHabit     `json:"hours"`
	Channels []ChannelHabit  `json:"channels"`
	Waiting  []ScheduledSend `json:"waiting"`
}

// Answers are how much was sent to the person, fading, and the rate at which
// they are believed to answer, with its 80 % interval.
type Answers struct {
	Sent     float64 `json:"sent"`
	Answered float64 `json:"answered"`
	Rate     float64 `json:"rate"`
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
}

// HourHabit is one hour of the day.
type HourHabit struct {
	Hour int `json:"hour"`
	Answers
	// Quiet is set where quiet hours let nothing out.
	Quiet bool `json:"quiet,omitempty"`
}

// ChannelHabit is one channel.
type ChannelHabit struct {
	Channel string `json:"channel"`
	Answers
	// Closed says why the person cannot be reached through it; empty if they can.
	Closed string `json:"closed,omitempty"`
}

// ScheduledSend is a trigger's request that waits for its hour.
type ScheduledSend struct {
	Trigger   string `json:"trigger"`
	Placement string `json:"placement"`
	At        int64  `json:"at"` // Unix ms
	Reason    string `json:"reason"`
}

func answersOf(t sendtime.Tally, b sendtime.Beta) Answers {
	low, high := b.Interval(0.8)
	return Answers{Sent: t.Sent, Answered: t.Answered, Rate: b.Mean(), Low: low, High: high}
}

// Habits returns when and through what a person answers. Kind: NotFound for
// somebody nothing is known of.
func (s *Decider) Habits(ctx context.Context, person rapport.ID) (*Habits, error) {
	var out *Habits
	err := s.deps.Home.View(ctx, person, nil, func(v *engine.View) error {
		if !v.Exists() {
			return rapport.Errorf(rapport.NotFound, "there is no such person")
		}
		cfg, _ := v.Config().Part(Part).(*Config)
		now := s.deps.Env(v, s.deps.Clock.Now()).Now()
		h := s.habits(v, now)
		own := h.levels[len(h.levels)-1]
		out = &Habits{Zone: now.Location().String(), Channels: []ChannelHabit{}, Waiting: []ScheduledSend{}}
		if h.alike > 0 {
			out.Alike = "people active " + partsOfDay[h.alike]
		}
		for hour := range sendtime.Hours {
			x := HourHabit{Hour: hour, Answers: answersOf(own.Hours[hour], h.hour(hour))}
			if cfg != nil {
				x.Quiet = cfg.policy.quiet.covers(now, hour)
			}
			out.Hours = append(out.Hours, x)
		}
		for _, c := range cfg.allWays() {
			x := ChannelHabit{Channel: c, Answers: answersOf(own.Channel(c), h.channel(c))}
			if s.deps.Reach != nil {
				x.Closed = s.deps.Reach(v, c)
			}
			out.Channels = append(out.Channels, x)
		}
		for _, e := range v.Effects() {
			if t, err := decodeRequest(e.Payload); e.Kind == EffectKind && err == nil && t.planned != nil {
				out.Waiting = append(out.Waiting, ScheduledSend{t.trigger, t.placement, t.planned.at, t.planned.reason})
			}
		}
		return nil
	})
	return out, err
}
