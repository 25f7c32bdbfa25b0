package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/engine"
)

// decidePerson names whom a decision is for: exactly one of the three.
type decidePerson struct {
	UserID      string `json:"userId,omitempty" maxLength:"512"`
	AnonymousID string `json:"anonymousId,omitempty" maxLength:"512"`
	ID          string `json:"id,omitempty" maxLength:"64"`
	UserHash    string `json:"userHash,omitempty" doc:"With a write key whose source demands it: hex HMAC-SHA256 of userId"`
}

type decideIn struct {
	Authorization string `header:"Authorization"`
	Body          struct {
		Person    decidePerson    `json:"person"`
		Placement string          `json:"placement" minLength:"1" maxLength:"200"`
		Context   json.RawMessage `json:"context,omitempty" doc:"What the client says of the moment; any JSON object"`
		Limit     int             `json:"limit,omitempty" minimum:"0" maximum:"16"`
		Event     json.RawMessage `json:"event,omitempty" doc:"A Segment event, made durable first and seen by the decision"`
		WriteKey  string          `json:"writeKey,omitempty" doc:"For clients that cannot set a header"`
	}
}

// DecideAnswer is what a client is told. PersonID, value and reason are for
// tokens alone: a write key lives in browsers.
type DecideAnswer struct {
	DecisionID string       `json:"decisionId"`
	PersonID   string       `json:"personId,omitempty"`
	Holdout    bool         `json:"holdout"`
	Items      []DecideItem `json:"items"`
}

// DecideItem is one action given.
type DecideItem struct {
	Action     string         `json:"action"`
	Kind       string         `json:"kind"`
	Content    map[string]any `json:"content"`
	Value      *float64       `json:"value,omitempty"`
	Propensity float64        `json:"propensity"`
	Reason     string         `json:"reason,omitempty"`
}

// DecisionSummary is one line of the list of decisions.
type DecisionSummary struct {
	ID        string          `json:"decisionId"`
	PersonID  string          `json:"personId"`
	Person    string          `json:"person"`
	Placement string          `json:"placement"`
	Time      time.Time       `json:"time"`
	Holdout   bool            `json:"holdout"`
	Items     []SummaryChoice `json:"items"`
	Nothing   string          `json:"nothing,omitempty"`
	Cause     string          `json:"cause"`
}

// SummaryChoice is one action of a decision, without its content.
type SummaryChoice struct {
	Action     string  `json:"action"`
	Kind       string  `json:"kind"`
	Value      float64 `json:"value"`
	Propensity float64 `json:"propensity"`
	Reason     string  `json:"reason"`
}

// FullDecision is a decision with everything that was weighed.
type FullDecision struct {
	DecisionSummary
	Config     int64               `json:"config"`
	Model      int64               `json:"model"`
	Seed       string              `json:"seed" doc:"64 bits, as decimal text"`
	Candidates []rapport.Candidate `json:"candidates"`
	Features   map[string]any      `json:"features"`
	Context    map[string]any      `json:"context"`
}

// Why explains a decision.
type Why struct {
	Sentence        string              `json:"sentence"`
	Funnel          []WhyStep           `json:"funnel"`
	Candidates      []rapport.Candidate `json:"candidates"`
	WhatWouldChange []string            `json:"whatWouldChange"`
	Action          *WhyAction          `json:"action,omitempty"`
	Decision        FullDecision        `json:"decision"`
}

// WhyStep is one rule and what it took out.
type WhyStep struct {
	Rule    string           `json:"rule"`
	Label   string           `json:"label"`
	Removed int              `json:"removed"`
	Left    int              `json:"left"`
	Actions []decide.Failure `json:"actions"`
}

// WhyAction answers why one action was given, or why not.
type WhyAction struct {
	Action  string      `json:"action"`
	Chosen  bool        `json:"chosen"`
	Rule    string      `json:"rule,omitempty"`
	Detail  string      `json:"detail,omitempty"`
	Clauses []WhyClause `json:"clauses,omitempty"`
}

// WhyClause is one part of the action's condition.
type WhyClause struct {
	Text     string `json:"text"`
	Held     bool   `json:"held"`
	Decisive bool   `json:"decisive"`
	Found    string `json:"found"`
}

