// Package ota brings new software to devices, a few at a time, and stops by
// itself when it does harm.
//
// Guarantees: what a rollout is and how far it is, is a fold of facts in the
// log, so it survives kill -9 and a restart; a device gets at most one update
// at a time, and none that its rollout is not open to; a device belongs to the
// holdback or to a share of the rollout by its name alone, so it never changes
// sides; success counts only after the device said that it runs the new
// software and went on answering for the soak time; silence is a failure.
// Artifacts are named by their SHA-256, signed, and fetched by links that expire.
//
// Source of the device's interface: Eclipse hawkBit, Direct Device Integration API.
package ota

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
)

// Kinds of records in the topic of things; this room has 32 to 63. Their
// numbers are part of the log format.
const (
	recordArtifact   uint8 = iota + 32 // an artifact exists, or is withdrawn
	recordRollout                      // a rollout is drawn up
	recordControl                      // a rollout changes state
	recordAction                       // an update of one device takes a step
	recordAttributes                   // a device said what it is
)

// Artifact is one file of software.
type Artifact struct {
	SHA256  string    `json:"sha256"`
	SHA1    string    `json:"sha1"`
	MD5     string    `json:"md5"`
	Size    int64     `json:"size"`
	Name    string    `json:"name" doc:"File name"`
	Version string    `json:"version" doc:"What a device reports that runs it"`
	Module  string    `json:"module" doc:"Part of the device it is for, such as os or bApp"`
	Created time.Time `json:"createdAt"`
	By      string    `json:"by"`
	// Signature is Ed25519 over "sha256 version name", by the deployment's key.
	Signature []byte `json:"signature"`
	// Vendor is the maker's own signature, kept and handed on as it came.
	Vendor  string `json:"vendorSignature,omitempty"`
	Removed bool   `json:"removed,omitempty"`
}

// Stage opens a rollout to a share of its devices.
type Stage struct {
	// Percent of the devices, the stages before included.
	Percent float64 `json:"percent" minimum:"0" maximum:"100"`
	// Success is the share of the stage's devices that must have succeeded before
	// the next stage opens; default 0.9.
	Success float64 `json:"success,omitempty" minimum:"0" maximum:"1"`
}

// Harm is an event of items whose rise stops a rollout.
type Harm struct {
	Event string `json:"event" doc:"Such as Product Fault or Product Problem Reported"`
	// Worse is how much higher the share of updated devices with the event may
	// be than that of the holdback, beyond chance; default 0.02.
	Worse float64 `json:"worse,omitempty"`
}

// Rollout is the plan of an update.
type Rollout struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Artifact string  `json:"artifact" doc:"SHA-256"`
	Target   Target  `json:"target"`
	Stages   []Stage `json:"stages"`
	// Holdback is the share that is never updated, to compare with.
	Holdback float64 `json:"holdback" minimum:"0" maximum:"0.5"`
	// Timeout is how long a device may take from being offered the update to
	// confirming it; Soak how long it must then go on well. Seconds.
	Timeout int64 `json:"timeoutSeconds"`
	Soak    int64 `json:"soakSeconds"`
	// ErrorRate stops the rollout when that share of at least Minimum devices failed.
	ErrorRate float64 `json:"errorRate"`
	Minimum   int     `json:"minimum"`
	Harms     []Harm  `json:"harms"`
	// Disturbs says that an update is noticed: then the owner's quiet hours and
	// consent count.
	Disturbs  bool      `json:"disturbs"`
	QuietFrom string    `json:"quietFrom,omitempty" doc:"Local time such as 21:00"`
	QuietTo   string    `json:"quietTo,omitempty"`
	Consent   string    `json:"consent,omitempty" doc:"Purpose the owner must have allowed"`
	Created   time.Time `json:"createdAt"`
	By        string    `json:"by"`
}

// Target says which devices a rollout is for. It is asked anew whenever a
// device comes, so devices join and leave as they change.
type Target struct {
	GTIN     string            `json:"gtin,omitempty"`
	Items    []string          `json:"items,omitempty" doc:"These items alone"`
	Firmware []string          `json:"firmware,omitempty" doc:"Only devices that run one of these"`
	Facts    map[string]string `json:"facts,omitempty" doc:"Facts of the item, such as lot or group"`
}

// Status is where a rollout stands.
type Status string

// The states of a rollout. Stopped is by harm, Canceled by a person; both end it.
const (
	Draft    Status = "draft"
	Running  Status = "running"
	Paused   Status = "paused"
	Stopped  Status = "stopped"
	Canceled Status = "canceled"
	Finished Status = "finished"
)

// Over reports whether no device will be updated any more.
func (s Status) Over() bool { return s == Stopped || s == Canceled || s == Finished }

// Step is how far an update of one device is.
type Step string

