package evaluate

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
)

// choices are the probabilities with which a candidate policy takes actions.
type choices struct {
	p       *policy
	logged  bool
	uniform bool
	learned bool
	columns []*column          // that the table tells apart
	table   map[string]*shares // by their values
}

// shares are probabilities by action of the log; the rest goes to actions the
// log does not show.
type shares struct {
	chance []float64
	total  float64
	rows   int
}

func (p *policy) choices() (*choices, error) {
	switch p.candidate {
	case "uniform":
		return &choices{p: p, uniform: true}, nil
	case "logged":
		return &choices{p: p, logged: true}, nil
	case "learned":
		return &choices{p: p, learned: true}, nil
	}
	return p.readCandidate()
}

// at writes the candidate's probabilities for entry i.
func (c *choices) at(i int, rewards, to []float64) {
	n := float64(len(to))
	switch {
	case c.uniform:
		for a := range to {
			to[a] = 1 / n
		}
	case c.learned:
		// Equal rewards share the choice, so that no order of names matters.
		best := slices.Max(rewards)
		ties := 0.0
		for _, q := range rewards {
			if q == best {
				ties++
			}
		}
		for a, q := range rewards {
			to[a] = exploration / n
			if q == best {
				to[a] += (1 - exploration) / ties
			}
		}
	default:
		copy(to, c.table[c.key(i)].chance)
	}
}

func (c *choices) key(i int) string {
	var b strings.Builder
	for _, k := range c.columns {
		b.WriteString(k.levels[k.rows[i]])
		b.WriteByte(0)
	}
	return b.String()
}

// readCandidate reads a table of probabilities. Its columns are action,
// probability, and any of position and the contexts, by which it tells cases apart.
func (p *policy) readCandidate() (*choices, error) {
	header, err := OpenTable(p.candidate)
	if err != nil {
		return nil, rapport.WithHint(err, "--candidate is uniform, logged, learned or the path of a file with the columns action, [position, context...], probability")
	}
	names := header.Columns()
	header.Close()
	first := "action"
	if !slices.Contains(names, first) {
		first = p.action
	}
	c := &choices{p: p, table: map[string]*shares{}}
	want := []string{first, "probability"}
	for _, k := range p.keys {
		name := k.name
		if name == "position" && !slices.Contains(names, name) {
			name = p.position
		}
		if slices.Contains(names, name) {
			c.columns = append(c.columns, k)
			want = append(want, name)
		}
	}
	t, err := OpenTable(p.candidate, want...)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	for t.Next() {
		chance, err := t.Float(1)
		if err != nil {
			return nil, err
		}
		if chance < 0 || chance > 1 {
			return nil, t.Errorf(1, "%v is not a probability", chance)
		}
		var key strings.Builder
		for k := range c.columns {
			key.WriteString(t.Text(2 + k))
			key.WriteByte(0)
		}
		s := c.table[key.String()]
		if s == nil {
			s = &shares{chance: make([]float64, len(p.actions.levels))}
			c.table[key.String()] = s
		}
		s.total += chance
		if a, ok := p.actions.ids[t.Text(0)]; ok {
			s.chance[a] += chance
		}
	}
	if t.Err() != nil {
		return nil, t.Err()
	}
	return c, c.check()
}

// check holds the table against the log.
func (c *choices) check() error {
	p := c.p
	for i := range p.rewards {
		s := c.table[c.key(i)]
		if s == nil {
			return rapport.WithHint(rapport.Errorf(rapport.Invalid, "%s has no row for %s", p.candidate, c.describe(i)),
				"a candidate needs probabilities for every position and context of the log, or no such column at all")
		}
		s.rows++
	}
	var unseen, off float64
	for key, s := range c.table {
		if math.Abs(s.total-1) > 0.02 {
			return rapport.Errorf(rapport.Invalid, "%s: the probabilities%s add up to %s, not 1", p.candidate, describeKey(c.columns, key), strconv.FormatFloat(s.total, 'g', 4, 64))
		}
		off = max(off, math.Abs(s.total-1))
		var known float64
		for a := range s.chance {
			s.chance[a] /= s.total
			known += s.chance[a]
		}
		unseen += (1 - known) * float64(s.rows) / float64(len(p.rewards))
	}
	if off > 1e-6 {
		p.warn("the candidate's probabilities were scaled to add up to 1")
	}
	if unseen > 1e-9 {
		p.warn("%.1f %% of the candidate's choices are actions the log never shows; they count as earning nothing, so every estimate is too low if they earn", 100*unseen)
	}
	return nil
}

func (c *choices) describe(i int) string {
	if len(c.columns) == 0 {
		return "the log"
	}
	return strings.TrimPrefix(describeKey(c.columns, c.key(i)), " for ")
}

func describeKey(columns []*column, key string) string {
	if len(columns) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(" for ")
	values := strings.Split(key, "\x00")
	for k, c := range columns {
		if k > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.name + " " + values[k])
	}
	return b.String()
}
