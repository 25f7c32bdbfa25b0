package app

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/ota"
)

// openUpdates opens the room of software updates.
func (s *Server) openUpdates(key []byte) (err error) {
	s.updates, err = ota.Open(ota.Deps{
		Log: s.events, Store: s.store, Clock: s.opts.Clock, Devices: devices{s},
		Dir: filepath.Join(s.opts.Data, "artifacts"), Key: subkey(key, "updates"), Logger: s.log, Changed: s.updatesChanged,
	})
	if err != nil {
		return fmt.Errorf("open updates: %w", err)
	}
	return nil
}

// devices is what updates ask of items and their owners.
type devices struct{ *Server }

// Device implements [ota.Devices].
func (s devices) Device(ctx context.Context, name string) (*ota.Device, error) {
	x, err := s.items.Item(ctx, name)
	if err != nil {
		return nil, err
	}
	d := &ota.Device{Item: x.ID, GTIN: x.Key().GTIN(), Firmware: x.Firmware, FirmwareAt: x.FirmwareAt, Facts: map[string]string{}}
	for _, f := range x.Facts {
		d.Facts[f.Name] = f.Value
	}
	return d, nil
}

// May implements [ota.Devices]: the owner's hours and consent. An item nobody
// owns disturbs nobody.
func (s devices) May(ctx context.Context, name string, r *ota.Rollout) (ok bool, why string, err error) {
	x, err := s.items.Item(ctx, name)
	if err != nil {
		return false, "", err
	}
	if x.Owner.Person.IsZero() {
		return true, "", nil
	}
	owner := s.identity.Person(x.Owner.Person)
	if r.Consent != "" {
		allowed, err := consenter{s.Server}.Allows(ctx, owner, r.Consent, "product")
		if err != nil || !allowed {
			return false, "the owner has not allowed " + r.Consent, err
		}
	}
	clock := ""
	err = s.engine.View(ctx, owner, nil, func(v *engine.View) error {
		clock = profile.ViewEnv(v, s.zones, rapport.Millis(s.opts.Clock.Now()), nil).Now().Format("15:04")
		return nil
	})
	if err != nil || r.Quiet(clock) {
		return false, "it is a quiet hour of the owner", err
	}
	return true, "", nil
}

// Happened implements [ota.Devices].
func (s devices) Happened(ctx context.Context, name, event string, since int64) (happened bool, err error) {
	err = s.items.View(ctx, name, func(_ *engine.View, x *twin.Item) error {
		for _, m := range x.Moments {
			happened = happened || m.Name == event && m.Last > since
		}
		return nil
	})
	if rapport.KindOf(err) == rapport.NotFound {
		err = nil
	}
	return happened, err
}

// Runs implements [ota.Devices].
func (s devices) Runs(ctx context.Context, name, version string) error {
	if version == "" {
		return nil
	}
	body, err := json.Marshal(map[string]string{"firmware": version})
	if err != nil {
		return err
	}
	return s.items.Send(ctx, name, item.Reported, body)
}

// Offer implements [ota.Devices]: a device that listens to its desired state
// finds there what to fetch.
func (s devices) Offer(ctx context.Context, name string, a *ota.Artifact, path string) error {
	update := map[string]any{"version": a.Version, "sha256": a.SHA256, "size": float64(a.Size), "name": a.Name, "url": strings.TrimSuffix(s.publicURL(), "/") + path}
	_, err := s.items.Desire(ctx, name, rapport.FieldsOf(map[string]any{"update": update}))
	return err
}

const sweepEvery = 20 * time.Second

// visits wake what brings updates to devices that do not ask for them.
type visits struct {
	devices chan string   // that came or told what they run; if it is full, the next round finds them
	all     chan struct{} // rollouts changed; capacity 1: one word is enough
}

func newVisits() visits {
	return visits{devices: make(chan string, 1024), all: make(chan struct{}, 1)}
}

func (s *Server) updatesChanged() {
	select {
	case s.visits.all <- struct{}{}:
	default:
	}
}

