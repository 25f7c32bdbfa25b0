package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// raw makes a request with the admin token and returns the answer and its text.
func (s *shop) raw(method, path, media string, data []byte) (*http.Response, []byte) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, text
}

func chainDocument(events ...string) []byte {
	return []byte(`{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],"type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2026-03-01T08:00:00Z","epcisBody":{"eventList":[` + strings.Join(events, ",") + `]}}`)
}

const (
	chainCanister  = "https://id.gs1.org/01/09520123456788/10/LOT7/21/C1"
	chainCommision = `{"type":"ObjectEvent","eventID":"urn:uuid:made","eventTime":"2026-03-01T08:00:00Z","eventTimeZoneOffset":"+00:00","action":"ADD","bizStep":"commissioning","epcList":["` + chainCanister + `"]}`
	chainPack      = `{"type":"AggregationEvent","eventTime":"2026-03-01T09:00:00Z","eventTimeZoneOffset":"+00:00","action":"ADD","bizStep":"packing","parentID":"urn:epc:id:sscc:0952012.0000000001","childEPCs":["` + chainCanister + `"]}`
	chainShip      = `{"type":"ObjectEvent","eventTime":"2026-03-01T10:00:00Z","eventTimeZoneOffset":"+00:00","action":"OBSERVE","bizStep":"shipping","epcList":["urn:epc:id:sscc:0952012.0000000001"]}`
)

func TestACapturedDocumentIsFoundTracedAndRecalledAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, nil)
	resp, text := s.raw("POST", "/epcis/capture", "application/ld+json", chainDocument(chainCommision, chainPack, chainShip))
	if resp.StatusCode != http.StatusAccepted || !strings.HasPrefix(resp.Header.Get("Location"), "/epcis/capture/") {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	var job struct {
		CaptureID        string
		Running, Success bool
		Errors           []any
	}
	if _, text = s.raw("GET", resp.Header.Get("Location"), "", nil); json.Unmarshal(text, &job) != nil || job.Running || !job.Success || job.Errors == nil {
		t.Errorf("%s", text)
	}
	// The same again: rolled back with the exception of the standard.
	resp, text = s.raw("POST", "/epcis/capture", "", chainDocument(chainCommision))
	if resp.StatusCode != http.StatusAccepted || !strings.Contains(string(text), "ResourceAlreadyExistsException") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	one := strings.Replace(chainCommision, "{", `{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],`, 1)
	if resp, text = s.raw("POST", "/epcis/events", "application/ld+json", []byte(one)); resp.StatusCode != http.StatusConflict || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if resp, text = s.raw("POST", "/epcis/events", "application/ld+json", []byte(strings.Replace(one, "urn:uuid:made", "urn:uuid:other", 1))); resp.StatusCode != http.StatusCreated {
		t.Errorf("%d %s", resp.StatusCode, text)
	}

	check := func(s *shop) {
		t.Helper()
		resp, text := s.raw("GET", "/epcis/events?MATCH_anyEPC=urn:epc:id:sgtin:9520123.045678.C1&perPage=2&orderDirection=ASC", "", nil)
		if resp.StatusCode != http.StatusOK || strings.Count(string(text), `"eventTime"`) != 2 || !strings.Contains(resp.Header.Get("Link"), `rel="next"`) {
			t.Errorf("%d %s, link %s", resp.StatusCode, text, resp.Header.Get("Link"))
		}
		if resp, text = s.raw("GET", "/epcis/events/urn:uuid:made", "", nil); resp.StatusCode != http.StatusOK || !strings.Contains(string(text), `"@context"`) {
			t.Errorf("%d %s", resp.StatusCode, text)
		}
		trace := s.must("GET", "/v1/items/01_09520123456788_21_C1/trace", nil)
		if n := len(trace["steps"].([]any)); n != 4 {
			t.Errorf("%d steps: %v", n, trace)
		}
		found := s.must("GET", "/v1/recalls/affected?of=01_09520123456788_10_LOT7", nil)
		if items := found["items"].([]any); len(items) != 1 || items[0].(map[string]any)["item"] != "01_09520123456788_21_C1" {
			t.Errorf("%v", found)
		}
	}
	check(s)
	if status, body := s.call("POST", "/v1/recalls", map[string]any{"id": "r1", "of": "01_09520123456788_10_LOT7", "reason": "glass"}); status != http.StatusAccepted {
		t.Errorf("%d %v", status, body)
	}
	// The twin hears of its way, of what happened to the case it was in, and of the recall.
	var item map[string]any
	await(t, "the item is recalled", func() bool {
		_, item = s.call("GET", "/v1/items/01_09520123456788_21_C1", nil)
		return item["state"] == "recalled"
	})
	provenance, _ := item["provenance"].([]any)
	if item["state"] != "recalled" || len(provenance) != 4 || item["parents"].([]any)[0].(map[string]any)["id"] == "" {
		t.Errorf("the twin is %v", item)
	}
	s.end()
	again := open(t, dir, nil)
	check(again)
	if r := again.must("GET", "/v1/recalls/r1", nil); r["reason"] != "glass" {
		t.Errorf("%v", r)
	}
}

