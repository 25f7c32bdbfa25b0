package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rapport-engine/rapport/app"
	"github.com/rapport-engine/rapport/twin/tap"
)

const tagConfig = "\n---\nkind: tag\nid: coffee\nmetaKey: ${TAG_META}\nfileKey: ${TAG_FILE}\ndiversify: an10922\n"

// tagKeys are those of the environment in openTagged.
var tagKeys = tap.Keys{Meta: tap.Key{1}, File: tap.AN10922(tap.Key{2}, nil), Tamper: -1}

func openTagged(t testing.TB) *shop {
	t.Helper()
	s := openProducts(t, t.TempDir(), func(o *app.Options) {
		o.Getenv = func(name string) string {
			return map[string]string{"TAG_META": "01" + strings.Repeat("00", 15), "TAG_FILE": "02" + strings.Repeat("00", 15)}[name]
		}
	})
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": strings.TrimPrefix(tagConfig, "\n---\n")})
	return s
}

// tapURL is what a phone opens when it is held to the tag of an item.
func tapURL(serial string, uid byte, counter int64) string {
	m := tap.Sign(tagKeys, [7]byte{4, uid}, counter)
	return "/01/09506000134352/21/" + serial + "?picc_data=" + m.PICC + "&cmac=" + m.CMAC
}

// phone is a browser that keeps cookies and does not follow redirects.
func phone(t testing.TB) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *shop) get(c *http.Client, path string, header ...string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(b)
}

func (s *shop) tap(serial string, uid byte, counter int64) (int, map[string]any) {
	s.t.Helper()
	resp, text := s.get(http.DefaultClient, tapURL(serial, uid, counter), "Accept", "application/json")
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		s.t.Fatalf("%d %s", resp.StatusCode, text)
	}
	return resp.StatusCode, out
}

func TestAScanIsResolvedAsGS1Says(t *testing.T) {
	t.Parallel()
	s := openProducts(t, t.TempDir(), nil)
	c := phone(t)
	for _, x := range []struct {
		path, language, accept string
		code                   int
		location               string
	}{
		{"/01/09506000134352", "", "", 307, s.url + "/passport/01/09506000134352"},
		{"/01/09506000134352/21/ABC", "", "", 307, s.url + "/passport/01/09506000134352/21/ABC"},
		{"/01/09506000134352/22/2A/10/L7/21/ABC?17=261231&x=y", "", "", 307, s.url + "/passport/01/09506000134352/22/2A/10/L7/21/ABC?17=261231&x=y"},
		{"/01/09506000134352/", "", "", 307, s.url + "/passport/01/09506000134352"},
		{"/01/09506000134352/21/ABC?linkType=gs1:instructions", "", "", 307, "https://shop.example/manual"},
		{"/01/09506000134352?linkType=https://gs1.org/voc/instructions&utm=1", "", "", 307, "https://shop.example/manual?utm=1"},
		{"/01/09506000134352?linkType=gs1:recipeInfo", "nb-NO,nb;q=0.9,en;q=0.8", "", 307, "https://shop.example/nb/oppskrifter"},
		{"/01/09506000134352?linkType=gs1:recipeInfo", "en", "", 307, "https://shop.example/recipes"},
		{"/01/09506000134352?linkType=gs1:recipeInfo", "", "", 300, ""},
		{"/01/09506000134352?linkType=gs1:whatever", "", "", 404, ""},
		{"/01/09506000134352?linkType=linkset", "", "", 200, ""},
		{"/01/09506000134352/10/L7/21/A", "", "application/linkset+json", 200, ""},
		{"/01/09506000134353", "", "", 400, ""},
		{"/01/9506000134352", "", "", 400, ""},
		{"/01/09506000134352/21/A/10/B", "", "", 400, ""},
		{"/01/09506000134352/21/%00", "", "", 400, ""},
		{"/01/09506000134369", "", "", 404, ""},
		{"/414/9520123456788", "", "", 404, ""},
		{"/.well-known/gs1resolver", "", "", 200, ""},
	} {
		var header []string
		if x.language != "" {
			header = append(header, "Accept-Language", x.language)
		}
		if x.accept != "" {
			header = append(header, "Accept", x.accept)
		}
		resp, text := s.get(c, x.path, header...)
		if resp.StatusCode != x.code || resp.Header.Get("Location") != x.location {
			t.Errorf("%s (%s): %d %s, want %d %s\n%.200s", x.path, x.language, resp.StatusCode, resp.Header.Get("Location"), x.code, x.location, text)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s is not open to other sites", x.path)
		}
		if x.code == 307 && !strings.Contains(resp.Header.Get("Link"), "linkType=linkset") {
			t.Errorf("%s does not point to its linkset: %s", x.path, resp.Header.Get("Link"))
		}
	}
	_, text := s.get(c, "/01/09506000134352/21/A?linkType=linkset")
	var set struct{ Linkset []map[string]any }
	if err := json.Unmarshal([]byte(text), &set); err != nil || len(set.Linkset) != 1 || set.Linkset[0]["https://gs1.org/voc/defaultLink"] == nil || len(set.Linkset[0]["https://gs1.org/voc/recipeInfo"].([]any)) != 2 {
		t.Errorf("%v %s", err, text)
	}
}

