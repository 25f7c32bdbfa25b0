package app_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// door is one operation that takes a body, with bodies that it understands.
type door struct {
	method, path string
	seeds        []string
}

const mutantEvent = `{"type":"track","event":"Order Completed","userId":"u1","anonymousId":"a1","messageId":"m1","timestamp":"2026-03-01T11:59:00.000Z","properties":{"revenue":12.5,"products":[{"sku":"x","n":1e2}]},"context":{"library":{"name":"x"},"traits":{"email":"a@b.no"}}}`

const mutantConfig = `kind: action\nid: gift\ntype: content\nplacements: [hero]\nwhen: traits.country == \"NO\" && performed(\"Order Completed\").within(\"30d\").count() < 3\ncontent: {title: A gift}\n---\nkind: trigger\nid: t1\non: Order Completed\nplacement: hero\n`

// doors are the operations of the collection wire and of the API that take a
// body. The test checks that none of the API's is missing.
func doors() []door {
	batch := `{"batch":[` + mutantEvent + `,{"type":"identify","userId":"u1","traits":{"email":"Kari@x.no","phone":"+47 22 22 55 55","n":[1,-2.5e3,{"deep":[[[null]]]}],"s":"\u00e5\ud83d\ude00\n"}},{"type":"alias","userId":"u2","previousId":"u1"}],"sentAt":"2026-03-01T11:59:30.000Z","writeKey":"wk_web_1234"}`
	var out []door
	for _, path := range strings.Fields("batch import b i t p s g a m track identify page screen group alias") {
		out = append(out, door{"POST", "/v1/" + path, []string{mutantEvent, batch, `{"series":[{"type":"Counter","metric":"x","value":1}]}`}})
	}
	return append(out,
		door{"POST", "/beacon/v1/batch", []string{batch}},
		door{"POST", "/v1/decide", []string{
			`{"person":{"userId":"u1"},"placement":"hero","context":{"page":"home","n":[1,{"a":null}]},"limit":2,"event":` + mutantEvent + `}`,
			`{"person":{"anonymousId":"a1"},"placement":"hero","writeKey":"wk_web_1234"}`,
		}},
		door{"POST", "/v1/explain", []string{`{"person":{"userId":"u1"},"placement":"hero","context":{"page":"home"},"action":"hello"}`}},
		door{"POST", "/v1/config/check", []string{`{"yaml":"` + mutantConfig + `","prune":false}`}},
		door{"POST", "/v1/config/plan", []string{`{"yaml":"` + mutantConfig + `","prune":true}`}},
		door{"POST", "/v1/config/apply", []string{`{"yaml":"` + mutantConfig + `","note":"x"}`, `{"yaml":"` + mutantConfig + `","note":"x","expectVersion":2}`, `{"delete":[{"kind":"action","id":"gift"}],"note":"x"}`}},
		door{"POST", "/v1/config/undo", []string{`{"version":2}`, `{"version":3}`}},
		door{"POST", "/v1/session", []string{`{"token":"` + houseToken + `"}`}},
		door{"POST", "/v1/tokens", []string{`{"name":"ci","role":"viewer","expiresIn":"90d"}`}},
		door{"POST", "/v1/people/{ref}/unmerge", []string{`{"link":"l_00000000000000000000000000"}`}},
		door{"POST", "/v1/actions/{id}/preview", []string{`{"person":{"userId":"u1"},"placement":"hero","locale":"nb"}`}},
		door{"POST", "/v1/suppressions", []string{`{"addresses":[{"address":"a@b.no"},{"kind":"phone","address":"+4722225555"}],"reason":"manual","detail":"asked"}`}},
		door{"POST", "/v1/channels/{id}/reports", []string{`{"reports":[{"type":"bounce","address":"a@b.no","permanent":true,"status":"5.1.1","messageId":"x@y"}]}`}},
		door{"POST", "/v1/deliveries/{id}/replay", []string{`{}`}},
		door{"POST", "/v1/quarantine/{id}/replay", []string{`{"raw":` + mutantEvent + `}`, `{}`}},
		door{"POST", "/v1/quarantine/replay", []string{`{}`}},
		door{"POST", "/v1/models/{id}/fit", []string{`{}`}},
		door{"POST", "/v1/lives/{gtin}/learn", []string{`{}`}},
		door{"POST", "/v1/people/{ref}/merge", []string{`{"as":{"kind":"userId","value":"anna"},"with":{"kind":"email","value":"nobody@b.no"}}`}},
		door{"POST", "/v1/config/proposals", []string{`{"yaml":"kind: placement\nid: shelf\nslots: 2\n","note":"more room","delete":[{"kind":"placement","id":"hero"}],"expectVersion":1}`}},
		door{"POST", "/v1/config/proposals/{id}/publish", []string{`{}`}},
		door{"POST", "/v1/config/proposals/{id}/close", []string{`{"reason":"not now"}`}},
		door{"POST", "/v1/identity/preview", []string{`{"identifiers":[{"id":"email","blockPatterns":["@b"],"window":"90d","peoplePerValue":2}]}`, `{"likeness":{"enabled":true,"unite":10,"review":-2,"userIds":"review","fields":{"surname":["familyName"]}}}`, `{"yaml":"kind: identifier\nid: email\npeoplePerValue: 2\n"}`}},
		door{"POST", "/v1/identity/likeness/train", []string{`{}`}},
		door{"POST", "/v1/identity/quarantine", []string{`{"kind":"email","value":"junk@b.no","reason":"shared"}`}},
		door{"POST", "/v1/identity/quarantine/release", []string{`{"kind":"email","value":"junk@b.no"}`}},
		door{"POST", "/v1/identity/reviews/{link}/accept", []string{`{}`}},
		door{"POST", "/v1/identity/reviews/{link}/refuse", []string{`{}`}},
		door{"PUT", "/v1/demo", []string{`{"speed":60}`}},
		door{"POST", "/v1/devices", []string{`{"item":"01_09506000134352_21_ABC123","name":"kitchen","tag":"04DE5F1EACC040","facts":{"lot":"L7"}}`}},
		door{"POST", "/v1/items/import", []string{`{"items":[{"item":"01_09506000134352_21_ABC123","name":"kitchen","token":true,"owner":{"userId":"u1"},"ownedAt":"2026-01-02T03:04:05Z"},{"item":"x"}],"rotate":true}`}},
		door{"POST", "/v1/items/{item}/telemetry", []string{`{"at":1767225600000,"seq":4,"level":0.4,"mode":"eco"}`, `[{"level":1},{"level":2}]`}},
		door{"POST", "/v1/items/{item}/events", []string{`{"event":"Product Opened","properties":{"x":[1,{"y":null}]}}`, `{"command":"c_1","status":"done","result":{"n":1}}`}},
		door{"POST", "/v1/items/{item}/reported", []string{`{"led":{"on":true,"color":null},"firmware":"1.2.3"}`}},
		door{"POST", "/v1/items/{item}/commands", []string{`{"name":"blink","args":{"times":3},"expires":"1h","timeout":"30s"}`}},
		door{"POST", "/v1/items/{item}/claim", []string{`{"person":{"userId":"u1"},"code":"WELCOME"}`}},
		door{"POST", "/v1/items/{item}/offer", []string{`{"kind":"gift"}`}},
		door{"POST", "/v1/items/{item}/release", []string{`{}`}},
		door{"POST", "/v1/items/{item}/members", []string{`{"person":{"userId":"u2"},"role":"guest"}`}},
		door{"POST", "/v1/recalls/{id}/acknowledgements", []string{`{"person":"userId:ada"}`}},
		door{"POST", "/v1/recalls/{id}/remind", []string{`{}`}},
		door{"POST", "/v1/recalls", []string{`{"of":"urn:epc:class:lgtin:9506000.013435.ABC","reason":"glass","instructions":"Bring it back"}`}},
		door{"POST", "/v1/sql", []string{`{"sql":"SELECT event, count(*) FROM events GROUP BY 1","maxRows":10,"timeoutSeconds":5,"stale":true}`}},
		door{"POST", "/v1/board", []string{`{"placement":"hero","limit":10,"yaml":"` + mutantConfig + `"}`}},
		door{"POST", "/v1/rollouts", []string{`{"id":"r1","artifact":"0000000000000000000000000000000000000000000000000000000000000000","version":"1.2.0","steps":[10,100],"soak":"1h","holdback":0.1}`}},
		door{"POST", "/v1/rollouts/{id}/{verb}", []string{`{"reason":"too hot"}`}},
		door{"POST", "/v1/segments/preview", []string{`{"when":"traits.country == \"NO\"","exact":true}`, `{"when":{"==":[{"path":"traits.country"},"NO"]}}`}},
		door{"POST", "/v1/nothing", []string{`{}`}},
	)
}

