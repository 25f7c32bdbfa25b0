package config

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// FactChanged is the kind of this room's facts.
const FactChanged = "config.changed"

// Change is a set of edits that is applied whole or not at all.
type Change struct {
	Put    []*Document
	Delete []Ref
	Author string
	Note   string // why, for the history
	// Expect is the version the author looked at; nil applies to whatever is current.
	Expect *int64

	// Guarded refuses what must be proposed first because an approval asks for a
	// second person.
	Guarded bool

	folder   string // content hash when it comes from the config folder
	forget   []Ref
	undoes   int64
	proposal int64 // that is published by it
	proposer string
}

// Revision is one applied change.
type Revision struct {
	Version int64  `json:"version"`
	Time    int64  `json:"time"` // Unix ms
	Author  string `json:"author"`
	Note    string `json:"note,omitempty"`
	// Undoes is the version this one takes back, or 0.
	Undoes int64 `json:"undoes,omitempty"`
	// Proposal was published by this, and Proposer wrote it.
	Proposal int64  `json:"proposal,omitempty"`
	Proposer string `json:"proposer,omitempty"`
	// Folder is true if it came from the folder of serve --config.
	Folder  bool  `json:"folder,omitempty"`
	Changed []Ref `json:"changed"`
	Deleted []Ref `json:"deleted"`

	digest string
	texts  map[Ref]string // of Changed
}

// Entry is the current state of one document and who made it so.
type Entry struct {
	*Document
	Version int64
	Time    int64
	Author  string

	folder bool // written from the folder
}

// PublishFunc is asked before a change is written: it compiles the set, whose
// references are resolved, and returns records that go into the log in the same
// submission (the engine's barriers). An error refuses the change. It may be
// called for a version that is then not reached because the log failed, and it
// must not use the journal, which waits for it.
type PublishFunc func(ctx context.Context, version int64, resolved *Set) ([]eventlog.Record, error)

// Options are what a Store needs.
type Options struct {
	Journal  *Journal
	Registry *Registry
	// Environment resolves ${NAME}; nil knows no variable.
	Environment Environment
	// Publish may be nil.
	Publish PublishFunc
	// Settled is called after a change was written, before whoever made it is
	// answered: it may wait a moment for the change to be in force. It may be nil.
	Settled func(ctx context.Context)
}

// Store is the configuration of a deployment with its history: a fold of the
// config.changed facts of the control topic. Version 0 is the empty one. It is
// safe for concurrent use; Sets it returns are immutable.
type Store struct {
	o Options

	mu      sync.RWMutex
	current map[Ref]Entry
	set     *Set
	faulty  Problems // of stored documents this program cannot read
	history []*Revision
	// inFolder is what the folder last said of each document: its text.
	inFolder map[Ref]string
	digest   string
	// proposals are those that wait and the latest that ended; proposed counts all.
	proposals []*Proposal
	proposed  int64
}

// NewStore returns an empty store that folds the journal's facts; the
// journal's Replay fills it.
func NewStore(o Options) *Store {
	if o.Environment == nil {
		o.Environment = func(string) (string, bool) { return "", false }
	}
	s := &Store{o: o, current: map[Ref]Entry{}, set: NewSet(), inFolder: map[Ref]string{}}
	o.Journal.OnFact(s.fold)
	return s
}

// changeBody is the fact of one change.
type changeBody struct {
	// Base is the version changed. A fact whose base is not the current version
	// lost a race and changes nothing, on every replay alike.
	Base   int64  `json:"base"`
	Note   string `json:"note,omitempty"`
	Undoes int64  `json:"undoes,omitempty"`
	Folder string `json:"folder,omitempty"` // content hash
	// Proposal is published by this change, Proposer its author.
	Proposal int64         `json:"proposal,omitempty"`
	Proposer string        `json:"proposer,omitempty"`
	Put      []changedText `json:"put,omitempty"`
	Delete   []Ref         `json:"delete,omitempty"`
	// Forget lists documents that left the folder and are gone already.
	Forget []Ref `json:"forget,omitempty"`
}

type changedText struct {
	Ref
	Text string `json:"text"`
}

// fold applies one fact.
func (s *Store) fold(f Fact) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f.Kind {
	case FactChanged:
		return s.foldChanged(f)
	case FactProposed:
		return s.foldProposed(f)
	case FactClosed:
		return s.foldClosed(f)
	}
	return nil
}