func TestACopiedTapIsRefusedAndAFreshOneDecidesInTheSameRequest(t *testing.T) {
	t.Parallel()
	s := openTagged(t)
	code, out := s.tap("ABC123", 7, 1)
	if code != 200 || out["authentic"] != true || out["ticket"] == nil {
		t.Fatalf("%d %v", code, out)
	}
	if code, out := s.tap("ABC123", 7, 1); code != 403 || out["verdict"] != "copied" || out["decision"] != nil || out["ticket"] != nil {
		t.Errorf("the copy: %d %v", code, out)
	}
	if code, out := s.tap("STOLEN", 7, 2); code != 403 || out["verdict"] != "copied" {
		t.Errorf("the tag on another item: %d %v", code, out)
	}
	bad := strings.Replace(tapURL("ABC123", 7, 9), "cmac=", "cmac=0", 1)
	if resp, _ := s.get(http.DefaultClient, bad); resp.StatusCode != 400 {
		t.Errorf("a code of odd length: %d", resp.StatusCode)
	}
	u := tapURL("ABC123", 7, 9)
	if resp, text := s.get(http.DefaultClient, u[:len(u)-16]+"0011223344556677"); resp.StatusCode != 403 || !strings.Contains(text, "Not authentic") {
		t.Errorf("a forged code: %d", resp.StatusCode)
	}
	// 64 copies at once: one is the tap.
	var fresh atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if code, _ := s.tap("ABC123", 7, 10); code == 200 {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 1 {
		t.Errorf("%d of 64 copies are fresh", fresh.Load())
	}
	// The tap is the owner's event and the decision sees what the item knows.
	s.must("POST", "/v1/items/"+can+"/claim", map[string]any{"person": map[string]any{"userId": "anna"}})
	s.must("POST", "/v1/items/"+can+"/telemetry", map[string]any{"level": 0.1})
	code, out = s.tap("ABC123", 7, 11)
	decision, _ := out["decision"].(map[string]any)
	if items, _ := decision["items"].([]any); code != 200 || len(items) != 1 && decision["holdout"] != true {
		t.Errorf("%d %v", code, out)
	}
	counters := s.must("GET", "/v1/people/userId:anna", nil)["counters"].(map[string]any)
	if counters["Product Tapped"] != 3.0 || counters["Product Running Low"] != 1.0 {
		t.Errorf("anna: %v", counters)
	}
}

func TestNoTapIsDecidedOnAnOlderState(t *testing.T) {
	t.Parallel()
	s := openTagged(t)
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": `
kind: action
id: refill-offer
type: offer
placements: [item_page]
when: performed("Product Tapped").count() >= 1
content: {title: Thank you for the tap}
---
kind: policy
id: default
holdout: 0
`})
	taps := 1000
	if testing.Short() {
		taps = 100
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // load
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			s.send(event("track", fmt.Sprint("load", i), map[string]any{"userId": fmt.Sprint("u", i%500), "event": "Page Seen"}))
		}
	})
	var old atomic.Int64
	var takers sync.WaitGroup
	for worker := range 8 {
		takers.Go(func() {
			for i := worker; i < taps; i += 8 {
				// Each is the first tap of its item, so that only a decision that sees it offers anything.
				m := tap.Sign(tagKeys, [7]byte{5, byte(i >> 8), byte(i)}, 1)
				resp, text := s.get(http.DefaultClient, fmt.Sprintf("/01/09506000134352/21/N%d?picc_data=%s&cmac=%s", i, m.PICC, m.CMAC), "Accept", "application/json")
				if resp.StatusCode != 200 || !strings.Contains(text, "Thank you for the tap") {
					if old.Add(1) == 1 {
						t.Errorf("%d %s", resp.StatusCode, text)
					}
				}
			}
		})
	}
	takers.Wait()
	close(stop)
	wg.Wait()
	if old.Load() > 0 {
		t.Errorf("%d of %d taps were decided on an older state", old.Load(), taps)
	}
}

func TestThePageOfAnItemWorksWithoutScripts(t *testing.T) {
	t.Parallel()
	s := openTagged(t)
	anna, stranger := phone(t), phone(t)
	resp, text := s.get(anna, tapURL("ABC123", 7, 1))
	csp := resp.Header.Get("Content-Security-Policy")
	if resp.StatusCode != 200 || !strings.Contains(csp, "default-src 'none'") || strings.Contains(text, "<script") || resp.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Fatalf("%d %s", resp.StatusCode, csp)
	}
	for _, want := range []string{"Authentic", "Northbean Smart Canister", "Portugal", "60 % recycled", "Make it yours", `lang="en"`, "viewport", "How do you like your coffee?"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	post := func(c *http.Client, form url.Values, header ...string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/passport/01/09506000134352/21/ABC123", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp, string(b)
	}
	_, ticket, _ := strings.Cut(text, `name="ticket" value="`)
	ticket, _, _ = strings.Cut(ticket, `"`)
	if resp, _ := post(stranger, url.Values{"do": {"claim"}, "ticket": {ticket}}, "Sec-Fetch-Site", "cross-site"); resp.StatusCode != 403 {
		t.Errorf("a form of another site: %d", resp.StatusCode)
	}
	if resp, text := post(stranger, url.Values{"do": {"claim"}, "code": {"GUESS"}}); resp.StatusCode != 403 || !strings.Contains(text, "not the one that came with this item") {
		t.Errorf("a guess: %d", resp.StatusCode)
	}
	if resp, _ := post(anna, url.Values{"do": {"claim"}, "ticket": {ticket}, "email": {"anna@example.com"}}, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != 303 {
		t.Fatalf("claim: %d", resp.StatusCode)
	}
	s.must("POST", "/v1/items/"+can+"/telemetry", map[string]any{"level": 0.37})
	_, hers := s.get(anna, "/passport/01/09506000134352/21/ABC123")
	_, theirs := s.get(stranger, "/passport/01/09506000134352/21/ABC123")
	if !strings.Contains(hers, "37 %") || !strings.Contains(hers, "This is yours") {
		t.Error("the owner does not see her item")
	}
	for _, secret := range []string{"37 %", "This is yours", "anna", "Pass it on"} {
		if strings.Contains(theirs, secret) {
			t.Errorf("a stranger sees %q", secret)
		}
	}
	if resp, _ := post(anna, url.Values{"do": {"answer"}, "question": {"favouriteRoast"}, "answer": {"dark"}}); resp.StatusCode != 303 {
		t.Errorf("answer: %d", resp.StatusCode)
	}
	owner := s.must("GET", "/v1/items/"+can, nil)["owner"].(string)
	if traits := s.must("GET", "/v1/people/"+owner, nil)["traits"].(map[string]any); traits["favouriteRoast"] != "dark" || traits["contactEmail"] != "anna@example.com" {
		t.Errorf("traits: %v", traits)
	}
	if resp, _ := post(stranger, url.Values{"do": {"offer"}, "kind": {"gift"}}); resp.StatusCode != 403 {
		t.Errorf("a stranger gives it away: %d", resp.StatusCode)
	}
	if resp, _ := post(stranger, url.Values{"do": {"report"}, "text": {"It leaks <script>alert(1)</script>"}}); resp.StatusCode != 303 {
		t.Errorf("report: %d", resp.StatusCode)
	}
	resp, text = post(anna, url.Values{"do": {"offer"}, "kind": {"gift"}})
	_, code, _ := strings.Cut(text, `<p class="code">`)
	code, _, _ = strings.Cut(code, "<")
	if resp.StatusCode != 200 || len(code) != 14 {
		t.Fatalf("offer: %d %q", resp.StatusCode, code)
	}
	if resp, text := post(stranger, url.Values{"do": {"claim"}, "code": {code}}); resp.StatusCode != 303 {
		t.Fatalf("taking it over: %d %s", resp.StatusCode, text)
	}
	_, hers = s.get(anna, "/passport/01/09506000134352/21/ABC123")
	_, theirs = s.get(stranger, "/passport/01/09506000134352/21/ABC123")
	if strings.Contains(hers, "This is yours") || !strings.Contains(theirs, "This is yours") || strings.Contains(theirs, "37 %") {
		t.Error("the item did not change hands, or kept what it knew of its former owner")
	}
	next := s.must("GET", "/v1/items/"+can, nil)["owner"].(string)
	if next == owner {
		t.Error("the owner is the same")
	}
}
