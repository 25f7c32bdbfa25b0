package state

import "github.com/cockroachdb/pebble/v2"

// Batch collects changes that become visible together. It is used by one goroutine.
type Batch struct{ b *pebble.Batch }

// keptBatch is how large the memory of a batch may be to be used again: that of
// a whole commit of a partition, which else is made anew each time.
const keptBatch = 8 << 20

// Batch returns an empty batch.
func (s *Store) Batch() *Batch {
	return &Batch{s.db.NewBatch(pebble.WithMaxRetainedSizeBytes(keptBatch))}
}

// Set stores value under key; both are copied.
func (b *Batch) Set(key, value []byte) error { return wrap("write state", b.b.Set(key, value, nil)) }

// Delete removes key.
func (b *Batch) Delete(key []byte) error { return wrap("write state", b.b.Delete(key, nil)) }

// DeleteRange removes lower <= key < upper.
func (b *Batch) DeleteRange(lower, upper []byte) error {
	return wrap("write state", b.b.DeleteRange(lower, upper, nil))
}

// Size returns the bytes collected.
func (b *Batch) Size() int { return b.b.Len() }

// Empty reports whether nothing was collected.
func (b *Batch) Empty() bool { return b.b.Empty() }

// Commit applies the batch to the store and releases it. It is visible to
// readers when Commit returns and durable after the next Flush.
func (b *Batch) Commit() error {
	if err := b.b.Commit(pebble.NoSync); err != nil {
		return wrap("commit state", err)
	}
	return wrap("commit state", b.b.Close())
}

// Close drops the batch without applying it.
func (b *Batch) Close() error { return wrap("drop batch", b.b.Close()) }
