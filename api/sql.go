package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/condition"
)

// SQL answers questions about all of history; nil in [Deps] if the lake is off.
type SQL interface {
	// Query answers one statement that reads. Kinds: Invalid, Unavailable.
	Query(ctx context.Context, q SQLQuestion) (*SQLAnswer, error)
	// Condition returns the SQL that lists for whom a condition held at a moment
	// (Unix ms). Kinds: Invalid.
	Condition(c *condition.Condition, at int64) (string, error)
}

// SQLQuestion is a statement and what its answer may take.
type SQLQuestion struct {
	SQL            string     `json:"sql,omitempty" maxLength:"65536" doc:"One SELECT over the views events, decisions, outcomes, people, traits, consents, segments and items, in DuckDB's SQL"`
	When           string     `json:"when,omitempty" maxLength:"16384" doc:"Instead of sql: a condition on what people did; the answer lists for whom it held"`
	At             *time.Time `json:"at,omitempty" doc:"With when: the moment it is asked for; default now"`
	MaxRows        int        `json:"maxRows,omitempty" minimum:"1" maximum:"100000" doc:"Rows answered at most; default 10,000"`
	TimeoutSeconds int        `json:"timeoutSeconds,omitempty" minimum:"1" maximum:"100" doc:"How long the answer may take; default 30"`
	Since          string     `json:"since,omitempty" format:"date" doc:"First day looked at: files of earlier ones are not opened"`
	Until          string     `json:"until,omitempty" format:"date" doc:"Last day looked at"`
	Stale          bool       `json:"stale,omitempty" doc:"Do not wait until the latest events are in the lake"`
}

// Timeout returns how long the answer may take; 0 is the default.
func (q *SQLQuestion) Timeout() time.Duration {
	return time.Duration(q.TimeoutSeconds) * time.Second
}

// SQLAnswer is a table.
type SQLAnswer struct {
	Columns   []SQLColumn       `json:"columns"`
	Rows      []json.RawMessage `json:"rows" doc:"One array for each row, a value for each column: times as RFC 3339, numbers as numbers"`
	Truncated bool              `json:"truncated" doc:"There is more than was answered"`
	Lag       int64             `json:"lag" doc:"Records of the log that were not in the lake yet"`
	Millis    float64           `json:"millis"`
	Notes     []string          `json:"notes,omitempty" doc:"What the answer leaves out, in words: an empty lake, days not looked at, records not written yet"`
}

// SQLColumn is a column of an answer.
type SQLColumn struct {
	Name string `json:"name"`
	Type string `json:"type" doc:"As DuckDB calls it"`
}

type sqlIn struct{ Body SQLQuestion }

func (a *API) sqlOperations() {
	handle(a, operation{
		id: "sql", method: "POST", path: "/v1/sql", tag: "Measure", summary: "Ask read-only SQL over all events, decisions and outcomes", role: access.Analyst, audit: "sql.query", maxBody: 128 << 10,
	}, nil, a.sql)
}

func (a *API) sql(ctx context.Context, in *sqlIn) (*body[SQLAnswer], error) {
	if a.deps.SQL == nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.NotFound, "the lake is turned off"), "start the server without --lake off")
	}
	q := in.Body
	switch {
	case (q.SQL == "") == (q.When == ""):
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "either sql or when is needed"), `{"sql":"SELECT count(*) FROM events"}`)
	case q.When != "":
		c, err := condition.Parse(q.When)
		if err != nil {
			return nil, err
		}
		at := a.deps.Clock.Now()
		if q.At != nil {
			at = *q.At
		}
		if q.SQL, err = a.deps.SQL.Condition(c, rapport.Millis(at)); err != nil {
			return nil, err
		}
	case q.At != nil:
		return nil, rapport.Errorf(rapport.Invalid, "at belongs to when; write times into the SQL")
	}
	out, err := a.deps.SQL.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	return &body[SQLAnswer]{*out}, nil
}
