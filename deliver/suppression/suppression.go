// Package suppression keeps the list of addresses that nothing is sent to any
// more: those that bounced for good, complained, or were put there by hand.
//
// The list holds keyed hashes, never addresses: it outlives the erasure of a
// person, and whoever reads it learns nothing without the deployment's key. It
// is a fold of the control topic: what was added stands there before Add
// returns, and holds from the next decision on, in whatever order the rooms
// look. Source of the terms: RFC 3464 (bounces), RFC 5965 (complaints).
package suppression

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rapport-engine/rapport"
)

// Reasons why an address is suppressed.
const (
	Bounced    = "bounce"    // it does not exist or takes no mail
	Complained = "complaint" // the person called a message spam
	Manual     = "manual"    // by an operator
	Imported   = "import"    // from the list of another system
)

// Entry is one suppressed address.
type Entry struct {
	// ID is the keyed hash of kind and address, in hexadecimal.
	ID string `json:"id"`
	// Kind is that of the identifier: email or phone.
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	// Detail is what was said, such as the status 5.1.1; never an address.
	Detail string `json:"detail,omitempty"`
	// Person is whose address it was, if that is known.
	Person string `json:"person,omitempty"`
	At     int64  `json:"at,omitempty"` // Unix ms
	By     string `json:"by,omitempty"`

	order uint64 // rises with each addition
}

// Address is one to suppress.
type Address struct {
	Kind, Value    string
	Reason, Detail string
	Person         rapport.ID // zero if not known
}

// Journal appends facts to the control topic ([config.Journal]).
type Journal interface {
	Append(ctx context.Context, kind, author string, body []byte) error
}

// Options are what a List needs.
type Options struct {
	Journal Journal
	Key     []byte // of the hashes
	// Normalize brings an identifier to its one form; false if it is none.
	Normalize func(kind, value string) (string, bool)
}

// The kinds of facts.
const (
	FactAdded   = "deliver.suppression.added"
	FactRemoved = "deliver.suppression.removed"
)

// Bounds of the list.
const (
	maxDetail = 200
	perFact   = 10_000
	// Max is the most addresses on the list.
	Max = 5_000_000
)

// List is the list. Its methods are safe for concurrent use.
type List struct {
	o Options

	mu      sync.RWMutex
	entries map[string]*Entry // by id
	order   []place           // as they were added; may hold removed ones
	next    uint64
}

// place is where an entry stands in the order of additions.
type place struct {
	id    string
	order uint64
}

// New returns an empty list; Fold fills it.
func New(o Options) *List { return &List{o: o, entries: map[string]*Entry{}} }

// ID returns the keyed hash of an address. The error is Invalid.
func (l *List) ID(kind, value string) (string, error) {
	if kind != rapport.KindEmail && kind != rapport.KindPhone {
		return "", rapport.Errorf(rapport.Invalid, "an address is of kind email or phone, not %q", kind)
	}
	normal, ok := l.o.Normalize(kind, value)
	if !ok {
		return "", rapport.Errorf(rapport.Invalid, "that is no address of kind %s", kind)
	}
	h := hmac.New(sha256.New, l.o.Key)
	h.Write([]byte(kind + "\x00" + normal))
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// Find returns the entry of an address, if it is suppressed.
func (l *List) Find(kind, value string) (Entry, bool) {
	if value == "" {
		return Entry{}, false
	}
	l.mu.RLock()
	empty := len(l.entries) == 0
	l.mu.RUnlock()
	if empty {
		return Entry{}, false
	}
	id, err := l.ID(kind, value)
	if err != nil {
		return Entry{}, false
	}
	return l.Get(id)
}

// Get returns the entry with an id.
func (l *List) Get(id string) (Entry, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if e := l.entries[id]; e != nil {
		return *e, true
	}
	return Entry{}, false
}

// Len returns how many addresses are suppressed.
func (l *List) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.entries)
}

