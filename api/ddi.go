package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/twin/ota"
)

// The interface by which devices fetch updates: Eclipse hawkBit's Direct Device
// Integration, under the literal tenant DEFAULT, as swupdate and others speak it.

const (
	ddiRoot    = "/DEFAULT/controller/v1/"
	ddiIdle    = "00:05:00" // how long a device waits until it asks again
	ddiBusy    = "00:00:30"
	ddiMaxBody = 256 << 10
)

func (a *API) ddiOperations() {
	if a.deps.Updates == nil {
		return
	}
	route := func(pattern string, h func(w http.ResponseWriter, r *http.Request, item string) error) {
		a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			name, err := a.ddiDevice(r)
			if err == nil {
				err = h(w, r, name)
			}
			if err != nil {
				if rapport.KindOf(err) == rapport.Unauthenticated {
					if !a.guard.limits.allowFailure(clientAddress(r), 1) {
						writeLimited(w, r)
						return
					}
					w.Header().Set("WWW-Authenticate", `TargetToken realm="rapport"`)
				}
				writeProblem(w, r, err)
			}
		})
	}
	route("GET "+ddiRoot+"{id}", a.ddiPoll)
	route("PUT "+ddiRoot+"{id}/configData", a.ddiConfig)
	route("GET "+ddiRoot+"{id}/deploymentBase/{action}", a.ddiDeployment)
	route("POST "+ddiRoot+"{id}/deploymentBase/{action}/feedback", a.ddiFeedback)
	route("GET "+ddiRoot+"{id}/cancelAction/{action}", a.ddiCancel)
	route("POST "+ddiRoot+"{id}/cancelAction/{action}/feedback", a.ddiCanceled)
	a.mux.HandleFunc("GET /ota/artifacts/{sha}", a.ddiArtifact)
}

// ddiDevice says which item asks: by its own token, or a gateway for it.
func (a *API) ddiDevice(r *http.Request) (string, error) {
	id := r.PathValue("id")
	name := ddiItem(id)
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	switch scheme {
	case "TargetToken":
		return a.deps.Items.Authenticate(r.Context(), name, secret)
	case "GatewayToken":
		p, err := a.deps.Access.Authenticate(secret)
		if err != nil {
			return "", err
		}
		if p.Role != access.Source && p.Role != access.Admin {
			return "", rapport.Errorf(rapport.Denied, "the role %s is no gateway's", p.Role)
		}
		return item.Resolve(name)
	}
	return "", rapport.WithHint(rapport.Errorf(rapport.Unauthenticated, "this needs a device's or a gateway's token"), "send Authorization: TargetToken TOKEN or GatewayToken TOKEN")
}

// ddiItem reads a controller id: an item id, "GTIN.serial", or a device name.
func ddiItem(id string) string {
	if gtin, serial, ok := strings.Cut(id, "."); ok && len(gtin) == 14 && strings.Trim(gtin, "0123456789") == "" {
		return "01_" + gtin + "_21_" + serial
	}
	return id
}

// ddiBase is where links of an answer begin.
func (a *API) ddiBase(r *http.Request) string {
	if a.deps.PublicURL != "" {
		return strings.TrimSuffix(a.deps.PublicURL, "/")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func (a *API) ddiPoll(w http.ResponseWriter, r *http.Request, name string) error {
	v, err := a.deps.Updates.Poll(r.Context(), name)
	if err != nil {
		return err
	}
	base := a.ddiBase(r) + ddiRoot + r.PathValue("id")
	links := map[string]any{}
	sleep := ddiIdle
	if v.Action != nil {
		sleep = ddiBusy
		switch v.Action.Step {
		case ota.CancelAsked:
			links["cancelAction"] = href(fmt.Sprintf("%s/cancelAction/%d", base, v.Action.ID))
		case ota.Soaking:
		default:
			links["deploymentBase"] = href(fmt.Sprintf("%s/deploymentBase/%d", base, v.Action.ID))
		}
	}
	if !v.Known {
		links["configData"] = href(base + "/configData")
	}
	out := map[string]any{"config": map[string]any{"polling": map[string]string{"sleep": sleep}}}
	if len(links) > 0 {
		out["_links"] = links
	}
	return writeJSON(w, "application/json", http.StatusOK, out)
}

func href(url string) map[string]string { return map[string]string{"href": url} }

func ddiBody(w http.ResponseWriter, r *http.Request, into any) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, ddiMaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return rapport.Errorf(rapport.TooLarge, "the body has more than %d bytes", ddiMaxBody)
	case err != nil:
		return rapport.Errorf(rapport.Invalid, "the body broke off")
	}
	if err := json.Unmarshal(data, into); err != nil {
		return rapport.Errorf(rapport.Invalid, "the body does not read: %w", err)
	}
	return nil
}

