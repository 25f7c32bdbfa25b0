package condition

import "github.com/rapport-engine/rapport"

// Shared are conditions that are asked of the same person at the same moment.
// What several of them ask is asked of the person once, and what several of them
// say is judged once: see [Memo]. It is immutable; each of its conditions may
// also be used by itself, in any [Env].
type Shared struct {
	conditions []*Condition
	questions  []*node // by slot, from 1
	truths     int32   // clauses that several conditions have
}

// Share compiles conditions to be asked together. Equal aggregates of theirs
// become one [Aggregate]; the conditions given stay as they are.
func Share(list []*Condition) *Shared {
	s := &Shared{questions: []*node{nil}}
	slots := map[string]int32{}
	aggregates := map[string]*Aggregate{}
	trees := make([]*node, len(list))
	times := map[string]int32{}
	for i, c := range list {
		if c.IsZero() {
			continue
		}
		trees[i] = c.tree.clone()
		trees[i].clauses(func(n *node) {
			n.text = n.String()
			times[n.text]++
		})
	}
	truths := map[string]int32{}
	for i, c := range list {
		if c.IsZero() {
			s.conditions = append(s.conditions, c)
			continue
		}
		tree := trees[i]
		tree.clauses(func(n *node) {
			if times[n.text] < 2 {
				return
			}
			if truths[n.text] == 0 {
				s.truths++
				truths[n.text] = s.truths
			}
			n.truth = truths[n.text]
		})
		shared := &Condition{tree: tree, text: c.text}
		tree.walk(func(n *node) bool {
			if n.kind == kindPerformed {
				if aggregates[n.agg.ID] == nil {
					a := *n.agg
					aggregates[a.ID] = &a
				}
				n.agg = aggregates[n.agg.ID]
			}
			if n.kind == kindPerformed || n.kind == kindPath && (n.root == Traits || n.root == Computed || n.root == Scores) {
				n.text = n.String()
				if slots[n.text] == 0 {
					slots[n.text] = int32(len(s.questions))
					s.questions = append(s.questions, n)
				}
				n.slot = slots[n.text]
			}
			return n.kind != kindPerformed
		})
		for _, a := range c.aggregates {
			shared.aggregates = append(shared.aggregates, aggregates[a.ID])
		}
		shared.holds, shared.clock = compileBool(tree), clockOf(tree)
		if tree.kind == kindAnd {
			for _, a := range cheapFirst(tree.args) {
				shared.parts = append(shared.parts, part{a.String(), compileTruth(a), a.truth})
			}
		}
		s.conditions = append(s.conditions, shared)
	}
	return s
}

// Condition returns the i-th of the conditions, as compiled here.
func (s *Shared) Condition(i int) *Condition { return s.conditions[i] }

// Aggregates returns the questions about the past of all of them, each once.
// Whoever made s may set their Slot.
func (s *Shared) Aggregates() (list []*Aggregate) {
	for _, n := range s.questions[1:] {
		if n.kind == kindPerformed {
			list = append(list, n.agg)
		}
	}
	return list
}

// part is one of what && joins.
type part struct {
	text  string
	holds boolFunc
	truth int32 // of its judgement in a Memo; 0 is none
}

// hold is holds of a condition that joins parts by &&, asked with a memo.
func (m *Memo) hold(parts []part) bool {
	for i := range parts {
		p := &parts[i]
		t := m.truths[p.truth]
		if t == held {
			continue
		}
		if t == unjudged {
			if t = failed; p.holds(m, noItem) {
				t = held
			}
			if p.truth > 0 {
				m.truths[p.truth] = t
			}
		}
		if t == failed {
			return false
		}
	}
	return true
}

// Failing returns the canonical text of why a condition of a [Shared] does not
// hold: the first of what it joins by && that fails, else all of it. It does not
// allocate; [Condition.Explain] tells more.
func (c *Condition) Failing(env Env) string {
	m, _ := env.(*Memo)
	for i := range c.parts {
		p := &c.parts[i]
		if m != nil && m.truths[p.truth] == failed || !p.holds(env, noItem) {
			return p.text
		}
	}
	return c.String()
}

// clauses calls fn with the parts of a condition that are truths of the person:
// groups and what they join, but nothing said of a single item.
func (n *node) clauses(fn func(*node)) {
	switch n.kind {
	case kindAnd, kindOr, kindNot:
		for _, a := range n.args {
			a.clauses(fn)
		}
	case kindLiteral, kindPath, kindItem:
		return
	}
	if n.kind != kindNot { // what it negates is known
		fn(n)
	}
}

