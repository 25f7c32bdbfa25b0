package api

import (
	"context"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/identity"
)

// ReviewItem is a link somebody has to decide on.
type ReviewItem struct {
	Link linkInfo `json:"link"`
	Why  string   `json:"why"`
	A    string   `json:"a" doc:"Person at the first identifier now"`
	B    string   `json:"b" doc:"Person at the second identifier now"`
}

// JunkValue is a value that names nobody for the time being.
type JunkValue struct {
	Identifier rapport.Identifier `json:"identifier"`
	Reason     string             `json:"reason"`
	People     int                `json:"people" doc:"People it was seen with, or values it brought together"`
	At         time.Time          `json:"at"`
	By         string             `json:"by" doc:"rules, or who put it there"`
}

type reviewPage struct {
	Reviews []ReviewItem `json:"reviews"`
	Total   int          `json:"total"`
}

type junkPage struct {
	Values []JunkValue `json:"values"`
}

type previewAnswer struct {
	Links      int              `json:"links" doc:"Links looked at"`
	People     int              `json:"people" doc:"People they make now"`
	Apart      int              `json:"apart" doc:"People who would come apart"`
	Together   int              `json:"together" doc:"People who would be united"`
	Hold       int              `json:"hold" doc:"Links that would cease to count"`
	Resume     int              `json:"resume" doc:"Links that would count again"`
	Quarantine []JunkValue      `json:"quarantine" doc:"Values that would go into quarantine, at most 100"`
	Release    []JunkValue      `json:"release" doc:"Values that would leave it, at most 100"`
	Examples   []previewExample `json:"examples"`
}

type previewExample struct {
	Link   linkInfo `json:"link"`
	Counts bool     `json:"counts" doc:"It would count"`
}

// LinkPath names a link that waits for a decision.
type LinkPath struct {
	Link string `path:"link" maxLength:"40" doc:"Id of the link"`
}

type valueIn struct {
	Body struct {
		Kind   string `json:"kind" maxLength:"64" doc:"Kind of identifier, such as email"`
		Value  string `json:"value" maxLength:"512"`
		Reason string `json:"reason,omitempty" maxLength:"300" doc:"Why; kept with it"`
	}
}

type uniteIn struct {
	RefPath
	Body struct {
		With rapport.Identifier `json:"with" doc:"An identifier of the other person"`
		As   rapport.Identifier `json:"as" doc:"The identifier of this person that it is united with"`
	}
}

type rulesIn struct {
	Body struct {
		Identifiers []identifierRule `json:"identifiers,omitempty" maxItems:"100" doc:"All documents of kind identifier, as they would be"`
		YAML        string           `json:"yaml,omitempty" maxLength:"1048576" doc:"Instead: documents of kind identifier and likeness as text, which take the place of those of the same id"`
		Likeness    *likenessRule    `json:"likeness,omitempty" doc:"The document of kind likeness, as it would be; left out, it stays as it is"`
	}
}

// identifierRule is a config document of kind identifier.
type identifierRule struct {
	ID              string   `json:"id"`
	Normalize       string   `json:"normalize,omitempty"`
	Strength        string   `json:"strength,omitempty"`
	PeoplePerValue  *int     `json:"peoplePerValue,omitempty"`
	ValuesPerPerson *int     `json:"valuesPerPerson,omitempty"`
	Window          string   `json:"window,omitempty" doc:"Such as 90d"`
	Block           []string `json:"block,omitempty"`
	BlockPatterns   []string `json:"blockPatterns,omitempty"`
	KeepTags        bool     `json:"keepTags,omitempty"`
	Country         string   `json:"country,omitempty"`
}

func (r *identifierRule) doc() (identity.KindDoc, error) {
	d := identity.KindDoc{
		ID: r.ID, Normalize: r.Normalize, Strength: r.Strength, PeoplePerValue: r.PeoplePerValue, ValuesPerPerson: r.ValuesPerPerson,
		Block: r.Block, BlockPatterns: r.BlockPatterns, KeepTags: r.KeepTags, Country: r.Country,
	}
	if r.Window != "" {
		window, err := rapport.ParseDuration(r.Window)
		if err != nil {
			return d, err
		}
		d.Window = window
	}
	return d, nil
}

