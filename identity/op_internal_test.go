package identity

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/rapport-engine/rapport"
)

func ops() []op {
	id := func(b byte) (id rapport.ID) { id[0], id[15] = b, b; return id }
	link := Link{
		ID: LinkID{1, 2}, Kind: Device, Evidence: "identify m1", At: 1234, By: "web", Bits: 1.5, A: id(1), B: id(2), Epoch: 3,
		Identifiers: [2]rapport.Identifier{{Kind: "anonymousId", Value: "a"}, {Kind: "userId", Value: "u"}},
	}
	verified := link
	verified.Kind, verified.Epoch = Verified, 0
	probable := verified
	probable.Kind, probable.Model, probable.Guarded = Probable, 7, true
	probable.Steps = []Step{{Field: "prior", Bits: -19}, {Field: "surname", Level: "close", Bits: 6.5, Rarity: 1.25}}
	rescored := probable
	rescored.Identifiers = [2]rapport.Identifier{}
	return []op{
		{kind: recordHeld, link: probable},
		{kind: recordLink, link: link, first: id(3)},
		{kind: recordLink, link: verified},
		{kind: recordScore, link: rescored},
		{kind: recordInterval, first: id(3), node: id(4), epoch: 5, turn: 6},
		{kind: recordWithdraw, link: Link{ID: LinkID{1, 2}, Kind: Verified, A: id(1), B: id(2)}, parts: [][]rapport.ID{{id(1), id(3)}, {id(2)}}, at: 9, by: "me"},
		{kind: recordHeld, link: link, first: id(3)},
		verdictOp(recordRegroup, Quarantine{Node: id(3), Identifier: link.Identifiers[0], Reason: "shared", People: 9, At: 9, By: "me", final: true}),
		verdictOp(
			recordVerdict, Quarantine{Node: id(3), Identifier: link.Identifiers[0], Reason: "shared", People: 9, At: 9, By: byRules},
			Quarantine{Node: id(4), Identifier: link.Identifiers[1], Reason: "everybody's", People: 17, At: 9, By: byRules, final: true},
			Quarantine{Node: id(5), Identifier: link.Identifiers[1], Reason: "no good", People: 1, At: 9, By: "me", final: true},
		),
		{kind: recordErase, node: id(9), parts: [][]rapport.ID{{id(1)}}, pairs: []uint64{1, 2}, at: 9, by: "job"},
	}
}

func verdictOp(kind uint8, junk ...Quarantine) op {
	id := func(b byte) (id rapport.ID) { id[0], id[15] = b, b; return id }
	h := ref{a: id(1), b: id(2), kind: Device, link: LinkID{1, 2}, first: id(3)}
	return op{
		kind: kind, node: id(9), at: 9, by: "me", hold: []ref{h}, resume: []ref{h}, contested: []rapport.ID{id(1)},
		junk: junk, release: []rapport.ID{id(6)}, parts: [][]rapport.ID{{id(1), id(2)}},
	}
}

// TestTheLedgerTellsHowFirmAQuarantineIs: without names, and for what an earlier
// version wrote.
func TestTheLedgerTellsHowFirmAQuarantineIs(t *testing.T) {
	t.Parallel()
	for _, o := range ops() {
		b := appendBare(nil, &o)
		d, got := newDecoder(b), op{}
		if d.bare(&got); d.Failed() || d.Len() > 0 {
			t.Fatalf("%+v is not read", o)
		}
		whole, bare := newTable(), newTable()
		whole.apply(&o)
		bare.apply(&got)
		if !reflect.DeepEqual(whole.junk, bare.junk) {
			t.Errorf("in quarantine %v, by the ledger %v", whole.junk, bare.junk)
		}
		if again := appendBare(nil, &got); !bytes.Equal(again, b) {
			t.Errorf("the second encoding of %+v differs", o)
		}
	}
}

func TestOpsSurviveTheLog(t *testing.T) {
	t.Parallel()
	for _, o := range ops() {
		var got op
		if err := decodeOp(appendOp(nil, &o), &got); err != nil {
			t.Error(err)
		} else if !reflect.DeepEqual(o, got) {
			t.Errorf("%+v became %+v", o, got)
		}
	}
}

func FuzzDecodeOp(f *testing.F) {
	for _, o := range ops() {
		f.Add(appendOp(nil, &o))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var o, again op
		if decodeOp(b, &o) != nil {
			return
		}
		once := appendOp(nil, &o)
		if err := decodeOp(once, &again); err != nil {
			t.Fatal(err)
		}
		if twice := appendOp(nil, &again); !bytes.Equal(once, twice) {
			t.Fatal("the second encoding differs from the first")
		}
		table := newTable()
		table.apply(&o) // whatever stands in the log must not break the table
		table.apply(&again)
	})
}

func FuzzDecodeEntry(f *testing.F) {
	for _, o := range ops() {
		f.Add(appendEntry(nil, &o.link))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodeEntry(rapport.ID{1}, LinkID{2}, b)
		if err != nil {
			return
		}
		once := appendEntry(nil, &l)
		again, err := decodeEntry(rapport.ID{1}, LinkID{2}, once)
		if err != nil || !bytes.Equal(appendEntry(nil, &again), once) {
			t.Fatalf("the second encoding differs from the first: %v", err)
		}
	})
}
