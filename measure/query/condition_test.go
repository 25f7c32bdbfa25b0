package query_test

import (
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/measure/query"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/twin"
)

// now is when conditions are asked.
const now = int64(1_775_000_000_123)

func randomWhere(r *rand.Rand, depth int) string {
	if depth > 0 && r.IntN(3) == 0 {
		return "(" + randomWhere(r, depth-1) + [...]string{" && ", " || "}[r.IntN(2)] + randomWhere(r, depth-1) + ")"
	}
	path := "properties." + [...]string{"n", "s", "b", "deep.x", "missing"}[r.IntN(5)]
	return [...]string{
		path + fmt.Sprintf(" %s %g", [...]string{"==", "!=", "<", "<=", ">", ">="}[r.IntN(6)], float64(r.IntN(9)-3)/2),
		path + fmt.Sprintf(" %s %q", [...]string{"==", "!=", "<", ">="}[r.IntN(4)], [...]string{"a", "b", "O'Neil", "5"}[r.IntN(4)]),
		path + [...]string{" == true", " != false", " == null", " != null"}[r.IntN(4)],
		"has(" + path + ")", "!" + "(" + path + " > 1)",
		path + ` in ["a", "b", 2, true]`,
		path + `.startsWith("a")`, path + `.endsWith("l")`,
		path + " + 1 > 2", path + " / properties.n >= 1",
	}[r.IntN(10)]
}

func randomQuestion(r *rand.Rand) string {
	q := fmt.Sprintf("performed(%q)", [...]string{"Order Completed", "Product Viewed", "page", "O'Neil"}[r.IntN(4)])
	if r.IntN(2) == 0 {
		q += ".where(" + randomWhere(r, 2) + ")"
	}
	if r.IntN(2) == 0 {
		q += fmt.Sprintf(".within(%q)", [...]string{"1h", "90m", "2d", "30d", "400d"}[r.IntN(5)])
	}
	number := fmt.Sprint(float64(r.IntN(21)-5) / 4)
	mark := [...]string{"==", "!=", "<", "<=", ">", ">="}[r.IntN(6)]
	switch r.IntN(11) {
	case 8:
		return q + fmt.Sprintf(".distinct(%q) %s %d", [...]string{"n", "s", "deep.x", "deep"}[r.IntN(4)], mark, r.IntN(5))
	case 9, 10:
		return q + fmt.Sprintf(".%s(%q) ", [...]string{"first", "last"}[r.IntN(2)], [...]string{"n", "s", "b", "deep.x"}[r.IntN(4)]) +
			[...]string{"== null", "!= \"a\"", "== \"a\"", "> 1", "== true", "<= \"b\"", "!= 2.5", `in ["a", 2.5, true]`}[r.IntN(8)]
	case 0:
		return q + ".first() " + mark + fmt.Sprintf(" %d", now/1000-int64(r.IntN(40*86400)))
	case 1:
		return `now.unix - ` + q + fmt.Sprintf(`.last() > duration("%dh")`, 1+r.IntN(900))
	case 2, 3:
		return q + ".count() " + mark + " " + fmt.Sprint(r.IntN(4))
	case 4:
		return q + [...]string{".min", ".max", ".avg"}[r.IntN(3)] + `("n") == null`
	}
	return q + [...]string{".sum", ".avg", ".min", ".max"}[r.IntN(4)] + `("` + [...]string{"n", "deep.x", "s"}[r.IntN(3)] + `") ` + mark + " " + number
}

