// Package rapport holds the nouns every room speaks: events, people,
// decisions, consent, identifiers, values, error kinds and the clock.
//
// It imports the standard library only and is imported by every other
// package, so a type belongs here when two rooms must agree on it, and
// nowhere else. Nothing in it does I/O, reads the time or keeps state.
package rapport

// Version is the release of the program and of the module.
const Version = "0.1.0-dev"
