package gs1_test

import (
	"encoding/csv"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/gs1"
)

var tolerant = gs1.Options{Aliases: true, ShortGTIN: true, Unknown: true}

// data opens a file of public test data, which stands beside the repository.
func data(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "shared", "data", name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("public test data ../shared/data/%s is not here", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// A URI that stands in the list both as valid and as invalid is one whose
// validity depends on what the reader tolerates: strictly it is refused.
func TestEveryPublishedDigitalLinkCaseIsJudgedAsPublished(t *testing.T) {
	t.Parallel()
	r := csv.NewReader(data(t, "digitallink-gs1/parse_dl_uri.csv"))
	r.LazyQuotes = true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	type verdict struct{ valid, invalid bool }
	seen := map[string]verdict{}
	for _, row := range rows[1:] {
		v := seen[row[1]]
		if row[0] == "true" {
			v.valid = true
		} else {
			v.invalid = true
		}
		seen[row[1]] = v
	}
	judged := 0
	for _, row := range rows[1:] {
		uri, both := row[1], seen[row[1]].valid && seen[row[1]].invalid
		judged++
		if row[0] == "false" {
			o := tolerant
			if both {
				o = gs1.Options{}
			}
			if l, err := gs1.ParseLink(uri, o); err == nil {
				t.Errorf("%s is accepted as %s", uri, l.ElementString())
			} else if rapport.KindOf(err) != rapport.Invalid {
				t.Errorf("%s: %v is not Invalid", uri, err)
			}
			continue
		}
		l, err := gs1.ParseLink(uri, tolerant)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		if diff := cmp.Diff(row[2], l.ElementString()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", uri, diff)
		}
		again, err := gs1.ParseLink(l.URI(), tolerant)
		if err != nil || again.ElementString() != l.ElementString() {
			t.Errorf("%s composed as %s: %v, %s", uri, l.URI(), err, again.ElementString())
		}
	}
	if judged != 118 {
		t.Errorf("%d cases, want 118", judged)
	}
}

func TestTheDictionaryIsThePublishedOne(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(data(t, "digitallink-gs1/gs1-syntax-dictionary.txt").Name())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile("dictionary.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := func(s string) (out []string) {
		for l := range strings.Lines(s) {
			if l = strings.Join(strings.Fields(l), " "); l != "" && l[0] != '#' {
				out = append(out, l)
			}
		}
		return out
	}
	if diff := cmp.Diff(lines(string(b)), lines(string(ours))); diff != "" {
		t.Error(diff)
	}
	if n := len(gs1.Dictionary()); n < 500 {
		t.Errorf("%d application identifiers", n)
	}
}

func TestCheckDigitsFollowTheGeneralSpecifications(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]byte{
		"629104150021": '3', "0950600013435": '2', "00614141123456789": '0', "950600013437": '6',
	} {
		if got, ok := gs1.CheckDigit(body); !ok || got != want {
			t.Errorf("check digit of %s is %c, want %c", body, got, want)
		}
	}
	if err := (gs1.Element{AI: "8013", Value: "1987654Ad4X4bL5ttr2310c2K"}).Validate(); err != nil {
		t.Errorf("the General Specifications' model number is refused: %v", err)
	}
	if err := (gs1.Element{AI: "8013", Value: "1987654Ad4X4bL5ttr2310cK2"}).Validate(); err == nil {
		t.Error("swapped check characters are accepted")
	}
	for in, want := range map[string]string{"9506000134352": "09506000134352", "02345673": "00000002345673", "416000336108": "00416000336108", "0 9506000-134352": "09506000134352"} {
		if got, err := gs1.ParseGTIN(in); err != nil || got != want {
			t.Errorf("%s is %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "1", "09506000134353", "0950600013435x", "123456789"} {
		if got, err := gs1.ParseGTIN(in); err == nil {
			t.Errorf("%q is accepted as %s", in, got)
		}
	}
}

func TestAnItemHasOneNameWhateverElseStandsOnIt(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"https://id.gs1.org/01/09506000134352/21/ABC123",
		"https://brand.example/x/01/9506000134352/22/2A/10/LOT7/21/ABC123?17=261231&linkType=all",
		"/01/09506000134352/10/LOT7/21/ABC123",
		"/gtin/09506000134352/ser/ABC123/",
		"01_09506000134352_21_ABC123",
		"urn:epc:id:sgtin:9506000.013435.ABC123",
	} {
		k, err := gs1.Parse(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		item, ok := k.Item()
		if !ok || item.ID() != "01_09506000134352_21_ABC123" {
			t.Errorf("%s is item %s, %v", in, item, ok)
		}
		if item.Canonical() != "https://id.gs1.org/01/09506000134352/21/ABC123" {
			t.Errorf("canonical %s", item.Canonical())
		}
	}
	for in, want := range map[string]gs1.Level{
		"09506000134352": gs1.Class, "/01/09506000134352/10/A": gs1.Lot, "/00/006141411234567890": gs1.Instance,
		"/414/9520123456788": gs1.Location, "/8004/9520614141234567": gs1.Instance, "/417/9520123456788": gs1.Party,
		"/8003/09520123456788": gs1.Class, "/8003/09520123456788A1": gs1.Instance,
	} {
		k, err := gs1.Parse(in)
		if err != nil || k.Level() != want {
			t.Errorf("%s: level %d, %v, want %d", in, k.Level(), err, want)
		}
	}
}

func TestAnIdentifierParsesBackWhateverItsCharacters(t *testing.T) {
	t.Parallel()
	const set = "!\"%&'()*+,-./0123456789:;<=>?ABCXYZ_abcxyz"
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := make([]byte, 1+rng.IntN(20))
		for i := range b {
			b[i] = set[rng.IntN(len(set))]
		}
		k, err := gs1.NewKey(gs1.Element{AI: "01", Value: "09506000134352"}, gs1.Element{AI: "21", Value: string(b)})
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		for _, form := range []string{k.ID(), k.Path(), k.Canonical()} {
			back, err := gs1.Parse(form)
			if err != nil || back.Serial() != string(b) {
				t.Fatalf("%q as %s comes back as %q, %v", b, form, back.Serial(), err)
			}
		}
		if strings.ContainsAny(k.ID(), "/+#") {
			t.Fatalf("%s does not fit a topic", k.ID())
		}
		for n := 6; n <= 12; n++ {
			urn, err := k.URN(n)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := gs1.ParseURN(urn); err != nil || !back.Equal(k) {
				t.Fatalf("%s comes back as %s, %v", urn, back, err)
			}
		}
	}
}

func TestURNsAndKeysSayTheSame(t *testing.T) {
	t.Parallel()
	// Examples of the Tag Data Standard and of EPCIS documents.
	for urn, path := range map[string]string{
		"urn:epc:id:sgtin:0614141.112345.400":          "/01/10614141123459/21/400",
		"urn:epc:idpat:sgtin:0614141.112345.*":         "/01/10614141123459",
		"urn:epc:class:lgtin:4012345.012345.998877":    "/01/04012345123456/10/998877",
		"urn:epc:id:sscc:0614141.1234567890":           "/00/106141412345678908",
		"urn:epc:id:sgln:0614141.12345.400":            "/414/0614141123452/254/400",
		"urn:epc:id:sgln:0614141.12345.0":              "/414/0614141123452",
		"urn:epc:id:sgln:061414112345..400":            "/414/0614141123452/254/400",
		"urn:epc:id:grai:0614141.12345.400":            "/8003/00614141123452400",
		"urn:epc:id:giai:0614141.12345400":             "/8004/061414112345400",
		"urn:epc:id:gsrn:0614141.1234567890":           "/8018/061414112345678902",
		"urn:epc:id:gsrnp:0614141.1234567890":          "/8017/061414112345678902",
		"urn:epc:id:gdti:0614141.12345.006847":         "/253/0614141123452006847",
		"urn:epc:id:cpi:0614141.123456.123456789":      "/8010/0614141123456/8011/123456789",
		"urn:epc:id:sgcn:4012345.67890.04711":          "/255/401234567890104711",
		"urn:epc:id:pgln:1234567.89012":                "/417/1234567890128",
		"urn:epc:id:ginc:0614141.xyz47%2F11":           "/401/0614141xyz47%2F11",
		"urn:epc:id:gsin:0614141.123456789":            "/402/06141411234567890",
		"urn:epc:id:upui:1234567.089456.51qIgY)%3C%26": "/01/01234567894560/235/51qIgY)%3C&",
		"urn:epc:id:itip:0614141.012345.02.04.987":     "/8006/006141411234520204/21/987",
	} {
		k, err := gs1.ParseURN(urn)
		if err != nil {
			t.Errorf("%s: %v", urn, err)
			continue
		}
		if k.Path() != path {
			t.Errorf("%s is %s, want %s", urn, k.Path(), path)
		}
		prefix := strings.IndexByte(urn[strings.LastIndexByte(urn, ':')+1:], '.')
		if back, err := k.URN(prefix); err != nil || back != urn {
			t.Errorf("%s comes back as %s, %v", urn, back, err)
		}
	}
	for _, bad := range []string{
		"", "urn:epc:id", "urn:epc:id:sgtin:1.2.3", "urn:epc:id:sgtin:0614141.112345", "urn:epc:id:gid:1.2.3", "urn:epc:class:sgtin:0614141.112345.400",
		"urn:epc:id:sgtin:0614141.11234x.400", "urn:epc:id:sgtin:0614141.112345.", "urn:epc:idpat:sgtin:0614141.*.*", "urn:epc:id:sscc:0614141.1234567890.1", "urn:epc:id:sgtin:0614141.112345.%zz",
	} {
		if k, err := gs1.ParseURN(bad); err == nil {
			t.Errorf("%q is accepted as %s", bad, k)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	for _, s := range []string{"https://a/01/12312312312333/22/TEST/10/ABC/21/XYZ", "https://a/8004/9520614141234567?01=02345673", "https://a/01/12312312312333?99=ABC%2F&x#y", "http://a/gtin/02345673/ser/%41"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := gs1.ParseLink(s, tolerant)
		if err != nil {
			if rapport.KindOf(err) == rapport.Internal {
				t.Fatal(err)
			}
			return
		}
		again, err := gs1.ParseLink(l.URI(), tolerant)
		if err != nil || again.ElementString() != l.ElementString() || !again.Key.Equal(l.Key) {
			t.Fatalf("%q composed as %q: %v", s, l.URI(), err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"01_09506000134352_21_ABC123", "urn:epc:id:itip:0614141.012345.02.04.987", "/00/006141411234567890", "02345673", "8004_95206%2514141234567", "urn:epc:id:cpi:0614141.12#456.123456789"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := gs1.Parse(s)
		if err != nil {
			return
		}
		if back, err := gs1.ParseID(k.ID()); err != nil || !back.Equal(k) {
			t.Fatalf("%q is %q, which comes back as %q, %v", s, k.ID(), back, err)
		}
		if i, ok := k.Item(); ok {
			if j, ok := i.Item(); !ok || !i.Equal(j) {
				t.Fatalf("item of %q is not its own item", k)
			}
		}
		for n := 6; n <= 12; n++ {
			if urn, err := k.URN(n); err == nil {
				back, err := gs1.ParseURN(urn)
				if err != nil {
					t.Fatalf("%s as %s: %v", k, urn, err)
				}
				if _, again := back.Item(); again && !back.Equal(k) {
					if a, _ := k.Item(); !a.Equal(back) {
						t.Fatalf("%s as %s comes back as %s", k, urn, back)
					}
				}
			}
		}
	})
}

func BenchmarkParseLink(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gs1.ParseLink("https://id.gs1.org/01/09520123456788/10/ABC1/21/12345?17=180426", gs1.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
