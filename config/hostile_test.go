package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestHostileDocumentsAreReadInBoundedTime(t *testing.T) {
	t.Parallel()
	const size = 120 << 10
	repeat := func(s string) string { return strings.Repeat(s, size/len(s)) }
	var stairs, keys, flat strings.Builder
	for i := 0; stairs.Len() < size; i++ {
		stairs.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	for i := 0; i < 5_000; i++ {
		fmt.Fprintf(&keys, "k%d: v\n", i)
		fmt.Fprintf(&flat, "- {a: %d}\n", i)
	}
	r := registry(t)
	const many = 5_000 // lines
	for name, text := range map[string]string{
		"brackets":      repeat("["),
		"braces":        repeat("{a: "),
		"closed":        strings.Repeat("[", size/2) + strings.Repeat("]", size/2),
		"4000 closed":   strings.Repeat("[", 4000) + strings.Repeat("]", 4000),
		"list marks":    repeat("- "),
		"key marks":     repeat("? "),
		"list lines":    strings.Repeat("- -\n", many),
		"stairs":        stairs.String(),
		"keys":          keys.String(),
		"flat":          "a:\n" + flat.String(),
		"quotes":        repeat("'"),
		"double quotes": repeat(`"`),
		"open text":     `a: "` + repeat("x "),
		"block":         "a: |\n" + strings.Repeat("  x\n", many),
		"plain lines":   "a: x\n" + strings.Repeat("  x\n", many),
		"tags":          repeat("!a "),
		"anchors":       repeat("&a "),
		"aliases":       "a: &a [x]\nb: [" + repeat("*a,") + "]",
		"comments":      "a: b\n" + strings.Repeat("#\n", many),
		"colons":        repeat(": "),
		"commas":        "[" + repeat(",") + "]",
		"flow list":     "kind: action\nid: a\ncontent: {a: [" + repeat("1,") + "1]}\n",
		"flow maps":     "kind: action\nid: a\ncontent: {a: [" + repeat("{a: 1},") + "1]}\n",
		"json":          `{"kind":"action","id":"a","type":"offer","content":{"a":[` + repeat(`{"a":1},`) + "1]}}",
		"conditions":    "kind: segment\nid: a\nwhen: " + repeat("!") + "true\n",
	} {
		start := time.Now()
		set, problems := r.Parse(name, []byte(text))
		took := time.Since(start)
		t.Log(name, took, set.Len(), len(problems))
		if took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}
