package evaluate

import (
	"fmt"
	"html/template"
	"math"
	"os"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Page is a report for people: figures and charts on one HTML page that needs
// nothing else (no script, no network).
type Page struct {
	Title string
	Lead  string // one sentence: what was found
	parts []template.HTML
}

// Line is one series of a chart; points with a coordinate that is not finite
// are left out.
type Line struct {
	Name string
	X, Y []float64
	Dots bool // points instead of a line
}

// Figures adds a table; each row begins with its name.
func (p *Page) Figures(caption string, header []string, rows [][]string) {
	var b strings.Builder
	b.WriteString("<table><caption>" + template.HTMLEscapeString(caption) + "</caption><thead><tr>")
	for _, h := range header {
		b.WriteString("<th scope=col>" + template.HTMLEscapeString(h) + "</th>")
	}
	b.WriteString("</tr></thead><tbody>")
	for _, row := range rows {
		b.WriteString("<tr>")
		for i, cell := range row {
			tag := "td"
			if i == 0 {
				tag = "th scope=row"
			}
			b.WriteString("<" + tag + ">" + template.HTMLEscapeString(cell) + "</" + tag[:2] + ">")
		}
		b.WriteString("</tr>")
	}
	b.WriteString("</tbody></table>")
	p.parts = append(p.parts, template.HTML(b.String())) // #nosec G203: every text is escaped above
}

// colours of the lines, chosen to differ for colour-blind readers (Okabe and Ito).
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}

// Chart adds a chart of the lines over common axes.
func (p *Page) Chart(title, xName, yName string, lines ...Line) {
	const w, h, left, bottom, top = 640.0, 320.0, 64.0, 44.0, 12.0
	loX, hiX, loY, hiY := math.Inf(1), math.Inf(-1), 0.0, math.Inf(-1)
	for _, l := range lines {
		for i := range l.X {
			if finite(l.X[i]) && finite(l.Y[i]) {
				loX, hiX, loY, hiY = min(loX, l.X[i]), max(hiX, l.X[i]), min(loY, l.Y[i]), max(hiY, l.Y[i])
			}
		}
	}
	if !(hiX >= loX) {
		return
	}
	hiX, hiY = max(hiX, loX+1e-9), max(hiY, loY+1e-9)
	px := func(x float64) float64 { return left + (x-loX)/(hiX-loX)*(w-left-12) }
	py := func(y float64) float64 { return h - bottom - (y-loY)/(hiY-loY)*(h-bottom-top) }
	var b strings.Builder
	fmt.Fprintf(&b, `<figure><figcaption>%s</figcaption><svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`, template.HTMLEscapeString(title), w, h, template.HTMLEscapeString(title))
	for i := range 5 {
		x, y := loX+(hiX-loX)*float64(i)/4, loY+(hiY-loY)*float64(i)/4
		fmt.Fprintf(&b, `<line class=grid x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><text x="%.1f" y="%.1f" text-anchor="end">%s</text>`, left, w-12, py(y), py(y), left-6, py(y)+4, short(y))
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, px(x), h-bottom+16, short(x))
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text><text transform="translate(12 %.1f) rotate(-90)" text-anchor="middle">%s</text>`,
		(left+w)/2, h-8, template.HTMLEscapeString(xName), (h-bottom)/2, template.HTMLEscapeString(yName))
	for k, l := range lines {
		colour := colours[k%len(colours)]
		var path strings.Builder
		for i := range l.X {
			if !finite(l.X[i]) || !finite(l.Y[i]) {
				continue
			}
			if l.Dots {
				fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, px(l.X[i]), py(l.Y[i]), colour)
			} else {
				fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[path.Len() == 0], px(l.X[i]), py(l.Y[i]))
			}
		}
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/><text x="%.1f" y="%.1f" fill="%s">%s</text>`,
			path.String(), colour, left+12, top+14+16*float64(k), colour, template.HTMLEscapeString(l.Name))
	}
	b.WriteString("</svg></figure>")
	p.parts = append(p.parts, template.HTML(b.String())) // #nosec G203: every text is escaped above
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// short writes a number with three digits that matter, or a dash for none.
func short[T ~float64](x T) string {
	if !finite(float64(x)) {
		return "–"
	}
	if a := math.Abs(float64(x)); a >= 1000 && a < 1e9 {
		return fmt.Sprintf("%.0f", float64(x))
	}
	return fmt.Sprintf("%.3g", float64(x))
}

// percent writes a share.
func percent[T ~float64](x T) string {
	if !finite(float64(x)) {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(x))
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}}</title>
<style>
:root { color-scheme: light dark; --ink: #1c1c1e; --paper: #fff; --faint: #d8d8dc }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf0; --paper: #16161a; --faint: #3a3a40 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: 1.5rem 0; font-variant-numeric: tabular-nums }
caption, figcaption { text-align: left; font-weight: 600; margin-bottom: .4rem }
th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--faint); text-align: right } td { white-space: nowrap } th:first-child { text-align: left }
figure { margin: 1.5rem 0 } svg { width: 100%; font-size: 12px } svg text:not([fill]) { fill: var(--ink) } .grid { stroke: var(--faint) }
</style>
<h1>{{.Title}}</h1><p>{{.Lead}}</p>
{{range .Parts}}{{.}}{{end}}
`))

// WriteFile writes the page. Kind: Invalid if the file cannot be written.
func (p *Page) WriteFile(path string) error {
	var b strings.Builder
	if err := pageTemplate.Execute(&b, map[string]any{"Title": p.Title, "Lead": p.Lead, "Parts": p.parts}); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return rapport.Errorf(rapport.Invalid, "the report cannot be written: %w", err)
	}
	return nil
}
