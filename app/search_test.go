package app_test

import (
	"fmt"
	"testing"
)

func TestPeopleAreFoundByTheBeginningOfANameOrMailAddress(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), nil)
	for i, traits := range []map[string]any{
		{"name": "Kari Nordmann", "email": "kari@example.com"},
		{"firstName": "Åse", "lastName": "Karlsen"},
		{"name": "Ola Hansen", "email": "kasse@example.com"},
		{"country": "NO"},
	} {
		s.send(event("identify", fmt.Sprint("i", i), map[string]any{"userId": fmt.Sprint("u", i), "traits": traits}))
	}
	for q, want := range map[string]string{
		"kar": "[Kari Nordmann Åse Karlsen]", "KARI+nord": "[Kari Nordmann]", "nordmann,+kari": "[Kari Nordmann]", "kas": "[Ola Hansen]",
		"%C3%A5se": "[Åse Karlsen]", "kari@example.com": "[Kari Nordmann]", "u2": "[Ola Hansen]", "arlsen": "[]", "k": "[]", "x": "[]",
	} {
		page := s.must("GET", "/v1/people?q="+q, nil)
		names := []any{}
		for _, p := range page["people"].([]any) {
			names = append(names, p.(map[string]any)["name"])
		}
		if fmt.Sprint(names) != want || page["partial"] != nil {
			t.Errorf("%s finds %v (%v), want %s", q, names, page["partial"], want)
		}
	}
	if page := s.must("GET", "/v1/people?q=ka&limit=2", nil); len(page["people"].([]any)) != 2 {
		t.Errorf("limited to 2: %v", page)
	}
}
