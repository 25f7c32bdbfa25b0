package query

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/cespare/xxhash/v2"
	"github.com/duckdb/duckdb-go/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/sketch"
	"github.com/rapport-engine/rapport/profile"
)

// Register adds the functions that [condition.Condition.SQL] relies on, so that
// what the live answers do to a value is done to it here by the same code:
//
//   - rapport_value(json text) gives the bytes values are ordered by;
//   - rapport_distinct(list of json text) counts different values, exactly up
//     to 128, then by the sketch that live answers use;
//   - rapport_holds(condition, list of json text) evaluates a condition on
//     properties.v0, v1 and so on;
//   - rapport_answer(question, list of [condition.Matched]) answers sequences,
//     streaks, decaying sums and the values seen most;
//   - rapport_consent(channel, list of "ms allowed channel") weighs what was said;
//   - rapport_now("part ms", [zone]) is a part of the time of day.
func Register(conn *sql.Conn) error {
	text, err1 := duckdb.NewTypeInfo(duckdb.TYPE_VARCHAR)
	blob, err2 := duckdb.NewTypeInfo(duckdb.TYPE_BLOB)
	number, err3 := duckdb.NewTypeInfo(duckdb.TYPE_DOUBLE)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	texts, err := duckdb.NewListInfo(text)
	if err != nil {
		return err
	}
	var errs []error
	add := func(name string, in []duckdb.TypeInfo, out duckdb.TypeInfo, fn func(values []driver.Value) (any, error)) {
		errs = append(errs, duckdb.RegisterScalarUDF(conn, name, &function{in, out, fn}))
	}
	add("rapport_value", []duckdb.TypeInfo{text}, blob, func(x []driver.Value) (any, error) {
		v, err := parseValue(fmt.Sprint(x[0]))
		return rapport.AppendValue(nil, v), err
	})
	add("rapport_distinct", []duckdb.TypeInfo{texts}, number, func(x []driver.Value) (any, error) {
		var s sketch.Distinct
		list, _ := x[0].([]any)
		for _, e := range list {
			v, err := parseValue(fmt.Sprint(e))
			if err != nil {
				return nil, err
			}
			s.Add(xxhash.Sum64(rapport.AppendValue(nil, v)))
		}
		return s.Count(), nil
	})
	var conditions, questions sync.Map // parsed once for all rows
	var zones profile.Zones
	for name, fn := range map[string]func(spec string, list []any) (any, error){
		"rapport_holds":   func(spec string, list []any) (any, error) { return holds(&conditions, spec, list) },
		"rapport_answer":  func(spec string, list []any) (any, error) { return answerOf(&questions, spec, list) },
		"rapport_consent": consentOf,
		"rapport_now":     func(spec string, list []any) (any, error) { return nowOf(&zones, spec, list) },
	} {
		add(name, []duckdb.TypeInfo{text, texts}, text, func(x []driver.Value) (any, error) {
			spec, _ := x[0].(string)
			list, _ := x[1].([]any)
			return fn(spec, list)
		})
	}
	return errors.Join(errs...)
}

// function is a function of SQL.
type function struct {
	in  []duckdb.TypeInfo
	out duckdb.TypeInfo
	fn  func(values []driver.Value) (any, error)
}

// Config implements duckdb.ScalarFunc.
func (f *function) Config() duckdb.ScalarFuncConfig {
	return duckdb.ScalarFuncConfig{InputTypeInfos: f.in, ResultTypeInfo: f.out}
}

// Executor implements duckdb.ScalarFunc.
func (f *function) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: f.fn}
}

// parseValue reads JSON into a value, members in their order.
func parseValue(text string) (rapport.Value, error) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	return readValue(d)
}

func readValue(d *json.Decoder) (rapport.Value, error) {
	t, err := d.Token()
	if err != nil {
		return rapport.Value{}, err
	}
	switch t {
	case json.Delim('['):
		var b []byte
		for d.More() {
			v, err := readValue(d)
			if err != nil {
				return v, err
			}
			b = rapport.AppendValue(b, v)
		}
		_, err = d.Token()
		return rapport.ArrayValue(b), err
	case json.Delim('{'):
		var f rapport.Fields
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return rapport.Value{}, err
			}
			v, err := readValue(d)
			if err != nil {
				return v, err
			}
			f = rapport.AppendField(f, fmt.Sprint(key), v)
		}
		_, err = d.Token()
		return rapport.ObjectValue(f), err
	}
	return rapport.ValueOf(t), nil
}
