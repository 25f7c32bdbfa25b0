package item_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/twin"
)

func TestADeviceSignsInWithItsOwnTokenAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, err := w.door.NewToken(t.Context(), item.Registration{Item: can, Device: "kitchen"}, false)
	w.must(err)
	other, err := w.door.NewToken(t.Context(), item.Registration{Item: "01_09506000134352_21_OTHER"}, false)
	w.must(err)
	for _, name := range []string{can, "kitchen", "https://id.gs1.org/01/09506000134352/21/ABC123"} {
		if got, err := w.door.Authenticate(t.Context(), name, token); err != nil || got != can {
			t.Errorf("as %s: %s, %v", name, got, err)
		}
	}
	for _, pair := range [][2]string{{can, other}, {can, ""}, {"kitchen", other}, {"nobody", token}, {"01_09506000134352_21_NEW", token}} {
		if got, err := w.door.Authenticate(t.Context(), pair[0], pair[1]); rapport.KindOf(err) != rapport.Unauthenticated {
			t.Errorf("%s with another's token: %s, %v", pair[0], got, err)
		}
	}
	next, err := w.door.NewToken(t.Context(), item.Registration{Item: can}, true)
	w.must(err)
	if _, err := w.door.Authenticate(t.Context(), can, token); err == nil {
		t.Error("the token before the change still opens")
	}
	if _, err := w.door.Authenticate(t.Context(), can, next); err != nil {
		t.Error(err)
	}
	w.must(w.door.RevokeTokens(t.Context(), can))
	if _, err := w.door.Authenticate(t.Context(), can, next); err == nil {
		t.Error("a revoked token still opens")
	}
}

func TestTheTwinHoldsTheNewestReadingsAndTheirStatistics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	base := rapport.Millis(start) - 10*60_000
	for i, level := range []float64{0.9, 0.8, 0.7, 0.6} {
		w.send(item.Telemetry, fmt.Sprintf(`{"at":%d,"seq":%d,"level":%v,"mode":"auto","on":true}`, base+int64(i)*60_000, i, level))
	}
	w.send(item.Telemetry, fmt.Sprintf(`{"at":%d,"seq":3,"level":0.6,"mode":"auto","on":true}`, base+3*60_000)) // told twice
	w.send(item.Telemetry, fmt.Sprintf(`{"at":%d,"level":0.1}`, base-60_000))                                   // late, and low then
	s := w.item()
	level := s.Reading("level")
	if x, _ := level.Number(); x != 0.6 {
		t.Errorf("level is %v", x)
	}
	if level.Count != 5 || level.Min != 0.1 || level.Max != 0.9 {
		t.Errorf("statistics: %+v", level)
	}
	if s.Reading("mode").Value().Str() != "auto" || s.Reading("on").Value().Kind() != rapport.KindTrue {
		t.Error("text and truth readings are lost")
	}
	w.must(w.door.View(t.Context(), can, func(v *engine.View, _ *twin.Item) error {
		for step, want := range map[twin.Step]int{twin.Raw: 5, twin.Hourly: 1, twin.Daily: 1} {
			points, err := twin.Series(v, "level", step, 0)
			if err != nil || len(points) != want {
				t.Errorf("series %c: %v, %v", step, points, err)
			}
		}
		return nil
	}))
	for _, bad := range []string{``, `[]`, `{}`, `{"level":{}}`, `{"level":null}`, `{"at":"yesterday","level":1}`, `{"level":1`, `{"` + strings.Repeat("x", 41) + `":1}`} {
		if err := w.door.Send(t.Context(), can, item.Telemetry, []byte(bad)); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if s := w.item(); len(s.Rejected) != 8 || !strings.Contains(s.Rejected[0].Problem, "telemetry") {
		t.Errorf("what could not be read left no trace: %+v", s.Rejected)
	}
}