// Add suppresses addresses, durably. It returns the entries that were not there
// before. Kinds: Invalid (an address that is none; nothing is added then),
// Conflict (the list is full), Unavailable.
func (l *List) Add(ctx context.Context, author string, list []Address) (added []Entry, err error) {
	seen := map[string]bool{}
	for i := range list {
		a := &list[i]
		id, err := l.ID(a.Kind, a.Value)
		if err != nil {
			return nil, rapport.Errorf(rapport.Invalid, "address %d of %d: %w", i+1, len(list), err)
		}
		switch a.Reason {
		case Bounced, Complained, Manual, Imported:
		default:
			return nil, rapport.Errorf(rapport.Invalid, "address %d of %d: %q is none of the reasons bounce, complaint, manual, import", i+1, len(list), a.Reason)
		}
		e := Entry{ID: id, Kind: a.Kind, Reason: a.Reason, Detail: clip(a.Detail)}
		if !a.Person.IsZero() {
			e.Person = a.Person.String()
		}
		if _, ok := l.Get(id); !ok && !seen[id] {
			seen[id] = true
			added = append(added, e)
		}
	}
	if l.Len()+len(added) > Max {
		return nil, rapport.Errorf(rapport.Conflict, "the list holds %d addresses, at most %d are kept", l.Len(), Max)
	}
	for part := range slices.Chunk(added, perFact) {
		body, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		if err := l.o.Journal.Append(ctx, FactAdded, author, body); err != nil {
			return nil, err
		}
	}
	return added, nil
}

// Remove lets addresses be written to again. It returns how many were on the list.
func (l *List) Remove(ctx context.Context, author string, ids []string) (int, error) {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		_, ok := l.Get(id)
		return !ok
	})
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for part := range slices.Chunk(ids, perFact) {
		body, err := json.Marshal(part)
		if err != nil {
			return 0, err
		}
		if err := l.o.Journal.Append(ctx, FactRemoved, author, body); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// Fold takes in a fact of the control topic. The error is Internal for one that
// is damaged.
func (l *List) Fold(kind string, at int64, author string, body []byte) error {
	switch kind {
	case FactAdded:
		var list []Entry
		if err := json.Unmarshal(body, &list); err != nil {
			return rapport.Errorf(rapport.Internal, "suppressed addresses: %w", err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range list {
			e := &list[i]
			if l.entries[e.ID] != nil {
				continue
			}
			l.next++
			e.At, e.By, e.order = at, author, l.next
			l.entries[e.ID] = e
			l.order = append(l.order, place{e.ID, e.order})
		}
	case FactRemoved:
		var ids []string
		if err := json.Unmarshal(body, &ids); err != nil {
			return rapport.Errorf(rapport.Internal, "addresses let go: %w", err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, id := range ids {
			delete(l.entries, id)
		}
		l.tidy()
	}
	return nil
}

// tidy drops what was removed from the order once it is most of it. The mutex is held.
func (l *List) tidy() {
	if len(l.order) < 2*len(l.entries)+1024 {
		return
	}
	l.order = slices.DeleteFunc(l.order, func(p place) bool { return l.at(p) == nil })
}

// at returns the entry in a place, nil if it was removed. The mutex is held.
func (l *List) at(p place) *Entry {
	if e := l.entries[p.id]; e != nil && e.order == p.order {
		return e
	}
	return nil
}

// Page returns entries, newest first, from behind a cursor ("" for the beginning),
// and the cursor to go on with, "" at the end. kind and reason may be empty. The
// error is Invalid for a cursor that is none.
func (l *List) Page(kind, reason, after string, limit int) (list []Entry, next string, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	from := len(l.order)
	if after != "" {
		n, err := strconv.ParseUint(after, 10, 64)
		if err != nil {
			return nil, "", rapport.Errorf(rapport.Invalid, "after is not a cursor of this list")
		}
		from, _ = slices.BinarySearchFunc(l.order, n, func(p place, n uint64) int { return cmp.Compare(p.order, n) })
	}
	list = []Entry{}
	for i := from - 1; i >= 0; i-- {
		e := l.at(l.order[i])
		if e == nil || kind != "" && e.Kind != kind || reason != "" && e.Reason != reason {
			continue
		}
		if len(list) == limit {
			return list, strconv.FormatUint(list[limit-1].order, 10), nil
		}
		list = append(list, *e)
	}
	return list, "", nil
}

func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "")
	}
	return s
}
