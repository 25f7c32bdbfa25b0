package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/predict"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
)

// Person is one person, as everything known of them says now.
type Person struct {
	ID           string                          `json:"id"`
	Name         string                          `json:"name"`
	Identifiers  []rapport.Identifier            `json:"identifiers"`
	Traits       map[string]any                  `json:"traits"`
	TraitSources map[string]TraitSource          `json:"traitSources"`
	Computed     map[string]any                  `json:"computed"`
	Segments     []PersonSegment                 `json:"segments"`
	Scores       predict.Scores                  `json:"scores"`
	Consent      map[string]map[string]ConsentIs `json:"consent" doc:"Purpose, then channel ('all' for every channel)"`
	Items        []string                        `json:"items"`
	Counters     map[string]int64                `json:"counters"`
	Events       int64                           `json:"events"`
	Fragments    []string                        `json:"fragments"`
	Households   []HouseholdInfo                 `json:"households" doc:"Who they share an address or a product with; never one person"`
	FirstSeen    time.Time                       `json:"firstSeen"`
	LastSeen     time.Time                       `json:"lastSeen"`
	Zone         string                          `json:"zone,omitempty"`
	Version      int64                           `json:"version"`
}

// TraitSource says who told a trait, and when.
type TraitSource struct {
	Source string    `json:"source"`
	At     time.Time `json:"at"`
}

// PersonSegment is membership in a segment.
type PersonSegment struct {
	ID     string    `json:"id"`
	Degree float64   `json:"degree"`
	Since  time.Time `json:"since"`
}

// ConsentIs is one standing answer.
type ConsentIs struct {
	Allowed bool      `json:"allowed"`
	At      time.Time `json:"at"`
	Source  string    `json:"source"`
}

// PersonSummary is one line of the list of people.
type PersonSummary struct {
	ID          string               `json:"id"`
	Name        string               `json:"name"`
	Identifiers []rapport.Identifier `json:"identifiers"`
	FirstSeen   time.Time            `json:"firstSeen"`
	LastSeen    time.Time            `json:"lastSeen"`
	Events      int64                `json:"events"`
	Country     string               `json:"country,omitempty"`
	CLV         *float64             `json:"clv,omitempty" doc:"Lifetime value foretold; left out in searches and while it is not known"`
	Churn       *float64             `json:"churn,omitempty" doc:"Chance that the person has left"`
}

// foretell fills in what the list shows of a person's scores.
func (s *PersonSummary) foretell(v *engine.View, at int64) {
	p := predict.At(v.State, v.Config(), at, []string{"clv"})
	if x, ok := p.Value([]string{"clv"}).Number(); ok {
		s.CLV = &x
	}
	if x, ok := p.Value([]string{"churn"}).Number(); ok {
		s.Churn = &x
	}
}

type peoplePage struct {
	People []PersonSummary `json:"people"`
	Next   string          `json:"next,omitempty"`
	Total  int64           `json:"total" doc:"People known in all, whatever was searched for"`
	// Partial says of a search that not everybody was looked at.
	Partial bool `json:"partial,omitempty" doc:"Of a search: there are so many people that not all were looked at"`
}

// TimelineEvent is one line of a timeline.
type TimelineEvent struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	Event      string         `json:"event"`
	Timestamp  time.Time      `json:"timestamp"`
	ReceivedAt time.Time      `json:"receivedAt"`
	Source     string         `json:"source"`
	Properties map[string]any `json:"properties"`
	Traits     map[string]any `json:"traits,omitempty"`
	Context    map[string]any `json:"context,omitempty"`
	Decision   any            `json:"decision,omitempty" doc:"Decision events: what was decided"`
}

type timelinePage struct {
	Events []TimelineEvent `json:"events"`
	Next   string          `json:"next,omitempty" doc:"Give it as before for the next page"`
}

// RefPath is a path that names a person.
type RefPath struct {
	Ref string `path:"ref" maxLength:"600" doc:"Person id, or userId:x, anonymousId:x, email:x, phone:x"`
}

