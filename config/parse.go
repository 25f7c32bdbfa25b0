package config

import (
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

var documentID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Parse reads the documents of one file or request body. name stands in the
// problems. What could be read is in the set even when there are problems.
// JSON is YAML too: a body that is a JSON object is kept as YAML text.
func (r *Registry) Parse(name string, data []byte) (*Set, Problems) {
	set := &Set{docs: map[Ref]*Document{}, broken: map[Ref]bool{}}
	problems := r.parseInto(set, name, data)
	return set, problems.sorted()
}

// Load reads every *.yaml and *.yml file below a folder, hidden ones left out.
// The error is one of reading files; what is wrong inside them is in the problems.
func (r *Registry) Load(folder fs.FS) (*Set, Problems, error) {
	set := &Set{docs: map[Ref]*Document{}, broken: map[Ref]bool{}}
	var problems Problems
	err := fs.WalkDir(folder, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(e.Name(), ".") && name != "."
		if e.IsDir() {
			if hidden {
				return fs.SkipDir
			}
			return nil
		}
		if ext := path.Ext(name); hidden || ext != ".yaml" && ext != ".yml" {
			return nil
		}
		info, err := fs.Stat(folder, name) // follows links, as mounted volumes need
		if err != nil || info.IsDir() {
			return err
		}
		if info.Size() > MaxFile {
			problems = append(problems, Problem{File: name, Line: 1, Column: 1, Message: "the file is larger than 4 MB"})
			return nil
		}
		data, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		problems = append(problems, r.parseInto(set, name, data)...)
		return nil
	})
	if err != nil {
		return nil, nil, rapport.Errorf(rapport.Invalid, "read the config folder: %w", err)
	}
	return set, problems.sorted(), nil
}

func (r *Registry) parseInto(set *Set, name string, data []byte) (problems Problems) {
	if len(data) > MaxFile {
		return Problems{{File: name, Line: 1, Column: 1, Message: "the file is larger than 4 MB"}}
	}
	for _, src := range split(name, string(data)) {
		if len(set.docs) >= MaxDocuments {
			return append(problems, src.problem(src.line, 1, fmt.Sprintf("there are more than %d documents", MaxDocuments)))
		}
		doc, found := r.document(src)
		problems = append(problems, found...)
		switch {
		case doc == nil:
		case len(found) > 0:
			set.loose = append(set.loose, doc)
			set.broken[doc.Ref] = true
		case set.docs[doc.Ref] != nil:
			first := set.docs[doc.Ref]
			at := doc.tree.get("id")
			file, line := first.Position()
			problems = append(problems, src.problem(at.line, at.column, fmt.Sprintf("%s is defined already at %s:%d", doc.Ref, file, line)))
		default:
			set.docs[doc.Ref] = doc
		}
	}
	return problems
}

// document reads one document. With problems, what it returns is as much as
// could be read: nil, or a document without Spec.
func (r *Registry) document(src source) (*Document, Problems) {
	rd := &reader{src: &src}
	tree := rd.parse()
	if tree == nil {
		return nil, rd.problems
	}
	if strings.HasPrefix(src.text, "{") {
		return r.flow(src, tree)
	}
	return r.decode(src, tree, nil)
}

// flow rewrites a document written as one JSON object as plain YAML and reads that.
func (r *Registry) flow(src source, tree *node) (*Document, Problems) {
	plain := source{name: src.name, text: emit(tree), line: 1}
	rd := &reader{src: &plain}
	again := rd.parse()
	if again == nil {
		return r.decode(src, tree, nil)
	}
	if doc, problems := r.decode(plain, again, nil); len(problems) == 0 {
		return doc, nil
	}
	return r.decode(src, tree, nil) // positions of what was sent
}