var ruleLabels = map[string]string{
	decide.RuleValidity: "Outside its dates", decide.RuleCondition: "Not eligible", decide.RuleConsent: "No consent",
	decide.RuleCap: "Contacted enough", decide.RuleQuietHours: "Quiet hours", decide.RuleHoldout: "Permanent holdout",
	decide.RulePaused: "Paused, it does harm", decide.RuleQuota: "Budget or stock used up", decide.RuleGate: "Not to be spoken to now",
	decide.RuleReach: "Cannot be reached", decide.RuleControl: "Control group of the action",
	decide.RuleRight: "Without the right that is asked for",
}

func (a *API) decisionOperations() {
	handle(a, operation{id: "decide", method: "POST", path: "/v1/decide", tag: "Decisions", summary: "The next best thing for one person, now", quick: a.quickDecide}, nil, a.decide)
	handle(a, operation{id: "list-decisions", method: "GET", path: "/v1/decisions", tag: "Decisions", summary: "Recent decisions, newest first", role: access.Viewer}, nil, a.listDecisions)
	handle(a, operation{id: "decision", method: "GET", path: "/v1/decisions/{id}", tag: "Decisions", summary: "One decision with all that was weighed", role: access.Viewer}, nil,
		func(ctx context.Context, in *IDPath) (*body[FullDecision], error) {
			d, err := a.deps.Recent.Find(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &body[FullDecision]{fullDecision(d, a.label(ctx, d.Person))}, nil
		})
	handle(a, operation{id: "explain-decision", method: "GET", path: "/v1/decisions/{id}/explain", tag: "Decisions", summary: "Why a decision came out as it did", role: access.Viewer}, nil,
		func(ctx context.Context, in *struct {
			IDPath
			Action string `query:"action" maxLength:"200" doc:"Ask about this action too: why, or why not"`
		},
		) (*body[Why], error) {
			d, err := a.deps.Recent.Find(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			x := decide.Explain(d)
			if in.Action != "" {
				x.Action = decide.About(d, in.Action)
			}
			return &body[Why]{why(x, a.label(ctx, d.Person))}, nil
		})
	handle(a, operation{id: "explain", method: "POST", path: "/v1/explain", tag: "Decisions", summary: "Why, or why not, without any effect", role: access.Viewer}, nil, a.explain)
}

// caller is who asks for a decision: a token, or a source by its write key.
type caller struct {
	source *collect.Source // nil for a token
}

func (a *API) caller(ctx context.Context, authorization, key string) (caller, error) {
	if p, ok := principal(ctx); ok {
		if !p.Role.Includes(access.Source) && !p.Role.Includes(access.Marketer) {
			return caller{}, rapport.Errorf(rapport.Denied, "the role %s may not ask for decisions; it needs source or marketer", p.Role)
		}
		return caller{}, nil
	}
	if bearer, ok := strings.CutPrefix(authorization, "Bearer "); ok {
		key = strings.TrimSpace(bearer)
	} else if basic, _, ok := (&http.Request{Header: http.Header{"Authorization": {authorization}}}).BasicAuth(); ok {
		key = basic
	}
	if s := a.deps.Door.Config().ByKey(key); s != nil && !s.Disabled && key != "" {
		return caller{source: s}, nil
	}
	return caller{}, rapport.WithHint(rapport.Errorf(rapport.Unauthenticated, "this needs a token or a source's write key"), "send Authorization: Bearer KEY")
}

// mayAsk checks that a write key asks for the caller's own person only.
func (c caller) mayAsk(p *decidePerson) error {
	if c.source == nil {
		return nil
	}
	if p.ID != "" {
		return rapport.Errorf(rapport.Denied, "a write key may name a person by userId or anonymousId only")
	}
	if secret := c.source.UserSecret; p.UserID != "" && len(secret) > 0 {
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte(p.UserID))
		got, err := hex.DecodeString(p.UserHash)
		if err != nil || !hmac.Equal(got, m.Sum(nil)) {
			return rapport.WithHint(rapport.Errorf(rapport.Denied, "userHash does not match userId"), "compute it on your server: hex HMAC-SHA256 of userId with the source's userSecret")
		}
	}
	return nil
}

// resolve returns the entity a request names.
func (a *API) resolve(p *decidePerson) (rapport.ID, error) {
	switch {
	case p.ID != "":
		return a.deps.Identity.Ref(p.ID)
	case p.UserID != "":
		return a.deps.Identity.Ref("userId:" + p.UserID)
	case p.AnonymousID != "":
		return a.deps.Identity.Ref("anonymousId:" + p.AnonymousID)
	}
	return rapport.ID{}, rapport.Errorf(rapport.Invalid, "person names nobody: give userId, anonymousId or id")
}

func (a *API) decide(ctx context.Context, in *decideIn) (*body[DecideAnswer], error) {
	var moment rapport.Fields
	if len(in.Body.Context) > 0 {
		var err error
		if moment, err = segmentwire.Object(in.Body.Context); err != nil {
			return nil, err
		}
	}
	return a.decideIn(ctx, in, moment)
}

// decideIn decides for a request whose context was read.
func (a *API) decideIn(ctx context.Context, in *decideIn, moment rapport.Fields) (*body[DecideAnswer], error) {
	began := time.Now()
	c, err := a.caller(ctx, in.Authorization, in.Body.WriteKey)
	if err != nil {
		return nil, err
	}
	if err := c.mayAsk(&in.Body.Person); err != nil {
		return nil, err
	}
	request := decide.Request{Placement: in.Body.Placement, Context: moment, Limit: in.Body.Limit}
	if len(in.Body.Event) > 0 {
		if err := a.collectFirst(ctx, c, in); err != nil {
			return nil, err
		}
	}
	// After the event, which may have said who this is.
	if request.Person, err = a.resolve(&in.Body.Person); err != nil {
		return nil, err
	}
	d, err := a.deps.Decider.Decide(ctx, request)
	if err != nil {
		return nil, err
	}
	out := DecideAnswer{DecisionID: d.ID, Holdout: d.Holdout, Items: make([]DecideItem, 0, len(d.Items))}
	if c.source == nil {
		out.PersonID = d.Person.String()
	}
	for i := range d.Items {
		x := &d.Items[i]
		content, err := a.deps.Composer.Fill(ctx, request.Person, d.ID, x)
		if err != nil {
			return nil, err
		}
		item := DecideItem{Action: x.Action, Kind: string(x.Type), Content: content.Map(), Propensity: x.Propensity}
		if c.source == nil {
			item.Value, item.Reason = &x.Value, x.Reason
		}
		out.Items = append(out.Items, item)
	}
	if a.deps.Decided != nil {
		a.deps.Decided(time.Since(began))
	}
	return &body[DecideAnswer]{out}, nil
}

// collectFirst makes the event of a request durable before deciding.
func (a *API) collectFirst(ctx context.Context, c caller, in *decideIn) error {
	source := "api"
	if c.source != nil {
		source = c.source.ID
	} else if sources := a.deps.Door.Config().Sources(); len(sources) > 0 && a.deps.Door.Config().Source(source) == nil {
		source = sources[0].ID
	}
	receipt, err := a.deps.Door.Accept(ctx, collect.Delivery{Source: source, Body: withPerson(in.Body.Event, &in.Body.Person)})
	if err == nil && receipt.Accepted == 0 && len(receipt.Problems) > 0 {
		err = rapport.Errorf(rapport.Invalid, "the event was quarantined: %s", receipt.Problems[0].Error())
	}
	return err
}

// withPerson completes an event that does not say whose it is.
func withPerson(event []byte, p *decidePerson) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(event, &m) != nil || m == nil {
		return event // the door says what is wrong with it
	}
	_, user := m["userId"]
	_, anonymous := m["anonymousId"]
	if user || anonymous {
		return event
	}
	if p.UserID != "" {
		m["userId"], _ = json.Marshal(p.UserID)
	}
	if p.AnonymousID != "" {
		m["anonymousId"], _ = json.Marshal(p.AnonymousID)
	}
	out, err := json.Marshal(m)
	if err != nil {
		return event
	}
	return out
}

