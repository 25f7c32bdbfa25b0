package config_test

import (
	"os"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport/config"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte(northbean))
	if wrong, err := os.ReadFile("testdata/wrong.yaml"); err == nil {
		f.Add(wrong)
	}
	f.Add([]byte(`{"kind":"action","id":"a","type":"message","content":{"a":[1,{"b":null}],"c":"x: y"},"when":{"==":[{"path":"traits.a"},1]}}`))
	r := registry(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		set, problems := r.Parse("f.yaml", data)
		for _, p := range append(problems, r.Check(set)...) {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Fatalf("a problem without a place: %+v", p)
			}
			p.Snippet()
		}
		for _, doc := range set.All() {
			again, problems := r.Parse("g.yaml", []byte(doc.Text))
			if len(problems) > 0 || again.Len() != 1 {
				t.Fatalf("%q came back with %v", doc.Text, problems)
			}
			if diff := cmp.Diff(doc.Fields().Map(), again.All()[0].Fields().Map()); diff != "" {
				t.Fatalf("%q came back as\n%s", doc.Text, diff)
			}
		}
		if plan := config.Compare(set, set, false); len(plan) > 0 {
			t.Fatalf("a set differs from itself: %v", plan)
		}
	})
}

// FuzzJSON checks that a document that comes as JSON is kept as YAML of the same meaning.
func FuzzJSON(f *testing.F) {
	f.Add("a: b", "- x", 1.5)
	f.Add("é\u2028\x01", "yes", -1e300)
	r := registry(f)
	f.Fuzz(func(t *testing.T, key, text string, number float64) {
		if !utf8.ValidString(key) || !utf8.ValidString(text) {
			t.Skip("JSON is UTF-8")
		}
		fields := jsonFields(key, text, number)
		set, problems := r.Parse("body", fields.AppendJSON(nil))
		if len(problems) > 0 {
			t.Skip(problems)
		}
		doc := set.Get("action", "a")
		if diff := cmp.Diff(fields.Map(), doc.Fields().Map()); diff != "" {
			t.Fatalf("%s\nwas kept as\n%s\n%s", fields.AppendJSON(nil), doc.Text, diff)
		}
		if again, problems := r.Parse("again", []byte(doc.Text)); len(problems) > 0 {
			t.Fatalf("%q: %v", doc.Text, problems)
		} else if diff := cmp.Diff(doc.Fields().Map(), again.Get("action", "a").Fields().Map()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzDecodeFact(f *testing.F) {
	fact := config.Fact{Kind: "config.changed", Time: 5, Author: "ada", Body: []byte("{}")}
	f.Add(fact.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		fact, err := config.DecodeFact(data)
		if err != nil {
			return
		}
		again, err := config.DecodeFact(fact.AppendBinary(nil))
		if diff := cmp.Diff(fact, again); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	})
}
