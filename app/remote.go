package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/api"
)

// remote is a running server, seen from a tool on the command line.
type remote struct {
	base   string
	local  bool // on this machine
	secret string
	client *http.Client
}

// remoteFlags are the flags of tools that talk to a server. The token is not
// among them: what stands in a command line is read by every user of the machine.
type remoteFlags struct {
	server string
	plain  bool
}

func (f *remoteFlags) flags(flags *flag.FlagSet) {
	flags.StringVar(&f.server, "server", "http://127.0.0.1:8080", "`URL` of the server; the token comes from RAPPORT_TOKEN or RAPPORT_ADMIN_TOKEN")
	flags.BoolVar(&f.plain, "plain-http", false, "speak http to a server on another machine although the token can be overheard")
}

// remoteToken returns the token of the environment, or "".
func remoteToken(env Env) string {
	if t := env.Getenv("RAPPORT_TOKEN"); t != "" {
		return t
	}
	return env.Getenv("RAPPORT_ADMIN_TOKEN")
}

// open returns the server, to be called with a secret (a token or a write key).
func (f *remoteFlags) open(secret string) (*remote, error) {
	u, err := url.Parse(f.server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		return nil, usagef("--server %q is not a URL such as https://rapport.example.com", f.server)
	}
	if u.Scheme == "http" && !f.plain && !loopback(u.Hostname()) {
		return nil, usagef("--server %s is not encrypted and would show the secret to the network; use https, or --plain-http on a network you trust", f.server)
	}
	return &remote{base: strings.TrimSuffix(u.String(), "/"), local: loopback(u.Hostname()), secret: secret, client: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 16,
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second,
			ResponseHeaderTimeout: 2 * time.Minute,
		},
		// A secret must not follow a redirect to somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// openAdmin returns the server with the token of the environment.
func (f *remoteFlags) openAdmin(env Env) (*remote, error) {
	token := remoteToken(env)
	if token == "" {
		return nil, usagef("there is no token: set RAPPORT_TOKEN to one of the server's")
	}
	return f.open(token)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// maxAnswer bounds a JSON answer.
const maxAnswer = 64 << 20

// call sends in (nil: nothing) as JSON and reads the answer into out (nil: not).
func (r *remote) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	resp, err := r.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return rapport.WithHint(rapport.Errorf(rapport.Internal, "%s %s answered something that is not understood: %w", method, path, err),
			"is %s a Rapport server, of the version of this program?", r.base)
	}
	return nil
}

// send makes a request and returns the answer if its status says success.
func (r *remote) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	return r.sendAs(ctx, method, path, "application/json", body)
}

// post sends a body of another type than JSON and reads the answer into out.
func (r *remote) post(ctx context.Context, path, contentType string, body []byte, out any) error {
	resp, err := r.sendAs(ctx, http.MethodPost, path, contentType, bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out)
}

func (r *remote) sendAs(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if r.secret != "" {
		req.Header.Set("Authorization", "Bearer "+r.secret)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // its text repeats method and URL
			err = u.Err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, rapport.WithHint(rapport.Errorf(rapport.Unavailable, "the server at %s does not answer: %w", r.base, err), "is it running there? name another with --server")
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, problemError(resp)
}

// kindOfStatus is the reverse of what the server does with its errors.
var kindOfStatus = map[int]rapport.Kind{
	http.StatusBadRequest: rapport.Invalid, http.StatusUnprocessableEntity: rapport.Invalid, http.StatusNotFound: rapport.NotFound,
	http.StatusConflict: rapport.Conflict, http.StatusForbidden: rapport.Denied, http.StatusUnauthorized: rapport.Unauthenticated,
	http.StatusServiceUnavailable: rapport.Unavailable, http.StatusTooManyRequests: rapport.Unavailable, http.StatusRequestEntityTooLarge: rapport.TooLarge,
}

// remoteFaults are the single faults of a problem answer.
type remoteFaults struct {
	error
	faults []rapport.Fault
}

// Faults returns each single fault.
func (f *remoteFaults) Faults() []rapport.Fault { return f.faults }

// Unwrap returns the error with its kind.
func (f *remoteFaults) Unwrap() error { return f.error }

// problemError reads an RFC 9457 answer.
func problemError(resp *http.Response) error {
	kind := kindOfStatus[resp.StatusCode]
	var p api.Problem
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if json.Unmarshal(text, &p) != nil || p.Detail == "" {
		return rapport.Errorf(kind, "the server answered %s", resp.Status)
	}
	err := rapport.Errorf(kind, "%s", p.Detail)
	switch {
	case p.Hint != "":
		err = rapport.WithHint(err, "%s", p.Hint)
	case kind == rapport.Unauthenticated:
		err = rapport.WithHint(err, "set RAPPORT_TOKEN to a token of this server")
	case p.RequestID != "" && kind == rapport.Internal:
		err = rapport.WithHint(err, "the server's log tells more of request %s", p.RequestID)
	}
	if len(p.Errors) == 0 {
		return err
	}
	f := &remoteFaults{error: err}
	for _, e := range p.Errors {
		f.faults = append(f.faults, rapport.Fault{Message: e.Message, Path: e.Location, Line: e.Line, Column: e.Column, Hint: e.Hint})
	}
	return f
}

// confirm asks a question on the terminal. Without one the answer is no.
func confirm(env Env, question string) bool {
	if !isTerminal(env.Stderr) {
		return false
	}
	fmt.Fprintf(env.Stderr, "%s [y/N] ", question)
	var b [64]byte
	n, _ := env.Stdin.Read(b[:])
	answer := strings.ToLower(strings.TrimSpace(string(b[:n])))
	return answer == "y" || answer == "yes"
}
