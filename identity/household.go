package identity

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/learn/linkage"
	"github.com/rapport-engine/rapport/state"
)

// Household is people who share an address. It is a relation between people and
// never makes one person of them.
type Household struct {
	ID HouseholdID
	// People are persons as they are now, ordered.
	People []rapport.ID
	// Shared is set if too many people live there for it to be one household: a
	// block of flats, an office, a hall of residence. People are left out then.
	Shared bool
}

// HouseholdID names an address: a keyed hash of it, so that nobody without the
// key can try addresses against it.
type HouseholdID rapport.ID

// String returns the public form, "h_" and 26 characters.
func (h HouseholdID) String() string { return "h_" + linkEncoding.EncodeToString(h[:]) }

// LogValue shows the public form.
func (h HouseholdID) LogValue() slog.Value { return slog.StringValue(h.String()) }

// MostInHousehold is the most people who are taken for one household.
const MostInHousehold = 8

// live notes where who a source record is of lives.
func (r *Resolver) live(s *Source) error {
	home, known := r.homeOf(s.Values)
	before, found, err := r.o.State.Get(key('h', s.Node[:]), nil)
	switch {
	case err != nil:
		return err
	case found == known && (!found || string(before) == string(home[:])):
		return nil
	}
	batch := r.o.State.Batch()
	if found {
		if err := batch.Delete(key('a', before, s.Node[:])); err != nil {
			return err
		}
	}
	if !known {
		err = batch.Delete(key('h', s.Node[:]))
	} else if err = batch.Set(key('h', s.Node[:]), home[:]); err == nil {
		err = batch.Set(key('a', home[:], s.Node[:]), nil)
	}
	if err != nil {
		return err
	}
	return batch.Commit()
}

// homeOf returns the key of an address: street with number, and postcode or else city.
func (r *Resolver) homeOf(values []string) (home HouseholdID, ok bool) {
	if len(values) == 0 {
		return home, false
	}
	schema := linkage.Person()
	get := func(field string) string {
		i := schema.Index(field)
		return linkage.Normalize(schema[i].Kind, values[i])
	}
	street, place := get("address"), get("postcode")
	if place == "" {
		place = get("city")
	}
	if len(street) < 5 || place == "" || !strings.ContainsAny(street, "0123456789") {
		return home, false
	}
	return HouseholdID(r.sum("", "household "+street+"\n"+place, 0)), true
}

// Households returns who a person shares an address with, one household for
// each address it tells. Kind: Unavailable.
func (r *Resolver) Households(ctx context.Context, person rapport.ID) (list []Household, err error) {
	_, next := r.o.Log.Bounds(eventlog.Identity, 0)
	if err := r.journal.wait(ctx, next); err != nil {
		return nil, err
	}
	r.mu.RLock()
	nodes := r.table.memberIDs(person)
	r.mu.RUnlock()
	for _, node := range nodes {
		value, found, err := r.o.State.Get(key('h', node[:]), nil)
		if err != nil {
			return nil, err
		}
		if !found || slices.ContainsFunc(list, func(h Household) bool { return string(h.ID[:]) == string(value) }) {
			continue
		}
		h := Household{}
		copy(h.ID[:], value)
		if err := r.residents(&h); err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b Household) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return list, nil
}

// residents fills in who lives at an address.
func (r *Resolver) residents(h *Household) error {
	from := key('a', h.ID[:])
	it, err := r.o.State.Scan(from, state.PrefixEnd(from))
	if err != nil {
		return err
	}
	r.mu.RLock()
	for ok := it.First(); ok && len(h.People) <= MostInHousehold; ok = it.Next() {
		if p := r.table.person(rapport.ID(it.Key()[len(from):])); !slices.Contains(h.People, p) {
			h.People = append(h.People, p)
		}
	}
	r.mu.RUnlock()
	if h.Shared = len(h.People) > MostInHousehold; h.Shared {
		h.People = nil
	}
	slices.SortFunc(h.People, rapport.ID.Compare)
	return it.Close()
}
