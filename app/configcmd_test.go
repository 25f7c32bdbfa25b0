package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFolderIsCheckedWithoutAServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.yaml", "kind: source\nid: web\nkey: wk_web_1234\n---\nkind: placement\nid: hero\nslots: 1\n")
	write(t, dir, "sub/b.yml", "kind: action\nid: hello\ntype: offer\nplacements: [hero]\nwhen: traits.country == \"NO\"\n")
	if code, out, errs := run(t, nil, "check", dir); code != 0 || !strings.Contains(out, "3 documents, nothing wrong") {
		t.Fatal(code, out, errs)
	}
	write(t, dir, "sub/c.yaml", "kind: action\nid: other\ntype: offer\nplacments: [hero]\n---\nkind: action\nid: third\ntype: offer\nplacements: [hero]\nwhen: traits.country ==\n")
	code, out, errs := run(t, nil, "check", dir)
	for _, want := range []string{
		filepath.Join(dir, "sub", "c.yaml") + ":4:1: ", "placements", "placments: [hero]\n^", // nearest name, and the place
		filepath.Join(dir, "sub", "c.yaml") + ":10:", "rapport check: 3 problems in",
	} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not in\n%s", want, errs)
		}
	}
	if code != 1 || out != "" {
		t.Error(code, out)
	}
	if code, _, errs := run(t, nil, "check", filepath.Join(dir, "nowhere")); code != 1 || !strings.Contains(errs, "is not a folder") {
		t.Error(code, errs)
	}
	if code, _, _ := run(t, nil, "check"); code != 2 {
		t.Errorf("no operand exits %d", code)
	}
}

// The documents that every deployment may count on, as they are promised.
func TestTheLeastThatMustWorkWorks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "all.yaml", `kind: source
id: web
key: wk_web            # write key; also ${WEB_KEY}
---
kind: placement
id: home_hero
slots: 1
---
kind: action
id: espresso-offer
type: offer            # offer message recommendation question command content
placements: [home_hero]
when: traits.country == "NO" && performed("Order Completed").within("30d").count() < 3
content: {title: Fresh espresso, url: /espresso}
goals:
  - {event: Order Completed, within: 7d, value: properties.revenue}
  - {event: Decision Clicked, within: 1h, value: 0.1}
cost: 0.02
---
kind: segment
id: regulars
when: performed("Order Completed").within("90d").count() >= 3
---
kind: policy
id: default
holdout: 0.05
caps: [{scope: person, max: 3, per: 1d}]
quietHours: {from: "21:00", to: "08:00", zone: person}
`)
	if code, out, errs := run(t, nil, "check", dir); code != 0 || !strings.Contains(out, "5 documents, nothing wrong") {
		t.Fatal(code, out, errs)
	}
	h := newHouse(t, 30)
	env := map[string]string{"RAPPORT_TOKEN": houseToken, "RAPPORT_SERVER": h.url}
	if code, out, errs := run(t, env, "apply", dir); code != 0 {
		t.Fatal(code, out, errs)
	}
	if code, out, errs := run(t, env, "export", t.TempDir()); code != 0 {
		t.Fatal(code, out, errs)
	}
}

func TestWhatRoomsFindTogetherFailsTheCheckToo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.yaml", "kind: source\nid: web\nkey: wk_same_1234\n---\nkind: source\nid: app\nkey: wk_same_1234\n---\nkind: source\nid: till\nkey: ${TILL_KEY}\n")
	if code, _, errs := run(t, nil, "check", dir); code != 0 || !strings.Contains(errs, "needed where the server runs: TILL_KEY") {
		t.Error(code, errs)
	}
	if code, _, errs := run(t, map[string]string{"TILL_KEY": "wk_till_1234"}, "check", dir); code != 1 || !strings.Contains(errs, "key") {
		t.Error(code, errs)
	}
}

func TestAFolderIsPlannedAppliedAndExported(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	env := map[string]string{"RAPPORT_TOKEN": houseToken, "RAPPORT_SERVER": h.url}
	dir := t.TempDir()
	write(t, dir, "all.yaml", "kind: source\nid: web\nkey: wk_web_1234\nname: Shop\n---\nkind: placement\nid: side\nslots: 2\n")
	code, out, errs := run(t, env, "plan", dir)
	for _, want := range []string{"~ source/web", "+ name: Shop", "+ placement/side", "1 to create, 1 to change, 0 to delete"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("%q: %d\n%s%s", want, code, out, errs)
		}
	}
	if code, out, _ := run(t, env, "plan", dir, "--prune"); code != 0 || !strings.Contains(out, "- action/hello") {
		t.Error(code, out)
	}
	if code, out, errs := run(t, env, "apply", dir, "--note", "spring"); code != 0 || !strings.Contains(out, "Applied as version 2.") {
		t.Fatal(code, out, errs)
	}
	if code, out, _ := run(t, env, "apply", dir); code != 0 || !strings.Contains(out, "Nothing changes") {
		t.Error(code, out)
	}
	// What deletes asks, and nobody is there to answer.
	if code, _, errs := run(t, env, "apply", dir, "--prune"); code != 1 || !strings.Contains(errs, "add --yes") {
		t.Error(code, errs)
	}
	if code, out, errs := run(t, env, "apply", dir, "--prune", "--yes"); code != 0 || !strings.Contains(out, "Applied as version 3.") {
		t.Fatal(code, out, errs)
	}
	to := filepath.Join(t.TempDir(), "out")
	if code, out, errs := run(t, env, "export", to); code != 0 || !strings.Contains(out, "2 files of version 3") {
		t.Fatal(code, out, errs)
	}
	if code, out, errs := run(t, env, "plan", to, "--prune"); code != 0 || !strings.Contains(out, "Nothing changes") {
		t.Fatal(code, out, errs)
	}
	for _, name := range mustGlob(t, filepath.Join(to, "*source*")) {
		if err := os.WriteFile(name, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, errs := run(t, env, "export", to); code != 1 || !strings.Contains(errs, "is there and differs") {
		t.Error(code, errs)
	}
	if code, _, errs := run(t, map[string]string{"RAPPORT_SERVER": h.url}, "plan", dir); code != 2 || !strings.Contains(errs, "RAPPORT_TOKEN") {
		t.Error(code, errs)
	}
	if code, _, errs := run(t, map[string]string{"RAPPORT_SERVER": h.url, "RAPPORT_TOKEN": "wrong"}, "plan", dir); code != 1 || !strings.Contains(errs, "token") {
		t.Error(code, errs)
	}
}

func mustGlob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatal(pattern, names, err)
	}
	return names
}

func TestAMessageByRightWithoutAConditionIsWarnedOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const text = "kind: placement\nid: mailbox\nslots: 1\n---\nkind: action\nid: notice\ntype: message\nright: recall\nplacements: [mailbox]\ncontent: {subject: Stop, body: Stop using it.}\n"
	write(t, dir, "a.yaml", text)
	code, _, errs := run(t, nil, "check", dir)
	if code != 0 || !strings.Contains(errs, "warning: action notice has the right of a recall and no condition") {
		t.Errorf("%d %s", code, errs)
	}
	write(t, dir, "a.yaml", text+"when: items.any(i, i.state == \"recalled\")\n")
	if code, _, errs := run(t, nil, "check", dir); code != 0 || strings.Contains(errs, "warning") {
		t.Errorf("with a condition: %d %s", code, errs)
	}
}
