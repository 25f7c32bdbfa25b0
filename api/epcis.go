package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/twin/epcis"
)

// The interface of EPCIS 2.0 (GS1's OpenAPI of the REST bindings) under /epcis.
// It has its own description, so it does not stand in ours.

const (
	headerVersion   = "GS1-EPCIS-Version"
	headerVocab     = "GS1-CBV-Version"
	headerBehaviour = "GS1-Capture-Error-Behaviour"
	ldJSON          = "application/ld+json"
)

func (a *API) epcisOperations() {
	if a.deps.Chain == nil {
		return
	}
	// route mounts the ways to reach one resource.
	route := func(path string, methods map[string]func(http.ResponseWriter, *http.Request) error) {
		allowed := []string{http.MethodOptions}
		for m := range methods {
			allowed = append(allowed, m)
		}
		slices.Sort(allowed)
		allow := strings.Join(allowed, ", ")
		a.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(headerVersion, "2.0.0")
			w.Header().Set(headerVocab, "2.0.0")
			if r.Method == http.MethodOptions {
				w.Header().Set("Allow", allow)
				w.Header().Set("GS1-EPCIS-Min", "1.2.0")
				w.Header().Set("GS1-EPCIS-Max", "2.0.0")
				w.Header().Set("GS1-EPC-Format", "No_Preference")
				w.Header().Set("GS1-EPCIS-Capture-Limit", strconv.Itoa(a.deps.Chain.Limits.Events))
				w.Header().Set("GS1-EPCIS-Capture-File-Size-Limit", strconv.Itoa(a.deps.Chain.Limits.Bytes))
				w.Header().Set(headerBehaviour, string(epcis.Rollback))
				w.WriteHeader(http.StatusNoContent)
				return
			}
			h, ok := methods[r.Method]
			if !ok {
				w.Header().Set("Allow", allow)
				writeException(w, r, &epcis.Exception{Name: epcis.ImplementationException, Status: http.StatusMethodNotAllowed, Detail: r.Method + " is not offered here; " + allow + " are"})
				return
			}
			write := r.Method != http.MethodGet && r.Method != http.MethodHead
			if err := a.mayChain(r, write); err != nil {
				writeException(w, r, err)
				return
			}
			if err := h(w, r); err != nil {
				writeException(w, r, err)
			}
		})
	}
	type ways = map[string]func(http.ResponseWriter, *http.Request) error
	route("/epcis", ways{"GET": a.epcisTop})
	route("/epcis/capture", ways{"POST": a.epcisCapture, "GET": a.epcisJobs})
	route("/epcis/capture/{id}", ways{"GET": a.epcisJob})
	route("/epcis/events", ways{"POST": a.epcisEvent, "GET": a.epcisEvents})
	route("/epcis/events/{id...}", ways{"GET": a.epcisEventByID})
	route("/epcis/eventTypes", ways{"GET": a.epcisEventTypes})
	route("/epcis/eventTypes/{value}/events", ways{"GET": a.epcisUnder("eventType")})
	route("/epcis/epcs/{value}/events", ways{"GET": a.epcisUnder("MATCH_anyEPC")})
	route("/epcis/bizSteps/{value}/events", ways{"GET": a.epcisUnder("EQ_bizStep")})
	route("/epcis/bizLocations/{value}/events", ways{"GET": a.epcisUnder("EQ_bizLocation")})
	route("/epcis/readPoints/{value}/events", ways{"GET": a.epcisUnder("EQ_readPoint")})
	route("/epcis/dispositions/{value}/events", ways{"GET": a.epcisUnder("EQ_disposition")})
	route("/epcis/queries", ways{"POST": a.epcisCreateQuery, "GET": a.epcisQueries})
	route("/epcis/queries/{name}", ways{"GET": a.epcisQuery, "DELETE": a.epcisDeleteQuery})
	route("/epcis/queries/{name}/events", ways{"GET": a.epcisQueryEvents})
	route("/epcis/queries/{name}/subscriptions", ways{"POST": a.epcisSubscribe, "GET": a.epcisSubscriptions})
	route("/epcis/queries/{name}/subscriptions/{id}", ways{"GET": a.epcisSubscription, "DELETE": a.epcisUnsubscribe})
}

