package app_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// receiver is a server that takes imports and counts each message once.
type receiver struct {
	mu     sync.Mutex
	events []map[string]any
	known  map[string]bool
	fail   int // requests still to refuse
	calls  int
}

func receive(t *testing.T) (*receiver, string) {
	r := &receiver{known: map[string]bool{}}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return r, s.URL
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, _, _ := q.BasicAuth()
	var body struct {
		Batch []map[string]any `json:"batch"`
	}
	text, _ := io.ReadAll(q.Body)
	r.calls++
	switch {
	case q.URL.Path != "/v1/import" || key != "wk_till_1234":
		w.WriteHeader(http.StatusUnauthorized)
		return
	case r.fail > 0 && r.calls > 1:
		r.fail--
		w.WriteHeader(http.StatusBadRequest)
		return
	case json.Unmarshal(text, &body) != nil:
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, e := range body.Batch {
		id := fmt.Sprint(e["messageId"])
		if !r.known[id] {
			r.known[id] = true
			delete(e, "messageId")
			r.events = append(r.events, e)
		}
	}
	fmt.Fprint(w, `{"success":true}`)
}

const tillMapping = `
event: Order Completed
userId: {column: customer, case: lower}
email: Mail
timestamp: {column: bought, layouts: ["02.01.2006 15:04", date], zone: Europe/Oslo}
properties:
  order_id: order
  revenue: {column: total, type: number, decimal: ","}
  gift: {column: gift, type: boolean}
  currency: {value: NOK}
  channel: {column: how, map: {W: web, T: till}, default: other}
  lines: {column: lines, type: list, split: "|"}
where: properties.revenue > 0
`

const tillRows = "\xef\xbb\xbfcustomer;Mail;bought;order;total;gift;how;lines\r\n" +
	`ANNA;anna@example.com;24.12.2025 10:30;o-1;"1 299,50";yes;W;a|b` + "\r\n" +
	`bob;;2026-01-02;o-2;80;0;X;"one ""quoted""; and
a new line"` + "\n" +
	`carl;;2026-01-03;o-3;0;no;T;` + "\n" +
	`dora;;someday;o-4;10;no;T;` + "\n" +
	`;;2026-01-03;o-5;10;no;T;` + "\n" +
	`too;few` + "\n\n" +
	`eve;;2026-01-04;o-6;ten;no;T;` + "\n" +
	`fred;fred@example.com;2026-01-05;o-7;5,5;;T;x`

func TestRowsOfACSVFileBecomeEventsOnce(t *testing.T) {
	t.Parallel()
	r, url := receive(t)
	dir := t.TempDir()
	mapping := write(t, dir, "till.yaml", "delimiter: \";\"\n"+tillMapping)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	fmt.Fprint(w, tillRows)
	_ = w.Close()
	file := write(t, dir, "orders.csv.gz", z.String())
	env := map[string]string{"RAPPORT_KEY": "wk_till_1234"}
	for range 2 { // the second run adds nothing
		code, out, errs := run(t, env, "import", file, "--mapping", mapping, "--server", url)
		if code != 0 || !strings.Contains(out, "3 events sent, 1 left out by the filter, 4 rejected") {
			t.Fatalf("%d %s%s", code, out, errs)
		}
	}
	want := []map[string]any{
		{
			"type": "track", "event": "Order Completed", "userId": "anna", "timestamp": "2025-12-24T09:30:00.000Z",
			"context":    map[string]any{"traits": map[string]any{"email": "anna@example.com"}},
			"properties": map[string]any{"order_id": "o-1", "revenue": 1299.5, "gift": true, "currency": "NOK", "channel": "web", "lines": []any{"a", "b"}},
		},
		{
			"type": "track", "event": "Order Completed", "userId": "bob", "timestamp": "2026-01-01T23:00:00.000Z",
			"properties": map[string]any{"order_id": "o-2", "revenue": 80.0, "gift": false, "currency": "NOK", "channel": "X", "lines": []any{"one \"quoted\"; and\na new line"}},
		},
		{
			"type": "track", "event": "Order Completed", "userId": "fred", "timestamp": "2026-01-04T23:00:00.000Z",
			"context":    map[string]any{"traits": map[string]any{"email": "fred@example.com"}},
			"properties": map[string]any{"order_id": "o-7", "revenue": 5.5, "currency": "NOK", "channel": "till", "lines": []any{"x"}},
		},
	}
	if diff := cmp.Diff(want, r.events); diff != "" {
		t.Error(diff)
	}
	rejected, err := os.ReadFile(file + ".rejected.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(rejected)) {
		var x struct {
			Line        int
			Reason, Row string
		}
		if err := json.Unmarshal([]byte(line), &x); err != nil || x.Row == "" {
			t.Fatal(line, err)
		}
		got = append(got, fmt.Sprintf("%d %s", x.Line, x.Reason))
	}
	reasons := []string{
		`6 timestamp: column "bought": "someday" is no time of the form 02.01.2006 15:04 or date`,
		`7 nobody it could belong to: userId, anonymousId, email and phone are empty`,
		`8 2 fields, the header has 8`,
		`10 properties.revenue: column "total": "ten" is not a number`,
	}
	if diff := cmp.Diff(reasons, got); diff != "" {
		t.Error(diff)
	}
}

func TestJSONLinesBecomeEventsOfManyKinds(t *testing.T) {
	t.Parallel()
	r, url := receive(t)
	dir := t.TempDir()
	mapping := write(t, dir, "m.yaml", `
type: {column: kind}
event: {column: what}
userId: customer.id
timestamp: {column: at, layouts: [unix-ms]}
id: nr
properties: {total: total, basket: {column: basket, type: json}}
traits: {city: customer.city}
`)
	file := write(t, dir, "events.jsonl", `{"nr":1,"kind":"track","what":"Bought","customer":{"id":17},"at":1767225600000,"total":5,"basket":[{"sku":"x"}]}
{"nr":2,"kind":"identify","customer":{"id":17,"city":"Oslo"},"at":1767225600000}
not json
{"nr":3,"kind":"page","what":"Home","customer":{"id":"eighteen"},"at":1767225600001}
{"nr":1,"kind":"track","what":"Bought again","customer":{"id":17},"at":1767225600000}
`)
	code, out, errs := run(t, map[string]string{"TILL": "wk_till_1234"}, "import", file, "--mapping", mapping, "--server", url, "--source-key-env", "TILL")
	if code != 0 || !strings.Contains(out, "4 events sent") || !strings.Contains(out, "1 rejected") {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	want := []map[string]any{
		{"type": "track", "event": "Bought", "userId": 17.0, "timestamp": "2026-01-01T00:00:00.000Z", "properties": map[string]any{"total": 5.0, "basket": []any{map[string]any{"sku": "x"}}}},
		{"type": "identify", "userId": 17.0, "timestamp": "2026-01-01T00:00:00.000Z", "traits": map[string]any{"city": "Oslo"}},
		{"type": "page", "name": "Home", "userId": "eighteen", "timestamp": "2026-01-01T00:00:00.001Z"},
	}
	if diff := cmp.Diff(want, r.events); diff != "" {
		t.Error(diff)
	}
}

func TestAnImportThatStoppedGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	r, url := receive(t)
	r.fail = 1
	dir := t.TempDir()
	mapping := write(t, dir, "m.yaml", "event: X\nuserId: u\ntimestamp: t\n")
	var rows strings.Builder
	rows.WriteString("u,t\n")
	for i := range 1200 {
		fmt.Fprintf(&rows, "u%d,2026-01-01\n", i)
	}
	file := write(t, dir, "rows.csv", rows.String())
	env := map[string]string{"RAPPORT_KEY": "wk_till_1234"}
	code, _, errs := run(t, env, "import", file, "--mapping", mapping, "--server", url)
	if code != 1 || !strings.Contains(errs, "go on with --from-line 502") {
		t.Fatalf("%d %s", code, errs)
	}
	if code, out, errs := run(t, env, "import", file, "--mapping", mapping, "--server", url, "--from-line", "502"); code != 0 || !strings.Contains(out, "700 events sent") {
		t.Fatal(code, out, errs)
	}
	if len(r.events) != 1200 {
		t.Errorf("%d events", len(r.events))
	}
}

func TestAFileIsFetchedFromAnAddress(t *testing.T) {
	t.Parallel()
	r, url := receive(t)
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "u,t\nanna,2026-01-01\n") }))
	defer files.Close()
	dir := t.TempDir()
	mapping := write(t, dir, "m.yaml", "event: X\nuserId: u\ntimestamp: t\n")
	env := map[string]string{"RAPPORT_KEY": "wk_till_1234"}
	if code, out, errs := run(t, env, "import", files.URL+"/export/rows.csv", "--mapping", mapping, "--server", url); code != 0 || len(r.events) != 1 {
		t.Fatal(code, out, errs)
	}
	if code, _, errs := run(t, env, "import", "http://example.com/rows.csv", "--mapping", mapping, "--server", url); code != 1 || !strings.Contains(errs, "is not an https address") {
		t.Error(code, errs)
	}
	if code, _, errs := run(t, env, "import", files.URL+"/rows.csv", "--mapping", mapping, "--server", url, "--max-bytes", "10"); code != 1 || !strings.Contains(errs, "larger than --max-bytes") {
		t.Error(code, errs)
	}
}

func TestAMappingThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "rows.csv", "u,t\nanna,2026-01-01\n")
	for text, want := range map[string]string{
		"userId: u\ntimestamp: t\n":                                                   "event: a track event needs a name",
		"event: X\ntimestamp: t\n":                                                    "an event must be somebody's",
		"event: X\nuserId: u\n":                                                       "history needs its time",
		"event: X\nuserId: u\ntimestamp: {column: t, zone: Nowhere}\n":                "no time zone",
		"event: X\nuserId: u\ntimestamp: t\nproperties: {a: {type: number}}\n":        "properties.a: give either column or value",
		"event: X\nuserId: u\ntimestamp: t\nproperties: {a: {column: u, type: no}}":   "is none of text, number",
		"event: X\nuserId: u\ntimestamp: t\nwhere: traits.a == 1\n":                   "only properties are known here",
		"event: X\nuserId: u\ntimestamp: t\nwhere: properties.a ==\n":                 "where:",
		"event: X\nuserId: u\ntimestamp: t\ncolums: 7\n":                              "colums",
		"event: X\nuserId: missing\ntimestamp: t\n":                                   "its columns are u, t",
		"type: sing\nevent: X\nuserId: u\ntimestamp: t\n":                             `names the column "sing"`,
		"type: {value: sing}\nevent: X\nuserId: u\ntimestamp: t\nformat: csv\n":       "type: sing is none of",
		"event: X\nuserId: u\ntimestamp: t\ndelimiter: '||'\n":                        "is not one character",
		"event: X\nuserId: {column: u, colour: red}\ntimestamp: t\n":                  "colour",
		"event: X\nuserId: u\ntimestamp: t\nformat: xml\n":                            "is not csv or jsonl",
		"event: X\nuserId: u\ntimestamp: t\nproperties: {a: {column: u, decimal: x}}": "is not a comma or a dot",
	} {
		mapping := write(t, dir, "m.yaml", text)
		code, _, errs := run(t, nil, "import", file, "--mapping", mapping, "--check")
		if code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%q: %d %s", text, code, errs)
		}
	}
}

func TestCheckingAnImportSendsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "rows.csv", "u,t\nanna,2026-01-01\n"+strings.Repeat("x", 2<<20)+"\n\"open\nbob,2026-01-01\n")
	mapping := write(t, dir, "m.yaml", "event: X\nuserId: u\ntimestamp: t\n")
	code, out, errs := run(t, nil, "import", file, "--mapping", mapping, "--check")
	if code != 0 || !strings.Contains(out, `"userId":"anna"`) || !strings.Contains(out, "1 event would be sent, 0 left out by the filter, 2 rejected") {
		t.Error(code, out, errs)
	}
	for _, want := range []string{"line 3: it is longer than", "line 4: a quotation mark is not closed"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not in %s", want, errs)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "*.rejected.jsonl")); len(found) > 0 {
		t.Error(found)
	}
}

func TestAnImportAsksForWhatItNeeds(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "rows.csv", "u,t\n")
	mapping := write(t, t.TempDir(), "m.yaml", "event: X\nuserId: u\ntimestamp: t\n")
	for _, args := range [][]string{
		{"import", file},
		{"import", file, "--mapping", mapping},
		{"import"},
		{"import", file, "--mapping", mapping, "--server", "http://example.com"},
		{"import", file, "--mapping", mapping, "--server", "ftp://x"},
	} {
		env := map[string]string{}
		if len(args) > 4 {
			env["RAPPORT_KEY"] = "k"
		}
		if code, _, errs := run(t, env, args...); code != 2 {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}
