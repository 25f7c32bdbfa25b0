package decide

import (
	"slices"
	"strconv"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// The rules that take a candidate out, in the order they are asked. They are
// the values of [rapport.Candidate.Excluded].
const (
	RuleValidity   = "validity"
	RuleCondition  = "condition"
	RuleConsent    = "consent"
	RuleReach      = "reach" // no address is known, or it takes nothing any more
	RuleCap        = "cap"
	RuleQuietHours = "quiet hours"
	RulePaused     = "paused"    // it was measured to do harm
	RuleQuota      = "budget"    // or stock
	RuleRight      = "right"     // what is owed by right is asked for, and it has none
	RuleGate       = "gate"      // not willing to be spoken to now
	RuleControl    = "control"   // of an explanation only, as are the next
	RuleHoldout    = "holdout"   // of an explanation only: a decision keeps what was withheld
	RulePlacement  = "placement" // of an explanation only: the action is not in this placement
	RuleWorth      = "worth"     // of an explanation only: another action, or nothing, was worth more
)

// use is one action given (or withheld in the holdout), as caps count it.
type use struct {
	decision [16]byte
	at       int64
	action   string
	channel  string
	topic    string
}

// covers reports whether the cap limits an action given through a channel.
func (l *limit) covers(a *Action, channel string) bool {
	switch l.scope {
	case scopeAction:
		return l.of == "" || l.of == a.ID
	case scopeChannel:
		return channel != "" && (l.of == "" || l.of == channel)
	case scopeTopic:
		return a.Topic != "" && (l.of == "" || l.of == a.Topic)
	}
	return true
}

// counts reports whether a use counts against giving the action through channel at now.
func (l *limit) counts(u *use, a *Action, channel string, now int64) bool {
	if u.at <= now-l.per {
		return false
	}
	switch l.scope {
	case scopeAction:
		return u.action == a.ID
	case scopeChannel:
		return u.channel == channel
	case scopeTopic:
		return u.topic == a.Topic
	}
	return true
}

// full reports whether the cap is used up.
func (l *limit) full(uses []use, a *Action, channel string, now int64) bool {
	for i, left := 0, l.max; i < len(uses); i++ {
		if l.counts(&uses[i], a, channel, now) {
			if left--; left <= 0 {
				return true
			}
		}
	}
	return false
}

// frees returns when a cap that is used up has room again: when all but max-1
// of the uses have left the window. Uses are in order of time.
func (l *limit) frees(uses []use, a *Action, channel string, now int64) (at int64) {
	n := 0
	for i := range uses {
		if l.counts(&uses[i], a, channel, now) {
			n++
		}
	}
	leave := n - l.max + 1
	for i := 0; leave > 0 && i < len(uses); i++ {
		if l.counts(&uses[i], a, channel, now) {
			at = uses[i].at + l.per
			leave--
		}
	}
	return at
}

// quietUntil reports whether local time t lies in the span, and when it ends.
func (q *quiet) quietUntil(t time.Time) (quiet bool, end time.Time) {
	if q == nil {
		return false, time.Time{}
	}
	if q.zone != nil {
		t = t.In(q.zone)
	}
	minute := t.Hour()*60 + t.Minute()
	day := 0
	switch {
	case q.from < q.to && minute >= q.from && minute < q.to:
	case q.from > q.to && minute < q.to:
	case q.from > q.to && minute >= q.from:
		day = 1
	default:
		return false, time.Time{}
	}
	return true, time.Date(t.Year(), t.Month(), t.Day()+day, q.to/60, q.to%60, 0, 0, t.Location())
}

// clock writes minutes since midnight as HH:MM.
func clock(minutes int) string {
	b := make([]byte, 0, 5)
	for i, n := range [2]int{minutes / 60, minutes % 60} {
		if i > 0 {
			b = append(b, ':')
		}
		if n < 10 {
			b = append(b, '0')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}

// restraint answers the rules for the candidates of one moment. It remembers
// the texts it made, since many candidates fail for the same reason.
type restraint struct {
	m         *moment
	quiet     bool
	quietEnd  time.Time
	quietText string
	capTexts  map[*limit]string
	overall   []overall
	explained int
	gate      string            // why the gate is closed
	reached   map[string]string // by channel: why the person cannot be reached
	strict    map[string]bool   // by channel: whether consent holds beside every right
}

func newRestraint(m *moment) *restraint {
	r := &restraint{m: m}
	r.gate = m.closed()
	r.quiet, r.quietEnd = m.config.policy.quiet.quietUntil(m.env.Now())
	return r
}

// maxExplained bounds how many failed conditions of one decision are kept with
// all that made them fail and the values found; of the others is kept the first
// clause that failed.
const maxExplained = 4

// exclude returns the first rule that takes the action out, and its detail; or "".
func (r *restraint) exclude(a *Action) (rule, detail string) {
	m := r.m
	if a.from != 0 && m.now < a.from || a.until != 0 && m.now >= a.until {
		return RuleValidity, a.validity
	}
	if a.When != nil && !a.When.Holds(m.asked) {
		return RuleCondition, r.conditionText(a)
	}
	if text := m.scorer.Harm(a.ID, &m.config.policy.pause); text != "" && a.Right == "" {
		return RulePaused, text
	}
	channel, rule, detail := r.way(a)
	if rule != "" {
		return rule, detail
	}
	if m.spent != nil {
		if q := m.spent(a); q != nil {
			return RuleQuota, q.name + " is used up for now"
		}
	}
	if a.Right != "" {
		return "", ""
	}
	if l := r.full(a, channel); l != nil {
		return RuleCap, r.capText(l, a, channel)
	}
	if m.ahead && m.placement.timingOf(a) != nil {
		return "", "" // these are asked when it is sent
	}
	if r.gate != "" && (m.config.policy.gate.all || channel != "" || m.unasked()) {
		return RuleGate, r.gate
	}
	if r.quiet && (channel != "" || a.Purpose != "" || m.placement.Quiet) {
		if r.quietText == "" {
			q := m.config.policy.quiet
			r.quietText = "from " + clock(q.from) + " to " + clock(q.to) + ", ends " + stamp(r.quietEnd)
		}
		return RuleQuietHours, r.quietText
	}
	return "", ""
}

// way returns the channel an action would go through: its only one, or of
// several the one drawn among those that consent, addresses and caps leave open.
func (r *restraint) way(a *Action) (channel, rule, detail string) {
	m := r.m
	ways := m.placement.Ways(a)
	if len(ways) <= 1 {
		channel = m.channel(a)
		rule, detail = r.closed(a, channel)
		return channel, rule, detail
	}
	var open []string
	for _, c := range ways {
		closed, why := r.closed(a, c)
		if closed == "" {
			if l := r.full(a, c); l != nil {
				closed, why = RuleCap, r.capText(l, a, c)
			}
		}
		switch {
		case closed == "":
			open = append(open, c)
		case slices.Index(ruleOrder[:], closed) > slices.Index(ruleOrder[:], rule):
			rule, detail = closed, why // of several the one that came furthest
		}
	}
	if len(open) == 0 {
		return "", rule, detail
	}
	w := m.chooseWay(open)
	if m.ways == nil {
		m.ways = map[string]way{}
	}
	m.ways[a.ID] = w
	return w.channel, "", ""
}

// closed says why an action cannot go through a channel at all.
func (r *restraint) closed(a *Action, channel string) (rule, detail string) {
	strict := a.Right != "" && r.strictly(channel)
	if strict && a.Purpose == "" {
		return RuleConsent, "nothing is sent through " + channel + " without consent, and the action names no purpose"
	}
	if a.Purpose != "" && (a.Right == "" || strict) && !r.m.env.Consent(a.Purpose, channel) {
		if channel != "" {
			return RuleConsent, a.consent + " through " + channel
		}
		return RuleConsent, a.consent
	}
	if text := r.unreached(channel); text != "" {
		return RuleReach, text
	}
	return "", ""
}

// unreached says why the person cannot be reached through a channel, asking once.
func (r *restraint) unreached(channel string) string {
	if channel == "" || r.m.reach == nil {
		return ""
	}
	text, asked := r.reached[channel]
	if !asked {
		text = r.m.reach(channel)
		if r.reached == nil {
			r.reached = map[string]string{}
		}
		r.reached[channel] = text
	}
	return text
}

// strictly reports whether a channel carries nothing without consent, also not by
// right, asking once.
func (r *restraint) strictly(channel string) bool {
	if channel == "" || r.m.strict == nil {
		return false
	}
	yes, asked := r.strict[channel]
	if !asked {
		yes = r.m.strict(channel)
		if r.strict == nil {
			r.strict = map[string]bool{}
		}
		r.strict[channel] = yes
	}
	return yes
}

// full returns the first cap on the action that is used up, or nil. What comes
// by right is not capped.
func (m *moment) full(uses []use, a *Action) *limit { return m.fullWay(uses, a, m.channel(a)) }

// fullWay is full for a channel.
func (m *moment) fullWay(uses []use, a *Action, channel string) *limit {
	if m.placement.Uncapped || a.Right != "" {
		return nil
	}
	for _, l := range a.caps {
		if l.covers(a, channel) && l.full(uses, a, channel, m.now) {
			return l
		}
	}
	return nil
}

// full returns the first cap on an action through a channel that is used up, or
// nil. What holds for everything alike is counted once.
func (r *restraint) full(a *Action, channel string) *limit {
	m := r.m
	if len(m.uses) == 0 || m.placement.Uncapped || a.Right != "" {
		return nil
	}
	for _, l := range a.caps {
		if l.scope != scopePerson {
			if l.covers(a, channel) && l.full(m.uses, a, channel, m.now) {
				return l
			}
			continue
		}
		at := slices.IndexFunc(r.overall, func(c overall) bool { return c.limit == l })
		if at < 0 {
			at = len(r.overall)
			r.overall = append(r.overall, overall{l, l.full(m.uses, a, channel, m.now)})
		}
		if r.overall[at].full {
			return l
		}
	}
	return nil
}

// overall is whether a cap on all that a person gets is used up.
type overall struct {
	limit *limit
	full  bool
}

// unasked reports whether nobody asked for this decision but a trigger.
func (m *moment) unasked() bool { return m.cause != "request" && m.cause != "explain" }

// closed says why nobody is to be spoken to now, "" if they may.
func (m *moment) closed() string {
	g := m.config.policy.gate
	switch {
	case g == nil:
		return ""
	case g.busy > 0 && m.past.last > 0 && m.now-m.past.last < g.busy:
		return "something given at " + stamp(rapport.Time(m.past.last)) + " is not answered yet"
	case g.when != nil && !g.when.Holds(m.env):
		if c, ok := g.when.(*condition.Condition); ok {
			if s := decisive(c, m.env); s != "" {
				return s
			}
		}
		return g.text
	}
	return ""
}

func (r *restraint) capText(l *limit, a *Action, channel string) string {
	if l.scope == scopePerson {
		if s, ok := r.capTexts[l]; ok {
			return s
		}
	}
	s := l.name + " is used up, frees " + stamp(rapport.Time(l.frees(r.m.uses, a, channel, r.m.now)))
	if l.scope == scopePerson {
		if r.capTexts == nil {
			r.capTexts = map[*limit]string{}
		}
		r.capTexts[l] = s
	}
	return s
}

func (r *restraint) conditionText(a *Action) string {
	c, ok := a.When.(*condition.Condition)
	if !ok {
		return a.When.String()
	}
	if r.explained++; r.explained <= maxExplained {
		if reason := decisive(c, r.m.asked); reason != "" {
			return reason
		}
	}
	return c.Failing(r.m.asked)
}

// stamp is how times are written in reasons: RFC 3339 to the second, UTC.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
