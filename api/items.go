package api

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/collect/segmentwire"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/group"
)

// ItemPath is a path that names a product item.
type ItemPath struct {
	Item string `path:"item" maxLength:"2048" doc:"Item id such as 01_09506000134352_21_ABC123; a Digital Link URI or an EPC URN, percent-encoded, serves too"`
}

func (p *ItemPath) id() (string, error) { return item.Resolve(p.Item) }

func objectItem(in *ItemPath) string { id, _ := in.id(); return id }

// isDevicePath reports whether an item may speak there with its device token.
func isDevicePath(path string) bool {
	return strings.HasPrefix(path, "/v1/items/") && (strings.HasSuffix(path, "/telemetry") || strings.HasSuffix(path, "/events") || strings.HasSuffix(path, "/reported") || strings.HasSuffix(path, "/claim"))
}

func (a *API) itemOperations() {
	const tag = "Items"
	handle(a, operation{id: "create-device", method: "POST", path: "/v1/devices", tag: tag, summary: "Make an item known and give its device a token, shown once", role: access.Admin, audit: "device.create"},
		func(in *deviceIn) string { return in.Body.Item }, a.createDevice)
	handle(a, operation{id: "revoke-device", method: "DELETE", path: "/v1/devices/{item}", tag: tag, summary: "End all tokens of an item's device", role: access.Admin, status: 204, audit: "device.revoke"}, objectItem,
		func(ctx context.Context, in *ItemPath) (*noContent, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			return nil, a.deps.Items.RevokeTokens(ctx, id)
		})
	handle(a, operation{id: "list-items", method: "GET", path: "/v1/items", tag: tag, summary: "Items, page by page", role: access.Viewer}, nil, a.listItems)
	handle(a, operation{id: "item", method: "GET", path: "/v1/items/{item}", tag: tag, summary: "One item: its twin, every acknowledged fact included", role: access.Viewer}, nil,
		func(ctx context.Context, in *ItemPath) (*body[Item], error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			var out Item
			var owner rapport.ID
			var config *engine.Config
			err = a.deps.Items.View(ctx, id, func(v *engine.View, s *twin.Item) error {
				out = a.itemOf(v.Config(), s)
				out.Forecast = forecastOf(v, out.GTIN)
				if lasts := a.lastsOf(v, out.GTIN); lasts != nil {
					out.Forecast["remainingLife"] = lasts
				}
				owner, config = s.Owner.Person, v.Config()
				for _, m := range group.Read(v) {
					out.Segments = append(out.Segments, ItemMembership{m.ID, rapport.Time(m.Since)})
				}
				return nil
			})
			if err == nil {
				err = a.weighPurchases(ctx, config, out.GTIN, owner, out.Forecast)
			}
			if err != nil {
				return nil, err
			}
			out.Provenance, err = a.provenance(ctx, id, 0)
			return &body[Item]{out}, err
		})
	handle(a, operation{id: "forget-item", method: "DELETE", path: "/v1/items/{item}", tag: tag, summary: "Forget an item that should never have been known", role: access.Admin, status: 204, audit: "item.forget"}, objectItem,
		func(ctx context.Context, in *ItemPath) (*noContent, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			return nil, a.deps.Items.Forget(ctx, id)
		})
	handle(a, operation{id: "item-timeline", method: "GET", path: "/v1/items/{item}/timeline", tag: tag, summary: "What happened to an item, newest first; of its use, what its present owner may see", role: access.Viewer}, nil, a.itemTimeline)
	handle(a, operation{id: "item-series", method: "GET", path: "/v1/items/{item}/series", tag: tag, summary: "A reading over time", role: access.Viewer}, nil, a.itemSeries)
	a.itemImport(tag)
	a.itemSegments(tag)
	a.lifeOperations(tag)
	a.itemInputs(tag)
	a.itemControls(tag)
	a.itemOwners(tag)
	a.productOperations()
}

type deviceIn struct {
	Body struct {
		Item      string            `json:"item" minLength:"1" maxLength:"2048" doc:"Item id, Digital Link URI or EPC URN; the item is created if unknown"`
		Name      string            `json:"name,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9._~-]*$" doc:"A name the device may sign in with instead of the item id"`
		Tag       string            `json:"tag,omitempty" pattern:"^([0-9A-Fa-f]{14})?$" doc:"UID of the item's NFC tag"`
		ClaimCode string            `json:"claimCode,omitempty" maxLength:"64" doc:"Code packed with the item; whoever has it may claim the item"`
		Facts     map[string]string `json:"facts,omitempty" maxProperties:"16" doc:"What comes with it, such as lot and expiry"`
		Rotate    bool              `json:"rotate,omitempty" doc:"Ends earlier tokens at once"`
	}
}

