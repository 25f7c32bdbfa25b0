package api

import (
	"context"
	"strconv"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/twin"
)

// MaxItemImport is the most items one request may bring.
const MaxItemImport = 1000

// ItemEntry is an item that comes from elsewhere.
type ItemEntry struct {
	Item      string            `json:"item" minLength:"1" maxLength:"2048" doc:"Item id, Digital Link URI or EPC URN"`
	At        *time.Time        `json:"at,omitempty" doc:"When it came into the world; now if left out"`
	Stage     string            `json:"stage,omitempty" enum:"commissioned,packed,shipped,received,onShelf,sold" doc:"Stage of its life it is in since then"`
	Facts     map[string]string `json:"facts,omitempty" maxProperties:"16" doc:"What comes with it, such as lot and expiry"`
	Name      string            `json:"name,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9._~-]*$" doc:"A name its device may sign in with"`
	Tag       string            `json:"tag,omitempty" pattern:"^([0-9A-Fa-f]{14})?$" doc:"UID of its NFC tag"`
	ClaimCode string            `json:"claimCode,omitempty" maxLength:"64" doc:"Code packed with it"`
	NewCode   bool              `json:"newCode,omitempty" doc:"Make a claim code if it has none"`
	Token     bool              `json:"token,omitempty" doc:"Make a device token"`
	Owner     *decidePerson     `json:"owner,omitempty" doc:"Whose it is; takes effect only while it is nobody's"`
	OwnedAt   *time.Time        `json:"ownedAt,omitempty" doc:"Since when; now if left out"`
}

// EnteredItem is what became of an entry.
type EnteredItem struct {
	Item      string `json:"item"`
	Token     string `json:"token,omitempty" doc:"Shown once; kept as a hash"`
	ClaimCode string `json:"claimCode,omitempty" doc:"Shown once; kept as a hash"`
	Problem   string `json:"problem,omitempty" doc:"Why it was left out, or its owner did not become it"`
}

type itemImportIn struct {
	Body struct {
		Items  []ItemEntry `json:"items" minItems:"1" maxItems:"1000"`
		Rotate bool        `json:"rotate,omitempty" doc:"Ends earlier tokens of the devices that get one"`
	}
}

type itemImportAnswer struct {
	Accepted int           `json:"accepted"`
	Items    []EnteredItem `json:"items" doc:"In the order of the request"`
}

func (a *API) itemImport(tag string) {
	handle(a, operation{
		id: "import-items", method: "POST", path: "/v1/items/import", tag: tag, role: access.Admin, audit: "item.import", maxBody: 8 << 20,
		summary: "Make up to 1000 items known at once, with devices, claim codes and owners; one that is wrong does not stop the others",
	}, func(in *itemImportIn) string { return strconv.Itoa(len(in.Body.Items)) + " items" }, a.importItems)
}

func (a *API) importItems(ctx context.Context, in *itemImportIn) (*body[itemImportAnswer], error) {
	out := itemImportAnswer{Items: make([]EnteredItem, len(in.Body.Items))}
	var list []item.Entry
	var place []int
	for i := range in.Body.Items {
		x := &in.Body.Items[i]
		e, err := x.entry(author(ctx))
		if err != nil {
			out.Items[i] = EnteredItem{Item: x.Item, Problem: err.Error()}
			continue
		}
		list, place = append(list, e), append(place, i)
	}
	entered, err := a.deps.Items.Import(ctx, list, in.Body.Rotate)
	if err != nil {
		return nil, err
	}
	for i, e := range entered {
		out.Items[place[i]] = EnteredItem(e)
		if e.Problem == "" {
			out.Accepted++
		}
	}
	return &body[itemImportAnswer]{out}, nil
}

func (x *ItemEntry) entry(by string) (e item.Entry, err error) {
	e.Registration = item.Registration{Facts: x.Facts, Stage: twin.Stage(x.Stage), Tag: x.Tag, Device: x.Name, ClaimCode: x.ClaimCode, By: by}
	if e.Item, err = item.Resolve(x.Item); err != nil {
		return e, err
	}
	if x.At != nil {
		e.At = rapport.Millis(*x.At)
	}
	if x.OwnedAt != nil {
		e.OwnedAt = rapport.Millis(*x.OwnedAt)
	}
	if x.Owner != nil {
		if e.Owner, err = identifierOf(x.Owner); err != nil {
			return e, err
		}
	}
	e.Token, e.NewCode = x.Token, x.NewCode
	return e, nil
}

// Owner names the owner of an entry by user id.
func Owner(userID string) *decidePerson { return &decidePerson{UserID: userID} }
