package engine

import "encoding/binary"

// meta is what is one per partition. It is written with every commit.
type meta struct {
	pos        int64  // records below it are folded
	time       int64  // of the last record folded, Unix ms
	config     int64  // version adopted
	folded     int64  // accepted events folded here
	duplicates int64  // retries dropped here
	erased     int64  // late events dropped because of an erasure
	live       int64  // entities that are not merged into another
	items      int64  // those of them that are items; -1 when it is not known yet
	suppressed int64  // erasures remembered
	build      int64  // the last rebuild switched to
	migrating  int64  // that rebuild, while entities are still to be taken from it
	scratch    int64  // where the log ended when state was first made from it
	n          uint32 // consequences already out of the record at pos; see pause
	marks      []mark
	active     []uint16 // ids of the folds that are run, sorted
}

func newMeta(partitions int) meta { return meta{marks: make([]mark, partitions)} }

const metaCodec = 4 // 3 had no items

func (m *meta) append(b []byte) []byte {
	b = append(b, metaCodec)
	for _, v := range [...]int64{m.pos, m.time, m.config, m.folded, m.duplicates, m.erased, m.live, m.suppressed, m.build, m.migrating, m.scratch} {
		b = binary.AppendVarint(b, v)
	}
	b = binary.AppendVarint(b, m.items)
	b = binary.AppendUvarint(b, uint64(m.n))
	b = binary.AppendUvarint(b, uint64(len(m.marks)))
	for _, k := range m.marks {
		b = binary.AppendVarint(b, k.offset)
		b = binary.AppendUvarint(b, uint64(k.n))
	}
	b = binary.AppendUvarint(b, uint64(len(m.active)))
	for _, id := range m.active {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

func (m *meta) decode(b []byte) error {
	r := reader{b: b}
	version := r.byte()
	for _, v := range [...]*int64{&m.pos, &m.time, &m.config, &m.folded, &m.duplicates, &m.erased, &m.live, &m.suppressed, &m.build, &m.migrating, &m.scratch} {
		*v = r.varint()
	}
	if m.items = -1; version == metaCodec {
		m.items = r.varint()
	}
	m.n = uint32(r.uvarint())
	n := r.count(2)
	if n != len(m.marks) || version != metaCodec && version != 3 {
		return damaged("position of a partition")
	}
	for i := range m.marks {
		m.marks[i] = mark{r.varint(), uint32(r.uvarint())}
	}
	m.active = nil
	for n := r.count(1); n > 0; n-- {
		m.active = append(m.active, uint16(r.uvarint()))
	}
	if !r.done() {
		return damaged("position of a partition")
	}
	return nil
}
