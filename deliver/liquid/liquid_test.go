package liquid_test

import (
	"errors"
	"html"
	"strings"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver/liquid"
)

var world = map[string]any{
	"name": "Ada", "n": 5, "price": 12.5, "nothing": nil, "yes": true, "no": false, "blankText": "  ",
	"list": []any{"b", "a", "c"}, "numbers": []any{3, 1, 2}, "empty_list": []any{},
	"person": map[string]any{"first": "Ada", "address": map[string]any{"city": "Oslo"}, "tags": []string{"x", "y"}},
	"products": []any{
		map[string]any{"title": "Beans", "price": 12, "type": "coffee", "available": true},
		map[string]any{"title": "Cup", "price": 9, "type": "ware", "available": false},
		map[string]any{"title": "Decaf", "price": 11, "type": "coffee", "available": true},
	},
	"html": `<b>"Tom" & 'Ann'</b>`,
	"at":   time.Date(2026, 3, 7, 15, 4, 5, 0, time.UTC),
}

func options() liquid.Options {
	return liquid.Options{
		Now: time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC),
		Partials: func(name string) (*liquid.Template, error) {
			partials := map[string]string{
				"card": "[{{ card.title }}{{ extra }}{{ hidden }}]", "row": "{{ forloop.index }}{{ row }};",
				"loop": `{% render "loop" %}`, "stop": "a{% break %}b", "see": "{{ hidden }}{% assign hidden = 'new' %}",
			}
			text, ok := partials[name]
			if !ok {
				return nil, errors.New("not found")
			}
			return liquid.Parse(text)
		},
	}
}

