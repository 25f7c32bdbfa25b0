package identity

import (
	"math"

	"github.com/rapport-engine/rapport"
)

// table is who is who, in memory and without pointers: the nodes that take part
// in at least one link, each with its person. A node is an identifier or an
// interval of a device; a person is a ring of nodes, one of which is the root
// that names it. Ids that are in no link are not stored: each is its own root.
//
// The table is a function of the ops applied, in order. Readers hold Resolver.mu.
type table struct {
	pages [][]node
	n     uint32
	index [shards]slots
	pairs pairs
	// devices holds those that had more than one interval, by the index of
	// their first; intervals finds the interval of a device by its owner.
	devices   map[uint32]device
	intervals map[uint64]uint32
	// firsts leads from a later interval to the device's first.
	firsts map[uint32]uint32
	// contested are the nodes of links that do not count, or were withdrawn and
	// not weighed since; junk are the values in quarantine.
	contested map[uint32]bool
	junk      map[uint32]standing
	ops       uint32
}

// node is 32 bytes.
type node struct {
	id    rapport.ID
	root  uint32 // the member that names the person
	next  uint32 // ring of the members of the person
	owner uint32 // intervals: 1 + index of the identifier the interval belongs to, 0 if none; others: stronger identifiers it was seen with
	since uint32 // ops when the first link touched it; the top bit marks a device in devices
}

const (
	switched = 1 << 31 // in node.since
	pageSize = 1 << 12
	shards   = 1 << 8
)

// device is the first intervals' node's further state.
type device struct {
	current uint32 // node of the interval that is running
	epochs  uint32 // intervals so far
	turn    uint32 // changes of interval so far
}

func newTable() *table {
	return &table{devices: make(map[uint32]device), intervals: make(map[uint64]uint32), contested: make(map[uint32]bool), firsts: make(map[uint32]uint32), junk: make(map[uint32]standing)}
}

func (t *table) at(i uint32) *node { return &t.pages[i/pageSize][i%pageSize] }

// place returns where in a table of n words a hash of 32 bits belongs. Tables
// are of any size: powers of two would be half empty where memory counts.
func place(hash uint64, n int) int { return int(hash * uint64(n) >> 32) }

// room returns the size of a table that n words are to be put in after it was
// full, and full whether one of a size is with n words in it: at four fifths.
// What is looked for then lies three words away, which is one line of memory.
func room(size int) int     { return max(8, size*7/5) }
func full(n, size int) bool { return n*5 > size*4 }
func after(i, size int) int {
	if i++; i < size {
		return i
	}
	return 0
}

// slots is one shard of the index from ids to nodes: linear probing over words
// of 32 bits of the id and 1 + the node's index.
type slots struct {
	words []uint64
	n     int
}

func tag(id rapport.ID) (shard uint8, home, tag uint64) {
	h := id.Hash64()
	return uint8(h >> 56), h >> 24 & 0xffffffff, h & 0xffffffff
}

// find returns the index of an id's node.
func (t *table) find(id rapport.ID) (uint32, bool) {
	s, home, tag := tag(id)
	words := t.index[s].words
	if len(words) == 0 {
		return 0, false
	}
	for i := place(home, len(words)); words[i] != 0; i = after(i, len(words)) {
		if words[i]>>32 == tag {
			if n := uint32(words[i]) - 1; t.at(n).id == id {
				return n, true
			}
		}
	}
	return 0, false
}

// ensure returns the index of an id's node, made as a person of its own if it is new.
func (t *table) ensure(id rapport.ID) uint32 {
	if n, ok := t.find(id); ok {
		return n
	}
	i := t.n
	if i%pageSize == 0 && int(i/pageSize) == len(t.pages) {
		t.pages = append(t.pages, make([]node, pageSize))
	}
	t.n++
	*t.at(i) = node{id: id, root: i, next: i, since: t.ops &^ switched}
	s, home, tag := tag(id)
	t.index[s].grow(t)
	t.index[s].put(home, tag<<32|uint64(i+1))
	return i
}

func (s *slots) put(home, word uint64) {
	i := place(home, len(s.words))
	for s.words[i] != 0 {
		i = after(i, len(s.words))
	}
	s.words[i] = word
	s.n++
}

// grow makes room for one more. A shard is 1/256 of the index, so that growing
// never holds up readers for long.
func (s *slots) grow(t *table) {
	if !full(s.n+1, len(s.words)) {
		return
	}
	old := s.words
	s.words, s.n = make([]uint64, room(len(old))), 0
	for _, w := range old {
		if w != 0 {
			_, home, _ := tag(t.at(uint32(w) - 1).id)
			s.put(home, w)
		}
	}
}