func (a *API) peopleOperations() {
	handle(a, operation{id: "list-people", method: "GET", path: "/v1/people", tag: "People", summary: "People, or those an identifier or the beginning of a name names", role: access.Viewer}, nil, a.listPeople)
	handle(a, operation{id: "person", method: "GET", path: "/v1/people/{ref}", tag: "People", summary: "One person, every acknowledged event included", role: access.Viewer}, nil,
		func(ctx context.Context, in *RefPath) (*body[Person], error) {
			p, err := a.person(ctx, in.Ref)
			return &body[Person]{p}, err
		})
	handle(a, operation{id: "timeline", method: "GET", path: "/v1/people/{ref}/timeline", tag: "People", summary: "What happened, newest first", role: access.Viewer}, nil,
		func(ctx context.Context, in *struct {
			RefPath
			Limit   int    `query:"limit" default:"50" minimum:"1" maximum:"1000"`
			Before  string `query:"before" maxLength:"100"`
			Include string `query:"include" enum:"system" doc:"system adds decisions and deliveries"`
		},
		) (*body[timelinePage], error) {
			page, err := a.timeline(ctx, in.Ref, in.Limit, in.Before, in.Include == "system")
			return &body[timelinePage]{page}, err
		})
	handle(a, operation{id: "person-identity", method: "GET", path: "/v1/people/{ref}/identity", tag: "People", summary: "Which identifiers are this person, and why", role: access.Analyst}, nil,
		func(ctx context.Context, in *RefPath) (*body[identityAnswer], error) {
			id, err := a.known(ctx, in.Ref)
			if err != nil {
				return nil, err
			}
			who, err := a.deps.Identity.Who(ctx, id)
			if err != nil {
				return nil, err
			}
			return &body[identityAnswer]{newIdentityAnswer(who)}, nil
		})
	handle(a, operation{id: "unmerge", method: "POST", path: "/v1/people/{ref}/unmerge", tag: "People", summary: "Take a link back", role: access.Marketer, status: 204, audit: "person.unmerge"},
		func(in *unmergeIn) string { return in.Body.Link },
		func(ctx context.Context, in *unmergeIn) (*noContent, error) {
			id, err := a.deps.Identity.Ref(in.Ref)
			if err != nil {
				return nil, err
			}
			link, err := identity.ParseLinkID(in.Body.Link)
			if err != nil {
				return nil, err
			}
			return nil, a.deps.Identity.Unmerge(ctx, id, link, author(ctx))
		})
	handle(a, operation{id: "export-person", method: "GET", path: "/v1/people/{ref}/export", tag: "People", summary: "Everything kept of one person", role: access.Analyst, audit: "person.export"},
		func(*RefPath) string { return "" },
		func(ctx context.Context, in *RefPath) (*body[personExport], error) {
			out := &body[personExport]{}
			var err error
			if out.Body.Person, err = a.person(ctx, in.Ref); err != nil {
				return nil, err
			}
			for before := ""; ; {
				page, err := a.timeline(ctx, in.Ref, 1000, before, true)
				if err != nil {
					return nil, err
				}
				out.Body.Timeline = append(out.Body.Timeline, page.Events...)
				if before = page.Next; before == "" || len(out.Body.Timeline) >= 100_000 {
					break
				}
			}
			id, err := a.deps.Identity.Ref(in.Ref)
			if err != nil {
				return nil, err
			}
			who, err := a.deps.Identity.Who(ctx, id)
			out.Body.Identity = newIdentityAnswer(who)
			return out, err
		})
	handle(a, operation{id: "erase-person", method: "DELETE", path: "/v1/people/{ref}", tag: "People", summary: "Erase a person everywhere", role: access.Admin, status: 202, audit: "person.erase"},
		func(*RefPath) string { return "" },
		func(ctx context.Context, in *RefPath) (*body[Job], error) {
			id, err := a.known(ctx, in.Ref)
			if err != nil {
				return nil, err
			}
			job, err := a.deps.System.Erase(ctx, id, author(ctx))
			return &body[Job]{job}, err
		})
	handle(a, operation{id: "job", method: "GET", path: "/v1/jobs/{id}", tag: "Operations", summary: "Long work and how far it is", role: access.Viewer}, nil,
		func(_ context.Context, in *IDPath) (*body[Job], error) {
			j, err := a.deps.System.Job(in.ID)
			return &body[Job]{j}, err
		})
}

type personExport struct {
	Person   Person          `json:"person"`
	Identity identityAnswer  `json:"identity"`
	Timeline []TimelineEvent `json:"timeline"`
}

// known resolves a reference to somebody of whom something is known.
func (a *API) known(ctx context.Context, ref string) (rapport.ID, error) {
	id, err := a.deps.Identity.Ref(ref)
	if err != nil {
		return id, err
	}
	exists := false
	err = a.deps.Engine.View(ctx, id, nil, func(v *engine.View) error {
		id, exists = v.ID(), v.Exists()
		return nil
	})
	if err == nil && !exists {
		err = rapport.Errorf(rapport.NotFound, "nothing is known of this person")
	}
	return id, err
}

