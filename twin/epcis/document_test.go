package epcis_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/twin/epcis"
)

func corpus(tb testing.TB, pattern string) []string {
	tb.Helper()
	root := filepath.Join("..", "..", "..", "shared", "data", "epcis-openepcis")
	if _, err := os.Stat(root); err != nil {
		tb.Skip("the OpenEPCIS documents are not beside the repository (../shared/data/epcis-openepcis)")
	}
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no files match %s", pattern)
	}
	return files
}

func contents(tb testing.TB, file string) []byte {
	tb.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func mediaType(file string) string {
	if strings.HasSuffix(file, ".json") {
		return "application/ld+json"
	}
	return "application/xml"
}

// disputed documents stand among the valid ones but break GS1's own schema.
var disputed = map[string]string{
	"2.0/EPCIS/XML/Capture/Documents/JumbledFieldsOrder.xml":                   "XML Schema fixes the order of elements, as the same collection's ObjectEvent_with_wrong_element_order.xml has it",
	"1.2/EPCIS/XML/Capture/Documents/Jumbled_attributes_order.xml":             "the same, in XML 1.2",
	"1.2/EPCIS/XML/Capture/Documents/TransactionEvent_all_possible_fields.xml": "its declarationTime 2006-11-07T13:00Z has no seconds, which xsd:dateTime demands",
}

func TestEveryValidDocumentIsAccepted(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{
		"2.0/EPCIS/JSON/Capture/Documents/*", "2.0/EPCIS/JSON/Capture/Events/*", "2.0/EPCIS/XML/Capture/Documents/*", "2.0/EPCIS/XML/Capture/Events/*",
		"1.2/EPCIS/XML/Capture/Documents/*",
	} {
		for _, file := range corpus(t, pattern) {
			doc, err := epcis.Parse(contents(t, file), mediaType(file), epcis.Limits{})
			if _, name, _ := strings.Cut(filepath.ToSlash(file), "epcis-openepcis/"); disputed[name] != "" {
				if err == nil {
					t.Errorf("%s is accepted now; take it off the list", name)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			for _, e := range doc.Events {
				if !json.Valid(e.JSON) || e.Time == 0 {
					t.Errorf("%s: event %+v", file, e)
				}
			}
		}
	}
}

func TestEveryInvalidDocumentIsRefusedWithTheStandardsException(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"2.0/EPCIS/JSON/Capture/Invalid/*", "2.0/EPCIS/XML/Capture/Invalid/*", "2.0/EPCIS/JSON/Query/*.json", "2.0/EPCIS/XML/Query/*.xml", "2.0/EPCIS/*/Query/Invalid/*"} {
		for _, file := range corpus(t, pattern) {
			_, err := epcis.Parse(contents(t, file), mediaType(file), epcis.Limits{})
			var x *epcis.Exception
			if !errors.As(err, &x) || x.Type() != "epcisException:ValidationException" || x.Status != 400 {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

func TestXMLAndJSONOfTheSameEventReadTheSame(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ObjectEvent", "AggregationEvent", "TransactionEvent", "AssociationEvent"} {
		j := corpus(t, "2.0/EPCIS/JSON/Capture/Documents/"+name+".json")[0]
		x := corpus(t, "2.0/EPCIS/XML/Capture/Documents/"+name+".xml")[0]
		a, err := epcis.Parse(contents(t, j), "", epcis.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := epcis.Parse(contents(t, x), "", epcis.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range a.Events {
			f := b.Events[i]
			if e.Type != f.Type || e.BizStep != f.BizStep || e.Disposition != f.Disposition || e.Action != f.Action || len(e.EPCs) != len(f.EPCs) || len(e.Transactions) != len(f.Transactions) {
				t.Errorf("%s, event %d:\n%s\n%s", name, i, e.JSON, f.JSON)
			}
		}
	}
}

func TestWhatIsBeyondTheLimitsIsRefused(t *testing.T) {
	t.Parallel()
	deep := `{"@context":["x:y"],"type":"ObjectEvent","ext:a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}"
	for name, c := range map[string]struct {
		data, media, want string
		limits            epcis.Limits
	}{
		"empty":         {" ", "", epcis.ValidationException, epcis.Limits{}},
		"deep":          {deep, "", epcis.ValidationException, epcis.Limits{}},
		"bytes":         {deep, "", epcis.CaptureLimitExceededException, epcis.Limits{Bytes: 10}},
		"media type":    {"{}", "image/png", epcis.UnsupportedMediaTypeException, epcis.Limits{}},
		"document type": {`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, "", epcis.ValidationException, epcis.Limits{}},
		"events": {
			`{"@context":["x:y"],"type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2020-01-01T00:00:00Z","epcisBody":{"eventList":[{},{}]}}`,
			"", epcis.CaptureLimitExceededException,
			epcis.Limits{Events: 1},
		},
	} {
		_, err := epcis.Parse([]byte(c.data), c.media, c.limits)
		var x *epcis.Exception
		if !errors.As(err, &x) || x.Name != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParsingNeverPanicsAndWhatIsAcceptedIsAcceptedAgain(f *testing.F) {
	f.Add([]byte(`{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],"type":"ObjectEvent","eventTime":"2020-01-01T00:00:00Z","eventTimeZoneOffset":"+00:00","epcList":["urn:a:b"],"action":"ADD"}`))
	f.Add([]byte(`<ObjectEvent><eventTime>2020-01-01T00:00:00Z</eventTime><eventTimeZoneOffset>+00:00</eventTimeZoneOffset><epcList><epc>urn:a:b</epc></epcList><action>ADD</action></ObjectEvent>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := epcis.Parse(data, "", epcis.Limits{Bytes: 1 << 16})
		if err != nil || data[0] == '<' {
			return
		}
		for _, e := range doc.Events {
			wrapped := `{"@context":["` + epcis.Context + `"],"type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2020-01-01T00:00:00Z","epcisBody":{"eventList":[` + string(e.JSON) + `]}}`
			if _, err := epcis.Parse([]byte(wrapped), "", epcis.Limits{}); err != nil {
				t.Fatalf("%s was accepted as %s, which is not: %v", data, e.JSON, err)
			}
		}
	})
}
