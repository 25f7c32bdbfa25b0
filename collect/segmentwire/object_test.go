package segmentwire_test

import (
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/segmentwire"
)

func TestAnObjectIsReadWholeOrRefused(t *testing.T) {
	t.Parallel()
	f, err := segmentwire.Object([]byte(` {"page":"home","n":2,"deep":{"a":[1,"x"]}} `))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.AppendJSON(nil)); got != `{"page":"home","n":2,"deep":{"a":[1,"x"]}}` {
		t.Errorf("read as %s", got)
	}
	for _, bad := range []string{"", "7", `"x"`, `{"a":}`, `{"a":1`, `{} {}`, `[1]`} {
		if _, err := segmentwire.Object([]byte(bad)); rapport.KindOf(err) != rapport.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
