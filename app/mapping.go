package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// mapping says how the rows of a file become events. docs/import.md describes
// the document it is read from.
type mapping struct {
	Format      string             `yaml:"format"`    // csv or jsonl; empty: seen from the file
	Delimiter   string             `yaml:"delimiter"` // of csv; empty is a comma
	Type        mapped             `yaml:"type"`
	Event       mapped             `yaml:"event"`
	UserID      mapped             `yaml:"userId"`
	AnonymousID mapped             `yaml:"anonymousId"`
	GroupID     mapped             `yaml:"groupId"`
	PreviousID  mapped             `yaml:"previousId"`
	Email       mapped             `yaml:"email"`
	Phone       mapped             `yaml:"phone"`
	Timestamp   mapped             `yaml:"timestamp"`
	ID          mapped             `yaml:"id"` // a natural key; empty: name of the file, line and text of the row
	Edition     string             `yaml:"edition"`
	Properties  map[string]*mapped `yaml:"properties"`
	Traits      map[string]*mapped `yaml:"traits"`
	Context     map[string]*mapped `yaml:"context"`
	Where       string             `yaml:"where"`
	Empty       []string           `yaml:"empty"` // texts that stand for nothing

	where *condition.Condition
	// names are the keys of the three groups, sorted.
	names map[string][]string
}

// mapped says where one value comes from and how it is cleaned. In the document
// it is the name of a column, or an object.
type mapped struct {
	Column   string            `yaml:"column"`
	Value    any               `yaml:"value"`
	Type     string            `yaml:"type"` // text, number, integer, boolean, time, json or list
	Layouts  []string          `yaml:"layouts"`
	Zone     string            `yaml:"zone"`
	Decimal  string            `yaml:"decimal"`
	Split    string            `yaml:"split"`
	Case     string            `yaml:"case"` // lower or upper
	Keep     bool              `yaml:"keep"` // blanks around the text
	Map      map[string]string `yaml:"map"`
	Default  any               `yaml:"default"`
	Required bool              `yaml:"required"`

	set   bool
	short bool // written as a text alone
	zone  *time.Location
}

// UnmarshalYAML reads the short form, the name of a column, or the object.
func (m *mapped) UnmarshalYAML(b []byte) error {
	var column string
	if err := yaml.Unmarshal(b, &column); err == nil {
		*m = mapped{Column: column, set: true, short: true}
		return nil
	}
	type object mapped
	o := object{set: true}
	if err := yaml.UnmarshalWithOptions(b, &o, yaml.Strict()); err != nil {
		return err
	}
	*m = mapped(o)
	return nil
}

// maxMapping bounds a mapping document.
const maxMapping = 1 << 20

func loadMapping(path string) (*mapping, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.NotFound, "read the mapping: %w", err), "docs/import.md describes the form")
	}
	if info.Size() > maxMapping {
		return nil, rapport.Errorf(rapport.TooLarge, "the mapping %s has %d bytes, more than %d", path, info.Size(), maxMapping)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := parseMapping(data)
	if err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "mapping %s: %w", path, err), "docs/import.md describes the form")
	}
	return m, nil
}

