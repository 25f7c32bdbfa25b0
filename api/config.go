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

// ConfigDocument is one document with who changed it last.
type ConfigDocument struct {
	Kind      string    `json:"kind"`
	ID        string    `json:"id"`
	YAML      string    `json:"yaml"`
	Version   int64     `json:"version"`
	Author    string    `json:"author"`
	UpdatedAt time.Time `json:"updatedAt"`
	Demo      bool      `json:"demo,omitempty"`
}

// ConfigError is one thing wrong with a text.
type ConfigError struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

type configRevision struct {
	Version  int64        `json:"version"`
	Time     time.Time    `json:"time"`
	Author   string       `json:"author"`
	Note     string       `json:"note,omitempty"`
	Undoes   int64        `json:"undoes,omitempty"`
	Proposal int64        `json:"proposal,omitempty" doc:"Proposal that was published by it"`
	Proposer string       `json:"proposer,omitempty" doc:"Who wrote the proposal"`
	Changed  []config.Ref `json:"changed"`
	Deleted  []config.Ref `json:"deleted"`
	YAML     string       `json:"yaml,omitempty" doc:"In the history of one document: its text at that version"`
}

type configAnswer struct {
	Version   int64            `json:"version"`
	Documents []ConfigDocument `json:"documents"`
}

type yamlIn struct {
	Body struct {
		YAML  string `json:"yaml" maxLength:"4194304" doc:"One or more documents"`
		Prune bool   `json:"prune,omitempty" doc:"Delete documents that are not in the text"`
	}
}

type applyIn struct {
	Body struct {
		YAML          string       `json:"yaml,omitempty" maxLength:"4194304"`
		Delete        []config.Ref `json:"delete,omitempty"`
		Prune         bool         `json:"prune,omitempty"`
		ExpectVersion *int64       `json:"expectVersion,omitempty" doc:"The version the author looked at; a conflict if it has moved on"`
		Note          string       `json:"note,omitempty" maxLength:"1000"`
		Override      string       `json:"override,omitempty" maxLength:"400" doc:"Why it is to be published although it may earn less than what is in force; kept in the history and the audit log"`
	}
}

// noteOf is what the audit log keeps of a change.
func (in *applyIn) noteOf() string {
	if in.Body.Override == "" {
		return in.Body.Note
	}
	return withGate(in.Body.Note, "over the gate because "+in.Body.Override)
}

type versionAnswer struct {
	Version int64 `json:"version"`
}

type planAnswer struct {
	Version int64               `json:"version"`
	Changes []config.Difference `json:"changes"`
	Errors  []ConfigError       `json:"errors"`
	// SecondPerson is set when an approval asks that somebody else publishes it.
	SecondPerson string `json:"secondPerson,omitempty" doc:"Least role of the second person who must publish this; empty when nobody is asked"`
	// Gate is what the change would have earned, where it changes who gets what.
	Gate *decide.Promotion `json:"gate,omitempty" doc:"What the change would have earned in the decisions logged; left out where it is about something else"`
}

