package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/config"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares text with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, diff)
	}
}

func TestDocumentsFillTheRoomsStructs(t *testing.T) {
	t.Parallel()
	set := documents(t, registry(t), northbean)
	if set.Len() != 5 {
		t.Fatalf("%d documents", set.Len())
	}
	s := config.Specs[*sourceDoc](set, "source")[0]
	if *s != (sourceDoc{ID: "web", Key: "wk_web", Rate: 1000}) {
		t.Errorf("%+v", s)
	}
	a := config.Specs[*actionDoc](set, "action")[0]
	if a.Type != "offer" || len(a.Placements) != 1 || a.Goals[0].Within.Std().Hours() != 168 || a.Cost != 0.02 || len(a.When.Aggregates()) != 1 {
		t.Errorf("%+v", a)
	}
	if got := string(a.Content.AppendJSON(nil)); got != `{"title":"Fresh espresso","url":"/espresso"}` {
		t.Errorf("content %s", got)
	}
	seg := set.Get("segment", "regulars")
	if !seg.Demo || seg.Labels["team"] != "crm" || !strings.HasPrefix(seg.Text, "kind: segment\n") {
		t.Errorf("%+v", seg)
	}
	if file, line := seg.Position(); file != "test.yaml" || line != 21 {
		t.Errorf("at %s:%d", file, line)
	}
	if !strings.HasPrefix(set.Get("source", "web").Text, "# The shop.\n") {
		t.Error("the comment is lost")
	}
}

func TestEverythingWrongIsReportedAtOnceWithItsPlace(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/wrong.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r := registry(t)
	set, problems := r.Parse("wrong.yaml", data)
	problems = append(problems, r.Check(set)...)
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
		if s := p.Snippet(); s != "" {
			b.WriteString(s + "\n")
		}
	}
	golden(t, "wrong.txt", b.String())
	if rapport.KindOf(problems.Err()) != rapport.Invalid || len(problems.Faults()) != len(problems) {
		t.Error("not Invalid")
	}
}

