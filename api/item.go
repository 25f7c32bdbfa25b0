package api

import (
	"context"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/gs1"
	"github.com/rapport-engine/rapport/twin"
)

// Item is one product item, as everything known of it says now.
type Item struct {
	ID              string                 `json:"id"`
	URI             string                 `json:"uri" doc:"Canonical GS1 Digital Link"`
	GTIN            string                 `json:"gtin"`
	Serial          string                 `json:"serial"`
	Product         *ItemProduct           `json:"product,omitempty"`
	State           string                 `json:"state" doc:"Stage of its life"`
	Stages          []ItemStage            `json:"stages"`
	Owner           string                 `json:"owner,omitempty" doc:"Person id"`
	OwnedSince      *time.Time             `json:"ownedSince,omitempty"`
	Proof           string                 `json:"proof,omitempty"`
	Household       []ItemMember           `json:"household"`
	Epoch           uint32                 `json:"epoch" doc:"Changes of owner so far"`
	Telemetry       map[string]any         `json:"telemetry" doc:"latest holds the newest value of each reading; each also stands under its own name"`
	Readings        map[string]ItemReading `json:"readings" doc:"Statistics of the numbers since the present owner has it"`
	Reported        map[string]any         `json:"reported"`
	ReportedVersion int64                  `json:"reportedVersion"`
	Desired         map[string]any         `json:"desired"`
	DesiredVersion  int64                  `json:"desiredVersion"`
	Delta           map[string]any         `json:"delta" doc:"What is desired and not reported yet"`
	Firmware        string                 `json:"firmware"`
	Seal            string                 `json:"seal,omitempty"`
	Location        *ItemPlace             `json:"location,omitempty"`
	Warranty        *ItemWarranty          `json:"warranty,omitempty"`
	Recall          *ItemRecall            `json:"recall,omitempty" doc:"The recall that began last of those it is under"`
	Recalls         []ItemRecall           `json:"recalls,omitempty" doc:"All recalls it is under, oldest first"`
	Facts           map[string]string      `json:"facts"`
	Provenance      []ItemStep             `json:"provenance"`
	Parents         []ItemParent           `json:"parents"`
	Commands        []ItemCommand          `json:"commands"`
	Moments         map[string]int64       `json:"moments"`
	Forecast        map[string]any         `json:"forecast"`
	Scores          map[string]float64     `json:"scores" doc:"What is foretold of it, as told last: remaining_life, in days"`
	Computed        map[string]any         `json:"computed" doc:"Computed traits of items, by id"`
	Segments        []ItemMembership       `json:"segments,omitempty" doc:"Segments of items it is in; on its own page, not in lists"`
	Connected       bool                   `json:"connected"`
	Taps            int64                  `json:"taps"`
	Rejected        []ItemProblem          `json:"rejected" doc:"Latest inputs that could not be read"`
	RegisteredAt    time.Time              `json:"registeredAt"`
	SeenAt          *time.Time             `json:"seenAt,omitempty" doc:"Last heard of by itself"`
	Version         int64                  `json:"version"`
}

// ItemProduct is what the catalogue says of it, in short.
type ItemProduct struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Brand    string `json:"brand,omitempty"`
	Category string `json:"category,omitempty"`
	Image    string `json:"image,omitempty"`
}