func TestAReadingThatCrossesItsLineIsTheOwnersEventOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	_, err := w.door.Claim(t.Context(), can, user("anna"), item.Proof{Code: "welcome1"})
	w.must(err)
	for i, level := range []float64{0.5, 0.19, 0.18, 0.25, 0.1, 0.6, 0.15} {
		w.send(item.Telemetry, fmt.Sprintf(`{"seq":%d,"level":%v}`, i, level))
		if level == 0.25 && w.item().Stage() != twin.Low {
			t.Errorf("stage is %s", w.item().Stage())
		}
		if level == 0.6 && w.item().Stage() == twin.Low {
			t.Error("the refilled canister is still low")
		}
	}
	counts, things := w.person(user("anna"))
	if counts[twin.ProductRunningLow] != 2 {
		t.Errorf("the owner's events: %v", counts)
	}
	if len(things) != 1 || things[0].Role != "owner" {
		t.Fatalf("things: %+v", things)
	}
	if x, _ := things[0].Value([]string{"level"}).Number(); x != 0.15 {
		t.Errorf("the owner's conditions read level %v", x)
	}
}

func TestWhatHappensBeforeThereIsAnOwnerIsJoinedByTheClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.send(item.Events, `{"event":"opened"}`)
	w.send(item.Events, `{"event":"Product Used","properties":{"cups":2}}`)
	if s := w.item(); s.Stage() != twin.InUse || s.Seal != "opened" {
		t.Errorf("stage %s, seal %s", s.Stage(), s.Seal)
	}
	counts, _ := w.person(twin.Holder(can, 0))
	if counts[twin.ProductOpened] != 1 {
		t.Errorf("the anonymous relationship: %v", counts)
	}
	w.clock.move(time.Second)
	s, err := w.door.Claim(t.Context(), can, user("anna"), item.Proof{Ticket: w.door.Ticket(can)})
	w.must(err)
	if s.Owner.Proof != "tap" || s.Stage() != twin.Owned {
		t.Errorf("owner %+v, stage %s", s.Owner, s.Stage())
	}
	counts, things := w.person(user("anna"))
	if counts[twin.ProductOpened] != 1 || counts[twin.ProductClaimed] != 1 || len(things) != 1 {
		t.Errorf("anna: %v, %v", counts, things)
	}
	if _, err := w.door.Claim(t.Context(), can, user("anna"), item.Proof{}); err != nil {
		t.Errorf("claiming what one owns: %v", err)
	}
	if _, err := w.door.Claim(t.Context(), can, user("bo"), item.Proof{Ticket: w.door.Ticket(can)}); rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("claiming another's item: %v", err)
	}
}

func TestAClaimNeedsAProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.must(w.door.Moment(t.Context(), can, twin.EventMoved, "", fields(map[string]any{"stage": "sold", "reference": "R-77"})))
	old := w.door.Ticket(can)
	w.clock.move(item.TicketValid + time.Second)
	for name, p := range map[string]item.Proof{
		"none": {}, "old ticket": {Ticket: old}, "ticket of another item": {Ticket: w.door.Ticket("01_09506000134352_21_X")},
		"wrong code": {Code: "nope"}, "wrong receipt": {Receipt: "R-78"}, "offer that is none": {Offer: "AAAA"},
	} {
		if _, err := w.door.Claim(t.Context(), can, user("eve"), p); rapport.KindOf(err) != rapport.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.door.Claim(t.Context(), can, user("anna"), item.Proof{Receipt: "R-77"}); err != nil {
		t.Error(err)
	}
	if _, err := w.door.Claim(t.Context(), "01_09506000134352_21_UNKNOWN", user("anna"), item.Proof{Trusted: "shop"}); rapport.KindOf(err) != rapport.NotFound {
		t.Errorf("an unknown item: %v", err)
	}
}

