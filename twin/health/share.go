package health

import (
	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/twin"
)

// How often an owner's forecast follows the item's: not for every reading.
const (
	shareAfter = 12 * 3600_000 // ms, unless it moved far
	shareSoon  = 3600_000
	shareMoved = 0.1 // of the time left
	shareFar   = 0.5
)

// share tells the owner when the item's sensor expects it to run out, if that
// has moved since it was told last: what the owner buys is known there.
func (s *Series) share(item *twin.Item, product *catalog.ProductDoc, c *engine.Context, e *rapport.Event) {
	if s.Rate.Count < 5 {
		return
	}
	for _, f := range s.forecasts(product) {
		if f.Kind != RunOut {
			continue
		}
		moved, left := float64(f.At-s.SharedOut), max(float64(s.SharedOut-e.Timestamp), shareSoon)
		moved = max(moved, -moved)
		switch passed := e.Timestamp - s.SharedAt; {
		case s.SharedAt == 0:
		case passed >= shareAfter && moved >= shareMoved*left && moved >= shareAfter/2:
		case passed >= shareSoon && moved >= shareFar*left:
		default:
			return
		}
		s.SharedAt, s.SharedOut = e.Timestamp, f.At
		days := func(at int64) rapport.Value { return rapport.NumberValue(float64(at-e.Timestamp) / day) }
		p := rapport.AppendField(nil, "item", rapport.StringValue(item.ID))
		p = rapport.AppendField(p, "product", rapport.StringValue(Refill(c.Config, product)))
		p = rapport.AppendField(p, "days", days(f.At))
		p = rapport.AppendField(p, "low", days(f.Low))
		p = rapport.AppendField(p, "high", days(f.High))
		c.Emit(item.Owner.Person, &rapport.Event{
			Type: rapport.TypeSystem, Name: rapport.SystemForecast, MessageID: e.MessageID + "/forecast/" + s.Name, Source: twin.Source, Fragment: item.Owner.Person,
			Timestamp: e.Timestamp, OriginalTimestamp: e.OriginalTimestamp, ReceivedAt: e.ReceivedAt, Properties: p, History: e.History,
		})
		return
	}
}

// Refill returns the id of the product an item is filled with: itself, unless
// its document says what it serves.
func Refill(config *engine.Config, product *catalog.ProductDoc) string {
	known, _ := config.Part(catalog.Part).(*catalog.Catalog)
	if filled := known.Product(product.Replenish.Serves); product.Replenish.Serves != "" && filled != nil {
		return filled.ID
	}
	return product.ID
}
