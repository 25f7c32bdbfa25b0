package api

import (
	"slices"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/identity"
)

type unmergeIn struct {
	RefPath
	Body struct {
		Link string `json:"link" doc:"Id of the link, from the identity answer"`
	}
}

type identityAnswer struct {
	Person    string         `json:"person"`
	Fragments []fragmentInfo `json:"fragments"`
	Links     []linkInfo     `json:"links"`
}

type fragmentInfo struct {
	ID         string              `json:"id"`
	Identifier *rapport.Identifier `json:"identifier,omitempty" doc:"What it is named by, if it is in a link"`
	Epoch      uint32              `json:"epoch,omitempty" doc:"Which interval of the device it is, from 0"`
}

type linkInfo struct {
	ID          string               `json:"id"`
	Kind        string               `json:"kind"`
	Evidence    string               `json:"evidence"`
	Bits        float64              `json:"bits"`
	At          time.Time            `json:"at"`
	By          string               `json:"by"`
	Identifiers []rapport.Identifier `json:"identifiers"`
	A           string               `json:"a" doc:"Fragment of the first identifier"`
	B           string               `json:"b" doc:"Fragment of the second identifier"`
	Epoch       uint32               `json:"epoch,omitempty" doc:"Which interval of the device a is, from 0"`
	State       string               `json:"state" enum:"counts,held,withdrawn" doc:"held: known, and does not count"`
	Withdrawn   *withdrawal          `json:"withdrawn,omitempty"`
	Model       string               `json:"model,omitempty" doc:"Version of the weights, of probable links"`
	Guarded     bool                 `json:"guarded,omitempty" doc:"The two resemble each other, those around them do not; it never counts by itself"`
	Waterfall   []waterfallStep      `json:"waterfall" doc:"How the weight came about, field by field"`
}

type withdrawal struct {
	At time.Time `json:"at"`
	By string    `json:"by"`
}

func newIdentityAnswer(who identity.Who) identityAnswer {
	out := identityAnswer{Person: who.Person.String(), Fragments: []fragmentInfo{}, Links: []linkInfo{}}
	named := make(map[rapport.ID]fragmentInfo)
	for _, l := range slices.Concat(who.Links, who.Held, who.Withdrawn) {
		out.Links = append(out.Links, newLinkInfo(l))
		named[l.A] = fragmentInfo{l.A.String(), &l.Identifiers[0], l.Epoch}
		named[l.B] = fragmentInfo{l.B.String(), &l.Identifiers[1], 0}
	}
	for _, f := range who.Fragments {
		info, ok := named[f]
		if !ok {
			info.ID = f.String()
		}
		out.Fragments = append(out.Fragments, info)
	}
	return out
}