func parseMapping(data []byte) (*mapping, error) {
	m := &mapping{Empty: []string{"", "NULL", "null"}}
	if err := yaml.UnmarshalWithOptions(data, m, yaml.Strict()); err != nil {
		return nil, errors.New(strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	return m, m.check()
}

var eventTypes = []string{"track", "identify", "page", "screen", "group", "alias"}

// named is a mapped value with its key in the document.
type named struct {
	name  string
	value *mapped
}

// calls are the values that stand on the event itself.
func (m *mapping) calls() []named {
	return []named{
		{"type", &m.Type},
		{"event", &m.Event},
		{"userId", &m.UserID},
		{"anonymousId", &m.AnonymousID},
		{"groupId", &m.GroupID},
		{"previousId", &m.PreviousID},
		{"timestamp", &m.Timestamp},
	}
}

// contacts are the traits that name a person.
func (m *mapping) contacts() []named { return []named{{"email", &m.Email}, {"phone", &m.Phone}} }

// columns lists the columns the mapping names.
func (m *mapping) columns() (out []string) {
	add := func(v *mapped) {
		if v.Column != "" {
			out = append(out, v.Column)
		}
	}
	for _, v := range slices.Concat(m.calls(), m.contacts()) {
		add(v.value)
	}
	add(&m.ID)
	for group, values := range m.groups() {
		for _, name := range m.names[group] {
			add(values[name])
		}
	}
	return out
}

func (m *mapping) groups() map[string]map[string]*mapped {
	return map[string]map[string]*mapped{"properties": m.Properties, "traits": m.Traits, "context": m.Context}
}

// check completes the mapping and reports everything wrong with it.
func (m *mapping) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains([]string{"", "csv", "jsonl"}, m.Format) {
		wrong("format: %q is not csv or jsonl", m.Format)
	}
	switch {
	case m.Delimiter == "":
		m.Delimiter = ","
	case len(m.Delimiter) != 1 || strings.ContainsAny(m.Delimiter, "\"\n\r"):
		wrong("delimiter: %q is not one character", m.Delimiter)
	}
	if !m.Type.set {
		m.Type = mapped{Value: "track", set: true}
	}
	// These read best as what they are: type: track, event: Order Completed.
	if m.Type.short && slices.Contains(eventTypes, m.Type.Column) {
		m.Type = mapped{Value: m.Type.Column, set: true}
	}
	if m.Event.short {
		m.Event = mapped{Value: m.Event.Column, set: true}
	}
	if m.Type.Value != nil && !slices.Contains(eventTypes, fmt.Sprint(m.Type.Value)) {
		wrong("type: %v is none of %s", m.Type.Value, strings.Join(eventTypes, ", "))
	}
	if m.Type.Value == "track" && !m.Event.set {
		wrong("event: a track event needs a name, such as event: Order Completed, or event: {column: name}")
	}
	if !m.UserID.set && !m.AnonymousID.set && !m.Email.set && !m.Phone.set {
		wrong("an event must be somebody's: give userId, anonymousId, email or phone")
	}
	if !m.Timestamp.set {
		wrong("timestamp: history needs its time, such as timestamp: created_at")
	}
	m.Timestamp.Type = "time"
	one := func(name string, v *mapped) {
		if !v.set {
			return
		}
		if err := v.check(); err != nil {
			wrong("%s: %w", name, err)
		}
	}
	for _, v := range slices.Concat(m.calls(), m.contacts(), []named{{"id", &m.ID}}) {
		one(v.name, v.value)
	}
	m.names = map[string][]string{}
	for group, values := range m.groups() {
		for key, v := range values {
			if v == nil {
				wrong("%s.%s: says nothing", group, key)
				continue
			}
			m.names[group] = append(m.names[group], key)
			one(group+"."+key, v)
		}
		slices.Sort(m.names[group])
	}
	if m.Where != "" {
		c, err := condition.Parse(m.Where)
		if err != nil {
			wrong("where: %w", err)
		} else if u := c.Uses(); len(u.Traits)+len(u.Computed)+len(u.Scores)+len(u.Context)+len(u.Events)+len(u.Segments)+len(u.Purposes) > 0 || u.Items || u.Time {
			wrong("where: only properties are known here")
		} else {
			m.where = c
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// check completes one value.
func (m *mapped) check() error {
	if (m.Column == "") == (m.Value == nil) {
		return errors.New("give either column or value")
	}
	if m.Type == "" {
		m.Type = "text"
	}
	if !slices.Contains([]string{"text", "number", "integer", "boolean", "time", "json", "list"}, m.Type) {
		return fmt.Errorf("type: %q is none of text, number, integer, boolean, time, json, list", m.Type)
	}
	if !slices.Contains([]string{"", "lower", "upper"}, m.Case) {
		return fmt.Errorf("case: %q is not lower or upper", m.Case)
	}
	if !slices.Contains([]string{"", ",", "."}, m.Decimal) {
		return fmt.Errorf("decimal: %q is not a comma or a dot", m.Decimal)
	}
	for _, v := range []*any{&m.Value, &m.Default} { // as JSON has it, whatever YAML made of it
		if b, err := json.Marshal(*v); err != nil || json.Unmarshal(b, v) != nil {
			return errors.New("it is no JSON value")
		}
	}
	m.zone = time.UTC
	if m.Zone != "" {
		zone, err := time.LoadLocation(m.Zone)
		if err != nil {
			return fmt.Errorf("zone: %q is no time zone such as Europe/Oslo", m.Zone)
		}
		m.zone = zone
	}
	if m.Split == "" {
		m.Split = ","
	}
	return nil
}
