package sim

import (
	"embed"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/rapport-engine/rapport"
)

//go:embed northbean.yaml trial.yaml config/*.yaml trial/*.yaml
var files embed.FS

// World is a brand, its shoppers and the truth about them, as a world file
// says it (docs/world-file.md). A World is read-only once loaded.
type World struct {
	Name     string `yaml:"world"`
	Title    string `yaml:"title"`
	Currency string `yaml:"currency"`
	Seed     uint64 `yaml:"seed"`
	Shoppers int    `yaml:"shoppers"`
	Days     int    `yaml:"days"`
	// Newcomers is the share of live visits by somebody never seen before.
	Newcomers float64 `yaml:"newcomers"`
	// Annoyance is what one annoyed shopper costs, in the currency.
	Annoyance float64 `yaml:"annoyance"`
	Domain    string  `yaml:"domain"`

	Sources     map[string]Source    `yaml:"sources"`
	Tastes      []string             `yaml:"tastes"`
	Weekdays    []float64            `yaml:"weekdays"`
	Months      []float64            `yaml:"months"`
	Rhythms     map[string][]float64 `yaml:"rhythms"`
	Countries   []Country            `yaml:"countries"`
	Acquisition []Acquisition        `yaml:"acquisition"`
	Types       []ShopperType        `yaml:"types"`
	Categories  []Category           `yaml:"categories"`
	Products    []Product            `yaml:"products"`
	Searches    []Search             `yaml:"searches"`
	Topics      []string             `yaml:"topics"`
	Mailings    []string             `yaml:"mailings"`
	Placements  []Placement          `yaml:"placements"`
	Actions     []Action             `yaml:"actions"`
	Unknown     Action               `yaml:"unknown"`
	Fleet       *Fleet               `yaml:"fleet"`

	actionIndex map[string]int
	typeShares  []float64 // cumulative, as are the next two
	landShares  []float64
	comeShares  []float64
}

// Source is one door of the brand, with the write key its events carry.
type Source struct {
	ID  string `yaml:"id"`
	Key string `yaml:"key"`
}

// Country says where shoppers live and what they are called.
type Country struct {
	ID       string   `yaml:"id"`
	Share    float64  `yaml:"share"`
	Zone     string   `yaml:"zone"`
	Locale   string   `yaml:"locale"`
	Cities   []string `yaml:"cities"`
	Given    []string `yaml:"given"`
	Surnames []string `yaml:"surnames"`
	// Phone is a pattern of numbers reserved for fiction; each # is a digit.
	// As many shoppers have a phone as the pattern has numbers.
	Phone string `yaml:"phone"`

	zone *time.Location
}

// Acquisition is a way in which newcomers find the brand.
type Acquisition struct {
	Source   string  `yaml:"source"`
	Medium   string  `yaml:"medium"`
	Campaign string  `yaml:"campaign"`
	Share    float64 `yaml:"share"`
}

// ShopperType is a kind of shopper: the means around which shoppers of the type vary.
type ShopperType struct {
	ID            string  `yaml:"id"`
	Share         float64 `yaml:"share"`
	VisitsPerWeek float64 `yaml:"visitsPerWeek"`
	// Evenness is the shape of the gamma distribution of visit rates: the
	// smaller, the heavier the tail.
	Evenness float64 `yaml:"evenness"`
	// Convert is the chance that a visit ends in an order at middling need.
	Convert float64 `yaml:"convert"`
	// Budget scales how many things go into a basket and how dear they may be.
	Budget           float64            `yaml:"budget"`
	Patience         float64            `yaml:"patience"`
	PriceSensitivity float64            `yaml:"priceSensitivity"`
	Weeks            float64            `yaml:"weeks"` // mean time before drifting away
	Owns             float64            `yaml:"owns"`  // chance of owning a machine from the start
	Consents         float64            `yaml:"consents"`
	SignsUp          float64            `yaml:"signsUp"` // chance per visit
	Rhythm           string             `yaml:"rhythm"`
	Channels         map[string]float64 `yaml:"channels"`
	Tastes           map[string]float64 `yaml:"tastes"`

	tastes   vector
	hours    []float64 // cumulative
	channels [channels]float64
}

// Category groups products. Lasts is how many days one unit lasts; 0 is for
// things that are not used up. Machine marks the things that make an owner.
type Category struct {
	ID      string  `yaml:"id"`
	Title   string  `yaml:"title"`
	Lasts   float64 `yaml:"lasts"`
	Machine bool    `yaml:"machine"`
}

