package deliver

import (
	"encoding/base64"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// Types of channels.
const (
	ChannelEmail = "smtp" // mail through an SMTP server
	ChannelSMS   = "sms"  // a text through a provider's HTTP interface
	// ChannelPush is a notification through the browsers' push services.
	ChannelPush = "webpush"
)

// ChannelDoc is the config document of kind "channel": a way to reach people.
// An action, a placement or a trigger names it; consent is asked under its id.
type ChannelDoc struct {
	ID   string `yaml:"id" doc:"Name of the channel, as actions and consent know it: email, sms."`
	Type string `yaml:"type" required:"true" enum:"smtp,sms,webpush" doc:"smtp: mail through a server. sms: a text through a provider's HTTP interface. webpush: a notification in the browser."`

	Server   string `yaml:"server,omitempty" doc:"smtp: host and port of the server, such as smtp.example.com:587."`
	TLS      string `yaml:"tls,omitempty" enum:"starttls,implicit,none" doc:"smtp: starttls (default), implicit (port 465) or none, for a server on the same machine."`
	Username string `yaml:"username,omitempty" doc:"smtp: user to sign in as; nobody if left out."`
	Password string `yaml:"password,omitempty" secret:"true" doc:"smtp: password, from the environment: ${SMTP_PASSWORD}."`
	From     string `yaml:"from,omitempty" doc:"smtp: sender, such as Northbean <hello@northbean.example>. sms: number or name of the sender."`
	ReplyTo  string `yaml:"replyTo,omitempty" doc:"smtp: where answers go."`

	URL     string            `yaml:"url,omitempty" doc:"sms: where to post; https."`
	Headers map[string]string `yaml:"headers,omitempty" doc:"sms: request headers; secrets from the environment as ${NAME}."`
	Body    string            `yaml:"body,omitempty" doc:"sms: the request, a Liquid template with to, from, text and key; {{ text | json }} quotes. JSON if it begins with {, else a form."`

	PrivateKey string           `yaml:"privateKey,omitempty" secret:"true" doc:"webpush: private key of the deployment, from the environment: ${PUSH_KEY}. rapport keys webpush makes one."`
	Subject    string           `yaml:"subject,omitempty" doc:"webpush: address at which operators of push services reach you, such as mailto:ops@northbean.example."`
	TTL        rapport.Duration `yaml:"ttl,omitempty" max:"28d" doc:"webpush: how long a push service keeps a message for a browser that is off; default 1d."`
	Urgency    string           `yaml:"urgency,omitempty" enum:"very-low,low,normal,high" doc:"webpush: whether to wake a device that saves power; default normal. A content's urgency goes before it."`

	Parallel int              `yaml:"parallel,omitempty" min:"0" max:"64" doc:"Most messages at once, 1 to 64; default 4."`
	Rate     int              `yaml:"rate,omitempty" min:"0" max:"10000" unit:"messages/s" doc:"Most messages a second; no limit if left out."`
	GiveUp   rapport.Duration `yaml:"giveUp,omitempty" max:"7d" doc:"How long to keep trying; default 1d, at most 7d."`

	Strict *condition.Condition `yaml:"strict,omitempty" doc:"To whom nothing may be sent through it without their consent, not even a recall: true for everybody, or a condition such as traits.country == \"US\". Left out, what has a right needs no consent."`
}

const (
	maxChannels = 20
	maxTTL      = rapport.Duration(28 * 24 * 3600 * 1e9) // what push services keep at most
)

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults.
func (d *ChannelDoc) Validate() error {
	var f rapport.Faults
	if d.ID == "" || len(d.ID) > 64 || strings.ContainsAny(d.ID, "\x00/ ") || d.ID == KindInApp || d.ID == "webhook" {
		f.Add("id", "must be 1 to 64 bytes without slash or space, and not inapp or webhook, which are there already")
	}
	switch d.Type {
	case ChannelEmail:
		d.checkEmail(&f)
	case ChannelSMS:
		if u, err := url.Parse(d.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			f.Add("url", "is not an absolute https address")
		}
		if strings.TrimSpace(d.Body) == "" {
			f.Add("body", "is missing: the request as the provider wants it, with {{ to }} and {{ text }}")
		}
		for name := range d.Headers {
			if name == "" || strings.ContainsAny(name, " :\r\n") {
				f.Add("headers", "%q is not a header", name)
			}
		}
	case ChannelPush:
		d.checkPush(&f)
	default:
		f.Add("type", "must be smtp, sms or webpush")
	}
	if d.Strict != nil {
		if err := d.Strict.EventFree(); err != nil {
			f.Add("strict", "%v", err)
		}
	}
	if d.Parallel < 0 || d.Parallel > maxParallel {
		f.Add("parallel", "must be from 1 to %d", maxParallel)
	}
	if d.Rate < 0 || d.Rate > 10_000 {
		f.Add("rate", "must be from 0 to 10000 a second")
	}
	if d.GiveUp < 0 || d.GiveUp > maxGiveUp {
		f.Add("giveUp", "must be at most 7d")
	}
	return f.Err()
}

func (d *ChannelDoc) checkEmail(f *rapport.Faults) {
	if host, port, err := net.SplitHostPort(d.Server); err != nil || host == "" || port == "" {
		f.Add("server", "is not host:port, such as smtp.example.com:587")
	}
	if !slices.Contains([]string{"", "starttls", "implicit", "none"}, d.TLS) {
		f.Add("tls", "must be starttls, implicit or none")
	}
	if _, err := mail.ParseAddress(d.From); err != nil {
		f.Add("from", "is not a mail address, such as Northbean <hello@northbean.example>")
	}
	if d.ReplyTo != "" {
		if _, err := mail.ParseAddress(d.ReplyTo); err != nil {
			f.Add("replyTo", "is not a mail address")
		}
	}
	if d.Username != "" && d.TLS == "none" {
		f.Add("tls", "a password is only sent over TLS")
	}
}

func (d *ChannelDoc) checkPush(f *rapport.Faults) {
	if key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(d.PrivateKey, "=")); err != nil || len(key) != 32 {
		f.Add("privateKey", "is not a private key of 32 bytes in base64url; rapport keys webpush makes one")
	}
	if u, err := url.Parse(d.Subject); err != nil || u.Scheme != "mailto" && u.Scheme != "https" || u.Opaque == "" && u.Host == "" {
		f.Add("subject", "is not an address such as mailto:ops@northbean.example")
	}
	if d.TTL < 0 || d.TTL > maxTTL {
		f.Add("ttl", "must be at most 28d")
	}
	if !slices.Contains([]string{"", "very-low", "low", "normal", "high"}, d.Urgency) {
		f.Add("urgency", "must be very-low, low, normal or high")
	}
}

// ChannelKind returns the kind of effects of a channel document.
func ChannelKind(id string) string { return channelKind + id }

// compileChannels checks the documents and fills in what is left out.
func compileChannels(docs []ChannelDoc, f *rapport.Faults) map[string]*ChannelDoc {
	channels := map[string]*ChannelDoc{}
	if len(docs) > maxChannels {
		f.Add("channel", "%d are declared, at most %d are served", len(docs), maxChannels)
		return channels
	}
	for _, d := range docs {
		if err := d.Validate(); err != nil {
			own, _ := err.(*rapport.Error).Err.(rapport.Faults)
			for _, x := range own {
				f.Add("channel "+d.ID+": "+x.Path, "%s", x.Message)
			}
			continue
		}
		if channels[d.ID] != nil {
			f.Add("channel "+d.ID, "is declared twice")
		}
		if d.Parallel == 0 {
			d.Parallel = 4
		}
		if d.GiveUp == 0 {
			d.GiveUp = defaultGiveUp
		}
		channels[d.ID] = &d
	}
	return channels
}

// Channels returns the compiled channels by id.
func (c *Config) Channels() map[string]*ChannelDoc {
	if c == nil {
		return nil
	}
	return c.channels
}
