package api

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/predict"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/health"
)

// forecastOf is what can be foreseen of an item: runOut and service with the
// interval in which they come with a chance of 80 %, and the latest anomalies.
func forecastOf(v *engine.View, gtin string) map[string]any {
	out := map[string]any{}
	h := health.Read(v)
	if h == nil {
		return out
	}
	for _, f := range h.Forecasts(productOf(v.Config(), gtin)) {
		if have, ok := out[string(f.Kind)].(map[string]any); ok && !have["at"].(time.Time).After(rapport.Time(f.At)) {
			continue // the sooner of two counts
		}
		out[string(f.Kind)] = map[string]any{"reading": f.Reading, "limit": f.Limit, "at": rapport.Time(f.At), "low": rapport.Time(f.Low), "high": rapport.Time(f.High)}
	}
	anomalies := []map[string]any{}
	for _, s := range h.Series {
		if s.Alarms > 0 {
			anomalies = append(anomalies, map[string]any{"reading": s.Name, "at": rapport.Time(s.AlarmAt), "value": s.Value, "expected": s.Expected, "score": s.Score, "alarms": s.Alarms})
		}
	}
	if len(anomalies) > 0 {
		out["anomalies"] = anomalies
	}
	return out
}

// weighPurchases brings what the owner of an item buys into when it runs out:
// two forecasts, weighed by how sure each is.
func (a *API) weighPurchases(ctx context.Context, config *engine.Config, gtin string, owner rapport.ID, forecast map[string]any) error {
	runOut, _ := forecast[string(health.RunOut)].(map[string]any)
	product := productOf(config, gtin)
	if runOut == nil || product == nil || owner.IsZero() {
		return nil
	}
	now := a.deps.Clock.Now()
	var bought predict.RefillSource
	known := false
	err := a.deps.Engine.View(ctx, owner, nil, func(v *engine.View) error {
		bought, known = predict.Of(v.State, v.Config(), rapport.Millis(now)).Purchased(health.Refill(v.Config(), product))
		return nil
	})
	if err != nil || !known {
		return err
	}
	const day = 24 * time.Hour
	left := func(name string) float64 { return max(float64(runOut[name].(time.Time).Sub(now))/float64(day), 0.02) }
	sensor := predict.RefillSource{Source: "sensor", Days: left("at"), Low: left("low"), High: left("high")}
	days, low, high := predict.Together(sensor, bought)
	at := func(days float64) time.Time {
		return now.Add(time.Duration(days * float64(day))).UTC().Truncate(time.Second)
	}
	runOut["sources"] = []map[string]any{
		{"source": "sensor", "at": runOut["at"], "low": runOut["low"], "high": runOut["high"]},
		{"source": "purchases", "at": at(bought.Days), "low": at(bought.Low), "high": at(bought.High)},
	}
	runOut["at"], runOut["low"], runOut["high"] = at(days), at(low), at(high)
	return nil
}

// FleetReport is how items fare by product and firmware.
type FleetReport struct {
	Since  time.Time      `json:"since"`
	Items  int            `json:"items"`
	Groups []health.Group `json:"groups" doc:"Insights first"`
	// Due counts items by when something is due, Soonest lists those it is due for first.
	Due     []FleetDue  `json:"due"`
	Soonest []FleetNext `json:"soonest" doc:"At most 20"`
}

// FleetDue counts a product's items by how long it takes until something is due.
type FleetDue struct {
	GTIN    string      `json:"gtin"`
	Kind    health.Kind `json:"kind" doc:"runOut: what is in it is used up. service: a line of its signals is crossed"`
	Week    int         `json:"week" doc:"Within 7 days, or past"`
	Month   int         `json:"month" doc:"Within 8 to 30 days"`
	Quarter int         `json:"quarter" doc:"Within 31 to 91 days"`
	Later   int         `json:"later"`
}

// FleetNext is an item for which something is due.
type FleetNext struct {
	Item string      `json:"item"`
	GTIN string      `json:"gtin"`
	Kind health.Kind `json:"kind"`
	At   time.Time   `json:"at"`
	Low  time.Time   `json:"low" doc:"It comes between low and high with a chance of 80 %"`
	High time.Time   `json:"high"`
}

// fleetSoonest bounds the items listed by name.
const fleetSoonest = 20

// foresee counts what is foreseen of an item; the sooner of two readings counts.
func (r *FleetReport) foresee(id, gtin string, forecasts []health.Forecast, now time.Time) {
	first := map[health.Kind]health.Forecast{}
	for _, f := range forecasts {
		if have, ok := first[f.Kind]; !ok || f.At < have.At {
			first[f.Kind] = f
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(first)) {
		f := first[kind]
		at := rapport.Time(f.At)
		i := slices.IndexFunc(r.Due, func(d FleetDue) bool { return d.GTIN == gtin && d.Kind == kind })
		if i < 0 {
			i, r.Due = len(r.Due), append(r.Due, FleetDue{GTIN: gtin, Kind: kind})
		}
		switch left := at.Sub(now); {
		case left <= 7*24*time.Hour:
			r.Due[i].Week++
		case left <= 30*24*time.Hour:
			r.Due[i].Month++
		case left <= 91*24*time.Hour:
			r.Due[i].Quarter++
		default:
			r.Due[i].Later++
		}
		next := FleetNext{Item: id, GTIN: gtin, Kind: kind, At: at, Low: rapport.Time(f.Low), High: rapport.Time(f.High)}
		place, _ := slices.BinarySearchFunc(r.Soonest, next, func(a, b FleetNext) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Item, b.Item)) })
		if place < fleetSoonest {
			r.Soonest = slices.Insert(r.Soonest, place, next)
			r.Soonest = r.Soonest[:min(len(r.Soonest), fleetSoonest)]
		}
	}
}

func (a *API) fleetOperations() {
	handle(a, operation{id: "fleet", method: http.MethodGet, path: "/v1/fleet", tag: "Items", role: access.Viewer, summary: "How items fare by product and firmware; a bad firmware shows as one insight"},
		nil, func(ctx context.Context, in *struct {
			GTIN string `query:"gtin" doc:"Only this product"`
			Days int    `query:"days" minimum:"1" maximum:"365" default:"7"`
		},
		) (*body[FleetReport], error) {
			now := a.deps.Clock.Now()
			since := now.AddDate(0, 0, -in.Days)
			out := FleetReport{Since: since.UTC(), Due: []FleetDue{}, Soonest: []FleetNext{}}
			fleet := health.NewFleet()
			for after := ""; ; {
				next, err := a.deps.Engine.ListFrom(ctx, rapport.RankItem, after, 500, func(v *engine.View) error {
					s := twin.Peek(v)
					if s == nil || in.GTIN != "" && s.Key().GTIN() != in.GTIN {
						return nil
					}
					out.Items++
					h := health.Read(v)
					fleet.Add(s, h, rapport.Millis(since))
					if h != nil {
						gtin := s.Key().GTIN()
						out.foresee(s.ID, gtin, h.Forecasts(productOf(v.Config(), gtin)), now)
					}
					return nil
				})
				if err != nil {
					return nil, err
				}
				if next == "" {
					break
				}
				after = next
			}
			out.Groups = fleet.Groups()
			slices.SortFunc(out.Due, func(x, y FleetDue) int { return cmp.Or(cmp.Compare(x.GTIN, y.GTIN), cmp.Compare(x.Kind, y.Kind)) })
			return &body[FleetReport]{out}, nil
		})
}
