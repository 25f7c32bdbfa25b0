package ota

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Visit is what a device that comes by is to do.
type Visit struct {
	// Action is the update under way, nil if there is none.
	Action   *Action
	Artifact *Artifact
	// Known says that the device told its attributes before.
	Known bool
}

// Poll takes note that a device is there, decides whether it gets an update, and returns what it is to do.
func (u *Updates) Poll(ctx context.Context, item string) (*Visit, error) {
	if err := u.Settle(ctx); err != nil {
		return nil, err
	}
	u.mu.Lock()
	u.polled[item] = u.now()
	v := u.visit(item)
	u.mu.Unlock()
	if v.Action != nil {
		if v.Action.Step != Soaking {
			return v, nil
		}
		if err := u.ripen(ctx, *v.Action); err != nil {
			return nil, err
		}
		u.mu.Lock()
		v = u.visit(item)
		u.mu.Unlock()
		if v.Action != nil {
			return v, nil
		}
	}
	u.assign.Lock()
	defer u.assign.Unlock()
	r, stage, err := u.choose(ctx, item)
	if err != nil || r == nil {
		return v, err
	}
	u.mu.Lock()
	id := u.state.Last + 1
	again := u.visit(item)
	u.mu.Unlock()
	if again.Action != nil {
		return again, nil // another request of the device was first
	}
	now := u.now()
	if err := u.append(ctx, recordAction, step{Action{ID: id, Item: item, Rollout: r.ID, Stage: stage, Step: Assigned, Began: now, Changed: now}, Assigned}); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.visit(item), nil
}

// visit is called with the lock held.
func (u *Updates) visit(item string) *Visit {
	v := &Visit{Known: u.state.Attributes[item] != nil}
	if a := u.state.Actions[u.state.Current[item]]; a != nil && a.Step.Open() {
		copied := *a
		v.Action = &copied
		if p := u.state.Rollouts[a.Rollout]; p != nil {
			v.Artifact = u.state.Artifacts[p.Artifact]
		}
	}
	return v
}

// choose returns the rollout a device is due for now, oldest first.
func (u *Updates) choose(ctx context.Context, item string) (*Rollout, int, error) {
	u.mu.Lock()
	var open []*Progress
	for _, p := range u.state.Rollouts {
		if p.Status == Running {
			open = append(open, p.copy())
		}
	}
	done := map[string]bool{}
	for _, p := range open {
		done[p.ID] = u.state.tried[p.ID+"\x00"+item] // one try per rollout
	}
	versions := map[string]string{}
	for sha, a := range u.state.Artifacts {
		versions[sha] = a.Version
	}
	u.mu.Unlock()
	if len(open) == 0 {
		return nil, 0, nil
	}
	slices.SortFunc(open, func(a, b *Progress) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	d, err := u.d.Devices.Device(ctx, item)
	if rapport.KindOf(err) == rapport.NotFound && err != nil {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	for _, p := range open {
		if done[p.ID] || !p.Target.wants(d) || d.Firmware == versions[p.Artifact] {
			continue
		}
		stage := p.stageOf(item)
		if stage < 0 {
			u.hold(p.ID, item)
			continue
		}
		if stage > p.Stage {
			continue
		}
		if p.Disturbs {
			ok, _, err := u.d.Devices.May(ctx, item, &p.Rollout)
			if err != nil {
				return nil, 0, err
			}
			if !ok {
				continue
			}
		}
		return &p.Rollout, stage, nil
	}
	return nil, 0, nil
}

// hold remembers who the holdback is, to compare with.
func (u *Updates) hold(rollout, item string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.state.Rollouts[rollout]
	if p.heldItem == nil {
		p.heldItem = map[string]bool{}
	}
	if len(p.heldItem) < 10_000 {
		p.heldItem[item] = true
	}
}

// Feedback is what a device says of its update.
type Feedback struct {
	Execution string // closed, proceeding, canceled, scheduled, rejected, resumed, downloaded, download
	Finished  string // success, failure, none
	Details   []string
}

// own returns an action as a device that speaks of it knows it. Kind: NotFound
// for one that is not the device's.
func (u *Updates) own(ctx context.Context, item string, id int64) (Action, error) {
	if err := u.Settle(ctx); err != nil {
		return Action{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.polled[item] = u.now()
	a := u.state.Actions[id]
	if a == nil || a.Item != item {
		return Action{}, rapport.Errorf(rapport.NotFound, "the device has no action %d", id)
	}
	return *a, nil
}

// Report takes a device's feedback on an update. Kinds: NotFound for an action
// that is not the device's.
func (u *Updates) Report(ctx context.Context, item string, id int64, f Feedback) error {
	for {
		now, err := u.own(ctx, item, id)
		if err != nil {
			return err
		}
		if !now.Step.Open() {
			return nil // told again, or too late
		}
		if done, err := u.report(ctx, now, f); done || err != nil {
			return err
		}
	}
}

// report takes feedback on an action at the step it is read at. It is not done
// if the action went on meanwhile.
func (u *Updates) report(ctx context.Context, now Action, f Feedback) (done bool, err error) {
	detail := strings.Join(f.Details, "; ")
	switch {
	case f.Execution == "closed" && f.Finished == "success":
		// The device runs it: updaters close an action after the boot. From now it soaks.
		if now.Step == Soaking {
			return true, nil
		}
		// Its twin first: if we end between the two the device tells again.
		u.mu.Lock()
		version := ""
		if p := u.state.Rollouts[now.Rollout]; p != nil && u.state.Artifacts[p.Artifact] != nil {
			version = u.state.Artifacts[p.Artifact].Version
		}
		u.mu.Unlock()
		if err := u.d.Devices.Runs(ctx, now.Item, version); err != nil {
			return false, err
		}
		return u.move(ctx, now, Soaking, detail)
	case f.Execution == "closed", f.Execution == "rejected":
		return u.move(ctx, now, Failed, cmp.Or(detail, "the device refused or failed"))
	case f.Execution == "canceled":
		return u.move(ctx, now, CanceledStep, detail)
	case now.Step == CancelAsked, now.Step == Soaking, now.Step == Proceeding:
		return true, nil
	}
	return u.move(ctx, now, Proceeding, detail)
}

// Canceled takes a device's answer to being asked to let an update be.
func (u *Updates) Canceled(ctx context.Context, item string, id int64, f Feedback) error {
	now, err := u.own(ctx, item, id)
	if err != nil {
		return err
	}
	if now.Step != CancelAsked {
		return nil
	}
	if f.Execution == "rejected" || f.Execution == "closed" && f.Finished == "failure" {
		_, err = u.move(ctx, now, Proceeding, "the device goes on")
	} else {
		_, err = u.move(ctx, now, CanceledStep, strings.Join(f.Details, "; "))
	}
	return err
}

// SetAttributes keeps what a device says of itself.
func (u *Updates) SetAttributes(ctx context.Context, item string, data map[string]string) error {
	if len(data) > 64 {
		return rapport.Errorf(rapport.Invalid, "a device has at most 64 attributes")
	}
	if data == nil {
		data = map[string]string{}
	}
	for k, v := range data {
		if len(k) > 64 || len(v) > 256 {
			return rapport.Errorf(rapport.Invalid, "an attribute has at most 64 bytes, its value 256")
		}
	}
	return u.append(ctx, recordAttributes, attributes{item, data, u.now()})
}