func (a *API) explain(ctx context.Context, in *struct {
	Body struct {
		Person    decidePerson    `json:"person"`
		Placement string          `json:"placement" minLength:"1" maxLength:"200"`
		Context   json.RawMessage `json:"context,omitempty"`
		Action    string          `json:"action,omitempty" maxLength:"200" doc:"Ask about this action: why, or why not"`
	}
},
) (*body[Why], error) {
	id, err := a.resolve(&in.Body.Person)
	if err != nil {
		return nil, err
	}
	request := decide.Request{Person: id, Placement: in.Body.Placement, Dry: true}
	if len(in.Body.Context) > 0 {
		if request.Context, err = segmentwire.Object(in.Body.Context); err != nil {
			return nil, err
		}
	}
	x, err := a.deps.Decider.Explain(ctx, request, in.Body.Action)
	if err != nil {
		return nil, err
	}
	return &body[Why]{why(x, a.label(ctx, x.Decision.Person))}, nil
}

func (a *API) listDecisions(ctx context.Context, in *struct {
	Limit     int    `query:"limit" default:"50" minimum:"1" maximum:"500"`
	Before    string `query:"before" maxLength:"64"`
	Placement string `query:"placement" maxLength:"200"`
	Action    string `query:"action" maxLength:"200"`
	Outcome   string `query:"outcome" enum:"nothing,chosen,holdout"`
	Person    string `query:"person" maxLength:"600"`
}) (*body[struct {
	Decisions []DecisionSummary `json:"decisions"`
	Next      string            `json:"next,omitempty"`
}], error,
) {
	f := decide.Filter{Placement: in.Placement, Action: in.Action, Before: in.Before, Limit: in.Limit}
	if in.Person != "" {
		id, err := a.deps.Identity.Ref(in.Person)
		if err != nil {
			return nil, err
		}
		f.Person = id
	}
	out := &body[struct {
		Decisions []DecisionSummary `json:"decisions"`
		Next      string            `json:"next,omitempty"`
	}]{}
	out.Body.Decisions = []DecisionSummary{}
	// Outcome is asked here; the ring is small enough to look further when much is passed over.
	for len(out.Body.Decisions) < in.Limit {
		list := a.deps.Recent.List(f)
		for _, d := range list {
			kind := "chosen"
			if d.Holdout {
				kind = "holdout"
			} else if len(d.Items) == 0 {
				kind = "nothing"
			}
			if (in.Outcome == "" || in.Outcome == kind) && len(out.Body.Decisions) < in.Limit {
				out.Body.Decisions = append(out.Body.Decisions, decisionSummary(d, a.label(ctx, d.Person)))
				out.Body.Next = d.ID
			}
			f.Before = d.ID
		}
		if len(list) < f.Limit {
			if len(out.Body.Decisions) < in.Limit {
				out.Body.Next = ""
			}
			break
		}
	}
	return out, nil
}

