package api

import (
	"fmt"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/identity"
)

// waterfallStep is one part of why the two ends of a link are taken for one person.
type waterfallStep struct {
	Field  string  `json:"field" doc:"What was compared: prior (the odds of two strangers), a field of the source records, household (what a shared household does not prove), or the kind of identifier both share"`
	Level  string  `json:"level,omitempty" enum:"equal,close,near,alike,different,exchanged,missing" doc:"How alike the values are"`
	Bits   float64 `json:"bits" doc:"What it adds; 0 where a rule decides"`
	Rarity float64 `json:"rarity,omitempty" doc:"The part of bits that comes from how rare the shared value is"`
	Total  float64 `json:"total" doc:"Sum so far"`
	Why    string  `json:"why,omitempty" doc:"The rule, where a rule decides"`
}

// ruleOf says by which rule a link that is not a likeness holds.
func ruleOf(k identity.Kind) string {
	switch k {
	case identity.Verified:
		return "both identifiers stood on one call"
	case identity.Device:
		return "who signed in on the device owns what was done on it until the next sign-in"
	case identity.Alias:
		return "an alias call said that both are one"
	}
	return "somebody decided it"
}

// waterfall returns the parts of a link's weight, in the order in which they add up.
func waterfall(l *identity.Link) []waterfallStep {
	if l.Kind != identity.Probable {
		return []waterfallStep{{Field: l.Identifiers[0].Kind, Level: "equal", Why: ruleOf(l.Kind)}}
	}
	out := make([]waterfallStep, 0, len(l.Steps))
	total := 0.0
	for _, s := range l.Steps {
		total += s.Bits
		out = append(out, waterfallStep{Field: s.Field, Level: s.Level, Bits: s.Bits, Rarity: s.Rarity, Total: total})
	}
	return out
}

// newLinkInfo is a link as people see it.
func newLinkInfo(l identity.Link) linkInfo {
	i := linkInfo{
		ID: l.ID.String(), Kind: l.Kind.String(), Evidence: l.Evidence, Bits: l.Bits, At: rapport.Time(l.At), By: l.By, Identifiers: l.Identifiers[:],
		A: l.A.String(), B: l.B.String(), Epoch: l.Epoch, State: "counts", Guarded: l.Guarded, Waterfall: waterfall(&l),
	}
	if l.Kind == identity.Probable {
		i.Model = fmt.Sprintf("likeness %d", l.Model)
	}
	switch {
	case l.Withdrawn != nil:
		i.State = "withdrawn"
		i.Withdrawn = &withdrawal{rapport.Time(l.Withdrawn.At), l.Withdrawn.By}
	case l.Held:
		i.State = "held"
	}
	return i
}
