package collect

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
)

// Register adds the collection paths to mux.
func (d *Door) Register(mux *http.ServeMux) {
	for _, c := range [...]struct {
		long, short string
		typ         rapport.EventType
		history     bool
	}{
		{long: "identify", short: "i", typ: rapport.TypeIdentify},
		{long: "track", short: "t", typ: rapport.TypeTrack},
		{long: "page", short: "p", typ: rapport.TypePage},
		{long: "screen", short: "s", typ: rapport.TypeScreen},
		{long: "group", short: "g", typ: rapport.TypeGroup},
		{long: "alias", short: "a", typ: rapport.TypeAlias},
		{long: "batch", short: "b"},
		{long: "import", history: true},
		{short: "m"}, // a client library's metrics about itself, or a batch
	} {
		h := d.collection(http.MethodPost, func(w http.ResponseWriter, r *http.Request) { d.serveBody(w, r, c.typ, c.history) })
		for _, name := range [...]string{c.long, c.short} {
			if name != "" {
				mux.Handle("/v1/"+name, h)
			}
		}
	}
	mux.Handle("/beacon/v1/batch", d.collection(http.MethodPost, func(w http.ResponseWriter, r *http.Request) { d.serveBody(w, r, 0, false) }))
	for _, typ := range [...]rapport.EventType{rapport.TypeTrack, rapport.TypePage} {
		mux.Handle("/pixel/v1/"+typ.String(), d.collection(http.MethodGet, func(w http.ResponseWriter, r *http.Request) { d.servePixel(w, r, typ) }))
	}
	settings := d.collection(http.MethodGet, d.serveSettings)
	mux.Handle("/v1/projects/{key}/settings", settings)
	mux.Handle("/projects/{key}/settings", settings)
	config := d.collection(http.MethodGet, d.serveSourceConfig)
	mux.Handle("/sourceConfig", config)
	mux.Handle("/sourceConfig/{$}", config)
}

// collection answers what browsers ask before they send, and keeps other methods out.
func (d *Door) collection(method string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allowOrigin(w.Header(), r.Header)
		switch {
		case r.Method == method:
			h(w, r)
		case r.Method == http.MethodOptions:
			preflight(w, r, method)
		default:
			w.Header().Set("Allow", method+", OPTIONS")
			problem(w, http.StatusMethodNotAllowed, "this path takes "+method, "")
		}
	})
}

// allowOrigin lets any page read the answer. Collection is public by nature:
// the write key in every page opens it, and it gives nothing away.
func allowOrigin(to, from http.Header) {
	if origin := from.Get("Origin"); origin != "" {
		to.Set("Access-Control-Allow-Origin", origin)
		to.Set("Access-Control-Allow-Credentials", "true")
		to.Set("Access-Control-Expose-Headers", "Retry-After")
		to.Add("Vary", "Origin")
	}
}

func preflight(w http.ResponseWriter, r *http.Request, method string) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", method+", OPTIONS")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	if r.Header.Get("Access-Control-Request-Private-Network") != "" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

// headerKey returns the write key in the Authorization header: the user part
// of Basic, whose colon some clients leave out, or Bearer.
func headerKey(h http.Header) string {
	scheme, rest, _ := strings.Cut(h.Get("Authorization"), " ")
	rest = strings.TrimSpace(rest)
	switch {
	case strings.EqualFold(scheme, "bearer"):
		return rest
	case strings.EqualFold(scheme, "basic") && len(rest) <= 2*maxKey:
		user, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(rest, "="))
		if err != nil {
			return ""
		}
		key, _, _ := strings.Cut(string(user), ":")
		return key
	}
	return ""
}

// source finds the source of a request by the first key it names.
func (d *Door) source(r *http.Request, inBody string) (*Source, error) {
	key := headerKey(r.Header)
	if key == "" {
		key = inBody
	}
	if key == "" && r.URL.RawQuery != "" {
		key = r.URL.Query().Get("writeKey")
	}
	if s := d.Config().ByKey(key); s != nil {
		return s, nil
	}
	if key == "" {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Unauthenticated, "the request names no write key"),
			"send it as the user name of Basic authentication")
	}
	return nil, rapport.WithHint(rapport.Errorf(rapport.Unauthenticated, "the write key is not known"),
		"check it against the key of the source document")
}

