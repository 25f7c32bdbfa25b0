package identity_test

import (
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/identity"
)

func TestIdentifiersAreBroughtToOneForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, in, want string }{
		{rapport.KindEmail, "  Anna.Berg@Example.COM ", "anna.berg@example.com"},
		{rapport.KindEmail, "ａnna@example.com", "anna@example.com"},
		{rapport.KindEmail, "anna", ""},
		{rapport.KindEmail, "@example.com", ""},
		{rapport.KindEmail, "anna berg@example.com", ""},
		{rapport.KindPhone, "+47 22 12 34 56", "+4722123456"},
		{rapport.KindPhone, "0047 22 12 34 56", "+4722123456"},
		{rapport.KindPhone, "tel:+1-415-555-2671", "+14155552671"},
		{rapport.KindPhone, "+44 (0)20 7946 0958", "+442079460958"},
		{rapport.KindPhone, "(415) 555-2671", "4155552671"},
		{rapport.KindPhone, "000 000", ""},
		{rapport.KindPhone, "call me", ""},
		{rapport.KindUserID, " u-17 ", "u-17"},
		{rapport.KindUserID, "U-17", "U-17"},
		{rapport.KindUserID, "e\u0301", "\u00e9"},
		{rapport.KindUserID, "null", ""},
		{rapport.KindUserID, "Undefined", ""},
		{rapport.KindUserID, "0", ""},
		{rapport.KindUserID, "a\x00b", ""},
		{rapport.KindUserID, "\xff\xfe", ""},
		{rapport.KindAnonymousID, "00000000-0000-0000-0000-000000000000", ""},
		{rapport.KindAnonymousID, "f1d2a3b4-0000-4000-8000-000000000000", "f1d2a3b4-0000-4000-8000-000000000000"},
		{"loyalty", " 00417 ", "00417"},
	} {
		got, ok := identity.Normalize(c.kind, c.in)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s %q became %q, %v; want %q", c.kind, c.in, got, ok, c.want)
		}
	}
}

func FuzzANormalIdentifierStaysAsItIs(f *testing.F) {
	for _, s := range []string{"a@b.no", " +47 22 12 34 56", "ａ@b", "e\u0301", "0041 79 123 45 67", "\u0130@x.y"} {
		for _, k := range []string{rapport.KindEmail, rapport.KindPhone, rapport.KindUserID} {
			f.Add(k, s)
		}
	}
	f.Fuzz(func(t *testing.T, kind, value string) {
		once, ok := identity.Normalize(kind, value)
		if !ok {
			return
		}
		twice, ok := identity.Normalize(kind, once)
		if !ok || twice != once {
			t.Fatalf("%s %q became %q, then %q, %v", kind, value, once, twice, ok)
		}
	})
}
