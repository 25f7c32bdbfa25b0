package identity

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rapport-engine/rapport"
)

// Source is what one identifier says of itself: one source record.
type Source struct {
	Node rapport.ID
	Name rapport.Identifier
	// Values are in the order of linkage.Person; missing ones are empty.
	Values []string
}

// Sources reads source records from wherever profiles are.
type Sources interface {
	// Source returns the record of a node. ok is false if it says nothing.
	Source(ctx context.Context, node rapport.ID) (s Source, ok bool, err error)
	// Each calls yield with every record, always in the same order for the same
	// people, beside everything else.
	Each(ctx context.Context, yield func(Source) error) error
}

// changes are nodes whose source records are to be looked at again.
type changes struct {
	watched atomic.Bool // somebody follows source records

	mu    sync.Mutex
	queue []rapport.ID
	known map[rapport.ID]bool
	gone  map[rapport.ID]bool // erased, and not looked at since
	all   bool                // too many to remember: look at everybody
	rules bool                // other rules are in force, which nobody noticed yet
	more  chan struct{}       // capacity 1: a wake-up is not lost
	idle  chan struct{}       // closed when there is nothing to look at
}

// mostChanges is how many nodes are remembered one by one.
const mostChanges = 1 << 18

func (c *changes) open() {
	c.known, c.gone, c.more = make(map[rapport.ID]bool), make(map[rapport.ID]bool), make(chan struct{}, 1)
	c.idle = make(chan struct{}) // everybody is looked at first
}

func (c *changes) add(gone bool, nodes ...rapport.ID) {
	c.mu.Lock()
	for _, id := range nodes {
		if gone {
			c.gone[id] = true
		}
		if c.known[id] {
			continue
		}
		if len(c.queue) >= mostChanges {
			c.all = true
			break
		}
		c.known[id] = true
		c.queue = append(c.queue, id)
	}
	c.wake()
	c.mu.Unlock()
}

// again asks to look whether the rules ask for everybody to be looked at.
func (c *changes) again() {
	c.mu.Lock()
	c.rules = true
	c.wake()
	c.mu.Unlock()
}

// noticed tells that the rules now in force are looked at.
func (c *changes) noticed() {
	c.mu.Lock()
	c.rules = false
	c.mu.Unlock()
}

// rest tells that nothing is left to look at.
func (c *changes) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 || c.all || c.rules {
		return
	}
	select {
	case <-c.idle:
	default:
		close(c.idle)
	}
}

// Compared returns once every source record told of before the call has been
// compared, and what follows from it weighed. Run must be running.
func (r *Resolver) Compared(ctx context.Context) error {
	r.changes.mu.Lock()
	idle := r.changes.idle
	r.changes.mu.Unlock()
	select {
	case <-idle:
		return r.Weighed(ctx)
	case <-ctx.Done():
		return rapport.Errorf(rapport.Unavailable, "source records are still being compared: %w", ctx.Err())
	}
}

// wake is called with mu held.
func (c *changes) wake() {
	select {
	case <-c.idle:
		c.idle = make(chan struct{})
	default:
	}
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// take returns up to n nodes to look at, and whether some of them were erased;
// or that it is everybody.
func (c *changes) take(n int) (nodes []rapport.ID, erased, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all {
		c.all, c.queue = false, nil
		clear(c.known)
		return nil, true, true
	}
	n = min(n, len(c.queue))
	nodes = slices.Clone(c.queue[:n])
	if c.queue = c.queue[n:]; len(c.queue) == 0 {
		c.queue = nil
	}
	for _, id := range nodes {
		delete(c.known, id)
		erased = erased || c.gone[id]
		delete(c.gone, id)
	}
	return nodes, erased, false
}

// erased reports whether a node was erased since it was looked at last.
func (c *changes) erased(id rapport.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone[id]
}

// Comparing reports whether people are compared by what they say of themselves.
func (r *Resolver) Comparing() bool { return r.Rules().resembling().on() }

// Told tells that a fragment said something of itself, once that is folded; has
// reports whether anything is known of it under the name of a trait. Told never
// blocks. Unless people are compared, it only minds addresses.
func (r *Resolver) Told(fragment rapport.ID, traits rapport.Fields, has func(trait string) bool) {
	if fragment.Rank() >= rapport.RankDevice || !r.changes.watched.Load() {
		return
	}
	if l := r.Rules().resembling(); l.on() || tells(l, traits, has) {
		r.changes.add(false, fragment)
	}
}

// tells reports whether traits say where somebody lives: a street, or the town
// of somebody whose street is known.
func tells(l *likeness, traits rapport.Fields, has func(trait string) bool) bool {
	given := func(trait string) bool {
		_, ok := traits.Get(trait)
		return ok
	}
	return anyTrait(l, "address", given) ||
		(anyTrait(l, "postcode", given) || anyTrait(l, "city", given)) && anyTrait(l, "address", has)
}

// anyTrait reports whether is holds for one of the traits that hold a field.
func anyTrait(l *likeness, field string, is func(trait string) bool) bool {
	paths := usualTraits[field]
	if l != nil && len(l.fields[field]) > 0 {
		paths = l.fields[field]
	}
	return slices.ContainsFunc(paths, func(path string) bool {
		root, _, _ := strings.Cut(path, ".")
		return is(root)
	})
}