type deviceAnswer struct {
	Item  string `json:"item"`
	Token string `json:"token" doc:"Shown once; kept as a hash"`
}

func (a *API) createDevice(ctx context.Context, in *deviceIn) (*body[deviceAnswer], error) {
	id, err := item.Resolve(in.Body.Item)
	if err != nil {
		return nil, err
	}
	token, err := a.deps.Items.NewToken(ctx, item.Registration{
		Item: id, Facts: in.Body.Facts, Tag: in.Body.Tag, Device: in.Body.Name, ClaimCode: in.Body.ClaimCode, By: author(ctx),
	}, in.Body.Rotate)
	return &body[deviceAnswer]{deviceAnswer{id, token}}, err
}

type itemsPage struct {
	Items []Item `json:"items"`
	Next  string `json:"next,omitempty"`
}

func (a *API) listItems(ctx context.Context, in *struct {
	Limit int    `query:"limit" default:"50" minimum:"1" maximum:"500"`
	After string `query:"after" maxLength:"100"`
	GTIN  string `query:"gtin" maxLength:"20" doc:"Only items of this product"`
	State string `query:"state" maxLength:"32" doc:"Only items in this stage"`
	Where string `query:"where" maxLength:"2000" doc:"Condition on the item, such as items.any(i, i.level < 0.2)"`
	Group string `query:"segment" maxLength:"100" doc:"Only items in this segment of items"`
},
) (*body[itemsPage], error) {
	out := &body[itemsPage]{itemsPage{Items: []Item{}}}
	var where *condition.Condition
	if in.Where != "" {
		var err error
		if where, err = condition.Parse(in.Where); err != nil {
			return nil, err
		}
		if err := where.EventFree(); err != nil {
			return nil, err
		}
	}
	config := a.config(ctx)
	var member *condition.Condition
	if in.Group != "" {
		d := groupsOf(config).Get(in.Group)
		if d == nil {
			return nil, rapport.Errorf(rapport.NotFound, "there is no segment of items %q", in.Group)
		}
		member = d.When
	}
	after := in.After
	// A page may need several steps when few items match; the work of one request is bounded.
	for range 40 {
		next, err := a.deps.Items.List(ctx, after, min(in.Limit-len(out.Body.Items), 500), func(s *twin.Item) error {
			if in.GTIN != "" && s.Key().GTIN() != fill14(in.GTIN) || in.State != "" && string(s.Stage()) != in.State {
				return nil
			}
			if where != nil && !where.Holds(twin.ItemEnv(s, config, a.deps.Clock.Now())) {
				return nil
			}
			if member != nil && !member.Holds(twin.ItemEnv(s, config, a.deps.Clock.Now())) {
				return nil
			}
			out.Body.Items = append(out.Body.Items, a.itemOf(config, s))
			return nil
		})
		if err != nil {
			return nil, err
		}
		if after = next; after == "" || len(out.Body.Items) >= in.Limit {
			break
		}
	}
	out.Body.Next = after
	return out, nil
}

func fill14(gtin string) string {
	if len(gtin) < 14 {
		return "00000000000000"[:14-len(gtin)] + gtin
	}
	return gtin
}

// config returns the configuration one of the partitions has adopted.
func (a *API) config(ctx context.Context) (c *engine.Config) {
	_ = a.deps.Engine.View(ctx, rapport.ID{}, []engine.Token{}, func(v *engine.View) error {
		c = v.Config()
		return nil
	})
	return c
}

