package query_test

import (
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/measure/query"
	"github.com/rapport-engine/rapport/profile"
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

func randomCondition(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(3) == 0 {
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
	if r.IntN(9) == 0 {
		e.Type = rapport.TypeSystem
	}
	if r.IntN(6) == 0 {
		e.Timestamp = now - 3600_000*int64(r.IntN(3)) // at the same moment as others
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
	must("CREATE TABLE events (person VARCHAR, kind VARCHAR, type VARCHAR, event VARCHAR, time TIMESTAMPTZ, logged_at TIMESTAMPTZ, properties JSON)")
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
			rows = append(rows, fmt.Sprintf("(%s, 'person', %s, %s, epoch_ms(%d)::TIMESTAMPTZ, epoch_ms(%d)::TIMESTAMPTZ, %s::JSON)",
				text(who), text(e.Type.String()), text(profile.EventName(&e)), e.Timestamp, now, text(string(e.Properties.AppendJSON(nil)))))
		}
		must("SET TimeZone='UTC'")
		must("INSERT INTO events VALUES " + strings.Join(rows, ", "))
		for range conditions {
			text := randomCondition(r, 2)
			c, err := condition.Parse(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			question, err := c.SQL(now)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			got := list(t, db, question)
			config := profile.Compile(func(yield func(condition.Expr) bool) { yield(c) })
			var recomputed, live []string
			for _, who := range slices.Sorted(maps.Keys(people)) {
				if c.Holds(profile.Recompute(people[who], config, &profile.Zones{}, now)) {
					recomputed = append(recomputed, who)
				}
				if c.Holds(liveEnv{profile.Recompute(nil, config, &profile.Zones{}, now), answers(people[who], config), config}) {
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
	*profile.Recomputed
	answers *profile.Aggregates
	config  *profile.Config
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
		`performed("A").count() > 1 && traits.country == "NO"`, `segments.has("vip")`, `scores.clv > 3`, `consent.allows("x")`, `computed.x > 1`, `now.hour > 3`,
		`performed("A").then("B").happened()`, `items.any(i, i.level < 1)`,
	} {
		c, err := condition.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.SQL(now); rapport.KindOf(err) != rapport.Invalid {
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
