package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestNoAnswerHoldsNullForAList asks every reading operation, of a server that
// knows nothing and of one that knows somebody, and holds the answers against
// the document that describes them.
func TestNoAnswerHoldsNullForAList(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	var doc struct {
		Paths      map[string]map[string]operationDoc `json:"paths"`
		Components struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if code := h.call("GET", "/openapi.json", "", &doc); code != http.StatusOK {
		t.Fatal(code)
	}
	text, _ := json.Marshal(doc)
	if strings.Contains(string(text), `["array","null"]`) {
		t.Error("the document says of a list that it may be null")
	}
	var holds func(at string, schema map[string]any, v any)
	holds = func(at string, schema map[string]any, v any) {
		if ref, ok := schema["$ref"].(string); ok {
			schema = doc.Components.Schemas[ref[strings.LastIndexByte(ref, '/')+1:]]
		}
		if schema["type"] == "array" && v == nil {
			t.Errorf("%s is null", at)
		}
		switch v := v.(type) {
		case []any:
			items, _ := schema["items"].(map[string]any)
			for _, x := range v {
				holds(at+"[]", items, x)
			}
		case map[string]any:
			properties, _ := schema["properties"].(map[string]any)
			more, _ := schema["additionalProperties"].(map[string]any)
			for name, x := range v {
				if p, ok := properties[name].(map[string]any); ok {
					holds(at+"."+name, p, x)
				} else if more != nil {
					holds(at+".*", more, x)
				}
			}
		}
	}
	asked := 0
	ask := func(places map[string]string) {
		for path, operations := range doc.Paths {
			op, ok := operations["get"]
			if !ok || path == "/v1/backup" {
				continue
			}
			at := path
			for name, value := range places {
				at = strings.ReplaceAll(at, name, value)
			}
			schema := op.Responses["200"].Content["application/json"].Schema
			if strings.Contains(at, "{") || schema == nil {
				continue
			}
			var v any
			if code := h.call("GET", at, "", &v); code == http.StatusOK {
				asked++
				holds("GET "+path, schema, v)
			}
		}
	}
	places := map[string]string{"{ref}": "userId:anna", "{item}": "01_09506000134352_21_ABC123"}
	ask(places)
	h.someone("anna", annaMail, annaPhone)
	var d struct {
		DecisionID string `json:"decisionId"`
	}
	if code := h.call("POST", "/v1/decide", `{"person":{"userId":"anna"},"placement":"hero"}`, &d); code != http.StatusOK {
		t.Fatal(code)
	}
	h.call("POST", "/v1/devices", `{"item":"01_09506000134352_21_ABC123"}`, nil)
	ask(places)
	ask(map[string]string{"{id}": d.DecisionID})
	ask(map[string]string{"{kind}": "action", "{id}": "hello"})
	if asked < 40 {
		t.Errorf("only %d operations answered", asked)
	}

	// What the HTTP layer refuses by itself carries the request's id like the rest.
	var p struct {
		RequestID string `json:"requestId"`
		Detail    string `json:"detail"`
		Errors    []struct{ Location string }
	}
	if code := h.call("POST", "/v1/decide", `{"person":{"userId":"anna"},"placement":7}`, &p); code != http.StatusUnprocessableEntity || p.RequestID == "" || !strings.Contains(p.Detail, "body.placement") || len(p.Errors) != 1 {
		t.Errorf("a wrong type is answered %d %+v", code, p)
	}
	t.Log(fmt.Sprint(asked, " answers read"))
}

// operationDoc is what is read of an operation in the OpenAPI document.
type operationDoc struct {
	Responses map[string]struct {
		Content map[string]struct {
			Schema map[string]any `json:"schema"`
		} `json:"content"`
	} `json:"responses"`
}