// randomLeaf asks of the person what is not the count of an event.
func randomLeaf(r *rand.Rand) string {
	path := [...]string{"traits.city", "traits.age", "traits.vip", "traits.address.zip", "traits.tags", "traits.nothing"}[r.IntN(6)]
	mark := [...]string{"==", "!=", "<", "<=", ">", ">="}[r.IntN(6)]
	step := func(then string) string {
		text := "." + then + fmt.Sprintf("(%q)", [...]string{"Order Completed", "Product Viewed", "page"}[r.IntN(3)])
		if r.IntN(3) == 0 {
			text += ".where(" + randomWhere(r, 1) + ")"
		}
		return text
	}
	computed := "computed." + computedDocs[r.IntN(len(computedDocs))].ID
	switch r.IntN(16) {
	case 0:
		return path + fmt.Sprintf(" %s %g", mark, float64(r.IntN(7)))
	case 1:
		return path + fmt.Sprintf(" %s %q", mark, [...]string{"Oslo", "Bergen", "5"}[r.IntN(3)])
	case 2:
		return path + [...]string{" == null", " != true", ` in ["Oslo", 3, true]`, `.startsWith("Os")`, `.contains("a")`, `.matches("^[A-O].*o$")`}[r.IntN(6)]
	case 3:
		return [...]string{"size(" + path + ") > 2", path + " " + mark + " traits.age", `"a" in ` + path, "traits.age + 1 " + mark + " traits.address.zip", "has(" + path + ")", "traits.age == 12345678901234567890"}[r.IntN(6)]
	case 4, 5:
		return fmt.Sprintf("consent.allows(%q%s)", [...]string{"ads", "mail"}[r.IntN(2)], [...]string{"", `, "sms"`, `, "email"`}[r.IntN(3)])
	case 6:
		return fmt.Sprintf("now.%s %s %d", [...]string{"hour", "weekday", "day", "minute"}[r.IntN(4)], mark, r.IntN(24))
	case 7:
		return fmt.Sprintf("segments.has(%q)", [...]string{"buyers", "locals"}[r.IntN(2)])
	case 8:
		return fmt.Sprintf("segments.degree(%q) %s 0.5", [...]string{"buyers", "locals"}[r.IntN(2)], mark)
	case 9, 10:
		text := fmt.Sprintf("performed(%q)", [...]string{"Order Completed", "Product Viewed"}[r.IntN(2)])
		for range 1 + r.IntN(2) {
			text += step("then")
		}
		if r.IntN(2) == 0 {
			text += step("notThen")
		}
		if r.IntN(2) == 0 {
			text += fmt.Sprintf(".within(%q)", [...]string{"2d", "40d", "400d"}[r.IntN(3)])
		}
		return text + ".happened()"
	case 11:
		return [...]string{"items.any(i, i.level < 0.5)", `items.count(i, i.state == "on") >= 1`, `items.any(i, i.role == "owner" && has(i.level))`, "items.count(i, i.level > i.low) == 1", `items.any(i, i.item.endsWith("2"))`}[r.IntN(5)]
	case 12:
		return computed + [...]string{" == null", " != null", ` == "a"`, ` != "b"`}[r.IntN(4)]
	}
	return computed + fmt.Sprintf(" %s %g", mark, float64(r.IntN(9)-2)/2)
}

// computedDocs ask in every way there is.
var computedDocs = []profile.ComputedDoc{
	{ID: "orders", Event: "Order Completed", Op: "count"},
	{ID: "spent", Event: "Order Completed", Op: "sum", Property: "n", Calendar: "month"},
	{ID: "before", Event: "Order Completed", Op: "count", Calendar: "week", Ago: 1, Zone: "Europe/Oslo"},
	{ID: "avg", Event: "Product Viewed", Op: "average", Property: "n", Within: rapport.Duration(30 * 24 * time.Hour)},
	{ID: "low", Event: "Product Viewed", Op: "min", Property: "n"},
	{ID: "high", Event: "Product Viewed", Op: "max", Property: "deep.x", Calendar: "year"},
	{ID: "start", Event: "page", Op: "first"},
	{ID: "latest", Event: "Order Completed", Op: "last", Property: "s"},
	{ID: "kinds", Event: "Order Completed", Op: "distinct", Property: "s"},
	{ID: "seen", Event: "Product Viewed", Op: "top", Property: "s", Top: 2},
	{ID: "often", Event: "Order Completed", Op: "frequency", Per: "week"},
	{ID: "pace", Event: "Order Completed", Op: "frequency", Per: "day", Within: rapport.Duration(40 * 24 * time.Hour)},
	{ID: "idle", Event: "Order Completed", Op: "since", Per: "hour"},
	{ID: "row", Event: "Product Viewed", Op: "streak", Per: "week", Zone: "America/New_York"},
	{ID: "rate", Event: "Order Completed", Op: "ratio", Over: &profile.OverDoc{Event: "Product Viewed"}},
	{ID: "share", Event: "Order Completed", Op: "ratio", Property: "n", Over: &profile.OverDoc{Event: "Product Viewed", Property: "n"}},
	{ID: "warm", Event: "Order Completed", Op: "decayed", HalfLife: rapport.Duration(20 * 24 * time.Hour)},
	{ID: "value", Event: "Product Viewed", Op: "decayed", Property: "n"},
}