// The steps of an update. Assigned to Soaking are open, the others final.
const (
	Assigned     Step = "assigned"   // the device was offered it
	Proceeding   Step = "proceeding" // it downloads or installs
	Installed    Step = "installed"  // written, not booted yet
	Soaking      Step = "soaking"    // it says it runs; now it must go on well
	Succeeded    Step = "succeeded"
	Failed       Step = "failed"
	CancelAsked  Step = "cancelAsked"
	CanceledStep Step = "canceled"
)

// Open reports whether the update is still under way.
func (s Step) Open() bool {
	switch s {
	case Assigned, Proceeding, Installed, Soaking, CancelAsked:
		return true
	}
	return false
}

// Action is the update of one device by one rollout.
type Action struct {
	ID      int64  `json:"id"`
	Item    string `json:"item"`
	Rollout string `json:"rollout"`
	Stage   int    `json:"stage"`
	Step    Step   `json:"step"`
	Began   int64  `json:"began"`   // Unix ms
	Changed int64  `json:"changed"` // when the step was entered
	Detail  string `json:"detail,omitempty"`
}

// step is what the log holds of an action: of two who decide about one at the
// same moment the first in the log counts, the other decided on what was no more.
type step struct {
	Action
	// From is the step it was decided on. The first of an action names its own:
	// it counts while the rollout runs.
	From Step `json:"from,omitempty"`
}

// Control is a change of a rollout's state.
type Control struct {
	Rollout string `json:"rollout"`
	// From is the state it was decided on; in any other it changes nothing.
	From   Status `json:"from,omitempty"`
	Status Status `json:"status"`
	Stage  int    `json:"stage"`
	Reason string `json:"reason,omitempty"`
	By     string `json:"by"`
	At     int64  `json:"at"`
}

// attributes is what a device said of itself.
type attributes struct {
	Item string            `json:"item"`
	Data map[string]string `json:"data"`
	At   int64             `json:"at"`
}

// Progress is a rollout with how far it is.
type Progress struct {
	Rollout
	Status   Status       `json:"status"`
	Stage    int          `json:"stage" doc:"Index of the last open stage"`
	Reason   string       `json:"reason,omitempty"`
	Changed  int64        `json:"changed"`
	Steps    map[Step]int `json:"steps"`
	Held     int          `json:"held" doc:"Devices of the holdback that came by"`
	ByStage  []StageCount `json:"byStage"`
	heldItem map[string]bool
}