// foldChanged applies a change; s.mu is held by the caller.
func (s *Store) foldChanged(f Fact) error {
	var c changeBody
	if err := json.Unmarshal(f.Body, &c); err != nil {
		return rapport.Errorf(rapport.Internal, "a config change is damaged: %w", err)
	}
	if c.Base != s.version() {
		return nil
	}
	rev := &Revision{
		Version: c.Base + 1, Time: f.Time, Author: f.Author, Note: c.Note, Undoes: c.Undoes, Proposal: c.Proposal, Proposer: c.Proposer, Folder: c.Folder != "",
		Changed: []Ref{}, Deleted: append([]Ref{}, c.Delete...), digest: c.Folder, texts: make(map[Ref]string, len(c.Put)),
	}
	var put []*Document
	broken := map[Ref]Problems{}
	for _, t := range c.Put {
		rev.Changed = append(rev.Changed, t.Ref)
		rev.texts[t.Ref] = t.Text
		doc, problems := s.o.Registry.stored(t.Ref, t.Text)
		if len(problems) > 0 {
			broken[t.Ref] = problems
		}
		put = append(put, doc)
	}
	s.faulty = slices.DeleteFunc(s.faulty, func(p Problem) bool {
		return slices.ContainsFunc(append(rev.Changed, rev.Deleted...), func(r Ref) bool { return r.String() == p.File })
	})
	for _, r := range rev.Deleted {
		delete(s.current, r)
	}
	for _, doc := range put {
		s.current[doc.Ref] = Entry{Document: doc, Version: rev.Version, Time: f.Time, Author: f.Author, folder: rev.Folder}
		s.faulty = append(s.faulty, broken[doc.Ref]...)
	}
	s.set = s.readable(s.set.with(put, rev.Deleted), broken)
	s.history = append(s.history, rev)
	if p := s.proposal(c.Proposal); p != nil && p.State == ProposalOpen {
		p.State, p.EndedAt, p.EndedBy, p.Version = ProposalPublished, f.Time, f.Author, rev.Version
	}
	if rev.Folder {
		s.digest = c.Folder
		for _, r := range slices.Concat(c.Delete, c.Forget) {
			delete(s.inFolder, r)
		}
		maps.Copy(s.inFolder, rev.texts)
	}
	return nil
}

// readable takes documents that cannot be read out of a set but remembers that they are there.
func (s *Store) readable(set *Set, broken map[Ref]Problems) *Set {
	for r := range broken {
		delete(set.docs, r)
		if set.broken == nil {
			set.broken = map[Ref]bool{}
		}
		set.broken[r] = true
	}
	return set
}

// stored reads a document from the log. One that this program cannot read is
// returned with its text alone.
func (r *Registry) stored(ref Ref, text string) (*Document, Problems) {
	src := source{name: ref.String(), text: text, line: 1}
	doc, problems := r.document(src)
	if len(problems) == 0 && doc.Ref != ref {
		problems = Problems{src.problem(1, 1, "the document calls itself "+doc.Ref.String())}
	}
	if len(problems) > 0 {
		return &Document{Ref: ref, Text: text, src: src, tree: &node{kind: mapNode, line: 1, column: 1}}, problems
	}
	return doc, nil
}

func (s *Store) version() int64 { return int64(len(s.history)) }

// Version returns the current version.
func (s *Store) Version() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.version()
}

// Current returns the current documents, references not replaced, and their version.
func (s *Store) Current() (*Set, int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.set, s.version()
}

// Resolved returns the current documents with references replaced. Kinds:
// Invalid, when a variable is not set or a stored document cannot be read any
// more; the set then holds the others.
func (s *Store) Resolved() (*Set, int64, error) {
	s.mu.RLock()
	set, version, faulty := s.set, s.version(), slices.Clone(s.faulty)
	s.mu.RUnlock()
	resolved, problems := s.o.Registry.Resolve(set, s.o.Environment)
	return resolved, version, append(faulty, problems...).Err()
}

// Entry returns a document with who changed it last. Kinds: NotFound.
func (s *Store) Entry(kind, id string) (Entry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.current[Ref{kind, id}]
	if !ok {
		return Entry{}, s.notFound(kind, id)
	}
	return e, nil
}

func (s *Store) notFound(kind, id string) error {
	var ids []string
	for r := range s.current {
		if r.Kind == kind {
			ids = append(ids, r.ID)
		}
	}
	slices.Sort(ids)
	return rapport.Errorf(rapport.NotFound, "%s", suggest("there is no "+kind+" "+id, id, ids))
}

// Entries returns every current document, by kind and id.
func (s *Store) Entries() []Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.SortedFunc(maps.Values(s.current), func(a, b Entry) int { return a.Ref.Compare(b.Ref) })
}

// Apply checks a change against what is current and writes it; it returns the
// new version. A change that changes nothing returns the current version.
// Kinds: Invalid (wraps [Problems]), Conflict (Expect is not the current
// version), Denied (Guarded, and an approval asks for a second person), NotFound
// (a document to delete), TooLarge, Unavailable.
func (s *Store) Apply(ctx context.Context, c Change) (int64, error) {
	s.o.Journal.mu.Lock()
	version, err := s.apply(ctx, c)
	s.o.Journal.mu.Unlock()
	s.settle(ctx, err)
	return version, err
}

