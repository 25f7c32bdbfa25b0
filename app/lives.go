package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/twin/wear"
)

// lifeKind is the document of a model of lives.
func lifeKind() config.Kind {
	return config.Kind{Name: "lifeModel", Doc: "What the server learned of how long a product lasts. The server writes these by itself.", New: func() any { return new(wear.ModelDoc) }}
}

// newLearner returns what learns from the lives of items of this server.
func (s *Server) newLearner() *wear.Learner {
	return wear.NewLearner(wear.Deps{
		Home: s.engine, Clock: s.opts.Clock, Logger: s.log, Publish: s.publishLives, Config: s.inForce,
	})
}

// publishLives makes a model a document of the configuration, so that every
// partition takes it up at one record of its log.
func (s *Server) publishLives(ctx context.Context, m wear.ModelDoc) error {
	quoted, err := json.Marshal([]string{m.ID, m.Made, m.Asked, m.Data}) // JSON texts are YAML texts
	if err != nil {
		return err
	}
	var q []json.RawMessage
	if err := json.Unmarshal(quoted, &q); err != nil {
		return err
	}
	set, problems := s.registry.Parse("life model", fmt.Appendf(nil, "kind: lifeModel\nid: %s\nmade: %s\nasked: %s\nlives: %d\ndata: %s\n", q[0], q[1], q[2], m.Lives, q[3]))
	if err := problems.Err(); err != nil {
		return fmt.Errorf("model of the lives of %s: %w", m.ID, err)
	}
	version, err := s.config.Apply(ctx, config.Change{Put: set.All(), Author: "system", Note: "lives of items were learned from"})
	if err == nil {
		s.log.Info("a model of lives was published", "gtin", m.ID, "lives", m.Lives, "version", version)
	}
	return err
}
