// Package profile is what is known of one person: traits, counts of what they
// did, answers to the questions conditions ask about the past, consent, and a
// timeline.
//
// Everything here is a fold per fragment that merges in any order, so merging
// and unmerging people moves state and changes none of it. Guarantees: of two
// facts about the same thing the newer wins whatever order they arrive in; of
// two equally old consents the refusal wins; state per person is bounded.
package profile

import (
	"encoding/binary"
	"unsafe"

	"github.com/rapport-engine/rapport"
)

// Part is the name under which this room's compiled config stands in engine.Config.
const Part = "profile"

// Names of the folds, in the order in which they must run.
const (
	FoldActivity  = "activity"
	FoldConsent   = "consent"
	FoldAbout     = "about"
	FoldAggregate = "aggregate"
	FoldTimeline  = "timeline"
)

// FoldThings is the fold of another room (twin) that knows the product items of a person.
const FoldThings = "things"

// fact is a value with when it was said; of two facts the newer stands, and of
// two equally old ones the one that sorts higher, so that order of arrival
// does not matter.
func newer(at, thanAt int64, value, than string) bool {
	return at > thanAt || at == thanAt && value > than
}

// reader reads the primitives of this room's binary forms. After a failure it
// stays bad and returns zeros, so that decoders check once at the end.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 { // most are small
		x := uint64(r.b[0])
		r.b = r.b[1:]
		return x
	}
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) varint() int64 {
	x := r.uvarint()
	return int64(x>>1) ^ -int64(x&1)
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.bad, r.b = true, nil
		return 0
	}
	x := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return x
}

// bytes returns the next field without copying it.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) string() string { return string(r.bytes()) }

// count reads the length of a list whose elements take at least one byte.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

// done returns an error unless everything was read and nothing was wrong.
func (r *reader) done(what string) error {
	if r.bad || len(r.b) > 0 {
		return rapport.Errorf(rapport.Internal, "stored %s of a person is damaged", what)
	}
	return nil
}

func appendString[S ~string | ~[]byte](b []byte, s S) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// text views bytes as a string for a comparison, without copying.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// SystemReview names the system event that asks for a person's segments to be
// looked at again, because definitions changed; its body is of room segment.
const SystemReview = "Segments Reviewed"

// SystemBuilt names the system event that brings a fragment what history says
// of its purchases and tastes under a changed definition; its body is of room predict.
const SystemBuilt = "Predictions Built"

// internal reports whether a system event is work of the program that tells
// nothing about the person.
func internal(name string) bool {
	return name == SystemAnswers || name == SystemReview || name == SystemBuilt
}
