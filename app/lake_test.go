package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-engine/rapport/measure/lake"
	"github.com/rapport-engine/rapport/test/port"
)

// lakeRows reads what the manifest says stands in a table: what else lies in the
// folder was not finished, or is not needed any more.
func lakeRows[T any](t *testing.T, dir, table string) []T {
	t.Helper()
	for {
		text, err := os.ReadFile(filepath.Join(dir, "lake", "manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		var m struct{ Files []lake.File }
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		rows, err := []T(nil), error(nil)
		for _, f := range m.Files {
			if f.Table != table || err != nil {
				continue
			}
			var part []T
			part, err = parquet.ReadFile[T](filepath.Join(dir, "lake", table, "day="+f.Day, f.Name))
			rows = append(rows, part...)
		}
		if err == nil {
			return rows
		}
		if !errors.Is(err, fs.ErrNotExist) { // else it was compacted meanwhile
			t.Fatal(err)
		}
	}
}

// written waits until everything is in the lake.
func written(t *testing.T, url string) {
	t.Helper()
	await(t, "the lake has caught up", func() bool {
		req, _ := http.NewRequest("GET", url+"/metrics", nil)
		req.Header.Set("Authorization", "Bearer "+adminToken)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return strings.Contains(string(text), "\nrapport_lake_lag_records 0\n")
	})
}

func TestTheLakeHoldsWhatWasAcknowledgedOnceWhereverTheServerIsKilled(t *testing.T) {
	t.Parallel()
	kills := 12
	if testing.Short() {
		kills = 3
	}
	p := &program{t: t, dir: t.TempDir(), addr: port.Reserve(t), flags: []string{"--lake-every", "5ms"}}
	p.start()
	rng := rand.New(rand.NewPCG(3, 4))
	acknowledged, sent := map[string]bool{}, map[string]bool{}
	var again []byte
	n := 0
	for range kills {
		killed := make(chan struct{})
		after := time.Duration(rng.IntN(300)) * time.Millisecond
		kill := sync.OnceFunc(func() {
			time.AfterFunc(after, func() { // the random point
				_ = p.cmd.Process.Kill()
				close(killed)
			})
		})
		for {
			batch := make([]map[string]any, 0, 20)
			for range 20 {
				n++
				id := fmt.Sprint("lake-", n)
				sent[id] = true
				batch = append(batch, event("track", id, map[string]any{"event": "Thing Done", "anonymousId": fmt.Sprintf("a%d", n%30), "timestamp": noon.Add(-time.Duration(n%3) * 24 * time.Hour).Format(time.RFC3339)}))
			}
			body, _ := json.Marshal(map[string]any{"batch": batch})
			if !post(p.addr, body) {
				again = body
				break
			}
			kill() // once something was acknowledged, however slow the machine is
			for _, e := range batch {
				acknowledged[e["messageId"].(string)] = true
			}
			if rng.IntN(3) == 0 {
				post(p.addr, body) // a client that did not hear the answer
			}
		}
		kill()
		<-killed
		_ = p.cmd.Wait()
		p.start()
		post(p.addr, again)
	}
	written(t, "http://"+p.addr)
	p.kill()
	seen := map[string]int{}
	for _, r := range lakeRows[lake.EventRow](t, p.dir, lake.Events) {
		if r.Type != "system" {
			seen[r.MessageID]++
		}
	}
	for id, times := range seen {
		if times != 1 || !sent[id] {
			t.Errorf("%s stands %d times in the lake", id, times)
		}
	}
	for id := range acknowledged {
		if seen[id] == 0 {
			t.Errorf("%s was acknowledged and is not in the lake", id)
		}
	}
	if len(acknowledged) < 100 {
		t.Errorf("only %d events were acknowledged", len(acknowledged))
	}
}

func TestAnErasedPersonLeavesTheLake(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	h.someone("bob", "bob@example.com", "+4798765432")
	written(t, h.url)
	holds := func(text string) (n int) {
		for _, r := range lakeRows[lake.EventRow](t, h.dir, lake.Events) {
			if strings.Contains(strings.ToLower(fmt.Sprint(r.Identifiers, r.UserID, r.AnonymousID, string(r.Properties), string(r.Traits), string(r.Context))), strings.ToLower(text)) {
				n++
			}
		}
		for _, r := range lakeRows[lake.DecisionRow](t, h.dir, lake.Decisions) {
			if strings.Contains(string(r.Features)+string(r.Context), text) {
				n++
			}
		}
		return n
	}
	if holds(annaMail) == 0 || holds(annaPhone) == 0 || holds("bob@example.com") == 0 {
		t.Fatal("the lake does not hold what was sent")
	}
	id := h.erase("email:" + annaMail)
	h.clock.move(31 * day)
	h.finished(id)
	if n := holds(annaMail) + holds(annaPhone) + holds("dev-anna"); n > 0 {
		t.Errorf("%d rows are of somebody erased", n)
	}
	if holds("bob@example.com") == 0 {
		t.Error("bob left the lake, too")
	}
	h.stop()
	if files := append(holding(t, filepath.Join(h.dir, "lake"), annaMail), holding(t, filepath.Join(h.dir, "lake"), annaPhone)...); len(files) > 0 {
		t.Errorf("files that hold her: %v", files)
	}
}

// answer is a table of POST /v1/sql.
type answer struct {
	Columns []struct{ Name, Type string } `json:"columns"`
	Rows    [][]any                       `json:"rows"`
	Detail  string                        `json:"detail"`
	Hint    string                        `json:"hint"`

	Truncated bool     `json:"truncated"`
	Lag       int64    `json:"lag"`
	Notes     []string `json:"notes"`
}

func (h *house) sql(text string) (a answer, code int) {
	h.t.Helper()
	b, _ := json.Marshal(map[string]any{"sql": text, "timeoutSeconds": 20})
	code = h.call("POST", "/v1/sql", string(b), &a)
	return a, code
}

func TestSQLAnswersWithEveryEventAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	h.someone("bob", "bob@example.com", "+4798765432")
	ask := func(text string) string {
		t.Helper()
		a, code := h.sql(text)
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", text, code, a.Detail)
		}
		return fmt.Sprint(a.Rows)
	}
	if got := ask("SELECT event, count(*) FROM events WHERE type <> 'system' GROUP BY 1 ORDER BY 1"); got != "[[Newsletter Read 2] [Order Completed 2] [identify 2] [page 2]]" {
		t.Error(got)
	}
	// What a device did before it was known whose it is belongs to the person now.
	if got := ask("SELECT count(DISTINCT person), count(DISTINCT entity) > 2 FROM events WHERE type <> 'system'"); got != "[[2 true]]" {
		t.Error(got)
	}
	if got := ask("SELECT sum((properties->>'revenue')::DOUBLE) AS revenue, min(day) FROM events WHERE event = 'Order Completed'"); got != "[[24 2026-03-01]]" {
		t.Error(got)
	}
	if got := ask("SELECT placement, count(*) FROM decisions GROUP BY 1"); got != "[[hero 2]]" {
		t.Error(got)
	}
	if got := ask("SELECT trait, value FROM traits t JOIN events e USING (person) WHERE e.user_id = 'bob' AND trait = 'email' GROUP BY 1, 2"); got != "[[email bob@example.com]]" {
		t.Error(got)
	}
	for _, view := range []string{"consents", "segments", "items"} {
		ask("SELECT * FROM " + view)
	}
	if got := ask("SELECT count(*) FROM outcomes WHERE day > '2020-01-01'"); got != "[[2]]" { // both were shown something
		t.Error(got)
	}
	id := h.erase("email:" + annaMail)
	if got := ask("SELECT count(*) FROM events WHERE user_id = 'anna' OR anonymous_id LIKE '%anna'"); got != "[[0]]" {
		t.Error("after the erasure:", got)
	}
	h.clock.move(31 * day)
	h.finished(id)
}