// heard takes note of what an item tells that may matter to its update.
func (s *Server) heard(e *rapport.Event) {
	if e.Name != twin.EventReported && e.Name != twin.EventConnection || e.Source != twin.Source || len(e.Identifiers) == 0 {
		return
	}
	select {
	case s.visits.devices <- strings.Clone(e.Identifiers[0].Value):
	default:
	}
}

// sweepUpdates brings rollouts to devices that listen on MQTT instead of
// asking: their desired state tells what to run, their reported state whether
// they do. Each is seen to when it comes or reports, all of them when rollouts
// change and now and then.
func (s *Server) sweepUpdates(ctx context.Context) error {
	if err := s.engine.Ready(ctx); err != nil {
		return err
	}
	next := s.opts.Clock.After(sweepEvery)
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
			next = s.opts.Clock.After(sweepEvery)
			err = s.sweep(ctx)
		case <-s.visits.all:
			err = s.sweep(ctx)
		case name := <-s.visits.devices:
			err = s.visitOne(ctx, name)
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.log.Warn("rollouts did not reach the connected devices", "error", err)
		}
	}
}

// rolling reports whether any device may have something to do.
func (s *Server) rolling(ctx context.Context) (bool, error) {
	list, err := s.updates.Rollouts(ctx)
	return err == nil && slices.ContainsFunc(list, func(p ota.Progress) bool {
		return p.Status == ota.Running || p.Steps[ota.CancelAsked]+p.Steps[ota.Assigned]+p.Steps[ota.Proceeding]+p.Steps[ota.Soaking] > 0
	}), err
}

func (s *Server) visitOne(ctx context.Context, name string) error {
	if on, err := s.rolling(ctx); err != nil || !on {
		return err
	}
	if x, err := s.items.Item(ctx, name); err != nil || !x.Connected {
		if rapport.KindOf(err) == rapport.NotFound {
			err = nil
		}
		return err
	}
	return s.visitConnected(ctx, name)
}

func (s *Server) sweep(ctx context.Context) error {
	if on, err := s.rolling(ctx); err != nil || !on {
		return err
	}
	if s.mqtt == nil {
		return nil
	}
	for _, name := range s.mqtt.Connected() {
		if err := s.visitConnected(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// visitConnected does for a connected device what a poll does for one that asks.
func (s *Server) visitConnected(ctx context.Context, name string) error {
	if v, err := s.updates.Current(ctx, name); err != nil || v.Known {
		return err // it asks by itself
	}
	v, err := s.updates.Poll(ctx, name)
	if err != nil || v.Action == nil || v.Artifact == nil {
		return err
	}
	x, err := s.items.Item(ctx, name)
	if err != nil {
		return err
	}
	desired, _ := x.Desired.Document.Path("update", "sha256")
	reported, _ := x.Reported.Document.Path("update", "status")
	switch {
	case v.Action.Step == ota.CancelAsked:
		if _, err := s.items.Desire(ctx, name, rapport.FieldsOf(map[string]any{"update": nil})); err != nil {
			return err
		}
		return s.updates.Canceled(ctx, name, v.Action.ID, ota.Feedback{Execution: "canceled", Details: []string{"taken out of the desired state"}})
	case v.Action.Step == ota.Soaking:
		return nil
	case x.Firmware == v.Artifact.Version && x.FirmwareAt >= v.Action.Began:
		return s.updates.Report(ctx, name, v.Action.ID, ota.Feedback{Execution: "closed", Finished: "success", Details: []string{"reported by the device"}})
	case reported.Str() == "failed" && desired.Str() == v.Artifact.SHA256:
		return s.updates.Report(ctx, name, v.Action.ID, ota.Feedback{Execution: "closed", Finished: "failure", Details: []string{"reported by the device"}})
	case desired.Str() != v.Artifact.SHA256:
		return devices{s}.Offer(ctx, name, v.Artifact, s.updates.Link(name, v.Artifact.SHA256))
	}
	return nil
}

func (s *Server) publicURL() string {
	if s.opts.PublicURL != "" {
		return s.opts.PublicURL
	}
	return s.URL
}
