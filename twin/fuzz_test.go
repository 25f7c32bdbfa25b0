package twin_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/twin"
)

func FuzzDecode(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 'a', 'b', 'c', 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &twin.Item{}
		if s.DecodeBinary(b) == nil && s.ID != "" {
			again := &twin.Item{}
			if err := again.DecodeBinary(s.AppendBinary(nil)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(s.AppendBinary(nil)), string(again.AppendBinary(nil))); diff != "" {
				t.Fatal(diff)
			}
		}
		_ = (&twin.Things{}).DecodeBinary(b)
		_ = (&twin.Label{}).DecodeBinary(b)
	})
}

func TestAMergePatchFollowsTheExamplesOfRFC7396(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	for _, c := range []struct{ doc, patch, want m }{
		{m{"a": "b"}, m{"a": "c"}, m{"a": "c"}},
		{m{"a": "b"}, m{"b": "c"}, m{"a": "b", "b": "c"}},
		{m{"a": "b"}, m{"a": nil}, m{}},
		{m{"a": "b", "b": "c"}, m{"a": nil}, m{"b": "c"}},
		{m{"a": []any{"b"}}, m{"a": "c"}, m{"a": "c"}},
		{m{"a": "c"}, m{"a": []any{"b"}}, m{"a": []any{"b"}}},
		{m{"a": m{"b": "c"}}, m{"a": m{"b": "d", "c": nil}}, m{"a": m{"b": "d"}}},
		{m{"a": []any{m{"b": "c"}}}, m{"a": []any{1.0}}, m{"a": []any{1.0}}},
		{m{}, m{"a": m{"bb": m{"ccc": nil}}}, m{"a": m{"bb": m{}}}},
	} {
		got := twin.MergePatch(rapport.FieldsOf(c.doc), rapport.FieldsOf(c.patch))
		if diff := cmp.Diff(c.want, got.Map()); diff != "" {
			t.Errorf("%v patched by %v (-want +got):\n%s", c.doc, c.patch, diff)
		}
		if d := twin.Delta(got, got); len(d) != 0 {
			t.Errorf("a document differs from itself by %s", d.AppendJSON(nil))
		}
		if next := twin.MergePatch(rapport.FieldsOf(c.doc), twin.Delta(got, rapport.FieldsOf(c.doc))); len(twin.Delta(got, next)) != 0 {
			t.Errorf("the delta from %v to %s is not whole", c.doc, got.AppendJSON(nil))
		}
	}
}
