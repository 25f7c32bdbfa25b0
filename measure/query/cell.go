package query

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

// appendCell appends a value of DuckDB as JSON: numbers as numbers, times as
// RFC 3339, dates as 2006-01-02, JSON as it is, what JSON has no word for as text.
func appendCell(b []byte, x any, kind string) []byte {
	switch x := x.(type) {
	case nil:
		return append(b, "null"...)
	case float64:
		return appendFloat(b, x)
	case float32:
		return appendFloat(b, float64(x))
	case *big.Int:
		return x.Append(b, 10)
	case duckdb.Decimal:
		return append(b, x.String()...)
	case time.Time:
		switch kind {
		case "DATE":
			return appendJSON(b, x.Format(time.DateOnly))
		case "TIME":
			return appendJSON(b, x.Format("15:04:05.999999"))
		}
		return appendJSON(b, x.UTC().Format("2006-01-02T15:04:05.999999Z"))
	case []byte:
		if kind == "UUID" && len(x) == 16 {
			return appendJSON(b, fmt.Sprintf("%x-%x-%x-%x-%x", x[:4], x[4:6], x[6:8], x[8:10], x[10:]))
		}
		return appendJSON(b, x)
	case duckdb.UUID:
		return appendJSON(b, x.String())
	case duckdb.Interval:
		return appendJSON(b, fmt.Sprintf("%d months %d days %g seconds", x.Months, x.Days, float64(x.Micros)/1e6))
	case []any:
		b = append(b, '[')
		for i, e := range x {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCell(b, e, "")
		}
		return append(b, ']')
	case map[string]any:
		return appendMembers(b, x)
	case duckdb.Map:
		m := make(map[string]any, len(x))
		for k, v := range x {
			m[fmt.Sprint(k)] = v
		}
		return appendMembers(b, m)
	}
	return appendJSON(b, x)
}

func appendMembers(b []byte, m map[string]any) []byte {
	cells := make(map[string]json.RawMessage, len(m))
	for k, v := range m {
		cells[k] = appendCell(nil, v, "")
	}
	return appendJSON(b, cells)
}

func appendFloat(b []byte, x float64) []byte {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return append(b, "null"...)
	}
	return appendJSON(b, x)
}

func appendJSON(b []byte, x any) []byte {
	text, err := json.Marshal(x)
	if err != nil {
		text, _ = json.Marshal(fmt.Sprint(x))
	}
	return append(b, text...)
}
