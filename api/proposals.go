package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
)

// Proposal is a change of the configuration that waits for somebody to publish
// it, or that was decided on.
type Proposal struct {
	ID           int64                `json:"id"`
	State        config.ProposalState `json:"state" enum:"open,published,refused,withdrawn"`
	Base         int64                `json:"base" doc:"Version of the configuration it was made for"`
	Time         time.Time            `json:"time"`
	Author       string               `json:"author"`
	Note         string               `json:"note,omitempty"`
	Changed      []config.Ref         `json:"changed"`
	Deleted      []config.Ref         `json:"deleted"`
	SecondPerson string               `json:"secondPerson,omitempty" doc:"Least role of whoever publishes it, who must be somebody else than its author; empty when nothing asks for that"`
	EndedAt      *time.Time           `json:"endedAt,omitempty"`
	EndedBy      string               `json:"endedBy,omitempty"`
	Reason       string               `json:"reason,omitempty"`
	Version      int64                `json:"version,omitempty" doc:"Version that publishing it made"`
}

// ProposalDetail is a proposal with what it would change now.
type ProposalDetail struct {
	Proposal
	Changes []config.Difference `json:"changes"`
	Moved   []ConfigDocument    `json:"moved" doc:"Its documents that were changed since it was made, as they are now; one without text is gone"`
	YAML    string              `json:"yaml" doc:"Its documents as they would be"`
	Gate    *decide.Promotion   `json:"gate,omitempty" doc:"What it would earn, by the decisions logged; left out where it is about something else"`
}

// ProposalPath names a proposal.
type ProposalPath struct {
	ID int64 `path:"id" minimum:"1"`
}

type closeIn struct {
	ProposalPath
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why; its author reads it"`
	}
}

type publishIn struct {
	ProposalPath
	Body *struct {
		Override string `json:"override,omitempty" maxLength:"400" doc:"Why it is to be published although it may earn less than what is in force; kept in the history and the audit log"`
	}
}

func (in *publishIn) reason() string {
	if in.Body == nil {
		return ""
	}
	return in.Body.Override
}

func (in *publishIn) name() string {
	if why := in.reason(); why != "" {
		return in.ProposalPath.name() + ", over the gate because " + why
	}
	return in.ProposalPath.name()
}

func (in *ProposalPath) name() string { return "proposal " + strconv.FormatInt(in.ID, 10) }