// Product is something to buy.
type Product struct {
	SKU      string             `yaml:"sku"`
	Name     string             `yaml:"name"`
	Category string             `yaml:"category"`
	Price    float64            `yaml:"price"`
	Margin   float64            `yaml:"margin"` // share of the price
	Popular  float64            `yaml:"popular"`
	Tastes   map[string]float64 `yaml:"tastes"`

	category int
	tastes   vector
	path     string
}

// Search is something shoppers look for; Results of 0 is unmet demand.
type Search struct {
	Query    string `yaml:"query"`
	Results  int    `yaml:"results"`
	Category string `yaml:"category"`
}

// Placement is a place where shoppers meet decisions: At is home, product,
// cart (of the web shop) or app.
type Placement struct {
	ID string `yaml:"id"`
	At string `yaml:"at"`
}

// Action is the truth about one action of the configuration.
type Action struct {
	ID         string   `yaml:"id"`
	Placements []string `yaml:"placements"`
	// Click is the chance that a neutral shopper follows it.
	Click float64 `yaml:"click"`
	// Buy is the chance that a click becomes an order that would not have come otherwise.
	Buy float64 `yaml:"buy"`
	// SKU or Category is what that order is of; with neither, of the shopper's own choice.
	SKU      string  `yaml:"sku"`
	Category string  `yaml:"category"`
	Discount float64 `yaml:"discount"`
	// Worth is the value of a click in itself, Cost that of showing it.
	Worth float64 `yaml:"worth"`
	Cost  float64 `yaml:"cost"`
	// Tastes shift the log-odds of a click by their product with the shopper's;
	// Deal does so with price sensitivity, centred on 0.5 and doubled.
	Tastes map[string]float64 `yaml:"tastes"`
	Deal   float64            `yaml:"deal"`
	// Machine is "needs" or "lacks": to anybody else it means little.
	Machine string `yaml:"machine"`
	Hours   *Hours `yaml:"hours"`
	// Annoys is the chance that somebody without patience who does not click minds it.
	Annoys float64 `yaml:"annoys"`
	// Weary is the fall in log-odds for each time it was seen in the last
	// week. 0 is 0.25; below 0 is none.
	Weary float64 `yaml:"weary"`
	// Answers names the trait a click answers, for questions.
	Answers string `yaml:"answers"`

	tastes   vector
	product  int // index, or -1
	category int // index, or -1
}

// Hours lift the log-odds of a click from From up to To, local time.
type Hours struct {
	From int     `yaml:"from"`
	To   int     `yaml:"to"`
	Lift float64 `yaml:"lift"`
}

const maxTastes = 8

type vector [maxTastes]float64

func (v vector) dot(o vector) (s float64) {
	for i := range v {
		s += v[i] * o[i]
	}
	return s
}

// channel is a door through which events come, in the order of channelNames.
type channel uint8

const (
	web channel = iota
	app
	till
	support
	mail
	channels // how many
)

var channelNames = [channels]string{"web", "app", "till", "support", "mail"}

// Northbean returns the built-in world and the configuration documents that go
// with it, one YAML file each.
func Northbean() (*World, fs.FS, error) { return builtin("northbean.yaml", "config") }

// Trial returns a small world in which an action with a true click rate of 6 %
// competes with one of 3 %, and its configuration: the shortest proof that a
// decider learns.
func Trial() (*World, fs.FS, error) { return builtin("trial.yaml", "trial") }

func builtin(world, config string) (*World, fs.FS, error) {
	b, err := files.ReadFile(world)
	if err != nil {
		return nil, nil, err
	}
	w, err := Load(b)
	if err != nil {
		return nil, nil, err
	}
	documents, err := fs.Sub(files, config)
	return w, documents, err
}

// Load reads a world file. It returns an Invalid error that names the line of
// an unknown field, or the field that makes no sense.
func Load(b []byte) (*World, error) {
	w := new(World)
	if err := yaml.UnmarshalWithOptions(b, w, yaml.Strict()); err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "read the world file: %w", err), "docs/world-file.md explains every field")
	}
	if err := w.compile(); err != nil {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "the world file: %w", err), "docs/world-file.md explains every field")
	}
	return w, nil
}

