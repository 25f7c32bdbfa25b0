package twin

import (
	"cmp"
	"slices"

	"github.com/rapport-engine/rapport"
)

// Shadow is one side of an item's state: what it reports, or what is wanted of it.
type Shadow struct {
	// Document is a JSON object with sorted keys.
	Document rapport.Fields
	// Version rises with every change.
	Version int64
	// At is the time of the last change, Unix milliseconds.
	At int64
}

func (s *Shadow) code(c *coder) {
	c.fields(&s.Document)
	c.int(&s.Version)
	c.int(&s.At)
}

// patch applies a merge patch; ok is false if the result would be too large.
func (s *Shadow) patch(p rapport.Fields, at int64) (ok bool) {
	next := MergePatch(s.Document, p)
	if len(next) > MaxDocument {
		return false
	}
	if string(next) != string(s.Document) {
		s.Document, s.Version, s.At = next, s.Version+1, at
	}
	return true
}

type member struct {
	key   string
	value rapport.Value
}

// MergePatch applies an RFC 7396 merge patch to a document: null takes a member
// away, objects merge, anything else replaces. The result has sorted keys and
// shares nothing with its inputs.
func MergePatch(doc, patch rapport.Fields) rapport.Fields {
	ms := members(doc)
	for k, v := range patch.All() {
		i, found := slices.BinarySearchFunc(ms, string(k), func(m member, k string) int { return cmp.Compare(m.key, k) })
		if v.IsNull() {
			if found {
				ms = slices.Delete(ms, i, i+1)
			}
			continue
		}
		if p, ok := v.Object(); ok {
			var below rapport.Fields
			if found {
				below, _ = ms[i].value.Object()
			}
			v = rapport.ObjectValue(MergePatch(below, p))
		}
		if found {
			ms[i].value = v
		} else {
			ms = slices.Insert(ms, i, member{string(k), v})
		}
	}
	var out rapport.Fields
	for _, m := range ms {
		out = rapport.AppendField(out, m.key, m.value)
	}
	return out
}

// members lists a document's members by key; of equal keys the last counts.
func members(f rapport.Fields) []member {
	var ms []member
	for k, v := range f.All() {
		ms = append(ms, member{string(k), v})
	}
	slices.SortStableFunc(ms, func(a, b member) int { return cmp.Compare(a.key, b.key) })
	for i := len(ms) - 2; i >= 0; i-- {
		if ms[i].key == ms[i+1].key {
			ms = slices.Delete(ms, i, i+1)
		}
	}
	return ms
}

// Delta returns what of the desired document the reported one does not say
// yet, as a merge patch. Both must have sorted keys.
func Delta(desired, reported rapport.Fields) rapport.Fields {
	var out rapport.Fields
	for k, want := range desired.All() {
		have, ok := reported.Get(string(k))
		if ok && want.Equal(have) {
			continue
		}
		if w, isObject := want.Object(); isObject {
			h, _ := have.Object()
			d := Delta(w, h)
			if len(d) == 0 && ok {
				continue
			}
			want = rapport.ObjectValue(d)
		}
		out = rapport.AppendField(out, string(k), want)
	}
	return out
}
