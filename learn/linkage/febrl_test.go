package linkage_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/learn/linkage"
)

// febrl reads a file of P. Christen's Febrl: synthetic people with mistyped duplicates.
func febrl(t testing.TB, n int) (records []linkage.Record, truth []string) {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("../../../shared/data/febrl/dataset%d.csv", n))
	if err != nil {
		t.Skip("the Febrl files are not here: ", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, c := range rows[0] {
		at[strings.TrimSpace(c)] = i
	}
	s := linkage.Person()
	for _, row := range rows[1:] {
		get := func(c string) string { return strings.TrimSpace(row[at[c]]) }
		records = append(records, s.Record([]string{get("given_name"), get("surname"), "", "", get("date_of_birth"), get("address_1"), get("postcode"), get("suburb")}))
		truth = append(truth, strings.Split(get("rec_id"), "-")[1])
	}
	return records, truth
}

// judged is how right a grouping is, pair by pair.
type judged struct{ precision, recall, f1 float64 }

func judge(x *linkage.Index, truth []string) judged {
	pairs := func(n int) float64 { return float64(n) * float64(n-1) / 2 }
	both, found, real := map[string]int{}, map[int]int{}, map[string]int{}
	for i, t := range truth {
		both[fmt.Sprint(x.Cluster(i), " ", t)]++
		found[x.Cluster(i)]++
		real[t]++
	}
	var tp, p, r float64
	for _, n := range both {
		tp += pairs(n)
	}
	for _, n := range found {
		p += pairs(n)
	}
	for _, n := range real {
		r += pairs(n)
	}
	j := judged{precision: tp / p, recall: tp / r}
	j.f1 = 2 * j.precision * j.recall / (j.precision + j.recall)
	return j
}

func stream(m *linkage.Model, records []linkage.Record, o linkage.Options) *linkage.Index {
	x := linkage.NewIndex(m, o)
	for _, r := range records {
		x.Add(r)
	}
	return x
}

func TestFebrlPeopleAreFoundWithoutLabels(t *testing.T) {
	t.Parallel()
	files := 3
	if testing.Short() {
		files = 1
	}
	for n := 1; n <= files; n++ {
		records, truth := febrl(t, n)
		m, err := linkage.Train(linkage.Person(), records, nil)
		if err != nil {
			t.Fatal(err)
		}
		right := judge(stream(m, records, linkage.Options{}), truth)
		low := judge(stream(m, records, linkage.Options{Threshold: -6}), truth)
		t.Logf("Febrl %d: %+v; with the threshold 6 bits too low %+v", n, right, low)
		if right.f1 < 0.997 {
			t.Errorf("Febrl %d: F1 is %.4f", n, right.f1)
		}
		if low.precision < 0.90 {
			t.Errorf("Febrl %d: 6 bits too low, precision is %.4f", n, low.precision)
		}
		for seed := range uint64(5) {
			r := rand.New(rand.NewPCG(seed, 0))
			r.Shuffle(len(records), func(i, j int) {
				records[i], records[j] = records[j], records[i]
				truth[i], truth[j] = truth[j], truth[i]
			})
			if other := judge(stream(m, records, linkage.Options{}), truth); other.f1-right.f1 > 0.002 || right.f1-other.f1 > 0.002 {
				t.Errorf("Febrl %d: F1 is %.4f in one order and %.4f in another", n, right.f1, other.f1)
			}
		}
	}
}

func TestTheOrderOfRecordsDoesNotChangeTheModel(t *testing.T) {
	t.Parallel()
	records, _ := synthetic(4, 400, 40, 60)
	models := [2]string{}
	for i := range models {
		m, err := linkage.Train(linkage.Person(), records, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var back linkage.Model
		if err := json.Unmarshal(text, &back); err != nil || back.Check() != nil {
			t.Fatal(err, back.Check())
		}
		if a, _ := linkage.Score(m, records[0], records[1]); true {
			if b, _ := linkage.Score(&back, records[0], records[1]); a != b {
				t.Errorf("a model read back scores %v, not %v", b, a)
			}
		}
		models[i] = string(text)
		slices.Reverse(records)
	}
	if models[0] != models[1] {
		t.Error("two orders give two models")
	}
}

func TestAHouseholdIsNotAPerson(t *testing.T) {
	t.Parallel()
	records, _ := synthetic(5, 800, 300, 1000)
	m, err := linkage.Train(linkage.Person(), records, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := linkage.Person()
	mother := s.Record([]string{"Ingrid", "Solberg", "", "4722123456", "1961-03-08", "7 Birch Lane", "0571", "Oslo"})
	son := s.Record([]string{"Thomas", "Solberg", "", "4722123456", "1990-11-21", "7 Birch Lane", "0571", "Oslo"})
	if bits, steps := linkage.Score(m, mother, son); bits >= 0 {
		t.Errorf("mother and son are one person by %.1f bits: %+v", bits, steps)
	}
	same := s.Record([]string{"Ingrid", "Solberg", "", "4722123456", "1961-03-08", "9 Oak Lane", "5003", "Bergen"})
	if bits, steps := linkage.Score(m, mother, same); bits < 0 {
		t.Errorf("who moved is somebody else by %.1f bits: %+v", bits, steps)
	}
}

func TestTheBoundedScoreIsTheScore(t *testing.T) {
	t.Parallel()
	records, _ := synthetic(3, 1200, 40, 60)
	m, err := linkage.Train(linkage.Person(), records, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := linkage.NewIndex(m, linkage.Options{Threshold: -20})
	for i, r := range records {
		found := map[int]float64{}
		x.Candidates(r, -15, func(c linkage.Candidate) { found[c.Record] = c.Bits })
		all := map[int]float64{}
		x.Candidates(r, -1e9, func(c linkage.Candidate) { all[c.Record] = c.Bits })
		for j, bits := range all {
			want, _ := linkage.Score(m, r, records[j])
			if got, ok := found[j]; want >= -15 && (!ok || got != want) || bits != want || want < -15 && ok {
				t.Fatalf("records %d and %d score %v, found with a bound as %v (%v), without as %v", i, j, want, got, ok, bits)
			}
		}
		x.Add(r)
	}
}
