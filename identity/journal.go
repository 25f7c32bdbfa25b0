package identity

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/state"
)

// journal is the durable fold of the identity topic in the state store: the
// ledger, which is what the table needs in order, and every link under the
// first of its nodes, which is what people ask for. Position and content are
// written together, so after a crash the topic's end brings it up to date.
//
//	p                     offset of the next record to fold
//	g offset              ledger: ops without names, those of several records
//	n A link              the link from A
//	w B link              A: a link to B
//	r link                A: a link that is held; 1 more byte if how it came about is not judged yet
//	q node                a value in quarantine
//	h node                the address the node tells (see household.go)
//	a address node        a node that tells the address
//	x node                when the node was erased and by which job
type journal struct {
	s      *state.Store
	recent recent        // used by keep alone
	hurry  chan struct{} // capacity 1: somebody waits

	mu       sync.Mutex
	position int64
	moved    chan struct{} // closed when position moves or err is set
	err      error
}

const span = "identity/"

func key(kind byte, parts ...[]byte) []byte {
	k := append(make([]byte, 0, 48), span...)
	k = append(k, kind)
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func (j *journal) open(s *state.Store) {
	j.s, j.moved, j.hurry = s, make(chan struct{}), make(chan struct{}, 1)
}

// at returns the offset of the topic up to which the journal reflects it.
func (j *journal) at() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.position
}

// moveTo tells those who wait that the journal has reached an offset, or why it never will.
func (j *journal) moveTo(position int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.position, j.err = position, err
	close(j.moved)
	j.moved = make(chan struct{})
}

// wait returns once the journal reflects everything below an offset.
func (j *journal) wait(ctx context.Context, offset int64) error {
	for {
		j.mu.Lock()
		position, err, moved := j.position, j.err, j.moved
		j.mu.Unlock()
		if position >= offset || err != nil {
			return err
		}
		select {
		case j.hurry <- struct{}{}:
		default:
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return rapport.Errorf(rapport.Unavailable, "the journal of links is behind: %w", ctx.Err())
		}
	}
}

// replay calls apply for every op of the ledger and returns where the topic goes on.
func (j *journal) replay(apply func(*op)) (position int64, err error) {
	value, found, err := j.s.Get(key('p'), nil)
	if err != nil || !found {
		return 0, err
	}
	if len(value) != 8 {
		return 0, rapport.Errorf(rapport.Internal, "position of the identity journal is damaged")
	}
	it, err := j.s.Scan(key('g'), key('g'+1))
	if err != nil {
		return 0, err
	}
	var o op
	for it.First(); it.Valid() && err == nil; it.Next() {
		for d := newDecoder(it.Value()); d.Len() > 0 || d.Failed(); {
			if d.bare(&o); d.Failed() {
				err = rapport.Errorf(rapport.Internal, "identity ledger entry %x is damaged", it.Key())
				break
			}
			apply(&o)
		}
	}
	if closed := it.Close(); err == nil {
		err = closed
	}
	return int64(binary.BigEndian.Uint64(value)), err
}

// fold writes records of the topic. Erased records leave nothing.
func (j *journal) fold(records []eventlog.Record) error {
	position := j.at()
	if records[len(records)-1].Offset < position {
		return nil
	}
	f := folding{j: j, from: max(position, records[0].Offset), batch: j.s.Batch()}
	for i := range records {
		r := &records[i]
		if r.Kind == 0 || r.Offset < position {
			continue // erased, or delivered again
		}
		var o op
		if err := decodeOp(r.Data, &o); err != nil {
			return rapport.Errorf(rapport.Internal, "identity topic, offset %d: %w", r.Offset, err)
		}
		counts, err := f.op(&o, r.Offset)
		if err != nil {
			return err
		}
		if counts {
			f.ledger = appendBare(f.ledger, &o)
		}
	}
	next := records[len(records)-1].Offset + 1
	if err := f.commit(next); err != nil {
		return err
	}
	j.moveTo(next, nil)
	return nil
}

// folding is one run of records on its way into the store.
type folding struct {
	j      *journal
	batch  *state.Batch
	sets   []set // of links, for the batch
	from   int64 // offset of the first op in ledger
	ledger []byte
}

type set struct{ key, value []byte }

