package deliver_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/delivertest"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/state"
)

const partitions = 2

// env knows the event at hand and nothing else.
type env struct {
	event *rapport.Event
	now   time.Time
}

func (e env) Value(root condition.Root, path []string) rapport.Value {
	var v rapport.Value
	if root == condition.Properties {
		v, _ = e.event.Properties.Path(path...)
	}
	return v
}
func (e env) Performed(*condition.Aggregate) rapport.Value { return rapport.Value{} }
func (e env) Degree(string) float64                        { return 0 }
func (e env) Consent(string, string) bool                  { return true }
func (e env) Now() time.Time                               { return e.now }

// plant is a real engine over a log in memory with this room's fold.
type plant struct {
	t      *testing.T
	log    *eventlogtest.Memory
	engine *engine.Engine
	n      int
}

func open(t *testing.T, docs ...deliver.WebhookDoc) *plant {
	t.Helper()
	c, err := deliver.Compile(deliver.Documents{Webhooks: docs})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	store, err := state.Open(state.Options{Dir: t.TempDir(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	p := &plant{t: t, log: eventlogtest.NewMemory(partitions)}
	if err := eventlog.Append(t.Context(), p.log, engine.BarrierRecords(partitions, 1)...); err != nil {
		t.Fatal(err)
	}
	p.engine, err = engine.Open(engine.Options{
		Log: p.log, Store: store, Clock: rapport.SystemClock{}, Logger: quiet,
		Folds: []engine.Fold{deliver.Fold{Env: func(c *engine.Context, e *rapport.Event) condition.Env {
			return env{e, rapport.Time(c.Time)}
		}}},
		Configs: func(v int64) (*engine.Config, error) {
			return engine.NewConfig(v, map[string]any{deliver.Part: c}), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = store.Close()
	})
	if err := p.engine.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// append makes an event durable at its person's home, as app does.
func (p *plant) append(ctx context.Context, e *rapport.Event) error {
	e.Fragment = e.Entity
	return eventlog.Append(ctx, p.log, engine.EventRecord(e, engine.Fingerprint(e.Source, e.MessageID), int32(e.Entity.Partition(partitions))))
}

func (p *plant) event(person int, typ rapport.EventType, name string, history bool, properties map[string]any) {
	p.t.Helper()
	p.n++
	now := time.Now().UnixMilli()
	err := p.append(p.t.Context(), &rapport.Event{
		Type: typ, Name: name, Source: "web", MessageID: fmt.Sprint("m", p.n), Entity: delivertest.Message(person).Person,
		Timestamp: now, ReceivedAt: now, OriginalTimestamp: now, History: history, Properties: rapport.FieldsOf(properties),
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// effects returns what waits for a person: kinds, in order of key.
func (p *plant) effects(person int) (kinds []string) {
	p.t.Helper()
	err := p.engine.View(p.t.Context(), delivertest.Message(person).Person, nil, func(v *engine.View) error {
		for _, e := range v.Effects() {
			kinds = append(kinds, e.Kind)
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return kinds
}

func hook(id string, events ...string) deliver.WebhookDoc {
	return deliver.WebhookDoc{ID: id, URL: "https://example.com/", Secret: "0123456789abcdef", Events: events}
}

func TestEventsReachTheWebhooksThatWantThem(t *testing.T) {
	t.Parallel()
	large := hook("large", "Order Completed")
	var err error
	if large.When, err = condition.Parse("properties.revenue > 100"); err != nil {
		t.Fatal(err)
	}
	p := open(t, hook("all", "*"), hook("orders", "Order Completed", "identify"), large)
	p.event(1, rapport.TypeTrack, "Order Completed", false, map[string]any{"revenue": 10})
	p.event(2, rapport.TypeTrack, "Order Completed", false, map[string]any{"revenue": 200})
	p.event(3, rapport.TypeTrack, "Cart Viewed", false, nil)
	p.event(4, rapport.TypeIdentify, "", false, nil)
	p.event(5, rapport.TypeTrack, "Order Completed", true, nil) // history sends nothing
	p.event(6, rapport.TypeSystem, rapport.SystemDelivery, false, map[string]any{"key": "x", "destination": "webhook/all", "status": "delivered"})
	id := "d_0123456789abcdefghjkmnpqrs"
	p.event(7, rapport.TypeSystem, rapport.SystemDecision, false, map[string]any{"decisionId": id, "channel": "inapp", "action": "news"})
	p.event(8, rapport.TypeSystem, rapport.SystemDecision, false, map[string]any{"decisionId": id, "channel": "inapp"}) // nothing was given
	for person, want := range map[int][]string{
		1: {"webhook/all", "webhook/orders"}, 2: {"webhook/all", "webhook/large", "webhook/orders"}, 3: {"webhook/all"},
		4: {"webhook/all", "webhook/orders"}, 5: nil, 6: nil, 7: {"inapp", "webhook/all"}, 8: {"webhook/all"},
	} {
		if diff := cmp.Diff(want, p.effects(person)); diff != "" {
			t.Errorf("person %d: %s", person, diff)
		}
	}
}

func TestAMessageGoesThroughOutboxDeadLettersAndBack(t *testing.T) {
	t.Parallel()
	p := open(t, hook("crm", "*"))
	channel := delivertest.New(1, delivertest.Faults{Refuse: 1})
	d := deliver.New(deliver.Deps{
		Outbox: func(kind string) deliver.Outbox { return p.engine.Effects(kind) }, Append: p.append, Consent: newHouse(),
		Clock: rapport.SystemClock{}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	d.Set([]deliver.Destination{{Kind: "webhook/crm", Channel: "webhook", Sender: channel, Parallel: 2, GiveUp: time.Hour}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	defer func() { cancel(); <-done }()

	results := p.results(1)
	p.event(1, rapport.TypeTrack, "Order Completed", false, nil)
	if e := <-results; e != "failed" {
		t.Fatal(e)
	}
	if diff := cmp.Diff([]string{"dead/webhook/crm"}, p.effects(1)); diff != "" {
		t.Fatal(diff)
	}
	dead, err := p.engine.Waiting(t.Context(), deliver.DeadKind("webhook/crm"), 10)
	if err != nil || len(dead) != 1 {
		t.Fatal(dead, err)
	}
	letter, err := deliver.ParseDeadLetter("webhook/crm", dead[0])
	if err != nil {
		t.Fatal(err)
	}
	channel.Set(delivertest.Faults{})
	if err := d.Replay(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"replayed", "delivered"} {
		if e := <-results; e != want {
			t.Fatal(e)
		}
	}
	if left := p.effects(1); left != nil {
		t.Error(left)
	}
	if got := channel.Arrived(); len(got) != 1 || got[letter.Key] != 1 || !strings.HasPrefix(letter.Key, "webhook/crm/") {
		t.Errorf("arrived %v", got)
	}
}

func TestWhatWaitsForARemovedDestinationBecomesADeadLetterWithTheReason(t *testing.T) {
	t.Parallel()
	p := open(t, hook("crm", "*"), hook("old", "*"))
	channel := delivertest.New(1, delivertest.Faults{Fail: 1})
	d := deliver.New(deliver.Deps{
		Outbox: func(kind string) deliver.Outbox { return p.engine.Effects(kind) }, Append: p.append, Consent: newHouse(),
		Clock: rapport.SystemClock{}, Logger: slog.New(slog.DiscardHandler),
	})
	crm := deliver.Destination{Kind: "webhook/crm", Channel: "webhook", Sender: channel, Parallel: 2, GiveUp: time.Hour}
	d.Set([]deliver.Destination{crm})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	defer func() { cancel(); <-done }()

	results := p.results(1)
	p.event(1, rapport.TypeTrack, "Order Completed", false, nil)
	if diff := cmp.Diff([]string{"webhook/crm", "webhook/old"}, p.effects(1)); diff != "" {
		t.Fatal(diff)
	}
	// crm is removed while it does not answer; old was removed before the start.
	d.Set(nil)
	kinds, err := p.engine.EffectKinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"webhook/crm", "webhook/old"}, kinds); diff != "" && !slices.Contains(kinds, "dead/webhook/crm") {
		t.Fatal(diff)
	}
	d.Retire(append(kinds, "decide"))
	for range 2 {
		if e := <-results; e != "failed" {
			t.Fatal(e)
		}
	}
	if diff := cmp.Diff([]string{"dead/webhook/crm", "dead/webhook/old"}, p.effects(1)); diff != "" {
		t.Fatal(diff)
	}
	if kinds, err = p.engine.EffectKinds(t.Context()); err != nil || !slices.Contains(kinds, "dead/webhook/old") {
		t.Errorf("kinds %v, %v", kinds, err)
	}
	var letters []deliver.DeadLetter
	for _, kind := range []string{"webhook/crm", "webhook/old"} {
		dead, err := p.engine.Waiting(t.Context(), deliver.DeadKind(kind), 10)
		if err != nil || len(dead) != 1 {
			t.Fatal(dead, err)
		}
		letter, err := deliver.ParseDeadLetter(kind, dead[0])
		if err != nil {
			t.Fatal(err)
		}
		if want := "the webhook " + strings.TrimPrefix(kind, "webhook/") + " was removed"; letter.Reason != want {
			t.Errorf("reason %q, want %q", letter.Reason, want)
		}
		letters = append(letters, letter)
	}
	if h := d.Health(); h["webhook/crm"].State != "removed" || len(h) != 2 {
		t.Errorf("health %v", h)
	}
	if err := d.Replay(t.Context(), letters[0]); rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("replay to a destination that is not there: %v", err)
	}
	channel.Set(delivertest.Faults{})
	d.Set([]deliver.Destination{crm})
	if err := d.Replay(t.Context(), letters[0]); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"replayed", "delivered"} {
		if e := <-results; e != want {
			t.Fatal(e)
		}
	}
	if diff := cmp.Diff([]string{"dead/webhook/old"}, p.effects(1)); diff != "" {
		t.Error(diff)
	}
}

// results reads the statuses of a person's delivery results from the log.
func (p *plant) results(person int) <-chan string {
	out := make(chan string, 10)
	r, err := p.log.Reader(eventlog.Events, int32(delivertest.Message(person).Person.Partition(partitions)), 0)
	if err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer r.Close()
		for {
			records, err := r.Next(p.t.Context())
			if err != nil {
				return
			}
			for i := range records {
				var e rapport.Event
				if ok, _ := engine.EventOf(&records[i], &e); ok && e.Name == rapport.SystemDelivery {
					status, _ := e.Properties.Get("status")
					out <- status.Str()
				}
			}
		}
	}()
	return out
}

func TestDocumentsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	bad := hook("a/b")
	bad.URL, bad.Secret, bad.Parallel = "https://user:pw@example.com", "x", 100
	bad.Headers = map[string]string{"Webhook-Id": "x", "X\n": "y"}
	twice := hook("crm", rapport.SystemDelivery)
	_, err := deliver.Compile(deliver.Documents{Webhooks: []deliver.WebhookDoc{bad, hook("ok", "*"), hook("ok", "*"), twice}})
	if rapport.KindOf(err) != rapport.Invalid {
		t.Fatal(err)
	}
	for _, want := range []string{"id", "url", "events", "secret", "headers.Webhook-Id", "headers.X\n", "parallel", "declared twice", "answer every delivery"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "pw") {
		t.Error("the password is told")
	}
}

func FuzzParseDeadLetter(f *testing.F) {
	f.Add(deliver.AppendPayload(nil, delivertest.Message(1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		letter, err := deliver.ParseDeadLetter("webhook/crm", engine.Effect{Key: "k", Payload: b})
		if err != nil {
			return
		}
		again := deliver.AppendPayload(nil, letter.Message)
		if _, err := deliver.ParseDeadLetter("webhook/crm", engine.Effect{Key: "k", Payload: again}); err != nil {
			t.Error(err)
		}
	})
}
