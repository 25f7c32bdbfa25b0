package collect

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"github.com/rapport-engine/rapport"
)

// serveSettings answers the browser client of the Segment API, which asks for
// its settings before it sends anything. There is no tracking plan in them: the
// client would judge by it, and not send.
func (d *Door) serveSettings(w http.ResponseWriter, r *http.Request) {
	s := d.Config().ByKey(r.PathValue("key"))
	if s == nil || s.Disabled {
		d.stats.Unknown.Add(1)
		problem(w, http.StatusNotFound, "there is no such project", "check the write key against the source document")
		return
	}
	protocol, host := d.address(r)
	answer(w, map[string]any{
		"integrations": map[string]any{
			"Segment.io": map[string]any{
				"apiKey": r.PathValue("key"), "apiHost": host + "/v1", "protocol": protocol,
				"addBundledMetadata": false, "unbundledIntegrations": []string{},
				"maybeBundledConfigIds": map[string]any{}, "versionSettings": map[string]any{"version": "4.4.7", "componentTypes": []string{"browser"}},
			},
		},
		"edgeFunction":              map[string]any{},
		"analyticsNextEnabled":      true,
		"middlewareSettings":        map[string]any{},
		"enabledMiddleware":         map[string]any{},
		"metrics":                   map[string]any{"sampleRate": 0, "host": host + "/v1"},
		"legacyVideoPluginsEnabled": false,
		"remotePlugins":             []any{},
	})
}

// serveSourceConfig answers the clients of RudderStack, which ask what to do
// before they send anything.
func (d *Door) serveSourceConfig(w http.ResponseWriter, r *http.Request) {
	s, err := d.source(r, "")
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	off := map[string]any{"enabled": false}
	answer(w, map[string]any{
		"source": map[string]any{
			"id": s.ID, "name": s.Name, "writeKey": s.Key, "enabled": !s.Disabled, "workspaceId": "rapport",
			"config":       map[string]any{"statsCollection": map[string]any{"errors": off, "metrics": off}},
			"destinations": []any{}, "connections": []any{}, "dataplanes": map[string]any{},
			"sourceDefinition": map[string]any{"name": "Javascript"},
		},
		"updatedAt": rapport.Time(0).Format("2006-01-02T15:04:05.000Z"),
	})
}

func answer(w http.ResponseWriter, x any) {
	body, err := json.Marshal(x)
	if err != nil {
		problem(w, http.StatusInternalServerError, "something went wrong on our side", "")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n'))
}

// address returns the protocol and host clients reach this server at.
func (d *Door) address(r *http.Request) (protocol, host string) {
	if protocol, host, ok := strings.Cut(d.Options.PublicURL, "://"); ok {
		return protocol, strings.TrimRight(host, "/")
	}
	protocol = "http"
	name := r.Host
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	local := name == "localhost" || ip != nil && ip.IsLoopback()
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") ||
		!local && strings.HasPrefix(r.Header.Get("Origin"), "https://") { // a secure page reads secure addresses only
		protocol = "https"
	}
	return protocol, r.Host
}
