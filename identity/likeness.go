package identity

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/linkage"
)

// LikenessDoc is the config document of kind "likeness": whether people are
// compared by what they say of themselves, and what follows from it. Without
// the document, or without a trained model, nobody is compared.
type LikenessDoc struct {
	ID      string  `yaml:"id"`
	Enabled bool    `yaml:"enabled" doc:"Compare source records as they arrive. Switched off, what likeness united comes apart again until it is switched on."`
	Unite   float64 `yaml:"unite" min:"0" max:"60" doc:"Bits of evidence, the odds of two strangers included, from which two are one person by themselves. 12 is 4096 to 1."`
	Review  float64 `yaml:"review" min:"-10" max:"60" doc:"Bits from which somebody is asked. 0 is even odds."`
	UserIDs string  `yaml:"userIds" doc:"unite: likeness may make one person of two user ids. review: that is always for somebody to decide."`
	// Fields tells which traits hold what is compared.
	Fields map[string][]string `yaml:"fields,omitempty" doc:"Traits, such as address.street, that hold a field (given_name surname email phone birth_date address postcode city) beside the usual ones; the first that is there counts."`
}

// LikenessID is the id of the only document of kind likeness, and of its model.
const LikenessID = "people"

// NewLikenessDoc returns a document with the defaults.
func NewLikenessDoc() *LikenessDoc {
	return &LikenessDoc{Enabled: true, Unite: 12, UserIDs: "unite"}
}

// Validate reports everything wrong with the document. Kind: Invalid, with Faults.
func (d *LikenessDoc) Validate() error {
	var f rapport.Faults
	if d.ID != LikenessID {
		f.Add("id", "is %q, the only one is %q", d.ID, LikenessID)
	}
	if d.Review > d.Unite {
		f.Add("review", "%v is above unite, which is %v", d.Review, d.Unite)
	}
	if d.UserIDs != "unite" && d.UserIDs != "review" {
		f.Add("userIds", "%q is not one of unite, review", d.UserIDs)
	}
	for _, field := range slices.Sorted(maps.Keys(d.Fields)) {
		if linkage.Person().Index(field) < 0 {
			f.Add("fields."+field, "is no field; they are %s", strings.Join(sourceFields(), ", "))
		}
		if len(d.Fields[field]) == 0 || len(d.Fields[field]) > 10 {
			f.Add("fields."+field, "has %d traits, want 1 to 10", len(d.Fields[field]))
		}
	}
	return f.Err()
}

func sourceFields() (names []string) {
	for _, f := range linkage.Person() {
		names = append(names, f.Name)
	}
	return names
}

// LikenessModelDoc is the config document of kind "likenessModel": the weights
// in force. The server writes it when it has trained; every version stands in
// the history of the configuration and can be brought back.
type LikenessModelDoc struct {
	ID      string `yaml:"id"`
	Version int64  `yaml:"version" min:"1" required:"true" doc:"Counts the trainings; links name the version they were scored with"`
	Made    string `yaml:"made" required:"true" doc:"When it was trained"`
	Records int    `yaml:"records" doc:"Source records it was learned from"`
	Taught  int    `yaml:"taught" doc:"Decisions of people it was adjusted to"`
	Data    string `yaml:"data" required:"true" doc:"The weights: JSON, gzip, base64"`

	model *linkage.Model
}

// maxModel is the most bytes of a model's JSON.
const maxModel = 4 << 20

// Validate implements the check of configuration documents.
func (d *LikenessModelDoc) Validate() error {
	if d.ID != LikenessID {
		return rapport.Errorf(rapport.Invalid, "there is no model %q of likeness; the server writes %s", d.ID, LikenessID)
	}
	packed, err := base64.StdEncoding.DecodeString(d.Data)
	if err != nil {
		return rapport.Errorf(rapport.Invalid, "the model is damaged")
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return rapport.Errorf(rapport.Invalid, "the model is damaged")
	}
	m := new(linkage.Model)
	text, err := io.ReadAll(io.LimitReader(z, maxModel))
	if err != nil || json.Unmarshal(text, m) != nil {
		return rapport.Errorf(rapport.Invalid, "the model is damaged")
	}
	if err := m.Check(); err != nil {
		return rapport.Errorf(rapport.Invalid, "the model is damaged: %w", err)
	}
	if len(m.Schema) != len(linkage.Person()) {
		return rapport.Errorf(rapport.Invalid, "the model is of other fields than this version compares")
	}
	d.model = m
	return nil
}