// mutant changes a few bytes of b the way accidents and attackers do.
func mutant(r *rand.Rand, text, other string) []byte {
	b := []byte(text)
	tokens := []string{"{", "}", "[", "]", `"`, "\\", ",", ":", "null", "1e999", "-", "\x00", "\xff", `"batch":[`, `"type":"system"`, `\u0000`, `{"a":`, "9999999999999999999999", `\n`, "---", "&a", "*a", "!!binary", "true"}
	for range r.IntN(5) {
		if len(b) == 0 {
			break
		}
		at := r.IntN(len(b))
		end := min(len(b), at+1+r.IntN(20))
		switch r.IntN(7) {
		case 0:
			b[at] = byte(r.IntN(256))
		case 1:
			b = append(b[:at], b[end:]...)
		case 2:
			b = append(b[:at], append([]byte(tokens[r.IntN(len(tokens))]), b[at:]...)...)
		case 3:
			b = append(b[:end], append(bytes.Clone(b[at:end]), b[end:]...)...)
		case 4:
			b = b[:at]
		case 5:
			from := r.IntN(len(other))
			b = append(b[:at], append([]byte(other[from:min(len(other), from+30)]), b[at:]...)...)
		case 6:
			b = append(b[:at], append(bytes.Repeat([]byte(tokens[r.IntN(4)]), 1+r.IntN(700)), b[at:]...)...)
		}
	}
	return b
}

