package rapport

import (
	"encoding/base32"
	"encoding/binary"
	"log/slog"
)

// Identifier names a person to the outside: a kind ("userId", "email", ...)
// and a value already normalised for that kind.
type Identifier struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// LogValue hides the value: identifiers are personal data.
func (i Identifier) LogValue() slog.Value { return slog.StringValue(i.Kind + ":***") }

// The identifier kinds every deployment knows. Others come from config.
const (
	KindUserID      = "userId"
	KindEmail       = "email"
	KindPhone       = "phone"
	KindCustom      = "custom"
	KindOrderID     = "orderId"
	KindDeviceID    = "deviceId"
	KindCookie      = "cookie"
	KindAnonymousID = "anonymousId"
	// KindItem names one product item by its GS1 id; it never stands beside a person's identifiers.
	KindItem = "item"
)

// Rank orders identifier kinds by how strongly they identify; lower is
// stronger. It is the first byte of every [ID], so that of two linked ids the
// stronger is known without a look-up.
type Rank uint8

// Ranks of the built-in kinds. Custom kinds take a rank between phone and device.
const (
	RankUserID      Rank = 10
	RankEmail       Rank = 20
	RankPhone       Rank = 30
	RankCustom      Rank = 40
	RankOrderID     Rank = 60
	RankDevice      Rank = 80 // and weaker: names a device, not a person
	RankDeviceID    Rank = 82
	RankCookie      Rank = 86
	RankAnonymousID Rank = 90
	RankItem        Rank = 100
)

// RankOf returns the rank of a built-in kind and RankCustom for any other.
func RankOf(kind string) Rank {
	switch kind {
	case KindUserID:
		return RankUserID
	case KindEmail:
		return RankEmail
	case KindPhone:
		return RankPhone
	case KindAnonymousID:
		return RankAnonymousID
	case KindOrderID:
		return RankOrderID
	case KindDeviceID:
		return RankDeviceID
	case KindCookie:
		return RankCookie
	case KindItem:
		return RankItem
	}
	return RankCustom
}

// ID is the 128-bit name of an entity (person or item) and of a fragment. It is
// minted as a keyed hash of the first identifier seen, so any node mints the
// same ID without asking another. Byte 0 is the [Rank] of that identifier.
type ID [16]byte

// IsZero reports whether the ID is unset.
func (id ID) IsZero() bool { return id == ID{} }

// Rank returns the strength of the identifier the ID was minted from.
func (id ID) Rank() Rank { return Rank(id[0]) }

// Hash64 returns 64 uniformly distributed bits of the ID.
func (id ID) Hash64() uint64 { return binary.LittleEndian.Uint64(id[8:]) }

// Partition returns the home partition of the entity among n. It depends on
// the ID alone, so an event and its retry always meet the same partition.
func (id ID) Partition(n int) int { return int(id.Hash64() % uint64(n)) }

// Compare orders IDs: the stronger first, then by bytes.
func (id ID) Compare(o ID) int {
	for i := range id {
		if id[i] != o[i] {
			if id[i] < o[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// String returns the public form, "p_" and 26 characters of Crockford base 32.
func (id ID) String() string { return "p_" + idEncoding.EncodeToString(id[:]) }

// AppendText appends the public form to b.
func (id ID) AppendText(b []byte) ([]byte, error) {
	return idEncoding.AppendEncode(append(b, "p_"...), id[:]), nil
}

// LogValue shows the public form: an ID is a pseudonym and safe to log.
func (id ID) LogValue() slog.Value { return slog.StringValue(id.String()) }

// MarshalText returns the public form.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses the public form.
func (id *ID) UnmarshalText(b []byte) (err error) { *id, err = ParseID(string(b)); return err }

// ParseID parses the public form of an ID. It returns an Invalid error for anything else.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 28 || s[:2] != "p_" {
		return id, Errorf(Invalid, "%q is not a person id (want p_ and 26 characters)", s)
	}
	if _, err := idEncoding.Decode(id[:], []byte(s[2:])); err != nil {
		return ID{}, Errorf(Invalid, "%q is not a person id: bad character", s)
	}
	return id, nil
}