// decode builds a document from its tree; with an environment it resolves references.
func (r *Registry) decode(src source, tree *node, env Environment) (*Document, Problems) {
	d := &decoder{src: &src, env: env}
	doc := &Document{Text: src.text, src: src, tree: tree}
	if tree.kind != mapNode {
		d.fail(tree, "a document wants keys and values, kind and id first, not "+tree.describe())
		return nil, d.problems
	}
	k := r.header(d, doc)
	if k == nil {
		return nil, d.problems
	}
	spec := reflect.ValueOf(k.New())
	for _, f := range structFields(k.typ) {
		if f.name == "id" && spec.Elem().FieldByIndex(f.index).Kind() == reflect.String {
			spec.Elem().FieldByIndex(f.index).SetString(doc.ID)
		}
	}
	d.object(tree, spec.Elem(), "", headerKeys)
	slices.Sort(d.names)
	for i, l := range d.links {
		if meant := k.Means[l.Kind]; meant != "" {
			d.links[i].Kind = meant
		}
	}
	doc.links, doc.Environment = d.links, slices.Compact(d.names)
	if len(d.problems) == 0 {
		doc.Spec = spec.Interface()
	}
	return doc, d.problems
}

// header reads the keys every document has and returns the kind, or nil.
func (r *Registry) header(d *decoder, doc *Document) *kind {
	n := doc.tree
	id, name := n.get("id"), n.get("kind")
	switch {
	case name == nil:
		d.fail(n, suggest("the key kind is missing", "", r.Kinds()))
	case name.kind != textNode || r.byName[name.text] == nil:
		d.fail(name, suggest("there is no kind "+name.text, name.text, r.Kinds()))
	default:
		doc.Kind = name.text
	}
	switch {
	case id == nil:
		d.fail(n, "the key id is missing")
	case id.kind != textNode && id.kind != numberNode || !documentID.MatchString(id.text):
		d.fail(id, "an id has up to 64 letters, digits, points, - and _, and begins with a letter or digit")
	default:
		doc.ID = id.text
	}
	if demo := n.get("demo"); demo != nil {
		d.value(demo, reflect.ValueOf(&doc.Demo).Elem(), "demo")
	}
	if labels := n.get("labels"); labels != nil {
		d.value(labels, reflect.ValueOf(&doc.Labels).Elem(), "labels")
	}
	return r.byName[doc.Kind]
}

// Check reports what names a document that is not in the set.
func (r *Registry) Check(s *Set) Problems {
	var problems Problems
	ids := make(map[string][]string)
	for _, doc := range s.All() {
		ids[doc.Kind] = append(ids[doc.Kind], doc.ID)
	}
	for _, doc := range slices.Concat(s.All(), s.loose) {
		for _, l := range doc.links {
			if s.docs[l.Ref] != nil || s.broken[l.Ref] || r.byName[l.Kind] == nil {
				continue
			}
			problems = append(problems, doc.src.problem(l.at.line, l.at.column, suggest("there is no "+kindNoun(l.Kind)+" "+l.ID, l.ID, ids[l.Kind])))
		}
	}
	return problems.sorted()
}

// Resolve returns a copy of the set whose Specs have every ${NAME} replaced, or
// the problems that keep it from being so: variables that are not set, and what
// only shows with their values. The stored documents are not touched.
func (r *Registry) Resolve(s *Set, env Environment) (*Set, Problems) {
	resolved := &Set{docs: make(map[Ref]*Document, len(s.docs)), broken: s.broken}
	var problems Problems
	for _, doc := range s.All() {
		if len(doc.Environment) == 0 {
			resolved.docs[doc.Ref] = doc
			continue
		}
		done, found := r.decode(doc.src, doc.tree, env)
		problems = append(problems, found...)
		if len(found) == 0 {
			resolved.docs[doc.Ref] = done
		}
	}
	return resolved, problems.sorted()
}

// kindNoun is what a document of a kind is called in a sentence.
func kindNoun(kind string) string {
	switch kind {
	case "computed":
		return "computed trait"
	case "itemComputed":
		return "computed trait of items"
	}
	return kind
}
