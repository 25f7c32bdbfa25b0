package lake

import (
	"io"
	"reflect"
	"strings"
	"unsafe"

	"github.com/parquet-go/parquet-go"
)

// sink writes rows to a Parquet file, from structs each field of which is one
// column. It lays them out itself: the library's own way from structs takes
// nulls for values where n values, n places after the beginning of 64 rows, are
// followed by nulls alone.
type sink[T any] struct {
	*parquet.Writer
	optional []bool // by column
	rows     []parquet.Row
}

func newSink[T any](w io.Writer) *sink[T] {
	s := &sink[T]{Writer: parquet.NewWriter(w, append(options(), parquet.SchemaOf(new(T)))...)}
	for f := range reflect.TypeFor[T]().Fields() {
		s.optional = append(s.optional, strings.Contains(f.Tag.Get("parquet"), ",optional"))
	}
	return s
}

// write writes rows. What they refer to may change after it returns.
func (s *sink[T]) write(rows []T) error {
	for len(s.rows) < len(rows) {
		s.rows = append(s.rows, nil)
	}
	for i := range rows {
		s.rows[i] = s.values(s.rows[i][:0], reflect.ValueOf(&rows[i]).Elem())
	}
	_, err := s.WriteRows(s.rows[:len(rows)])
	return err
}

// values appends the values of a row: of an optional column null for what was
// not said, of a list one for each element.
func (s *sink[T]) values(row parquet.Row, v reflect.Value) parquet.Row {
	for column, optional := range s.optional {
		x, defined := v.Field(column), 0
		if optional {
			defined = 1
		}
		switch list := x.Kind() == reflect.Slice && x.Type().Elem().Kind() == reflect.String; {
		case optional && x.IsZero(), list && x.Len() == 0:
			row = append(row, parquet.Value{}.Level(0, 0, column))
		case list:
			for i := range x.Len() {
				row = append(row, valueOf(x.Index(i)).Level(min(i, 1), 1, column))
			}
		default:
			row = append(row, valueOf(x).Level(0, defined, column))
		}
	}
	return row
}

func valueOf(x reflect.Value) parquet.Value {
	switch x.Kind() {
	case reflect.String:
		text := x.String()
		return parquet.ByteArrayValue(unsafe.Slice(unsafe.StringData(text), len(text)))
	case reflect.Slice:
		return parquet.ByteArrayValue(x.Bytes())
	case reflect.Int32:
		return parquet.Int32Value(int32(x.Int()))
	case reflect.Int64:
		return parquet.Int64Value(x.Int())
	case reflect.Bool:
		return parquet.BooleanValue(x.Bool())
	case reflect.Float64:
		return parquet.DoubleValue(x.Float())
	}
	panic("a column of " + x.Kind().String()) // the types of rows are above
}
