// Package catalog knows what a brand makes: products by their GTIN, with the
// content of their passport, what their sensors mean, and where more is to be
// read about them.
//
// It is compiled from configuration documents and immutable: a Catalog may be
// read by any number of goroutines and by folds.
package catalog

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/gs1"
)

// Part is the name under which the compiled Catalog stands in engine.Config.
const Part = "catalog"

// ProductDoc is the config document of kind "product": one thing the brand sells.
type ProductDoc struct {
	ID          string            `yaml:"id" doc:"Name of the product, unique among products; an SKU serves well."`
	GTIN        string            `yaml:"gtin" required:"true" doc:"GTIN-8, -12, -13 or -14 with its check digit."`
	Name        string            `yaml:"name" required:"true" doc:"What people call it."`
	Brand       string            `yaml:"brand,omitempty" doc:"Brand as printed on it."`
	Category    string            `yaml:"category,omitempty" doc:"What kind of thing it is, such as coffee-machine."`
	SKUs        []string          `yaml:"skus,omitempty" doc:"Ids the shop sells it under, as they stand in product_id of its events."`
	Description string            `yaml:"description,omitempty" doc:"A paragraph for the page of an item."`
	Image       string            `yaml:"image,omitempty" doc:"Address of a picture, https."`
	URL         string            `yaml:"url,omitempty" doc:"Address of its page in the shop."`
	Passport    PassportDoc       `yaml:"passport,omitempty" doc:"What it is made of and how to treat it."`
	Warranty    WarrantyDoc       `yaml:"warranty,omitempty" doc:"How long the maker stands for it."`
	Links       []LinkDoc         `yaml:"links,omitempty" doc:"Where a scan of its code may lead; at most 64."`
	Signals     []SignalDoc       `yaml:"signals,omitempty" doc:"What readings of its sensors mean; at most 32."`
	Share       []string          `yaml:"share,omitempty" doc:"Readings its owner's conditions may use (items.any); all if left out."`
	Questions   []QuestionDoc     `yaml:"questions,omitempty" doc:"Preference questions on its page; at most 8."`
	Replenish   ReplenishDoc      `yaml:"replenish,omitempty" doc:"For what is used up: how much one holds."`
	Life        LifeDoc           `yaml:"life,omitempty" doc:"For what wears out: what tells how worn it is, and what ends its life."`
	Attributes  map[string]string `yaml:"attributes,omitempty" doc:"Further facts about it, shown in its passport."`
}

// PassportDoc is what a product passport says.
type PassportDoc struct {
	Ingredients  []string         `yaml:"ingredients,omitempty" json:"ingredients,omitempty" doc:"Ingredients, most first."`
	Allergens    []string         `yaml:"allergens,omitempty" json:"allergens,omitempty" doc:"Allergens it contains."`
	Materials    []MaterialDoc    `yaml:"materials,omitempty" json:"materials,omitempty" doc:"Materials with their shares."`
	Origin       string           `yaml:"origin,omitempty" json:"origin,omitempty" doc:"Where it or its main ingredient comes from."`
	Care         string           `yaml:"care,omitempty" json:"care,omitempty" doc:"How to look after it."`
	Repair       string           `yaml:"repair,omitempty" json:"repair,omitempty" doc:"How to have it repaired and for how long parts are kept."`
	Recycling    string           `yaml:"recycling,omitempty" json:"recycling,omitempty" doc:"Where it goes when it is done with."`
	Footprint    float64          `yaml:"footprint,omitempty" json:"footprint,omitempty" min:"0" unit:"kg CO₂e" doc:"Greenhouse gases of making one, kg CO2e."`
	Certificates []CertificateDoc `yaml:"certificates,omitempty" json:"certificates,omitempty" doc:"Certificates it holds."`
}

// MaterialDoc is one material and its share.
type MaterialDoc struct {
	Name     string  `yaml:"name" json:"name,omitempty" required:"true" doc:"The material."`
	Percent  float64 `yaml:"percent,omitempty" json:"percent,omitempty" min:"0" max:"100" unit:"%" doc:"Share by weight."`
	Recycled float64 `yaml:"recycled,omitempty" json:"recycled,omitempty" min:"0" max:"100" unit:"%" doc:"How much of it is recycled, percent."`
}

// CertificateDoc is a certificate.
type CertificateDoc struct {
	Name string `yaml:"name" json:"name,omitempty" required:"true" doc:"Name of the certificate."`
	URL  string `yaml:"url,omitempty" json:"url,omitempty" doc:"Where it can be read."`
}

// WarrantyDoc is how long the maker stands for an item.
type WarrantyDoc struct {
	For   rapport.Duration `yaml:"for,omitempty" doc:"Length of the warranty, from the day it is sold or first owned, such as 730d."`
	Terms string           `yaml:"terms,omitempty" doc:"What it covers, in a sentence."`
}