func TestANewOwnerSeesNothingOfTheFormer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	_, err := w.door.Claim(t.Context(), can, user("anna"), item.Proof{Code: "WELCOME 1"})
	w.must(err)
	w.must(w.door.Member(t.Context(), can, rapport.ID{}, user("kid"), "guest"))
	w.send(item.Telemetry, `{"level":0.4,"latitude":59.9,"longitude":10.7}`)
	w.send(item.Reported, `{"wifi":"anna's home"}`)
	w.send(item.Events, `{"event":"Product Used"}`)
	_, err = w.door.Command(t.Context(), can, item.Ask{Name: "blink"})
	w.must(err)
	anna := w.who.Identified(user("anna"))
	if _, _, err := w.door.Offer(t.Context(), can, w.who.Identified(user("bo")), "gift"); rapport.KindOf(err) != rapport.Denied {
		t.Errorf("a stranger gave it away: %v", err)
	}
	code, _, err := w.door.Offer(t.Context(), can, anna, "gift")
	w.must(err)
	w.clock.move(time.Minute)
	s, err := w.door.Claim(t.Context(), can, user("bo"), item.Proof{Offer: strings.ToLower(code)})
	w.must(err)
	if len(s.Readings)+len(s.Reported.Document)+len(s.Moments)+len(s.Commands)+len(s.Members) != 0 || s.Place.At != 0 || s.Owner.Proof != "gift" || s.Stage() != twin.Transferred {
		t.Errorf("left of the former owner: %+v", s)
	}
	if s.Fact("lot") != "L7" {
		t.Error("what the maker told is gone")
	}
	w.must(w.door.View(t.Context(), can, func(v *engine.View, _ *twin.Item) error {
		if p, _ := twin.Series(v, "level", twin.Raw, 0); len(p) != 0 {
			t.Errorf("the series of the former owner: %v", p)
		}
		return nil
	}))
	w.send(item.Events, `{"event":"Product Used"}`)
	was, things := w.person(user("anna"))
	if was[twin.ProductUsed] != 1 || was[twin.ProductReleased] != 1 || len(things) != 0 {
		t.Errorf("anna: %v %v", was, things)
	}
	if _, things := w.person(user("kid")); len(things) != 0 {
		t.Errorf("kid still holds %v", things)
	}
	is, things := w.person(user("bo"))
	if is[twin.ProductUsed] != 1 || is[twin.ProductOpened] != 0 || len(things) != 1 {
		t.Errorf("bo: %v %v", is, things)
	}
	if _, err := w.door.Claim(t.Context(), can, user("eve"), item.Proof{Offer: code}); rapport.KindOf(err) != rapport.Denied {
		t.Errorf("the code was good twice: %v", err)
	}
	w.must(w.door.LetGo(t.Context(), w.who.Identified(user("bo"))))
	if s := w.item(); !s.Owner.Person.IsZero() {
		t.Error("an item of somebody erased still has an owner")
	}
}

func TestOfManyWhoClaimAtOnceOneBecomesOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := w.door.Claim(t.Context(), can, user(fmt.Sprint("u", i)), item.Proof{Code: "WELCOME-1"}); err == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d owners", won.Load())
	}
}

func TestADeviceLearnsWhatIsWantedAndNotYetSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	var told []string
	w.door.Changed = func(id string) { told = append(told, id) }
	_, err := w.door.Desire(t.Context(), can, fields(map[string]any{"led": map[string]any{"on": true, "color": "red"}, "interval": 60.0}))
	w.must(err)
	w.send(item.Reported, `{"interval":60,"led":{"on":false},"firmware":"1.2.3"}`)
	p, err := w.door.Waiting(t.Context(), can)
	w.must(err)
	if got, want := string(p.Delta.AppendJSON(nil)), `{"led":{"color":"red","on":true}}`; got != want {
		t.Errorf("delta %s, want %s", got, want)
	}
	w.send(item.Reported, `{"led":{"on":true,"color":"red"}}`)
	if p, err = w.door.Waiting(t.Context(), can); err != nil || len(p.Delta) != 0 {
		t.Errorf("delta %s, %v", p.Delta.AppendJSON(nil), err)
	}
	_, err = w.door.Desire(t.Context(), can, fields(map[string]any{"led": nil}))
	w.must(err)
	if s := w.item(); s.Firmware != "1.2.3" || s.Desired.Version != 2 || string(s.Desired.Document.AppendJSON(nil)) != `{"interval":60}` {
		t.Errorf("%s, version %d, %s", s.Firmware, s.Desired.Version, s.Desired.Document.AppendJSON(nil))
	}
	if len(told) != 2 {
		t.Errorf("told %v", told)
	}
	big := strings.Repeat("x", twin.MaxDocument)
	if _, err := w.door.Desire(t.Context(), can, fields(map[string]any{"big": big})); rapport.KindOf(err) != rapport.TooLarge {
		t.Errorf("a state without bounds: %v", err)
	}
}