// root returns the id of the person a node belongs to.
func (t *table) root(n uint32) rapport.ID { return t.at(t.at(n).root).id }

// person returns the root of any id, which is the id itself if it is in no link.
func (t *table) person(id rapport.ID) rapport.ID {
	if n, ok := t.find(id); ok {
		return t.root(n)
	}
	return id
}

// members calls yield for every node of n's person, n first.
func (t *table) members(n uint32, yield func(uint32) bool) {
	for i := n; ; {
		if !yield(i) {
			return
		}
		if i = t.at(i).next; i == n {
			return
		}
	}
}

// memberIDs returns the ids of all nodes of an id's person, the root first.
func (t *table) memberIDs(id rapport.ID) []rapport.ID {
	n, ok := t.find(id)
	if !ok {
		return []rapport.ID{id}
	}
	var ids []rapport.ID
	t.members(t.at(n).root, func(i uint32) bool {
		ids = append(ids, t.at(i).id)
		return true
	})
	return ids
}

// size returns the number of nodes of n's person, counting no further than limit.
func (t *table) size(n uint32, limit int) (size int) {
	t.members(n, func(uint32) bool { size++; return size < limit })
	return size
}

// senior reports whether a names a person rather than b: the stronger kind of
// identifier does, then the one that was linked first, then the lesser bytes.
func (t *table) senior(a, b uint32) bool {
	x, y := t.at(a), t.at(b)
	if x.id.Rank() != y.id.Rank() {
		return x.id.Rank() < y.id.Rank()
	}
	if s, z := x.since&^switched, y.since&^switched; s != z {
		return s < z
	}
	return x.id.Compare(y.id) < 0
}

// union makes one person of two and returns the one that ended and the one that stays.
func (t *table) union(a, b uint32) (ended, stays rapport.ID, merged bool) {
	from, to := t.at(a).root, t.at(b).root
	if from == to {
		return ended, stays, false
	}
	if t.senior(from, to) {
		from, to = to, from
	}
	t.members(from, func(i uint32) bool { t.at(i).root = to; return true })
	x, y := t.at(from), t.at(to)
	x.next, y.next = y.next, x.next
	return x.id, y.id, true
}

// different reports whether two ids are of persons known to be two: each has a
// user id.
func (t *table) different(a, b rapport.ID) bool {
	x, y := t.person(a), t.person(b)
	return x != y && x.Rank() == rapport.RankUserID && y.Rank() == rapport.RankUserID
}

// inDoubt reports whether a member of an id's person has links that do not count.
func (t *table) inDoubt(id rapport.ID) (doubt bool) {
	n, ok := t.find(id)
	if !ok {
		return false
	}
	t.members(n, func(i uint32) bool { doubt = t.contested[i]; return !doubt })
	return doubt
}

// standing returns how an id is in quarantine.
func (t *table) standing(id rapport.ID) standing {
	if len(t.junk) == 0 {
		return free
	}
	n, ok := t.find(id)
	if !ok {
		return free
	}
	return t.junk[n]
}

// seenWith returns how many stronger identifiers a value was seen with, or how
// many intervals a device has had; erased ones included.
func (t *table) seenWith(n uint32) int {
	if t.at(n).id.Rank() >= rapport.RankDevice {
		return int(t.epochs(n))
	}
	return int(t.at(n).owner)
}

// crowded reports whether a person has more than limit identifiers of one rank,
// devices left out; limit 0 is none.
func (t *table) crowded(n uint32, limit int) (many bool) {
	if limit <= 0 {
		return false
	}
	var count [rapport.RankDevice]int
	t.members(n, func(i uint32) bool {
		if rank := t.at(i).id.Rank(); rank < rapport.RankDevice {
			count[rank]++
			many = count[rank] > limit
		}
		return !many
	})
	return many
}

// ending returns the nodes of the person that would end if two were united.
func (t *table) ending(a, b rapport.ID) []rapport.ID {
	x, y := t.person(a), t.person(b)
	nx, okx := t.find(x)
	ny, oky := t.find(y)
	switch {
	case x == y:
		return nil
	case okx && oky:
		if t.senior(nx, ny) {
			x = y
		}
	case x.Rank() != y.Rank():
		if x.Rank() < y.Rank() {
			x = y
		}
	case okx || !oky && x.Compare(y) < 0: // what was linked before is older
		x = y
	}
	return t.memberIDs(x)
}

