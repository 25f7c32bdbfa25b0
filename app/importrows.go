package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rapport-engine/rapport"
)

// maxRow bounds one row, so that a quotation mark that is never closed costs
// one row and not the memory for the rest of the file.
const maxRow = 1 << 20

// rowError is a row that cannot be read; the following ones can.
type rowError struct {
	line   int64
	text   []byte
	reason string
}

// Error returns the reason with its line.
func (e *rowError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.reason) }

// row is one record of a file.
type row struct {
	line int64
	text []byte // as it stands in the file
	// get returns a column's value: the text of a CSV column, any JSON value of
	// a member; nil if there is none.
	get func(column string) any
}

// rows reads a file row by row.
type rows struct {
	in      *bufio.Reader
	line    int64 // lines read
	csv     bool
	comma   byte
	columns map[string]int
	width   int
	row     row
	fields  []string
	members map[string]any
}

// openRows finds out what the file is and reads the header of a CSV file.
func openRows(in io.Reader, m *mapping) (*rows, error) {
	r := &rows{in: bufio.NewReaderSize(in, 64<<10), comma: m.Delimiter[0], csv: m.Format == "csv"}
	if bom, _ := r.in.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = r.in.Discard(3)
	}
	if m.Format == "" {
		first, err := r.in.Peek(1)
		if err != nil {
			return nil, noRows(err)
		}
		r.csv = first[0] != '{'
	}
	if !r.csv {
		r.row.get = func(column string) any { return memberAt(r.members, column) }
		return r, nil
	}
	return r, r.header(m)
}

// header reads the first record of a CSV file: the names of the columns.
func (r *rows) header(m *mapping) error {
	var text []byte
	for len(bytes.TrimSpace(text)) == 0 {
		var err error
		if text, err = r.record(); err != nil {
			return noRows(err)
		}
	}
	names, reason := splitCSV(nil, text, r.comma)
	if reason != "" {
		return rapport.Errorf(rapport.Invalid, "the header: %s", reason)
	}
	r.columns, r.width = make(map[string]int, len(names)), len(names)
	for i, name := range names {
		name = strings.TrimSpace(name)
		if _, twice := r.columns[name]; twice {
			return rapport.Errorf(rapport.Invalid, "the header names the column %q twice", name)
		}
		r.columns[name] = i
	}
	for _, name := range m.columns() {
		if _, ok := r.columns[name]; !ok {
			return rapport.WithHint(rapport.Errorf(rapport.Invalid, "the mapping names the column %q, which the file does not have", name),
				"its columns are %s", strings.Join(names, ", "))
		}
	}
	r.row.get = func(column string) any { return r.fields[r.columns[column]] }
	return nil
}

func noRows(err error) error {
	if errors.Is(err, io.EOF) {
		return rapport.Errorf(rapport.Invalid, "the file is empty")
	}
	return err
}

// next returns the next row, valid until the following call; io.EOF at the end,
// a *rowError for a row that cannot be read.
func (r *rows) next() (*row, error) {
	for {
		line := r.line + 1
		text, err := r.record()
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		r.row.line, r.row.text = line, text
		if reason := r.read(text); reason != "" {
			return nil, &rowError{line, text, reason}
		}
		return &r.row, nil
	}
}

// read takes a record apart; a reason says why it cannot be.
func (r *rows) read(text []byte) (reason string) {
	if r.csv {
		if r.fields, reason = splitCSV(r.fields[:0], text, r.comma); reason == "" && len(r.fields) != r.width {
			reason = fmt.Sprintf("%d fields, the header has %d", len(r.fields), r.width)
		}
		return reason
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	r.members = nil
	if err := d.Decode(&r.members); err != nil || r.members == nil {
		return "it is no JSON object"
	}
	if d.More() {
		return "something follows the JSON object"
	}
	return ""
}

// record reads one record: a line, and for CSV the lines after it as long as a
// quotation mark is open.
func (r *rows) record() ([]byte, error) {
	first := r.line + 1
	var text []byte
	for open, begun := false, false; ; begun = true {
		line, err := r.readLine()
		switch {
		case err != nil && begun && errors.Is(err, io.EOF):
			return nil, &rowError{first, text[:min(len(text), 4096)], "a quotation mark is not closed"}
		case err != nil:
			return nil, err
		case len(text)+len(line) > maxRow:
			return nil, &rowError{first, append(text, line...)[:4096], fmt.Sprintf("it is longer than %d bytes", maxRow)}
		}
		if begun {
			text = append(text, '\n')
		}
		text = append(text, line...)
		if r.csv && bytes.Count(line, []byte{'"'})%2 == 1 {
			open = !open
		}
		if !open {
			return text, nil
		}
	}
}

// readLine reads a line without its end. Of one that is too long the rest is
// passed over, and it comes back longer than maxRow.
func (r *rows) readLine() (line []byte, err error) {
	for {
		part, err := r.in.ReadSlice('\n')
		if len(line) <= maxRow {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)) {
			return nil, err
		}
		r.line++
		line = bytes.TrimSuffix(line, []byte{'\n'})
		return bytes.TrimSuffix(line, []byte{'\r'}), nil
	}
}

// splitCSV appends the fields of a record (RFC 4180) to out. A reason says why
// it is none.
func splitCSV(out []string, text []byte, comma byte) (fields []string, reason string) {
	for {
		if len(text) > 0 && text[0] == '"' {
			var field []byte
			for text = text[1:]; ; {
				i := bytes.IndexByte(text, '"')
				if i < 0 {
					return out, "a quotation mark is not closed"
				}
				field = append(field, text[:i]...)
				if text = text[i+1:]; len(text) == 0 || text[0] != '"' {
					break
				}
				field = append(field, '"')
				text = text[1:]
			}
			out = append(out, string(field))
			if len(text) == 0 {
				return out, ""
			}
			if text[0] != comma {
				return out, fmt.Sprintf("field %d goes on behind its quotation mark", len(out))
			}
			text = text[1:]
			continue
		}
		i := bytes.IndexByte(text, comma)
		if i < 0 {
			return append(out, string(text)), ""
		}
		out = append(out, string(text[:i]))
		text = text[i+1:]
	}
}

// memberAt returns the member a path such as "customer.id" names; a member with
// that very name comes first.
func memberAt(members map[string]any, column string) any {
	if v, ok := members[column]; ok {
		return v
	}
	key, rest, nested := strings.Cut(column, ".")
	if !nested {
		return nil
	}
	if inner, ok := members[key].(map[string]any); ok {
		return memberAt(inner, rest)
	}
	return nil
}