// proposalOperations are about changes that somebody else publishes.
func (a *API) proposalOperations() {
	handle(a, operation{id: "proposals", method: "GET", path: "/v1/config/proposals", tag: "Config", summary: "Changes that wait for somebody to publish them, newest first", role: access.Viewer}, nil,
		func(_ context.Context, in *struct {
			All bool `query:"all" doc:"With those that were decided on"`
		}) (*body[struct {
			Proposals []Proposal `json:"proposals"`
		}], error,
		) {
			out := &body[struct {
				Proposals []Proposal `json:"proposals"`
			}]{}
			out.Body.Proposals = []Proposal{}
			for _, p := range a.deps.Config.Proposals(in.All) {
				out.Body.Proposals = append(out.Body.Proposals, a.newProposal(&p))
			}
			return out, nil
		})
	handle(a, operation{id: "proposal", method: "GET", path: "/v1/config/proposals/{id}", tag: "Config", summary: "One proposal with what it would change", role: access.Viewer}, nil,
		func(ctx context.Context, in *ProposalPath) (*body[ProposalDetail], error) {
			p, err := a.deps.Config.Proposal(in.ID)
			if err != nil {
				return nil, err
			}
			out := a.proposalDetail(&p)
			if p.State == config.ProposalOpen {
				set, _ := a.deps.Config.Current()
				out.Gate, _ = a.promotion(ctx, set.After(p.Put, p.Delete), p.Refs()) // what cannot be judged is shown without
			}
			return &body[ProposalDetail]{out}, nil
		})
	handle(a, operation{id: "propose", method: "POST", path: "/v1/config/proposals", tag: "Config", summary: "Propose a change for somebody else to publish", role: access.Marketer, status: 201, audit: "config.propose", maxBody: 5 << 20},
		func(in *applyIn) string { return in.Body.Note },
		func(ctx context.Context, in *applyIn) (*body[Proposal], error) {
			change, err := a.change(ctx, in)
			if err != nil {
				return nil, err
			}
			p, err := a.deps.Config.Propose(ctx, change)
			if err != nil {
				return nil, err
			}
			return &body[Proposal]{a.newProposal(&p)}, nil
		})
	handle(a, operation{id: "publish-proposal", method: "POST", path: "/v1/config/proposals/{id}/publish", tag: "Config", summary: "Publish a proposal", role: access.Marketer, audit: "config.publish"},
		(*publishIn).name,
		func(ctx context.Context, in *publishIn) (*body[versionAnswer], error) {
			p, err := a.deps.Config.Proposal(in.ID)
			if err != nil {
				return nil, err
			}
			if err := a.mayPublish(ctx, &p); err != nil {
				return nil, err
			}
			gate, err := a.gate(ctx, p.Put, p.Delete, in.reason())
			if err != nil {
				return nil, err
			}
			v, err := a.deps.Config.PublishProposal(ctx, in.ID, author(ctx), gate)
			return &body[versionAnswer]{versionAnswer{v}}, err
		})
	handle(a, operation{id: "close-proposal", method: "POST", path: "/v1/config/proposals/{id}/close", tag: "Config", summary: "Refuse a proposal, or withdraw one's own", role: access.Marketer, status: 204, audit: "config.close"},
		func(in *closeIn) string { return in.name() },
		func(ctx context.Context, in *closeIn) (*noContent, error) {
			return nil, a.deps.Config.CloseProposal(ctx, in.ID, author(ctx), in.Body.Reason)
		})
}

// mayPublish keeps to the role an approval names, and to the documents that administrators change.
func (a *API) mayPublish(ctx context.Context, p *config.Proposal) error {
	who, _ := principal(ctx)
	if who.Role.Includes(access.Admin) {
		return nil
	}
	if role, asked := a.deps.Config.SecondPerson(p.Refs()...); asked && !who.Role.Includes(access.Role(role)) {
		return rapport.Errorf(rapport.Denied, "an approval asks that somebody with the role %s publishes this", role)
	}
	for _, r := range p.Refs() {
		if err := marketerMay(r.Kind); err != nil {
			return err
		}
	}
	return nil
}

func (a *API) newProposal(p *config.Proposal) Proposal {
	out := Proposal{
		ID: p.ID, State: p.State, Base: p.Base, Time: rapport.Time(p.Time), Author: p.Author, Note: p.Note,
		Changed: []config.Ref{}, Deleted: append([]config.Ref{}, p.Delete...), EndedBy: p.EndedBy, Reason: p.Reason, Version: p.Version,
	}
	for _, doc := range p.Put {
		out.Changed = append(out.Changed, doc.Ref)
	}
	if p.EndedAt != 0 {
		out.EndedAt = new(rapport.Time(p.EndedAt))
	}
	if role, asked := a.deps.Config.SecondPerson(p.Refs()...); asked && p.State == config.ProposalOpen {
		out.SecondPerson = role
	}
	return out
}

func (a *API) proposalDetail(p *config.Proposal) ProposalDetail {
	out := ProposalDetail{Proposal: a.newProposal(p), Changes: config.Plan{}, Moved: []ConfigDocument{}}
	texts := make([]string, len(p.Put))
	for i, doc := range p.Put {
		texts[i] = strings.TrimRight(doc.Text, "\n") + "\n"
	}
	out.YAML = strings.Join(texts, "---\n")
	if p.State == config.ProposalPublished {
		if diff, err := a.deps.Config.Diff(p.Version); err == nil {
			out.Changes = diff
		}
		return out
	}
	set, _ := a.deps.Config.Current()
	out.Changes = config.Compare(set, set.After(p.Put, p.Delete), false)
	for _, e := range a.deps.Config.Moved(p) {
		out.Moved = append(out.Moved, configDocument(e))
	}
	return out
}