func TestSQLReadsTheLakeAndNothingElse(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("bob", "bob@example.com", "+4798765432")
	h.sql("SELECT 1")
	for _, text := range []string{
		"COPY (SELECT 1) TO 'out.csv'", "COPY events TO '" + filepath.Join(h.dir, "lake", "x.parquet") + "'", "CREATE TABLE t (x INT)", "INSERT INTO events VALUES (1)", "DROP VIEW events",
		"SELECT * FROM read_text('" + filepath.Join(h.dir, "deployment.key") + "')", "SELECT * FROM '/etc/passwd'", "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM glob('/*')",
		"ATTACH 'x.db'", "INSTALL httpfs", "LOAD httpfs", "SET enable_external_access=true", "PRAGMA enable_external_access", "SELECT 1; SELECT 2", "CREATE TABLE t (x INT); SELECT * FROM t", "SELECT 1; COPY (SELECT 1) TO 'x'",
		"EXPLAIN ANALYZE COPY (SELECT 1) TO 'x'", "CALL pragma_version()", "SELECT * FROM events WHERE person = ?", "SELEC 1", "SELECT nothing FROM events", "", "SELECT getenv('HOME')",
		"SELECT * FROM read_parquet('" + filepath.Join(h.dir, "..") + "/**')", "EXPORT DATABASE 'x'", "CHECKPOINT",
	} {
		if a, code := h.sql(text); code != http.StatusBadRequest && code != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %v", text, code, a.Rows)
		} else if text != "" && a.Detail == "" {
			t.Errorf("%s: no reason is given", text)
		}
	}
	if a, code := h.sql("SELECT event, propertys FROM events"); !strings.Contains(a.Detail, `"propertys" not found`) || !strings.Contains(a.Detail, `"properties"`) || !strings.Contains(a.Detail, "^") || !strings.Contains(a.Hint, "DESCRIBE") || code != http.StatusBadRequest {
		t.Errorf("an unknown column: %d %s (%s)", code, a.Detail, a.Hint)
	}
	if a, code := h.sql("SELECT * FROM event"); !strings.Contains(a.Detail, "event") || !strings.Contains(a.Hint, "consents") || code != http.StatusBadRequest {
		t.Errorf("an unknown view: %d %s (%s)", code, a.Detail, a.Hint)
	}
	if a, code := h.sql("SELECT column_name FROM (DESCRIBE events)"); code != http.StatusOK || len(a.Rows) < 20 {
		t.Errorf("%d %s", code, a.Detail)
	}
	// What takes too much is cut off, and the server does not notice.
	var a answer
	if code := h.call("POST", "/v1/sql", `{"sql":"SELECT sum(a.range * b.range % 7) FROM range(100000) a, range(100000) b","timeoutSeconds":1}`, &a); code != http.StatusBadRequest || !strings.Contains(a.Detail, "longer than 1s") {
		t.Errorf("%d %s", code, a.Detail)
	}
	if a, code := h.sql("SELECT list(x) FROM range(200000000) t(x)"); code != http.StatusBadRequest || !strings.Contains(a.Detail, "memory") {
		t.Errorf("%d %s", code, a.Detail)
	}
	if code := h.call("POST", "/v1/sql", `{"sql":"FROM range(100000)","maxRows":7}`, &a); code != http.StatusOK || len(a.Rows) != 7 || !a.Truncated {
		t.Errorf("%d: %d rows", code, len(a.Rows))
	}
	if code := h.call("GET", "/health/live", "", nil); code != http.StatusOK {
		t.Error(code)
	}
}

func TestAnAnswerSaysWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	ask := func(body string) answer {
		t.Helper()
		var a answer
		if code := h.call("POST", "/v1/sql", body, &a); code != http.StatusOK {
			t.Errorf("%s: %d %s", body, code, a.Detail)
		}
		return a
	}
	if a := ask(`{"sql":"SELECT count(*) FROM events JOIN consents USING (person)"}`); fmt.Sprint(a.Rows) != "[[0]]" || !strings.Contains(fmt.Sprint(a.Notes), "empty") {
		t.Errorf("of an empty lake: %v %v", a.Rows, a.Notes)
	}
	h.someone("bob", "bob@example.com", "+4798765432")
	if a := ask(`{"sql":"SELECT count(*) FROM events","until":"2020-01-01"}`); fmt.Sprint(a.Rows) != "[[0]]" || !strings.Contains(fmt.Sprint(a.Notes), "2020-01-01") {
		t.Errorf("of days without files: %v %v", a.Rows, a.Notes)
	}
	if a := ask(`{"sql":"SELECT count(*) > 3 FROM events","since":"2026-03-01"}`); fmt.Sprint(a.Rows) != "[[true]]" || len(a.Notes) > 0 {
		t.Errorf("%v %v", a.Rows, a.Notes)
	}
	var a answer
	if code := h.call("POST", "/v1/sql", `{"sql":"SELECT 1","since":"yesterday"}`, &a); code != http.StatusUnprocessableEntity && code != http.StatusBadRequest {
		t.Errorf("a day that is none: %d", code)
	}
}

