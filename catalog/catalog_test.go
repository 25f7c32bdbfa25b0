package catalog_test

import (
	"strings"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
)

func number(f float64) *float64 { return &f }

func TestAProductIsFoundByWhateverNamesIt(t *testing.T) {
	t.Parallel()
	c, err := catalog.Compile([]catalog.ProductDoc{
		{ID: "machine", GTIN: "9506000134352", Name: "Machine", SKUs: []string{"m-1", "m-2"}},
		{ID: "beans", GTIN: "09506000134369", Name: "Beans"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Product("09506000134352"); p == nil || p.ID != "machine" || p.GTIN != "09506000134352" {
		t.Errorf("by GTIN: %+v", p)
	}
	if p := c.BySKU("m-2"); p == nil || p.ID != "machine" {
		t.Errorf("by SKU: %+v", p)
	}
	if all := c.All(); len(all) != 2 || all[0].ID != "beans" {
		t.Errorf("all: %v", all)
	}
	if (*catalog.Catalog)(nil).Product("x") != nil || (*catalog.Catalog)(nil).BySKU("x") != nil || (*catalog.Catalog)(nil).All() != nil {
		t.Error("the empty catalogue holds something")
	}
	_, err = catalog.Compile([]catalog.ProductDoc{{ID: "a", GTIN: "9506000134352"}, {ID: "b", GTIN: "09506000134352"}})
	if rapport.KindOf(err) != rapport.Invalid {
		t.Errorf("one GTIN twice: %v", err)
	}
}

func TestAProductDocumentSaysEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	d := catalog.ProductDoc{
		ID: "a/b", GTIN: "9506000134353", URL: "javascript:alert(1)",
		Links:     []catalog.LinkDoc{{Type: "gs1:pip", Href: "/x", Default: true}, {Type: "pip", Href: "https://x", Default: true}},
		Signals:   []catalog.SignalDoc{{Reading: "level"}, {Reading: "level", Below: number(0.2), Rearm: number(0.1)}},
		Questions: []catalog.QuestionDoc{{Answers: []string{"only"}}},
	}
	err := d.Validate()
	if rapport.KindOf(err) != rapport.Invalid {
		t.Fatalf("%v", err)
	}
	for _, path := range []string{"id:", "gtin:", "name:", "url:", "links[0].href:", "links[0].type:", "links: 2 are", "signals[0]:", "signals[1].rearm:", "questions[0].answers:"} {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("nothing is said of %s in: %v", path, err)
		}
	}
	ok := catalog.ProductDoc{ID: "a", GTIN: "9506000134352", Name: "A", Signals: []catalog.SignalDoc{{Reading: "level", Below: number(0.2), Rearm: number(0.5), Event: "Product Running Low"}}}
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
}
