package ota

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
)

// ripen judges an update that soaks: well when it soaked long enough and the
// device still answers, with the version it should have if it tells one.
func (u *Updates) ripen(ctx context.Context, a Action) error {
	u.mu.Lock()
	p := u.state.Rollouts[a.Rollout]
	polled := u.polled[a.Item]
	var soak int64
	var version string
	if p != nil {
		soak = p.Soak * 1000
		if art := u.state.Artifacts[p.Artifact]; art != nil {
			version = art.Version
		}
	}
	u.mu.Unlock()
	if p == nil || polled < a.Changed+soak {
		return nil
	}
	d, err := u.d.Devices.Device(ctx, a.Item)
	if err != nil && rapport.KindOf(err) != rapport.NotFound {
		return err
	}
	if d != nil && d.Firmware != "" && d.Firmware != version && d.FirmwareAt > a.Changed {
		_, err = u.move(ctx, a, Failed, "the device runs "+d.Firmware+" again")
		return err
	}
	_, err = u.move(ctx, a, Succeeded, "")
	return err
}

const superviseEvery = 2 * time.Second

// supervise times out, advances, stops and finishes rollouts. Whatever it
// decides is a fact of its own.
func (u *Updates) supervise(ctx context.Context) error {
	for {
		if err := u.Supervise(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			u.d.Logger.Warn("rollouts were not looked after", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-u.d.Clock.After(superviseEvery):
		}
	}
}

// Supervise looks after every running rollout once.
func (u *Updates) Supervise(ctx context.Context) error {
	if err := u.Settle(ctx); err != nil {
		return err
	}
	u.mu.Lock()
	var open []*Progress
	for _, p := range u.state.Rollouts {
		if p.Status == Running || p.Status == Paused || p.Status.Over() && openSteps(p) > 0 {
			open = append(open, p.copy())
		}
	}
	u.mu.Unlock()
	slices.SortFunc(open, func(a, b *Progress) int { return cmp.Compare(a.ID, b.ID) })
	for _, p := range open {
		if err := u.look(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func openSteps(p *Progress) (n int) {
	for s, k := range p.Steps {
		if s.Open() {
			n += k
		}
	}
	return n
}

func (u *Updates) look(ctx context.Context, p *Progress) error {
	actions, err := u.Actions(ctx, p.ID)
	if err != nil {
		return err
	}
	now := u.now()
	for _, a := range actions {
		// While we were away nobody could confirm anything: time counts from when we are back.
		began, changed := max(a.Began, u.opened), max(a.Changed, u.opened)
		switch {
		case (p.Status == Canceled || p.Status == Stopped) && (a.Step == Assigned || a.Step == Proceeding) && a.Changed <= p.Changed:
			_, err = u.move(ctx, a, CancelAsked, "the rollout ended") // we ended between the two
		case a.Step == Soaking:
			if err := u.ripen(ctx, a); err != nil {
				return err
			}
			u.mu.Lock()
			silent := u.polled[a.Item] < a.Changed+p.Soak*1000 && now > changed+p.Soak*1000+p.Timeout*1000
			u.mu.Unlock()
			if silent {
				_, err = u.move(ctx, a, Failed, "the device fell silent after the update")
			}
		case a.Step == CancelAsked && now > changed+p.Timeout*1000:
			_, err = u.move(ctx, a, CanceledStep, "the device did not answer")
		case a.Step.Open() && a.Step != CancelAsked && now > began+p.Timeout*1000:
			_, err = u.move(ctx, a, Failed, "not confirmed in time")
		}
		if err != nil {
			return err
		}
	}
	if p, err = u.Rollout(ctx, p.ID); err != nil || p.Status != Running {
		return err
	}
	failed, succeeded := p.Steps[Failed], p.Steps[Succeeded]
	if n := failed + succeeded; n >= p.Minimum && float64(failed) > p.ErrorRate*float64(n) || failed >= p.Minimum {
		return u.stop(ctx, p, fmt.Sprintf("%d of %d updates failed", failed, n))
	}
	if why, err := u.harm(ctx, p, actions); err != nil {
		return err
	} else if why != "" {
		return u.stop(ctx, p, why)
	}
	return u.advance(ctx, p)
}

func (u *Updates) stop(ctx context.Context, p *Progress, why string) error {
	done, err := u.control(ctx, Control{Rollout: p.ID, From: p.Status, Status: Stopped, Stage: p.Stage, Reason: why, By: "system", At: u.now()})
	if err != nil || !done {
		return err
	}
	u.d.Logger.Warn("a rollout was stopped", "rollout", p.ID, "reason", why)
	defer u.changed()
	return u.recallOffers(ctx, p.ID)
}

// advance opens the next stage when enough of the open ones succeeded, and
// finishes when the last did.
func (u *Updates) advance(ctx context.Context, p *Progress) error {
	var devices, succeeded, over int
	for i := range p.Stage + 1 {
		devices, succeeded, over = devices+p.ByStage[i].Devices, succeeded+p.ByStage[i].Succeeded, over+p.ByStage[i].Succeeded+p.ByStage[i].Failed
	}
	if devices == 0 || float64(succeeded) < p.Stages[p.Stage].Success*float64(devices) {
		return nil
	}
	if p.Stage+1 < len(p.Stages) {
		defer u.changed()
		_, err := u.control(ctx, Control{Rollout: p.ID, From: p.Status, Status: Running, Stage: p.Stage + 1, By: "system", At: u.now()})
		return err
	}
	return nil // open to all, also to devices that come later; a person ends it
}

// harmSample bounds the devices looked at for one comparison.
const harmSample = 2000

// harm compares what happened to updated devices with the holdback: a
// two-proportion test at about one in a thousand, as it is asked again and again.
func (u *Updates) harm(ctx context.Context, p *Progress, actions []Action) (string, error) {
	if len(p.Harms) == 0 {
		return "", nil
	}
	u.mu.Lock()
	held := make([]string, 0, len(p.Stages))
	for item := range u.state.Rollouts[p.ID].heldItem {
		held = append(held, item)
	}
	u.mu.Unlock()
	slices.Sort(held)
	held = held[:min(len(held), harmSample)]
	for _, h := range p.Harms {
		var updated, hit, control, base float64
		for _, a := range actions {
			if a.Step != Soaking && a.Step != Succeeded || updated >= harmSample {
				continue
			}
			yes, err := u.d.Devices.Happened(ctx, a.Item, h.Event, a.Began)
			if err != nil {
				return "", err
			}
			updated++
			if yes {
				hit++
			}
		}
		for _, item := range held {
			yes, err := u.d.Devices.Happened(ctx, item, h.Event, rapport.Millis(p.Created))
			if err != nil {
				return "", err
			}
			control++
			if yes {
				base++
			}
		}
		if updated < float64(p.Minimum) {
			continue
		}
		rate, other := hit/updated, 0.0
		if control > 0 {
			other = base / control
		}
		pooled := (hit + base + 1) / (updated + control + 2)
		deviation := math.Sqrt(pooled * (1 - pooled) * (1/updated + 1/math.Max(control, updated)))
		if rate-other > h.Worse && rate-other > 3.1*deviation {
			return fmt.Sprintf("%s came to %.1f %% of updated devices, to %.1f %% of the others", h.Event, 100*rate, 100*other), nil
		}
	}
	return "", nil
}

// Current returns the update a device is at, without deciding anything.
func (u *Updates) Current(ctx context.Context, item string) (*Visit, error) {
	if err := u.Settle(ctx); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.polled[item] = u.now()
	return u.visit(item), nil
}
