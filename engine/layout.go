package engine

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/state"
)

// slot is a fold at its place in the order.
type slot struct {
	fold    Fold
	name    string
	version uint32
	// id names fold@version in keys and records of this store. It is local to
	// the store: what leaves it (records, hashes) says name and version.
	id    uint16
	order int
	// at is the index among the folds of the same scope.
	at        int
	perEntity bool
	cold      Cold // nil: hot
	// rowless folds have no rows to look for.
	rowless bool
	// positioned folds say something of positions in the log.
	positioned bool
	// dark folds are being built: they are not run and read as empty.
	dark bool
	// building: in a rebuild, this fold is the one rebuilt.
	building bool
}

// layout is the folds of a partition between two barriers. It never changes.
type layout struct {
	slots  []*slot
	frag   []*slot // PerFragment, in order
	serial []*slot // PerEntity, in order
	// regroup are those of serial that are told of other fragments, indexed is
	// the one whose state lists its entity.
	regroup []*slot
	indexed *slot
}

func newLayout(folds []Fold, ids func(Fold) uint16, dark func(Fold) bool) *layout {
	l := &layout{}
	for i, f := range folds {
		s := &slot{fold: f, name: f.Name(), version: f.Version(), id: ids(f), order: i, perEntity: f.Scope() == PerEntity}
		s.cold, _ = f.(Cold)
		_, s.rowless = f.(Rowless)
		_, s.positioned = f.(Positioned)
		s.dark = dark(f)
		l.slots = append(l.slots, s)
		if s.perEntity {
			s.at = len(l.serial)
			l.serial = append(l.serial, s)
			if s.cold == nil && !s.dark {
				st := f.New()
				if _, ok := st.(Regrouped); ok {
					l.regroup = append(l.regroup, s)
				}
				if _, ok := st.(Indexed); ok {
					l.indexed = s
				}
			}
		} else {
			s.at = len(l.frag)
			l.frag = append(l.frag, s)
		}
	}
	return l
}

func (l *layout) byName(name string) *slot {
	for _, s := range l.slots {
		if s.name == name {
			return s
		}
	}
	return nil
}

func (l *layout) byID(id uint16) *slot {
	for _, s := range l.slots {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (l *layout) find(name string, version uint32) *slot {
	if s := l.byName(name); s != nil && s.version == version {
		return s
	}
	return nil
}

func checkFolds(folds []Fold) error {
	for i, f := range folds {
		if f.Name() == "" || len(f.Name()) > 64 {
			return rapport.Errorf(rapport.Invalid, "fold name %q must have 1 to 64 bytes", f.Name())
		}
		if slices.ContainsFunc(folds[:i], func(o Fold) bool { return o.Name() == f.Name() }) {
			return rapport.Errorf(rapport.Invalid, "two folds are named %q", f.Name())
		}
	}
	return nil
}

// registry gives every fold@version of a store a short number.
type registry struct {
	mu   sync.Mutex
	next uint16
	ids  map[string]uint16
}

func versionName(f Fold) string { return fmt.Sprintf("%s@%d", f.Name(), f.Version()) }

func loadRegistry(st *state.Store) (*registry, error) {
	r := &registry{next: 1, ids: map[string]uint16{}}
	b, found, err := st.Get(globalKey("folds"), nil)
	if err != nil || !found {
		return r, err
	}
	rd := reader{b: b}
	for n := rd.count(2); n > 0; n-- {
		name := rd.text()
		id := uint16(rd.uvarint())
		r.ids[name] = id
		r.next = max(r.next, id+1)
	}
	if !rd.done() {
		return nil, damaged("the store's list of folds")
	}
	return r, nil
}

// add returns the id of f, and whether it is new to this store.
func (r *registry) add(f Fold) (id uint16, isNew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := versionName(f)
	if id, ok := r.ids[name]; ok {
		return id, false
	}
	r.ids[name] = r.next
	r.next++
	return r.next - 1, true
}

// id returns the id of name@version, 0 if it has none.
func (r *registry) id(name string) uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[name]
}

func (r *registry) save(b *state.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.ids))
	for name := range r.ids {
		names = append(names, name)
	}
	slices.Sort(names)
	v := binary.AppendUvarint(nil, uint64(len(names)))
	for _, name := range names {
		v = appendBytes(v, name)
		v = binary.AppendUvarint(v, uint64(r.ids[name]))
	}
	return b.Set(globalKey("folds"), v)
}