func (a *API) configOperations() {
	handle(a, operation{id: "config", method: "GET", path: "/v1/config", tag: "Config", summary: "All documents", role: access.Viewer}, nil,
		func(context.Context, *struct{}) (*body[configAnswer], error) {
			out := configAnswer{Version: a.deps.Config.Version(), Documents: []ConfigDocument{}}
			for _, e := range a.deps.Config.Entries() {
				out.Documents = append(out.Documents, configDocument(e))
			}
			return &body[configAnswer]{out}, nil
		})
	handle(a, operation{id: "config-kinds", method: "GET", path: "/v1/config/kinds", tag: "Config", summary: "Kinds of documents and their keys", role: access.Viewer}, nil,
		func(context.Context, *struct{}) (*body[struct {
			Kinds []config.Field `json:"kinds"`
		}], error,
		) {
			out := &body[struct {
				Kinds []config.Field `json:"kinds"`
			}]{}
			for _, k := range a.deps.Registry.Kinds() {
				if f, ok := a.deps.Registry.Describe(k); ok {
					out.Body.Kinds = append(out.Body.Kinds, f)
				}
			}
			return out, nil
		})
	handle(a, operation{id: "config-history", method: "GET", path: "/v1/config/history", tag: "Config", summary: "Changes, newest first", role: access.Viewer}, nil,
		func(_ context.Context, in *struct {
			Limit int `query:"limit" default:"100" minimum:"1" maximum:"1000"`
		}) (*body[struct {
			Versions []configRevision `json:"versions"`
		}], error,
		) {
			out := &body[struct {
				Versions []configRevision `json:"versions"`
			}]{}
			for _, r := range a.deps.Config.History(in.Limit) {
				out.Body.Versions = append(out.Body.Versions, newRevision(r))
			}
			return out, nil
		})
	handle(a, operation{id: "config-diff", method: "GET", path: "/v1/config/history/{version}", tag: "Config", summary: "What a version changed", role: access.Viewer}, nil,
		func(_ context.Context, in *struct {
			Version int64 `path:"version"`
		},
		) (*body[planAnswer], error) {
			p, err := a.deps.Config.Diff(in.Version)
			return &body[planAnswer]{planAnswer{Version: in.Version, Changes: p, Errors: []ConfigError{}}}, err
		})
	handle(a, operation{id: "config-document", method: "GET", path: "/v1/config/{kind}/{id}", tag: "Config", summary: "One document", role: access.Viewer}, nil,
		func(_ context.Context, in *DocumentPath) (*body[ConfigDocument], error) {
			e, err := a.deps.Config.Entry(in.Kind, in.ID)
			if err != nil {
				return nil, err
			}
			return &body[ConfigDocument]{configDocument(e)}, nil
		})
	handle(a, operation{id: "config-document-history", method: "GET", path: "/v1/config/{kind}/{id}/history", tag: "Config", summary: "Changes of one document, newest first", role: access.Viewer}, nil,
		func(_ context.Context, in *DocumentPath) (*body[struct {
			Versions []configRevision `json:"versions"`
		}], error,
		) {
			out := &body[struct {
				Versions []configRevision `json:"versions"`
			}]{}
			for _, r := range a.deps.Config.HistoryOf(in.Kind, in.ID, 100) {
				rev := newRevision(r)
				if set, err := a.deps.Config.At(r.Version); err == nil {
					if d := set.Get(in.Kind, in.ID); d != nil {
						rev.YAML = d.Text
					}
				}
				out.Body.Versions = append(out.Body.Versions, rev)
			}
			if len(out.Body.Versions) == 0 {
				return nil, rapport.Errorf(rapport.NotFound, "there never was a document %s %s", in.Kind, in.ID)
			}
			return out, nil
		})
	handle(a, operation{id: "config-export", method: "GET", path: "/v1/config/export", tag: "Config", summary: "All documents as files", role: access.Viewer}, nil,
		func(context.Context, *struct{}) (*body[struct {
			Version int64             `json:"version"`
			Files   map[string]string `json:"files"`
		}], error,
		) {
			set, version := a.deps.Config.Current()
			out := &body[struct {
				Version int64             `json:"version"`
				Files   map[string]string `json:"files"`
			}]{}
			out.Body.Version, out.Body.Files = version, map[string]string{}
			for name, text := range config.Export(set) {
				out.Body.Files[name] = string(text)
			}
			return out, nil
		})
	handle(a, operation{id: "config-check", method: "POST", path: "/v1/config/check", tag: "Config", summary: "What is wrong with a text", role: access.Viewer, maxBody: 5 << 20}, nil,
		func(_ context.Context, in *yamlIn) (*body[struct {
			Errors []ConfigError `json:"errors"`
		}], error,
		) {
			out := &body[struct {
				Errors []ConfigError `json:"errors"`
			}]{}
			_, _, out.Body.Errors = a.desired(in.Body.YAML, in.Body.Prune)
			return out, nil
		})
	handle(a, operation{id: "config-plan", method: "POST", path: "/v1/config/plan", tag: "Config", summary: "What a text would change", role: access.Viewer, maxBody: 5 << 20}, nil,
		func(ctx context.Context, in *yamlIn) (*body[planAnswer], error) {
			plan, set, problems := a.desired(in.Body.YAML, in.Body.Prune)
			out := planAnswer{Version: a.deps.Config.Version(), Changes: plan, Errors: problems}
			if out.Changes == nil {
				out.Changes = config.Plan{}
			}
			refs := make([]config.Ref, len(out.Changes))
			for i, c := range out.Changes {
				refs[i] = c.Ref
			}
			out.SecondPerson, _ = a.deps.Config.SecondPerson(refs...)
			if len(problems) > 0 {
				return &body[planAnswer]{out}, nil
			}
			current, _ := a.deps.Config.Current()
			change := plan.Change(set)
			gate, err := a.promotion(ctx, current.After(change.Put, change.Delete), refs)
			if rapport.KindOf(err) == rapport.Invalid { // what is wrong with it is told when it is applied
				err = nil
			}
			out.Gate = gate
			return &body[planAnswer]{out}, err
		})
	handle(a, operation{id: "config-apply", method: "POST", path: "/v1/config/apply", tag: "Config", summary: "Change documents, whole or not at all", role: access.Marketer, audit: "config.apply", maxBody: 5 << 20},
		(*applyIn).noteOf,
		a.applyConfig)
	handle(a, operation{id: "config-undo", method: "POST", path: "/v1/config/undo", tag: "Config", summary: "Take a version back, as a new change", role: access.Marketer, audit: "config.undo"},
		func(in *undoIn) string { return "version " + strconv.FormatInt(in.Body.Version, 10) },
		func(ctx context.Context, in *undoIn) (*body[versionAnswer], error) {
			v, err := a.deps.Config.Undo(ctx, in.Body.Version, author(ctx))
			return &body[versionAnswer]{versionAnswer{v}}, err
		})
}

