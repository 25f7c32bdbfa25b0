package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/app"
	"github.com/rapport-engine/rapport/docs"
)

// lakeColumn is one column as another program sees it.
type lakeColumn struct {
	Name, Type string
	Null       bool
}

// documentedColumns reads the table of columns that docs/lake.md has for a table of the lake.
func documentedColumns(t *testing.T, table string) (list []lakeColumn) {
	t.Helper()
	text, err := docs.Files.ReadFile("lake.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## "+table+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	arrow := map[string]string{
		"text": "string", "int32": "int32", "int64": "int64", "double": "double", "boolean": "bool",
		"timestamp": "timestamp[ms, tz=UTC]", "list of text": "list<element: string not null>", "JSON": "extension<arrow.json>",
	}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) != 3 {
			continue
		}
		types := strings.Split(cells[1], ", ")
		for i, name := range strings.Split(strings.TrimPrefix(cells[0], "| "), ", ") {
			kind, null := strings.CutSuffix(types[min(i, len(types)-1)], " or null")
			if arrow[kind] == "" {
				t.Fatalf("docs/lake.md gives %s of %s the type %q", name, table, kind)
			}
			list = append(list, lakeColumn{strings.Trim(name, "`"), arrow[kind], null})
		}
	}
	return list
}

// Everything docs/lake.md says of the columns is what pyarrow reads, and what
// stands in them is what happened.
func TestAPythonProgramReadsEveryColumnAsDocumented(t *testing.T) {
	t.Parallel()
	python, err := filepath.Abs("../test/python/venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Skip("there is no Python with pyarrow: run make deps-test")
	}
	dir := t.TempDir()
	s := open(t, dir, func(o *app.Options) { o.LakeEvery = 5 * time.Millisecond })
	at := time.Now().UTC().Add(-time.Hour).Truncate(time.Millisecond)
	s.send(
		event("track", "known-1", map[string]any{
			"event": "Product Viewed", "userId": "ada", "anonymousId": "a-1", "timestamp": at.Format(time.RFC3339Nano),
			"properties": map[string]any{"sku": "beans", "price": 12.5}, "context": map[string]any{"page": map[string]any{"path": "/beans"}},
		}),
		event("identify", "known-2", map[string]any{"userId": "ada", "traits": map[string]any{"email": "ada@example.com"}}),
		event("page", "known-3", map[string]any{"anonymousId": "old", "name": "Home"}),
		map[string]any{"type": "alias", "messageId": "known-4", "userId": "ada", "previousId": "old"},
	)
	given := map[string]string{} // decision -> user; nothing is drawn for some
	for i := range 20 {
		user := fmt.Sprint("u", i)
		s.send(event("identify", "who-"+user, map[string]any{"userId": user, "traits": map[string]any{"country": "NO"}}))
		d := s.must("POST", "/v1/decide", map[string]any{"person": map[string]any{"userId": user}, "placement": "home_hero", "context": map[string]any{"page": "home"}})
		if len(d["items"].([]any)) == 0 {
			continue
		}
		id := d["decisionId"].(string)
		given[id] = user
		s.send(event("track", "shown-"+user, map[string]any{"event": "Decision Shown", "userId": user, "properties": map[string]any{"decisionId": id, "slot": 0}}))
		s.send(event("track", "clicked-"+user, map[string]any{"event": "Decision Clicked", "userId": user, "properties": map[string]any{"decisionId": id, "slot": 0}}))
		s.send(event("track", "order-"+user, map[string]any{"event": "Order Completed", "userId": user, "properties": map[string]any{"revenue": 20}}))
	}
	if len(given) == 0 {
		t.Fatal("nobody of twenty was given anything")
	}
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) { // outcomes are worked out after the event
		a := s.must("POST", "/v1/sql", map[string]any{"sql": "SELECT count(DISTINCT decision_id) FROM outcomes WHERE goal = 'Order Completed'"})
		if rows, _ := a["rows"].([]any); len(rows) == 1 && fmt.Sprint(rows[0].([]any)[0]) == fmt.Sprint(len(given)) {
			break
		}
		if time.Since(begun) > 2*time.Minute {
			t.Fatalf("the outcomes never reach the lake: %v", a)
		}
	}
	written(t, s.url)
	s.end()

	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python, "../test/python/describe_lake.py", filepath.Join(dir, "lake"))
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var got map[string]struct {
		Columns []lakeColumn
		Rows    []map[string]any
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"events", "decisions", "outcomes", "people"} {
		want, have := documentedColumns(t, table), slices.Clone(got[table].Columns)
		if table == "people" && len(have) == 0 {
			continue // the file is written now and then
		}
		byName := func(a, b lakeColumn) int { return strings.Compare(a.Name, b.Name) }
		slices.SortFunc(want, byName)
		slices.SortFunc(have, byName)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s (-documented +read):\n%s", table, diff)
		}
		t.Logf("%s: %d columns, %d rows", table, len(have), len(got[table].Rows))
	}
	find := func(table string, is func(r map[string]any) bool) map[string]any {
		t.Helper()
		i := slices.IndexFunc(got[table].Rows, is)
		if i < 0 {
			t.Fatalf("%s lack a row", table)
		}
		return got[table].Rows[i]
	}
	check := func(row map[string]any, want map[string]any) {
		t.Helper()
		for name, v := range want {
			if fmt.Sprint(row[name]) != fmt.Sprint(v) {
				t.Errorf("%s is %v, want %v", name, row[name], v)
			}
		}
	}
	of := func(id string) func(map[string]any) bool {
		return func(r map[string]any) bool { return r["message_id"] == id }
	}
	pythonTime := func(at time.Time) string { return at.Format("2006-01-02T15:04:05.000000+00:00") }
	first := find("events", of("known-1"))
	if at.UnixMilli()%1000 == 0 {
		first["time"] = strings.Replace(fmt.Sprint(first["time"]), "+00:00", ".000000+00:00", 1) // as Python writes a whole second
	}
	check(first, map[string]any{
		"type": "track", "event": "Product Viewed", "source": "web", "user_id": "ada", "anonymous_id": "a-1", "kind": "person",
		"identifiers": "[userId:ada anonymousId:a-1]",
		"properties":  `{"price":12.5,"sku":"beans"}`, "context": `{"page":{"path":"/beans"}}`, "time": pythonTime(at),
	})
	check(find("events", of("known-2")), map[string]any{"type": "identify", "event": "identify", "traits": `{"email":"ada@example.com"}`, "name": nil, "context": nil, "group_id": nil, "previous_id": nil, "item": nil})
	check(find("events", of("known-3")), map[string]any{"type": "page", "event": "page", "name": "Home", "anonymous_id": "old", "history": false})
	check(find("events", of("known-4")), map[string]any{"type": "alias", "previous_id": "old", "user_id": "ada"})
	for id, user := range given {
		row := find("decisions", func(r map[string]any) bool {
			return r["decision_id"] == id && r["withheld"] == false && r["action"] != nil
		})
		entity := find("events", of("order-"+user))["entity"]
		check(row, map[string]any{"entity": entity, "placement": "home_hero", "cause": "request", "holdout": false, "slot": 0, "action": "espresso-offer"})
		if p := row["propensity"].(float64); !(p > 0 && p <= 1) {
			t.Errorf("propensity %v", p)
		}
		exposure := find("outcomes", func(r map[string]any) bool { return r["decision_id"] == id && r["goal"] == nil })
		check(exposure, map[string]any{"action": "espresso-offer", "placement": "home_hero", "slot": 0, "reward": 0, "propensity": row["propensity"]})
		goal := find("outcomes", func(r map[string]any) bool { return r["decision_id"] == id && r["goal"] == "Order Completed" })
		if goal["via_click"] != true || goal["first"] != true || !(goal["after"].(float64) > 0) {
			t.Errorf("%v", goal)
		}
	}
}