func (w *World) compile() error {
	switch {
	case w.Name == "" || w.Currency == "":
		return fmt.Errorf("world and currency must be set")
	case w.Shoppers < 1 || w.Shoppers > 10_000_000:
		return fmt.Errorf("shoppers is %d, not between 1 and 10,000,000", w.Shoppers)
	case w.Days < 1 || w.Days > 1000:
		return fmt.Errorf("days is %d, not between 1 and 1000", w.Days)
	case len(w.Tastes) > maxTastes:
		return fmt.Errorf("%d tastes; at most %d", len(w.Tastes), maxTastes)
	case len(w.Countries) == 0 || len(w.Types) == 0 || len(w.Categories) == 0 || len(w.Products) == 0:
		return fmt.Errorf("countries, types, categories and products must not be empty")
	case len(w.Categories) > maxCategories:
		return fmt.Errorf("%d categories; at most %d", len(w.Categories), maxCategories)
	case !(w.Newcomers >= 0 && w.Newcomers <= 1) || !(w.Annoyance >= 0 && w.Annoyance <= 1e6):
		return fmt.Errorf("newcomers is not a share, or annoyance below 0")
	case slices.ContainsFunc(w.Categories, func(c Category) bool { return !(c.Lasts >= 0 && c.Lasts <= 10_000) }):
		return fmt.Errorf("a category lasts between 0 and 10,000 days")
	case slices.ContainsFunc(slices.Concat(w.Weekdays, w.Months), func(x float64) bool { return !(x >= 0 && x <= 100) }):
		return fmt.Errorf("weekdays and months are weights between 0 and 100")
	}
	if w.Weekdays == nil {
		w.Weekdays = slices.Repeat([]float64{1}, 7)
	}
	if w.Months == nil {
		w.Months = slices.Repeat([]float64{1}, 12)
	}
	if len(w.Weekdays) != 7 || len(w.Months) != 12 {
		return fmt.Errorf("weekdays need 7 weights and months 12")
	}
	if w.Domain == "" {
		w.Domain = w.Name + ".example"
	}
	for _, c := range channelNames {
		if w.Sources[c].ID == "" || w.Sources[c].Key == "" {
			return fmt.Errorf("sources.%s needs an id and a key", c)
		}
	}
	for i := range w.Countries {
		c := &w.Countries[i]
		zone, err := time.LoadLocation(c.Zone)
		if err != nil {
			return fmt.Errorf("country %s: %w", c.ID, err)
		}
		c.zone = zone
		if len(c.Cities) == 0 || len(c.Given) == 0 || len(c.Surnames) == 0 {
			return fmt.Errorf("country %s needs cities, given and surnames", c.ID)
		}
		w.landShares = append(w.landShares, c.Share)
	}
	if len(w.Acquisition) == 0 {
		w.Acquisition = []Acquisition{{Source: "direct", Medium: "none", Share: 1}}
	}
	for _, a := range w.Acquisition {
		w.comeShares = append(w.comeShares, a.Share)
	}
	for i := range w.Types {
		if err := w.compileType(&w.Types[i]); err != nil {
			return fmt.Errorf("type %s: %w", w.Types[i].ID, err)
		}
		w.typeShares = append(w.typeShares, w.Types[i].Share)
	}
	for i := range w.Products {
		p := &w.Products[i]
		p.category = w.category(p.Category)
		p.path = "/products/" + strings.ToLower(p.SKU)
		if p.SKU == "" || p.category < 0 || !(p.Price > 0 && p.Price < 1e6) || !(p.Popular > 0 && p.Popular <= 1e6) {
			return fmt.Errorf("product %q needs a sku, a known category, and a price and popularity above 0", p.SKU)
		}
		if err := w.vector(p.Tastes, &p.tastes); err != nil {
			return fmt.Errorf("product %s: %w", p.SKU, err)
		}
	}
	for _, s := range w.Searches {
		if s.Category != "" && w.category(s.Category) < 0 {
			return fmt.Errorf("search %q: no category %q", s.Query, s.Category)
		}
	}
	w.actionIndex = make(map[string]int, len(w.Actions))
	for i := range w.Actions {
		if _, twice := w.actionIndex[w.Actions[i].ID]; twice {
			return fmt.Errorf("action %s stands twice", w.Actions[i].ID)
		}
		w.actionIndex[w.Actions[i].ID] = i
		if err := w.compileAction(&w.Actions[i]); err != nil {
			return fmt.Errorf("action %s: %w", w.Actions[i].ID, err)
		}
	}
	if err := w.compileAction(&w.Unknown); err != nil {
		return fmt.Errorf("unknown: %w", err)
	}
	for _, p := range w.Placements {
		if !slices.Contains([]string{"home", "product", "cart", "app"}, p.At) {
			return fmt.Errorf("placement %s: at is %q, not home, product, cart or app", p.ID, p.At)
		}
	}
	if w.Fleet != nil {
		if err := w.Fleet.check(w); err != nil {
			return err
		}
	}
	for _, shares := range [][]float64{w.typeShares, w.landShares, w.comeShares} {
		if !accumulate(shares) {
			return fmt.Errorf("shares of types, countries and acquisition must be 0 or more, and not all 0")
		}
	}
	return nil
}