var segmentDocs = map[string]string{
	"buyers": `performed("Order Completed").within("30d").count() >= 1 && computed.orders > 1`,
	"locals": `traits.city == "Oslo" || segments.has("buyers") && consent.allows("ads")`,
}

// world is what the names in random conditions mean.
type world struct {
	segments map[string]*condition.Condition
	computed *profile.Config // of computed traits and segments alone
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{segments: map[string]*condition.Condition{}}
	for id, text := range segmentDocs {
		c, err := condition.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		w.segments[id] = c
	}
	w.computed = w.questions(t)
	return w
}

// questions compiles everything that is asked: conditions, segments, computed traits.
func (w *world) questions(t *testing.T, conditions ...*condition.Condition) *profile.Config {
	t.Helper()
	config, err := profile.CompileAll(profile.Documents{Computed: computedDocs, Conditions: []iter.Seq[condition.Expr]{func(yield func(condition.Expr) bool) {
		for _, c := range w.segments {
			conditions = append(conditions, c)
		}
		for _, c := range conditions {
			if !yield(c) {
				return
			}
		}
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func (w *world) Segment(id string) *condition.Condition { return w.segments[id] }
func (w *world) Computed(name string) (condition.Computation, bool) {
	return w.computed.Computation(name)
}

func (w *world) Window(a *condition.Aggregate, at int64) (from, to int64, bounded bool) {
	return profile.Window(a, at)
}

// person is somebody whose events are known, with items and segments.
type person struct {
	*profile.Recomputed
	*twin.Things
	w *world
}

func (w *world) person(events []rapport.Event, config *profile.Config) person {
	p := person{profile.Recompute(events, config, &profile.Zones{}, now), &twin.Things{}, w}
	for i := range events {
		if e := &events[i]; e.Type == rapport.TypeSystem && e.Name == twin.EventHeld {
			p.Things.Apply(nil, e)
		}
	}
	return p
}

func (p person) NumItems() int                                { return p.Things.NumItems() }
func (p person) ItemValue(i int, path []string) rapport.Value { return p.Things.ItemValue(i, path) }

func (p person) Degree(segment string) float64 {
	if p.w.segments[segment].Holds(p) {
		return 1
	}
	return 0
}

func randomCondition(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(3) == 0 {
		if r.IntN(2) == 0 {
			return randomLeaf(r)
		}
		return randomQuestion(r)
	}
	switch r.IntN(3) {
	case 0:
		return "!(" + randomCondition(r, depth-1) + ")"
	case 1:
		return "(" + randomCondition(r, depth-1) + " && " + randomCondition(r, depth-1) + ")"
	}
	return "(" + randomCondition(r, depth-1) + " || " + randomCondition(r, depth-1) + ")"
}

func randomEvent(r *rand.Rand, n int) rapport.Event {
	values := []any{1.0, 2.5, -1.0, 0.1, 1e13, -3e12, "a", "b", "O'Neil", "5", "al", true, false, nil, []any{"a"}, map[string]any{"x": 1.0}, 1.0000005, 123456789.25}
	props := map[string]any{}
	for _, k := range []string{"n", "s", "b"} {
		if r.IntN(4) > 0 {
			props[k] = values[r.IntN(len(values))]
		}
	}
	if r.IntN(2) == 0 {
		props["deep"] = map[string]any{"x": values[r.IntN(len(values))]}
	}
	e := rapport.Event{Type: rapport.TypeTrack, Name: [...]string{"Order Completed", "Product Viewed", "O'Neil"}[r.IntN(3)], MessageID: fmt.Sprint("m", n), Properties: rapport.FieldsOf(props)}
	if r.IntN(5) == 0 {
		e.Type, e.Name = rapport.TypePage, "Home"
	}
	some := func() any { return values[r.IntN(len(values))] }
	traits := map[string]any{}
	for k, v := range map[string]any{"city": [...]any{"Oslo", "Bergen", nil, 3}[r.IntN(4)], "age": r.IntN(7), "vip": r.IntN(2) == 0, "address": map[string]any{"zip": some()}, "tags": []any{"a", some()}, "timezone": [...]any{"Europe/Oslo", "Asia/Tokyo", "nowhere", ""}[r.IntN(4)]} {
		if r.IntN(4) == 0 {
			traits[k] = v
		}
	}
	if r.IntN(3) == 0 {
		context := map[string]any{}
		for k, v := range map[string]any{"timezone": [...]any{"America/New_York", "Asia/Tokyo", 7, ""}[r.IntN(4)], "traits": traits, "consent": map[string]any{"categoryPreferences": map[string]any{"ads": [...]any{true, false, "yes"}[r.IntN(3)]}}} {
			if r.IntN(2) == 0 {
				context[k] = v
			}
		}
		e.Context = rapport.FieldsOf(context)
	}
	e.Source = [...]string{"web", "app"}[r.IntN(2)]
	switch r.IntN(12) {
	case 0, 1:
		e.Type, e.Name, e.Traits = rapport.TypeIdentify, "", rapport.FieldsOf(traits)
	case 2:
		e.Name = rapport.EventConsentUpdated
		e.Properties = rapport.FieldsOf(map[string]any{"purpose": [...]any{"ads", "mail", 3}[r.IntN(3)], "channel": [...]any{"sms", "email", "", nil}[r.IntN(4)], "allowed": [...]any{true, false, "true"}[r.IntN(3)]})
	case 3:
		e.Type, e.Name = rapport.TypeSystem, twin.EventHeld
		e.Properties = rapport.FieldsOf(map[string]any{"item": fmt.Sprint("item-", r.IntN(3)), "version": n, "role": [...]string{"owner", "guest", ""}[r.IntN(3)], "state": [...]string{"on", "off"}[r.IntN(2)], "readings": map[string]any{"level": float64(r.IntN(9)) / 8, "low": 0.25}})
	case 4:
		e.Type = rapport.TypeSystem
	}
	switch r.IntN(8) {
	case 0:
		e.Timestamp = now - 3600_000*int64(r.IntN(3)) // at the same moment as others
		return e
	case 1: // by a clock that runs ahead: the door takes it as received
		var b segmentwire.Batch
		body := fmt.Sprintf(`{"type":"track","event":"any","userId":"any","timestamp":%d}`, now+[...]int64{1, 200_000, 86400_000, 1 << 40}[r.IntN(4)])
		if err := segmentwire.Parse([]byte(body), &segmentwire.Options{ReceivedAt: now - int64(r.IntN(3600_000))}, &b); err != nil {
			panic(err)
		}
		e.Timestamp = b.Events[0].Timestamp
		return e
	}
	e.Timestamp = now - int64(r.IntN(int([...]int64{3600_000, 86400_000, 40 * 86400_000, 500 * 86400_000}[r.IntN(4)])))
	return e
}

// TestSQLRecomputationAndLiveAnswersAgree asks random conditions of random
// histories three ways.
func TestSQLRecomputationAndLiveAnswersAgree(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(t.Context())
	if err == nil {
		err = query.Register(conn)
	}
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	must := func(q string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), q, args...); err != nil {
			t.Fatal(err)
		}
	}
	must("CREATE TABLE events (person VARCHAR, kind VARCHAR, type VARCHAR, event VARCHAR, time TIMESTAMPTZ, logged_at TIMESTAMPTZ, properties JSON, source VARCHAR, traits JSON, context JSON)")
	w := newWorld(t)
	histories, conditions := 6, 120
	if testing.Short() {
		histories, conditions = 2, 40
	}
	held, asked := 0, 0
	for seed := range uint64(histories) {
		r := rand.New(rand.NewPCG(seed, 9))
		must("DELETE FROM events")
		people := map[string][]rapport.Event{}
		var rows []string
		for n := range 150 {
			who := fmt.Sprintf("p_%d", r.IntN(12))
			e := randomEvent(r, n)
			people[who] = append(people[who], e)
			text := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
			object := func(f rapport.Fields) string {
				if len(f) == 0 {
					return "NULL"
				}
				return text(string(f.AppendJSON(nil)))
			}
			rows = append(rows, fmt.Sprintf("(%s, 'person', %s, %s, epoch_ms(%d)::TIMESTAMPTZ, epoch_ms(%d)::TIMESTAMPTZ, %s::JSON, %s, %s::JSON, %s::JSON)",
				text(who), text(e.Type.String()), text(profile.EventName(&e)), e.Timestamp, now, text(string(e.Properties.AppendJSON(nil))), text(e.Source), object(e.Traits), object(e.Context)))
		}
		must("SET TimeZone='UTC'")
		must("INSERT INTO events VALUES " + strings.Join(rows, ", "))
		for range conditions {
			text := randomCondition(r, 2)
			c, err := condition.Parse(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			question, err := c.SQL(now, w)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			got := list(t, db, question)
			config := w.questions(t, c)
			var recomputed, live []string
			for _, who := range slices.Sorted(maps.Keys(people)) {
				p := w.person(people[who], config)
				if c.Holds(p) {
					recomputed = append(recomputed, who)
				}
				if c.Holds(liveEnv{p, answers(people[who], config), config}) {
					live = append(live, who)
				}
			}
			asked, held = asked+1, held+len(got)
			if !slices.Equal(got, recomputed) || !slices.Equal(got, live) {
				t.Fatalf("seed %d: %s\nSQL        %v\nrecomputed %v\nlive       %v\n%s", seed, text, got, recomputed, live, question)
			}
		}
	}
	if held < asked || held > 11*asked {
		t.Errorf("%d conditions held for %d people in all: they say too little", asked, held)
	}
}

// liveEnv answers from the state that is kept up to date event by event.
type liveEnv struct {
	person
	answers *profile.Aggregates
	config  *profile.Config
}

func (e liveEnv) Value(root condition.Root, path []string) rapport.Value {
	if root == condition.Computed && len(path) == 1 {
		return e.config.ComputedTrait(path[0]).Value(e.answers, now)
	}
	return e.person.Value(root, path)
}

func (e liveEnv) Degree(segment string) float64 {
	if e.w.segments[segment].Holds(e) {
		return 1
	}
	return 0
}

func (e liveEnv) Performed(a *condition.Aggregate) rapport.Value {
	return e.answers.Performed(a, now)
}

func answers(events []rapport.Event, config *profile.Config) *profile.Aggregates {
	a := profile.AggregateFold{Config: config}.New().(*profile.Aggregates)
	for i := range events {
		a.Apply(&engine.Context{Time: now}, &events[i])
	}
	return a
}

func list(t *testing.T, db *sql.DB, query string) (people []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer rows.Close()
	for rows.Next() {
		var who string
		if err := rows.Scan(&who); err != nil {
			t.Fatal(err)
		}
		people = append(people, who)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	return people
}

func TestWhatHistoryDoesNotHoldIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`performed("A").count() > 1 && scores.clv > 3`, `segments.has("vip")`, `segments.degree("gift-giver") > 0.3`, `context.page == "x"`, `computed.x > 1`, `size(context.tags) > 1`, `traits["a\"b"] == 1`,
	} {
		c, err := condition.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.SQL(now, newWorld(t))
		var place *condition.SyntaxError
		if rapport.KindOf(err) != rapport.Invalid || !errors.As(err, &place) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestManyDifferentValuesAreCountedByTheSameSketch(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err == nil {
		err = query.Register(conn)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c, err := condition.Parse(`performed("Seen").distinct("sku") > 1`)
	if err != nil {
		t.Fatal(err)
	}
	config := profile.Compile(func(yield func(condition.Expr) bool) { yield(c) })
	var events []rapport.Event
	var texts []string
	for i := range 2000 {
		e := rapport.Event{Type: rapport.TypeTrack, Name: "Seen", Timestamp: now, Properties: rapport.FieldsOf(map[string]any{"sku": fmt.Sprint("sku-", i)})}
		events = append(events, e)
		texts = append(texts, fmt.Sprintf("'\"sku-%d\"'", i))
		if i != 50 && i != 200 && i != 1999 {
			continue
		}
		var got float64
		if err := conn.QueryRowContext(t.Context(), "SELECT rapport_distinct(["+strings.Join(texts, ",")+"])").Scan(&got); err != nil {
			t.Fatal(err)
		}
		live, _ := answers(events, config).Performed(c.Aggregates()[0], now).Number()
		if got != live {
			t.Errorf("of %d values %g are counted, live %g", i+1, got, live)
		}
	}
}