// commit writes in the order of keys: the store finds a place next to the last
// one much sooner than any other.
func (f *folding) commit(next int64) error {
	slices.SortStableFunc(f.sets, func(a, b set) int { return bytes.Compare(a.key, b.key) })
	for _, s := range f.sets {
		if err := f.batch.Set(s.key, s.value); err != nil {
			return err
		}
	}
	f.sets = nil
	if len(f.ledger) > 0 {
		if err := f.batch.Set(key('g', binary.BigEndian.AppendUint64(nil, uint64(f.from))), f.ledger); err != nil {
			return err
		}
	}
	if err := f.batch.Set(key('p'), binary.BigEndian.AppendUint64(nil, uint64(next))); err != nil {
		return err
	}
	f.from, f.ledger = next, nil
	return f.batch.Commit()
}

// settle makes what was collected readable before an op that reads.
func (f *folding) settle(offset int64) error {
	if err := f.commit(offset); err != nil {
		return err
	}
	f.batch = f.j.s.Batch()
	return nil
}

// op folds one op and reports whether it counts: the second copy of one that
// the log holds twice does not.
func (f *folding) op(o *op, offset int64) (counts bool, err error) {
	switch o.kind {
	case recordLink, recordHeld:
		return f.link(o)
	case recordRegroup, recordVerdict:
		if err := f.settle(offset); err != nil {
			return false, err
		}
		return f.regroup(o)
	case recordScore:
		if err := f.settle(offset); err != nil {
			return false, err
		}
		return false, f.score(o)
	case recordWithdraw:
		if err := f.settle(offset); err != nil {
			return false, err
		}
		return f.withdraw(o)
	case recordErase:
		if err := f.settle(offset); err != nil {
			return false, err
		}
		return f.erase(o)
	}
	return true, nil
}

func (f *folding) link(o *op) (bool, error) {
	if !f.j.recent.add(binary.LittleEndian.Uint64(o.link.ID[:]) ^ uint64(o.link.At)*0x9e3779b97f4a7c15) {
		return false, nil
	}
	if o.link.Held = o.kind == recordHeld; o.link.Held {
		f.sets = append(f.sets, set{key('r', o.link.ID[:]), append(o.link.A[:], 1)})
	}
	f.sets = append(f.sets, set{key('w', o.link.B[:], o.link.ID[:]), slices.Clone(o.link.A[:])},
		set{key('n', o.link.A[:], o.link.ID[:]), appendEntry(nil, &o.link)})
	return true, nil
}

// recent remembers the last links folded, so that a second copy in the log,
// which follows the first closely, does not revive one that was withdrawn or
// erased in between. What was really made again has another time.
type recent struct {
	seen map[uint64]struct{}
	ring []uint64
	at   int
}

const recentLinks = 1 << 14

func (r *recent) add(key uint64) bool {
	if _, known := r.seen[key]; known {
		return false
	}
	if r.seen == nil {
		r.seen = make(map[uint64]struct{}, recentLinks)
	}
	if len(r.ring) < recentLinks {
		r.ring = append(r.ring, key)
	} else {
		delete(r.seen, r.ring[r.at])
		r.ring[r.at] = key
		r.at = (r.at + 1) % recentLinks
	}
	r.seen[key] = struct{}{}
	return true
}

func (f *folding) withdraw(o *op) (bool, error) {
	at := key('n', o.link.A[:], o.link.ID[:])
	value, found, err := f.j.s.Get(at, nil)
	if err != nil || !found {
		return false, err
	}
	link, err := decodeEntry(o.link.A, o.link.ID, value)
	if err != nil || link.Withdrawn != nil {
		return false, err
	}
	link.Withdrawn, link.Held = &Withdrawal{At: o.at, By: o.by}, false
	if err := f.batch.Delete(key('r', o.link.ID[:])); err != nil {
		return false, err
	}
	return true, f.batch.Set(at, appendEntry(nil, &link))
}

// score gives a probable link another weight. It changes nothing in the table,
// so that the ledger does not hold it.
func (f *folding) score(o *op) error {
	l, found, err := f.j.link(o.link.A, o.link.ID)
	if err != nil || !found || l.Withdrawn != nil {
		return err
	}
	l.Bits, l.Evidence, l.By = o.link.Bits, o.link.Evidence, o.link.By
	l.Model, l.Steps, l.Guarded = o.link.Model, o.link.Steps, o.link.Guarded
	return f.batch.Set(key('n', o.link.A[:], o.link.ID[:]), appendEntry(nil, &l))
}

