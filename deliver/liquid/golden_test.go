package liquid_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport/deliver/liquid"
)

// goldenCase is one case of the public Golden Liquid tests.
type goldenCase struct {
	Name      string            `json:"name"`
	Template  string            `json:"template"`
	Data      any               `json:"data"`
	Templates map[string]string `json:"templates"`
	Result    *string           `json:"result"`
	Results   []string          `json:"results"`
	Invalid   bool              `json:"invalid"`
	Tags      []string          `json:"tags"`
}

// TestTheGoldenCasesOfLiquidPass prints how many of the public golden cases
// render as they should, and how many faulty templates are refused.
func TestTheGoldenCasesOfLiquidPass(t *testing.T) {
	t.Parallel()
	const path = "../../../shared/data/golden-liquid/golden_liquid.json"
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("the public golden cases are not at %s", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var suite struct {
		Tests []goldenCase `json:"tests"`
	}
	if err := d.Decode(&suite); err != nil {
		t.Fatal(err)
	}
	valid, right, invalid, refused := 0, 0, 0, 0
	for _, c := range suite.Tests {
		got, err := c.render()
		if c.Invalid {
			if invalid++; err != nil {
				refused++
			}
			continue
		}
		wants := c.Results
		if c.Result != nil {
			wants = append(wants, *c.Result)
		}
		if valid++; err == nil && slices.Contains(wants, got) {
			right++
		} else {
			t.Logf("%v %s: %q gave %q, %v; want %q", c.Tags, c.Name, c.Template, got, err, wants)
		}
	}
	t.Logf("%d of %d valid cases render as they should, %d of %d faulty templates are refused", right, valid, refused, invalid)
	if right*100 < valid*95 {
		t.Errorf("only %d of %d valid cases render as they should", right, valid)
	}
}

func (c *goldenCase) render() (string, error) {
	parsed, err := liquid.Parse(c.Template)
	if err != nil {
		return "", err
	}
	data, _ := exact(c.Data).(map[string]any)
	return parsed.Render(data, liquid.Options{Now: time.Now(), Partials: func(name string) (*liquid.Template, error) {
		partial, ok := c.Templates[name]
		if !ok {
			return nil, errors.New("not found")
		}
		return liquid.Parse(partial)
	}})
}

// exact keeps whole numbers whole.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = exact(v[k])
		}
	}
	return v
}
