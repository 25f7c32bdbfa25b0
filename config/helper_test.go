package config_test

import (
	"encoding/json"
	"testing"

	"github.com/rapport-engine/rapport"
)

func indent(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// jsonFields is an action with strange content.
func jsonFields(key, text string, number float64) rapport.Fields {
	content := rapport.FieldsOf(map[string]any{key: text, "list": []any{text, number, []any{text}, map[string]any{key: []any{nil, text}}}})
	return rapport.FieldsOf(map[string]any{"kind": "action", "id": "a", "type": "offer", "content": content})
}
