package deliver

import (
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// Part is the name under which the compiled Config stands in [engine.Config].
const Part = "deliver"

// WebhookDoc is the config document of kind "webhook": events posted to a URL
// as they happen, signed as Standard Webhooks has it.
type WebhookDoc struct {
	ID       string               `yaml:"id" doc:"Name of the webhook."`
	URL      string               `yaml:"url" required:"true" doc:"Where to post; https, unless the deployment allows the host."`
	Events   []string             `yaml:"events" required:"true" suggest:"event" doc:"Names of events (identify, page, screen, group and alias by their type), or \"*\" for all."`
	When     *condition.Condition `yaml:"when,omitempty" doc:"Condition on person and event (properties.x)."`
	Secret   string               `yaml:"secret" required:"true" secret:"true" doc:"Signing secret, from the environment: ${CRM_SECRET}. whsec_ and base64, or any text of 16 bytes or more."`
	Headers  map[string]string    `yaml:"headers,omitempty" doc:"Further request headers."`
	Parallel int                  `yaml:"parallel,omitempty" min:"0" max:"64" doc:"Most requests at once, 1 to 64; default 4."`
	GiveUp   rapport.Duration     `yaml:"giveUp,omitempty" max:"7d" doc:"How long to keep trying; default 1d, at most 7d."`
}

// Limits of config.
const (
	maxWebhooks   = 100
	maxEvents     = 100
	maxHeaders    = 20
	maxParallel   = 64
	maxGiveUp     = rapport.Duration(7 * 24 * 3600 * 1e9)
	defaultGiveUp = rapport.Duration(24 * 3600 * 1e9)
)

// reserved are the headers a document may not set.
var reserved = []string{"Content-Type", "Content-Length", "Host", "Connection", "Transfer-Encoding", "Idempotency-Key", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults.
func (d *WebhookDoc) Validate() error {
	var f rapport.Faults
	if d.ID == "" || len(d.ID) > 128 || strings.ContainsAny(d.ID, "\x00/") {
		f.Add("id", "must be 1 to 128 bytes without a slash")
	}
	u, err := url.Parse(d.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		f.Add("url", "is not an absolute https address")
	case u.User != nil:
		f.Add("url", "holds a user name or password; put them in headers, from the environment")
	}
	if len(d.Events) == 0 || len(d.Events) > maxEvents {
		f.Add("events", "names %d events, from 1 to %d are needed (\"*\" is all)", len(d.Events), maxEvents)
	}
	if slices.Contains(d.Events, rapport.SystemDelivery) {
		f.Add("events", "%q would answer every delivery with another", rapport.SystemDelivery)
	}
	if len(d.Secret) < 16 {
		f.Add("secret", "is shorter than 16 bytes")
	}
	if len(d.Headers) > maxHeaders {
		f.Add("headers", "are %d, at most %d are sent", len(d.Headers), maxHeaders)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		if slices.Contains(reserved, http.CanonicalHeaderKey(name)) {
			f.Add("headers."+name, "is set by the sender")
		} else if name == "" || strings.ContainsFunc(name+d.Headers[name], func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.ContainsAny(name, " :") {
			f.Add("headers."+name, "is not a header")
		}
	}
	if d.Parallel < 0 || d.Parallel > maxParallel {
		f.Add("parallel", "must be from 1 to %d", maxParallel)
	}
	if d.GiveUp < 0 || d.GiveUp > maxGiveUp {
		f.Add("giveUp", "must be at most 7d")
	}
	return f.Err()
}

// Config is the compiled form of the documents. It is immutable.
type Config struct {
	channels map[string]*ChannelDoc
	webhooks []*Webhook
	byEvent  map[string][]*Webhook // those that want all are in every list
	all      []*Webhook
}

// Webhook is one compiled webhook.
type Webhook struct {
	WebhookDoc
	when condition.Expr // nil holds always
}

// Documents are all documents of this room.
type Documents struct {
	Webhooks []WebhookDoc
	Channels []ChannelDoc
}

// Compile checks and compiles the documents. The error is Invalid and has the
// method Faults() []rapport.Fault.
func Compile(all Documents) (*Config, error) {
	c := &Config{byEvent: map[string][]*Webhook{}}
	var f rapport.Faults
	c.channels = compileChannels(all.Channels, &f)
	docs := all.Webhooks
	seen := map[string]bool{}
	if len(docs) > maxWebhooks {
		f.Add("webhook", "%d are declared, at most %d are served", len(docs), maxWebhooks)
		return nil, f.Err()
	}
	for _, d := range docs {
		if err := d.Validate(); err != nil {
			own, _ := err.(*rapport.Error).Err.(rapport.Faults)
			for _, x := range own {
				f.Add("webhook "+d.ID+": "+x.Path, "%s", x.Message)
			}
			continue
		}
		if seen[d.ID] {
			f.Add("webhook "+d.ID, "is declared twice")
		}
		seen[d.ID] = true
		w := &Webhook{WebhookDoc: d}
		if w.Parallel == 0 {
			w.Parallel = 4
		}
		if w.GiveUp == 0 {
			w.GiveUp = defaultGiveUp
		}
		if !d.When.IsZero() {
			w.when = d.When
		}
		c.webhooks = append(c.webhooks, w)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	for _, w := range c.webhooks {
		for _, name := range w.Events {
			if name != "*" {
				c.byEvent[name] = nil
			}
		}
	}
	for _, w := range c.webhooks {
		if slices.Contains(w.Events, "*") {
			c.all = append(c.all, w)
		}
	}
	for name := range c.byEvent {
		for _, w := range c.webhooks {
			if slices.Contains(w.Events, "*") || slices.Contains(w.Events, name) {
				c.byEvent[name] = append(c.byEvent[name], w)
			}
		}
	}
	return c, nil
}

// Webhooks returns the compiled webhooks in config order.
func (c *Config) Webhooks() []*Webhook {
	if c == nil {
		return nil
	}
	return c.webhooks
}

// Conditions iterates over every condition, so that the aggregates they ask
// about can be maintained.
func (c *Config) Conditions() iter.Seq[condition.Expr] {
	return func(yield func(condition.Expr) bool) {
		for _, w := range c.Webhooks() {
			if w.when != nil && !yield(w.when) {
				return
			}
		}
		for _, id := range slices.Sorted(maps.Keys(c.Channels())) {
			if x := c.Channels()[id].Strict; x != nil && !yield(x) {
				return
			}
		}
	}
}

// wanting returns the webhooks that want an event.
func (c *Config) wanting(e *rapport.Event) []*Webhook {
	if c == nil || len(c.webhooks) == 0 || e.Type == rapport.TypeSystem && e.Name == rapport.SystemDelivery {
		return nil
	}
	name := e.Name
	if e.Type != rapport.TypeTrack && e.Type != rapport.TypeSystem {
		name = e.Type.String()
	}
	if ws, ok := c.byEvent[name]; ok {
		return ws
	}
	return c.all
}
