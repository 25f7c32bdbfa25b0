package epcis

import (
	"crypto/sha256"

	"github.com/rapport-engine/rapport/gs1"
)

// name returns the one name of what a URI stands for, however it is written:
// the id of its GS1 key, or the URI itself where it is none. lot is the name of
// the lot it belongs to, if the URI says so.
func name(uri string) (id, lot string) {
	k, err := gs1.Parse(uri)
	if err != nil {
		return uri, ""
	}
	if item, ok := k.Item(); ok {
		if batch := k.Value("10"); batch != "" && k.GTIN() != "" {
			lot = LotName(k.GTIN(), batch)
		}
		return item.ID(), lot
	}
	return k.ID(), ""
}

// LotName returns the name of a lot of a product; "" if the two do not make a key.
func LotName(gtin, lot string) string {
	k, err := gs1.NewKey(gs1.Element{AI: "01", Value: gtin}, gs1.Element{AI: "10", Value: lot})
	if err != nil {
		return ""
	}
	return k.ID()
}

// Name returns the one name of a thing, class, lot or place, however it is
// written: item id, Digital Link URI, EPC URN, or any other URI as it stands.
func Name(s string) string {
	id, _ := name(s)
	return id
}

// id is the fixed-size form of a name in keys of the index.
type id [16]byte

func idOf(name string) (x id) {
	sum := sha256.Sum256([]byte(name))
	copy(x[:], sum[:])
	return x
}

// isThing reports whether a name is that of one thing with a GS1 key.
func isThing(name string) bool {
	k, err := gs1.Parse(name)
	if err != nil {
		return false
	}
	_, ok := k.Item()
	return ok
}
