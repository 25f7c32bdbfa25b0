package condition_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// parse parses a condition a test is sure of.
func parse(t testing.TB, text string) *condition.Condition {
	t.Helper()
	c, err := condition.Parse(text)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return c
}

func TestEveryFormOfTheLanguageHasACanonicalTextThatComesBack(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`traits.country == "NO" && performed("Order Completed").within("30d").count() < 3`: "",
		`traits.address.city != 'Oslo'`:                      `traits.address.city != "Oslo"`,
		`traits["first name"].x == null`:                     "",
		`computed.orders >= 3 || scores.clv > 100.5`:         "",
		`segments.has("regulars")`:                           "",
		`segments.degree("gift-giver") > 0.4`:                "",
		`context.page == "/espresso"`:                        "",
		`items.any(i, i.level < 0.2)`:                        "",
		`items.count(x, x.telemetry.level < 0.2 && x.on)>=2`: `items.count(x, x.telemetry.level < 0.2 && x.on) >= 2`,
		`performed("Order Completed").within("720h").where(properties.revenue > 20).sum("properties.revenue") > 1e3`: `performed("Order Completed").where(properties.revenue > 20).within("30d").sum("revenue") > 1000`,
		`performed("A").where(properties.a).where(properties.b).distinct("sku") > 1`:                                 `performed("A").where(properties.a && properties.b).distinct("sku") > 1`,
		`performed("A").first() < now.unix - duration("2w")`:                                                         `performed("A").first() < now.unix - duration("14d")`,
		`performed("A").last("cart.total") == performed("A").max("cart.total")`:                                      "",
		`performed("A").avg("[\"unit price\"]") * 2 - -1 > 3 / (4 + 5)`:                                              "",
		`now.hour >= 9 && now.weekday <= 5`:                                                                          "",
		`consent.allows("marketing","email") || consent.allows("service")`:                                           `consent.allows("marketing", "email") || consent.allows("service")`,
		`traits.country in ["NO","SE",]`:                                                                             `traits.country in ["NO", "SE"]`,
		`"vip" in traits.tags`:                                                                                       "",
		`traits.email.endsWith("@x.no") && traits.name.contains("a") && traits.name.startsWith("b")`:                 "",
		`traits.email.matches(r"^\w+@x\.no$")`:                                                                       `traits.email.matches("^\\w+@x\\.no$")`,
		`has(traits.x) && !has(traits.y)`:                                                                            "",
		`!(traits.a && (traits.b && traits.c))`:                                                                      `!(traits.a && traits.b && traits.c)`,
		`traits.a || traits.b && traits.c`:                                                                           "",
		`(traits.a || traits.b) && traits.c`:                                                                         "",
		`-(traits.a) < -(-5) && traits.a - (traits.b - 1) > 0`:                                                       `-traits.a < 5 && traits.a - (traits.b - 1) > 0`,
		`time(traits.since) > time("2026-01-31") - duration("1d12h")`:                                                "",
		`traits.tags.size() > 2`:                                                                                     `size(traits.tags) > 2`,
		`traits.n == 12345678901234567890`:                                                                           "",
		"traits.a // why\n && traits.b":                                                                              `traits.a && traits.b`,
		`traits.x == "tab\t \"q\" \u00e9 \\"`:                                                                        `traits.x == "tab\t \"q\" é \\"`,
	} {
		if want == "" {
			want = in
		}
		c := parse(t, in)
		if c.String() != want {
			t.Errorf("%s\n  printed %s\n  wanted  %s", in, c, want)
		}
		if again := parse(t, c.String()); !again.Equal(c) {
			t.Errorf("%s came back as %s", c, again)
		}
		tree, err := condition.ParseTree(c.Tree())
		if err != nil || !tree.Equal(c) {
			t.Errorf("%s as tree\n  %s\n  came back as %v, %v", c, c.Tree(), tree, err)
		}
	}
}

