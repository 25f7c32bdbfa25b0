package evaluate

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/learn/linkage"
)

// identityJob groups the records of a file into people, without being told who
// is who, and says how right it was where the file knows.
func identityJob() Job {
	return Job{
		Name:    "identity",
		Args:    "--records F --id COL [--truth COL] [--map name=COL,...] [--out F]",
		Summary: "Find which records of a file are of one person, without labels",
		Prepare: func(fs *flag.FlagSet) func(context.Context, Progress) (any, error) {
			j := &identityRun{}
			fs.StringVar(&j.records, "records", "", "CSV `file` of records, plain or gzip, with a header row")
			fs.StringVar(&j.id, "id", "", "`column` that names a record")
			fs.StringVar(&j.truth, "truth", "", "`column` that says who a record is of; never used to decide, only to judge")
			fs.StringVar(&j.mapping, "map", "", "which columns hold which field, as `name=COLUMN,...`; fields: "+strings.Join(fieldNames(), " ")+". Without it columns are known by their names")
			fs.StringVar(&j.out, "out", "", "`file` to write id,cluster to")
			fs.Float64Var(&j.threshold, "threshold", 0, "`bits` of evidence, the odds of two strangers included, at which records are one person; 0 is even odds")
			return j.run
		},
	}
}

type identityRun struct {
	records, id, truth, mapping, out string
	threshold                        float64

	ids, truths []string
	values      []linkage.Record
}

// identityReport is what the job prints.
type identityReport struct {
	Records          int               `json:"records"`
	Clusters         int               `json:"clusters"`
	Pairs            int64             `json:"pairs"` // of records found to be one person
	Precision        *Number           `json:"precision"`
	Recall           *Number           `json:"recall"`
	F1               *Number           `json:"f1"`
	RecordsPerSecond Number            `json:"recordsPerSecond"`
	LargestCluster   int               `json:"largestCluster"`
	Micros           latency           `json:"recordMicros"`
	Megabytes        Number            `json:"megabytesPerMillionRecords"`
	TrainingSeconds  Number            `json:"trainingSeconds"`
	Threshold        Number            `json:"threshold"`
	Fields           map[string]string `json:"fields"` // field to column
}

type latency struct {
	P50 Number `json:"p50"`
	P99 Number `json:"p99"`
	Max Number `json:"max"`
}

func fieldNames() (names []string) {
	for _, f := range linkage.Person() {
		names = append(names, f.Name)
	}
	return names
}

// knownAs are names columns have in other people's files.
var knownAs = map[string][]string{
	"given_name": {"givenname", "firstname", "forename", "fname"},
	"surname":    {"surname", "lastname", "familyname", "lname"},
	"email":      {"email", "emailaddress", "mail"},
	"phone":      {"phone", "phonenumber", "telephone", "mobile", "mobilephone"},
	"birth_date": {"birthdate", "dateofbirth", "dob", "birthday"},
	"address":    {"address", "address1", "street", "streetaddress", "addressline1"},
	"postcode":   {"postcode", "postalcode", "zip", "zipcode"},
	"city":       {"city", "suburb", "town", "locality"},
}

// KnownColumns returns which columns of a CSV file hold which field of a person,
// by their usual names, those in but left out. Kind: Invalid if none does.
func KnownColumns(path string, but ...string) (map[string]string, error) {
	t, err := OpenTable(path)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	out := make(map[string]string)
	plain := strings.NewReplacer("_", "", "-", "", " ", "", ".", "")
	for _, f := range fieldNames() {
		for _, c := range t.Columns() {
			if out[f] == "" && slices.Contains(knownAs[f], plain.Replace(strings.ToLower(c))) && !slices.Contains(but, c) {
				out[f] = c
			}
		}
	}
	for _, c := range t.Columns() { // "given_name" itself
		if slices.Contains(fieldNames(), c) && !slices.Contains(but, c) {
			out[c] = c
		}
	}
	if len(out) == 0 {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "%s: no column is known by its name; the columns are %s", path, strings.Join(t.Columns(), ", ")),
			"say which is which, for example surname=COLUMN,birth_date=COLUMN")
	}
	return out, nil
}

// columns says which column holds which field.
func (j *identityRun) columns() (map[string]string, error) {
	out := make(map[string]string)
	if j.mapping == "" {
		return KnownColumns(j.records, j.id, j.truth)
	}
	for _, part := range strings.Split(j.mapping, ",") {
		name, column, ok := strings.Cut(strings.TrimSpace(part), "=")
		name, column = strings.TrimSpace(name), strings.TrimSpace(column)
		switch {
		case !ok || column == "":
			return nil, rapport.Errorf(rapport.Invalid, "--map: %q is not name=COLUMN", part)
		case !slices.Contains(fieldNames(), name):
			return nil, rapport.Errorf(rapport.Invalid, "--map: %q is not a field; the fields are %s", name, strings.Join(fieldNames(), ", "))
		case out[name] != "":
			return nil, rapport.Errorf(rapport.Invalid, "--map: %s is given twice", name)
		}
		out[name] = column
	}
	return out, nil
}

