package app

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/predict"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/segment"
)

// openControl opens what folds the control topic: configuration and access.
func (s *Server) openControl(ctx context.Context, key []byte) error {
	s.journal = config.NewJournal(s.events, s.opts.Clock)
	registry, err := config.NewRegistry(kinds())
	if err != nil {
		return err
	}
	s.registry = registry
	environment := func(name string) (string, bool) {
		v := s.opts.Getenv(name)
		return v, v != ""
	}
	s.compiled = &compiler{server: s, versions: map[int64]*engine.Config{}}
	s.config = config.NewStore(config.Options{
		Journal: s.journal, Registry: registry, Publish: s.compiled.publish,
		Environment: environment, Settled: s.settleDefinitions,
	})
	s.compiled.defs = newDefinitions(s.config, registry, environment)
	s.journal.OnFact(s.compiled.defs.fold)
	// Sessions and expiry follow the wall clock, whatever the demo's clock does.
	s.access = access.New(access.Deps{Journal: s.journal, Clock: rapport.SystemClock{}, Key: subkey(key, "sessions")})
	s.journal.OnFact(func(f config.Fact) error { return s.access.Fold(f.Kind, f.Time, f.Author, f.Body) })
	s.openSuppression(key)
	s.insights = predict.NewStream()
	s.journal.OnFact(func(f config.Fact) error { return s.insights.Fold(f.Kind, f.Body) })
	s.journal.OnFact(func(f config.Fact) error {
		if f.Kind != config.FactChanged && f.Kind != factReady || s.door == nil { // while replaying there is no door yet
			return nil
		}
		return s.adopt()
	})
	if err := s.journal.Replay(ctx); err != nil {
		return fmt.Errorf("replay the control topic: %w", err)
	}
	return s.bootstrap(ctx)
}

// bootstrap makes sure that somebody can sign in.
func (s *Server) bootstrap(ctx context.Context) error {
	if s.opts.AdminToken != "" {
		if err := s.strongEnough(s.opts.AdminToken); err != nil {
			return err
		}
		_, err := s.access.CreateWithSecret(ctx, "system", "bootstrap", access.Admin, noExpiry, s.opts.AdminToken)
		return err
	}
	if s.access.HasAdmin() {
		return nil
	}
	_, secret, err := s.access.Create(ctx, "system", "bootstrap", access.Admin, noExpiry)
	s.Secret = secret
	return err
}

// leastSecret is how many characters an admin token has that other machines
// can try to guess.
const leastSecret = 12

// strongEnough refuses a short admin token where others can knock. On the
// loopback it is said aloud and let through: that is how a trial begins.
func (s *Server) strongEnough(secret string) error {
	if len(secret) >= leastSecret {
		return nil
	}
	host, _, _ := net.SplitHostPort(s.opts.Listen)
	if !loopback(host) || s.opts.PublicURL != "" {
		return rapport.WithHint(rapport.Errorf(rapport.Invalid, "RAPPORT_ADMIN_TOKEN has %d characters, and needs %d where other machines can ask", len(secret), leastSecret),
			"set a longer one, or leave it out: one is made and printed once")
	}
	s.log.Warn("the admin token is short: fit for a trial on this machine only", "characters", len(secret), "hint", "set RAPPORT_ADMIN_TOKEN to 12 or more")
	return nil
}

// kinds lists the documents the rooms declare.
func kinds() []config.Kind {
	return slices.Concat([]config.Kind{
		{Name: "source", Doc: "One program that sends events: a web shop, an app, a till.", New: func() any { return new(collect.SourceDoc) }},
		{Name: "schema", Doc: "What one event of the tracking plan looks like.", New: func() any { return new(collect.SchemaDoc) }},
		{Name: "placement", Doc: "A place something may be shown or said in.", New: func() any { return new(decide.PlacementDoc) }},
		{Name: "action", Doc: "One thing that may be said or done, to whom, where, and what it is worth.", New: func() any { return new(decide.ActionDoc) }},
		{Name: "policy", Doc: "Restraint for all decisions: holdout, caps, quiet hours, exploration.", New: func() any { return new(decide.PolicyDoc) }},
		{Name: "trigger", Doc: "An event that asks for a decision by itself.", New: func() any { return new(decide.TriggerDoc) }},
		{Name: "computed", Doc: "A trait kept up to date from what a person does: counts, sums, averages, streaks and more.", New: func() any { return new(profile.ComputedDoc) }},
		{Name: "segment", Doc: "The people for whom a condition holds, at every moment.", New: func() any { return new(segment.Doc) }},
		{Name: "identifier", Doc: "How one kind of identifier is read, and how far it is trusted.", New: func() any { return new(identity.KindDoc) }},
		{Name: "channel", Doc: "A way to reach people: mail, text messages.", New: func() any { return new(deliver.ChannelDoc) }},
		{Name: config.ApprovalKind, Doc: "Asks that somebody else than its author publishes a change.", New: func() any { return new(config.ApprovalDoc) }},
		{Name: "webhook", Doc: "A destination that events and decisions are sent to.", New: func() any { return new(deliver.WebhookDoc) }},
	}, likenessKinds(), productKinds(), predictionKinds())
}

