package query

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/duckdb/duckdb-go/v2"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/sketch"
)

// Register adds the functions that [condition.Condition.SQL] relies on, so that
// what the live answers do to a value is done to it here by the same code:
//
//   - rapport_value(json text) gives the bytes values are ordered by;
//   - rapport_distinct(list of json text) counts different values, exactly up
//     to 128, then by the sketch that live answers use.
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
	return errors.Join(
		duckdb.RegisterScalarUDF(conn, "rapport_value", &function{text, blob, func(x any) (any, error) {
			v, err := parseValue(fmt.Sprint(x))
			return rapport.AppendValue(nil, v), err
		}}),
		duckdb.RegisterScalarUDF(conn, "rapport_distinct", &function{texts, number, func(x any) (any, error) {
			var s sketch.Distinct
			list, _ := x.([]any)
			for _, e := range list {
				v, err := parseValue(fmt.Sprint(e))
				if err != nil {
					return nil, err
				}
				s.Add(xxhash.Sum64(rapport.AppendValue(nil, v)))
			}
			return s.Count(), nil
		}}),
	)
}

// function is a function of one argument.
type function struct {
	in, out duckdb.TypeInfo
	fn      func(any) (any, error)
}

// Config implements duckdb.ScalarFunc.
func (f *function) Config() duckdb.ScalarFuncConfig {
	return duckdb.ScalarFuncConfig{InputTypeInfos: []duckdb.TypeInfo{f.in}, ResultTypeInfo: f.out}
}

// Executor implements duckdb.ScalarFunc.
func (f *function) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: func(values []driver.Value) (any, error) { return f.fn(values[0]) }}
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