func (f *folding) erase(o *op) (bool, error) {
	before, found, err := f.j.erased(o.parts[0][0])
	if err != nil || found && before.At == o.at && before.Job == o.by {
		return false, err
	}
	for _, node := range o.parts[0] {
		if err := errors.Join(f.eraseLinks(node), f.eraseHome(node)); err != nil {
			return false, err
		}
		for _, kind := range [...]byte{'n', 'w'} {
			from := key(kind, node[:])
			if err := f.batch.DeleteRange(from, state.PrefixEnd(from)); err != nil {
				return false, err
			}
		}
		if err := f.batch.Set(key('x', node[:]), rapport.AppendText(binary.AppendVarint(nil, o.at), o.by)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// eraseLinks forgets the links of a node at their other ends, and what is said of it.
func (f *folding) eraseLinks(node rapport.ID) error {
	strangers, err := f.j.linksTo(node)
	if err != nil {
		return err
	}
	for _, s := range strangers {
		if err := errors.Join(f.batch.Delete(key('n', s.a[:], s.link[:])), f.batch.Delete(key('r', s.link[:]))); err != nil {
			return err
		}
	}
	own, err := f.j.linksFrom(node)
	if err != nil {
		return err
	}
	for _, l := range own {
		if err := errors.Join(f.batch.Delete(key('w', l.B[:], l.ID[:])), f.batch.Delete(key('r', l.ID[:]))); err != nil {
			return err
		}
	}
	return f.batch.Delete(key('q', node[:]))
}

// eraseHome forgets where a node lives.
func (f *folding) eraseHome(node rapport.ID) error {
	home, found, err := f.j.s.Get(key('h', node[:]), nil)
	if err != nil || !found {
		return err
	}
	return errors.Join(f.batch.Delete(key('a', home, node[:])), f.batch.Delete(key('h', node[:])))
}

// erased returns when and by which job a node was erased last.
func (j *journal) erased(node rapport.ID) (Erased, bool, error) {
	value, found, err := j.s.Get(key('x', node[:]), nil)
	if err != nil || !found {
		return Erased{}, false, err
	}
	d := newDecoder(value)
	return Erased{Node: node, At: d.Varint(), Job: d.Text()}, true, nil
}

// entryKey finds the entry of a link.
type entryKey struct {
	a    rapport.ID
	link LinkID
}

// linksTo returns the links to a node.
func (j *journal) linksTo(node rapport.ID) (keys []entryKey, err error) {
	from := key('w', node[:])
	it, err := j.s.Scan(from, state.PrefixEnd(from))
	if err != nil {
		return nil, err
	}
	for it.First(); it.Valid(); it.Next() {
		k := entryKey{}
		copy(k.link[:], it.Key()[len(from):])
		copy(k.a[:], it.Value())
		keys = append(keys, k)
	}
	return keys, it.Close()
}

// linksFrom returns the links from a node.
func (j *journal) linksFrom(node rapport.ID) (links []Link, err error) {
	from := key('n', node[:])
	it, err := j.s.Scan(from, state.PrefixEnd(from))
	if err != nil {
		return nil, err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		var id LinkID
		copy(id[:], it.Key()[len(from):])
		var l Link
		if l, err = decodeEntry(node, id, it.Value()); err == nil {
			links = append(links, l)
		}
	}
	if closed := it.Close(); err == nil {
		err = closed
	}
	return links, err
}

// link returns a link by its first node and id.
func (j *journal) link(a rapport.ID, id LinkID) (l Link, found bool, err error) {
	value, found, err := j.s.Get(key('n', a[:], id[:]), nil)
	if err == nil && found {
		l, err = decodeEntry(a, id, value)
	}
	return l, found, err
}

// of returns all links of a node, whatever became of them.
func (j *journal) of(node rapport.ID) ([]Link, error) {
	links, err := j.linksFrom(node)
	if err != nil {
		return nil, err
	}
	others, err := j.linksTo(node)
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		l, found, err := j.link(o.a, o.link)
		if err != nil {
			return nil, err
		}
		if found {
			links = append(links, l)
		}
	}
	return links, nil
}

// links returns the links of a person, given its nodes: those that stand, and
// apart those that were withdrawn or are held, to whoever they lead.
func (j *journal) links(nodes []rapport.ID) (stand, withdrawn, held []Link, err error) {
	seen := make(map[LinkID]bool)
	for _, node := range nodes {
		all, err := j.of(node)
		if err != nil {
			return nil, nil, nil, err
		}
		for _, l := range all {
			switch {
			case seen[l.ID]:
			case l.Withdrawn != nil:
				withdrawn = append(withdrawn, l)
			case l.Held:
				held = append(held, l)
			default:
				stand = append(stand, l)
			}
			seen[l.ID] = true
		}
	}
	return stand, withdrawn, held, nil
}

// appendEntry appends the journal's form of a link: what its key does not say.
func appendEntry(b []byte, l *Link) []byte {
	b = append(b, byte(l.Kind))
	b = append(b, l.B[:]...)
	b = binary.AppendUvarint(b, uint64(l.Epoch))
	b = appendNames(b, l)
	switch {
	case l.Held:
		return append(b, 2)
	case l.Withdrawn == nil:
		return append(b, 0)
	}
	return rapport.AppendText(binary.AppendVarint(append(b, 1), l.Withdrawn.At), l.Withdrawn.By)
}

func decodeEntry(a rapport.ID, id LinkID, b []byte) (Link, error) {
	d := newDecoder(b)
	l := Link{ID: id, A: a, Kind: Kind(d.Byte()), B: d.ID(), Epoch: uint32(d.Uvarint())}
	d.names(&l)
	switch d.Byte() {
	case 1:
		l.Withdrawn = &Withdrawal{At: d.Varint(), By: d.Text()}
	case 2:
		l.Held = true
	}
	if !d.Done() {
		return Link{}, rapport.Errorf(rapport.Internal, "journal entry of link %s is damaged", id)
	}
	return l, nil
}

// load builds the table from the ledger and the end of the topic.
func (r *Resolver) load(ctx context.Context) (*table, error) {
	t := newTable()
	position, err := r.journal.replay(func(o *op) { t.apply(o) })
	if err != nil {
		return nil, err
	}
	first, next := r.o.Log.Bounds(eventlog.Identity, 0)
	if position < first {
		return nil, rapport.WithHint(
			rapport.Errorf(rapport.Internal, "the identity topic begins at %d, the journal of links ends at %d", first, position),
			"restore state and log from the same backup")
	}
	r.journal.moveTo(position, nil)
	if position >= next {
		return t, nil
	}
	reader, err := r.o.Log.Reader(eventlog.Identity, 0, position)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for position < next {
		records, err := reader.Next(ctx)
		if err != nil {
			return nil, err
		}
		for i := range records {
			if records[i].Offset != position {
				continue // delivered again
			}
			if position++; records[i].Kind == 0 || position > next {
				continue
			}
			var o op
			if err := decodeOp(records[i].Data, &o); err != nil {
				return nil, rapport.Errorf(rapport.Internal, "identity topic, offset %d: %w", records[i].Offset, err)
			}
			t.apply(&o)
		}
	}
	return t, nil
}

// gather is how long the journal lets links come together before it writes them.
const gather = 20 * time.Millisecond

// keep folds the topic into the journal as it grows: few large writes cost much
// less than many small ones. Whoever waits for it waits for no more than is there.
func (r *Resolver) keep(ctx context.Context) error {
	reader, err := r.o.Log.Reader(eventlog.Identity, 0, r.journal.at())
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		records, err := reader.Next(ctx)
		if err == nil {
			err = r.journal.fold(records)
		}
		if err != nil {
			if ctx.Err() != nil || rapport.KindOf(err) == rapport.Unavailable {
				err = nil
			}
			r.journal.moveTo(r.journal.at(), rapport.Errorf(rapport.Unavailable, "the journal of links has stopped"))
			return err
		}
		if len(records) > 1<<12 {
			continue
		}
		select {
		case <-time.After(gather):
		case <-r.journal.hurry:
		case <-ctx.Done():
		}
	}
}

// Settle returns once the journal reflects every link and every erasure made
// before the call. Kinds: Unavailable.
func (r *Resolver) Settle(ctx context.Context) error {
	_, next := r.o.Log.Bounds(eventlog.Identity, 0)
	return r.journal.wait(ctx, next)
}

// Checkpoint makes the journal durable and lets the log remove what it
// reflects of the identity topic.
func (r *Resolver) Checkpoint() error {
	position := r.journal.at()
	if err := r.o.State.Flush(); err != nil {
		return err
	}
	return r.o.Log.Trim(eventlog.Identity, 0, position)
}