// mayChain checks the role: partners capture with a source token, readers read.
func (a *API) mayChain(r *http.Request, write bool) error {
	p, ok := principal(r.Context())
	if !ok {
		return rapport.WithHint(rapport.Errorf(rapport.Unauthenticated, "this needs a token"), "send Authorization: Bearer TOKEN")
	}
	if write && (p.Role == access.Source || p.Role.Includes(access.Marketer)) || !write && p.Role.Includes(access.Viewer) {
		return nil
	}
	return epcis.Raise(epcis.SecurityException, "the role %s may not do this", p.Role)
}

// writeException answers with the standard's problem document.
func writeException(w http.ResponseWriter, r *http.Request, err error) {
	var x *epcis.Exception
	if !errors.As(err, &x) {
		kind := rapport.KindOf(err)
		x = &epcis.Exception{Name: epcis.ImplementationException, Status: statusOf[kind], Detail: err.Error()}
		switch kind {
		case rapport.Invalid:
			x.Name = epcis.ValidationException
		case rapport.NotFound:
			x.Name = epcis.NoSuchResourceException
		case rapport.Conflict:
			x.Name = epcis.ResourceAlreadyExistsException
		case rapport.Denied, rapport.Unauthenticated:
			x.Name = epcis.SecurityException
		case rapport.TooLarge:
			x.Name = epcis.CaptureLimitExceededException
		case rapport.Internal:
			if l := logger(r.Context()); l != nil {
				l.Error("request failed", "error", err, "request", requestID(r.Context()))
			}
			x.Detail = "something went wrong on our side; quote the request id when you report it"
		}
	}
	p := newProblem(x, requestID(r.Context()))
	p.Type, p.Status, p.Detail = x.Type(), x.Status, x.Detail
	if p.Title = http.StatusText(x.Status); p.Title == "" {
		p.Title = x.Name
	}
	if x.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if x.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="rapport"`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(x.Status)
	_ = json.NewEncoder(w).Encode(p)
}

func writeJSON(w http.ResponseWriter, media string, status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
	return nil
}

// chainBody reads a body up to the capture limit.
func (a *API) chainBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := int64(a.deps.Chain.Limits.Bytes)
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, epcis.Raise(epcis.CaptureLimitExceededException, "the body has more than %d bytes; split it", limit)
	case err != nil:
		return nil, epcis.Raise(epcis.ValidationException, "the body broke off")
	}
	return data, nil
}

func (a *API) epcisTop(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, ldJSON, http.StatusOK, map[string]any{
		"@context": epcis.Context, "type": "Collection",
		"member": []string{"capture", "events", "eventTypes", "epcs", "bizSteps", "bizLocations", "readPoints", "dispositions", "queries"},
	})
}

func (a *API) epcisEventTypes(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, ldJSON, http.StatusOK, map[string]any{
		"@context": epcis.Context, "type": "Collection",
		"member": []epcis.Type{epcis.Aggregation, epcis.Association, epcis.Object, epcis.Transaction, epcis.Transformation},
	})
}

func (a *API) epcisCapture(w http.ResponseWriter, r *http.Request) error {
	data, err := a.chainBody(w, r)
	if err != nil {
		return err
	}
	behaviour := epcis.Behaviour(strings.ToLower(r.Header.Get(headerBehaviour)))
	if behaviour != "" && behaviour != epcis.Rollback && behaviour != epcis.Proceed {
		return epcis.Raise(epcis.ValidationException, "%s is rollback or proceed", headerBehaviour)
	}
	doc, err := epcis.Parse(data, r.Header.Get("Content-Type"), a.deps.Chain.Limits)
	if err != nil {
		return err
	}
	job, err := a.deps.Chain.Capture(r.Context(), doc, behaviour)
	if err != nil {
		return err
	}
	w.Header().Set(headerBehaviour, string(job.Behaviour))
	w.Header().Set("Location", "/epcis/capture/"+job.ID)
	return writeJSON(w, "application/json", http.StatusAccepted, job)
}

func (a *API) epcisJob(w http.ResponseWriter, r *http.Request) error {
	job, err := a.deps.Chain.Job(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set(headerBehaviour, string(job.Behaviour))
	return writeJSON(w, "application/json", http.StatusOK, job)
}

func (a *API) epcisJobs(w http.ResponseWriter, r *http.Request) error {
	limit := 30
	if s := r.URL.Query().Get("perPage"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return epcis.Raise(epcis.QueryParameterException, "perPage is a positive number")
		}
		limit = min(n, 1000)
	}
	jobs, next, err := a.deps.Chain.Jobs(r.Context(), limit, r.URL.Query().Get("nextPageToken"))
	if err != nil {
		return err
	}
	linkNext(w, r, next)
	return writeJSON(w, "application/json", http.StatusOK, jobs)
}

// linkNext points to the following page (RFC 8288).
func linkNext(w http.ResponseWriter, r *http.Request, token string) {
	if token == "" {
		return
	}
	q := r.URL.Query()
	q.Set("nextPageToken", token)
	w.Header().Set("Link", "<"+r.URL.Path+"?"+q.Encode()+`>; rel="next"`)
	w.Header().Set("GS1-Next-Page-Token-Expires", "9999-12-31T23:59:59Z")
}

func (a *API) epcisEvent(w http.ResponseWriter, r *http.Request) error {
	data, err := a.chainBody(w, r)
	if err != nil {
		return err
	}
	doc, err := epcis.Parse(data, r.Header.Get("Content-Type"), a.deps.Chain.Limits)
	if err != nil {
		return err
	}
	if len(doc.Events) != 1 {
		return epcis.Raise(epcis.ValidationException, "one event is captured here; send documents to /epcis/capture")
	}
	id, err := a.deps.Chain.CaptureOne(r.Context(), doc.Events[0])
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/epcis/events/"+url.PathEscape(id))
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (a *API) epcisEventByID(w http.ResponseWriter, r *http.Request) error {
	e, err := a.deps.Chain.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", ldJSON)
	_, _ = w.Write(append(epcis.WithContext(e), '\n'))
	return nil
}

func (a *API) epcisEvents(w http.ResponseWriter, r *http.Request) error {
	return a.answerQuery(w, r, epcis.ParamsOf(r.URL.Query()), "SimpleEventQuery")
}

// epcisUnder answers with the events of a top-level resource.
func (a *API) epcisUnder(param string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		p := epcis.ParamsOf(r.URL.Query())
		p[param] = r.PathValue("value")
		return a.answerQuery(w, r, p, "SimpleEventQuery")
	}
}

func (a *API) answerQuery(w http.ResponseWriter, r *http.Request, p epcis.Params, name string) error {
	if accept := r.Header.Get("Accept"); accept != "" && !strings.Contains(accept, "json") && !strings.Contains(accept, "*/*") && !strings.Contains(accept, "application/*") {
		return epcis.Raise(epcis.NotAcceptableException, "events are told in JSON-LD")
	}
	q, err := epcis.Compile(p)
	if err != nil {
		return err
	}
	page, err := a.deps.Chain.Find(r.Context(), q)
	if err != nil {
		return err
	}
	linkNext(w, r, page.Next)
	w.Header().Set("Content-Type", ldJSON)
	_, _ = w.Write(append(epcis.QueryDocument(page.Events, name, "", a.deps.Clock.Now()), '\n'))
	return nil
}

func (a *API) epcisCreateQuery(w http.ResponseWriter, r *http.Request) error {
	data, err := a.chainBody(w, r)
	if err != nil {
		return err
	}
	m, err := epcis.DecodeParams(data)
	if err != nil {
		return err
	}
	name, _ := m["name"].(string)
	query, ok := m["query"].(map[string]any)
	if !ok {
		return epcis.Raise(epcis.QueryValidationException, "a named query has name and query")
	}
	if err := a.deps.Chain.CreateQuery(r.Context(), name, query); err != nil {
		return err
	}
	w.Header().Set("Location", "/epcis/queries/"+url.PathEscape(name))
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (a *API) epcisQueries(w http.ResponseWriter, r *http.Request) error {
	list, err := a.deps.Chain.Queries(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, "application/json", http.StatusOK, list)
}

func (a *API) epcisQuery(w http.ResponseWriter, r *http.Request) error {
	q, err := a.deps.Chain.Query(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return writeJSON(w, "application/json", http.StatusOK, q)
}

func (a *API) epcisDeleteQuery(w http.ResponseWriter, r *http.Request) error {
	if err := a.deps.Chain.DeleteQuery(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) epcisQueryEvents(w http.ResponseWriter, r *http.Request) error {
	q, err := a.deps.Chain.Query(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	p := q.Query
	for _, name := range []string{"perPage", "nextPageToken"} {
		if v := r.URL.Query().Get(name); v != "" {
			p[name] = v
		}
	}
	return a.answerQuery(w, r, p, q.Name)
}

// subscriptionBody is what a subscriber asks for. A schedule is kept as a least
// distance between results.
type subscriptionBody struct {
	Dest           string            `json:"dest"`
	SignatureToken string            `json:"signatureToken"`
	ReportIfEmpty  bool              `json:"reportIfEmpty"`
	Stream         *bool             `json:"stream"`
	Schedule       map[string]string `json:"schedule"`
}

// every turns the standard's schedule into a distance: the finest field set
// with a single value or a list says how often.
func (b *subscriptionBody) every() (time.Duration, error) {
	if b.Stream != nil && *b.Stream || b.Schedule == nil {
		return 0, nil
	}
	if b.Stream != nil && len(b.Schedule) > 0 && *b.Stream {
		return 0, epcis.Raise(epcis.SubscriptionControlsException, "stream and schedule exclude each other")
	}
	for _, f := range []struct {
		name string
		unit time.Duration
	}{{"second", time.Minute}, {"minute", time.Hour}, {"hour", 24 * time.Hour}, {"dayOfWeek", 7 * 24 * time.Hour}, {"dayOfMonth", 31 * 24 * time.Hour}} {
		v := b.Schedule[f.name]
		if v == "" || v == "*" {
			continue
		}
		n := len(strings.Split(v, ","))
		if step, ok := strings.CutPrefix(v, "*/"); ok {
			k, err := strconv.Atoi(step)
			if err != nil || k < 1 {
				return 0, epcis.Raise(epcis.SubscriptionControlsException, "schedule: %s is not understood", v)
			}
			n = max(1, int(f.unit/time.Minute)/k)
		}
		return f.unit / time.Duration(n), nil
	}
	return 0, epcis.Raise(epcis.SubscriptionControlsException, "the schedule says nothing")
}

func (a *API) epcisSubscribe(w http.ResponseWriter, r *http.Request) error {
	data, err := a.chainBody(w, r)
	if err != nil {
		return err
	}
	var b subscriptionBody
	if err := json.Unmarshal(data, &b); err != nil {
		return epcis.Raise(epcis.SubscriptionControlsException, "the body does not read: %v", err)
	}
	every, err := b.every()
	if err != nil {
		return err
	}
	s, err := a.deps.Chain.Subscribe(r.Context(), epcis.Subscription{Query: r.PathValue("name"), Dest: b.Dest, Secret: b.SignatureToken, ReportIfEmpty: b.ReportIfEmpty, Every: every})
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/epcis/queries/"+url.PathEscape(s.Query)+"/subscriptions/"+s.ID)
	return writeJSON(w, "application/json", http.StatusCreated, map[string]any{"subscriptionID": s.ID, "createdAt": s.Created, "signatureToken": s.Secret})
}

func shownSubscription(s *epcis.Subscription) map[string]any {
	return map[string]any{
		"subscriptionID": s.ID, "queryName": s.Query, "dest": s.Dest, "createdAt": s.Created, "reportIfEmpty": s.ReportIfEmpty,
		"stream": s.Every == 0, "everySeconds": s.Every.Seconds(),
	}
}

func (a *API) epcisSubscriptions(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.deps.Chain.Query(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	all, err := a.deps.Chain.Subscriptions(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	out := make([]map[string]any, len(all))
	for i := range all {
		out[i] = shownSubscription(&all[i])
	}
	return writeJSON(w, "application/json", http.StatusOK, out)
}

func (a *API) epcisSubscription(w http.ResponseWriter, r *http.Request) error {
	all, err := a.deps.Chain.Subscriptions(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].ID == r.PathValue("id") {
			return writeJSON(w, "application/json", http.StatusOK, shownSubscription(&all[i]))
		}
	}
	return epcis.Raise(epcis.NoSuchResourceException, "there is no such subscription")
}

func (a *API) epcisUnsubscribe(w http.ResponseWriter, r *http.Request) error {
	if err := a.deps.Chain.Unsubscribe(r.Context(), r.PathValue("name"), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
