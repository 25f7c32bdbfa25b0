package config

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// The kinds of facts that carry proposals. One that is published is ended by
// the config.changed fact that names it.
const (
	FactProposed = "config.proposed"
	FactClosed   = "config.closed"
)

// ApprovalKind is the kind of document that asks for a second person.
const ApprovalKind = "approval"

// ApprovalDoc asks that somebody else than its author publishes a change.
//
// It binds whoever changes the configuration over the API. The folder of serve
// --config, which is reviewed where it is kept, and taking a version back do
// not ask.
type ApprovalDoc struct {
	ID    string   `yaml:"id" doc:"Name of the rule."`
	Kinds []string `yaml:"kinds,omitempty" suggest:"kind" doc:"Kinds of documents that need a second person, such as action and policy; all kinds if left out."`
	Role  string   `yaml:"role,omitempty" enum:"marketer,admin" doc:"Least role of the second person: marketer (default) or admin."`
}

// asks reports whether the rule is about a document. Approvals themselves are
// always meant, or the rule could be taken away by whom it binds.
func (d *ApprovalDoc) asks(r Ref) bool {
	return r.Kind == ApprovalKind || len(d.Kinds) == 0 || slices.Contains(d.Kinds, r.Kind)
}

// ProposalState says how far a proposal is.
type ProposalState string

// The states of a proposal. All but ProposalOpen are final.
const (
	ProposalOpen      ProposalState = "open"
	ProposalPublished ProposalState = "published"
	ProposalRefused   ProposalState = "refused"
	ProposalWithdrawn ProposalState = "withdrawn"
)

// Proposal is a change that waits for somebody to publish it.
type Proposal struct {
	ID     int64 // 1 is the first
	Base   int64 // version of the configuration it was made for
	Time   int64 // Unix ms
	Author string
	Note   string
	// Put are the documents as they would be, Delete those that would be gone.
	Put    []*Document
	Delete []Ref
	State  ProposalState
	// EndedAt, EndedBy and Reason tell of a proposal that is not open; Version is what publishing it made.
	EndedAt int64
	EndedBy string
	Reason  string
	Version int64
}

// Refs are the documents a proposal is about, sorted.
func (p *Proposal) Refs() []Ref {
	refs := slices.Clone(p.Delete)
	for _, doc := range p.Put {
		refs = append(refs, doc.Ref)
	}
	slices.SortFunc(refs, Ref.Compare)
	return refs
}

type proposedBody struct {
	Base   int64         `json:"base"`
	Note   string        `json:"note,omitempty"`
	Put    []changedText `json:"put,omitempty"`
	Delete []Ref         `json:"delete,omitempty"`
}

type closedBody struct {
	Proposal int64         `json:"proposal"`
	State    ProposalState `json:"state"`
	Reason   string        `json:"reason,omitempty"`
}

const (
	// maxOpen bounds how many proposals wait at a time.
	maxOpen = 200
	// keptProposals bounds how many ended proposals are remembered.
	keptProposals = 1000
)

// foldProposed takes a proposal in; s.mu is held by the caller.
func (s *Store) foldProposed(f Fact) error {
	var b proposedBody
	if err := json.Unmarshal(f.Body, &b); err != nil {
		return rapport.Errorf(rapport.Internal, "a proposal is damaged: %w", err)
	}
	s.proposed++
	p := &Proposal{ID: s.proposed, Base: b.Base, Time: f.Time, Author: f.Author, Note: b.Note, Delete: b.Delete, State: ProposalOpen}
	for _, t := range b.Put {
		doc, _ := s.o.Registry.stored(t.Ref, t.Text) // one that cannot be read any more is refused when published
		p.Put = append(p.Put, doc)
	}
	s.proposals = append(s.proposals, p)
	if len(s.proposals) > keptProposals+maxOpen {
		if i := slices.IndexFunc(s.proposals, func(p *Proposal) bool { return p.State != ProposalOpen }); i >= 0 {
			s.proposals = slices.Delete(s.proposals, i, i+1)
		}
	}
	return nil
}

// foldClosed ends a proposal that was not published; s.mu is held by the caller.
func (s *Store) foldClosed(f Fact) error {
	var b closedBody
	if err := json.Unmarshal(f.Body, &b); err != nil {
		return rapport.Errorf(rapport.Internal, "the end of a proposal is damaged: %w", err)
	}
	if p := s.proposal(b.Proposal); p != nil && p.State == ProposalOpen {
		p.State, p.EndedAt, p.EndedBy, p.Reason = b.State, f.Time, f.Author, b.Reason
	}
	return nil
}

