package api

import (
	"cmp"
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/compose"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// Composer writes messages without sending them ([compose.Composer]).
type Composer interface {
	Preview(ctx context.Context, person rapport.ID, choice *rapport.Choice) (*compose.Draft, error)
	// Fill fills in the templates of a slot's content.
	Fill(ctx context.Context, person rapport.ID, decision string, choice *rapport.Choice) (rapport.Fields, error)
}

// MessagePreview is an action as one person would see it.
type MessagePreview struct {
	Action   string            `json:"action"`
	PersonID string            `json:"personId"`
	Channel  string            `json:"channel,omitempty" doc:"What it would be sent through"`
	Form     string            `json:"form" enum:"mail,text,push,content" doc:"mail has subject, text and html; text has text; push has subject (its title) and text; content has only its fields"`
	Locale   string            `json:"locale,omitempty"`
	To       string            `json:"to,omitempty" doc:"Address or number it would go to; empty if none is known"`
	Subject  string            `json:"subject,omitempty"`
	Text     string            `json:"text,omitempty"`
	HTML     string            `json:"html,omitempty"`
	Fields   map[string]string `json:"fields" doc:"The content's texts, rendered"`
	Content  map[string]any    `json:"content,omitempty" doc:"content: the whole of it as a slot gets it"`
}

type actionPreviewIn struct {
	IDPath
	Body struct {
		Person    decidePerson `json:"person"`
		Placement string       `json:"placement,omitempty" maxLength:"200" doc:"One of the action's placements; its first without it"`
		Locale    string       `json:"locale,omitempty" maxLength:"35" doc:"Such as nb or pt-BR; the person's own without it"`
	}
}

func (a *API) previewOperations() {
	handle(a, operation{id: "preview-action", method: "POST", path: "/v1/actions/{id}/preview", tag: "Decisions", summary: "An action as one person would see it, without any effect", role: access.Marketer}, nil, a.preview)
}

// preview writes an action for a person. Whether they would be given it is for
// /v1/explain to say.
func (a *API) preview(ctx context.Context, in *actionPreviewIn) (*body[MessagePreview], error) {
	id, err := a.resolve(&in.Body.Person)
	if err != nil {
		return nil, err
	}
	out := &body[MessagePreview]{MessagePreview{Action: in.ID, Form: "content", Locale: in.Body.Locale}}
	choice := rapport.Choice{Action: in.ID}
	err = a.deps.Engine.View(ctx, id, nil, func(v *engine.View) error {
		rules, _ := v.Config().Part(decide.Part).(*decide.Config)
		action := rules.Action(in.ID)
		if action == nil {
			return rapport.Errorf(rapport.NotFound, "no action in force has the id %q", in.ID)
		}
		p, ok := profile.Read(v)
		if !ok {
			return rapport.Errorf(rapport.NotFound, "nothing is known of this person")
		}
		placement := in.Body.Placement
		if placement == "" && len(action.Placements) > 0 {
			placement = action.Placements[0]
		}
		out.Body.PersonID = p.ID.String()
		out.Body.Locale = cmp.Or(out.Body.Locale, p.Trait("locale").Str())
		choice.Type, choice.Purpose, choice.Content = action.Type, action.Purpose, action.ContentFor(placement, out.Body.Locale)
		if on := rules.Placement(placement); on != nil {
			if ways := on.Ways(action); len(ways) > 0 { // of several the first
				out.Body.Channel = ways[0]
			}
		} else if in.Body.Placement != "" {
			return rapport.Errorf(rapport.NotFound, "no placement in force has the id %q", in.Body.Placement)
		}
		sends, _ := v.Config().Part(deliver.Part).(*deliver.Config)
		if channel := sends.Channels()[out.Body.Channel]; channel != nil {
			out.Body.Form = map[string]string{deliver.ChannelEmail: "mail", deliver.ChannelSMS: "text", deliver.ChannelPush: "push"}[channel.Type]
		}
		id = v.ID()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if out.Body.Form == "content" {
		filled, err := a.deps.Composer.Fill(ctx, id, "d_preview", &choice)
		if err != nil {
			return nil, err
		}
		out.Body.Content, out.Body.Fields = filled.Map(), map[string]string{}
		for name, v := range filled.All() {
			if text, ok := v.Text(); ok {
				out.Body.Fields[string(name)] = string(text)
			}
		}
		return out, nil
	}
	draft, err := a.deps.Composer.Preview(ctx, id, &choice)
	if err != nil {
		return nil, err
	}
	out.Body.Fields = draft.Fields
	switch out.Body.Form {
	case "mail":
		mail, err := draft.Mail()
		if err != nil {
			return nil, err
		}
		out.Body.To, out.Body.Subject, out.Body.Text, out.Body.HTML = draft.Recipient.Email, mail.Subject, mail.Text, mail.HTML
	case "push":
		out.Body.Subject, out.Body.Text = cmp.Or(draft.Fields["title"], draft.Fields["subject"]), cmp.Or(draft.Fields["body"], draft.Fields["text"])
	case "text":
		out.Body.To, out.Body.Text = draft.Recipient.Phone, draft.Text()
	}
	return out, nil
}
