package compose

import (
	"bytes"
	"context"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver/liquid"
)

// IsTemplate reports whether a content holds anything to fill in.
func IsTemplate(content rapport.Fields) bool {
	return bytes.Contains(content, []byte("{{")) || bytes.Contains(content, []byte("{%"))
}

// Fill fills in the content of a choice for a slot: every text in it, however
// deep, with what a message would know. Unlike a message a slot is shown
// whatever happens: a text that is no template stays as it is written, and one
// that fails for this person is empty.
func (c *Composer) Fill(ctx context.Context, person rapport.ID, decision string, choice *rapport.Choice) (rapport.Fields, error) {
	if !IsTemplate(choice.Content) {
		return choice.Content, nil
	}
	r, err := c.deps.Reader.Recipient(ctx, person)
	if err != nil && rapport.KindOf(err) != rapport.NotFound { // of a stranger nothing is known
		return nil, err
	}
	f := filler{variables: map[string]any{
		"person": r.Variables, "decision": map[string]any{"id": decision, "action": choice.Action},
	}, o: liquid.Options{Now: c.deps.Clock.Now(), Zone: r.Zone}}
	filled, _ := f.value(choice.Content.Map()).(map[string]any)
	return rapport.FieldsOf(filled), nil
}

type filler struct {
	variables map[string]any
	o         liquid.Options
}

func (f *filler) value(v any) any {
	switch v := v.(type) {
	case string:
		return f.text(v)
	case []any:
		for i := range v {
			v[i] = f.value(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = f.value(v[k])
		}
	}
	return v
}

func (f *filler) text(s string) string {
	if !strings.Contains(s, "{{") && !strings.Contains(s, "{%") {
		return s
	}
	t, err := liquid.Parse(s)
	if err != nil {
		return s
	}
	out, err := t.Render(f.variables, f.o)
	if err != nil {
		return ""
	}
	return out
}