func TestACommandIsAnsweredOrRunsOutOfTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	ask := func(expires, timeout time.Duration) string {
		c, err := w.door.Command(t.Context(), can, item.Ask{Name: "descale", Args: fields(map[string]any{"minutes": 20.0}), Expires: expires, Timeout: timeout, By: "ops"})
		w.must(err)
		return c.ID
	}
	done, late, never := ask(time.Hour, time.Minute), ask(time.Hour, time.Minute), ask(time.Minute, time.Minute)
	if p, err := w.door.Waiting(t.Context(), can); err != nil || len(p.Commands) != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	w.must(w.door.CommandSent(t.Context(), can, done))
	w.must(w.door.CommandSent(t.Context(), can, late))
	w.send(item.Events, `{"command":"`+done+`","status":"done","result":{"took":19}}`)
	w.clock.move(2 * time.Minute)
	w.send(item.Telemetry, `{"level":0.9}`) // time passes for this partition
	w.send(item.Events, `{"command":"`+late+`","status":"done"}`)
	s := w.item()
	for id, want := range map[string]twin.CommandState{done: twin.Done, late: twin.TimedOut, never: twin.Expired} {
		if got := s.Command(id).State; got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	if x, _ := s.Command(done).Result.Get("took"); x.Any() != 19.0 {
		t.Errorf("result %v", x.Any())
	}
	if err := w.door.Cancel(t.Context(), can, done); rapport.KindOf(err) != rapport.Conflict {
		t.Errorf("cancelling what is over: %v", err)
	}
	for range 40 {
		ask(time.Hour, time.Minute)
	}
	if n := len(w.item().Commands); n != 32 {
		t.Errorf("%d commands are kept", n)
	}
}

func TestContainersAreKnownByIntervalWhateverOrderTheyAreToldIn(t *testing.T) {
	t.Parallel()
	steps := []map[string]any{
		{"stage": "packed", "parent": "00_106141412345678908", "action": "ADD", "at": 1},
		{"stage": "shipped", "location": "414_0614141123452", "at": 2},
		{"stage": "received", "parent": "00_106141412345678908", "action": "DELETE", "at": 5},
		{"stage": "onShelf", "at": 6},
	}
	orders := [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}}
	var want []byte
	for _, order := range orders {
		w := newWorld(t)
		w.register()
		for _, i := range order {
			m := steps[i]
			at := rapport.Millis(start) - 100_000 + int64(m["at"].(int))*1000
			p := map[string]any{}
			for k, v := range m {
				if k != "at" {
					p[k] = v
				}
			}
			e := twin.Fact(rapport.Identifier{Kind: rapport.KindItem, Value: can}, twin.EventMoved, fmt.Sprint("s", i), at, rapport.Millis(start), fields(p))
			w.must(w.door.Take(t.Context(), []rapport.Event{e}))
		}
		s := w.item()
		if len(s.Parents) != 1 || s.Parents[0].To-s.Parents[0].From != 4000 || len(s.Within(s.Parents[0].From+1)) != 1 || len(s.Within(s.Parents[0].To)) != 0 {
			t.Errorf("order %v: %+v", order, s.Parents)
		}
		got := s.AppendBinary(nil)
		if want == nil {
			want = got
		} else if !slices.Equal(want, got) {
			t.Errorf("order %v gives another twin", order)
		}
	}
}

func TestOneOfManyCopiesOfATapIsFresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	const uid = "04DE5F1EACC040"
	tag := twin.TagName(uid)
	tap := func(name string, counter int64, of string) bool {
		p := fields(map[string]any{"item": of, "counter": float64(counter), "tamper": "closed"})
		now := rapport.Millis(start)
		w.must(w.door.Take(t.Context(), []rapport.Event{twin.Fact(tag, twin.EventTapped, name, now, now, p)}))
		l, err := w.door.Label(t.Context(), tag)
		w.must(err)
		return l.Fresh(name)
	}
	var fresh atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			if tap(fmt.Sprint("copy", i), 61, can) {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 1 {
		t.Errorf("%d of 64 copies are fresh", fresh.Load())
	}
	if tap("older", 60, can) || tap("elsewhere", 62, "01_09506000134352_21_OTHER") || !tap("next", 62, can) {
		t.Error("the counter or the item of a tag is not minded")
	}
	if s := w.item(); s.Taps != 2 || s.Seal != "closed" {
		t.Errorf("%d taps, seal %q", s.Taps, s.Seal)
	}
}

func TestATwinReadsBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.send(item.Telemetry, `{"level":0.4,"mode":"eco","latitude":1,"longitude":2}`)
	w.send(item.Reported, `{"a":{"b":[1,2,"x"]}}`)
	_, err := w.door.Claim(t.Context(), can, user("anna"), item.Proof{Trusted: "test"})
	w.must(err)
	s := w.item()
	b := s.AppendBinary(nil)
	back := &twin.Item{}
	w.must(back.DecodeBinary(b))
	if diff := cmp.Diff(string(b), string(back.AppendBinary(nil))); diff != "" {
		t.Error(diff)
	}
}

func FuzzInput(f *testing.F) {
	for _, s := range []string{`{"at":1,"level":0.2}`, `{"event":"opened","x":1}`, `{"command":"c","status":"ok","result":{}}`, `{"a":null,"b":{"c":[1]}}`} {
		f.Add("telemetry", s)
		f.Add("event", s)
		f.Add("reported", s)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, channel, payload string) {
		err := w.door.Send(t.Context(), can, item.Channel(channel), []byte(payload))
		if k := rapport.KindOf(err); err != nil && k != rapport.Invalid && k != rapport.TooLarge {
			t.Fatal(err)
		}
		s, err := w.door.Item(t.Context(), can)
		if rapport.KindOf(err) == rapport.NotFound {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := (&twin.Item{}).DecodeBinary(s.AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkTelemetry(b *testing.B) {
	w := newWorld(b)
	w.register()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		w.send(item.Telemetry, fmt.Sprintf(`{"seq":%d,"level":0.5,"temperature":93.1}`, i))
	}
}

// BenchmarkReadTwin reads one of 5,000 twins after the other while readings go on arriving.
func BenchmarkReadTwin(b *testing.B) {
	const items = 5000
	w := newWorld(b)
	name := func(i int) string { return fmt.Sprintf("01_09506000134352_21_R%d", i%items) }
	for i := range items {
		_, err := w.door.Input(name(i), item.Telemetry, []byte(`{"level":0.5,"temperature":93.1,"firmware":"1.2.3"}`))
		w.must(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			<-time.After(time.Millisecond) // this log acknowledges at once: unpaced, reads would wait for its backlog
			_ = w.door.Send(ctx, name(i*31), item.Telemetry, fmt.Appendf(nil, `{"seq":%d,"level":0.4}`, i))
		}
	})
	var took []time.Duration
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		begun := time.Now()
		if _, err := w.door.Item(b.Context(), name(i*7919)); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	stop()
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
