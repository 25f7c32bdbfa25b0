package ota

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/md5"  // devices check transfers with it
	"crypto/rand" // ids
	"crypto/sha1" // the same
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// Devices is what updates ask of items and their owners.
type Devices interface {
	// Device returns what a target looks at. Kind: NotFound.
	Device(ctx context.Context, item string) (*Device, error)
	// May reports whether the owner's hours and consent allow an update now.
	May(ctx context.Context, item string, r *Rollout) (ok bool, why string, err error)
	// Happened reports whether an event happened to an item after a time.
	Happened(ctx context.Context, item, event string, since int64) (bool, error)
	// Runs notes that a device said it runs a version.
	Runs(ctx context.Context, item, version string) error
	// Offer sets what a device that does not poll should run: it is part of its desired state.
	Offer(ctx context.Context, item string, a *Artifact, url string) error
}

// Deps are what Updates need.
type Deps struct {
	Log     eventlog.Log
	Store   *state.Store
	Clock   rapport.Clock
	Devices Devices
	// Dir keeps the artifacts' files.
	Dir string
	// Key signs artifacts and links; 32 bytes that outlive restarts.
	Key    []byte
	Logger *slog.Logger
}

// Updates is the room. It is safe for concurrent use once Run runs.
type Updates struct {
	d       Deps
	sign    ed25519.PrivateKey
	linkKey []byte

	mu       sync.Mutex
	state    *State
	position int64
	moved    chan struct{}
	err      error
	polled   map[string]int64 // last time a device was heard of, Unix ms

	assign sync.Mutex // one decision about a device at a time
}

const (
	keyState    = "ota/state"
	keyPosition = "ota/position"
	saveEvery   = 4096 // records between snapshots of the state
)

// Open returns updates as far as they were folded before.
func Open(d Deps) (*Updates, error) {
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, rapport.Errorf(rapport.Internal, "make the folder of artifacts: %w", err)
	}
	seed := sha256.Sum256(append([]byte("artifacts"), d.Key...))
	link := sha256.Sum256(append([]byte("links"), d.Key...))
	u := &Updates{d: d, sign: ed25519.NewKeyFromSeed(seed[:]), linkKey: link[:], state: NewState(), moved: make(chan struct{}), polled: map[string]int64{}}
	position, found, err := d.Store.Get([]byte(keyPosition), nil)
	if err != nil || !found {
		return u, err
	}
	data, _, err := d.Store.Get([]byte(keyState), nil)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, u.state); err != nil {
		return nil, rapport.Errorf(rapport.Internal, "the state of updates is damaged: %w", err)
	}
	for _, a := range u.state.Actions {
		u.state.tried[a.Rollout+"\x00"+a.Item] = true
	}
	u.position, err = strconv.ParseInt(string(position), 10, 64)
	return u, err
}