// LinkDoc is one link of the resolver (GS1 Digital Link, RFC 9264).
type LinkDoc struct {
	Type    string   `yaml:"type" required:"true" doc:"Link type of the GS1 Web Vocabulary without prefix, such as pip, recipeInfo or instructions."`
	Href    string   `yaml:"href" required:"true" doc:"Address it leads to; https."`
	Title   string   `yaml:"title" required:"true" doc:"What a person reads."`
	Lang    []string `yaml:"lang,omitempty" doc:"Languages it is in, such as en or nb-NO."`
	Media   string   `yaml:"media,omitempty" doc:"Media type, such as text/html."`
	Context []string `yaml:"context,omitempty" doc:"Contexts it is meant for."`
	Default bool     `yaml:"default,omitempty" doc:"The one a plain scan leads to. Without one a scan leads to the item's own page."`
	Lot     string   `yaml:"lot,omitempty" doc:"Only for items of this lot."`
	Serial  string   `yaml:"serial,omitempty" doc:"Only for the item with this serial."`
}

// SignalDoc turns a reading into an event, once each time it crosses the line.
type SignalDoc struct {
	Reading string   `yaml:"reading" required:"true" doc:"Name of the reading in the item's telemetry, such as level."`
	Below   *float64 `yaml:"below,omitempty" doc:"Fires when the reading falls below it."`
	Above   *float64 `yaml:"above,omitempty" doc:"Fires when the reading rises above it."`
	Rearm   *float64 `yaml:"rearm,omitempty" doc:"The reading must pass this before it fires again; the line itself if left out."`
	Event   string   `yaml:"event" required:"true" suggest:"event" doc:"Event the owner gets, such as Product Running Low or Product Needs Service."`
	Stage   string   `yaml:"stage,omitempty" enum:"low,needsService,inUse" doc:"Stage the item enters; it leaves it when the reading passes rearm."`
}

// QuestionDoc is a preference question.
type QuestionDoc struct {
	ID      string   `yaml:"id" required:"true" doc:"Name of the trait the answer becomes."`
	Text    string   `yaml:"text" required:"true" doc:"The question."`
	Answers []string `yaml:"answers" required:"true" min:"2" max:"8" doc:"Two to eight answers."`
}

// ReplenishDoc says how much a consumable holds.
type ReplenishDoc struct {
	Reading  string  `yaml:"reading,omitempty" doc:"Reading that tells how much is left."`
	Capacity float64 `yaml:"capacity,omitempty" min:"0" doc:"How much a full one holds, in unit."`
	Unit     string  `yaml:"unit,omitempty" doc:"Unit of the capacity, such as g or pods."`
	Serves   string  `yaml:"serves,omitempty" suggest:"product.gtin" doc:"GTIN of the product it is filled with."`
}

// LifeDoc says how the lives of items are followed, so that whole ones teach how
// long the others still last.
type LifeDoc struct {
	Readings []string         `yaml:"readings,omitempty" doc:"Readings of its sensors that tell how worn it is; at most 24."`
	Ends     []string         `yaml:"ends,omitempty" suggest:"event" doc:"Events of the item that end a life: it broke, or the part that wears was replaced. Product Ended if left out."`
	Horizon  rapport.Duration `yaml:"horizon,omitempty" doc:"Longest remaining life that is told apart, such as 180d: nobody can tell a year from two while hardly anything is worn. No limit if left out."`
}

// MaxLifeReadings bounds the readings a life is followed by.
const MaxLifeReadings = 24

// Followed reports whether lives of the product are followed.
func (d *LifeDoc) Followed() bool { return len(d.Readings) > 0 }

// Ended reports whether an event ends a life.
func (d *LifeDoc) Ended(event string) bool {
	if len(d.Ends) == 0 {
		return event == "Product Ended"
	}
	return slices.Contains(d.Ends, event)
}

