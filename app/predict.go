package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/predict"
	"github.com/rapport-engine/rapport/profile"
)

// predictionKinds are the documents of predict.
func predictionKinds() []config.Kind {
	return []config.Kind{
		{Name: "prediction", Doc: "What counts as a purchase and how far ahead to look; without one, Order Completed with its revenue, a year ahead.", New: func() any { return predict.NewPredictionDoc() }},
		{Name: "model", Doc: "A model the server fitted to what people did. The server writes these by itself.", New: func() any { return new(predict.ModelDoc) }},
		{Name: "softSegment", Doc: "A name for a soft segment that was discovered, for people and for segments.degree().", New: func() any { return new(predict.SoftDoc) }},
		{Name: "insight", Doc: "An outcome the server looks at every day for what goes with it; without one, purchases.", New: func() any { return predict.NewInsightDoc() }},
	}
}

// compilePredictions makes predict's part of a configuration.
func compilePredictions(set *config.Set, at *stage) (*predict.Config, error) {
	docs := predict.Documents{
		Predictions: deref(config.Specs[*predict.PredictionDoc](set, "prediction")), Models: deref(config.Specs[*predict.ModelDoc](set, "model")),
		Names:    deref(config.Specs[*predict.SoftDoc](set, "softSegment")),
		Insights: deref(config.Specs[*predict.InsightDoc](set, "insight")),
	}
	if at != nil {
		key := predict.DeclaredKey(docs.Predictions)
		docs.Since, docs.Building = at.since[key], !at.ready[key]
	}
	return predict.Compile(docs)
}

// foretold describes what scores mean among the documents in force.
func (d *definitions) foretold(s *stage) string {
	var docs []*config.Document
	for ref, doc := range s.effective {
		if ref.Kind == "prediction" || ref.Kind == "model" {
			docs = append(docs, doc)
		}
	}
	c, err := compilePredictions(config.NewSet(docs...), s)
	if err != nil {
		return "" // it is not published
	}
	return c.InForce()
}

// sendBuilt brings everybody's statistics under a new definition.
func (b *sender) sendBuilt(ctx context.Context, of *predict.Building) error {
	return of.Each(func(entity, fragment rapport.ID, body []byte) error { return b.send(ctx, entity, fragment, body) })
}

// newFitter returns what fits the models of this server.
func (s *Server) newFitter() *predict.Fitter {
	return predict.NewFitter(predict.Deps{
		Home: s.engine, Clock: s.opts.Clock, Logger: s.log, Publish: s.publishModel, History: s.newestEvents, Config: s.inForce,
	})
}

// newDaily returns what looks for insights of this server every day.
func (s *Server) newDaily() *predict.Daily {
	return predict.NewDaily(predict.DailyDeps{
		Home: s.engine, Clock: s.opts.Clock, Logger: s.log, Stream: s.insights, Config: s.inForce,
		Append: func(ctx context.Context, kind string, make func() ([]byte, error)) error {
			return s.journal.AppendWith(ctx, kind, "system", func() ([]byte, []eventlog.Record, error) {
				body, err := make()
				return body, nil, err
			})
		},
	})
}

// inForce returns the configuration in force, or nil: the defaults hold.
func (s *Server) inForce() *engine.Config {
	c, err := s.compiled.at(s.compiled.defs.number())
	if err != nil {
		return nil
	}
	return c
}

// publishModel makes a model a document of the configuration, so that every
// partition takes it up at one record of its log.
func (s *Server) publishModel(ctx context.Context, m predict.ModelDoc) error {
	quote := func(text string) string {
		b, _ := json.Marshal(text) // JSON texts are YAML texts
		return string(b)
	}
	set, problems := s.registry.Parse("model", []byte(fmt.Sprintf("kind: model\nid: %s\nmade: %s\ndata: %s\n", m.ID, quote(m.Made), quote(m.Data))))
	if err := problems.Err(); err != nil {
		return fmt.Errorf("model %s: %w", m.ID, err)
	}
	version, err := s.config.Apply(ctx, config.Change{Put: set.All(), Author: "system", Note: "a model was fitted"})
	if err == nil {
		s.log.Info("a model was published", "model", m.ID, "version", version)
	}
	return err
}

// scored lets conditions ask for a person's scores.
func scored(env *profile.Env) *profile.Env {
	env.Scores, env.Soft, env.NextScores = scoreOf, softDegree, nextScore
	return env
}

func scoreOf(env *profile.Env, path []string) rapport.Value {
	return predict.At(env.State, env.Config(), env.At(), path).Value(path)
}

func nextScore(env *profile.Env, path []string) (at int64, ok bool) {
	return predict.At(env.State, env.Config(), env.At(), path).Next(path)
}

func softDegree(env *profile.Env, id string) float64 {
	degree, _ := predict.At(env.State, env.Config(), env.At(), nil).Degree(id)
	return degree
}

// foretold returns the configuration to count people's history for, if what
// predictions declare is among the keys asked.
func (s *Server) foretold(keys []uint64) (*engine.Config, error) {
	set, _ := s.config.Current()
	key := predict.DeclaredKey(deref(config.Specs[*predict.PredictionDoc](set, "prediction")))
	if !slices.Contains(keys, key) {
		return nil, nil
	}
	return s.compiled.at(s.compiled.defs.number())
}
