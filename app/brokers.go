package app

import (
	"context"

	"github.com/rapport-engine/rapport/collect/mqtt"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/engine"
)

const brokerPart = "broker"

// brokerKind is the document of an outside broker.
func brokerKind() config.Kind {
	return config.Kind{Name: "broker", Doc: "An MQTT broker of somebody else's that product items speak to.", New: func() any { return new(mqtt.BrokerDoc) }}
}

// adoptBrokers listens to the brokers of the current configuration.
func (s *Server) adoptBrokers(v *engine.Config) {
	list, _ := v.Part(brokerPart).([]mqtt.BrokerDoc)
	s.brokers.Set(list)
}

// runBrokers listens once everything known of items is folded.
func (s *Server) runBrokers(ctx context.Context) error {
	if err := s.engine.Ready(ctx); err != nil {
		return err
	}
	return s.brokers.Run(ctx)
}