func TestTheSQLCommandPrintsTables(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("bob", "bob@example.com", "+4798765432")
	env := map[string]string{"RAPPORT_TOKEN": houseToken}
	for format, want := range map[string]string{"csv": "event,n\nidentify,1\npage,1\n", "json": `{"event":"identify","n":1}` + "\n" + `{"event":"page","n":1}` + "\n", "table": "event     n\nidentify  1\npage      1\n"} {
		code, out, errs := run(t, env, "sql", "SELECT event, count(*) AS n FROM events WHERE event IN ('page', 'identify') GROUP BY 1 ORDER BY 1", "--server", h.url, "--format", format)
		if code != 0 || out != want {
			t.Errorf("%s: %d %q %s", format, code, out, errs)
		}
	}
	if code, _, errs := run(t, env, "sql", "DROP VIEW events", "--server", h.url); code != 1 || !strings.Contains(errs, "read-only") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestAConditionAskedOfHistoryIsTheLiveOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	h.someone("bob", "bob@example.com", "+4798765432")
	h.send(`{"type":"track","event":"Order Completed","userId":"bob","messageId":"more","properties":{"revenue":70},"timestamp":"` + noon.Add(-2*time.Hour).Format(time.RFC3339) + `"}`)
	var bob struct{ ID string }
	h.call("GET", "/v1/people/userId:bob", "", &bob)
	when := `performed("Order Completed").within("30d").count() >= 2 && performed("page").count() == 1 && performed("Order Completed").sum("revenue") == 82`
	for at, want := range map[string]string{"": "[[" + bob.ID + "]]", noon.Add(-24 * time.Hour).Format(time.RFC3339): "[]"} {
		ask := map[string]any{"when": when}
		if at != "" {
			ask["at"] = at
		}
		b, _ := json.Marshal(ask)
		var a answer
		if code := h.call("POST", "/v1/sql", string(b), &a); code != http.StatusOK || fmt.Sprint(a.Rows) != want {
			t.Errorf("at %q: %d %v %s", at, code, a.Rows, a.Detail)
		}
	}
	h.apply("kind: segment\nid: spenders\nwhen: computed.spent > 80 && traits.email == \"bob@example.com\"\n---\nkind: computed\nid: spent\nevent: Order Completed\nop: sum\nproperty: revenue\n")
	for when, want := range map[string]string{
		`segments.has("spenders")`: "[[" + bob.ID + "]]", `segments.has("spenders") && computed.spent > 82`: "[]", `performed("Order Completed").then("page").happened() && segments.degree("spenders") == 1`: "[[" + bob.ID + "]]",
	} {
		b, _ := json.Marshal(map[string]any{"when": when})
		await(t, when+" is "+want, func() bool { // the trait is made from history first
			var a answer
			code := h.call("POST", "/v1/sql", string(b), &a)
			return code == http.StatusOK && fmt.Sprint(a.Rows) == want
		})
	}
	var a answer
	if code := h.call("POST", "/v1/sql", `{"when":"scores.clv > 3"}`, &a); code != http.StatusBadRequest || !strings.Contains(a.Detail, "scores.clv") {
		t.Errorf("%d %s", code, a.Detail)
	}
	env := map[string]string{"RAPPORT_TOKEN": houseToken}
	if code, out, errs := run(t, env, "sql", "--server", h.url, "--format", "csv", "--when", when); code != 0 || out != "person\n"+bob.ID+"\n" {
		t.Errorf("%d %q %s", code, out, errs)
	}
}

// TestTheSQLOfTheManualWorks asks every query of docs/lake.md.
func TestTheSQLOfTheManualWorks(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../docs/lake.md")
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	asked := 0
	for part := range strings.SplitSeq(string(manual), "```sql\n") {
		text, _, found := strings.Cut(part, "```")
		if !found || !strings.Contains(text, "SELECT") || strings.Contains(text, "'lake/") {
			continue
		}
		asked++
		if a, code := h.sql(text[:strings.Index(text, ";")]); code != http.StatusOK || len(a.Rows) == 0 {
			t.Errorf("%s\n%d %s %v", text, code, a.Detail, a.Rows)
		}
	}
	if asked < 4 {
		t.Errorf("only %d queries were found", asked)
	}
}