// StageCount counts the devices of one stage.
type StageCount struct {
	Devices   int `json:"devices"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
}

// State is the fold of the facts.
type State struct {
	Artifacts  map[string]*Artifact         `json:"artifacts"`
	Rollouts   map[string]*Progress         `json:"rollouts"`
	Actions    map[int64]*Action            `json:"actions"`
	Current    map[string]int64             `json:"current"` // last action of an item
	Attributes map[string]map[string]string `json:"attributes"`
	Last       int64                        `json:"last"` // highest action id

	tried map[string]bool // rollout and item, from Actions
}

// NewState returns the state of no facts.
func NewState() *State {
	return &State{
		Artifacts: map[string]*Artifact{}, Rollouts: map[string]*Progress{}, Actions: map[int64]*Action{}, Current: map[string]int64{},
		Attributes: map[string]map[string]string{}, tried: map[string]bool{},
	}
}

// Apply folds one record of the topic. Kinds of other rooms are left alone.
func (s *State) Apply(kind uint8, data []byte) error {
	switch kind {
	case recordArtifact:
		a := &Artifact{}
		if err := json.Unmarshal(data, a); err != nil {
			return err
		}
		s.Artifacts[a.SHA256] = a
	case recordRollout:
		p := &Progress{Status: Draft, Stage: -1, Steps: map[Step]int{}}
		if err := json.Unmarshal(data, &p.Rollout); err != nil {
			return err
		}
		if _, known := s.Rollouts[p.ID]; known {
			return nil
		}
		p.ByStage = make([]StageCount, len(p.Stages))
		s.Rollouts[p.ID] = p
	case recordControl:
		var c Control
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		if p := s.Rollouts[c.Rollout]; p != nil && !p.Status.Over() && (c.From == "" || c.From == p.Status) {
			p.Status, p.Reason, p.Changed = c.Status, c.Reason, c.At
			p.Stage = min(max(p.Stage, c.Stage), len(p.Stages)-1)
		}
	case recordAction:
		var a step
		if err := json.Unmarshal(data, &a); err != nil {
			return err
		}
		s.step(&a.Action, a.From)
	case recordAttributes:
		var a attributes
		if err := json.Unmarshal(data, &a); err != nil {
			return err
		}
		s.Attributes[a.Item] = a.Data
	}
	return nil
}

// step moves an action on. A final step stands, and so does one that came
// between.
func (s *State) step(a *Action, from Step) {
	p := s.Rollouts[a.Rollout]
	if p == nil {
		return
	}
	old := s.Actions[a.ID]
	if old == nil {
		if from != "" && p.Status != Running {
			return
		}
		kept := *a
		s.Actions[a.ID] = &kept
		s.Current[a.Item] = a.ID
		s.tried[a.Rollout+"\x00"+a.Item] = true
		s.Last = max(s.Last, a.ID)
		p.Steps[a.Step]++
		if a.Stage < len(p.ByStage) {
			p.ByStage[a.Stage].Devices++
		}
		return
	}
	if !old.Step.Open() || old.Step == a.Step || from != "" && from != old.Step {
		return
	}
	p.Steps[old.Step]--
	if p.Steps[old.Step] == 0 {
		delete(p.Steps, old.Step)
	}
	p.Steps[a.Step]++
	if old.Stage < len(p.ByStage) {
		switch a.Step {
		case Succeeded:
			p.ByStage[old.Stage].Succeeded++
		case Failed:
			p.ByStage[old.Stage].Failed++
		}
	}
	old.Step, old.Changed, old.Detail = a.Step, a.Changed, a.Detail
}

// place returns where an item stands in a rollout, in [0, 1): by the two names
// alone. Below the holdback it is held back.
func place(rollout, item string) float64 {
	sum := sha256.Sum256([]byte(rollout + "\x00" + item))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}

// stageOf returns the stage an item belongs to, or -1 for the holdback, or
// len(Stages) for none.
func (r *Rollout) stageOf(item string) int {
	x := place(r.ID, item)
	if x < r.Holdback {
		return -1
	}
	x = (x - r.Holdback) / (1 - r.Holdback) * 100
	for i, s := range r.Stages {
		if x < s.Percent {
			return i
		}
	}
	return len(r.Stages)
}

// Device is what a target looks at.
type Device struct {
	Item, GTIN, Firmware string
	FirmwareAt           int64 // when it said so, Unix ms
	Facts                map[string]string
}

// wants reports whether a device is one the rollout is for.
func (t *Target) wants(d *Device) bool {
	if t.GTIN != "" && t.GTIN != d.GTIN || len(t.Items) > 0 && !slices.Contains(t.Items, d.Item) || len(t.Firmware) > 0 && !slices.Contains(t.Firmware, d.Firmware) {
		return false
	}
	for k, v := range t.Facts {
		if d.Facts[k] != v {
			return false
		}
	}
	return true
}

// check completes a rollout with defaults or says what is wrong with it.
func (r *Rollout) check(s *State) error {
	a := s.Artifacts[r.Artifact]
	if a == nil || a.Removed {
		return rapport.Errorf(rapport.NotFound, "there is no artifact %s", r.Artifact)
	}
	if r.Name == "" {
		r.Name = a.Name + " " + a.Version
	}
	if len(r.Stages) == 0 {
		r.Stages = []Stage{{Percent: 5}, {Percent: 25}, {Percent: 100}}
	}
	for i := range r.Stages {
		if r.Stages[i].Success == 0 {
			r.Stages[i].Success = 0.9
		}
		if p := r.Stages[i].Percent; p <= 0 || p > 100 || i > 0 && p <= r.Stages[i-1].Percent {
			return rapport.Errorf(rapport.Invalid, "the stages' percentages rise, up to 100")
		}
	}
	r.Timeout, r.Soak, r.Minimum = cmp.Or(r.Timeout, 24*3600), cmp.Or(r.Soak, 3600), cmp.Or(r.Minimum, 10)
	r.ErrorRate = cmp.Or(r.ErrorRate, 0.1)
	for i := range r.Harms {
		r.Harms[i].Worse = cmp.Or(r.Harms[i].Worse, 0.02)
		if r.Harms[i].Event == "" {
			return rapport.Errorf(rapport.Invalid, "a harm names its event")
		}
	}
	if r.Timeout < 1 || r.Soak < 0 || r.Minimum < 1 || r.ErrorRate <= 0 || r.ErrorRate > 1 || r.Holdback < 0 || r.Holdback > 0.5 || len(r.Name) > 200 {
		return rapport.Errorf(rapport.Invalid, "timeout and minimum are positive, soak is not negative, errorRate is in (0, 1], holdback in [0, 0.5]")
	}
	for _, q := range []string{r.QuietFrom, r.QuietTo} {
		if _, err := time.Parse("15:04", cmp.Or(q, "00:00")); err != nil {
			return rapport.Errorf(rapport.Invalid, "%q is not a time of day such as 21:00", q)
		}
	}
	if (r.QuietFrom == "") != (r.QuietTo == "") {
		return rapport.Errorf(rapport.Invalid, "quietFrom and quietTo go together")
	}
	return nil
}

// Quiet reports whether a local time of day, as 15:04, lies in the quiet hours.
func (r *Rollout) Quiet(clock string) bool {
	if r.QuietFrom == "" {
		return false
	}
	if strings.Compare(r.QuietFrom, r.QuietTo) <= 0 {
		return clock >= r.QuietFrom && clock < r.QuietTo
	}
	return clock >= r.QuietFrom || clock < r.QuietTo
}
