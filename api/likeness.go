package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/learn/linkage"
	"github.com/rapport-engine/rapport/twin"
)

// LikenessStatus is how far the comparison of source records is.
type LikenessStatus struct {
	State    string             `json:"state" enum:"off,untrained,training,comparing,on" doc:"off: no document of kind likeness; untrained: there are no weights yet; comparing: the index is being built after a start or a change"`
	Unite    float64            `json:"unite" doc:"Bits from which two are one person by themselves"`
	Review   float64            `json:"review" doc:"Bits from which somebody is asked"`
	UserIDs  string             `json:"userIds" enum:"unite,review" doc:"Whether likeness may make one person of two user ids"`
	Records  int64              `json:"records" doc:"Source records compared with each other"`
	Links    int64              `json:"links" doc:"Pairs found to be alike, counting or waiting"`
	Progress *LikenessProgress  `json:"progress,omitempty" doc:"What is being done"`
	Tried    *time.Time         `json:"tried,omitempty" doc:"When it was last trained, or tried to"`
	Failed   string             `json:"failed,omitempty" doc:"Why the last training gave nothing"`
	Model    *LikenessModelInfo `json:"model,omitempty" doc:"The weights in force"`
}

// LikenessProgress is how far long work is.
type LikenessProgress struct {
	Phase string `json:"phase"`
	Done  int    `json:"done"`
	Total int    `json:"total" doc:"0 where it is not known"`
}

// LikenessModelInfo is what was learned.
type LikenessModelInfo struct {
	Version int64               `json:"version"`
	Made    string              `json:"made"`
	Records int                 `json:"records" doc:"Source records it was learned from"`
	Matches float64             `json:"matches" doc:"Pairs of one person expected among them"`
	Taught  int                 `json:"taught" doc:"Decisions of people it was adjusted to"`
	Prior   float64             `json:"prior" doc:"Bits of the odds that two records drawn at random are of one person"`
	Fields  []LikenessFieldInfo `json:"fields"`
}

// LikenessFieldInfo is what a field says at each level of likeness.
type LikenessFieldInfo struct {
	Field  string              `json:"field"`
	Levels []LikenessLevelInfo `json:"levels"`
}

// LikenessLevelInfo is what one level of a field says.
type LikenessLevelInfo struct {
	Level    string  `json:"level"`
	Match    float64 `json:"match" doc:"Share among pairs of one person"`
	Stranger float64 `json:"stranger" doc:"Share among strangers"`
	Bits     float64 `json:"bits"`
}

func newLikenessStatus(l identity.Likeness) LikenessStatus {
	out := LikenessStatus{State: l.State, Unite: l.Unite, Review: l.Review, UserIDs: "review", Records: l.Records, Links: l.Links, Failed: l.Failed}
	if l.Users {
		out.UserIDs = "unite"
	}
	if l.Phase != "" {
		out.Progress = &LikenessProgress{l.Phase, l.Done, l.Total}
	}
	if !l.Tried.IsZero() {
		tried := l.Tried.UTC()
		out.Tried = &tried
	}
	if l.Model == nil {
		return out
	}
	m := &LikenessModelInfo{Version: l.Version, Made: l.Made, Records: l.Model.Records, Matches: l.Model.Matches, Taught: l.Model.Taught, Prior: l.Model.Prior, Fields: []LikenessFieldInfo{}}
	for i, f := range l.Model.Schema {
		w := &l.Model.Fields[i]
		info := LikenessFieldInfo{Field: f.Name, Levels: []LikenessLevelInfo{}}
		for at := range w.Bits {
			level := linkage.Level(at)
			if level == linkage.Exchanged && f.Kind != linkage.Given {
				continue
			}
			info.Levels = append(info.Levels, LikenessLevelInfo{level.String(), w.Match[at], w.Stranger[at], w.Bits[at]})
		}
		m.Fields = append(m.Fields, info)
	}
	out.Model = m
	return out
}

// likenessRule is a config document of kind likeness.
type likenessRule struct {
	Enabled *bool               `json:"enabled,omitempty"`
	Unite   *float64            `json:"unite,omitempty"`
	Review  *float64            `json:"review,omitempty"`
	UserIDs string              `json:"userIds,omitempty" enum:"unite,review"`
	Fields  map[string][]string `json:"fields,omitempty"`
}