// regroup makes one person of every part. The parts hold whole persons.
func (t *table) regroup(parts [][]rapport.ID) {
	for _, part := range parts {
		var first, root uint32
		for k, id := range part {
			n := t.ensure(id)
			if k == 0 {
				first, root = n, n
				t.at(n).next = n
				continue
			}
			t.at(n).next, t.at(first).next = t.at(first).next, n
			if t.senior(n, root) {
				root = n
			}
		}
		for _, id := range part {
			n, _ := t.find(id)
			t.at(n).root = root
		}
	}
}

// current returns the node of the interval a device is in, given its first.
func (t *table) current(first uint32) uint32 {
	if t.at(first).since&switched == 0 {
		return first
	}
	return t.devices[first].current
}

// enter makes n the running interval of a device, its epoch-th.
func (t *table) enter(first, n, epoch uint32) {
	d, ok := t.devices[first]
	if !ok && n == first {
		return
	}
	if !ok {
		d.epochs = 1
		t.at(first).since |= switched
		if o := t.at(first).owner; o != 0 {
			t.intervals[uint64(first)<<32|uint64(o)] = first
		}
	}
	if n != first {
		t.firsts[n] = first
	}
	d.current, d.epochs, d.turn = n, max(d.epochs, epoch+1), d.turn+1
	t.devices[first] = d
}

// turn returns how often a device changed its interval.
func (t *table) turn(first uint32) uint32 { return t.devices[first].turn }

// epochs returns how many intervals a device has had.
func (t *table) epochs(first uint32) uint32 {
	if d, ok := t.devices[first]; ok {
		return d.epochs
	}
	return 1
}

// own gives an interval of a device to an identifier.
func (t *table) own(first, n, owner uint32) {
	t.at(n).owner = owner + 1
	if t.at(first).since&switched != 0 {
		t.intervals[uint64(first)<<32|uint64(owner+1)] = n
	}
}

// disown takes an interval from whom it belonged to.
func (t *table) disown(first, n uint32) {
	if key := uint64(first)<<32 | uint64(t.at(n).owner); t.intervals[key] == n {
		delete(t.intervals, key)
	}
	t.at(n).owner = 0
}

// owned returns the interval of a device that belongs to an identifier, the
// latest it got if there are several.
func (t *table) owned(first, owner uint32) (uint32, bool) {
	if t.at(first).since&switched == 0 {
		return first, t.at(first).owner == owner+1
	}
	n, ok := t.intervals[uint64(first)<<32|uint64(owner+1)]
	return n, ok
}

// pairs is the set of links known, withdrawn ones among them: a withdrawn link
// is not made again by the evidence that made it.
type pairs [shards]pairShard

type pairShard struct {
	words []uint64
	n     int // words in use, tombstones too
}

const tombstone = 1

// pair is the key of a link in pairs.
func pair(kind Kind, a, b rapport.ID) uint64 {
	h := a.Hash64()*0xff51afd7ed558ccd ^ (b.Hash64() + uint64(kind)*0x9e3779b97f4a7c15)
	h ^= h >> 31
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 29
	return max(h, tombstone+1)
}

func (p *pairs) has(key uint64) bool {
	words := p[key>>56].words
	if len(words) == 0 {
		return false
	}
	for i := place(key&math.MaxUint32, len(words)); words[i] != 0; i = after(i, len(words)) {
		if words[i] == key {
			return true
		}
	}
	return false
}

// add reports whether the key is new.
func (p *pairs) add(key uint64) bool {
	if p.has(key) {
		return false
	}
	s := &p[key>>56]
	if full(s.n+1, len(s.words)) {
		old := s.words
		s.words, s.n = make([]uint64, room(len(old))), 0
		for _, w := range old {
			if w > tombstone {
				s.put(w)
			}
		}
	}
	s.put(key)
	return true
}

func (s *pairShard) put(key uint64) {
	i := place(key&math.MaxUint32, len(s.words))
	for s.words[i] != 0 {
		i = after(i, len(s.words))
	}
	s.words[i] = key
	s.n++
}

func (p *pairs) remove(key uint64) {
	words := p[key>>56].words
	if len(words) == 0 {
		return
	}
	for i := place(key&math.MaxUint32, len(words)); words[i] != 0; i = after(i, len(words)) {
		if words[i] == key {
			words[i] = tombstone
			return
		}
	}
}
