package api

import (
	"context"
	"encoding/base64"
	"net/http"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/twin/ota"
)

type artifactList struct {
	Artifacts []ota.Artifact `json:"artifacts"`
	PublicKey string         `json:"publicKey" doc:"Ed25519, base64: verifies signatures over \"sha256 version name\""`
}

type rolloutList struct {
	Rollouts []ota.Progress `json:"rollouts"`
}

type rolloutDevices struct {
	Devices []ota.Action `json:"devices"`
}

type rolloutPath struct {
	ID string `path:"id"`
}

type rolloutVerb struct {
	ID   string `path:"id"`
	Verb string `path:"verb" enum:"start,pause,resume,advance,finish,cancel"`
}

// updateOperations mounts artifacts and rollouts.
func (a *API) updateOperations() {
	if a.deps.Updates == nil {
		return
	}
	const tag = "updates"
	a.mux.HandleFunc("POST /v1/artifacts", a.uploadArtifact)
	handle(a, operation{id: "list-artifacts", method: http.MethodGet, path: "/v1/artifacts", tag: tag, role: access.Viewer, summary: "List software that devices can be given; POST a file here with ?name=&version=&module= to add one"},
		nil, func(ctx context.Context, _ *struct{}) (*body[artifactList], error) {
			list, err := a.deps.Updates.Artifacts(ctx)
			return &body[artifactList]{artifactList{list, base64.StdEncoding.EncodeToString(a.deps.Updates.PublicKey())}}, err
		})
	handle(a, operation{id: "draw-rollout", method: http.MethodPost, path: "/v1/rollouts", tag: tag, role: access.Marketer, status: http.StatusCreated, audit: "rollout.draw", summary: "Draw up a rollout; it begins when started"},
		func(in *body[rolloutBody]) string { return in.Body.Artifact }, func(ctx context.Context, in *body[rolloutBody]) (*body[ota.Progress], error) {
			r := in.Body.rollout()
			r.By = author(ctx)
			p, err := a.deps.Updates.Draw(ctx, r)
			if err != nil {
				return nil, err
			}
			return &body[ota.Progress]{*p}, nil
		})
	handle(a, operation{id: "list-rollouts", method: http.MethodGet, path: "/v1/rollouts", tag: tag, role: access.Viewer, summary: "List rollouts with how far they are"},
		nil, func(ctx context.Context, _ *struct{}) (*body[rolloutList], error) {
			list, err := a.deps.Updates.Rollouts(ctx)
			return &body[rolloutList]{rolloutList{list}}, err
		})
	handle(a, operation{id: "get-rollout", method: http.MethodGet, path: "/v1/rollouts/{id}", tag: tag, role: access.Viewer, summary: "Read a rollout with how far it is"},
		nil, func(ctx context.Context, in *rolloutPath) (*body[ota.Progress], error) {
			p, err := a.deps.Updates.Rollout(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &body[ota.Progress]{*p}, nil
		})
	handle(a, operation{id: "rollout-devices", method: http.MethodGet, path: "/v1/rollouts/{id}/devices", tag: tag, role: access.Viewer, summary: "List the devices of a rollout and the step each is at"},
		nil, func(ctx context.Context, in *rolloutPath) (*body[rolloutDevices], error) {
			list, err := a.deps.Updates.Actions(ctx, in.ID)
			return &body[rolloutDevices]{rolloutDevices{list}}, err
		})
	handle(a, operation{id: "change-rollout", method: http.MethodPost, path: "/v1/rollouts/{id}/{verb}", tag: tag, role: access.Marketer, status: http.StatusOK, audit: "rollout.change", summary: "Start, pause, resume, advance, finish or cancel a rollout"},
		func(in *rolloutVerb) string { return in.ID + " " + in.Verb }, func(ctx context.Context, in *rolloutVerb) (*body[ota.Progress], error) {
			p, err := a.deps.Updates.Change(ctx, in.ID, in.Verb, author(ctx))
			if err != nil {
				return nil, err
			}
			return &body[ota.Progress]{*p}, nil
		})
}

// rolloutBody is a rollout as it is drawn up; what is left out takes a default.
type rolloutBody struct {
	Name      string      `json:"name,omitempty"`
	Artifact  string      `json:"artifact" doc:"SHA-256"`
	Target    *ota.Target `json:"target,omitempty"`
	Stages    []ota.Stage `json:"stages,omitempty" doc:"Default 5, 25 and 100 percent"`
	Holdback  float64     `json:"holdback,omitempty" minimum:"0" maximum:"0.5" doc:"Share that is never updated, to compare with"`
	Timeout   int64       `json:"timeoutSeconds,omitempty" doc:"Default a day"`
	Soak      int64       `json:"soakSeconds,omitempty" doc:"Default an hour"`
	ErrorRate float64     `json:"errorRate,omitempty" doc:"Default 0.1"`
	Minimum   int         `json:"minimum,omitempty" doc:"Devices before a rate counts; default 10"`
	Harms     []ota.Harm  `json:"harms,omitempty"`
	Disturbs  bool        `json:"disturbs,omitempty"`
	QuietFrom string      `json:"quietFrom,omitempty"`
	QuietTo   string      `json:"quietTo,omitempty"`
	Consent   string      `json:"consent,omitempty"`
}

func (b *rolloutBody) rollout() ota.Rollout {
	r := ota.Rollout{
		Name: b.Name, Artifact: b.Artifact, Stages: b.Stages, Holdback: b.Holdback, Timeout: b.Timeout, Soak: b.Soak, ErrorRate: b.ErrorRate,
		Minimum: b.Minimum, Harms: b.Harms, Disturbs: b.Disturbs, QuietFrom: b.QuietFrom, QuietTo: b.QuietTo, Consent: b.Consent,
	}
	if b.Target != nil {
		r.Target = *b.Target
	}
	return r
}

// uploadArtifact takes a file as the body; what it is stands in the query.
func (a *API) uploadArtifact(w http.ResponseWriter, r *http.Request) {
	p, ok := principal(r.Context())
	if !ok {
		writeProblem(w, r, rapport.WithHint(rapport.Errorf(rapport.Unauthenticated, "this needs a token"), "send Authorization: Bearer TOKEN"))
		return
	}
	if !p.Role.Includes(access.Marketer) {
		writeProblem(w, r, rapport.Errorf(rapport.Denied, "the role %s may not do this; it needs %s", p.Role, access.Marketer))
		return
	}
	q := r.URL.Query()
	art, err := a.deps.Updates.AddArtifact(r.Context(), ota.Artifact{
		Name: q.Get("name"), Version: q.Get("version"), Module: q.Get("module"), Vendor: q.Get("vendorSignature"), By: p.Name,
	}, http.MaxBytesReader(w, r.Body, ota.MaxArtifact+1))
	e := access.Entry{Author: p.Name, Action: "artifact.add", Object: q.Get("name"), Request: requestID(r.Context())}
	if err != nil {
		e.Detail = "refused: " + rapport.KindOf(err).String()
	}
	if aerr := a.deps.Access.Record(context.WithoutCancel(r.Context()), e); aerr != nil {
		a.deps.Logger.Error("audit entry was not written", "action", e.Action, "error", aerr)
	}
	if err == nil {
		err = writeJSON(w, "application/json", http.StatusCreated, art)
	}
	if err != nil {
		writeProblem(w, r, err)
	}
}
