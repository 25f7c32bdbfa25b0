package app

import (
	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/twin"
)

// productKinds lists the documents of products.
func productKinds() []config.Kind {
	return []config.Kind{
		{Name: "product", Doc: "One thing the brand makes: its GTIN, its passport, what its sensors mean.", New: func() any { return new(catalog.ProductDoc) }},
	}
}

// productParts compiles the documents of products.
func productParts(set *config.Set, into map[string]any) error {
	products, err := catalog.Compile(deref(config.Specs[*catalog.ProductDoc](set, "product")))
	if err != nil {
		return err
	}
	into[catalog.Part] = products
	return nil
}

// productFolds are the folds of items, their names, and of who holds what.
func (s *Server) productFolds() []engine.Fold {
	mint := func(kind, value string) rapport.ID { return s.minter.Mint(kind, value, 0) }
	return []engine.Fold{twin.Fold{Mint: mint}, twin.NameFold{Mint: mint}, twin.ThingsFold{}}
}

// openProducts opens the doors of items.
func (s *Server) openProducts() error {
	s.items = item.New(item.Deps{Log: s.events, Resolver: s.identity, Engine: s.engine, Clock: s.opts.Clock, Key: s.itemKey})
	return nil
}