func TestReferencesStayInTheDocumentAndAreReplacedOnlyWhenResolved(t *testing.T) {
	t.Parallel()
	r := registry(t)
	set := documents(t, r, northbean)
	doc := set.Get("webhook", "crm")
	if spec := doc.Spec.(*webhookDoc); spec.Secret != "${CRM_SECRET}" || strings.Join(doc.Environment, ",") != "CRM_HOST,CRM_SECRET,CRM_TOKEN" {
		t.Errorf("%+v %v", spec, doc.Environment)
	}
	resolved, problems := r.Resolve(set, environment("CRM_HOST", "crm.example", "CRM_SECRET", "s3", "CRM_TOKEN", "t"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := &webhookDoc{URL: "https://crm.example/hook", Secret: "s3", Headers: map[string]string{"X-Key": "${literal}", "Authorization": "Bearer t"}, Timeout: rapport.Duration(10e9)}
	if diff := cmp.Diff(want, resolved.Get("webhook", "crm").Spec); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(resolved.Get("webhook", "crm").Text, "s3") || doc.Spec.(*webhookDoc).Secret != "${CRM_SECRET}" {
		t.Error("the secret is in the stored document")
	}
	_, problems = r.Resolve(set, environment("CRM_HOST", "crm.example"))
	want2 := "test.yaml:30:9: secret reads CRM_SECRET from the environment, where it is not set\ntest.yaml:31:48: headers.Authorization reads CRM_TOKEN from the environment, where it is not set"
	if problems.Error() != want2 {
		t.Errorf("got\n%s\nwant\n%s", problems.Error(), want2)
	}
}

func TestAFolderIsReadWholeAndHiddenFilesAreNot(t *testing.T) {
	t.Parallel()
	r := registry(t)
	set, problems, err := r.Load(fstest.MapFS{
		"a.yaml":         {Data: []byte("kind: placement\nid: one\n")},
		"sub/b.yml":      {Data: []byte("kind: placement\r\nid: two\r\n---\nkind: placement\nid: one\n")},
		".hidden/c.yaml": {Data: []byte("broken: [")},
		"readme.md":      {Data: []byte("hello")},
		"empty.yaml":     {Data: []byte("# nothing\n---\n...\n")},
	})
	if err != nil || set.Len() != 2 {
		t.Fatalf("%v %v", set.Len(), err)
	}
	if got := problems.Error(); got != "sub/b.yml:5:5: placement/one is defined already at a.yaml:1" {
		t.Error(got)
	}
	if _, _, err := r.Load(os.DirFS(t.TempDir() + "/none")); rapport.KindOf(err) != rapport.Invalid {
		t.Error(err)
	}
}

func TestJSONIsReadAndKeptAsYAML(t *testing.T) {
	t.Parallel()
	r := registry(t)
	set := documents(t, r, `{"kind":"action","id":"a","type":"message","content":{"title":"It's \"on\": 1","n":[1,{"a":null,"b":[]},[2]],"no":"no","e":"é\u0001\u2028 "},"when":{"==":[{"path":"traits.a"},1]}}`+"\n")
	doc := set.Get("action", "a")
	want := `kind: action
id: a
type: message
content:
  title: "It's \"on\": 1"
  "n":
    - 1
    - a: null
      b: []
    - - 2
  "no": "no"
  e: "é\u0001` + "\u2028" + ` "
when:
  "==":
    - path: traits.a
    - 1
`
	if diff := cmp.Diff(want, doc.Text); diff != "" {
		t.Error(diff)
	}
	if s := doc.Spec.(*actionDoc).When.String(); s != "traits.a == 1" {
		t.Error(s)
	}
	again := documents(t, r, doc.Text)
	if diff := cmp.Diff(doc.Fields().Map(), again.Get("action", "a").Fields().Map()); diff != "" {
		t.Error(diff)
	}
	_, problems := r.Parse("body", []byte(`{"kind":"action","id":"a","type":"mesage"}`))
	if got := problems.Error(); got != `body:1:34: type cannot be mesage; did you mean message?` {
		t.Error(got)
	}
}

func TestASetComesBackFromItsExport(t *testing.T) {
	t.Parallel()
	r := registry(t)
	set := documents(t, r, northbean)
	files := fstest.MapFS{}
	for name, data := range config.Export(set) {
		files[name] = &fstest.MapFile{Data: data}
	}
	again, problems, err := r.Load(files)
	if err != nil || len(problems) > 0 || len(files) != 5 {
		t.Fatal(err, problems)
	}
	if plan := config.Compare(set, again, false); len(plan) != 0 {
		t.Error(plan)
	}
}

func TestAPlanShowsKeysAndLines(t *testing.T) {
	t.Parallel()
	r := registry(t)
	before := documents(t, r, northbean)
	text := strings.Replace(northbean, "cost: 0.02", "cost: 0.05\nuncapped: true", 1)
	text = strings.Replace(text, "  - {event: Decision Clicked, within: 1h, value: 0.1}\n", "  - {event: Decision Clicked, within: 2h, value: 0.1}\n", 1)
	text = strings.Replace(text, "kind: placement\nid: home_hero\nslots: 2\n", "# Only a comment.\nid: home_hero\nkind: placement\nslots:   2\n---\nkind: placement\nid: second\n", 1)
	text = strings.Replace(text, "kind: segment\nid: regulars", "kind: segment\nid: regular", 1)
	after := documents(t, r, text)
	plan := config.Compare(before, after, false)
	var b strings.Builder
	b.WriteString(plan.String())
	for _, d := range plan {
		b.WriteString("\n" + string(d.Op) + " " + d.Ref.String() + "\n" + d.Diff)
	}
	golden(t, "plan.txt", b.String())
	if kept := config.Compare(before, after, true); len(kept) != len(plan)-1 {
		t.Error("a document to keep is deleted")
	}
}

func TestTheReferenceAndSchemaComeFromTheTags(t *testing.T) {
	t.Parallel()
	r := registry(t)
	golden(t, "reference.md", r.Reference())
	schema, ok := r.Schema("action")
	if !ok {
		t.Fatal("no schema")
	}
	golden(t, "action.schema.json", indent(t, schema))
	if _, ok := r.Describe("acton"); ok {
		t.Error("described an unknown kind")
	}
}

func TestADefectiveDeclarationIsRefused(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]config.Kind{
		"no doc": {Name: "a", New: func() any {
			return &struct {
				X int `yaml:"x"`
			}{}
		}},
		"channel": {Name: "a", New: func() any {
			return &struct {
				X chan int `yaml:"x" doc:"d"`
			}{}
		}},
		"bad bound": {Name: "a", New: func() any {
			return &struct {
				X int `yaml:"x" doc:"d" min:"1d"`
			}{}
		}},
		"header": {Name: "a", New: func() any {
			return &struct {
				X int `yaml:"kind" doc:"d"`
			}{}
		}},
		"no struct": {Name: "a", New: func() any { return 1 }},
		"bad name":  {Name: "A b", New: func() any { return &struct{}{} }},
	} {
		if _, err := config.NewRegistry([]config.Kind{kind}); rapport.KindOf(err) != rapport.Internal || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
