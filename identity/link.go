package identity

import (
	"encoding/base32"
	"log/slog"

	"github.com/rapport-engine/rapport"
)

// Kind says what sort of evidence a link rests on.
type Kind uint8

// The kinds of links. Their numbers are part of the log format.
const (
	// Verified: both identifiers stood on one event.
	Verified Kind = iota + 1
	// Device: the identifier signed in on the device during the interval.
	Device
	// Alias: an alias call said that both are one.
	Alias
	// Manual: somebody said so.
	Manual
	// Probable: the identifiers' people resemble each other; Link.Bits says how much.
	Probable
)

var kindNames = [...]string{"", "verified", "device", "alias", "manual", "probable"}

// String returns the kind as the API shows it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// MarshalText returns the kind as the API shows it.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LinkID names a link. It is a keyed hash of the kind and both ends, so the
// same evidence between the same two is the same link everywhere.
type LinkID [16]byte

var linkEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// String returns the public form, "l_" and 26 characters.
func (l LinkID) String() string { return "l_" + linkEncoding.EncodeToString(l[:]) }

// LogValue shows the public form.
func (l LinkID) LogValue() slog.Value { return slog.StringValue(l.String()) }

// MarshalText returns the public form.
func (l LinkID) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ParseLinkID parses the public form. It returns an Invalid error for anything else.
func ParseLinkID(s string) (l LinkID, err error) {
	if len(s) != 28 || s[:2] != "l_" {
		return l, rapport.Errorf(rapport.Invalid, "%q is not a link id (want l_ and 26 characters)", s)
	}
	if _, err := linkEncoding.Decode(l[:], []byte(s[2:])); err != nil {
		return LinkID{}, rapport.Errorf(rapport.Invalid, "%q is not a link id: bad character", s)
	}
	return l, nil
}

// Link is one typed edge between two nodes, each an identifier or an interval
// of a device. A person is what the links that stand say. A link is never
// changed: it is made once and may be withdrawn once.
type Link struct {
	ID   LinkID `json:"id"`
	Kind Kind   `json:"kind"`
	// Evidence names what the link was seen on: the call and its message id.
	Evidence string `json:"evidence"`
	// Bits is the weight of the evidence in bits, for Probable links; 0 for the
	// others, which hold by rule.
	Bits float64 `json:"bits"`
	At   int64   `json:"at"` // Unix ms
	// By is who made it: the source of the event, or a person's or rule's name.
	By string `json:"by"`
	// A and B are the nodes, Identifiers their names in the same order.
	A           rapport.ID            `json:"a"`
	B           rapport.ID            `json:"b"`
	Identifiers [2]rapport.Identifier `json:"identifiers"`
	// Epoch tells which interval of the device A is, from 0.
	Epoch uint32 `json:"epoch,omitempty"`
	// Model is the version of the weights a Probable link was scored with, Steps
	// the parts of Bits, the odds of two strangers first.
	Model int64  `json:"model,omitempty"`
	Steps []Step `json:"steps,omitempty"`
	// Guarded is set of a Probable link whose ends the cluster guard keeps apart:
	// these two resemble each other, those around them do not.
	Guarded bool `json:"guarded,omitempty"`
	// Held is set while the evidence is known but does not count: it would unite
	// two who are known to be different, it goes through a value in quarantine, or
	// somebody has yet to decide.
	Held bool `json:"held,omitempty"`
	// Withdrawn is set when the link was taken back.
	Withdrawn *Withdrawal `json:"withdrawn,omitempty"`
}

// Step is one part of the weight of a Probable link.
type Step struct {
	// Field is what was compared: "prior" for the odds of two strangers, a field
	// of a source record, or "household" for what shared circumstances do not prove.
	Field string `json:"field"`
	// Level is how alike the two values are; see linkage.Level.
	Level string  `json:"level,omitempty"`
	Bits  float64 `json:"bits"`
	// Rarity is the part of Bits that comes from how rare the shared value is.
	Rarity float64 `json:"rarity,omitempty"`
}

// Withdrawal says when and by whom a link was taken back.
type Withdrawal struct {
	At int64  `json:"at"` // Unix ms
	By string `json:"by"`
}

// LogValue shows the link without the identifiers, which are personal data.
func (l Link) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", l.ID.String()), slog.String("kind", l.Kind.String()))
}