func TestTenThousandMutatedBodiesAreAnsweredByARunningServerWhichLives(t *testing.T) {
	t.Parallel()
	requests := 10_000
	if testing.Short() {
		requests = 1000
	}
	h := newHouse(t, 30)
	h.someone("anna", annaMail, annaPhone)
	all := doors()
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if code := h.call("GET", "/openapi.json", "", &doc); code != http.StatusOK {
		t.Fatal(code)
	}
	for path, operations := range doc.Paths {
		for method := range operations {
			if method = strings.ToUpper(method); method != "POST" && method != "PUT" || method == "POST" && path == "/v1/demo" { // it would tell 120 days of history
				continue
			}
			known := false
			for _, d := range all {
				known = known || d.method == method && d.path == path
			}
			if !known {
				t.Errorf("%s %s takes bodies and is not tried", method, path)
			}
		}
	}

	places := map[string]string{"{ref}": "userId:anna", "{id}": "q_1", "{item}": "01_09506000134352_21_ABC123", "{link}": "l_00000000000000000000000000"}
	var mu sync.Mutex
	codes, byDoor := map[int]int{}, map[string]map[int]int{}
	var wg sync.WaitGroup
	const callers = 8
	for c := range callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 1))
			for range requests / callers {
				d := all[r.IntN(len(all))]
				other := all[r.IntN(len(all))]
				body := mutant(r, d.seeds[r.IntN(len(d.seeds))], other.seeds[0])
				path := d.path
				for name, value := range places {
					path = strings.Replace(path, name, value, 1)
				}
				packed := r.IntN(8) == 0
				sent := body
				if packed {
					var z bytes.Buffer
					w := gzip.NewWriter(&z)
					_, _ = w.Write(body)
					_ = w.Close()
					if sent = z.Bytes(); r.IntN(2) == 0 {
						sent = mutant(r, z.String(), other.seeds[0])
					}
				}
				req, err := http.NewRequestWithContext(t.Context(), d.method, h.url+path, bytes.NewReader(sent))
				if err != nil {
					t.Error(err)
					return
				}
				switch key := "Bearer wk_web_1234"; {
				case r.IntN(20) == 0, path == "/v1/session":
				case strings.HasPrefix(path, "/v1/config"), strings.HasPrefix(path, "/v1/recalls"), strings.Contains(path, "/replay"), strings.Contains(path, "/unmerge"), path == "/v1/tokens", path == "/v1/explain", path == "/v1/demo", path == "/v1/devices", strings.HasPrefix(path, "/v1/items"), strings.Contains(path, "/merge"), strings.HasPrefix(path, "/v1/identity"):
					key = "Bearer " + houseToken
					fallthrough
				default:
					req.Header.Set("Authorization", key)
				}
				if r.IntN(4) > 0 {
					req.Header.Set("Content-Type", "application/json")
				}
				if packed {
					req.Header.Set("Content-Encoding", "gzip")
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Errorf("%s %s: %v for %q", d.method, path, err, sent)
					return
				}
				text, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if s := resp.StatusCode; s/100 != 2 && s/100 != 4 {
					t.Errorf("%s %s answers %d %s to %q", d.method, path, s, text, sent)
				}
				mu.Lock()
				codes[resp.StatusCode]++
				if byDoor[d.path] == nil {
					byDoor[d.path] = map[int]int{}
				}
				byDoor[d.path][resp.StatusCode]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d requests: %v", requests, codes)
	for _, d := range all {
		t.Logf("%s %s: %v", d.method, d.path, byDoor[d.path])
	}
	if codes[200] < requests/10 || codes[400] < requests/10 {
		t.Errorf("the mutations are too tame or too wild: %v", codes)
	}

	// The server lives, takes events, knows what it knew, and its state is what
	// its log says.
	if code := h.call("GET", "/health/ready", "", nil); code != http.StatusOK {
		t.Errorf("ready answers %d", code)
	}
	h.apply("kind: source\nid: after\nkey: wk_after_1234\n")
	body, _ := json.Marshal(map[string]any{"type": "track", "event": "Still There", "userId": "after", "messageId": "after-1"})
	req, err := http.NewRequestWithContext(t.Context(), "POST", h.url+"/v1/track", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("wk_after_1234", "")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	var p struct {
		Events   int64            `json:"events"`
		Counters map[string]int64 `json:"counters"`
	}
	if code := h.call("GET", "/v1/people/userId:after", "", &p); resp.StatusCode != http.StatusOK || code != http.StatusOK || p.Counters["Still There"] != 1 {
		t.Errorf("an event is answered with %d, its person reads %d %+v", resp.StatusCode, code, p)
	}
	if code := h.call("GET", "/v1/people/email:"+annaMail, "", nil); code != http.StatusOK {
		t.Errorf("anna reads %d", code)
	}
	h.stop()
	h.replays()
}
