package lake

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

func TestRowsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	t.Run("events", written[EventRow])
	t.Run("decisions", written[DecisionRow])
	t.Run("outcomes", written[OutcomeRow])
	t.Run("people", written[PersonRow])
}

// written writes columns in which one run of values stands anywhere in 64 rows,
// and columns of chance, and asks for the rows and for how many nulls there are.
func written[T any](t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 7))
	for at := range 64 {
		rows := make([]T, 150)
		length := 1 + at
		if at%3 == 0 {
			length = 1 + r.IntN(80)
		}
		nulls := map[string]int64{}
		for i := range rows {
			v := reflect.ValueOf(&rows[i]).Elem()
			for f, x := range v.Fields() {
				if strings.Contains(f.Tag.Get("parquet"), ",optional") && (i < at || i >= at+length) {
					nulls[columnOf(f)]++
					continue
				}
				fill(r, x)
			}
		}
		var b bytes.Buffer
		w := newSink[T](&b)
		if err := w.write(rows); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := parquet.Read[T](bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(rows, got); d != "" {
			t.Fatalf("%d values from row %d on: %s", length, at, d)
		}
		f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range f.RowGroups()[0].ColumnChunks() {
			index, err := c.ColumnIndex()
			if err != nil {
				t.Fatal(err)
			}
			name := f.Schema().Columns()[c.Column()][0]
			if got := index.NullCount(0); got != nulls[name] {
				t.Fatalf("%d values from row %d on: %s has %d nulls, not %d", length, at, name, got, nulls[name])
			}
		}
	}
}

func columnOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
	return name
}

// fill gives a field a value that is not its zero.
func fill(r *rand.Rand, x reflect.Value) {
	switch x.Kind() {
	case reflect.String:
		x.SetString(fmt.Sprint("text ", r.IntN(20)))
	case reflect.Int32, reflect.Int64:
		x.SetInt(1 + int64(r.IntN(1000)))
	case reflect.Bool:
		x.SetBool(r.IntN(2) == 0)
	case reflect.Float64:
		x.SetFloat(r.Float64() + 1)
	case reflect.Slice:
		if x.Type().Elem().Kind() == reflect.Uint8 {
			x.SetBytes([]byte(`{"a":1}`))
			return
		}
		var list []string
		for i := range 1 + r.IntN(3) {
			list = append(list, fmt.Sprint("userId:", i))
		}
		x.Set(reflect.ValueOf(list))
	}
}
