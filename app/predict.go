package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/predict"
	"github.com/rapport-engine/rapport/profile"
)

// predictionKinds are the documents of predict.
func predictionKinds() []config.Kind {
	return []config.Kind{
		{Name: "prediction", Doc: "What counts as a purchase and how far ahead to look; without one, Order Completed with its revenue, a year ahead.", New: func() any { return predict.NewPredictionDoc() }},
		{Name: "model", Doc: "A model the server fitted to what people did. The server writes these by itself.", New: func() any { return new(predict.ModelDoc) }},
		{Name: "softSegment", Doc: "A name for a soft segment that was discovered, for people and for segments.degree().", New: func() any { return new(predict.SoftDoc) }},
	}
}

// compilePredictions makes predict's part of a configuration.
func compilePredictions(set *config.Set) (*predict.Config, error) {
	return predict.Compile(deref(config.Specs[*predict.PredictionDoc](set, "prediction")), deref(config.Specs[*predict.ModelDoc](set, "model")), deref(config.Specs[*predict.SoftDoc](set, "softSegment")))
}

// newFitter returns what fits the models of this server.
func (s *Server) newFitter() *predict.Fitter {
	return predict.NewFitter(predict.Deps{
		Home: s.engine, Clock: s.opts.Clock, Logger: s.log, Publish: s.publishModel, History: s.newestEvents,
		Config: func() *engine.Config {
			c, err := s.compiled.at(s.config.Version())
			if err != nil {
				return nil // the defaults hold
			}
			return c
		},
	})
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