// compiler turns versions of the configuration into what the rooms work with.
type compiler struct {
	server *Server
	defs   *definitions

	mu       sync.Mutex
	versions map[int64]*engine.Config
}

// parts compiles a resolved set for every room. An error tells what is wrong with it.
func parts(set *config.Set) (map[string]any, error) { return partsAt(set, nil) }

// partsAt compiles what is in force of a set at a stage.
func partsAt(set *config.Set, at *stage) (map[string]any, error) {
	whole := set
	set = at.inForce(set)
	doors, err := collect.Compile(collect.Documents{
		Sources: deref(config.Specs[*collect.SourceDoc](set, "source")), Schemas: deref(config.Specs[*collect.SchemaDoc](set, "schema")),
	})
	if err != nil {
		return nil, err
	}
	rules, err := compileIdentity(set)
	if err != nil {
		return nil, err
	}
	decisions, err := decide.Compile(decide.Documents{
		Actions: deref(config.Specs[*decide.ActionDoc](set, "action")), Placements: deref(config.Specs[*decide.PlacementDoc](set, "placement")),
		Policies: deref(config.Specs[*decide.PolicyDoc](set, "policy")), Triggers: deref(config.Specs[*decide.TriggerDoc](set, "trigger")),
	})
	if err != nil {
		return nil, err
	}
	sends, err := deliver.Compile(deliver.Documents{
		Webhooks: deref(config.Specs[*deliver.WebhookDoc](set, "webhook")), Channels: deref(config.Specs[*deliver.ChannelDoc](set, "channel")),
	})
	if err != nil {
		return nil, err
	}
	if err := checkTemplates(set, sends.Channels()); err != nil {
		return nil, err
	}
	predictions, err := compilePredictions(set, at)
	if err != nil {
		return nil, err
	}
	out := map[string]any{predict.Part: predictions, collectPart: doors, identityPart: rules, decide.Part: decisions, deliver.Part: sends}
	if err := compileSegments(out, set, whole, at, decisions.Conditions(), sends.Conditions()); err != nil {
		return nil, err
	}
	return out, productParts(set, out)
}

const (
	collectPart  = "collect"
	identityPart = "identity"
)

func deref[T any](list []*T) []T {
	out := make([]T, len(list))
	for i, p := range list {
		out[i] = *p
	}
	return out
}

// publish is asked before a change is written: it compiles the whole and adds
// the barriers at which the partitions adopt it.
func (c *compiler) publish(_ context.Context, version int64, set *config.Set) ([]eventlog.Record, error) {
	if _, err := parts(set); err != nil { // what was asked for must be right, in force at once or not
		return nil, err
	}
	compiled, err := c.compile(set, c.defs.propose(version, set))
	if err != nil {
		return nil, err
	}
	c.keep(engine.NewConfig(version, compiled))
	return engine.BarrierRecords(c.server.events.Partitions(eventlog.Events), version), nil
}

func (c *compiler) keep(v *engine.Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.versions[engine.Number(v.Version, v.Stage)] = v
	for old := range c.versions { // barriers lag by moments; older ones compile again
		if version, _ := engine.VersionStage(old); version < v.Version-16 {
			delete(c.versions, old)
		}
	}
}

// at returns a stage of a version for a partition that reaches its barrier.
func (c *compiler) at(number int64) (*engine.Config, error) {
	c.mu.Lock()
	have := c.versions[number]
	c.mu.Unlock()
	if have != nil {
		return have, nil
	}
	version, stage := engine.VersionStage(number)
	set, err := c.server.config.ResolvedAt(version)
	if err != nil {
		return nil, fmt.Errorf("configuration version %d: %w", version, err)
	}
	compiled, err := c.compile(set, c.defs.at(number))
	if err != nil {
		return nil, fmt.Errorf("configuration version %d: %w", version, err)
	}
	v := engine.NewStage(version, stage, compiled)
	c.keep(v)
	return v, nil
}

// adopt gives the doors and senders the current configuration.
func (s *Server) adopt() error {
	number := s.compiled.defs.number()
	if number == 0 {
		return nil
	}
	v, err := s.compiled.at(number)
	if err != nil {
		return err
	}
	s.identity.SetRules(v.Part(identityPart).(*identity.Rules))
	s.door.Apply(v.Part(collectPart).(*collect.Config))
	s.adoptProducts(v)
	return s.setDestinations(v.Part(deliver.Part).(*deliver.Config))
}

// applyFolder applies serve --config, once per content.
func (s *Server) applyFolder(ctx context.Context, folder string) error {
	set, problems, err := s.registry.Load(os.DirFS(folder))
	if err != nil {
		return rapport.WithHint(fmt.Errorf("read the configuration folder: %w", err), "is --config right?")
	}
	if err := problems.Err(); err != nil {
		return err
	}
	report, err := s.config.ApplyFolder(ctx, set)
	if err != nil {
		return err
	}
	s.log.Info("configuration folder applied", "version", report.Version, "changes", len(report.Applied), "kept", len(report.Kept))
	for _, k := range report.Kept {
		s.log.Warn("a document was edited elsewhere and is kept", "document", k.Ref.String(), "author", k.Author, "conflict", k.Conflict)
	}
	return nil
}
