// Package state keeps keyed state on disk: spans of keys, atomic batches,
// snapshots and checkpoints, over Pebble.
//
// Properties: a batch is applied whole or not at all; after a crash the store
// holds a prefix of the batches applied, at least up to the last Flush that
// returned; keys of a span are ordered by bytes; a reader sees every batch
// applied before it started and none later.
package state