type undoIn struct {
	Body struct {
		Version int64 `json:"version" minimum:"1"`
	}
}

// DocumentPath is a path that names a document.
type DocumentPath struct {
	Kind string `path:"kind" maxLength:"64"`
	ID   string `path:"id" maxLength:"200"`
}

// desired parses a text against what is current.
func (a *API) desired(text string, prune bool) (config.Plan, *config.Set, []ConfigError) {
	problems := []ConfigError{}
	set, wrong := a.deps.Registry.Parse("text", []byte(text))
	current, _ := a.deps.Config.Current()
	plan := config.Compare(current, set, !prune)
	if len(wrong) == 0 { // references may point to documents that stay as they are
		all := set.All()
		if !prune {
			all = append(current.All(), all...)
		}
		wrong = a.deps.Registry.Check(config.NewSet(all...))
	}
	for _, p := range wrong {
		message, hint := p.Message, ""
		if at := strings.Index(message, "; did you mean "); at >= 0 {
			message, hint = message[:at], message[at+2:]
		}
		problems = append(problems, ConfigError{Line: p.Line, Column: p.Column, Message: message, Hint: hint})
	}
	return plan, set, problems
}

func (a *API) applyConfig(ctx context.Context, in *applyIn) (*body[versionAnswer], error) {
	change, err := a.change(ctx, in)
	if err != nil {
		return nil, err
	}
	change.Guarded = true
	gate, err := a.gate(ctx, change.Put, change.Delete, in.Body.Override)
	if err != nil {
		return nil, err
	}
	change.Note = withGate(change.Note, gate)
	v, err := a.deps.Config.Apply(ctx, change)
	return &body[versionAnswer]{versionAnswer{v}}, err
}

// change reads a change that its author may make.
func (a *API) change(ctx context.Context, in *applyIn) (config.Change, error) {
	set, wrong := a.deps.Registry.Parse("text", []byte(in.Body.YAML))
	if err := wrong.Err(); err != nil {
		return config.Change{}, err
	}
	change := config.Change{Put: set.All(), Delete: in.Body.Delete}
	if in.Body.Prune {
		current, _ := a.deps.Config.Current()
		change = config.Compare(current, set, false).Change(set)
	}
	change.Author, change.Note, change.Expect = author(ctx), in.Body.Note, in.Body.ExpectVersion
	if p, _ := principal(ctx); !p.Role.Includes(access.Admin) {
		for _, d := range change.Put {
			if err := marketerMay(d.Kind); err != nil {
				return config.Change{}, err
			}
		}
		for _, r := range change.Delete {
			if err := marketerMay(r.Kind); err != nil {
				return config.Change{}, err
			}
		}
	}
	return change, nil
}

// marketerMay keeps with administrators what opens doors, sends data out and
// says who must agree.
func marketerMay(kind string) error {
	if kind == "source" || kind == "webhook" || kind == config.ApprovalKind {
		return rapport.Errorf(rapport.Denied, "documents of kind %s need the role admin", kind)
	}
	return nil
}

func configDocument(e config.Entry) ConfigDocument {
	return ConfigDocument{e.Kind, e.ID, e.Text, e.Version, e.Author, rapport.Time(e.Time), e.Demo}
}

func newRevision(r config.Revision) configRevision {
	out := configRevision{Version: r.Version, Time: rapport.Time(r.Time), Author: r.Author, Note: r.Note, Undoes: r.Undoes, Proposal: r.Proposal, Proposer: r.Proposer, Changed: r.Changed, Deleted: r.Deleted}
	if out.Changed == nil {
		out.Changed = []config.Ref{}
	}
	if out.Deleted == nil {
		out.Deleted = []config.Ref{}
	}
	return out
}
