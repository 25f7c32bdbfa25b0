package app

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/learn/linkage"
	"github.com/rapport-engine/rapport/profile"
)

// likenessKinds are the documents about who resembles whom.
func likenessKinds() []config.Kind {
	return []config.Kind{
		{Name: "likeness", Doc: "Whether people are compared by what they say of themselves, and what follows; without one, or before the weights are trained, nobody is.", New: func() any { return identity.NewLikenessDoc() }},
		{Name: "likenessModel", Doc: "The weights people are compared with. The server writes it when it has trained.", New: func() any { return new(identity.LikenessModelDoc) }},
	}
}

// compileIdentity makes identity's part of a configuration.
func compileIdentity(set *config.Set) (*identity.Rules, error) {
	rules, err := identity.CompileRules(deref(config.Specs[*identity.KindDoc](set, "identifier")))
	if err != nil {
		return nil, err
	}
	return rules.WithLikeness(deref(config.Specs[*identity.LikenessDoc](set, "likeness")), deref(config.Specs[*identity.LikenessModelDoc](set, "likenessModel")))
}

// publishLikeness makes trained weights a document of the configuration, which
// gives them a history and lets people bring earlier ones back.
func (s *Server) publishLikeness(ctx context.Context, m identity.LikenessModelDoc) error {
	quote := func(text string) string {
		b, _ := json.Marshal(text) // JSON texts are YAML texts
		return string(b)
	}
	set, problems := s.registry.Parse("likenessModel", fmt.Appendf(nil, "kind: likenessModel\nid: %s\nversion: %d\nmade: %s\nrecords: %d\ntaught: %d\ndata: %s\n",
		m.ID, m.Version, quote(m.Made), m.Records, m.Taught, quote(m.Data)))
	if err := problems.Err(); err != nil {
		return fmt.Errorf("weights of likeness: %w", err)
	}
	version, err := s.config.Apply(ctx, config.Change{Put: set.All(), Author: "system", Note: "weights of likeness were trained"})
	if err == nil {
		s.log.Info("weights of likeness were published", "model", m.Version, "records", m.Records, "version", version)
	}
	return err
}

// sources reads source records from the profiles.
type sources struct{ server *Server }

// Source implements identity.Sources.
func (s sources) Source(ctx context.Context, node rapport.ID) (out identity.Source, ok bool, err error) {
	rules := s.server.identity.Rules()
	err = s.server.engine.View(ctx, s.server.identity.Person(node), []engine.Token{}, func(v *engine.View) error {
		out, ok = sourceOf(v, node, rules)
		return nil
	})
	return out, ok, err
}

// Each implements identity.Sources.
func (s sources) Each(ctx context.Context, yield func(identity.Source) error) error {
	rules := s.server.identity.Rules()
	return s.server.engine.Scan(ctx, engine.ScanOptions{Background: true}, func(_ int, v *engine.View) error {
		if v.ID().Rank() >= rapport.RankDevice { // devices and items
			return nil
		}
		for _, fragment := range v.Fragments() {
			if out, ok := sourceOf(v, fragment, rules); ok {
				if err := yield(out); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// sourceOf returns what one fragment says of itself. Devices say nothing.
func sourceOf(v *engine.View, fragment rapport.ID, rules *identity.Rules) (out identity.Source, ok bool) {
	if fragment.Rank() >= rapport.RankDevice {
		return out, false
	}
	about, _ := v.Part(fragment, profile.FoldAbout).(*profile.About)
	activity, _ := v.Part(fragment, profile.FoldActivity).(*profile.Activity)
	if about == nil || activity == nil || activity.Identifier.Value == "" {
		return out, false
	}
	values := rules.Values(func(path string) string {
		root, rest, nested := strings.Cut(path, ".")
		value := about.Trait(root)
		if nested {
			f, _ := value.Object()
			value, _ = f.Path(strings.Split(rest, ".")...)
		}
		if text := value.Str(); text != "" {
			return text
		}
		if x, number := value.Number(); number {
			return strconv.FormatFloat(x, 'f', -1, 64)
		}
		return ""
	})
	schema := linkage.Person()
	for _, kind := range [...]string{rapport.KindEmail, rapport.KindPhone} {
		if i := schema.Index(kind); values[i] == "" && activity.Identifier.Kind == kind {
			values[i] = activity.Identifier.Value
		}
	}
	for i := range values {
		values[i] = strings.Clone(values[i])
	}
	if !slices.ContainsFunc(values, func(s string) bool { return s != "" }) {
		return out, false
	}
	return identity.Source{Node: fragment, Name: rapport.Identifier{Kind: strings.Clone(activity.Identifier.Kind), Value: strings.Clone(activity.Identifier.Value)}, Values: values}, true
}
