package compose

import (
	"html/template"
	"strings"
)

// Mail is a message as mail programs show it.
type Mail struct {
	Subject string
	Text    string
	HTML    string
}

// Mail lays the draft out as a mail. Its content has subject, and either html
// and text, or the blocks of a plain mail: title, body, image, url and button.
// What only one of both forms says is derived for the other.
func (d *Draft) Mail() (Mail, error) {
	f := d.Fields
	m := Mail{Subject: first(f["subject"], f["title"]), Text: f["text"], HTML: f["html"]}
	m.Subject = strings.Join(strings.Fields(m.Subject), " ")
	if m.Text == "" {
		m.Text = strings.TrimSpace(strings.Join([]string{f["title"], f["body"], f["url"]}, "\n\n"))
	}
	if m.HTML == "" {
		var b strings.Builder
		err := layout.Execute(&b, map[string]any{
			"Lang": first(d.Recipient.Locale, "en"), "Preview": f["preview"], "Title": f["title"], "Image": f["image"], "Alt": f["alt"],
			"Paragraphs": paragraphs(first(f["body"], f["text"])), "URL": f["url"], "Button": first(f["button"], "See it"),
			"Unsubscribe": d.Unsubscribe != "", "Preferences": d.Preferences,
		})
		if err != nil {
			return m, err
		}
		m.HTML = b.String()
	} else if d.Unsubscribe != "" && !strings.Contains(m.HTML, d.Preferences) {
		// Whoever asked for consent must also let people take it back.
		m.HTML += footer(d.Preferences)
	}
	if d.Unsubscribe != "" && !strings.Contains(m.Text, d.Preferences) {
		m.Text += "\n\n--\nChoose what you hear from us: " + d.Preferences + "\n"
	}
	return m, nil
}

// Text lays the draft out as a text for a phone: its text, or body and url.
func (d *Draft) Text() string {
	if text := strings.TrimSpace(d.Fields["text"]); text != "" {
		return text
	}
	return strings.TrimSpace(d.Fields["body"] + " " + d.Fields["url"])
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func paragraphs(text string) (out []string) {
	for p := range strings.SplitSeq(text, "\n\n") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func footer(preferences string) string {
	return `<p style="font:12px/1.5 sans-serif;color:#6b6b6b;text-align:center"><a href="` + template.HTMLEscapeString(preferences) + `" style="color:#6b6b6b">Choose what you hear from us</a></p>`
}

// layout is one column that fits a phone and a wide window, light and dark.
// Mail programs know little CSS, so the styles stand in the elements.
var layout = template.Must(template.New("mail").Parse(`<!doctype html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{{.Title}}</title>
<style>@media (prefers-color-scheme: dark){body,.page{background:#161514!important}.card{background:#211f1d!important}h1,p{color:#f2efe9!important}}</style>
</head>
<body style="margin:0;background:#f6f4f0">
{{with .Preview}}<div style="display:none;max-height:0;overflow:hidden">{{.}}</div>{{end}}
<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" style="background:#f6f4f0"><tr><td align="center" style="padding:24px 12px">
<table role="presentation" class="card" width="100%" cellpadding="0" cellspacing="0" style="max-width:560px;background:#ffffff;border-radius:12px"><tr><td style="padding:32px 28px">
{{with .Image}}<img src="{{.}}" alt="{{$.Alt}}" width="504" style="width:100%;height:auto;border:0;border-radius:8px;margin:0 0 20px">{{end}}
{{with .Title}}<h1 style="font:600 24px/1.3 Georgia,serif;color:#1d1b19;margin:0 0 16px">{{.}}</h1>{{end}}
{{range .Paragraphs}}<p style="font:16px/1.6 Helvetica,Arial,sans-serif;color:#3a3733;margin:0 0 16px">{{.}}</p>{{end}}
{{with .URL}}<p style="margin:24px 0 0"><a href="{{.}}" style="display:inline-block;padding:12px 22px;border-radius:8px;background:#1d1b19;color:#ffffff;font:600 16px/1 Helvetica,Arial,sans-serif;text-decoration:none">{{$.Button}}</a></p>{{end}}
</td></tr></table>
{{if .Unsubscribe}}<p style="font:12px/1.5 Helvetica,Arial,sans-serif;color:#6b6761;margin:20px 0 0"><a href="{{.Preferences}}" style="color:#6b6761">Choose what you hear from us</a></p>{{end}}
</td></tr></table>
</body>
</html>
`))