// clone copies the tree but for what is inside where(...).
func (n *node) clone() *node {
	c := *n
	c.args = make([]*node, len(n.args))
	for i, a := range n.args {
		c.args[i] = a.clone()
	}
	return &c
}

// Memo is an [Env] that remembers what another one answered to the conditions
// of a [Shared]. The zero Memo is ready; it is for one goroutine, and what it
// remembers is good as long as the person and the moment stay the same.
type Memo struct {
	Env
	timed   Timed
	scored  Scored
	moment  Moment
	owner   Owner
	shared  *Shared
	answers []answer // by slot
	asked   []int32  // the slots that are known
	truths  []truth  // of clauses, from 1
}

// truth is what a clause was judged to be.
type truth uint8

const (
	unjudged truth = iota
	held
	failed
)

// answer is what was answered to a question.
type answer struct {
	known, isNumber bool
	number          float64
	value           rapport.Value
}

var (
	_ Env    = (*Memo)(nil)
	_ Timed  = (*Memo)(nil)
	_ Scored = (*Memo)(nil)
	_ Moment = (*Memo)(nil)
	_ Owner  = (*Memo)(nil)
)

// Begin makes m remember what env answers to the conditions of s.
func (m *Memo) Begin(s *Shared, env Env) {
	m.End()
	m.Env, m.shared = env, s
	m.timed, _ = env.(Timed)
	m.scored, _ = env.(Scored)
	m.moment, _ = env.(Moment)
	m.owner, _ = env.(Owner)
	if cap(m.answers) < len(s.questions) {
		m.answers = make([]answer, len(s.questions))
	}
	m.answers = m.answers[:len(s.questions)]
	if n := int(s.truths) + 1; cap(m.truths) < n {
		m.truths = make([]truth, n)
	} else {
		m.truths = m.truths[:n]
		clear(m.truths)
	}
}

// End forgets everything.
func (m *Memo) End() {
	for _, slot := range m.asked {
		m.answers[slot] = answer{}
	}
	m.asked = m.asked[:0]
	m.Env, m.timed, m.scored, m.moment, m.owner, m.shared = nil, nil, nil, nil, nil, nil
}

// answer returns what is known of a question, asking it if need be.
func (m *Memo) answer(slot int32) *answer {
	a := &m.answers[slot]
	if !a.known {
		if n := m.shared.questions[slot]; n.kind == kindPerformed {
			a.value = m.Performed(n.agg)
		} else {
			a.value = m.Value(n.root, n.path)
		}
		a.known = true
		a.number, a.isNumber = a.value.Number()
		m.asked = append(m.asked, slot)
	}
	return a
}

// judged returns a function that judges a clause once a memo.
func judged(at int32, f boolFunc) boolFunc {
	return func(env Env, item int) bool {
		m, ok := env.(*Memo)
		if !ok {
			return f(env, item)
		}
		t := m.truths[at]
		if t == unjudged {
			if t = failed; f(env, item) {
				t = held
			}
			m.truths[at] = t
		}
		return t == held
	}
}

// NextPerformed implements [Timed].
func (m *Memo) NextPerformed(a *Aggregate, matters Turn) int64 {
	if m.timed == nil {
		return 0
	}
	return m.timed.NextPerformed(a, matters)
}

// NextComputed implements [Timed].
func (m *Memo) NextComputed(path []string, matters Turn) int64 {
	if m.timed == nil {
		return 0
	}
	return m.timed.NextComputed(path, matters)
}

// NextScore implements [Scored].
func (m *Memo) NextScore(path []string) (at int64, ok bool) {
	if m.scored == nil {
		return 0, false
	}
	return m.scored.NextScore(path)
}

// UnixMilli implements [Moment].
func (m *Memo) UnixMilli() int64 {
	if m.moment == nil {
		return m.Now().UnixMilli()
	}
	return m.moment.UnixMilli()
}

// NumItems implements [Owner].
func (m *Memo) NumItems() int {
	if m.owner == nil {
		return 0
	}
	return m.owner.NumItems()
}

// ItemValue implements [Owner].
func (m *Memo) ItemValue(i int, path []string) rapport.Value {
	if m.owner == nil {
		return rapport.Value{}
	}
	return m.owner.ItemValue(i, path)
}
