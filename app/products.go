package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"os"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/collect/mqtt"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/passport"
	"github.com/rapport-engine/rapport/twin"
	"github.com/rapport-engine/rapport/twin/group"
	"github.com/rapport-engine/rapport/twin/health"
	"github.com/rapport-engine/rapport/twin/recall"
	"github.com/rapport-engine/rapport/twin/tap"
	"github.com/rapport-engine/rapport/twin/wear"
)

// productKinds lists the documents of products.
func productKinds() []config.Kind {
	return []config.Kind{
		{Name: "product", Doc: "One thing the brand makes: its GTIN, its passport, what its sensors mean.", New: func() any { return new(catalog.ProductDoc) }},
		{Name: "tag", Doc: "The keys of the NFC tags on some products, which prove that a tap is fresh.", New: func() any { return new(tap.TagDoc) }},
		brokerKind(),
		lifeKind(),
		{Name: "itemSegment", Doc: "The product items for which a condition holds, at every moment.", New: func() any { return new(group.Doc) }, Means: map[string]string{"computed": "itemComputed", "segment": "itemSegment"}},
		{Name: "itemComputed", Doc: "A trait of product items kept up to date from what happens to each: counts, sums, averages, streaks and more.", New: func() any { return new(group.TraitDoc) }},
	}
}

// productParts compiles the documents of products.
func productParts(set *config.Set, into map[string]any) error {
	products, err := catalog.Compile(deref(config.Specs[*catalog.ProductDoc](set, "product")))
	if err != nil {
		return err
	}
	into[catalog.Part] = products
	tags, err := tap.Compile(deref(config.Specs[*tap.TagDoc](set, "tag")))
	if err != nil {
		return err
	}
	into[tagPart] = tags
	groups, err := group.Compile(deref(config.Specs[*group.Doc](set, "itemSegment")))
	if err != nil {
		return err
	}
	into[group.Part] = groups
	asked, err := group.Asks(groups, deref(config.Specs[*group.TraitDoc](set, "itemComputed")))
	if err != nil {
		return err
	}
	into[twin.Asked] = asked
	into[wear.Part] = wear.Compile(deref(config.Specs[*wear.ModelDoc](set, "lifeModel")))
	into[brokerPart] = deref(config.Specs[*mqtt.BrokerDoc](set, "broker"))
	return nil
}

const tagPart = "tag"

// adoptProducts gives the pages the current configuration.
func (s *Server) adoptProducts(v *engine.Config) {
	products, _ := v.Part(catalog.Part).(*catalog.Catalog)
	tags, _ := v.Part(tagPart).(*tap.Config)
	for _, err := range tags.Problems() {
		s.log.Warn("taps of some tags cannot be checked", "error", err)
	}
	s.pages.Apply(&passport.Config{Products: products, Tags: tags})
	s.adoptBrokers(v)
	s.segmentsChanged()
}

// productFolds are the folds of items, their names, and of who holds what.
func (s *Server) productFolds() []engine.Fold {
	mint := func(kind, value string) rapport.ID { return s.minter.Mint(kind, value, 0) }
	return []engine.Fold{twin.Fold{Mint: mint}, twin.NameFold{Mint: mint}, twin.ThingsFold{}, health.Fold{}, wear.Fold{}, group.Fold{}, recall.Fold{}}
}

// openProducts opens the doors of items.
func (s *Server) openProducts() error {
	s.items = item.New(item.Deps{Log: s.events, Resolver: s.identity, Engine: s.engine, Clock: s.opts.Clock, Key: s.itemKey})
	s.brokers = mqtt.NewClients(mqtt.ClientsDeps{Door: s.items, Logger: s.log})
	var err error
	s.pages, err = passport.New(passport.Deps{
		Items: s.items, Decider: s.decider, Identity: s.identity, Record: s.record, Clock: s.opts.Clock, Logger: s.log, PublicURL: s.opts.PublicURL,
	})
	if err != nil {
		return err
	}
	return s.openMQTT()
}

// MQTTOptions say where items connect.
type MQTTOptions struct {
	// Listen is the address; empty or "off" is none.
	Listen string
	// Optional lets the server start without MQTT when the address is taken: it
	// is the default and nobody asked for it.
	Optional bool
	// Cert and Key are PEM files that make it TLS; ClientCA then demands
	// certificates of devices, whose common name is the item id.
	Cert, Key, ClientCA string
}

const defaultMQTT = "127.0.0.1:1883"

func (o *MQTTOptions) flags(fs *flag.FlagSet) {
	o.Listen, o.Optional = defaultMQTT, true
	fs.Func("mqtt", "`address` items connect to by MQTT, or off (default "+defaultMQTT+")", func(v string) error {
		o.Listen, o.Optional = v, false
		return nil
	})
	fs.StringVar(&o.Cert, "mqtt-cert", "", "PEM `file` with the certificate of the MQTT listener; makes it TLS")
	fs.StringVar(&o.Key, "mqtt-key", "", "PEM `file` with its private key")
	fs.StringVar(&o.ClientCA, "mqtt-client-ca", "", "PEM `file` with the authority of devices' certificates; a device whose common name is its item id needs no token")
}

// tls returns what the listener's TLS is, nil for none.
func (o *MQTTOptions) tls() (*tls.Config, error) {
	if o.Cert == "" && o.Key == "" && o.ClientCA == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return nil, rapport.WithHint(fmt.Errorf("read the certificate of MQTT: %w", err), "are --mqtt-cert and --mqtt-key right?")
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if o.ClientCA != "" {
		text, err := os.ReadFile(o.ClientCA)
		if err != nil {
			return nil, rapport.WithHint(fmt.Errorf("read the authority of devices: %w", err), "is --mqtt-client-ca right?")
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !c.ClientCAs.AppendCertsFromPEM(text) {
			return nil, rapport.Errorf(rapport.Invalid, "the file %s holds no PEM certificate", o.ClientCA)
		}
	}
	return c, nil
}

func (s *Server) openMQTT() error {
	o := s.opts.MQTT
	if o.Listen == "" || o.Listen == "off" {
		return nil
	}
	secure, err := o.tls()
	if err != nil {
		return err
	}
	s.mqtt, err = mqtt.Open(mqtt.Options{Door: s.items, Logger: s.log, Listen: o.Listen, TLS: secure})
	if err != nil && o.Optional {
		s.log.Warn("items cannot connect by MQTT: the usual address is taken", "address", o.Listen, "error", err, "hint", "name another with --mqtt")
		s.mqtt = nil
		return nil
	}
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.mqtt.Close)
	s.items.Changed, s.items.Revoked = s.mqtt.Changed, s.mqtt.Revoked
	return nil
}

// runMQTT lets items in once everything known of them is folded.
func (s *Server) runMQTT(ctx context.Context) error {
	if s.mqtt == nil {
		return nil
	}
	if err := s.engine.Ready(ctx); err != nil {
		return err
	}
	return s.mqtt.Run(ctx)
}
