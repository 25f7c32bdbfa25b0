package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Compared is the same load on a server with computed traits, live segments and
// all predictions, and on one with none of that.
type Compared struct {
	Traits   int `json:"traits"`
	Segments int `json:"segments"`
	// Predictions says where what predictions are made from is kept: only with.
	Predictions Sides `json:"predictions"`
	// Without and With add up the rounds, which alternate so that what else the
	// machine does falls on both.
	Rounds  int  `json:"rounds"`
	Without Load `json:"without"`
	With    Load `json:"with"`
	// Ratio is which share of the sustained rate is left, CPURatio the server's
	// processor time per event without over that with.
	Ratio    float64 `json:"ratio"`
	CPURatio float64 `json:"cpuRatio"`
}

// Sides says on which side of a comparison something is on.
type Sides struct {
	Without bool `json:"without"`
	With    bool `json:"with"`
}

// rounds is how often a comparison alternates.
const rounds = 2

// compare measures ingestion with the traits and segments of the options and
// all predictions, and without any, on servers of our own.
func (o Options) compare(ctx context.Context, dir string) (*Compared, error) {
	c := &Compared{Traits: o.Traits, Segments: o.Segments, Predictions: Sides{With: true}, Rounds: rounds}
	for round := range rounds {
		for _, with := range []bool{false, true} {
			into, name := &c.Without, "without"
			one := o
			if with {
				into, name = &c.With, "with"
			} else {
				one.Traits, one.Segments, one.noPredictions = 0, 0, true
				if one.Profile != "" {
					one.Profile += ".without"
				}
			}
			o.Progress(fmt.Sprintf("measuring ingestion %s traits, segments and predictions, round %d of %d", name, round+1, rounds))
			l, err := one.once(ctx, filepath.Join(dir, fmt.Sprintf("%s-%d", name, round)))
			if err != nil {
				return nil, err
			}
			into.add(l)
		}
	}
	c.Ratio = c.With.SustainedPerSecond / c.Without.SustainedPerSecond
	if a, b := c.Without.CPUSecondsPerMillion, c.With.CPUSecondsPerMillion; a != nil && b != nil && *b > 0 {
		c.CPURatio = *a / *b
	}
	return c, nil
}

// once measures one load on a fresh server.
func (o Options) once(ctx context.Context, dir string) (Load, error) {
	s, err := o.server(ctx, dir)
	if err != nil {
		return Load{}, err
	}
	defer os.RemoveAll(dir)
	defer s.stop()
	if o.Preload {
		if _, err := s.preload(ctx, o); err != nil {
			return Load{}, err
		}
	}
	l, _, err := s.load(ctx, o, o.job(s, o.Rate))
	return l, err
}

// add adds another load to one.
func (l *Load) add(o Load) {
	mean := func(a, b *float64) *float64 {
		if a == nil || b == nil {
			return b
		}
		m := (*a*float64(l.Events) + *b*float64(o.Events)) / float64(l.Events+o.Events)
		return &m
	}
	if l.Events == 0 {
		*l = o
		return
	}
	l.CPUSecondsPerMillion, l.DiskBytesPerEvent = mean(l.CPUSecondsPerMillion, o.CPUSecondsPerMillion), mean(l.DiskBytesPerEvent, o.DiskBytesPerEvent)
	l.Events, l.Seconds, l.DrainSeconds = l.Events+o.Events, l.Seconds+o.Seconds, l.DrainSeconds+o.DrainSeconds
	l.Refused, l.Failed, l.GeneratorCPUSeconds = l.Refused+o.Refused, l.Failed+o.Failed, l.GeneratorCPUSeconds+o.GeneratorCPUSeconds
	l.EventsPerSecond = float64(l.Events) / l.Seconds
	l.SustainedPerSecond = float64(l.Events) / (l.Seconds + l.DrainSeconds)
	l.Request = o.Request // of the last round
}

// definitions returns computed traits and segments as a web shop has them: over
// what people view, add and buy, by category and in windows, and over what they
// are and what is computed of them.
func definitions(traits, segments int) string {
	var b strings.Builder
	names := [4]string{"Product Viewed", "Product Added", "Order Completed", "page"}
	categories := [4]string{"beans", "pods", "machines", "accessories"}
	ops := [5]string{"count", "sum", "since", "decayed", "average"}
	for i := range traits {
		op := ops[i%5]
		fmt.Fprintf(&b, "---\nkind: computed\nid: t%d\nevent: %s\nop: %s\n", i, names[i%4], op)
		if op == "sum" || op == "average" {
			fmt.Fprintf(&b, "property: %s\n", [4]string{"price", "price", "revenue", "price"}[i%4])
		}
		if op == "count" || op == "sum" || op == "average" {
			fmt.Fprintf(&b, "within: %dd\n", [3]int{7, 30, 90}[i%3])
		}
		if i%4 < 2 && i%3 > 0 {
			fmt.Fprintf(&b, "where: properties.category == %q\n", categories[i/4%4])
		}
	}
	for i := range segments {
		event, days, category := names[i/6%4], [3]int{7, 30, 90}[i%3], categories[i/24%4]
		where := ""
		if i/6%4 < 2 {
			where = fmt.Sprintf(`.where(properties.category == %q)`, category)
		}
		when := ""
		switch i % 6 {
		case 0:
			when = fmt.Sprintf(`performed(%q)%s.within("%dd").count() >= %d`, event, where, days, 1+i%7)
		case 1:
			when = fmt.Sprintf(`performed("Order Completed").within("%dd").sum("revenue") > %d`, days, 10*i)
		case 2:
			when = fmt.Sprintf(`traits.country == %q && performed(%q)%s.count() >= %d`, [5]string{"NO", "SE", "DE", "GB", "FR"}[i%5], event, where, 1+i%9)
		case 3:
			when = fmt.Sprintf(`performed(%q)%s.count() >= 2 && performed(%q).last() < now.unix - duration("%dd")`, event, where, event, days)
		case 4:
			when = fmt.Sprintf(`traits.plan == %q && traits.birthYear > %d`, [3]string{"free", "plus", "club"}[i%3], 1950+i%60)
		default:
			if traits > 0 {
				when = fmt.Sprintf(`computed.t%d > %d`, i%traits, i%11)
			} else {
				when = fmt.Sprintf(`performed(%q).count() >= %d`, event, 1+i%20)
			}
		}
		fmt.Fprintf(&b, "---\nkind: segment\nid: s%d\nwhen: %s\n", i, quoted(when))
	}
	return b.String()
}

// quoted writes a text as YAML in single quotes.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