// newLikenessModel packs a model into a document.
func newLikenessModel(m *linkage.Model, version int64, made string) (LikenessModelDoc, error) {
	d := LikenessModelDoc{ID: LikenessID, Version: version, Made: made, Records: m.Records, Taught: m.Taught}
	text, err := json.Marshal(m)
	if err != nil {
		return d, err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		return d, err
	}
	if err := z.Close(); err != nil {
		return d, err
	}
	d.Data = base64.StdEncoding.EncodeToString(b.Bytes())
	return d, d.Validate()
}

// likeness is what the documents about likeness say, compiled.
type likeness struct {
	unite, review float64
	users         bool // it may unite two user ids
	enabled       bool
	fields        map[string][]string
	version       int64
	made          string
	model         *linkage.Model // nil: not trained
}

// on reports whether people are compared.
func (l *likeness) on() bool { return l != nil && l.enabled && l.model != nil }

// counts reports whether a probable link counts, as far as likeness alone goes.
func (l *likeness) counts(link *Link) bool {
	return l.on() && link.Bits >= l.unite && !link.Guarded
}

// says reports whether a link makes one person of two user ids without anybody's word.
func (l *likeness) says(link *Link) bool {
	return link.Kind == Probable && l.on() && l.users && l.counts(link)
}

// same reports whether two treat the same links alike.
func (l *likeness) same(o *likeness) bool {
	return l.on() == o.on() && (!l.on() || l.unite == o.unite && l.users == o.users)
}

// follows reports whether two compare the same records in the same way.
func (l *likeness) follows(o *likeness) bool {
	if l.on() != o.on() {
		return false
	}
	return !l.on() || l.version == o.version && l.review == o.review && maps.EqualFunc(l.fields, o.fields, slices.Equal)
}

// WithLikeness returns the rules with the documents about likeness. Documents
// must be validated; there is at most one of each.
func (r *Rules) WithLikeness(docs []LikenessDoc, models []LikenessModelDoc) (*Rules, error) {
	out := &Rules{}
	if r != nil {
		*out = *r
	}
	l := &likeness{}
	for i := range docs {
		d := &docs[i]
		if err := d.Validate(); err != nil {
			return nil, err
		}
		l.enabled, l.unite, l.review, l.users, l.fields = d.Enabled, d.Unite, d.Review, d.UserIDs == "unite", d.Fields
	}
	for i := range models {
		d := &models[i]
		if d.model == nil {
			if err := d.Validate(); err != nil {
				return nil, err
			}
		}
		l.model, l.version, l.made = d.model, d.Version, d.Made
	}
	out.likeness = l
	return out, nil
}

// Resembling returns the rules with another document about likeness and the
// model they have. Kind: Invalid.
func (r *Rules) Resembling(d LikenessDoc) (*Rules, error) {
	out, err := r.WithLikeness([]LikenessDoc{d}, nil)
	if err == nil && r.resembling() != nil {
		out.likeness.model, out.likeness.version, out.likeness.made = r.likeness.model, r.likeness.version, r.likeness.made
	}
	return out, err
}

func (r *Rules) resembling() *likeness {
	if r == nil {
		return nil
	}
	return r.likeness
}

// usualTraits are the traits that hold a field, by the conventions of the
// common clients; the first that is there counts.
var usualTraits = map[string][]string{
	"given_name": {"firstName", "first_name", "firstname", "givenName", "given_name"},
	"surname":    {"lastName", "last_name", "lastname", "surname", "familyName", "family_name"},
	"email":      {"email"},
	"phone":      {"phone", "mobile"},
	"birth_date": {"birthday", "birthDate", "birth_date", "dateOfBirth", "date_of_birth"},
	"address":    {"street", "address.street", "address.line1", "address1", "address"},
	"postcode":   {"postalCode", "postal_code", "postcode", "zip", "address.postalCode", "address.postal_code", "address.zip"},
	"city":       {"city", "address.city"},
}

// Values returns what a source record tells, in the order of linkage.Person:
// trait returns the text of a trait by its path, "" if it has none.
func (r *Rules) Values(trait func(path string) string) []string {
	schema := linkage.Person()
	out := make([]string, len(schema))
	l := r.resembling()
	for i, f := range schema {
		paths := usualTraits[f.Name]
		if l != nil && len(l.fields[f.Name]) > 0 {
			paths = l.fields[f.Name]
		}
		for _, p := range paths {
			if out[i] = trait(p); out[i] != "" {
				break
			}
		}
	}
	given, surname := schema.Index("given_name"), schema.Index("surname")
	if out[given] == "" && out[surname] == "" { // one name: the last word is the family's
		name := strings.Fields(trait("name"))
		if n := len(name); n > 1 {
			out[given], out[surname] = strings.Join(name[:n-1], " "), name[n-1]
		}
	}
	return out
}