// label is what to call a person in a list; their id where nothing better is known.
func (a *API) label(ctx context.Context, id rapport.ID) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	p, err := a.readID(ctx, id, []engine.Token{})
	if err != nil {
		return id.String()
	}
	return p.Name()
}

func decisionSummary(d *rapport.Decision, label string) DecisionSummary {
	s := DecisionSummary{
		ID: d.ID, PersonID: d.Person.String(), Person: label, Placement: d.Placement, Time: rapport.Time(d.Time),
		Holdout: d.Holdout, Items: []SummaryChoice{}, Nothing: d.Nothing, Cause: d.Cause,
	}
	for _, x := range d.Items {
		s.Items = append(s.Items, SummaryChoice{x.Action, string(x.Type), x.Value, x.Propensity, x.Reason})
	}
	return s
}

func fullDecision(d *rapport.Decision, label string) FullDecision {
	return FullDecision{
		DecisionSummary: decisionSummary(d, label), Config: d.Config, Model: d.Model, Seed: strconv.FormatUint(d.Seed, 10),
		Candidates: slices.Clone(d.Candidates), Features: d.Features.Map(), Context: d.Context.Map(),
	}
}

func why(x *decide.Explanation, label string) Why {
	w := Why{Sentence: x.Sentence, Decision: fullDecision(x.Decision, label), Candidates: slices.Clone(x.Decision.Candidates), WhatWouldChange: []string{}, Funnel: []WhyStep{}}
	for _, s := range x.Funnel {
		if len(s.Excluded) == 0 {
			continue // a rule that took nothing out is no step
		}
		w.Funnel = append(w.Funnel, WhyStep{Rule: s.Rule, Label: ruleLabels[s.Rule], Removed: len(s.Excluded), Left: s.Left, Actions: s.Excluded})
	}
	if x.Action != nil {
		w.WhatWouldChange = append(w.WhatWouldChange, x.Action.Changes...)
		w.Action = &WhyAction{Action: x.Action.Action, Chosen: x.Action.Chosen, Rule: x.Action.Rule, Detail: x.Action.Detail}
		for _, c := range x.Action.Clauses {
			w.Action.Clauses = append(w.Action.Clauses, WhyClause{c.Text, c.Held, c.Decisive, c.String()})
		}
	}
	return w
}