// read returns a person's profile.
func (a *API) read(ctx context.Context, ref string) (p profile.Person, err error) {
	id, err := a.deps.Identity.Ref(ref)
	if err != nil {
		return p, err
	}
	return a.readID(ctx, id, nil)
}

func (a *API) readID(ctx context.Context, id rapport.ID, after []engine.Token) (p profile.Person, err error) {
	found := false
	err = a.deps.Engine.View(ctx, id, after, func(v *engine.View) error {
		p, found = profile.Read(v)
		return nil
	})
	if err == nil && !found {
		err = rapport.Errorf(rapport.NotFound, "nothing is known of this person")
	}
	return p, err
}

func (a *API) person(ctx context.Context, ref string) (Person, error) {
	id, err := a.deps.Identity.Ref(ref)
	if err != nil {
		return Person{}, err
	}
	var p profile.Person
	var future *predict.Person
	var computed map[string]any
	var in []segment.Membership
	var items []string
	err = a.deps.Engine.View(ctx, id, nil, func(v *engine.View) error {
		var found bool
		if p, found = profile.Read(v); !found {
			return rapport.Errorf(rapport.NotFound, "nothing is known of this person")
		}
		now := rapport.Millis(a.deps.Clock.Now())
		future = predict.Of(v.State, v.Config(), now)
		computed, in = profile.ComputedOf(v, now), segment.Of(v)
		items = itemsOf(v)
		return nil
	})
	if err != nil {
		return Person{}, err
	}
	out := Person{
		ID: p.ID.String(), Name: p.Name(), Traits: map[string]any{}, TraitSources: map[string]TraitSource{}, Computed: computed,
		Segments: []PersonSegment{}, Scores: future.Scores(), Consent: map[string]map[string]ConsentIs{}, Items: items,
		Counters: map[string]int64{}, Events: p.Activity.Events, FirstSeen: rapport.Time(p.Activity.First), LastSeen: rapport.Time(p.Activity.Last),
		Zone: p.Zone, Version: p.Version,
	}
	for _, m := range in {
		out.Segments = append(out.Segments, PersonSegment{m.ID, 1, rapport.Time(m.Since)})
	}
	for _, t := range p.Traits {
		out.Traits[t.Name] = t.Value().Any()
		out.TraitSources[t.Name] = TraitSource{t.Source, rapport.Time(t.At)}
	}
	for _, c := range p.Consent {
		channel := c.Channel
		if channel == "" {
			channel = "all"
		}
		if out.Consent[c.Purpose] == nil {
			out.Consent[c.Purpose] = map[string]ConsentIs{}
		}
		out.Consent[c.Purpose][channel] = ConsentIs{c.Allowed, rapport.Time(c.At), c.Source}
	}
	p.Activity.Counts(func(name string, count, _ int64) { out.Counters[name] = count })
	for _, f := range p.Fragments {
		out.Fragments = append(out.Fragments, f.String())
	}
	if out.Households, err = a.households(ctx, p.Entity, out.Items); err != nil {
		return Person{}, err
	}
	who, err := a.deps.Identity.Who(ctx, p.Entity)
	if err != nil {
		return Person{}, err
	}
	out.Identifiers = identifiers(&p, who)
	return out, nil
}

// identifiers are the names of a person: the strongest seen, and those of the links that stand.
func identifiers(p *profile.Person, who identity.Who) []rapport.Identifier {
	list := []rapport.Identifier{}
	add := func(i rapport.Identifier) {
		if i.Value != "" && !slices.Contains(list, i) {
			list = append(list, i)
		}
	}
	add(p.Identifier)
	for _, l := range who.Links {
		add(l.Identifiers[0])
		add(l.Identifiers[1])
	}
	slices.SortStableFunc(list, func(a, b rapport.Identifier) int { return int(rapport.RankOf(a.Kind)) - int(rapport.RankOf(b.Kind)) })
	return list
}

