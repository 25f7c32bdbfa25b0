package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// effectRef is an entity's note of an effect that waits in the outbox.
type effectRef struct {
	kind      string
	key       string
	notBefore int64
}

// effectRow is an outbox row written or deleted (nil value) and not yet in the store.
type effectRow struct {
	kind      string
	notBefore int64
	value     []byte // entity, payload
}

func findEffect(refs []effectRef, key string) (int, bool) {
	return slices.BinarySearchFunc(refs, key, func(r effectRef, key string) int { return strings.Compare(r.key, key) })
}

func (p *partition) effect(c *Context, e Effect) {
	p.serialOnly("cause effects")
	if c.History || p.mute {
		return
	}
	if e.Kind == "" || strings.Contains(e.Kind, "\x00") || len(e.Key) == 0 || len(e.Key) > 256 {
		panic("engine: fold " + p.slot.name + " causes an effect without a proper kind and key")
	}
	e.Entity = p.ent.id
	p.addEffect(p.ent, e)
}

// addEffect puts an effect in the outbox, in place of one with the same key.
func (p *partition) addEffect(ent *entity, e Effect) {
	p.removeEffect(ent, e.Key)
	i, _ := findEffect(ent.effects, e.Key)
	ent.effects = slices.Insert(ent.effects, i, effectRef{strings.Clone(e.Kind), strings.Clone(e.Key), e.NotBefore})
	ref := ent.effects[i]
	e.Kind, e.Key, e.Payload = ref.kind, ref.key, bytes.Clone(e.Payload)
	value := append(e.Entity[:16:16], e.Payload...)
	p.keyBuf = p.outboxKey(p.keyBuf[:0], ref.kind, ref.notBefore, ref.key)
	p.check(p.open.batch.Set(p.keyBuf, value))
	p.open.effects[ref.key] = &effectRow{ref.kind, ref.notBefore, value}
	p.open.bytes += len(value)
	p.touch(ent)
	if !p.mute {
		p.eng.outbox(ref.kind).offer(p, e)
	}
}

func (p *partition) cancelEffect(c *Context, key string) {
	p.serialOnly("cancel effects")
	p.removeEffect(p.ent, key)
}

func (p *partition) removeEffect(ent *entity, key string) {
	if ref, ok := p.takeEffect(ent, key); ok && !p.mute {
		p.eng.outbox(ref.kind).cancel(ref.key)
	}
}

// takeEffect takes an effect out of this partition's outbox.
func (p *partition) takeEffect(ent *entity, key string) (ref effectRef, ok bool) {
	i, found := findEffect(ent.effects, key)
	if !found {
		return ref, false
	}
	ref = ent.effects[i]
	ent.effects = slices.Delete(ent.effects, i, i+1)
	p.keyBuf = p.outboxKey(p.keyBuf[:0], ref.kind, ref.notBefore, ref.key)
	p.check(p.open.batch.Delete(p.keyBuf))
	p.open.effects[ref.key] = &effectRow{ref.kind, ref.notBefore, nil}
	p.touch(ent)
	return ref, true
}

// effectOf returns the waiting effect behind a note.
func (p *partition) effectOf(ref effectRef) (Effect, bool) {
	row, pending := p.open.effects[ref.key]
	if !pending && p.sealed != nil {
		row, pending = p.sealed.effects[ref.key]
	}
	var value []byte
	if pending {
		value = row.value
	} else {
		var err error
		p.keyBuf = p.outboxKey(p.keyBuf[:0], ref.kind, ref.notBefore, ref.key)
		if value, _, err = p.store.Get(p.keyBuf, nil); err != nil {
			p.fail(err)
		}
	}
	return effectFrom(ref, value)
}

func effectFrom(ref effectRef, value []byte) (Effect, bool) {
	if len(value) < 16 {
		return Effect{}, false
	}
	return Effect{Kind: ref.kind, Key: ref.key, Entity: rapport.ID(value[:16]), NotBefore: ref.notBefore, Payload: value[16:]}, true
}

// waiting walks the effects of a kind that wait here, by (not before, key),
// from after on (exclusive) while fn wants more. It runs on the owner.
func (p *partition) waiting(kind string, after *effectRef, until int64, fn func(Effect) bool) error {
	order := func(a, b effectRef) int {
		return cmp.Or(cmp.Compare(a.notBefore, b.notBefore), strings.Compare(a.key, b.key))
	}
	var pending []effectRef
	over := map[string]bool{}
	for _, c := range [...]*commit{p.open, p.sealed} {
		if c == nil {
			continue
		}
		for key, row := range c.effects {
			if over[key] {
				continue
			}
			over[key] = true
			if ref := (effectRef{row.kind, key, row.notBefore}); row.value != nil && row.kind == kind &&
				row.notBefore <= until && (after == nil || order(ref, *after) > 0) {
				pending = append(pending, ref)
			}
		}
	}
	slices.SortFunc(pending, order)
	prefix := append(append(p.key(nil, spanOutbox), kind...), 0)
	lower := prefix
	if after != nil {
		lower = append(p.outboxKey(nil, kind, after.notBefore, after.key), 0)
	}
	it, err := p.store.Scan(lower, state.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	defer it.Close()
	give := func(limit *effectRef) bool {
		for len(pending) > 0 && (limit == nil || order(pending[0], *limit) < 0) {
			e, ok := p.effectOf(pending[0])
			pending = pending[1:]
			if ok && !fn(e) {
				return false
			}
		}
		return true
	}
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()[len(prefix):]
		if len(k) < 8 {
			return damaged("outbox")
		}
		ref := effectRef{kind, string(k[8:]), int64(binary.BigEndian.Uint64(k))}
		if ref.notBefore > until {
			break
		}
		if over[ref.key] {
			continue
		}
		if !give(&ref) {
			return nil
		}
		if e, ok := effectFrom(ref, bytes.Clone(it.Value())); ok && !fn(e) {
			return nil
		}
	}
	give(nil)
	return nil
}

// effectKinds adds the kinds that wait here, at one seek each. A kind all of
// whose stored effects end in a commit not yet stored counts as waiting still.
func (p *partition) effectKinds(found map[string]bool) error {
	for _, c := range [...]*commit{p.open, p.sealed} {
		if c == nil {
			continue
		}
		for _, row := range c.effects {
			if row.value != nil {
				found[row.kind] = true
			}
		}
	}
	prefix := p.key(nil, spanOutbox)
	it, err := p.store.Scan(prefix, state.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; {
		kind, _, whole := bytes.Cut(it.Key()[len(prefix):], []byte{0})
		if !whole {
			return damaged("outbox")
		}
		found[string(kind)] = true
		ok = it.Seek(append(append(prefix[:len(prefix):len(prefix)], kind...), 1))
	}
	return nil
}

func appendEffectRefs(b []byte, refs []effectRef) []byte {
	b = binary.AppendUvarint(b, uint64(len(refs)))
	for _, r := range refs {
		b = appendBytes(b, r.kind)
		b = appendBytes(b, r.key)
		b = binary.AppendVarint(b, r.notBefore)
	}
	return b
}

func readEffectRefs(r *reader, refs []effectRef) []effectRef {
	for n := r.count(3); n > 0; n-- {
		refs = append(refs, effectRef{r.text(), r.text(), r.varint()})
	}
	return refs
}
