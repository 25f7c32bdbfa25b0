package api

import (
	"bytes"
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/predict"
)

// Predictions are the models behind people's scores.
type Predictions interface {
	// Pages returns the health of every model.
	Pages() []predict.ModelPage
	// Fit fits a model anew. Kinds: NotFound; Conflict, not enough to learn from; Unavailable.
	Fit(ctx context.Context, id string) error
	// Moments returns the sessions the model of intent learns from.
	Moments(ctx context.Context) (*predict.Moments, error)
}

type sessionTable struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

type modelList struct {
	Models []predict.ModelPage `json:"models"`
}

type scoreAnswer struct {
	Scores       predict.Scores             `json:"scores"`
	Explanations []predict.ScoreExplanation `json:"explanations"`
}

func (a *API) predictOperations() {
	handle(a, operation{id: "list-models", method: "GET", path: "/v1/models", tag: "Predictions", summary: "Models and their health", role: access.Viewer}, nil,
		func(context.Context, *struct{}) (*body[modelList], error) {
			return &body[modelList]{modelList{a.deps.Predictions.Pages()}}, nil
		})
	handle(a, operation{id: "model", method: "GET", path: "/v1/models/{id}", tag: "Predictions", summary: "One model and its health", role: access.Viewer}, nil,
		func(_ context.Context, in *IDPath) (*body[predict.ModelPage], error) {
			p, err := a.modelPage(in.ID)
			return &body[predict.ModelPage]{p}, err
		})
	handle(a, operation{id: "fit-model", method: "POST", path: "/v1/models/{id}/fit", tag: "Predictions", summary: "Fit a model now", role: access.Marketer, audit: "model.fit"},
		func(in *IDPath) string { return in.ID },
		func(ctx context.Context, in *IDPath) (*body[predict.ModelPage], error) {
			if _, err := a.modelPage(in.ID); err != nil {
				return nil, err
			}
			if err := a.deps.Predictions.Fit(ctx, in.ID); err != nil {
				return nil, err
			}
			p, err := a.modelPage(in.ID)
			return &body[predict.ModelPage]{p}, err
		})
	handle(a, operation{id: "intent-sessions", method: "GET", path: "/v1/models/intent/sessions", tag: "Predictions", summary: "Sessions the model of intent learns from, as CSV for `rapport evaluate intent --outcome purchase`", role: access.Analyst, media: "text/csv"}, nil,
		func(ctx context.Context, _ *struct{}) (*sessionTable, error) {
			m, err := a.deps.Predictions.Moments(ctx)
			if err != nil {
				return nil, err
			}
			var b bytes.Buffer
			err = m.WriteCSV(&b)
			return &sessionTable{"text/csv; charset=utf-8", b.Bytes()}, err
		})
	handle(a, operation{id: "insights", method: "GET", path: "/v1/insights", tag: "Predictions", summary: "Groups for whom an outcome is more or less frequent, false discoveries held at 5 %", role: access.Analyst}, nil, a.insights)
	handle(a, operation{id: "insight-stream", method: "GET", path: "/v1/insights/stream", tag: "Predictions", summary: "What the daily looks found, and how the chance of a false discovery was spent", role: access.Analyst}, nil,
		func(context.Context, *struct{}) (*body[predict.InsightStream], error) {
			return &body[predict.InsightStream]{a.deps.Found.Page()}, nil
		})
	handle(a, operation{id: "person-scores", method: "GET", path: "/v1/people/{ref}/scores", tag: "People", summary: "What is foretold of a person, taken apart", role: access.Viewer}, nil,
		func(ctx context.Context, in *RefPath) (*body[scoreAnswer], error) {
			id, err := a.deps.Identity.Ref(in.Ref)
			if err != nil {
				return nil, err
			}
			out := &body[scoreAnswer]{}
			found := false
			var p *predict.Person
			err = a.deps.Engine.View(ctx, id, nil, func(v *engine.View) error {
				found = v.Exists()
				p = predict.Of(v.State, v.Config(), rapport.Millis(a.deps.Clock.Now()))
				return nil
			})
			if err == nil && !found {
				err = rapport.Errorf(rapport.NotFound, "nothing is known of this person")
			}
			if err == nil {
				out.Body.Scores, out.Body.Explanations = p.Scores(), p.Explain()
			}
			return out, err
		})
}

func (a *API) insights(ctx context.Context, in *struct {
	Event   string   `query:"event" required:"true" maxLength:"200" doc:"The outcome: people who did this"`
	Within  string   `query:"within" maxLength:"20" doc:"In the last so long, such as 30d; all time if empty"`
	Exclude []string `query:"exclude" maxItems:"50" doc:"Traits and events that must not explain it"`
},
) (*body[predict.Insights], error) {
	q := predict.Question{Event: in.Event, Exclude: in.Exclude, Now: rapport.Millis(a.deps.Clock.Now())}
	if in.Within != "" {
		var err error
		if q.Within, err = rapport.ParseDuration(in.Within); err != nil {
			return nil, err
		}
	}
	found, err := predict.Discover(ctx, a.deps.Engine, q)
	if err != nil {
		return nil, err
	}
	return &body[predict.Insights]{*found}, nil
}

func (a *API) modelPage(id string) (predict.ModelPage, error) {
	for _, p := range a.deps.Predictions.Pages() {
		if p.ID == id {
			return p, nil
		}
	}
	return predict.ModelPage{}, rapport.Errorf(rapport.NotFound, "there is no model %s", id)
}