func TestEveryOpenEPCISDocumentIsCapturedOrRefusedOverHTTP(t *testing.T) {
	t.Parallel()
	root := "../../shared/data/epcis-openepcis"
	if _, err := os.Stat(root); err != nil {
		t.Skip("the OpenEPCIS documents are not beside the repository (../shared/data/epcis-openepcis)")
	}
	s := open(t, t.TempDir(), nil)
	post := func(pattern, path string, want int, except ...string) {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			media := "application/xml"
			if strings.HasSuffix(file, ".json") {
				media = "application/ld+json"
			}
			expect := want
			for _, e := range except {
				if strings.HasSuffix(file, e) {
					expect = http.StatusBadRequest
				}
			}
			resp, text := s.raw("POST", path, media, data)
			if resp.StatusCode != expect && !(expect == http.StatusCreated && resp.StatusCode == http.StatusConflict) {
				t.Errorf("%s: %d %s", file, resp.StatusCode, text)
			}
			if resp.StatusCode >= 400 && (resp.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(string(text), `"epcisException:`)) {
				t.Errorf("%s: %s", file, text)
			}
		}
	}
	post("2.0/EPCIS/JSON/Capture/Documents/*", "/epcis/capture", http.StatusAccepted)
	post("2.0/EPCIS/XML/Capture/Documents/*", "/epcis/capture", http.StatusAccepted, "JumbledFieldsOrder.xml")
	post("1.2/EPCIS/XML/Capture/Documents/*", "/epcis/capture", http.StatusAccepted, "Jumbled_attributes_order.xml", "1.2/EPCIS/XML/Capture/Documents/TransactionEvent_all_possible_fields.xml")
	post("2.0/EPCIS/*/Capture/Events/*", "/epcis/events", http.StatusCreated)
	post("2.0/EPCIS/*/Capture/Invalid/*", "/epcis/capture", http.StatusBadRequest)
	post("2.0/EPCIS/JSON/Query/*.json", "/epcis/capture", http.StatusBadRequest)
	post("2.0/EPCIS/XML/Query/*.xml", "/epcis/capture", http.StatusBadRequest)
	for path, want := range map[string]string{
		"/epcis/events?GE_eventDate=2026-01-01T00:00:00Z": "epcisException:QueryParameterException",
		"/epcis/events?GE_eventTime=not-a-date":           "epcisException:QueryParameterException",
		"/epcis/events/none":                              "epcisException:NoSuchResourceException",
		"/epcis/capture/none":                             "epcisException:NoSuchResourceException",
		"/epcis/queries/none":                             "epcisException:NoSuchResourceException",
	} {
		if resp, text := s.raw("GET", path, "", nil); resp.StatusCode < 400 || !strings.Contains(string(text), want) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
	if resp, _ := s.raw("OPTIONS", "/epcis/capture", "", nil); resp.StatusCode != http.StatusNoContent || resp.Header.Get("GS1-EPCIS-Capture-Limit") == "" {
		t.Errorf("discovery: %d", resp.StatusCode)
	}
}
