// Package compose writes a message to one person from what was decided: it
// renders the Liquid templates in an action's content with what is known of
// the person at the moment of sending.
//
// Content for HTML is escaped unless a template says raw. A template that fails
// gives an error and no message: half a message is never sent.
package compose

import (
	"context"
	"html"
	"maps"
	"strconv"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/liquid"
)

// Recipient is a person as a message needs them.
type Recipient struct {
	Name, Email, Phone, Locale string
	Zone                       *time.Location // nil is UTC
	// Variables are what templates call person.
	Variables map[string]any
}

// Reader reads recipients.
type Reader interface {
	// Recipient returns the person as known now. Kind: NotFound.
	Recipient(ctx context.Context, person rapport.ID) (Recipient, error)
}

// Links makes the addresses a message carries.
type Links interface {
	// Preferences is the page on which the person chooses what to hear.
	Preferences(person rapport.ID) string
	// Unsubscribe refuses a purpose on a channel at one POST (RFC 8058).
	Unsubscribe(person rapport.ID, purpose, channel string) string
}

// Deps are what a Composer needs.
type Deps struct {
	Reader   Reader
	Links    Links
	Clock    rapport.Clock
	Decision func(body []byte) (*rapport.Decision, error)
}

// Composer composes messages. It is safe for concurrent use.
type Composer struct{ deps Deps }

// New returns a Composer.
func New(d Deps) *Composer { return &Composer{d} }

// Draft is a message ready to be put into the form of a channel.
type Draft struct {
	Recipient   Recipient
	Fields      map[string]string // of the content, rendered; html escaped where it is HTML
	Preferences string
	Unsubscribe string // empty for a message that needs no consent
	Purpose     string
	Decision    string // id of the decision
	Action      string
}

// Compose writes the message of a decision. The result, if not nil, says why
// there is none.
func (c *Composer) Compose(ctx context.Context, m *deliver.Message, channel string) (*Draft, *deliver.Result) {
	d, err := c.deps.Decision(m.Event.Body)
	if err != nil || len(d.Items) == 0 {
		return nil, &deliver.Result{Status: deliver.Failed, Detail: "the decision cannot be read"}
	}
	item := &d.Items[0]
	r, err := c.deps.Reader.Recipient(ctx, m.Person)
	switch {
	case rapport.KindOf(err) == rapport.NotFound:
		return nil, &deliver.Result{Status: deliver.Withheld, Detail: "the person is gone"}
	case err != nil:
		return nil, &deliver.Result{Status: deliver.Retry, Busy: true, Detail: "the profile cannot be read"}
	}
	draft := &Draft{Recipient: r, Purpose: item.Purpose, Preferences: c.deps.Links.Preferences(m.Person)}
	if item.Purpose != "" {
		draft.Unsubscribe = c.deps.Links.Unsubscribe(m.Person, item.Purpose, channel)
	}
	if err := c.write(draft, d.ID, item, d.Context); err != nil {
		return nil, &deliver.Result{Status: deliver.Failed, Detail: err.Error()}
	}
	return draft, nil
}

// Preview writes the message that a choice would be for a person now. Nothing
// is decided or sent, and its links lead nowhere: those of a message let whoever
// holds them choose for the person. Kinds: NotFound, Invalid for a template that fails.
func (c *Composer) Preview(ctx context.Context, person rapport.ID, choice *rapport.Choice) (*Draft, error) {
	r, err := c.deps.Reader.Recipient(ctx, person)
	if err != nil {
		return nil, err
	}
	draft := &Draft{Recipient: r, Purpose: choice.Purpose, Preferences: "https://preview.invalid/preferences"}
	if choice.Purpose != "" {
		draft.Unsubscribe = "https://preview.invalid/unsubscribe"
	}
	return draft, c.write(draft, "d_preview", choice, nil)
}

func (c *Composer) write(draft *Draft, decision string, item *rapport.Choice, context rapport.Fields) (err error) {
	draft.Decision, draft.Action = decision, item.Action
	draft.Fields, err = Render(item.Content, draft.Recipient, c.deps.Clock.Now(), map[string]any{
		"links":    map[string]any{"preferences": draft.Preferences, "unsubscribe": draft.Unsubscribe},
		"decision": map[string]any{"id": decision, "action": item.Action},
		"context":  context.Map(), // what caused it: event and properties of a trigger, the recall
	})
	return err
}

// Render renders every text of a content. The field html is escaped as HTML,
// the others are plain.
func Render(content rapport.Fields, r Recipient, now time.Time, more map[string]any) (map[string]string, error) {
	variables := map[string]any{"person": r.Variables}
	maps.Copy(variables, more)
	out := map[string]string{}
	for key, v := range content.All() {
		text, isText := v.Text()
		name := string(key)
		if !isText {
			if n, ok := v.Number(); ok {
				out[name] = strconv.FormatFloat(n, 'f', -1, 64)
			}
			continue
		}
		t, err := liquid.Parse(string(text))
		if err != nil {
			return nil, rapport.Errorf(rapport.Invalid, "content.%s: %w", name, err)
		}
		o := liquid.Options{Now: now, Zone: r.Zone}
		if name == "html" {
			o.Escape = html.EscapeString
		}
		if out[name], err = t.Render(variables, o); err != nil {
			return nil, rapport.Errorf(rapport.Invalid, "content.%s: %w", name, err)
		}
	}
	return out, nil
}

// Check parses the templates of a content, so that a fault shows when the
// configuration is checked and not when the message is due.
func Check(content rapport.Fields) (faults []rapport.Fault) {
	for key, v := range content.All() {
		if text, ok := v.Text(); ok {
			if _, err := liquid.Parse(string(text)); err != nil {
				faults = append(faults, rapport.Fault{Path: "content." + string(key), Message: err.Error()})
			}
		}
	}
	return faults
}
