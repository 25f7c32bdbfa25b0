// Package config is configuration as code: YAML documents that are read with
// their positions, checked as a whole, compared, applied as facts of the
// control topic, and kept with their history.
//
// Properties:
//
//   - Everything wrong is reported at once, each with file, line and column,
//     and with the nearest name where a name is unknown.
//   - Secrets are never stored: documents keep ${NAME} references, which are
//     replaced only in the copy handed to the rooms ([Registry.Resolve]).
//   - A change is one record: it is applied whole or not at all, under a
//     version that rises by one. The same log gives the same versions.
//   - The rooms' own structs are the schema: parser, JSON Schema and reference
//     come from their tags, so they cannot disagree.
package config

import (
	"cmp"
	"maps"
	"reflect"
	"regexp"
	"slices"

	"github.com/rapport-engine/rapport"
)

// Kind is one kind of document, declared by the room that understands it.
//
// New returns a pointer to a struct with the defaults filled in. Its exported
// fields are the document's keys, described by tags:
//
//	yaml:"name"          the key; ",inline" takes an embedded struct's keys
//	doc:"..."            one sentence for forms and the reference
//	required:"true"      must be written
//	enum:"a,b"           the only texts allowed
//	min:"0" max:"1"      inclusive bounds of a number or duration, or of a list's length
//	ref:"placement"      a text (or list, or map of texts) naming documents of that kind, which must exist
//	secret:"true"        a text that must be a ${NAME} reference
//	suggest:"event"      what its values usually are, for pickers: event, kind, a kind of documents, kind.key
//	unit:"money"         what a number counts in: money, share, %, events/s
//
// A field yaml:"id" of type string gets the document's id. Structs that have a
// method Validate() error are asked after they are filled; an error with a
// method Faults() []rapport.Fault tells several, each with the key it is about
// as its Path ("goals[0].within"). Types with UnmarshalText read themselves.
type Kind struct {
	Name string // as written after kind:, lower camel case
	Doc  string // what such a document is for, in a sentence or two
	New  func() any
	// Means says which kinds conditions in such a document mean, where it is not
	// the usual one: computed.x of a product item is another thing than a person's.
	Means map[string]string
}

// Ref names a document.
type Ref struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// String returns "kind/id".
func (r Ref) String() string { return r.Kind + "/" + r.ID }

// Compare orders references by kind, then id.
func (r Ref) Compare(o Ref) int { return cmp.Or(cmp.Compare(r.Kind, o.Kind), cmp.Compare(r.ID, o.ID)) }

// Document is one parsed document. It is immutable.
type Document struct {
	Ref
	// Labels are free marks for people and tools.
	Labels map[string]string
	// Demo marks what the demo made, so that it can be told apart and removed.
	Demo bool
	// Text is the document as written, comments included, references not replaced.
	Text string
	// Spec is what Kind.New returned, filled. Until the set is resolved, text
	// fields hold ${NAME} references as written and others their defaults.
	Spec any
	// Environment lists the names of the ${NAME} references, sorted.
	Environment []string

	src   source
	tree  *node
	links []link
}

// Fields returns the whole document as JSON fields, in written order.
func (d *Document) Fields() rapport.Fields {
	f, _ := d.tree.value().Object()
	return f
}

// Position returns where the document begins: a file (empty when it came from the store) and a line.
func (d *Document) Position() (file string, line int) { return d.src.name, d.tree.line }

// link is a place in a document that names another one.
type link struct {
	Ref
	at *node
}

// Set is an immutable collection of documents, no two with one name.
type Set struct {
	docs map[Ref]*Document
	// broken are documents that were there but could not be read: what names them is not to blame.
	broken map[Ref]bool
	loose  []*Document // those, as far as they could be read
}

// NewSet returns a set of documents; of two with one name the later stays.
func NewSet(docs ...*Document) *Set {
	s := &Set{docs: make(map[Ref]*Document, len(docs))}
	for _, d := range docs {
		s.docs[d.Ref] = d
	}
	return s
}

// After returns the set that a change of documents leads to.
func (s *Set) After(put []*Document, remove []Ref) *Set { return s.with(put, remove) }

// Len returns the number of documents.
func (s *Set) Len() int { return len(s.docs) }

// Get returns a document, or nil.
func (s *Set) Get(kind, id string) *Document { return s.docs[Ref{kind, id}] }

// All returns every document, by kind and id.
func (s *Set) All() []*Document {
	return slices.SortedFunc(maps.Values(s.docs), func(a, b *Document) int { return a.Ref.Compare(b.Ref) })
}

// Of returns the documents of one kind, by id.
func (s *Set) Of(kind string) []*Document {
	return slices.DeleteFunc(s.All(), func(d *Document) bool { return d.Kind != kind })
}

// Specs returns the filled structs of one kind, by id. T is what Kind.New
// returns; documents of another type are left out.
func Specs[T any](s *Set, kind string) []T {
	var specs []T
	for _, d := range s.Of(kind) {
		if spec, ok := d.Spec.(T); ok {
			specs = append(specs, spec)
		}
	}
	return specs
}

// with returns a copy of the set without some documents and with others.
func (s *Set) with(put []*Document, remove []Ref) *Set {
	next := &Set{docs: maps.Clone(s.docs), broken: maps.Clone(s.broken)}
	for _, r := range remove {
		delete(next.docs, r)
		delete(next.broken, r)
	}
	for _, d := range put {
		next.docs[d.Ref] = d
		delete(next.broken, d.Ref)
	}
	return next
}

// Registry knows the kinds of documents of one program. It is immutable.
type Registry struct {
	kinds  []*kind // by name
	byName map[string]*kind
}

type kind struct {
	Kind
	typ   reflect.Type // of the struct
	field Field
}

var kindName = regexp.MustCompile(`^[a-z][A-Za-z0-9]{0,31}$`)

// NewRegistry returns a registry of kinds. An error names a struct whose tags
// cannot be right: it is a defect of the program.
func NewRegistry(kinds []Kind) (*Registry, error) {
	r := &Registry{byName: make(map[string]*kind, len(kinds))}
	for _, k := range kinds {
		if !kindName.MatchString(k.Name) || r.byName[k.Name] != nil {
			return nil, rapport.Errorf(rapport.Internal, "the kind %q is badly named or declared twice", k.Name)
		}
		p := reflect.ValueOf(k.New())
		if p.Kind() != reflect.Pointer || p.Elem().Kind() != reflect.Struct {
			return nil, rapport.Errorf(rapport.Internal, "New of kind %s does not return a pointer to a struct", k.Name)
		}
		info := &kind{Kind: k, typ: p.Elem().Type()}
		var err error
		if info.field, err = describe(p.Elem(), "", nil); err != nil {
			return nil, rapport.Errorf(rapport.Internal, "kind %s: %w", k.Name, err)
		}
		info.field.Name, info.field.Doc = k.Name, k.Doc
		r.byName[k.Name] = info
		r.kinds = append(r.kinds, info)
	}
	slices.SortFunc(r.kinds, func(a, b *kind) int { return cmp.Compare(a.Name, b.Name) })
	return r, nil
}

// Kinds returns the names of the kinds, sorted.
func (r *Registry) Kinds() []string {
	names := make([]string, len(r.kinds))
	for i, k := range r.kinds {
		names[i] = k.Name
	}
	return names
}
