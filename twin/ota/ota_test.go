package ota_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/state"
	"github.com/rapport-engine/rapport/twin/ota"
)

// hand is a clock that moves when told.
type hand struct {
	mu  sync.Mutex
	now time.Time
}

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hand) After(time.Duration) <-chan time.Time { return nil } // supervised by hand

func (h *hand) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// fleet is a fake of the items.
type fleet struct {
	mu       sync.Mutex
	firmware map[string]string
	faults   map[string]int64
	asleep   map[string]bool
	clock    *hand
	between  func() // called once, when somebody asks what happened to an item
}

func (f *fleet) Device(_ context.Context, item string) (*ota.Device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.firmware[item]
	if !ok {
		return nil, rapport.Errorf(rapport.NotFound, "no item")
	}
	return &ota.Device{Item: item, GTIN: "09506000134352", Firmware: v, FirmwareAt: rapport.Millis(f.clock.Now()), Facts: map[string]string{"lot": "A"}}, nil
}

func (f *fleet) May(_ context.Context, item string, _ *ota.Rollout) (bool, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.asleep[item], "asleep", nil
}

func (f *fleet) Happened(_ context.Context, item, event string, since int64) (bool, error) {
	f.mu.Lock()
	between := f.between
	f.between = nil
	f.mu.Unlock()
	if between != nil {
		between()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return event == "Product Fault" && f.faults[item] > since, nil
}

func (f *fleet) Runs(_ context.Context, item, version string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.firmware[item] = version
	return nil
}

func (f *fleet) Offer(context.Context, string, *ota.Artifact, string) error { return nil }

type world struct {
	t     testing.TB
	log   eventlog.Log
	store *state.Store
	dir   string
	clock *hand
	fleet *fleet
	u     *ota.Updates
	stop  func()
}

func newWorld(t testing.TB, devices int) *world {
	t.Helper()
	clock := &hand{now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	w := &world{t: t, log: eventlogtest.NewMemory(1), dir: t.TempDir(), clock: clock, fleet: &fleet{firmware: map[string]string{}, faults: map[string]int64{}, asleep: map[string]bool{}, clock: clock}}
	s, err := state.Open(state.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w.store = s
	for i := range devices {
		w.fleet.firmware[name(i)] = "1.0"
	}
	w.start()
	return w
}

func name(i int) string { return fmt.Sprintf("01_09506000134352_21_D%d", i) }

func (w *world) start() {
	w.t.Helper()
	u, err := ota.Open(ota.Deps{Log: w.log, Store: w.store, Clock: w.clock, Devices: w.fleet, Dir: w.dir, Key: make([]byte, 32), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	w.u = u
	w.stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(w.stop)
}

func (w *world) artifact() *ota.Artifact {
	w.t.Helper()
	a, err := w.u.AddArtifact(w.t.Context(), ota.Artifact{Name: "app.swu", Version: "2.0"}, strings.NewReader("software"))
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) begin(r ota.Rollout) *ota.Progress {
	w.t.Helper()
	r.Artifact = w.artifact().SHA256
	p, err := w.u.Draw(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.change(p.ID, "start")
}

func (w *world) change(id, verb string) *ota.Progress {
	w.t.Helper()
	p, err := w.u.Change(w.t.Context(), id, verb, "me")
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) poll(item string) *ota.Visit {
	w.t.Helper()
	v, err := w.u.Poll(w.t.Context(), item)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) report(item string, id int64, execution, finished string) {
	w.t.Helper()
	if err := w.u.Report(w.t.Context(), item, id, ota.Feedback{Execution: execution, Finished: finished, Details: []string{"detail"}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) supervise() {
	w.t.Helper()
	if err := w.u.Supervise(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) rollout(id string) *ota.Progress {
	w.t.Helper()
	p, err := w.u.Rollout(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// install lets a device that was offered an update do it; it returns how many did.
func (w *world) install(n int, finished string) (did int) {
	for i := range n {
		if v := w.poll(name(i)); v.Action != nil && v.Action.Step == ota.Assigned {
			w.report(name(i), v.Action.ID, "proceeding", "none")
			w.report(name(i), v.Action.ID, "closed", finished)
			did++
		}
	}
	return did
}

func TestARolloutOpensStageByStageAndSuccessNeedsBootAndSoak(t *testing.T) {
	t.Parallel()
	const n = 200
	w := newWorld(t, n)
	p := w.begin(ota.Rollout{Stages: []ota.Stage{{Percent: 10}, {Percent: 100}}, Holdback: 0.1, Soak: 600, Timeout: 3600})
	first := w.install(n, "success")
	if first < 2 || first > 60 { // the id of a rollout draws them: 18, give or take 4
		t.Fatalf("%d devices in the first stage of 10 %% of 180", first)
	}
	w.supervise()
	if got := w.rollout(p.ID); got.Steps[ota.Soaking] != first || got.Stage != 0 {
		t.Fatalf("after the boot: %+v", got)
	}
	w.clock.move(700 * time.Second)
	w.supervise()
	if got := w.rollout(p.ID); got.Steps[ota.Succeeded] != 0 {
		t.Errorf("succeeded without having answered after the soak: %+v", got.Steps)
	}
	for i := range n {
		w.poll(name(i))
	}
	w.supervise()
	if got := w.rollout(p.ID); got.Steps[ota.Succeeded] != first || got.Stage != 1 {
		t.Fatalf("after the soak: %+v", got)
	}
	rest := w.install(n, "success")
	got := w.rollout(p.ID)
	if first+rest+got.Held != n || got.Held < 2 || got.Held > 60 {
		t.Errorf("%d and %d updated, %d held back of %d", first, rest, got.Held, n)
	}
	for i := range n { // nobody is asked twice, nobody changes sides
		if v := w.poll(name(i)); v.Action != nil && v.Action.Step == ota.Assigned {
			t.Errorf("%s is offered it again", name(i))
		}
	}
}

func TestARolloutStopsByItselfOnErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100)
	p := w.begin(ota.Rollout{Stages: []ota.Stage{{Percent: 50}, {Percent: 100}}, ErrorRate: 0.2, Minimum: 5, Soak: 1, Timeout: 3600})
	waiting := ""
	for i, failed := 0, 0; i < 100; i++ {
		v := w.poll(name(i))
		if v.Action == nil {
			continue
		}
		if failed++; failed > 6 {
			waiting = name(i)
			break
		}
		w.report(name(i), v.Action.ID, "closed", "failure")
	}
	w.supervise()
	got := w.rollout(p.ID)
	if got.Status != ota.Stopped || got.Reason == "" {
		t.Fatalf("%+v", got)
	}
	v := w.poll(waiting)
	if v.Action == nil || v.Action.Step != ota.CancelAsked {
		t.Fatalf("who has not begun is asked to let it be: %+v", v.Action)
	}
	if err := w.u.Canceled(t.Context(), waiting, v.Action.ID, ota.Feedback{Execution: "closed", Finished: "success"}); err != nil {
		t.Fatal(err)
	}
	if v := w.poll(waiting); v.Action != nil {
		t.Errorf("after the cancelation: %+v", v.Action)
	}
}

func TestARolloutStopsByItselfWhenCustomersSuffer(t *testing.T) {
	t.Parallel()
	const n = 300
	for _, harmful := range []bool{true, false} {
		w := newWorld(t, n)
		p := w.begin(ota.Rollout{Stages: []ota.Stage{{Percent: 100}}, Holdback: 0.3, Minimum: 20, Soak: 60, Timeout: 3600, Harms: []ota.Harm{{Event: "Product Fault", Worse: 0.05}}})
		w.install(n, "success")
		w.clock.move(time.Minute)
		seen := map[string]int{}
		for i := range n {
			// Faults come to a tenth of all, and where harmful to half of the updated,
			// however the id of the rollout draws who is held back.
			firmware := w.fleet.firmware[name(i)]
			if seen[firmware]++; seen[firmware]%10 == 0 || harmful && firmware == "2.0" && seen[firmware]%2 == 0 {
				w.fleet.faults[name(i)] = rapport.Millis(w.clock.Now())
			}
		}
		w.supervise()
		if got := w.rollout(p.ID); (got.Status == ota.Stopped) != harmful {
			t.Errorf("harmful %t: %s %s", harmful, got.Status, got.Reason)
		}
	}
}

func TestAPauseIsNotLostToTheNextStageThatWasDecidedBefore(t *testing.T) {
	t.Parallel()
	const n = 40
	w := newWorld(t, n)
	p := w.begin(ota.Rollout{Stages: []ota.Stage{{Percent: 50}, {Percent: 100}}, Minimum: 1, Soak: 60, Timeout: 3600, Harms: []ota.Harm{{Event: "Product Fault", Worse: 0.05}}})
	w.install(n, "success")
	w.clock.move(2 * time.Minute)
	for i := range n {
		w.poll(name(i))
	}
	w.fleet.between = func() { w.change(p.ID, "pause") }
	w.supervise()
	if got := w.rollout(p.ID); got.Status != ota.Paused || got.Stage != 0 {
		t.Errorf("paused while the next stage was decided on, it is %s at stage %d", got.Status, got.Stage)
	}
	w.change(p.ID, "resume")
	w.supervise()
	if got := w.rollout(p.ID); got.Status != ota.Running || got.Stage != 1 {
		t.Errorf("resumed, it is %s at stage %d", got.Status, got.Stage)
	}
}

func TestASuccessIsNotLostToACancellationInTheSameMoment(t *testing.T) {
	t.Parallel()
	const n = 60
	w := newWorld(t, n)
	p := w.begin(ota.Rollout{Stages: []ota.Stage{{Percent: 100}}, Soak: 60, Timeout: 3600})
	var wg sync.WaitGroup
	begun := make(chan struct{})
	for i := range n {
		a := w.poll(name(i)).Action
		wg.Go(func() {
			<-begun
			for _, f := range []ota.Feedback{{Execution: "proceeding", Finished: "none"}, {Execution: "closed", Finished: "success"}} {
				if err := w.u.Report(t.Context(), name(i), a.ID, f); err != nil {
					t.Error(err)
				}
			}
		})
	}
	close(begun)
	w.change(p.ID, "cancel")
	wg.Wait()
	if got := w.rollout(p.ID); got.Status != ota.Canceled || got.Steps[ota.Soaking] != n {
		t.Errorf("%s, of %d devices that succeeded: %v", got.Status, n, got.Steps)
	}
}

func TestSilenceIsAFailureAndARelapseToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	p := w.begin(ota.Rollout{Stages: []ota.Stage{{Percent: 100}}, Soak: 60, Timeout: 600})
	silent, gone, back := w.poll(name(0)).Action, w.poll(name(1)).Action, w.poll(name(2)).Action
	w.report(name(0), silent.ID, "proceeding", "none")
	w.report(name(1), gone.ID, "closed", "success")
	w.report(name(2), back.ID, "closed", "success")
	w.clock.move(2 * time.Minute)
	w.fleet.firmware[name(2)] = "1.0" // it booted the old one again
	w.poll(name(2))
	w.clock.move(20 * time.Minute)
	w.supervise()
	got := w.rollout(p.ID)
	if got.Steps[ota.Failed] != 3 {
		actions, _ := w.u.Actions(t.Context(), p.ID)
		t.Errorf("%+v", actions)
	}
}

func TestQuietHoursConsentTargetsAndPausesHoldAnUpdateBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.fleet.asleep[name(0)] = true
	p := w.begin(ota.Rollout{Stages: []ota.Stage{{Percent: 100}}, Disturbs: true, Target: ota.Target{Firmware: []string{"1.0"}, Facts: map[string]string{"lot": "A"}}})
	if v := w.poll(name(0)); v.Action != nil {
		t.Error("an owner asleep is disturbed")
	}
	w.change(p.ID, "pause")
	if v := w.poll(name(1)); v.Action != nil {
		t.Error("a paused rollout goes on")
	}
	w.change(p.ID, "resume")
	w.fleet.firmware[name(1)] = "3.0"
	if v := w.poll(name(1)); v.Action != nil {
		t.Error("a device that is no target is updated")
	}
	w.fleet.firmware[name(1)] = "1.0"
	w.fleet.asleep[name(0)] = false
	if w.poll(name(0)).Action == nil || w.poll(name(1)).Action == nil {
		t.Error("those due are not updated")
	}
	if _, err := w.u.Change(t.Context(), p.ID, "start", "me"); rapport.KindOf(err) != rapport.Conflict {
		t.Error(err)
	}
	for _, clock := range []string{"23:00", "03:00"} {
		if !(&ota.Rollout{QuietFrom: "21:00", QuietTo: "08:00"}).Quiet(clock) {
			t.Errorf("%s is not quiet", clock)
		}
	}
}

func TestRolloutsGoOnAfterARestartFromTheLogAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 50)
	p := w.begin(ota.Rollout{Stages: []ota.Stage{{Percent: 100}}, Soak: 60, Timeout: 600})
	w.install(25, "success")
	open := w.poll(name(30)).Action
	before := w.rollout(p.ID)
	w.stop()
	w.start()
	after := w.rollout(p.ID)
	if fmt.Sprint(before.Steps, before.Status, before.ByStage) != fmt.Sprint(after.Steps, after.Status, after.ByStage) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
	if v := w.poll(name(30)); v.Action == nil || v.Action.ID != open.ID {
		t.Errorf("the open update is %+v, was %+v", v.Action, open)
	}
	if n := w.install(25, "success"); n != 0 {
		t.Errorf("%d devices are updated twice", n)
	}
}

func TestArtifactsAreSignedAndTheirLinksExpireAndBelongToOneDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	a := w.artifact()
	if !ed25519.Verify(w.u.PublicKey(), []byte(a.SHA256+" 2.0 app.swu"), a.Signature) {
		t.Error("the signature does not verify")
	}
	link, err := url.Parse(w.u.Link(name(0), a.SHA256))
	if err != nil {
		t.Fatal(err)
	}
	q := link.Query()
	open := func(item string) error {
		f, _, err := w.u.OpenArtifact(t.Context(), item, a.SHA256, q.Get("expires"), q.Get("signature"))
		if err == nil {
			defer f.Close()
			if data, _ := io.ReadAll(f); string(data) != "software" {
				t.Errorf("%q", data)
			}
		}
		return err
	}
	if err := open(name(0)); err != nil {
		t.Error(err)
	}
	if err := open(name(1)); rapport.KindOf(err) != rapport.Denied {
		t.Errorf("another device: %v", err)
	}
	w.clock.move(7 * time.Hour)
	if err := open(name(0)); rapport.KindOf(err) != rapport.Denied {
		t.Errorf("expired: %v", err)
	}
}

func FuzzFoldingNeverPanics(f *testing.F) {
	f.Add(uint8(35), []byte(`{"id":1,"item":"a","rollout":"r","step":"assigned"}`), []byte(`{"id":"r","stages":[{"percent":10}]}`))
	f.Fuzz(func(_ *testing.T, kind uint8, data, rollout []byte) {
		s := ota.NewState()
		_ = s.Apply(33, rollout)
		_ = s.Apply(kind, data)
		_ = s.Apply(kind, data)
	})
}