func (d *LifeDoc) check(f *faults) {
	f.most("life.readings", len(d.Readings), MaxLifeReadings)
	f.most("life.ends", len(d.Ends), 8)
	if len(d.Readings) == 0 && (len(d.Ends) > 0 || d.Horizon != 0) {
		f.Add("life.readings", "is missing: which readings tell how worn it is?")
	}
	for i, r := range d.Readings {
		if r == "" || len(r) > 40 || slices.Contains(d.Readings[:i], r) {
			f.Add(fmt.Sprintf("life.readings[%d]", i), "is the name of a reading, once, of 1 to 40 bytes")
		}
	}
	if d.Horizon != 0 && d.Horizon.Millis() < 24*3600_000 {
		f.Add("life.horizon", "is at least a day")
	}
}

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults.
func (d *ProductDoc) Validate() error {
	var f faults
	if d.ID == "" || len(d.ID) > 128 || strings.ContainsAny(d.ID, "\x00/") {
		f.Add("id", "must be 1 to 128 bytes without a slash")
	}
	if _, err := gs1.ParseGTIN(d.GTIN); err != nil {
		f.Add("gtin", "%v", err)
	}
	if d.Name == "" || len(d.Name) > 200 {
		f.Add("name", "must be 1 to 200 bytes")
	}
	for _, u := range []struct{ path, value string }{{"image", d.Image}, {"url", d.URL}} {
		if u.value != "" && !address(u.value) {
			f.Add(u.path, "%q is not an http or https address", u.value)
		}
	}
	f.most("links", len(d.Links), 64)
	f.most("signals", len(d.Signals), 32)
	f.most("questions", len(d.Questions), 8)
	f.most("skus", len(d.SKUs), 64)
	d.Life.check(&f)
	defaults := 0
	for i, l := range d.Links {
		if !address(l.Href) {
			f.Add(fmt.Sprintf("links[%d].href", i), "%q is not an http or https address", l.Href)
		}
		if l.Type == "" || strings.ContainsAny(l.Type, " :/") {
			f.Add(fmt.Sprintf("links[%d].type", i), "must be a link type without prefix, such as pip")
		}
		if l.Default && l.Lot == "" && l.Serial == "" {
			defaults++
		}
	}
	if defaults > 1 {
		f.Add("links", "%d are the default, at most one can be", defaults)
	}
	for i, s := range d.Signals {
		if (s.Below == nil) == (s.Above == nil) {
			f.Add(fmt.Sprintf("signals[%d]", i), "needs either below or above")
		}
		if s.Rearm != nil && (s.Below != nil && *s.Rearm < *s.Below || s.Above != nil && *s.Rearm > *s.Above) {
			f.Add(fmt.Sprintf("signals[%d].rearm", i), "lies on the wrong side of the line")
		}
	}
	for i, q := range d.Questions {
		if len(q.Answers) < 2 || len(q.Answers) > 8 {
			f.Add(fmt.Sprintf("questions[%d].answers", i), "must be two to eight")
		}
	}
	if g := d.Replenish.Serves; g != "" {
		if _, err := gs1.ParseGTIN(g); err != nil {
			f.Add("replenish.serves", "%v", err)
		}
	}
	return f.Err()
}

func address(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// faults adds the checks that documents here share.
type faults struct{ rapport.Faults }

func (f *faults) most(path string, n, limit int) {
	if n > limit {
		f.Add(path, "has %d entries, at most %d", n, limit)
	}
}

// Catalog finds products. The nil Catalog is empty.
type Catalog struct {
	products []*ProductDoc // by id
	byGTIN   map[string]*ProductDoc
	bySKU    map[string]*ProductDoc
	lived    bool
}

// Compile returns the catalogue of the documents. It returns an Invalid error
// when two products share a GTIN or an SKU.
func Compile(docs []ProductDoc) (*Catalog, error) {
	c := &Catalog{byGTIN: map[string]*ProductDoc{}, bySKU: map[string]*ProductDoc{}}
	for i := range docs {
		d := docs[i]
		gtin, err := gs1.ParseGTIN(d.GTIN)
		if err != nil {
			return nil, rapport.Errorf(rapport.Invalid, "product %s: %w", d.ID, err)
		}
		d.GTIN = gtin
		if other := c.byGTIN[gtin]; other != nil {
			return nil, rapport.Errorf(rapport.Invalid, "products %s and %s have the same GTIN %s", other.ID, d.ID, gtin)
		}
		c.byGTIN[gtin] = &d
		for _, sku := range append([]string{d.ID}, d.SKUs...) {
			if other := c.bySKU[sku]; other != nil && other != &d {
				return nil, rapport.Errorf(rapport.Invalid, "products %s and %s have the same SKU %s", other.ID, d.ID, sku)
			}
			c.bySKU[sku] = &d
		}
		c.products = append(c.products, &d)
		c.lived = c.lived || d.Life.Followed()
	}
	slices.SortFunc(c.products, func(a, b *ProductDoc) int { return strings.Compare(a.ID, b.ID) })
	return c, nil
}

// Product returns the product with a 14-digit GTIN, or nil.
func (c *Catalog) Product(gtin string) *ProductDoc {
	if c == nil {
		return nil
	}
	return c.byGTIN[gtin]
}

// Lived reports whether the lives of any product are followed.
func (c *Catalog) Lived() bool { return c != nil && c.lived }

// BySKU returns the product the shop sells under an id, or nil.
func (c *Catalog) BySKU(sku string) *ProductDoc {
	if c == nil {
		return nil
	}
	return c.bySKU[sku]
}

// All returns the products by id. They must not be changed.
func (c *Catalog) All() []*ProductDoc {
	if c == nil {
		return nil
	}
	return c.products
}
