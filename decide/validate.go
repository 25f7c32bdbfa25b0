package decide

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
)

// faults adds the checks that documents here share.
type faults struct{ rapport.Faults }

func (f *faults) name(path, s string) {
	if s == "" {
		f.Add(path, "is missing")
	} else if len(s) > maxNameLength {
		f.Add(path, "is longer than %d bytes", maxNameLength)
	}
}

func (f *faults) window(path string, d rapport.Duration) {
	if d <= 0 || d > maxWindow {
		f.Add(path, "must be more than 0s and at most 90d, is %s", d)
	}
}

func (f *faults) rate(path string, max int, per rapport.Duration) {
	if max < 1 || max > maxRate {
		f.Add(path+".max", "must be from 1 to %d, is %d", maxRate, max)
	}
	f.window(path+".per", per)
}

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults.
func (d *ActionDoc) Validate() error {
	var f faults
	f.name("id", d.ID)
	switch d.Type {
	case rapport.ActionOffer, rapport.ActionMessage, rapport.ActionRecommendation, rapport.ActionQuestion, rapport.ActionCommand, rapport.ActionContent:
	default:
		f.Add("type", "%q is not one of offer, message, recommendation, question, command, content", string(d.Type))
	}
	if len(d.Placements) == 0 {
		f.Add("placements", "names no placement, so the action could never be chosen")
	}
	if d.When != nil {
		if err := d.When.EventFree(); err != nil {
			f.Add("when", "%v", err)
		}
	}
	if len(d.About) > maxAbout {
		f.Add("about", "has %d names, at most %d are kept", len(d.About), maxAbout)
	}
	for i, name := range d.About {
		f.name(fmt.Sprintf("about[%d]", i), name)
	}
	if len(d.Goals) > maxGoals {
		f.Add("goals", "has %d goals, at most %d are kept", len(d.Goals), maxGoals)
	}
	seen := map[string]bool{}
	for i, g := range d.Goals {
		at := fmt.Sprintf("goals[%d]", i)
		f.name(at+".event", g.Event)
		f.window(at+".within", g.Within)
		if seen[g.Event] {
			f.Add(at+".event", "%q is a goal twice", g.Event)
		}
		seen[g.Event] = true
		f.share(at+".margin", g.Margin, 1)
		f.share(at+".clv", math.Abs(g.CLV), 1)
	}
	f.share("share", d.Share, 0.5)
	f.share("control", d.Control, 0.5)
	if d.Right != "" && d.Right != "recall" && d.Right != "safety" {
		f.Add("right", "%q is neither recall nor safety", d.Right)
	}
	if d.Stock < 0 {
		f.Add("stock", "must not be negative")
	}
	if b := d.Budget; b != nil {
		if !(b.Max > 0 && b.Max < 1e12) {
			f.Add("budget.max", "must be more than 0")
		}
		f.window("budget.per", b.Per)
		if d.Cost <= 0 {
			f.Add("budget", "limits the cost, and the action has none")
		}
	}
	if len(d.Group) > maxNameLength {
		f.Add("group", "is longer than %d bytes", maxNameLength)
	}
	if d.Cost < 0 || d.Cost-d.Cost != 0 {
		f.Add("cost", "must not be negative")
	}
	if d.Weight < 0 || d.Weight > 1000 {
		f.Add("weight", "must be more than 0 and at most 1000")
	}
	if d.Priority < 0 || d.Priority > 100 {
		f.Add("priority", "must be from 0 to 100")
	}
	from, err := parseMoment(d.From)
	if err != nil {
		f.Add("from", "%v", err)
	}
	until, err := parseMoment(d.Until)
	if err != nil {
		f.Add("until", "%v", err)
	}
	if from != 0 && until != 0 && until <= from {
		f.Add("until", "is not after from")
	}
	if d.Cap != nil {
		f.rate("cap", d.Cap.Max, d.Cap.Per)
	}
	f.checkContent("content", d.Content)
	for _, l := range slices.Sorted(maps.Keys(d.Locales)) {
		f.checkContent("locales."+l, d.Locales[l])
	}
	for _, name := range slices.Sorted(maps.Keys(d.In)) {
		in := d.In[name]
		f.checkContent("in."+name+".content", in.Content)
		for _, l := range slices.Sorted(maps.Keys(in.Locales)) {
			f.checkContent("in."+name+".locales."+l, in.Locales[l])
		}
	}
	f.checkWays(d.Channel, d.Channels)
	d.Timing.compile("timing", &f)
	for _, s := range []string{d.Purpose, d.Channel, d.Topic} {
		if len(s) > maxNameLength {
			f.Add("purpose, channel, topic", "are at most %d bytes", maxNameLength)
		}
	}
	return f.Err()
}

// Validate reports everything wrong with the document by itself.
func (d *PlacementDoc) Validate() error {
	var f faults
	f.name("id", d.ID)
	if d.Slots < 0 || d.Slots > maxSlots {
		f.Add("slots", "must be from 1 to %d, is %d", maxSlots, d.Slots)
	}
	if d.Exposure != "" && d.Exposure != "made" && d.Exposure != "shown" {
		f.Add("exposure", "%q is neither made nor shown", d.Exposure)
	}
	f.checkWays(d.Channel, d.Channels)
	d.Timing.compile("timing", &f)
	return f.Err()
}