// ItemStage is a stage with when the item was first and last in it.
type ItemStage struct {
	Stage string    `json:"stage"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// ItemMember is somebody of the household.
type ItemMember struct {
	Person string    `json:"person"`
	Role   string    `json:"role"`
	Since  time.Time `json:"since"`
}

// ItemReading is a reading with its statistics.
type ItemReading struct {
	Value     any       `json:"value"`
	At        time.Time `json:"at"`
	Count     int64     `json:"count"`
	Mean      float64   `json:"mean"`
	Deviation float64   `json:"deviation"`
	Min       float64   `json:"min"`
	Max       float64   `json:"max"`
	Fast      float64   `json:"fast" doc:"Weighted mean of about the last 8"`
	Slow      float64   `json:"slow" doc:"Weighted mean of about the last 128"`
}

// ItemPlace is where it said it is.
type ItemPlace struct {
	Latitude  float64   `json:"latitude"`
	Longitude float64   `json:"longitude"`
	Name      string    `json:"name,omitempty"`
	At        time.Time `json:"at"`
}

// ItemWarranty is how long the maker stands for it.
type ItemWarranty struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	Valid bool      `json:"valid"`
}

// ItemRecall is a recall it is under.
type ItemRecall struct {
	ID           string    `json:"id"`
	Reason       string    `json:"reason"`
	Instructions string    `json:"instructions,omitempty"`
	URL          string    `json:"url,omitempty"`
	At           time.Time `json:"at"`
}

// ItemStep is one step of its way.
type ItemStep struct {
	At          time.Time `json:"at"`
	Stage       string    `json:"stage,omitempty"`
	Event       string    `json:"event,omitempty"`
	BizStep     string    `json:"bizStep,omitempty"`
	Disposition string    `json:"disposition,omitempty"`
	Location    string    `json:"location,omitempty"`
	ReadPoint   string    `json:"readPoint,omitempty"`
	Within      string    `json:"within,omitempty" doc:"The container it was in, whose step it was"`
}

// ItemParent is a container it was in.
type ItemParent struct {
	Item string     `json:"item"`
	From time.Time  `json:"from"`
	To   *time.Time `json:"to,omitempty"`
}

// ItemCommand is something it was asked to do.
type ItemCommand struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Args    map[string]any `json:"args"`
	State   string         `json:"state" enum:"waiting,sent,done,failed,refused,expired,timedOut,canceled"`
	At      time.Time      `json:"at"`
	Expires time.Time      `json:"expires"`
	Changed time.Time      `json:"changed"`
	Result  map[string]any `json:"result,omitempty"`
	By      string         `json:"by,omitempty"`
}

// ItemProblem is an input that could not be read.
type ItemProblem struct {
	At      time.Time `json:"at"`
	Problem string    `json:"problem"`
}

func (a *API) itemOf(config *engine.Config, s *twin.Item) Item {
	k := s.Key()
	out := Item{
		ID: s.ID, URI: k.Canonical(), GTIN: k.GTIN(), Serial: k.Serial(), State: string(s.Stage()), Epoch: s.Epoch,
		Telemetry: map[string]any{}, Readings: map[string]ItemReading{}, Reported: s.Reported.Document.Map(), ReportedVersion: s.Reported.Version,
		Desired: s.Desired.Document.Map(), DesiredVersion: s.Desired.Version, Delta: twin.Delta(s.Desired.Document, s.Reported.Document).Map(),
		Firmware: s.Firmware, Seal: s.Seal, Facts: map[string]string{}, Moments: map[string]int64{}, Forecast: map[string]any{}, Connected: s.Connected,
		Taps: s.Taps, RegisteredAt: rapport.Time(s.Registered), Version: s.Version, Household: []ItemMember{}, Stages: []ItemStage{},
		Provenance: steps(s.Steps, ""), Parents: []ItemParent{}, Commands: []ItemCommand{}, Rejected: []ItemProblem{},
	}
	if !s.Owner.Person.IsZero() {
		out.Owner, out.Proof = a.deps.Identity.Person(s.Owner.Person).String(), s.Owner.Proof
		since := rapport.Time(s.Owner.Since)
		out.OwnedSince = &since
	}
	for _, m := range s.Members {
		out.Household = append(out.Household, ItemMember{a.deps.Identity.Person(m.Person).String(), m.Role, rapport.Time(m.Since)})
	}
	latest := map[string]any{}
	for i := range s.Readings {
		r := &s.Readings[i]
		value := r.Value().Any()
		latest[r.Name], out.Telemetry[r.Name] = value, value
		out.Readings[r.Name] = ItemReading{value, rapport.Time(r.At), int64(r.Count), r.Mean, r.Deviation(), r.Min, r.Max, r.Fast, r.Slow}
	}
	out.Telemetry["latest"] = latest
	for _, t := range s.Stages {
		out.Stages = append(out.Stages, ItemStage{string(t.Stage), rapport.Time(t.First), rapport.Time(t.Last)})
	}
	for _, f := range s.Facts {
		out.Facts[f.Name] = f.Value
	}
	for _, m := range s.Moments {
		out.Moments[m.Name] = m.Count
	}
	for _, p := range s.Parents {
		x := ItemParent{Item: p.ID, From: rapport.Time(p.From)}
		if p.To != 0 {
			to := rapport.Time(p.To)
			x.To = &to
		}
		out.Parents = append(out.Parents, x)
	}
	for i := range s.Commands {
		out.Commands = append(out.Commands, commandOf(&s.Commands[i]))
	}
	for _, r := range s.Rejected {
		out.Rejected = append(out.Rejected, ItemProblem{rapport.Time(r.At), r.Problem})
	}
	if s.Place.At != 0 {
		out.Location = &ItemPlace{s.Place.Latitude, s.Place.Longitude, s.Place.Name, rapport.Time(s.Place.At)}
	}
	for i := range s.Recalls {
		r := &s.Recalls[i]
		out.Recalls = append(out.Recalls, ItemRecall{r.ID, r.Reason, r.Instructions, r.URL, rapport.Time(r.At)})
		out.Recall = &out.Recalls[i]
	}
	if s.Seen != 0 {
		seen := rapport.Time(s.Seen)
		out.SeenAt = &seen
	}
	out.Scores = map[string]float64{}
	for _, x := range s.Scores {
		out.Scores[x.Name] = x.Value
	}
	out.Computed = s.Computed(config, a.deps.Clock.Now())
	if p := productOf(config, out.GTIN); p != nil {
		out.Product = &ItemProduct{p.ID, p.Name, p.Brand, p.Category, p.Image}
		if from, until, ok := s.Warranty(p.Warranty.For.Millis()); ok {
			out.Warranty = &ItemWarranty{rapport.Time(from), rapport.Time(until), rapport.Millis(a.deps.Clock.Now()) <= until}
		}
	}
	return out
}

func steps(list []twin.ChainStep, within string) []ItemStep {
	out := []ItemStep{}
	for _, s := range list {
		out = append(out, ItemStep{rapport.Time(s.At), string(s.Stage), s.Event, s.BizStep, s.Disposition, s.Location, s.ReadPoint, within})
	}
	return out
}

func commandOf(c *twin.Command) ItemCommand {
	return ItemCommand{
		ID: c.ID, Name: c.Name, Args: c.Args.Map(), State: string(c.State), At: rapport.Time(c.At), Expires: rapport.Time(c.Expires),
		Changed: rapport.Time(c.Changed), Result: c.Result.Map(), By: c.By,
	}
}

// maxNesting is how many containers in containers a provenance follows.
const maxNesting = 8

// provenance returns an item's way, with that of its containers while it was in them.
func (a *API) provenance(ctx context.Context, id string, depth int) ([]ItemStep, error) {
	s, err := a.deps.Items.Item(ctx, id)
	if err != nil {
		return nil, err
	}
	out := steps(s.Steps, "")
	if depth < maxNesting {
		for _, p := range s.Parents {
			theirs, err := a.provenance(ctx, p.ID, depth+1)
			if rapport.KindOf(err) == rapport.NotFound {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, x := range theirs {
				at := rapport.Millis(x.At)
				known := slices.ContainsFunc(out, func(o ItemStep) bool { return o.Event != "" && o.Event == x.Event })
				if at < p.From || p.To != 0 && at > p.To || known {
					continue
				}
				if x.Within == "" {
					x.Within = p.ID
				}
				out = append(out, x)
			}
		}
	}
	slices.SortStableFunc(out, func(x, y ItemStep) int { return x.At.Compare(y.At) })
	return out, nil
}

func (a *API) productOperations() {
	handle(a, operation{id: "list-products", method: "GET", path: "/v1/products", tag: "Items", summary: "The catalogue", role: access.Viewer}, nil,
		func(ctx context.Context, _ *struct{}) (*body[[]ItemProductFull], error) {
			c, _ := a.config(ctx).Part(catalog.Part).(*catalog.Catalog)
			out := []ItemProductFull{}
			for _, p := range c.All() {
				out = append(out, productFull(p))
			}
			return &body[[]ItemProductFull]{out}, nil
		})
	handle(a, operation{id: "product", method: "GET", path: "/v1/products/{gtin}", tag: "Items", summary: "One product of the catalogue", role: access.Viewer}, nil,
		func(ctx context.Context, in *struct {
			GTIN string `path:"gtin" maxLength:"20"`
		},
		) (*body[ItemProductFull], error) {
			g, err := gs1.ParseGTIN(in.GTIN)
			if err != nil {
				return nil, err
			}
			p := productOf(a.config(ctx), g)
			if p == nil {
				return nil, rapport.Errorf(rapport.NotFound, "there is no product with the GTIN %s", g)
			}
			return &body[ItemProductFull]{productFull(p)}, nil
		})
}

// ItemProductFull is a product of the catalogue.
type ItemProductFull struct {
	ItemProduct
	GTIN        string              `json:"gtin"`
	SKUs        []string            `json:"skus"`
	Description string              `json:"description,omitempty"`
	URL         string              `json:"url,omitempty"`
	Passport    catalog.PassportDoc `json:"passport"`
	Attributes  map[string]string   `json:"attributes"`
}

func productFull(p *catalog.ProductDoc) ItemProductFull {
	out := ItemProductFull{ItemProduct{p.ID, p.Name, p.Brand, p.Category, p.Image}, p.GTIN, p.SKUs, p.Description, p.URL, p.Passport, p.Attributes}
	if out.SKUs == nil {
		out.SKUs = []string{}
	}
	if out.Attributes == nil {
		out.Attributes = map[string]string{}
	}
	return out
}

// itemsOf returns the ids of the items the person of a view holds.
func itemsOf(v *engine.View) []string {
	out := []string{}
	for _, t := range twin.ReadThings(v) {
		out = append(out, t.Item)
	}
	return out
}
