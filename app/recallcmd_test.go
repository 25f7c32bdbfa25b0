package app_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestTheRecallCommandGoesFromTheLotToTheLift recalls a lot by the command alone.
func TestTheRecallCommandGoesFromTheLotToTheLift(t *testing.T) {
	t.Parallel()
	s := openProducts(t, t.TempDir(), nil)
	s.must("POST", "/v1/config/apply", map[string]any{"yaml": "kind: placement\nid: mailbox\nslots: 1\n---\nkind: action\nid: notice\ntype: message\nright: recall\nwhen: items.any(i, i.state == \"recalled\")\nplacements: [mailbox]\ncontent: {title: Stop, text: \"{{ context.properties.reason }}\"}\n"})
	const lot = "01_09506000134352_10_L7"
	for _, x := range []string{"R1", "R2", "R3"} {
		s.must("POST", "/v1/devices", map[string]any{"item": "01_09506000134352_21_" + x, "facts": map[string]string{"lot": "L7"}})
	}
	s.must("POST", "/v1/items/01_09506000134352_21_R1/claim", map[string]any{"person": map[string]any{"userId": "ann"}})
	command := func(args ...string) string {
		t.Helper()
		code, out, errs := run(t, map[string]string{"RAPPORT_ADMIN_TOKEN": adminToken}, append([]string{"recall", "--server", s.url}, args...)...)
		if code != 0 {
			t.Fatalf("recall %s: %d %s%s", strings.Join(args, " "), code, out, errs)
		}
		return out
	}
	says := func(want string, args ...string) {
		t.Helper()
		if out := command(args...); !strings.Contains(out, want) {
			t.Errorf("recall %s says\n%s\nwithout %q", strings.Join(args, " "), out, want)
		}
	}
	await(t, "the lists have the three items", func() bool { return strings.Contains(command("affected", lot), "3 items of 1 owner") })
	says("recall r7 started", "--id", "r7", "--reason", "Glass", "--instructions", "Bring it back", "start", lot)
	await(t, "all are marked", func() bool { return strings.Contains(command("show", "r7"), "3, 3 marked, 2 nobody's yet") })
	says("r7 of "+lot+": Glass", "show", "r7")
	await(t, "the list has it", func() bool { return strings.Contains(command("list"), "standing") })
	await(t, "its owner is told of", func() bool { return strings.Contains(command("people", "r7"), "01_09506000134352_21_R1") })
	var one struct {
		Person string
		Items  []string
	}
	if err := json.Unmarshal([]byte(command("--json", "people", "r7")), &one); err != nil || len(one.Items) != 1 {
		t.Errorf("%+v %v", one, err)
	}
	says("is told once more", "remind", "r7")
	says("recall r7 lifted", "lift", "r7")
	await(t, "the list says that it is lifted", func() bool { return strings.Contains(command("list"), "lifted") })
	for _, args := range [][]string{{"show"}, {"list", "x"}, {"burn", "r7"}} {
		if code, _, _ := run(t, map[string]string{"RAPPORT_ADMIN_TOKEN": adminToken}, append([]string{"recall", "--server", s.url}, args...)...); code != 2 {
			t.Errorf("recall %v ends with %d", args, code)
		}
	}
	if code, _, errs := run(t, map[string]string{"RAPPORT_ADMIN_TOKEN": adminToken}, "recall", "--server", s.url, "show", "nothing"); code != 1 || !strings.Contains(errs, "nothing") {
		t.Errorf("an unknown recall: %d %s", code, errs)
	}
}