// Validate reports everything wrong with the document by itself.
func (d *PolicyDoc) Validate() error {
	var f faults
	f.name("id", d.ID)
	if !(d.Holdout >= 0 && d.Holdout <= 0.5) {
		f.Add("holdout", "must be from 0 to 0.5, is %v", d.Holdout)
	}
	if d.Currency != "" && (len(d.Currency) != 3 || strings.Trim(d.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		f.Add("currency", "%q is not three letters of ISO 4217, such as NOK", d.Currency)
	}
	if d.Exploration != nil && !(*d.Exploration >= 0 && *d.Exploration <= 0.5) {
		f.Add("exploration", "must be from 0 to 0.5, is %v", *d.Exploration)
	}
	if len(d.Caps) > maxCaps {
		f.Add("caps", "has %d caps, at most %d are checked", len(d.Caps), maxCaps)
	}
	for i, c := range d.Caps {
		at := fmt.Sprintf("caps[%d]", i)
		if _, ok := scopes[c.Scope]; !ok {
			f.Add(at+".scope", "%q is not one of person, overall, action, channel, topic", c.Scope)
		} else if (c.Scope == "person" || c.Scope == "overall") && c.Of != "" {
			f.Add(at+".of", "a cap of scope person counts everything")
		}
		f.rate(at, c.Max, c.Per)
	}
	if d.QuietHours != nil {
		if _, err := d.QuietHours.compile(); err != nil {
			f.Add("quietHours", "%v", err)
		}
	}
	d.validateMore(&f)
	for i, o := range d.Outcomes {
		f.name(fmt.Sprintf("outcomes[%d].event", i), o.Event)
	}
	if len(d.Outcomes) > maxGoals {
		f.Add("outcomes", "has %d events, at most %d are measured", len(d.Outcomes), maxGoals)
	}
	return f.Err()
}

func (d *PolicyDoc) validateMore(f *faults) {
	if len(d.Goals) > maxGoals {
		f.Add("goals", "has %d goals, at most %d are kept", len(d.Goals), maxGoals)
	}
	for i, g := range d.Goals {
		at := fmt.Sprintf("goals[%d]", i)
		f.name(at+".event", g.Event)
		f.window(at+".within", g.Within)
		f.share(at+".margin", g.Margin, 1)
		f.share(at+".clv", math.Abs(g.CLV), 1)
	}
	if x := d.Fatigue; x != nil {
		if !(x.Cost >= 0 && x.Cost < 1e9) {
			f.Add("fatigue.cost", "must not be negative")
		}
		if x.HalfLife != 0 {
			f.window("fatigue.halfLife", x.HalfLife)
		}
	}
	if g := d.Gate; g != nil {
		if g.When != nil {
			if err := g.When.EventFree(); err != nil {
				f.Add("gate.when", "%v", err)
			}
		}
		if g.Busy < 0 || g.Busy > rapport.Duration(24*time.Hour) {
			f.Add("gate.busy", "must be at most 1d, is %s", g.Busy)
		}
		if g.Scope != "" && g.Scope != "pushed" && g.Scope != "all" {
			f.Add("gate.scope", "%q is neither pushed nor all", g.Scope)
		}
	}
	if p := d.Pause; p != nil {
		f.share("pause.level", p.Level, 0.999)
		if p.People < 0 {
			f.Add("pause.people", "must not be negative")
		}
	}
	if p := d.Promotion; p != nil {
		f.share("promotion.margin", p.Margin, 1)
		if p.Decisions < 0 {
			f.Add("promotion.decisions", "must not be negative")
		}
		if p.Unknown != "" && p.Unknown != "publish" && p.Unknown != "refuse" {
			f.Add("promotion.unknown", "%q is neither publish nor refuse", p.Unknown)
		}
	}
	if len(d.Features) > maxNamed {
		f.Add("features", "names %d features, at most %d are learned from", len(d.Features), maxNamed)
	}
	for i, name := range d.Features {
		if _, ok := knownOf(name); !ok {
			f.Add(fmt.Sprintf("features[%d]", i), "%q is not traits.x, computed.x, scores.x or segments.x", name)
		}
	}
}

func (f *faults) share(path string, x, most float64) {
	if !(x >= 0 && x <= most) {
		f.Add(path, "must be from 0 to %v, is %v", most, x)
	}
}

// Validate reports everything wrong with the document by itself.
func (d *TriggerDoc) Validate() error {
	var f faults
	f.name("id", d.ID)
	f.name("on", d.On)
	f.name("placement", d.Placement)
	if d.On == rapport.EventDecisionShown || d.On == rapport.EventDecisionClicked || d.On == rapport.EventDecisionDismissed {
		f.Add("on", "%q would let decisions ask for decisions without end", d.On)
	}
	return f.Err()
}

// parseMoment reads a date or RFC 3339 time as Unix milliseconds; "" is 0.
func parseMoment(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, rapport.Errorf(rapport.Invalid, "%q is not a date (write 2026-05-01 or 2026-05-01T08:00:00Z)", s)
}

// checkContent bounds what a client is to show.
func (f *faults) checkContent(path string, content rapport.Fields) {
	if len(content) > maxContent {
		f.Add(path, "is %d bytes, at most %d are kept", len(content), maxContent)
	} else if !content.Valid(maxContentDepth) {
		f.Add(path, "is nested more than %d levels deep", maxContentDepth)
	}
}

func suggest(name string, known iter.Seq[string]) string {
	if near := condition.Nearest(name, slices.Sorted(known)); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// isFeedback reports whether an event is about a decision, not about the world.
func isFeedback(event string) bool {
	return event == rapport.EventDecisionShown || event == rapport.EventDecisionClicked || event == rapport.EventDecisionDismissed
}