// Run folds facts and supervises rollouts until ctx ends.
func (u *Updates) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	for _, run := range []func(context.Context) error{u.fold, u.supervise} {
		work.Go(func() {
			if err := run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	work.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return ctx.Err()
}

func (u *Updates) fold(ctx context.Context) error {
	r, err := u.d.Log.Reader(eventlog.Things, 0, u.position)
	if err != nil {
		return err
	}
	defer r.Close()
	since := 0
	for {
		records, err := r.Next(ctx)
		if err != nil {
			if ctx.Err() != nil && since > 0 {
				return errors.Join(u.save(), ctx.Err())
			}
			return err
		}
		u.mu.Lock()
		for i := range records {
			if err := u.state.Apply(records[i].Kind, records[i].Data); err != nil {
				u.err = rapport.Errorf(rapport.Internal, "topic things, offset %d: %w", records[i].Offset, err)
				break
			}
			u.position = records[i].Offset + 1
		}
		err = u.err
		close(u.moved)
		u.moved = make(chan struct{})
		u.mu.Unlock()
		if err != nil {
			return err
		}
		if since += len(records); since >= saveEvery {
			since = 0
			if err := u.save(); err != nil {
				return err
			}
		}
	}
}

func (u *Updates) save() error {
	u.mu.Lock()
	data, err := json.Marshal(u.state)
	position := u.position
	u.mu.Unlock()
	if err != nil {
		return err
	}
	b := u.d.Store.Batch()
	if err := errors.Join(b.Set([]byte(keyState), data), b.Set([]byte(keyPosition), strconv.AppendInt(nil, position, 10))); err != nil {
		return errors.Join(err, b.Close())
	}
	return b.Commit()
}

// Settle returns once every fact acknowledged before is folded.
func (u *Updates) Settle(ctx context.Context) error {
	_, next := u.d.Log.Bounds(eventlog.Things, 0)
	for {
		u.mu.Lock()
		position, err, moved := u.position, u.err, u.moved
		u.mu.Unlock()
		if position >= next || err != nil {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return rapport.Errorf(rapport.Unavailable, "the state of updates is behind: %w", ctx.Err())
		}
	}
}

func (u *Updates) append(ctx context.Context, kind uint8, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := eventlog.Append(ctx, u.d.Log, eventlog.Record{Topic: eventlog.Things, Kind: kind, Data: data}); err != nil {
		return err
	}
	return u.Settle(ctx)
}

func (u *Updates) now() int64 { return rapport.Millis(u.d.Clock.Now()) }

// MaxArtifact bounds one file.
const MaxArtifact = 2 << 30

// AddArtifact keeps a file under its SHA-256 and signs it. The same file under
// the same version is the same artifact. Kinds: Invalid, TooLarge.
func (u *Updates) AddArtifact(ctx context.Context, a Artifact, file io.Reader) (*Artifact, error) {
	if a.Name == "" || strings.ContainsAny(a.Name, "/\\\x00\n\"") || len(a.Name) > 200 || a.Version == "" || len(a.Version) > 64 {
		return nil, rapport.Errorf(rapport.Invalid, "an artifact has a file name without slashes and quotes, and a version of at most 64 bytes")
	}
	temp, err := os.CreateTemp(u.d.Dir, "upload-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp.Name())
	h256, h1, h5 := sha256.New(), sha1.New(), md5.New()
	a.Size, err = io.Copy(io.MultiWriter(temp, h256, h1, h5), io.LimitReader(file, MaxArtifact+1))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return nil, rapport.Errorf(rapport.Unavailable, "keep the artifact: %w", err)
	}
	if a.Size > MaxArtifact || a.Size == 0 {
		return nil, rapport.Errorf(rapport.TooLarge, "an artifact has 1 byte to %d bytes", MaxArtifact)
	}
	a.SHA256, a.SHA1, a.MD5 = hex.EncodeToString(h256.Sum(nil)), hex.EncodeToString(h1.Sum(nil)), hex.EncodeToString(h5.Sum(nil))
	a.Module = cmp.Or(a.Module, "os")
	a.Created, a.Removed = u.d.Clock.Now().UTC(), false
	a.Signature = ed25519.Sign(u.sign, a.signed())
	if err := os.Rename(temp.Name(), u.path(a.SHA256)); err != nil {
		return nil, err
	}
	return &a, u.append(ctx, recordArtifact, a)
}

func (a *Artifact) signed() []byte { return []byte(a.SHA256 + " " + a.Version + " " + a.Name) }

// PublicKey verifies the signatures of artifacts.
func (u *Updates) PublicKey() ed25519.PublicKey { return u.sign.Public().(ed25519.PublicKey) }

func (u *Updates) path(sha string) string { return filepath.Join(u.d.Dir, sha) }

// linkLife is how long a link to an artifact works.
const linkLife = 6 * time.Hour

// Link returns the path by which a device fetches an artifact; it expires.
func (u *Updates) Link(item, sha string) string {
	expires := strconv.FormatInt(u.d.Clock.Now().Add(linkLife).Unix(), 10)
	return "/ota/artifacts/" + sha + "?item=" + item + "&expires=" + expires + "&signature=" + u.linkSignature(item, sha, expires)
}

func (u *Updates) linkSignature(item, sha, expires string) string {
	m := hmac.New(sha256.New, u.linkKey)
	fmt.Fprintf(m, "%s\n%s\n%s", item, sha, expires)
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// OpenArtifact opens the file behind a link. Kinds: Denied when the link is not
// ours or expired, NotFound.
func (u *Updates) OpenArtifact(ctx context.Context, item, sha, expires, signature string) (*os.File, *Artifact, error) {
	if !hmac.Equal([]byte(u.linkSignature(item, sha, expires)), []byte(signature)) {
		return nil, nil, rapport.Errorf(rapport.Denied, "the link is not right")
	}
	if at, err := strconv.ParseInt(expires, 10, 64); err != nil || u.d.Clock.Now().Unix() > at {
		return nil, nil, rapport.Errorf(rapport.Denied, "the link has expired; ask for the deployment again")
	}
	if err := u.Settle(ctx); err != nil {
		return nil, nil, err
	}
	u.mu.Lock()
	a := u.state.Artifacts[sha]
	u.mu.Unlock()
	if a == nil || a.Removed {
		return nil, nil, rapport.Errorf(rapport.NotFound, "there is no such artifact")
	}
	f, err := os.Open(u.path(sha))
	if err != nil {
		return nil, nil, rapport.Errorf(rapport.NotFound, "the artifact's file is not here: %w", err)
	}
	return f, a, nil
}

// Artifacts lists the artifacts, newest first.
func (u *Updates) Artifacts(ctx context.Context) ([]Artifact, error) {
	if err := u.Settle(ctx); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	out := []Artifact{}
	for _, a := range u.state.Artifacts {
		if !a.Removed {
			out = append(out, *a)
		}
	}
	slices.SortFunc(out, func(a, b Artifact) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.SHA256, b.SHA256)) })
	return out, nil
}

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
	c := Control{Rollout: id, Stage: p.Stage, By: by, At: u.now()}
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
	if err := u.append(ctx, recordControl, c); err != nil {
		return nil, err
	}
	if c.Status == Canceled {
		if err := u.recallOffers(ctx, id); err != nil {
			return nil, err
		}
	}
	return u.Rollout(ctx, id)
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
		if err := u.move(ctx, a, CancelAsked, "the rollout ended"); err != nil {
			return err
		}
	}
	return nil
}

