package deliver

import "github.com/rapport-engine/rapport"

// AppendItems appends what a client is told of a decision, as JSON: its id,
// placement and items with action, kind and content; never values, reasons or
// propensities.
func AppendItems(b []byte, d *rapport.Decision) []byte {
	b = append(b, `{"decisionId":`...)
	b = rapport.StringValue(d.ID).AppendJSON(b)
	b = append(b, `,"placement":`...)
	b = rapport.StringValue(d.Placement).AppendJSON(b)
	b = append(b, `,"items":[`...)
	for i := range d.Items {
		c := &d.Items[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"action":`...)
		b = rapport.StringValue(c.Action).AppendJSON(b)
		b = append(b, `,"kind":`...)
		b = rapport.StringValue(string(c.Type)).AppendJSON(b)
		b = append(b, `,"content":`...)
		b = c.Content.AppendJSON(b)
		b = append(b, '}')
	}
	return append(b, ']', '}')
}
