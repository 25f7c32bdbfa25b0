package app

import (
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/evaluate"
)

// peopleFlags say which columns of a file of people hold what.
type peopleFlags struct {
	userID, columns, at string
}

// personTraits are the traits the fields of a person become.
var personTraits = map[string]string{
	"given_name": "firstName", "surname": "lastName", "birth_date": "birthday", "address": "street", "postcode": "postalCode", "city": "city",
}

// mapping returns how the rows of a file of people become identify calls: their
// identifiers and traits, as of now or of a column.
func (p *peopleFlags) mapping(file string, now time.Time) (*mapping, error) {
	columns := map[string]string{}
	if p.columns == "" {
		if strings.Contains(file, "://") {
			return nil, usagef("--columns is missing: it says which columns hold what, as name=COLUMN,...")
		}
		known, err := evaluate.KnownColumns(file)
		if err != nil {
			return nil, err
		}
		columns = known
	} else {
		for _, part := range strings.Split(p.columns, ",") {
			name, column, ok := strings.Cut(part, "=")
			if name, column = strings.TrimSpace(name), strings.TrimSpace(column); !ok || name == "" || column == "" || columns[name] != "" {
				return nil, usagef("--columns: %q is not name=COLUMN, or a name stands twice", part)
			}
			columns[name] = column
		}
	}
	traits := map[string]any{}
	doc := map[string]any{"type": "identify", "timestamp": map[string]any{"value": now.UTC().Format(time.RFC3339)}}
	if p.at != "" {
		doc["timestamp"] = p.at
	}
	who := 0
	if p.userID != "" {
		doc["userId"] = p.userID
		who++
	}
	for name, column := range columns {
		switch {
		case name == rapport.KindEmail || name == rapport.KindPhone:
			doc[name] = column
			who++
		case personTraits[name] != "":
			traits[personTraits[name]] = column
		default:
			traits[name] = column
		}
	}
	if who == 0 {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "no column names the people"), "give --user-id COLUMN, or email=COLUMN or phone=COLUMN in --columns")
	}
	if len(traits) > 0 {
		doc["traits"] = traits
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("mapping: %w", err)
	}
	return parseMapping(text)
}