func TestErrorsPointAtTheTokenAndSuggest(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		``:                           "1:1 nothing is written here",
		`trait.country == "NO"`:      "1:1 there is no trait here; did you mean traits?",
		`traits.country = "NO"`:      "1:16 one = does not compare; write ==",
		`traits.a and traits.b`:      "1:10 write && for and",
		`traits.a &&`:                "1:12 the condition ends where a value should follow",
		`(traits.a`:                  "1:10 ) is missing before the end to close the bracket opened at column 1",
		"traits.a &&\n  traits.b )":  "2:12 ) is not expected here",
		`performed("X")`:             `1:1 performed("X") needs a question at its end`,
		`performed("X").cuont() > 1`: "1:16 there is no function cuont; did you mean count?",
		`performed("X").sum() > 1`:   "1:20 sum(...) needs the name of a property",
		`performed("X").within("30 days").count() > 1`:     `1:23 "30 days" is not a duration`,
		`performed("X").where(traits.a == 1).count() > 1`:  "1:22 where(...) sees only the event",
		`performed("X").count()`:                           `1:1 the condition must be a truth value, but performed("X").count() is a number; compare it`,
		`performed("X").count() > "3"`:                     "1:24 > compares unlike things",
		`traits.a < traits.b < 3`:                          "1:21 comparisons do not chain",
		`traits.name.contain("x")`:                         "1:13 there is no function contain; did you mean contains?",
		`segments.hsa("x")`:                                "1:10 there is no function segments.hsa; did you mean has?",
		`now.hours > 3`:                                    "1:5 there is no part now.hours; did you mean hour?",
		`consent.allows(traits.x)`:                         "1:16 the purpose is wanted in quotes, not traits",
		`items.any(i.level < 0.2)`:                         "1:12 , is missing before . after the item's name",
		`items.any(i, items.any(j, j.x))`:                  "1:14 items.any cannot stand inside another",
		`traits.email.matches("(")`:                        "1:22 the pattern cannot be read",
		`traits.email.matches("(a{30}){30}")`:              "1:22 the pattern is too large",
		`traits.x == "abc`:                                 "1:13 the text is not closed",
		`traits.x in "abc"`:                                "1:13 in wants a list",
		`time("tomorrow") > 3`:                             `1:6 "tomorrow" is no date`,
		`traits.first-name`:                                "1:14 there is no name here; a name with - in it",
		`traits.tags[0] == 1`:                              "1:13 in [...] stands a name in quotes",
		`traits.a + "x" == "y"`:                            "1:12 a side of + must be a number",
		`traits == 1`:                                      "1:1 traits needs a name: traits.x",
		`Traits.x == 1`:                                    "1:1 there is no Traits here; did you mean traits?",
		`country == "NO"`:                                  `1:1 there is no country here; write traits.country for a trait, or "country" for a text`,
		strings.Repeat("(", 500) + "true":                  "1:257 the condition is nested too deeply",
		strings.Repeat("!", 500) + "true":                  "the condition is nested too deeply",
		"true" + strings.Repeat(" && true", 1000):          "the condition has more than 1000 parts",
		`traits.ø == 1`:                                    `1:8 'ø' has no meaning here`,
		`traits.x == "ø" && traits.y =`:                    "1:29 one = does not compare",
		strings.Repeat("traits.x == 1 && ", 2000) + "true": "the condition is longer than 16384 bytes",
	} {
		_, err := condition.Parse(in)
		se, ok := errors.AsType[*condition.SyntaxError](err)
		if !ok || rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%.60s: %v", in, err)
			continue
		}
		got := strings.TrimPrefix(strings.Replace(strings.Replace(se.Error(), "line ", "", 1), ", column ", ":", 1), "")
		got = strings.Replace(got, ": ", " ", 1)
		if !strings.HasPrefix(got, want) && !(want[0] > '9' && strings.HasSuffix(got, want)) {
			t.Errorf("%.60s\n  got  %s\n  want %s", in, got, want)
		}
	}
	_, err := condition.Parse("traits.a &&\n\ttrait.b")
	se, _ := errors.AsType[*condition.SyntaxError](err)
	if want := "\ttrait.b\n\t^"; se.Caret() != want {
		t.Errorf("caret\n%s\nwant\n%s", se.Caret(), want)
	}
}
