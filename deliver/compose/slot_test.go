package compose_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver/compose"
)

type people map[rapport.ID]string

func (p people) Recipient(_ context.Context, id rapport.ID) (compose.Recipient, error) {
	name, ok := p[id]
	if !ok {
		return compose.Recipient{}, rapport.Errorf(rapport.NotFound, "nobody")
	}
	return compose.Recipient{Variables: map[string]any{"firstName": name}, Zone: time.UTC}, nil
}

func TestASlotIsFilledInHoweverDeepAndAlwaysShown(t *testing.T) {
	t.Parallel()
	ada := rapport.ID{1}
	c := compose.New(compose.Deps{Reader: people{ada: "Ada"}, Clock: rapport.SystemClock{}})
	content := rapport.FieldsOf(map[string]any{
		"title": "Hei {{ person.firstName | default: 'du' }}", "n": 3, "plain": "a } b", "list": []any{map[string]any{"text": "{% if decision.action == 'mug' %}mug{% endif %}"}},
		"fault": "{{ person.firstName | nonsense }}", "fails": "{{ 1 | divided_by: 0 }}",
	})
	want := func(name string) map[string]any {
		return map[string]any{
			"title": "Hei " + name, "n": 3.0, "plain": "a } b", "list": []any{map[string]any{"text": "mug"}},
			"fault": "{{ person.firstName | nonsense }}", "fails": "",
		}
	}
	for id, name := range map[rapport.ID]string{ada: "Ada", {2}: "du"} {
		got, err := c.Fill(t.Context(), id, "d_1", &rapport.Choice{Action: "mug", Content: content})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want(name), got.Map()); diff != "" {
			t.Error(diff)
		}
	}
	still := rapport.FieldsOf(map[string]any{"title": "Hei"})
	if got, err := c.Fill(t.Context(), ada, "d_1", &rapport.Choice{Content: still}); err != nil || !cmp.Equal(got, still) {
		t.Errorf("%v, %v", got, err)
	}
}
