package api

import (
	"context"
	"net/http"
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
}

func (a *API) fleetOperations() {
	handle(a, operation{id: "fleet", method: http.MethodGet, path: "/v1/fleet", tag: "Items", role: access.Viewer, summary: "How items fare by product and firmware; a bad firmware shows as one insight"},
		nil, func(ctx context.Context, in *struct {
			GTIN string `query:"gtin" doc:"Only this product"`
			Days int    `query:"days" minimum:"1" maximum:"365" default:"7"`
		},
		) (*body[FleetReport], error) {
			since := a.deps.Clock.Now().AddDate(0, 0, -in.Days)
			out := FleetReport{Since: since.UTC()}
			fleet := health.NewFleet()
			for after := ""; ; {
				next, err := a.deps.Engine.ListFrom(ctx, rapport.RankItem, after, 500, func(v *engine.View) error {
					s := twin.Peek(v)
					if s == nil || in.GTIN != "" && s.Key().GTIN() != in.GTIN {
						return nil
					}
					out.Items++
					fleet.Add(s, health.Read(v), rapport.Millis(since))
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
			return &body[FleetReport]{out}, nil
		})
}
