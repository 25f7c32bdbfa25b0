package api

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
)

var quickRequests = []string{
	`{"person":{"userId":"u1"},"placement":"home"}`,
	`{"person":{"anonymousId":"a\u00e9","userHash":"ff"},"placement":"home","context":{"f1":3,"deep":{"a":[1,null]}},"limit":2,"writeKey":"wk"}`,
	` { "limit" : 1e0 , "placement":"home", "person" : { "id" : "p_1" } } `,
}

func TestUsualRequestsForDecisionsAreReadInOneGo(t *testing.T) {
	t.Parallel()
	for _, b := range quickRequests {
		var context rapport.Fields
		if in := new(decideIn); !in.read([]byte(b), &context) {
			t.Errorf("%s was left to the general reader", b)
		}
	}
}

func TestWhatIsUnusualInARequestForADecisionIsLeftToTheGeneralReader(t *testing.T) {
	t.Parallel()
	for _, b := range []string{
		``, `[]`, `null`, `{}`, `{"person":{"userId":"u1"}}`, `{"placement":"home"}`, `{"person":{"userId":"u1"},"placement":7}`,
		`{"person":{"userId":"u1"},"placement":""}`, `{"person":{"userId":"u1"},"placement":"home","other":1}`,
		`{"person":{"userId":"u1","name":"x"},"placement":"home"}`, `{"person":{"userId":7},"placement":"home"}`,
		`{"person":{"userId":"u1"},"placement":"home","limit":17}`, `{"person":{"userId":"u1"},"placement":"home","limit":1.5}`,
		`{"person":{"userId":"u1"},"placement":"home","limit":-1}`, `{"person":{"userId":"u1"},"placement":"home","context":null}`,
		`{"person":{"userId":"u1"},"placement":"home","context":[1]}`, `{"person":{"userId":"u1"},"placement":"home","event":{}}`,
		`{"person":{"userId":"u1"},"placement":"home","placement":"home"}`, `{"person":{"userId":"u1","userId":"u2"},"placement":"home"}`,
		`{"person":{"userId":"u1"},"placement":"home"`, `{"person":{"userId":"u1"},"placement":"home"} x`,
	} {
		var context rapport.Fields
		if in := new(decideIn); in.read([]byte(b), &context) {
			t.Errorf("%s was read", b)
		}
	}
}

func FuzzQuickRequestsAreReadAsByTheirSchema(f *testing.F) {
	for _, b := range quickRequests {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var context, want rapport.Fields
		in, general := new(decideIn), new(decideIn)
		if !in.read(b, &context) {
			return
		}
		var wrong *json.UnmarshalTypeError
		if err := json.Unmarshal(b, &general.Body); errors.As(err, &wrong) && wrong.Field == "limit" {
			general.Body.Limit = in.Body.Limit // 1e0 is 1, too
		} else if err != nil {
			t.Fatalf("%q was read, although: %v", b, err)
		}
		if len(general.Body.Context) > 0 {
			var err error
			if want, err = segmentwire.Object(general.Body.Context); err != nil {
				t.Fatalf("%q was read, although: %v", b, err)
			}
		}
		general.Body.Context = nil
		if d := cmp.Diff(general.Body, in.Body); d != "" {
			t.Errorf("%q: %s", b, d)
		}
		if d := cmp.Diff(string(want.AppendJSON(nil)), string(context.AppendJSON(nil))); d != "" {
			t.Errorf("%q: context %s", b, d)
		}
	})
}
