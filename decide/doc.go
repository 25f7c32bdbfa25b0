// Package decide chooses the next best thing for one person right now, nothing
// among it, and says why.
//
// Guarantees: a decision is a fact, written to the log before it is answered,
// and holds all that was weighed, so that it is explained and learned from
// without being computed again; every draw follows from its seed; people in
// the permanent holdout are never given anything; caps are never exceeded,
// however many requests for a person run at once; a withdrawn consent binds the
// very next decision. DESIGN.md tells how.
package decide
