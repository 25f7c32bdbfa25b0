package ota

import (
	"cmp"
	"context"
	"crypto/rand" // ids
	"encoding/hex"
	"slices"

	"github.com/rapport-engine/rapport"
)

// Draw writes a rollout down as a draft. Kinds: Invalid, NotFound.
func (u *Updates) Draw(ctx context.Context, r Rollout) (*Progress, error) {
	if err := u.Settle(ctx); err != nil {
		return nil, err
	}
	var b [8]byte
	_, _ = rand.Read(b[:])
	r.ID, r.Created = "ro_"+hex.EncodeToString(b[:]), u.d.Clock.Now().UTC()
	u.mu.Lock()
	err := r.check(u.state)
	u.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := u.append(ctx, recordRollout, r); err != nil {
		return nil, err
	}
	return u.Rollout(ctx, r.ID)
}

// Rollout returns a rollout with how far it is. Kind: NotFound.
func (u *Updates) Rollout(ctx context.Context, id string) (*Progress, error) {
	if err := u.Settle(ctx); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.state.Rollouts[id]
	if p == nil {
		return nil, rapport.Errorf(rapport.NotFound, "there is no rollout %s", id)
	}
	return p.copy(), nil
}

func (p *Progress) copy() *Progress {
	c := *p
	c.Steps = make(map[Step]int, len(p.Steps))
	for k, v := range p.Steps {
		c.Steps[k] = v
	}
	c.ByStage = slices.Clone(p.ByStage)
	c.Held = max(p.Held, len(p.heldItem))
	c.heldItem = nil
	return &c
}

// Rollouts lists all, newest first.
func (u *Updates) Rollouts(ctx context.Context) ([]Progress, error) {
	if err := u.Settle(ctx); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	out := []Progress{}
	for _, p := range u.state.Rollouts {
		out = append(out, *p.copy())
	}
	slices.SortFunc(out, func(a, b Progress) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// Actions lists the updates of a rollout's devices, by item.
func (u *Updates) Actions(ctx context.Context, rollout string) ([]Action, error) {
	if _, err := u.Rollout(ctx, rollout); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	out := []Action{}
	for _, a := range u.state.Actions {
		if a.Rollout == rollout {
			out = append(out, *a)
		}
	}
	slices.SortFunc(out, func(a, b Action) int { return cmp.Or(cmp.Compare(a.Item, b.Item), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// Change starts, pauses, resumes or cancels a rollout. Kinds: NotFound,
// Conflict when it is not in a state for that, Invalid.
func (u *Updates) Change(ctx context.Context, id, verb, by string) (*Progress, error) {
	p, err := u.Rollout(ctx, id)
	if err != nil {
		return nil, err
	}
	c := Control{Rollout: id, From: p.Status, Stage: p.Stage, By: by, At: u.now()}
	switch {
	case verb == "start" && p.Status == Draft:
		c.Status, c.Stage = Running, 0
	case verb == "pause" && p.Status == Running:
		c.Status = Paused
	case verb == "resume" && p.Status == Paused:
		c.Status = Running
	case verb == "advance" && p.Status == Running && p.Stage+1 < len(p.Stages):
		c.Status, c.Stage = Running, p.Stage+1
	case verb == "finish" && (p.Status == Running || p.Status == Paused):
		c.Status = Finished
	case verb == "cancel" && !p.Status.Over():
		c.Status, c.Reason = Canceled, "by "+by
	case verb != "start" && verb != "pause" && verb != "resume" && verb != "advance" && verb != "cancel" && verb != "finish":
		return nil, rapport.Errorf(rapport.Invalid, "a rollout can start, pause, resume, advance, finish and cancel")
	default:
		return nil, rapport.Errorf(rapport.Conflict, "a rollout that is %s cannot %s", p.Status, verb)
	}
	if done, err := u.control(ctx, c); err != nil {
		return nil, err
	} else if !done {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Conflict, "the rollout changed in the same moment"), "look at it again")
	}
	defer u.changed()
	if c.Status == Canceled {
		if err := u.recallOffers(ctx, id); err != nil {
			return nil, err
		}
	}
	return u.Rollout(ctx, id)
}

// control changes the state of a rollout, unless it changed since.
func (u *Updates) control(ctx context.Context, c Control) (done bool, err error) {
	if err := u.append(ctx, recordControl, c); err != nil {
		return false, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.state.Rollouts[c.Rollout]
	return p != nil && p.Status == c.Status && p.Changed == c.At, nil
}

// changed says that devices which do not ask may have something to do now.
func (u *Updates) changed() {
	if u.d.Changed != nil {
		u.d.Changed()
	}
}

// recallOffers asks devices that have not begun to write to let it be.
func (u *Updates) recallOffers(ctx context.Context, rollout string) error {
	u.mu.Lock()
	var open []Action
	for _, a := range u.state.Actions {
		if a.Rollout == rollout && (a.Step == Assigned || a.Step == Proceeding) {
			open = append(open, *a)
		}
	}
	u.mu.Unlock()
	slices.SortFunc(open, func(a, b Action) int { return cmp.Compare(a.ID, b.ID) })
	for _, a := range open {
		for a.Step == Assigned || a.Step == Proceeding {
			if _, err := u.move(ctx, a, CancelAsked, "the rollout ended"); err != nil {
				return err
			}
			u.mu.Lock()
			a = *u.state.Actions[a.ID] // the device may have begun meanwhile
			u.mu.Unlock()
		}
	}
	return nil
}

// move takes an action from the step it is read at to another. It is not done
// if the action went on meanwhile.
func (u *Updates) move(ctx context.Context, a Action, to Step, detail string) (done bool, err error) {
	if len(detail) > 500 {
		detail = detail[:500]
	}
	s := step{a, a.Step}
	s.Step, s.Changed, s.Detail = to, u.now(), detail
	if err := u.append(ctx, recordAction, s); err != nil {
		return false, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.state.Actions[a.ID]
	return now != nil && now.Step == to && now.Changed == s.Changed, nil
}