// identityOperations are about who is who, and who decides it.
func (a *API) identityOperations() {
	handle(a, operation{id: "identity-reviews", method: "GET", path: "/v1/identity/reviews", tag: "Identity", summary: "Links that wait for somebody to decide", role: access.Analyst}, nil,
		func(ctx context.Context, in *struct {
			Limit int `query:"limit" default:"50" minimum:"1" maximum:"500"`
		},
		) (*body[reviewPage], error) {
			list, total, err := a.deps.Identity.Reviews(ctx, in.Limit)
			out := &body[reviewPage]{reviewPage{Reviews: []ReviewItem{}, Total: total}}
			for _, r := range list {
				out.Body.Reviews = append(out.Body.Reviews, ReviewItem{newLinkInfo(r.Link), r.Why, r.A.String(), r.B.String()})
			}
			return out, err
		})
	for _, decision := range []struct {
		id, summary string
		decide      func(context.Context, identity.LinkID, string) error
	}{
		{"accept", "Decide that both ends are one person", a.deps.Identity.Accept},
		{"refuse", "Decide that the link is none", a.deps.Identity.Refuse},
	} {
		handle(a, operation{id: "identity-" + decision.id, method: "POST", path: "/v1/identity/reviews/{link}/" + decision.id, tag: "Identity", summary: decision.summary, role: access.Marketer, status: 204, audit: "identity." + decision.id},
			func(in *LinkPath) string { return in.Link },
			func(ctx context.Context, in *LinkPath) (*noContent, error) {
				link, err := identity.ParseLinkID(in.Link)
				if err != nil {
					return nil, err
				}
				return nil, decision.decide(ctx, link, author(ctx))
			})
	}
	handle(a, operation{id: "identity-quarantine", method: "GET", path: "/v1/identity/quarantine", tag: "Identity", summary: "Values that name nobody for the time being", role: access.Analyst}, nil,
		func(ctx context.Context, _ *struct{}) (*body[junkPage], error) {
			list, err := a.deps.Identity.Quarantined(ctx)
			return &body[junkPage]{junkPage{junkValues(list)}}, err
		})
	handle(a, operation{id: "identity-block", method: "POST", path: "/v1/identity/quarantine", tag: "Identity", summary: "Put a value into quarantine", role: access.Marketer, status: 204, audit: "identity.block"},
		func(in *valueIn) string { return in.Body.Kind },
		func(ctx context.Context, in *valueIn) (*noContent, error) {
			value, err := a.identifier(in.Body.Kind, in.Body.Value)
			if err != nil {
				return nil, err
			}
			return nil, a.deps.Identity.Block(ctx, value, in.Body.Reason, author(ctx))
		})
	handle(a, operation{id: "identity-release", method: "POST", path: "/v1/identity/quarantine/release", tag: "Identity", summary: "Take a value out of quarantine", role: access.Marketer, status: 204, audit: "identity.release"},
		func(in *valueIn) string { return in.Body.Kind },
		func(ctx context.Context, in *valueIn) (*noContent, error) {
			value, err := a.identifier(in.Body.Kind, in.Body.Value)
			if err != nil {
				return nil, err
			}
			return nil, a.deps.Identity.Release(ctx, value, author(ctx))
		})
	handle(a, operation{id: "identity-preview", method: "POST", path: "/v1/identity/preview", tag: "Identity", summary: "What other rules would change, without changing it", role: access.Marketer}, nil,
		func(ctx context.Context, in *rulesIn) (*body[previewAnswer], error) {
			rules, err := a.previewRules(in)
			if err != nil {
				return nil, err
			}
			p, err := a.deps.Identity.Preview(ctx, rules)
			if err != nil {
				return nil, err
			}
			out := previewAnswer{
				Links: p.Links, People: p.People, Apart: p.Apart, Together: p.Together, Hold: p.Hold, Resume: p.Resume,
				Quarantine: junkValues(p.Quarantine), Release: junkValues(p.Release), Examples: []previewExample{},
			}
			for _, e := range p.Examples {
				out.Examples = append(out.Examples, previewExample{newLinkInfo(e.Link), e.Counts})
			}
			return &body[previewAnswer]{out}, nil
		})
	handle(a, operation{id: "merge", method: "POST", path: "/v1/people/{ref}/merge", tag: "People", summary: "Decide that an identifier is this person's", role: access.Marketer, status: 204, audit: "person.merge"},
		func(in *uniteIn) string { return in.Body.With.Kind },
		func(ctx context.Context, in *uniteIn) (*noContent, error) {
			with, err := a.identifier(in.Body.With.Kind, in.Body.With.Value)
			if err != nil {
				return nil, err
			}
			as, err := a.identifier(in.Body.As.Kind, in.Body.As.Value)
			if err != nil {
				return nil, err
			}
			person, err := a.deps.Identity.Ref(in.Ref)
			if err != nil {
				return nil, err
			}
			if a.deps.Identity.Identified(as) != person {
				return nil, rapport.Errorf(rapport.Invalid, "as is no identifier of this person")
			}
			return nil, a.deps.Identity.Unite(ctx, as, with, author(ctx))
		})
}

// previewRules are the rules a preview weighs with: what was given, and for the
// rest what is in force.
func (a *API) previewRules(in *rulesIn) (*identity.Rules, error) {
	current, _ := a.deps.Config.Current()
	if in.Body.YAML != "" {
		set, wrong := a.deps.Registry.Parse("text", []byte(in.Body.YAML))
		if err := wrong.Err(); err != nil {
			return nil, err
		}
		current = config.NewSet(append(current.All(), set.All()...)...)
	}
	docs := specs[identity.KindDoc](current, "identifier")
	if in.Body.Identifiers != nil {
		docs = make([]identity.KindDoc, len(in.Body.Identifiers))
		for i := range docs {
			var err error
			if docs[i], err = in.Body.Identifiers[i].doc(); err != nil {
				return nil, err
			}
		}
	}
	rules, err := identity.CompileRules(docs)
	if err != nil {
		return nil, err
	}
	if rules, err = rules.WithLikeness(specs[identity.LikenessDoc](current, "likeness"), specs[identity.LikenessModelDoc](current, "likenessModel")); err != nil {
		return nil, err
	}
	return in.Body.Likeness.on(rules)
}

func (a *API) identifier(kind, value string) (rapport.Identifier, error) {
	if kind == "" {
		return rapport.Identifier{}, rapport.Errorf(rapport.Invalid, "the kind of the identifier is missing")
	}
	value, ok := a.deps.Identity.Normalize(kind, value)
	if !ok {
		return rapport.Identifier{}, rapport.Errorf(rapport.Invalid, "this is no %s that names a person", kind)
	}
	return rapport.Identifier{Kind: kind, Value: value}, nil
}

func junkValues(list []identity.Quarantine) []JunkValue {
	out := make([]JunkValue, 0, len(list))
	for _, q := range list {
		out = append(out, JunkValue{q.Identifier, q.Reason, q.People, rapport.Time(q.At), q.By})
	}
	return out
}
