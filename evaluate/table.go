package evaluate

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Table reads a CSV file with a header row, plain or compressed with gzip, row
// by row. Columns are asked for by name and then read by their place in what
// was asked, so that a job does not care for the order in the file.
type Table struct {
	path    string
	columns []string
	want    []int
	file    *os.File
	csv     *csv.Reader
	row     []string
	line    int
	err     error
}

// OpenTable opens a file and finds the wanted columns in its header. A byte
// order mark is skipped. Kind: Invalid if the file cannot be read, has no
// header or lacks a column.
func OpenTable(path string, want ...string) (*Table, error) {
	if path == "" {
		return nil, rapport.Errorf(rapport.Invalid, "no file is given")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, rapport.Errorf(rapport.Invalid, "the file cannot be read: %w", err)
	}
	t := &Table{path: path, file: f}
	if err := t.begin(want); err != nil {
		_ = f.Close()
		return nil, err
	}
	return t, nil
}

func (t *Table) begin(want []string) error {
	buffered := bufio.NewReaderSize(t.file, 1<<20)
	var in io.Reader = buffered
	if magic, _ := buffered.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return rapport.Errorf(rapport.Invalid, "%s: not a gzip file: %w", t.path, err)
		}
		in = z
	}
	t.csv = csv.NewReader(in)
	t.csv.ReuseRecord = true
	header, err := t.csv.Read()
	if err != nil {
		return rapport.Errorf(rapport.Invalid, "%s: there is no header row: %w", t.path, err)
	}
	t.line = 1
	t.columns = slices.Clone(header)
	for i := range t.columns {
		t.columns[i] = strings.TrimSpace(strings.Clone(t.columns[i]))
	}
	t.columns[0] = strings.TrimPrefix(t.columns[0], "\ufeff")
	for _, name := range want {
		i := slices.Index(t.columns, name)
		if i < 0 {
			return rapport.Errorf(rapport.Invalid, "%s: there is no column %q; the columns are %s", t.path, name, strings.Join(t.columns, ", "))
		}
		t.want = append(t.want, i)
	}
	return nil
}

// Columns returns the names in the header.
func (t *Table) Columns() []string { return t.columns }

// Next moves to the next row. It is false at the end or at an error; see Err.
func (t *Table) Next() bool {
	if t.err != nil {
		return false
	}
	row, err := t.csv.Read()
	if errors.Is(err, io.EOF) {
		return false
	}
	if err != nil {
		t.err = rapport.Errorf(rapport.Invalid, "%s: %w", t.path, err)
		return false
	}
	t.row = row
	t.line, _ = t.csv.FieldPos(0)
	return true
}

// Text returns the i-th wanted column of the row, without white space around
// it. It stays valid.
func (t *Table) Text(i int) string { return strings.TrimSpace(t.row[t.want[i]]) }

// At returns the i-th column of the file, as Columns counts.
func (t *Table) At(i int) string { return strings.TrimSpace(t.row[i]) }

// Float returns the i-th wanted column as a finite number. Kind: Invalid,
// naming line and column.
func (t *Table) Float(i int) (float64, error) {
	x, err := strconv.ParseFloat(t.Text(i), 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0, t.Errorf(i, "%q is not a number", t.Text(i))
	}
	return x, nil
}

// Errorf returns an error at the i-th wanted column of the row.
func (t *Table) Errorf(i int, format string, args ...any) error {
	return rapport.Errorf(rapport.Invalid, "%s, line %d, column %s: %w", t.path, t.line, t.columns[t.want[i]], rapport.Errorf(rapport.Invalid, format, args...))
}

// Line returns the line of the row in the file, from 1.
func (t *Table) Line() int { return t.line }

// Err returns why Next stopped early.
func (t *Table) Err() error { return t.err }

// Close closes the file.
func (t *Table) Close() error { return t.file.Close() }