// settle waits for a change that was written to be in force.
func (s *Store) settle(ctx context.Context, err error) {
	if err == nil && s.o.Settled != nil {
		s.o.Settled(ctx)
	}
}

// apply is Apply with the journal locked, so that nothing changes meanwhile.
func (s *Store) apply(ctx context.Context, c Change) (int64, error) {
	if err := s.o.Journal.catchUp(ctx); err != nil {
		return 0, err
	}
	version := s.Version()
	if c.Expect != nil && *c.Expect != version {
		return 0, rapport.WithHint(rapport.Errorf(rapport.Conflict, "the config is at version %d, the change was made for version %d", version, *c.Expect),
			"look at what changed since version %d, then apply again", *c.Expect)
	}
	next, err := s.checked(&c)
	if err != nil {
		return 0, err
	}
	if err := s.guard(&c); err != nil {
		return 0, err
	}
	if len(c.Put)+len(c.Delete) == 0 && c.folder == "" && c.proposal == 0 {
		return version, nil
	}
	resolved, problems := s.o.Registry.Resolve(next, s.o.Environment)
	if err := problems.Err(); err != nil {
		return 0, err
	}
	var more []eventlog.Record
	if s.o.Publish != nil {
		if more, err = s.o.Publish(ctx, version+1, resolved); err != nil {
			return 0, err
		}
	}
	body := changeBody{Base: version, Note: c.Note, Undoes: c.undoes, Folder: c.folder, Delete: c.Delete, Forget: c.forget, Proposal: c.proposal, Proposer: c.proposer}
	for _, doc := range c.Put {
		body.Put = append(body.Put, changedText{doc.Ref, doc.Text})
	}
	b, err := json.Marshal(body)
	if err != nil {
		return 0, rapport.Errorf(rapport.Internal, "encode the change: %w", err)
	}
	if err := s.o.Journal.append(ctx, FactChanged, c.Author, b, more); err != nil {
		return 0, err
	}
	if now := s.Version(); now != version+1 {
		return 0, rapport.Errorf(rapport.Conflict, "another process changed the config to version %d meanwhile", now)
	}
	return version + 1, nil
}

// guard refuses a change that must be proposed first.
func (s *Store) guard(c *Change) error {
	if !c.Guarded {
		return nil
	}
	p := Proposal{Put: c.Put, Delete: c.Delete}
	if _, asked := s.SecondPerson(p.Refs()...); asked {
		return rapport.WithHint(rapport.Errorf(rapport.Denied, "an approval asks that a second person publishes this change"), "propose it instead: Send for review in the console, or rapport apply --propose")
	}
	return nil
}

// maxNote bounds the note of a change.
const maxNote = 2000

// checked drops edits that change nothing, orders the rest and returns the set the change leads to.
func (s *Store) checked(c *Change) (*Set, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c.Author == "" || len(c.Note) > maxNote {
		return nil, rapport.Errorf(rapport.Invalid, "a change has an author, and a note of at most %d bytes", maxNote)
	}
	var problems Problems
	put := make(map[Ref]*Document, len(c.Put))
	for _, d := range c.Put {
		if put[d.Ref] != nil || slices.Contains(c.Delete, d.Ref) {
			return nil, rapport.Errorf(rapport.Invalid, "%s stands twice in one change", d.Ref)
		}
		// A document from elsewhere is read again: what is stored is what this registry understands.
		doc, found := s.o.Registry.stored(d.Ref, d.Text)
		if len(found) > 0 {
			problems = append(problems, found...)
			continue
		}
		adopt := c.folder != "" && !s.current[d.Ref].folder // the folder owns what it says
		if old, ok := s.current[d.Ref]; !ok || adopt || !sameMeaning(old.Document, doc) || s.set.broken[d.Ref] {
			put[d.Ref] = doc
		}
	}
	if len(problems) > 0 {
		return nil, problems.sorted().Err()
	}
	remove := slices.Clone(c.Delete)
	slices.SortFunc(remove, Ref.Compare)
	for i, r := range remove {
		if _, ok := s.current[r]; !ok || i > 0 && remove[i-1] == r {
			return nil, s.notFound(r.Kind, r.ID)
		}
	}
	c.Put = slices.SortedFunc(maps.Values(put), func(a, b *Document) int { return a.Ref.Compare(b.Ref) })
	c.Delete = remove
	next := s.set.with(c.Put, c.Delete)
	if len(next.docs) > MaxDocuments {
		return nil, rapport.Errorf(rapport.TooLarge, "a deployment has at most %d documents", MaxDocuments)
	}
	return next, s.o.Registry.Check(next).Err()
}