func TestTemplatesRenderAsTheReferenceSays(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		// values
		"Hello {{ name }}!": "Hello Ada!",
		"{{ person.address.city }}{{ person['first'] }}":                                         "OsloAda",
		"{{ person.tags[1] }}{{ person.tags[-1] }}{{ person.tags.size }}{{ person.tags.first }}": "yy2x",
		"{{ missing.anything.at.all }}":                                                          "",
		"{{ 1.0 }} {{ 12 }} {{ -3.25 }} {{ nil }}{{ true }}":                                     "1.0 12 -3.25 true",
		"{{ (1..4) }} {{ list }} {{ '' }}":                                                       "1..4 bac ",
		"a{{- ' x ' -}} b {%- if yes -%} c {%- endif %} d":                                       "a x bc d",
		"{{ 'a}b' }}": "a}b",

		// conditions
		"{% if name == 'Ada' and n > 3 %}1{% elsif n %}2{% else %}3{% endif %}":                       "1",
		"{% if no or nothing %}1{% elsif n < 3 %}2{% else %}3{% endif %}":                             "3",
		"{% if true or false and false %}right{% endif %}":                                            "right",
		"{% unless no %}u{% else %}e{% endunless %}":                                                  "u",
		"{% if list contains 'a' and name contains 'd' %}c{% endif %}":                                "c",
		"{% if empty_list == empty %}e{% endif %}{% if blankText == blank %}b{% endif %}":             "eb",
		"{% if '' %}truthy{% endif %}{% if 0 %}0{% endif %}{% if nothing %}x{% endif %}":              "truthy0",
		"{% if 1 == 1.0 %}=={% endif %}{% if nothing < 3 %}x{% endif %}{% if 1 != '1' %}!{% endif %}": "==!",
		"{% case n %}{% when 4 %}4{% when 5, 6 %}56{% else %}e{% endcase %}":                          "56",
		"{% case n %} x {% when 1 or 2 %}12{% else %}e{% endcase %}":                                  "e",

		// loops
		"{% for i in (1..3) %}{{ i }}{% unless forloop.last %},{% endunless %}{% endfor %}":                                                         "1,2,3",
		"{% for x in list reversed %}{{ x }}{% endfor %}":                                                                                           "cab",
		"{% for i in (1..9) limit:3 offset:2 %}{{ i }}{% endfor %}{% for i in (1..9) limit:2 offset:continue %}{{ i }}{% endfor %}":                 "34567",
		"{% for i in (1..9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}":                     "13",
		"{% for x in empty_list %}x{% else %}none{% endfor %}":                                                                                      "none",
		"{% for p in person.address %}{{ p[0] }}={{ p[1] }}{% endfor %}":                                                                            "city=Oslo",
		"{% for a in (1..2) %}{% for b in (1..2) %}{{ forloop.parentloop.index }}{{ forloop.index0 }}{{ forloop.rindex }} {% endfor %}{% endfor %}": "102 111 202 211 ",
		"{% for i in (1..3) %}{% cycle 'a', 'b' %}{% endfor %}{% cycle 'g': 1, 2 %}{% cycle 'g': 1, 2 %}":                                           "aba12",
		"{% tablerow x in list cols:2 %}{{ x }}{{ tablerowloop.col_last }}{% endtablerow %}":                                                        "<tr class=\"row1\">\n<td class=\"col1\">bfalse</td><td class=\"col2\">atrue</td></tr>\n<tr class=\"row2\"><td class=\"col1\">cfalse</td></tr>\n",
		"{% for i in (1..3) %}{% ifchanged %}{{ i | at_most: 2 }}{% endifchanged %}{% endfor %}":                                                    "12",

		// variables
		"{% assign x = 'a' | append: name %}{{ x }}":                                                        "aAda",
		"{% capture x %}<{{ n }}>{% endcapture %}{{ x }}{{ x.size }}":                                       "<5>3",
		"{% increment c %}{% increment c %}{% decrement d %}{{ c }}":                                        "01-12",
		"{% comment %} {{ nope | nofilter }} {% if %} {% endcomment %}x{% # a remark %}y":                   "xy",
		"{% raw %}{{ name }} {% if %}{% endraw %}":                                                          "{{ name }} {% if %}",
		"{% echo name | upcase %}":                                                                          "ADA",
		"{% liquid\n assign x = 2\n if x == 2\n  echo 'two'\n endif\n for i in (1..2)\n echo i\n endfor %}": "two12",
		"{% render 'card', card: person, extra: 1 %}":                                                       "[1]",
		"{% assign hidden = 'h' %}{% render 'card' with products[0] %}":                                     "[Beans]",
		"{% render 'row' for list %}":                                                                       "1b;2a;3c;",
		"{% assign hidden = 'h' %}{% include 'see' %}{{ hidden }}{% render 'stop' %}":                       "hnewa",

		// filters of texts
		"{{ 'hELLO wORLD' | capitalize }} {{ 'ß' | upcase }} {{ ' x ' | strip }}|":                                                                   "Hello world ß x|",
		"{{ 'abcdef' | slice: 2 }}{{ 'abcdef' | slice: -3, 2 }}{{ 'abc' | slice: 9 }}":                                                               "cde",
		"{{ 'a b  c' | split: ' ' | join: '-' }} {{ 'a,b,,' | split: ',' | size }}":                                                                  "a-b-c 2",
		"{{ 'Ground control' | truncate: 9 }} {{ 'Ground control' | truncate: 9, '' }}":                                                              "Ground... Ground co",
		"{{ 'one two three' | truncatewords: 2 }} {{ 'one' | truncatewords: 2, '--' }}":                                                              "one two... one",
		"{{ 'aabb' | replace: 'a', 'x' }}{{ 'aabb' | replace_first: 'a', 'x' }}{{ 'aabb' | replace_last: 'a', 'x' }}{{ 'aabb' | remove_last: 'b' }}": "xxbbxabbaxbbaab",
		"{{ html | escape }}":                                     "&lt;b&gt;&#34;Tom&#34; &amp; &#39;Ann&#39;&lt;/b&gt;",
		"{{ '1 < 2 &amp; 3' | escape_once }}":                     "1 &lt; 2 &amp; 3",
		"{{ html | strip_html }}":                                 `"Tom" & 'Ann'`,
		"{{ 'a b&c' | url_encode }} {{ 'a+b%26c' | url_decode }}": "a+b%26c a b&c",
		"{{ 'one' | base64_encode | base64_decode }}":             "one",
		"{{ nothing | default: 'd' }}{{ no | default: 'd' }}{{ no | default: 'd', allow_false: true }}{{ '' | default: 'e' }}": "ddfalsee",

		// filters of numbers
		"{{ 4 | plus: 2 }} {{ 0.1 | plus: 0.2 }} {{ '3' | times: '4' }} {{ 5 | minus: 7.5 }}":               "6 0.3 12 -2.5",
		"{{ 20 | divided_by: 7 }} {{ 20 | divided_by: 7.0 }} {{ -7 | divided_by: 2 }} {{ -7 | modulo: 3 }}": "2 2.857142857142857 -4 2",
		"{{ 4.6 | floor }} {{ 4.2 | ceil }} {{ 2.5 | round }} {{ 2.567 | round: 2 }} {{ -1.5 | round }}":    "4 5 3 2.57 -2",
		"{{ -7 | abs }} {{ 3 | at_least: 5 }} {{ 3 | at_most: 2 }}":                                         "7 5 2",

		// filters of lists
		"{{ list | sort | join: '' }}{{ numbers | sort | join: '' }}{{ list | reverse | join: '' }}":                                          "abc123cab",
		"{{ products | map: 'title' | join: ', ' }}":                                                                                          "Beans, Cup, Decaf",
		"{{ products | where: 'type', 'coffee' | map: 'title' | join: ' ' }} {{ products | reject: 'available' | map: 'title' | join: ' ' }}": "Beans Decaf Cup",
		"{{ products | sum: 'price' }} {{ products | sort: 'price' | map: 'price' | join: ' ' }}":                                             "32 9 11 12",
		"{{ products | has: 'title', 'Cup' }} {{ products | find_index: 'title', 'Cup' }}":                                                    "true 1",
		"{{ 'a b a' | split: ' ' | uniq | join: '' }} {{ list | concat: numbers | size }}":                                                    "ab 6",

		// dates
		"{{ at | date: '%Y-%m-%d %H:%M' }} {{ '2026-03-07' | date: '%-d. %B %y, %A' }}": "2026-03-07 15:04 7. March 26, Saturday",
		"{{ 'now' | date: '%F' }} {{ 0 | date: '%s %j %e' }} {{ 'soon' | date: '%Y' }}": "2026-11-22 0 001  1 soon",
		"{{ at | date: '%I:%M %p|%l|%^a|%03d|%V|%U|%z|%%' }}":                           "03:04 PM| 3|SAT|007|10|09|+0000|%",
	} {
		parsed, err := liquid.Parse(template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		got, err := parsed.Render(world, options())
		if err != nil || got != want {
			t.Errorf("%s\n got  %q, %v\n want %q", template, got, err, want)
		}
	}
}

