package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rapport-engine/rapport/api"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/measure/query"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
)

// sqlRunner answers the API's questions.
type sqlRunner struct {
	*query.Runner
	server *Server
}

// Condition implements [api.SQL].
func (r sqlRunner) Condition(c *condition.Condition, at int64) (string, error) {
	parts, err := r.server.compiled.at(r.server.compiled.defs.number())
	if err != nil {
		return "", err
	}
	var h sqlHistory
	h.questions, _ = parts.Part(profile.Part).(*profile.Config)
	h.segments, _ = parts.Part(segment.Part).(*segment.Config)
	return c.SQL(at, h)
}

// sqlHistory knows the names conditions use, as the deployment defines them now.
type sqlHistory struct {
	questions *profile.Config
	segments  *segment.Config
}

// Segment implements [condition.History].
func (h sqlHistory) Segment(id string) *condition.Condition {
	if h.segments == nil {
		return nil
	}
	if d := h.segments.Definition(id); d != nil {
		return d.When
	}
	return nil
}

// Computed implements [condition.History].
func (h sqlHistory) Computed(name string) (condition.Computation, bool) {
	if h.questions == nil {
		return condition.Computation{}, false
	}
	return h.questions.Computation(name)
}

// Window implements [condition.History].
func (sqlHistory) Window(a *condition.Aggregate, at int64) (from, to int64, bounded bool) {
	return profile.Window(a, at)
}

// Query implements [api.SQL].
func (r sqlRunner) Query(ctx context.Context, q api.SQLQuestion) (*api.SQLAnswer, error) {
	a, err := r.Runner.Query(ctx, query.Request{SQL: q.SQL, MaxRows: q.MaxRows, Timeout: q.Timeout(), Stale: q.Stale, Since: q.Since, Until: q.Until, Condition: q.When != ""})
	if err != nil {
		return nil, err
	}
	out := &api.SQLAnswer{Rows: a.Rows, Truncated: a.Truncated, Lag: a.Lag, Millis: a.Millis, Notes: a.Notes, Columns: []api.SQLColumn{}}
	for _, c := range a.Columns {
		out.Columns = append(out.Columns, api.SQLColumn{Name: c.Name, Type: c.Type})
	}
	return out, nil
}

// sql returns what answers questions about the lake; nil if there is none.
func (s *Server) sql() api.SQL {
	if s.queries == nil {
		return nil
	}
	return sqlRunner{s.queries, s}
}

// runSQLChild is the process that answers one question.
func runSQLChild(ctx context.Context, env Env, flags *flag.FlagSet) error {
	if _, err := parse(env, flags, 0, 0); err != nil {
		return err
	}
	return query.Child(ctx, env.Stdin, env.Stdout, env.Stderr)
}

// runSQL asks a server.
func runSQL(ctx context.Context, env Env, flags *flag.FlagSet) error {
	var f remoteFlags
	f.flags(flags)
	var q api.SQLQuestion
	flags.StringVar(&q.When, "when", "", "instead of SQL a `condition` on what people did; lists for whom it held")
	at := flags.String("at", "", "with --when: the `moment`, as 2026-01-31 or 2026-01-31T08:00:00Z; now without it")
	format := flags.String("format", "table", "table, csv or json (one object a row)")
	flags.IntVar(&q.MaxRows, "max-rows", 10_000, "rows answered at most, up to 100000")
	flags.IntVar(&q.TimeoutSeconds, "timeout", 30, "`seconds` the answer may take, up to 100")
	flags.StringVar(&q.Since, "since", "", "first `day` looked at, as 2026-01-31: files of earlier ones are not opened")
	flags.StringVar(&q.Until, "until", "", "last `day` looked at")
	flags.BoolVar(&q.Stale, "stale", false, "do not wait until the latest events are in the lake")
	operands, err := parse(env, flags, 0, 1)
	if err != nil {
		return err
	}
	if *format != "table" && *format != "csv" && *format != "json" {
		return usagef("--format is table, csv or json, not %q", *format)
	}
	if *at != "" {
		moment, err := time.Parse(time.RFC3339, *at)
		if err != nil {
			if moment, err = time.Parse(time.DateOnly, *at); err != nil {
				return usagef("--at %q is no moment such as 2026-01-31 or 2026-01-31T08:00:00Z", *at)
			}
		}
		q.At = &moment
	}
	if q.When != "" {
		if len(operands) > 0 {
			return usagef("--when stands instead of SQL")
		}
	} else if len(operands) == 1 && operands[0] != "-" {
		q.SQL = operands[0]
	} else {
		text, err := io.ReadAll(io.LimitReader(env.Stdin, query.MaxSQL+1))
		if err != nil {
			return err
		}
		q.SQL = string(text)
	}
	if q.When == "" && strings.TrimSpace(q.SQL) == "" {
		return usagef("there is no SQL, neither as operand nor on standard input")
	}
	r, err := f.openAdmin(env)
	if err != nil {
		return err
	}
	var a api.SQLAnswer
	if err := r.call(ctx, "POST", "/v1/sql", q, &a); err != nil {
		return err
	}
	out := bufio.NewWriter(env.Stdout)
	if err := printAnswer(out, *format, &a); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if a.Truncated {
		fmt.Fprintf(env.Stderr, "there are more rows than the %d shown; see --max-rows\n", len(a.Rows))
	}
	for _, note := range a.Notes {
		fmt.Fprintln(env.Stderr, note)
	}
	return nil
}

func printAnswer(w io.Writer, format string, a *api.SQLAnswer) error {
	names := make([]string, len(a.Columns))
	for i, c := range a.Columns {
		names[i] = c.Name
	}
	var t *tabwriter.Writer
	var c *csv.Writer
	switch format {
	case "table":
		t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, strings.Join(names, "\t"))
	case "csv":
		c = csv.NewWriter(w)
		if err := c.Write(names); err != nil {
			return err
		}
	}
	for _, row := range a.Rows {
		var cells []json.RawMessage
		if err := json.Unmarshal(row, &cells); err != nil {
			return err
		}
		if format == "json" {
			if _, err := w.Write(append(objectOf(names, cells), '\n')); err != nil {
				return err
			}
			continue
		}
		texts := make([]string, len(cells))
		for i, cell := range cells {
			texts[i] = cellText(cell)
		}
		if c != nil {
			if err := c.Write(texts); err != nil {
				return err
			}
			continue
		}
		for i := range texts { // a tab or a new line would break the table
			texts[i] = strings.Map(func(r rune) rune {
				if r < ' ' {
					return ' '
				}
				return r
			}, texts[i])
		}
		fmt.Fprintln(t, strings.Join(texts, "\t"))
	}
	if c != nil {
		c.Flush()
		return c.Error()
	}
	if t != nil {
		return t.Flush()
	}
	return nil
}

// cellText returns a JSON value for people: a text without its quotes, null as nothing.
func cellText(cell json.RawMessage) string {
	var s string
	if json.Unmarshal(cell, &s) == nil {
		return s
	}
	return string(cell)
}

func objectOf(names []string, cells []json.RawMessage) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, cell := range cells {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(names[i])
		b.Write(name)
		b.WriteByte(':')
		b.Write(cell)
	}
	b.WriteByte('}')
	return b.Bytes()
}