// ddiConfig keeps a device's attributes. The body carries a status as well,
// which is no result of an update.
func (a *API) ddiConfig(w http.ResponseWriter, r *http.Request, name string) error {
	var in struct {
		Data map[string]any `json:"data"`
	}
	if err := ddiBody(w, r, &in); err != nil {
		return err
	}
	data := map[string]string{}
	for k, v := range in.Data {
		switch v := v.(type) {
		case string:
			data[k] = v
		case nil:
		default:
			data[k] = fmt.Sprint(v)
		}
	}
	if err := a.deps.Updates.SetAttributes(r.Context(), name, data); err != nil {
		return err
	}
	for _, field := range []string{"firmware", "swVersion", "sw_version"} {
		if v := data[field]; v != "" {
			body, err := json.Marshal(map[string]string{"firmware": v})
			if err != nil {
				return err
			}
			if err := a.deps.Items.Send(r.Context(), name, item.Reported, body); err != nil {
				return err
			}
			break
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// ddiAction returns the device's open action of the path.
func (a *API) ddiAction(r *http.Request, name string) (*ota.Visit, error) {
	id, err := strconv.ParseInt(r.PathValue("action"), 10, 64)
	if err != nil {
		return nil, rapport.Errorf(rapport.NotFound, "an action's id is a number")
	}
	v, err := a.deps.Updates.Current(r.Context(), name)
	if err != nil {
		return nil, err
	}
	if v.Action == nil || v.Action.ID != id || v.Artifact == nil {
		return nil, rapport.Errorf(rapport.NotFound, "the device has no action %d", id)
	}
	return v, nil
}

func (a *API) ddiDeployment(w http.ResponseWriter, r *http.Request, name string) error {
	v, err := a.ddiAction(r, name)
	if err != nil {
		return err
	}
	art := v.Artifact
	link := a.ddiBase(r) + a.deps.Updates.Link(name, art.SHA256)
	return writeJSON(w, "application/json", http.StatusOK, map[string]any{
		"id": strconv.FormatInt(v.Action.ID, 10),
		"deployment": map[string]any{
			"download": "forced", "update": "forced",
			"chunks": []any{map[string]any{
				"part": art.Module, "version": art.Version, "name": art.Name,
				"metadata": []any{
					map[string]string{"key": "signature", "value": fmt.Sprintf("%x", art.Signature)},
					map[string]string{"key": "vendorSignature", "value": art.Vendor},
				},
				"artifacts": []any{map[string]any{
					"filename": art.Name, "size": art.Size,
					"hashes": map[string]string{"sha1": art.SHA1, "md5": art.MD5, "sha256": art.SHA256},
					"_links": map[string]any{"download": href(link), "download-http": href(link)},
				}},
			}},
		},
	})
}

type ddiFeedbackBody struct {
	Status struct {
		Execution string   `json:"execution"`
		Details   []string `json:"details"`
		Result    struct {
			Finished string `json:"finished"`
		} `json:"result"`
	} `json:"status"`
}

func (b *ddiFeedbackBody) feedback() ota.Feedback {
	return ota.Feedback{Execution: b.Status.Execution, Finished: b.Status.Result.Finished, Details: b.Status.Details}
}

func (a *API) ddiTold(w http.ResponseWriter, r *http.Request, tell func(id int64, f ota.Feedback) error) error {
	id, err := strconv.ParseInt(r.PathValue("action"), 10, 64)
	if err != nil {
		return rapport.Errorf(rapport.NotFound, "an action's id is a number")
	}
	var in ddiFeedbackBody
	if err := ddiBody(w, r, &in); err != nil {
		return err
	}
	if in.Status.Execution == "" {
		return rapport.Errorf(rapport.Invalid, "status.execution is missing")
	}
	if err := tell(id, in.feedback()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (a *API) ddiFeedback(w http.ResponseWriter, r *http.Request, name string) error {
	return a.ddiTold(w, r, func(id int64, f ota.Feedback) error { return a.deps.Updates.Report(r.Context(), name, id, f) })
}

func (a *API) ddiCanceled(w http.ResponseWriter, r *http.Request, name string) error {
	return a.ddiTold(w, r, func(id int64, f ota.Feedback) error { return a.deps.Updates.Canceled(r.Context(), name, id, f) })
}

func (a *API) ddiCancel(w http.ResponseWriter, r *http.Request, name string) error {
	v, err := a.ddiAction(r, name)
	if err != nil {
		return err
	}
	id := strconv.FormatInt(v.Action.ID, 10)
	return writeJSON(w, "application/json", http.StatusOK, map[string]any{"id": id, "cancelAction": map[string]string{"stopId": id}})
}

// ddiArtifact serves a file by a link that expires; ranges let a download go on.
func (a *API) ddiArtifact(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f, art, err := a.deps.Updates.OpenArtifact(r.Context(), q.Get("item"), r.PathValue("sha"), q.Get("expires"), q.Get("signature"))
	if err != nil {
		writeProblem(w, r, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+art.Name+`"`)
	w.Header().Set("ETag", `"`+art.SHA256+`"`)
	http.ServeContent(w, r, "", art.Created, f)
}
