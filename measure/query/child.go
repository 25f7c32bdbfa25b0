package query

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/measure/lake"
)

// tooMuchMemory is what a child says on stderr before it ends itself.
const tooMuchMemory = "rapport sql: too much memory"

// Child answers one question, read from in, to out, and is the whole of the
// process it runs in: it takes away the process's abilities, and ends it when
// in ends or a bound is broken.
func Child(ctx context.Context, in io.Reader, out, errs io.Writer) error {
	lines := bufio.NewReaderSize(in, 1<<20)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the question: %w", err)
	}
	var t task
	if err := json.Unmarshal(line, &t); err != nil {
		return fmt.Errorf("read the question: %w", err)
	}
	if err := confine(&t); err != nil {
		return err
	}
	go func() { // whoever asked is gone, or has the answer
		_, _ = io.Copy(io.Discard, lines)
		os.Exit(0)
	}()
	go watch(&t, errs)
	w := bufio.NewWriterSize(out, 64<<10)
	err = t.answer(ctx, w)
	return errors.Join(err, w.Flush())
}

// watch ends the process when it takes much more memory than DuckDB may.
func watch(t *task, errs io.Writer) {
	for range time.Tick(50 * time.Millisecond) {
		if resident() > int64(t.MemoryMB)*3/2+256 {
			fmt.Fprintln(errs, tooMuchMemory)
			os.Exit(3)
		}
	}
}

// resident returns the memory of the process in MiB, where the system tells.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	var size, pages int64
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize()) >> 20
}