func (s *Store) proposal(id int64) *Proposal {
	for _, p := range slices.Backward(s.proposals) {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// Proposals returns proposals, newest first; those that are open, or all.
func (s *Store) Proposals(all bool) []Proposal {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []Proposal{}
	for _, p := range slices.Backward(s.proposals) {
		if all || p.State == ProposalOpen {
			list = append(list, *p)
		}
	}
	return list
}

// Proposal returns one. Kinds: NotFound.
func (s *Store) Proposal(id int64) (Proposal, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p := s.proposal(id); p != nil {
		return *p, nil
	}
	return Proposal{}, rapport.Errorf(rapport.NotFound, "there is no proposal %d", id)
}

// Moved returns the documents of a proposal that were changed since it was
// made, each as it is now; one that is gone has no Document.
func (s *Store) Moved(p *Proposal) []Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	moved := []Entry{}
	for _, ref := range p.Refs() {
		for _, rev := range slices.Backward(s.history) {
			if rev.Version <= p.Base {
				break
			}
			if slices.Contains(rev.Changed, ref) || slices.Contains(rev.Deleted, ref) {
				e, ok := s.current[ref]
				if !ok {
					e = Entry{Document: &Document{Ref: ref}, Version: rev.Version, Time: rev.Time, Author: rev.Author}
				}
				moved = append(moved, e)
				break
			}
		}
	}
	return moved
}

// SecondPerson reports whether a change of these documents must be published
// by somebody else than its author, and the least role that person needs:
// "marketer" or "admin".
func (s *Store) SecondPerson(refs ...Ref) (role string, asked bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, spec := range Specs[*ApprovalDoc](s.set, ApprovalKind) {
		if slices.ContainsFunc(refs, spec.asks) {
			asked = true
			if spec.Role == "admin" {
				return "admin", true
			}
		}
	}
	if asked {
		role = "marketer"
	}
	return role, asked
}

// Propose keeps a change for somebody to publish. It is checked as if it were
// applied now. Kinds: those of Apply, and Conflict when too many wait.
func (s *Store) Propose(ctx context.Context, c Change) (Proposal, error) {
	id := int64(0)
	err := s.o.Journal.AppendWith(ctx, FactProposed, c.Author, func() ([]byte, []eventlog.Record, error) {
		if c.Expect != nil && *c.Expect > s.Version() {
			return nil, nil, rapport.Errorf(rapport.Invalid, "there is no version %d of the config", *c.Expect)
		}
		next, err := s.checked(&c)
		if err != nil {
			return nil, nil, err
		}
		if len(c.Put)+len(c.Delete) == 0 {
			return nil, nil, rapport.Errorf(rapport.Invalid, "the change changes nothing")
		}
		if _, problems := s.o.Registry.Resolve(next, s.o.Environment); len(problems) > 0 {
			return nil, nil, problems.Err()
		}
		if len(s.Proposals(false)) >= maxOpen {
			return nil, nil, rapport.WithHint(rapport.Errorf(rapport.Conflict, "%d proposals wait already", maxOpen), "publish or refuse some first")
		}
		b := proposedBody{Base: s.Version(), Note: c.Note, Delete: c.Delete}
		if c.Expect != nil {
			b.Base = *c.Expect
		}
		for _, doc := range c.Put {
			b.Put = append(b.Put, changedText{doc.Ref, doc.Text})
		}
		s.mu.RLock()
		id = s.proposed + 1
		s.mu.RUnlock()
		body, err := json.Marshal(b)
		return body, nil, err
	})
	if err != nil {
		return Proposal{}, err
	}
	return s.Proposal(id)
}

// PublishProposal applies a proposal and returns the new version. remark, if not
// empty, goes behind its note in the history. by must be another
// person than its author where an approval asks for one. Kinds: NotFound,
// Denied, Conflict (it is not open, or a document was changed since), and those
// of Apply.
func (s *Store) PublishProposal(ctx context.Context, id int64, by, remark string) (int64, error) {
	s.o.Journal.mu.Lock()
	version, err := s.publishLocked(ctx, id, by, remark)
	s.o.Journal.mu.Unlock()
	s.settle(ctx, err)
	return version, err
}

func (s *Store) publishLocked(ctx context.Context, id int64, by, remark string) (int64, error) {
	if err := s.o.Journal.catchUp(ctx); err != nil {
		return 0, err
	}
	p, err := s.openProposal(id)
	if err != nil {
		return 0, err
	}
	if _, asked := s.SecondPerson(p.Refs()...); asked && p.Author == by {
		return 0, rapport.WithHint(rapport.Errorf(rapport.Denied, "somebody else than %s must publish this", by), "ask a colleague to review it")
	}
	if moved := s.Moved(&p); len(moved) > 0 {
		names := make([]string, len(moved))
		for i, e := range moved {
			names[i] = e.Ref.String() + " (by " + e.Author + ")"
		}
		return 0, rapport.WithHint(rapport.Errorf(rapport.Conflict, "%s changed since the proposal was made", strings.Join(names, ", ")), "propose it again on top of what is current")
	}
	note := p.Note
	if note == "" {
		note = "proposal " + strconv.FormatInt(id, 10)
	}
	if remark != "" {
		note += "\n" + remark
	}
	return s.apply(ctx, Change{Put: p.Put, Delete: p.Delete, Author: by, Note: note, proposal: id, proposer: p.Author})
}

func (s *Store) openProposal(id int64) (Proposal, error) {
	p, err := s.Proposal(id)
	if err == nil && p.State != ProposalOpen {
		err = rapport.Errorf(rapport.Conflict, "proposal %d is %s already, by %s", id, p.State, p.EndedBy)
	}
	return p, err
}

// CloseProposal ends a proposal without publishing it: its author withdraws it,
// anybody else refuses it. Kinds: NotFound, Conflict (it is not open), Invalid.
func (s *Store) CloseProposal(ctx context.Context, id int64, by, reason string) error {
	return s.o.Journal.AppendWith(ctx, FactClosed, by, func() ([]byte, []eventlog.Record, error) {
		if len(reason) > maxNote {
			return nil, nil, rapport.Errorf(rapport.Invalid, "a reason has at most %d bytes", maxNote)
		}
		p, err := s.openProposal(id)
		if err != nil {
			return nil, nil, err
		}
		b := closedBody{Proposal: id, State: ProposalRefused, Reason: reason}
		if p.Author == by {
			b.State = ProposalWithdrawn
		}
		body, err := json.Marshal(b)
		return body, nil, err
	})
}