// listPeople answers a search for one identifier, or pages through everybody.
func (a *API) listPeople(ctx context.Context, in *struct {
	Q     string `query:"q" maxLength:"300" doc:"An identifier or person id (kind:value, or a bare value tried as each kind), or the beginning of a name or mail address"`
	Limit int    `query:"limit" default:"50" minimum:"1" maximum:"500"`
	After string `query:"after" maxLength:"100"`
},
) (*body[peoplePage], error) {
	out := &body[peoplePage]{peoplePage{People: []PersonSummary{}, Total: a.peopleKnown()}}
	if q := strings.TrimSpace(in.Q); q != "" {
		for _, ref := range candidates(q) {
			p, err := a.read(ctx, ref)
			if rapport.KindOf(err) == rapport.NotFound || rapport.KindOf(err) == rapport.Invalid {
				continue
			}
			if err != nil {
				return nil, err
			}
			s := summary(&p)
			if !slices.ContainsFunc(out.Body.People, func(o PersonSummary) bool { return o.ID == s.ID }) {
				out.Body.People = append(out.Body.People, s)
			}
		}
		var have []string
		for i := range out.Body.People {
			have = append(have, out.Body.People[i].ID)
		}
		more, complete, err := a.search.people(ctx, a.deps.Engine, q, in.Limit-len(have), have)
		out.Body.People, out.Body.Partial = append(out.Body.People, more...), !complete
		if err != nil {
			return nil, err
		}
		return out, nil
	}
	now := rapport.Millis(a.deps.Clock.Now())
	next, err := a.deps.Engine.ListPeople(ctx, in.After, in.Limit, func(v *engine.View) error {
		if p, ok := profile.Read(v); ok && p.Activity.Events > 0 {
			s := summary(&p)
			s.foretell(v, now)
			out.Body.People = append(out.Body.People, s)
		}
		return nil
	})
	out.Body.Next = next
	return out, err
}

// peopleKnown returns how many people are known.
func (a *API) peopleKnown() int64 {
	g := a.deps.Engine.Stats()
	return g.People()
}

// candidates are the references a search text could mean.
func candidates(q string) []string {
	if strings.HasPrefix(q, "p_") {
		return []string{q}
	}
	if kind, _, ok := strings.Cut(q, ":"); ok && !strings.ContainsAny(kind, " @/") {
		return []string{q}
	}
	list := []string{"userId:" + q, "anonymousId:" + q}
	if strings.Contains(q, "@") {
		list = append([]string{"email:" + q}, list...)
	}
	if strings.ContainsAny(q, "0123456789") {
		list = append(list, "phone:"+q)
	}
	return list
}

func summary(p *profile.Person) PersonSummary {
	s := PersonSummary{
		ID: p.ID.String(), Name: p.Name(), Events: p.Activity.Events,
		FirstSeen: rapport.Time(p.Activity.First), LastSeen: rapport.Time(p.Activity.Last), Country: p.Trait("country").Str(),
		Identifiers: []rapport.Identifier{},
	}
	if p.Identifier.Value != "" {
		s.Identifiers = append(s.Identifiers, p.Identifier)
	}
	return s
}

// inapp streams a person's messages: to a token that may decide, or to a
// source's key for the person it names.
func (a *API) inapp(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	who := decidePerson{UserID: q.Get("userId"), AnonymousID: q.Get("anonymousId"), ID: q.Get("id"), UserHash: q.Get("userHash")}
	caller, err := a.caller(r.Context(), r.Header.Get("Authorization"), q.Get("writeKey"))
	if err == nil {
		err = caller.mayAsk(&who)
	}
	var id rapport.ID
	if err == nil {
		id, err = a.resolve(&who)
	}
	if err == nil {
		err = a.deps.InApp(w, r, id)
	}
	if err != nil {
		writeProblem(w, r, err)
	}
}

// jsonOf returns f as generic JSON, nil when empty.
func jsonOf(f rapport.Fields) map[string]any {
	if len(f) == 0 {
		return nil
	}
	return f.Map()
}

// cursor is a position in a timeline.
func cursor(k profile.TimelineKey) string {
	b, _ := json.Marshal([3]int64{k.At, int64(k.Partition), k.Offset})
	return strings.Trim(string(b), "[]")
}

func parseCursor(s string) (k profile.TimelineKey, err error) {
	parts := strings.Split(s, ",")
	var n [3]int64
	for i := range n {
		if len(parts) != 3 {
			return k, rapport.Errorf(rapport.Invalid, "before is no position of a timeline; give what next held")
		}
		if n[i], err = strconv.ParseInt(parts[i], 10, 64); err != nil {
			return k, rapport.Errorf(rapport.Invalid, "before is no position of a timeline; give what next held")
		}
	}
	return profile.TimelineKey{At: n[0], Partition: int32(n[1]), Offset: n[2]}, nil
}