// answer writes the answer; an error is one of ours, not of the question.
func (t *task) answer(ctx context.Context, w io.Writer) error {
	enc := json.NewEncoder(w)
	db, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := Register(conn); err != nil {
		return err
	}
	refuse := func(err error) error {
		message, hint := t.explain(err)
		return enc.Encode(head{Error: message, Hint: hint})
	}
	if err := readsOnly(ctx, conn, t.SQL); err != nil {
		return refuse(err)
	}
	rows, err := conn.QueryContext(ctx, t.SQL)
	if err != nil {
		return refuse(err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return refuse(err)
	}
	h := head{Columns: []Column{}}
	for _, c := range types {
		h.Columns = append(h.Columns, Column{c.Name(), c.DatabaseTypeName()})
	}
	if err := enc.Encode(h); err != nil {
		return err
	}
	cells, into := make([]any, len(types)), make([]any, len(types))
	for i := range cells {
		into[i] = &cells[i]
	}
	e := end{End: true}
	var b []byte
	for n, size := 0, 0; rows.Next(); n++ {
		if n == t.MaxRows {
			e.Truncated = true
			break
		}
		if err := rows.Scan(into...); err != nil {
			e.Error, e.Hint = t.explain(err)
			break
		}
		b = append(b[:0], '[')
		for i, c := range cells {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCell(b, c, h.Columns[i].Type)
		}
		b = append(b, ']', '\n')
		if size += len(b); size > t.MaxBytes {
			e.Truncated = true
			break
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil && e.Error == "" {
		e.Error, e.Hint = t.explain(err)
	}
	return enc.Encode(e)
}

// open starts DuckDB with the views of the lake, then closes every door.
func (t *task) open(ctx context.Context) (*sql.DB, error) {
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, fmt.Errorf("start DuckDB: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	var paths []string
	for _, f := range t.Files {
		paths = append(paths, quote(t.at(f)))
	}
	if t.People != nil {
		paths = append(paths, quote(t.at(*t.People)))
	}
	steps := []string{
		"SET autoinstall_known_extensions=false", "SET autoload_known_extensions=false", "SET allow_community_extensions=false",
		fmt.Sprintf("SET threads=%d", t.Threads), fmt.Sprintf("SET memory_limit='%dMiB'", t.MemoryMB),
		"SET TimeZone='UTC'", "SET enable_progress_bar=false", "SET temp_directory=''",
		"SET allowed_paths=[" + strings.Join(paths, ",") + "]",
		"SET enable_external_access=false",
	}
	steps = append(steps, t.views()...)
	steps = append(steps, "SET lock_configuration=true")
	for _, s := range steps {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare DuckDB: %w", err), db.Close())
		}
	}
	return db, nil
}

func (t *task) at(f lake.File) string { return filepath.Join(t.Dir, filepath.FromSlash(f.Path())) }

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// views returns the statements that make the tables people ask about.
func (t *task) views() (out []string) {
	files := map[string][]string{}
	for _, f := range t.Files {
		files[f.Table] = append(files[f.Table], quote(t.at(f)))
	}
	source := func(table string) string {
		if len(files[table]) == 0 {
			return "(SELECT " + lake.Columns(table) + " WHERE false)"
		}
		return "read_parquet([" + strings.Join(files[table], ",") + "], hive_partitioning=true, hive_types={'day': DATE})"
	}
	people := "(SELECT NULL::VARCHAR AS id, NULL::VARCHAR AS person WHERE false)"
	if t.People != nil && t.People.Rows > 0 {
		people = "read_parquet(" + quote(t.at(*t.People)) + ")"
	}
	gone := make([]string, len(t.Erased))
	for i, id := range t.Erased {
		gone[i] = quote(id)
	}
	not := func(columns ...string) string {
		if len(gone) == 0 {
			return ""
		}
		where := " WHERE true"
		for _, c := range columns {
			where += " AND coalesce(" + c + ", '') NOT IN (" + strings.Join(gone, ",") + ")"
		}
		return where
	}
	out = append(out, "CREATE VIEW people AS SELECT id, person FROM "+people+not("id", "person"))
	person := func(id string) (column, join string) {
		if t.People == nil || t.People.Rows == 0 {
			return id + " AS person", ""
		}
		return "coalesce(p.person, " + id + ") AS person", " LEFT JOIN " + people + " p ON p.id = " + id
	}
	column, join := person("coalesce(e.fragment, e.entity)")
	out = append(out, "CREATE VIEW events AS SELECT e.* REPLACE ("+asJSON("e", "traits", "context")+"), "+column+" FROM "+source(lake.Events)+" e"+join+not("e.entity", "e.fragment"))
	column, join = person("d.entity")
	out = append(out, "CREATE VIEW decisions AS SELECT d.* REPLACE ("+asJSON("d", "features", "context")+"), "+column+" FROM "+source(lake.Decisions)+" d"+join+not("d.entity"))
	out = append(out, "CREATE VIEW outcomes AS SELECT * FROM "+source(lake.Outcomes))
	return append(out, derivedViews...)
}

// asJSON gives columns that hold JSON as text their type.
func asJSON(table string, columns ...string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = "nullif(" + table + "." + c + ", '')::JSON AS " + c
	}
	return strings.Join(list, ", ")
}

// derivedViews are what events say about more than themselves.
var derivedViews = []string{
	`CREATE VIEW traits AS SELECT e.person, t.key AS trait, t.value AS value, e.time, e.source, e.day FROM events e,
		json_each(CASE WHEN e.type = 'identify' THEN e.traits ELSE json_extract(e.context, '$.traits') END) t WHERE e.type <> 'system'`,
	`CREATE VIEW consents AS SELECT e.person, c.key AS purpose, NULL::VARCHAR AS channel, c.value = 'true'::JSON AS allowed, e.time, e.source, e.day FROM events e,
		json_each(json_extract(e.context, '$.consent.categoryPreferences')) c WHERE c.type = 'BOOLEAN'
		UNION ALL SELECT person, properties ->> '$.purpose', nullif(properties ->> '$.channel', ''), json_extract(properties, '$.allowed') = 'true'::JSON, time, source, day
		FROM events WHERE type = 'track' AND event = '` + rapport.EventConsentUpdated + `' AND json_type(properties, '$.purpose') = 'VARCHAR' AND json_type(properties, '$.allowed') = 'BOOLEAN'`,
	`CREATE VIEW segments AS SELECT person, properties ->> '$.segment' AS segment, event = '` + rapport.SystemSegmentEntered + `' AS entered, time, history, day
		FROM events WHERE type = 'system' AND event IN ('` + rapport.SystemSegmentEntered + `', '` + rapport.SystemSegmentLeft + `')`,
	`CREATE VIEW items AS SELECT item, arg_max(person, time) AS person, arg_max(role, version) AS role, max(version) AS version, arg_max(state, version) AS state, max(time) AS time FROM
		(SELECT properties ->> '$.item' AS item, person, coalesce(properties ->> '$.role', '') AS role, TRY_CAST(properties ->> '$.version' AS BIGINT) AS version, properties AS state, time
		FROM events WHERE type = 'system' AND event = 'Item Held') WHERE role <> '' GROUP BY item, person`,
}

// viewNames are for errors.
const viewNames = "events, decisions, outcomes, people, traits, consents, segments and items"

// errReadsOnly is told of anything that is not one SELECT.
var errReadsOnly = errors.New("only one statement that reads is answered: SELECT, WITH or FROM")

// readsOnly refuses what could do anything but read, before anything is done:
// to prepare several statements would carry out all but the last.
func readsOnly(ctx context.Context, conn *sql.Conn, text string) error {
	var parsed string
	if err := conn.QueryRowContext(ctx, "SELECT json_serialize_sql(?::VARCHAR)::VARCHAR", text).Scan(&parsed); err != nil {
		return err
	}
	var tree struct {
		Error      bool              `json:"error"`
		Type       string            `json:"error_type"`
		Message    string            `json:"error_message"`
		Statements []json.RawMessage `json:"statements"`
	}
	if err := json.Unmarshal([]byte(parsed), &tree); err != nil {
		return err
	}
	switch {
	case tree.Error && tree.Type == "parser":
		return errors.New(tree.Message)
	case tree.Error || len(tree.Statements) != 1:
		return errReadsOnly
	}
	return conn.Raw(func(c any) error {
		p, ok := c.(driver.ConnPrepareContext)
		if !ok {
			return errReadsOnly
		}
		s, err := p.PrepareContext(ctx, text)
		if err != nil {
			return err
		}
		defer s.Close()
		d, ok := s.(*duckdb.Stmt)
		if !ok {
			return errReadsOnly
		}
		if kind, err := d.StatementType(); err != nil || kind != duckdb.STATEMENT_TYPE_SELECT {
			return errors.Join(errReadsOnly, err)
		}
		if d.NumInput() != 0 {
			return errors.New("the SQL has parameters; write the values into it")
		}
		return nil
	})
}

// explain turns an error of DuckDB into one for whoever asked.
func (t *task) explain(err error) (message, hint string) {
	message = strings.ReplaceAll(err.Error(), t.Dir, "lake")
	switch {
	case errors.Is(err, errReadsOnly):
		hint = "the lake is read-only"
	case strings.Contains(message, "Out of Memory"):
		return errMemory(t.MemoryMB).Error(), "narrow it down, or group by less"
	case strings.Contains(message, "Permission Error"), strings.Contains(message, "disabled by configuration"):
		hint = "only the views " + viewNames + " can be read"
	case strings.Contains(message, "Catalog Error"):
		hint = "there are the views " + viewNames + "; information_schema.columns lists their columns"
	case strings.Contains(message, "Referenced column"):
		hint = "DESCRIBE events lists the columns of a view; what a client sent stands in properties ->> 'name'"
	}
	return message, hint
}