func TestFaultsPointAtTheirPlace(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"a\nb {{ name | upcas }}":         `line 2, column 13: there is no filter "upcas"; did you mean "upcase"?`,
		"{% if n %}x":                     "line 1, column 4: if is not closed by endif",
		"{% endif %}":                     "endif has nothing to end",
		"{% for x on list %}{% endfor %}": "in is missing",
		"{% nope %}":                      "nope",
		"{{ 'open }}":                     "the quote is not closed",
		"{{ name":                         "{{ is not closed",
		"{{ name | truncate: 1, 2, 3 }}":  "takes 0 to 2 arguments, not 3",
		"{{ a b }}":                       `"b" was not expected`,
		"{{ a & b }}":                     `"&" means nothing here`,
		"{% raw %}x":                      "endraw is missing",
		"{% case n %}{% else %}x":         "case is not closed",
		"{% render name %}":               "in quotes",
		"{{ 1 | divided_by: 0 }}":         "divided by 0",
		"{% if 'a' < 3 %}{% endif %}":     `"a" and 3 have no order`,
		"{% render 'loop' %}":             "nested more than",
		"{% render 'nobody' %}":           `partial "nobody": not found`,
		"{% for i in (1..9999999) %}{% for j in (1..9999999) %}{% endfor %}{% endfor %}":                "takes more than",
		"{% assign x = 'aaaaaaaaaa' %}{% for i in (1..30) %}{% assign x = x | append: x %}{% endfor %}": "longer than",
	} {
		parsed, err := liquid.Parse(template)
		if err == nil {
			_, err = parsed.Render(world, options())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", template, err, want)
		}
		if rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%s: kind %v", template, rapport.KindOf(err))
		}
	}
}

func TestOutputsAreEscapedOnceWhereAsked(t *testing.T) {
	t.Parallel()
	o := options()
	o.Escape = html.EscapeString
	for template, want := range map[string]string{
		"<i>{{ html }}</i>":                               "<i>&lt;b&gt;&#34;Tom&#34; &amp; &#39;Ann&#39;&lt;/b&gt;</i>",
		"{{ '<' | escape }}{{ '<' | raw }}":               "&lt;<",
		"{% capture x %}{{ '<' }}{% endcapture %}{{ x }}": "&lt;",
		"{{ 'a<\nb' | newline_to_br }}":                   "a&lt;<br />\nb",
		"{{ '<' | append: '>' | upcase }}":                "&lt;&gt;",
	} {
		parsed, err := liquid.Parse(template)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parsed.Render(world, o); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", template, got, err, want)
		}
	}
}

func FuzzATemplateNeverPanicsAndStaysBounded(f *testing.F) {
	for _, s := range []string{
		"{{ a.b[1] | split: ',' | sort | join }}", "{% for i in (1..3) %}{{ i }}{% else %}{% endfor %}", "{% if a == 'b' or c %}{% endif %}",
		"{%- liquid\nassign x = 1\necho x -%}", "{% raw %}{{{% endraw %}", "{% tablerow x in y cols: 2 %}{% endtablerow %}", "{{ 'now' | date: '%-5^A%' }}",
		"{% case a %}{% when 1, 2 %}{% endcase %}", "{% cycle 'a': b, c %}", "{{ x | slice: -9, 99999999999 | truncate: -1 }}", "{% render 'card', a: b %}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := liquid.Parse(s)
		if err != nil {
			return
		}
		if out, err := parsed.Render(world, options()); err == nil && len(out) > liquid.MaxOutput {
			t.Errorf("%d bytes", len(out))
		}
	})
}

func BenchmarkRender(b *testing.B) {
	parsed, err := liquid.Parse("Dear {{ person.first }},{% for p in products %}{% if p.available %}\n- {{ p.title | upcase }}: {{ p.price | times: 1.25 | round: 2 }}{% endif %}{% endfor %}\n")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parsed.Render(world, liquid.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