// serveBody takes in a posted body.
func (d *Door) serveBody(w http.ResponseWriter, r *http.Request, typ rapport.EventType, history bool) {
	d.stats.Requests.Add(1)
	if key := headerKey(r.Header); key != "" && d.Config().ByKey(key) == nil {
		_, err := d.source(r, "")
		d.refuse(w, r, err) // before the body is read
		return
	}
	if err := d.admit(0); err != nil {
		d.refuse(w, r, err)
		return
	}
	wk := d.work.Get().(*work)
	defer d.release(wk)
	body, err := d.readBody(wk, r)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	if err := d.receive(wk, r, body, typ, history); err != nil {
		d.refuse(w, r, err)
		return
	}
	succeed(w)
}

// receive parses a body and makes its events durable.
func (d *Door) receive(wk *work, r *http.Request, body []byte, typ rapport.EventType, history bool) error {
	d.stats.Bytes.Add(int64(len(body)))
	wk.want(&d.Deps, typ, history, rapport.Millis(d.Clock.Now()))
	// Which traits identify depends on the source, which the body may be the
	// one to name; that is rare, and then the body is read again.
	known, _ := d.source(r, "")
	if known != nil {
		wk.opts(known)
	}
	if err := segmentwire.Parse(body, &wk.options, &wk.batch); err != nil {
		return err
	}
	if wk.batch.Metrics {
		return nil
	}
	s, err := d.source(r, wk.batch.WriteKey)
	if err != nil {
		return err
	}
	if s != known && len(s.Identifiers) > 0 || known != nil && known != s && len(known.Identifiers) > 0 {
		wk.batch.Reset()
		if err := segmentwire.Parse(body, wk.opts(s), &wk.batch); err != nil {
			return err
		}
	}
	return d.take(r.Context(), wk, s, nil)
}

// servePixel takes in an event from an image's address: ?data=base64(JSON).
func (d *Door) servePixel(w http.ResponseWriter, r *http.Request, typ rapport.EventType) {
	d.stats.Requests.Add(1)
	if err := d.admit(0); err != nil {
		d.refuse(w, r, err)
		return
	}
	body, err := pixelData(r.URL)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	wk := d.work.Get().(*work)
	defer d.release(wk)
	if err := d.receive(wk, r, body, typ, false); err != nil {
		d.refuse(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "image/gif")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"))
}

// pixelData decodes the data of a pixel, in any of the alphabets of base 64,
// with or without padding, and with a plus that became a space on the way.
func pixelData(u *url.URL) ([]byte, error) {
	data := u.Query().Get("data")
	data = strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(strings.TrimRight(data, "="))
	body, err := base64.RawStdEncoding.DecodeString(data)
	if err != nil || len(body) == 0 {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the query has no data in base 64"), "send ?data= with the event's JSON in base 64")
	}
	return body, nil
}

var (
	jsonType  = []string{"application/json"}
	successes = []byte(`{"success":true}` + "\n")
)

func succeed(w http.ResponseWriter) {
	w.Header()["Content-Type"] = jsonType
	_, _ = w.Write(successes)
}

// refuse answers a request that could not be taken, counts it, and logs what
// only we can mend.
func (d *Door) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var wait busy
	switch kind := rapport.KindOf(err); {
	case kind == rapport.Unauthenticated:
		d.stats.Unknown.Add(1)
		w.Header().Set("WWW-Authenticate", `Basic realm="write key"`)
		problem(w, http.StatusUnauthorized, err.Error(), rapport.HintOf(err))
	case kind == rapport.Denied:
		d.stats.Refused.Add(1)
		problem(w, http.StatusForbidden, err.Error(), rapport.HintOf(err))
	case kind == rapport.TooLarge:
		d.stats.Refused.Add(1)
		problem(w, http.StatusRequestEntityTooLarge, err.Error(), rapport.HintOf(err))
	case kind == rapport.Invalid:
		d.stats.Refused.Add(1)
		problem(w, http.StatusBadRequest, err.Error(), rapport.HintOf(err))
	case errors.As(err, &wait):
		d.stats.Overloaded.Add(1)
		w.Header().Set("Retry-After", strconv.Itoa(int(min(max(1, (wait.after+time.Second-1)/time.Second), 60))))
		problem(w, http.StatusTooManyRequests, err.Error(), "")
	case kind == rapport.Unavailable:
		d.stats.Failed.Add(1)
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, err.Error(), "")
	default:
		d.stats.Failed.Add(1)
		d.Logger.ErrorContext(r.Context(), "events could not be accepted", "path", r.URL.Path, "error", err)
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusInternalServerError, "something went wrong on our side", "")
	}
}

// problem answers with RFC 9457 problem details.
func problem(w http.ResponseWriter, status int, detail, hint string) {
	body, _ := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Hint   string `json:"hint,omitempty"`
	}{"about:blank", http.StatusText(status), status, detail, hint})
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