func (a *API) itemTimeline(ctx context.Context, in *struct {
	ItemPath
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"1000"`
	Before string `query:"before" maxLength:"100"`
},
) (*body[timelinePage], error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	s, err := a.deps.Items.Item(ctx, id)
	if err != nil {
		return nil, err
	}
	page, err := a.timeline(ctx, a.deps.Items.EntityOf(id).String(), in.Limit, in.Before, true)
	if err != nil {
		return nil, err
	}
	kept := page.Events[:0]
	for _, e := range page.Events {
		delete(e.Properties, "hash")
		delete(e.Properties, "claimHash")
		delete(e.Properties, "offer")
		if supply := e.Event == twin.EventMoved || e.Event == twin.EventRegistered || e.Event == twin.EventRecalled; !supply {
			delete(e.Properties, "person")
			if rapport.Millis(e.Timestamp) < s.EpochAt {
				continue // the use of a former owner is not the present one's to see
			}
		}
		kept = append(kept, e)
	}
	page.Events = kept
	return &body[timelinePage]{page}, nil
}

type seriesAnswer struct {
	Reading string        `json:"reading"`
	Step    string        `json:"step"`
	Points  []SeriesPoint `json:"points"`
}

// SeriesPoint is a reading at a moment, or the numbers of an hour or a day.
type SeriesPoint struct {
	At   time.Time `json:"at"`
	N    int64     `json:"n"`
	Mean float64   `json:"mean"`
	Min  float64   `json:"min"`
	Max  float64   `json:"max"`
}

func (a *API) itemSeries(ctx context.Context, in *struct {
	ItemPath
	Reading string    `query:"reading" required:"true" maxLength:"40"`
	Step    string    `query:"step" enum:"raw,hour,day" default:"raw" doc:"raw: the newest 1,024; hour: 90 days; day: two years"`
	Since   time.Time `query:"since"`
},
) (*body[seriesAnswer], error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	step := map[string]twin.Step{"raw": twin.Raw, "hour": twin.Hourly, "day": twin.Daily}[in.Step]
	since := int64(0)
	if !in.Since.IsZero() {
		since = rapport.Millis(in.Since)
	}
	out := seriesAnswer{Reading: in.Reading, Step: in.Step, Points: []SeriesPoint{}}
	err = a.deps.Items.View(ctx, id, func(v *engine.View, _ *twin.Item) error {
		points, err := twin.Series(v, in.Reading, step, since)
		for _, p := range points {
			out.Points = append(out.Points, SeriesPoint{rapport.Time(p.At), p.N, p.Mean, p.Min, p.Max})
		}
		return err
	})
	return &body[seriesAnswer]{out}, err
}

type itemInput struct {
	ItemPath
	Authorization string `header:"Authorization"`
	Body          json.RawMessage
}

type acceptedAnswer struct {
	Accepted int `json:"accepted"`
}

// itemInputs are what an item says of itself, by its device token or a token with the role source.
func (a *API) itemInputs(tag string) {
	for _, x := range []struct {
		path, summary string
		channel       item.Channel
	}{
		{"telemetry", "Readings of an item: {at?, seq?, name: value...}, or a list of such", item.Telemetry},
		{"events", "Something happened to an item: {event, at?, seq?, properties?}, or a list of such", item.Events},
		{"reported", "What an item reports of its state: a merge patch", item.Reported},
	} {
		handle(a, operation{id: "item-" + x.path, method: "POST", path: "/v1/items/{item}/" + x.path, tag: tag, summary: x.summary}, nil,
			func(ctx context.Context, in *itemInput) (*body[acceptedAnswer], error) {
				id, err := a.speaker(ctx, in)
				if err != nil {
					return nil, err
				}
				n, err := a.itemSend(ctx, id, x.channel, in.Body)
				return &body[acceptedAnswer]{acceptedAnswer{n}}, err
			})
	}
}

// speaker checks that the caller may speak for the item.
func (a *API) speaker(ctx context.Context, in *itemInput) (string, error) {
	id, err := in.id()
	if err != nil {
		return "", err
	}
	if p, ok := principal(ctx); ok {
		if !p.Role.Includes(access.Source) {
			return "", rapport.Errorf(rapport.Denied, "the role %s may not speak for items; it needs source", p.Role)
		}
		_, err := a.deps.Items.Item(ctx, id)
		return id, err
	}
	token, _ := strings.CutPrefix(in.Authorization, "Bearer ")
	if !strings.HasPrefix(token, item.TokenPrefix) {
		return "", rapport.WithHint(rapport.Errorf(rapport.Unauthenticated, "this needs the item's device token"), "send Authorization: Bearer rdt_...")
	}
	got, err := a.deps.Items.Authenticate(ctx, id, strings.TrimSpace(token))
	if err == nil && got != id {
		err = rapport.Errorf(rapport.Denied, "the token is another item's")
	}
	return id, err
}

// maxInputs is the most inputs one request may bring.
const maxInputs = 1000

func (a *API) itemSend(ctx context.Context, id string, channel item.Channel, raw json.RawMessage) (int, error) {
	list := []json.RawMessage{raw}
	if trimmed := strings.TrimSpace(string(raw[:min(len(raw), 64)])); strings.HasPrefix(trimmed, "[") {
		if err := json.Unmarshal(raw, &list); err != nil {
			return 0, rapport.Errorf(rapport.Invalid, "the list is not JSON: %v", err)
		}
	}
	if len(list) > maxInputs {
		return 0, rapport.Errorf(rapport.TooLarge, "%d inputs, at most %d at a time", len(list), maxInputs)
	}
	// All are queued before the first is waited for: they share the log's commits.
	waiting := make([]eventlog.Pending, 0, len(list))
	var refused error
	for i, one := range list {
		p, err := a.deps.Items.Input(id, channel, one)
		if err != nil {
			refused = err
			if len(list) > 1 {
				refused = rapport.WithHint(rapport.Errorf(rapport.KindOf(err), "input %d: %w", i, err), "the %d before it were accepted", i)
			}
			break
		}
		waiting = append(waiting, p)
	}
	for _, p := range waiting {
		if err := p.Wait(context.WithoutCancel(ctx)); err != nil {
			return 0, err
		}
	}
	if refused != nil {
		return len(waiting), refused
	}
	return len(list), nil
}

type desiredIn struct {
	ItemPath
	Body json.RawMessage
}

type desiredAnswer struct {
	Desired map[string]any `json:"desired"`
	Delta   map[string]any `json:"delta" doc:"What the item does not report yet"`
	Version int64          `json:"version"`
}

type commandIn struct {
	ItemPath
	Body struct {
		Name    string          `json:"name" minLength:"1" maxLength:"64"`
		Args    json.RawMessage `json:"args,omitempty"`
		Expires string          `json:"expires,omitempty" doc:"How long it may wait for the item to be connected, such as 1h; default 24h, at most 720h"`
		Timeout string          `json:"timeout,omitempty" doc:"How long the item may take from receiving it, such as 30s; default 1m, at most 24h"`
	}
}

func (a *API) itemControls(tag string) {
	handle(a, operation{id: "desire", method: "PATCH", path: "/v1/items/{item}/desired", tag: tag, summary: "Change what is wanted of an item, by a merge patch", role: access.Marketer, audit: "item.desire"},
		func(in *desiredIn) string { return objectItem(&in.ItemPath) },
		func(ctx context.Context, in *desiredIn) (*body[desiredAnswer], error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			patch, err := segmentwire.Object(in.Body)
			if err != nil {
				return nil, err
			}
			s, err := a.deps.Items.Desire(ctx, id, patch)
			if err != nil {
				return nil, err
			}
			return &body[desiredAnswer]{desiredAnswer{s.Desired.Document.Map(), twin.Delta(s.Desired.Document, s.Reported.Document).Map(), s.Desired.Version}}, nil
		})
	handle(a, operation{id: "command", method: "POST", path: "/v1/items/{item}/commands", tag: tag, summary: "Ask an item to do something", role: access.Marketer, status: 202, audit: "item.command"},
		func(in *commandIn) string { return objectItem(&in.ItemPath) }, a.command)
	handle(a, operation{id: "cancel-command", method: "DELETE", path: "/v1/items/{item}/commands/{id}", tag: tag, summary: "Take a command back that is not over", role: access.Marketer, status: 204, audit: "item.command.cancel"},
		func(in *commandPath) string { return in.ID },
		func(ctx context.Context, in *commandPath) (*noContent, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			return nil, a.deps.Items.Cancel(ctx, id, in.ID)
		})
}

type commandPath struct {
	ItemPath
	ID string `path:"id" maxLength:"64"`
}

func (a *API) command(ctx context.Context, in *commandIn) (*body[ItemCommand], error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	ask := item.Ask{Name: in.Body.Name, By: author(ctx)}
	if len(in.Body.Args) > 0 {
		if ask.Args, err = segmentwire.Object(in.Body.Args); err != nil {
			return nil, err
		}
	}
	for _, x := range []struct {
		name, text string
		most       time.Duration
		to         *time.Duration
	}{{"expires", in.Body.Expires, 720 * time.Hour, &ask.Expires}, {"timeout", in.Body.Timeout, 24 * time.Hour, &ask.Timeout}} {
		if x.text == "" {
			continue
		}
		d, err := rapport.ParseDuration(x.text)
		if err != nil || d <= 0 || d.Std() > x.most {
			return nil, rapport.Errorf(rapport.Invalid, "%s is a duration above 0 and at most %s, such as 30s", x.name, x.most)
		}
		*x.to = d.Std()
	}
	c, err := a.deps.Items.Command(ctx, id, ask)
	if err != nil {
		return nil, err
	}
	return &body[ItemCommand]{commandOf(c)}, nil
}

// productOf returns what the catalogue says of an item.
func productOf(c *engine.Config, gtin string) *catalog.ProductDoc {
	products, _ := c.Part(catalog.Part).(*catalog.Catalog)
	return products.Product(gtin)
}
