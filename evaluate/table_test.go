package evaluate_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/evaluate"
)

func write(t *testing.T, text string, zipped bool) string {
	t.Helper()
	data := []byte(text)
	if zipped {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(data)
		_ = z.Close()
		data = b.Bytes()
	}
	path := filepath.Join(t.TempDir(), "f.csv")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestATableGivesTheWantedColumnsInTheWantedOrder(t *testing.T) {
	t.Parallel()
	for _, zipped := range []bool{false, true} {
		table, err := evaluate.OpenTable(write(t, "\ufeffa,b , c\n1,x,2.5\n3,y,4\n", zipped), "c", "a")
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		var sum float64
		for table.Next() {
			for i := range 2 {
				x, err := table.Float(i)
				if err != nil {
					t.Fatal(err)
				}
				sum = sum*10 + x
			}
		}
		if table.Err() != nil || sum != 2.5*1000+100+40+3 {
			t.Errorf("zipped %t: got %v, %v", zipped, sum, table.Err())
		}
	}
}

func TestAnUnusableTableSaysWhatAndWhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no header":   {"", "no header"},
		"no column":   {"x,y\n1,2\n", `no column "a"; the columns are x, y`},
		"no number":   {"a\n1\nmany\n", `line 3, column a: "many" is not a number`},
		"not finite":  {"a\nNaN\n", `line 2, column a: "NaN"`},
		"uneven rows": {"a,b\n1\n", "wrong number of fields"},
	} {
		table, err := evaluate.OpenTable(write(t, c.text, false), "a")
		for err == nil && table.Next() {
			_, err = table.Float(0)
		}
		if err == nil {
			err = table.Err()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