func (w *World) compileType(t *ShopperType) error {
	for _, x := range []float64{t.VisitsPerWeek, t.Evenness, t.Weeks, t.Budget} {
		if !(x >= 0.01 && x <= 10_000) { // a NaN is not
			return fmt.Errorf("visitsPerWeek, evenness, weeks and budget must be between 0.01 and 10,000")
		}
	}
	for _, p := range []float64{t.Convert, t.Patience, t.PriceSensitivity, t.Owns, t.Consents, t.SignsUp} {
		if !(p >= 0 && p <= 1) {
			return fmt.Errorf("%v is not between 0 and 1", p)
		}
	}
	if err := w.vector(t.Tastes, &t.tastes); err != nil {
		return err
	}
	t.hours = slices.Clone(w.Rhythms[t.Rhythm])
	if len(t.hours) != 24 || !accumulate(t.hours) {
		return fmt.Errorf("rhythm %q is not among rhythms, or has not 24 weights", t.Rhythm)
	}
	for name, share := range t.Channels {
		i := slices.Index(channelNames[:], name)
		if i < 0 || channel(i) == support {
			return fmt.Errorf("channel %q is not web, app, till or mail", name)
		}
		t.channels[i] = share
	}
	if !accumulate(t.channels[:]) {
		return fmt.Errorf("channels are empty")
	}
	return nil
}

func (w *World) compileAction(a *Action) error {
	a.product, a.category = -1, -1
	for _, p := range []float64{a.Click, a.Buy, a.Discount, a.Annoys} {
		if !(p >= 0 && p < 1) {
			return fmt.Errorf("%v is not in [0,1)", p)
		}
	}
	for _, x := range []float64{a.Worth, a.Cost, a.Deal, a.Weary} {
		if !(math.Abs(x) <= 1000) {
			return fmt.Errorf("%v is not between -1000 and 1000", x)
		}
	}
	if a.SKU != "" {
		a.product = slices.IndexFunc(w.Products, func(p Product) bool { return p.SKU == a.SKU })
		if a.product < 0 {
			return fmt.Errorf("no product %q", a.SKU)
		}
	}
	if a.Category != "" {
		if a.category = w.category(a.Category); a.category < 0 {
			return fmt.Errorf("no category %q", a.Category)
		}
	}
	for _, p := range a.Placements {
		if !slices.ContainsFunc(w.Placements, func(x Placement) bool { return x.ID == p }) {
			return fmt.Errorf("no placement %q", p)
		}
	}
	if a.Machine != "" && a.Machine != "needs" && a.Machine != "lacks" {
		return fmt.Errorf("machine is %q, not needs or lacks", a.Machine)
	}
	if a.Weary == 0 {
		a.Weary = 0.25
	}
	return w.vector(a.Tastes, &a.tastes)
}

func (w *World) category(id string) int {
	return slices.IndexFunc(w.Categories, func(c Category) bool { return c.ID == id })
}

func (w *World) vector(named map[string]float64, v *vector) error {
	for name, x := range named {
		i := slices.Index(w.Tastes, name)
		if i < 0 {
			return fmt.Errorf("taste %q is not among tastes", name)
		}
		if math.IsNaN(x) || math.Abs(x) > 10 {
			return fmt.Errorf("taste %s is %v, not between -10 and 10", name, x)
		}
		v[i] = x
	}
	return nil
}

// accumulate turns weights into cumulative shares ending in 1 and reports
// whether they make sense.
func accumulate(weights []float64) bool {
	sum := 0.0
	for i, x := range weights {
		if x < 0 || math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
		sum += x
		weights[i] = sum
	}
	for i := range weights {
		weights[i] /= sum
	}
	return sum > 0
}

// draw returns the index at which u in [0,1) falls into cumulative shares.
func draw(shares []float64, u float64) int {
	for i, s := range shares {
		if u < s {
			return i
		}
	}
	return len(shares) - 1
}
