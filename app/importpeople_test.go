package app_test

import (
	"strings"
	"testing"
)

func TestPeopleAreImportedByTheNamesOfTheirColumns(t *testing.T) {
	t.Parallel()
	r, url := receive(t)
	dir := t.TempDir()
	file := write(t, dir, "people.csv", "Customer,First Name,Last Name,E-Mail,Zip\nc1,Anna,Berg,anna@b.no,0571\nc2,Bo,Dahl,bo@b.no,5003\n")
	env := map[string]string{"RAPPORT_KEY": "wk_till_1234"}
	for range 2 { // a second run adds nothing
		code, out, errs := run(t, env, "import", "people", file, "--user-id", "Customer", "--server", url)
		if code != 0 {
			t.Fatal(out, errs)
		}
	}
	if len(r.events) != 2 {
		t.Fatalf("%d people arrived", len(r.events))
	}
	e := r.events[0]
	traits, _ := e["traits"].(map[string]any)
	if e["type"] != "identify" || e["userId"] != "c1" || traits["email"] != "anna@b.no" || traits["firstName"] != "Anna" || traits["postalCode"] != "0571" {
		t.Errorf("the first is %v", e)
	}
	for want, args := range map[string][]string{
		"no column names the people": {"import", "people", write(t, dir, "nobody.csv", "surname\nBerg\n"), "--server", url},
		"is known by its name":       {"import", "people", write(t, dir, "odd.csv", "x\n1\n"), "--server", url},
		"is not name=COLUMN":         {"import", "people", file, "--columns", "surname", "--server", url},
		"leave out --mapping":        {"import", "people", file, "--mapping", file, "--server", url},
	} {
		if code, _, errs := run(t, env, args...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}