// on returns rules with the document instead of theirs.
func (l *likenessRule) on(rules *identity.Rules) (*identity.Rules, error) {
	if l == nil {
		return rules, nil
	}
	d := identity.NewLikenessDoc()
	d.ID, d.Fields = identity.LikenessID, l.Fields
	if l.Enabled != nil {
		d.Enabled = *l.Enabled
	}
	if l.Unite != nil {
		d.Unite = *l.Unite
	}
	if l.Review != nil {
		d.Review = *l.Review
	}
	if l.UserIDs != "" {
		d.UserIDs = l.UserIDs
	}
	return rules.Resembling(*d)
}

// likenessOperations are about who resembles whom, and who lives with whom.
func (a *API) likenessOperations() {
	handle(a, operation{id: "likeness", method: "GET", path: "/v1/identity/likeness", tag: "Identity", summary: "How far the comparison of people is, and the weights it goes by", role: access.Analyst}, nil,
		func(context.Context, *struct{}) (*body[LikenessStatus], error) {
			return &body[LikenessStatus]{newLikenessStatus(a.deps.Identity.Likeness())}, nil
		})
	handle(a, operation{id: "train-likeness", method: "POST", path: "/v1/identity/likeness/train", tag: "Identity", summary: "Learn the weights anew from everybody and from the decisions in reviews", role: access.Marketer, status: 202, audit: "identity.train"}, none[struct{}],
		func(context.Context, *struct{}) (*body[LikenessStatus], error) {
			if err := a.deps.Identity.Train(); err != nil {
				return nil, err
			}
			return &body[LikenessStatus]{newLikenessStatus(a.deps.Identity.Likeness())}, nil
		})
	handle(a, operation{id: "person-households", method: "GET", path: "/v1/people/{ref}/households", tag: "People", summary: "Who they share an address or a product with", role: access.Viewer}, nil,
		func(ctx context.Context, in *RefPath) (*body[householdList], error) {
			id, err := a.known(ctx, in.Ref)
			if err != nil {
				return nil, err
			}
			var items []string
			err = a.deps.Engine.View(ctx, id, nil, func(v *engine.View) error {
				items = itemsOf(v)
				return nil
			})
			if err != nil {
				return nil, err
			}
			list, err := a.households(ctx, id, items)
			return &body[householdList]{householdList{list}}, err
		})
}

type householdList struct {
	Households []HouseholdInfo `json:"households"`
}

// HouseholdInfo is people who share an address or a product. They stay people of their own.
type HouseholdInfo struct {
	ID      string   `json:"id" doc:"h_... for an address, the item for a product"`
	Shares  string   `json:"shares" enum:"address,product"`
	People  []string `json:"people" doc:"Everybody in it, the person asked for included; empty if there are too many to be a household"`
	TooMany bool     `json:"tooMany,omitempty" doc:"More people live there than a household has: a block of flats, an office"`
}

// mostShared is the most items of a person that are looked at.
const mostShared = 50

// households returns who a person shares an address or a product with. Who
// shares theirs with nobody is in none.
func (a *API) households(ctx context.Context, person rapport.ID, items []string) ([]HouseholdInfo, error) {
	out := []HouseholdInfo{}
	homes, err := a.deps.Identity.Households(ctx, person)
	if err != nil {
		return nil, err
	}
	for _, h := range homes {
		if len(h.People) > 1 || h.Shared {
			out = append(out, HouseholdInfo{ID: h.ID.String(), Shares: "address", People: texts(h.People), TooMany: h.Shared})
		}
	}
	for _, item := range items[:min(len(items), mostShared)] {
		var people []rapport.ID
		err := a.deps.Items.View(ctx, item, func(_ *engine.View, s *twin.Item) error {
			people = append(people, a.deps.Identity.Person(s.Owner.Person))
			for _, m := range s.Members {
				people = append(people, a.deps.Identity.Person(m.Person))
			}
			return nil
		})
		if rapport.KindOf(err) == rapport.NotFound {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read an item of the person: %w", err)
		}
		slices.SortFunc(people, rapport.ID.Compare)
		if people = slices.Compact(people); len(people) > 1 && !people[0].IsZero() {
			out = append(out, HouseholdInfo{ID: item, Shares: "product", People: texts(people)})
		}
	}
	return out, nil
}

func texts(ids []rapport.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}