func (j *identityRun) run(ctx context.Context, progress Progress) (any, error) {
	if j.records == "" || j.id == "" {
		return nil, rapport.Errorf(rapport.Invalid, "--records and --id are needed")
	}
	columns, err := j.columns()
	if err != nil {
		return nil, err
	}
	if err := j.read(ctx, columns); err != nil {
		return nil, err
	}
	progress("read %d records; learning without labels", len(j.values))
	began, told := time.Now(), 0.0
	model, err := linkage.Train(linkage.Person(), j.values, func(share float64) {
		if share >= told+0.1 || share == 1 {
			told = share
			progress("learned %.0f %%", 100*share)
		}
	})
	if errors.Is(err, linkage.ErrTooFew) {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "%s: %w", j.records, err), "are the columns in --map the right ones?")
	}
	if err != nil {
		return nil, err
	}
	r := identityReport{Records: len(j.values), Fields: columns, Threshold: Number(j.threshold), TrainingSeconds: Number(time.Since(began).Seconds())}
	index, err := j.stream(ctx, progress, model, &r)
	if err != nil {
		return nil, err
	}
	j.judge(index, &r)
	if j.out != "" {
		if err := j.write(index); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (j *identityRun) read(ctx context.Context, columns map[string]string) error {
	schema := linkage.Person()
	want, at := []string{j.id}, make([]int, len(schema))
	truth := -1
	if j.truth != "" {
		truth = len(want)
		want = append(want, j.truth)
	}
	for i, f := range schema {
		if at[i] = -1; columns[f.Name] != "" {
			at[i] = len(want)
			want = append(want, columns[f.Name])
		}
	}
	t, err := OpenTable(j.records, want...)
	if err != nil {
		return err
	}
	defer t.Close()
	values := make([]string, len(schema))
	for t.Next() {
		if len(j.ids)%1000 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if t.Text(0) == "" {
			return t.Errorf(0, "the record has no id")
		}
		j.ids = append(j.ids, strings.Clone(t.Text(0)))
		if truth >= 0 {
			j.truths = append(j.truths, strings.Clone(t.Text(truth)))
		}
		for i := range schema {
			if values[i] = ""; at[i] >= 0 {
				values[i] = t.Text(at[i])
			}
		}
		j.values = append(j.values, schema.Record(values))
	}
	if err := t.Err(); err != nil {
		return err
	}
	if len(j.values) == 0 {
		return rapport.Errorf(rapport.Invalid, "%s: there are no records below the header", j.records)
	}
	return nil
}

// stream takes the records in one by one, in the order of the file, as a server would.
func (j *identityRun) stream(ctx context.Context, progress Progress, model *linkage.Model, r *identityReport) (*linkage.Index, error) {
	before := heap()
	index := linkage.NewIndex(model, linkage.Options{Threshold: j.threshold})
	took := make([]int64, len(j.values))
	began := time.Now()
	drawn := began
	for i, v := range j.values {
		at := time.Now()
		index.Add(v)
		took[i] = int64(time.Since(at))
		if at.Sub(drawn) > 2*time.Second {
			drawn = at
			progress("grouped %d of %d records", i+1, len(j.values))
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	r.RecordsPerSecond = Number(float64(len(j.values)) / time.Since(began).Seconds())
	r.Megabytes = Number(float64(heap()-before-int64(8*len(took))) / (1 << 20) * 1e6 / float64(len(j.values)))
	slices.Sort(took)
	micros := func(q float64) Number { return Number(float64(took[int(q*float64(len(took)-1))]) / 1e3) }
	r.Micros = latency{micros(0.5), micros(0.99), micros(1)}
	return index, nil
}

// heap returns the bytes in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// judge counts the clusters and, where the truth is known, the pairs that are right.
func (j *identityRun) judge(index *linkage.Index, r *identityReport) {
	pairs := func(n int64) int64 { return n * (n - 1) / 2 }
	type cell struct {
		cluster int
		truth   string
	}
	sizes, judged, people, both := map[int]int64{}, map[int]int64{}, map[string]int64{}, map[cell]int64{}
	for i := range j.ids {
		c := index.Cluster(i)
		sizes[c]++
		if j.truths != nil && j.truths[i] != "" { // who is not known cannot be judged
			judged[c]++
			people[j.truths[i]]++
			both[cell{c, j.truths[i]}]++
		}
	}
	r.Clusters = len(sizes)
	for _, n := range sizes {
		r.Pairs += pairs(n)
		r.LargestCluster = max(r.LargestCluster, int(n))
	}
	if j.truths == nil {
		return
	}
	var right, found, real int64
	for _, n := range both {
		right += pairs(n)
	}
	for _, n := range judged {
		found += pairs(n)
	}
	for _, n := range people {
		real += pairs(n)
	}
	share := func(a, b int64) *Number { n := Number(float64(a) / float64(b)); return &n }
	r.Precision, r.Recall, r.F1 = share(right, found), share(right, real), share(2*right, found+real)
}

func (j *identityRun) write(index *linkage.Index) (err error) {
	f, err := os.Create(j.out)
	if err != nil {
		return rapport.Errorf(rapport.Invalid, "--out: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := csv.NewWriter(f)
	_ = w.Write([]string{"id", "cluster"})
	for i, id := range j.ids {
		_ = w.Write([]string{id, strconv.Itoa(index.Cluster(i))})
	}
	if w.Flush(); w.Error() != nil {
		return fmt.Errorf("write %s: %w", j.out, w.Error())
	}
	return nil
}