func (u *Updates) move(ctx context.Context, a Action, step Step, detail string) error {
	if len(detail) > 500 {
		detail = detail[:500]
	}
	a.Step, a.Changed, a.Detail = step, u.now(), detail
	return u.append(ctx, recordAction, a)
}

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
	if err := u.append(ctx, recordAction, Action{ID: id, Item: item, Rollout: r.ID, Stage: stage, Step: Assigned, Began: now, Changed: now}); err != nil {
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

// Report takes a device's feedback on an update. Kinds: NotFound for an action
// that is not the device's.
func (u *Updates) Report(ctx context.Context, item string, id int64, f Feedback) error {
	if err := u.Settle(ctx); err != nil {
		return err
	}
	u.mu.Lock()
	u.polled[item] = u.now()
	a := u.state.Actions[id]
	if a == nil || a.Item != item {
		u.mu.Unlock()
		return rapport.Errorf(rapport.NotFound, "the device has no action %d", id)
	}
	now := *a
	u.mu.Unlock()
	if !now.Step.Open() {
		return nil // told again, or too late
	}
	detail := strings.Join(f.Details, "; ")
	switch {
	case f.Execution == "closed" && f.Finished == "success":
		// The device runs it: updaters close an action after the boot. From now it soaks.
		if now.Step == Soaking {
			return nil
		}
		if err := u.move(ctx, now, Soaking, detail); err != nil {
			return err
		}
		u.mu.Lock()
		version := ""
		if p := u.state.Rollouts[now.Rollout]; p != nil && u.state.Artifacts[p.Artifact] != nil {
			version = u.state.Artifacts[p.Artifact].Version
		}
		u.mu.Unlock()
		return u.d.Devices.Runs(ctx, item, version)
	case f.Execution == "closed", f.Execution == "rejected":
		return u.move(ctx, now, Failed, cmp.Or(detail, "the device refused or failed"))
	case f.Execution == "canceled":
		return u.move(ctx, now, CanceledStep, detail)
	case now.Step == CancelAsked, now.Step == Soaking:
		return nil
	}
	return u.move(ctx, now, Proceeding, detail)
}

// Canceled takes a device's answer to being asked to let an update be.
func (u *Updates) Canceled(ctx context.Context, item string, id int64, f Feedback) error {
	if err := u.Settle(ctx); err != nil {
		return err
	}
	u.mu.Lock()
	a := u.state.Actions[id]
	if a == nil || a.Item != item {
		u.mu.Unlock()
		return rapport.Errorf(rapport.NotFound, "the device has no action %d", id)
	}
	now := *a
	u.mu.Unlock()
	if now.Step != CancelAsked {
		return nil
	}
	if f.Execution == "rejected" || f.Execution == "closed" && f.Finished == "failure" {
		return u.move(ctx, now, Proceeding, "the device goes on")
	}
	return u.move(ctx, now, CanceledStep, strings.Join(f.Details, "; "))
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
		return u.move(ctx, a, Failed, "the device runs "+d.Firmware+" again")
	}
	return u.move(ctx, a, Succeeded, "")
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
		switch {
		case a.Step == Soaking:
			if err := u.ripen(ctx, a); err != nil {
				return err
			}
			u.mu.Lock()
			silent := u.polled[a.Item] < a.Changed+p.Soak*1000 && now > a.Changed+p.Soak*1000+p.Timeout*1000
			u.mu.Unlock()
			if silent {
				err = u.move(ctx, a, Failed, "the device fell silent after the update")
			}
		case a.Step == CancelAsked && now > a.Changed+p.Timeout*1000:
			err = u.move(ctx, a, CanceledStep, "the device did not answer")
		case a.Step.Open() && a.Step != CancelAsked && now > a.Began+p.Timeout*1000:
			err = u.move(ctx, a, Failed, "not confirmed in time")
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
	u.d.Logger.Warn("a rollout was stopped", "rollout", p.ID, "reason", why)
	if err := u.append(ctx, recordControl, Control{Rollout: p.ID, Status: Stopped, Stage: p.Stage, Reason: why, By: "system", At: u.now()}); err != nil {
		return err
	}
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
		return u.append(ctx, recordControl, Control{Rollout: p.ID, Status: Running, Stage: p.Stage + 1, By: "system", At: u.now()})
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
