package lsm

import (
	"bytes"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/storage/keyfilter"
)

// Batch gathers mutations that become visible and durable together. The first
// misuse makes Apply fail and the batch do nothing.
type Batch struct {
	b      *pebble.Batch
	hashes []uint64 // of the keys set
	err    error
}

// NewBatch makes an empty batch; Close it when done.
func (s *Store) NewBatch() *Batch { return &Batch{b: s.db.NewBatch()} }

func errLocalKey(key []byte) error {
	return errors.AssertionFailedf("key %q lies in the store's own keyspace", key)
}

func (b *Batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *Batch) check(key []byte) bool {
	if !isData(key) {
		b.fail(errLocalKey(key))
	}
	return b.err == nil
}

// Set stores value under key; both are copied.
func (b *Batch) Set(key, value []byte) {
	if b.check(key) {
		b.hashes = append(b.hashes, keyfilter.Hash(key))
		b.fail(b.b.Set(key, value, nil))
	}
}

// Delete removes key.
func (b *Batch) Delete(key []byte) {
	if b.check(key) {
		b.fail(b.b.Delete(key, nil))
	}
}

// DeleteRange removes the keys of span, whose end must be set; an empty span is
// ignored.
func (b *Batch) DeleteRange(span base.Span) {
	start := dataStart(span.Start)
	if bytes.Compare(start, span.End) < 0 && b.check(start) {
		b.fail(b.b.DeleteRange(start, span.End, nil))
	} else if span.End == nil {
		b.fail(errors.AssertionFailedf("range deletion from %q without an end", span.Start))
	}
}

// SetRangeState stores the state of range r.
func (b *Batch) SetRangeState(r base.RangeID, st RangeState) {
	if b.err == nil {
		key := rangeStateKey(r)
		b.fail(b.b.Set(key[:], st.encode(), nil))
	}
}

// SetRangeTable stores what belongs to the state of range r and changes rarely:
// the caller's table of transactions over several ranges.
func (b *Batch) SetRangeTable(r base.RangeID, table []byte) {
	if b.err == nil {
		key := rangeTableKey(r)
		b.fail(b.b.Set(key[:], table, nil))
	}
}

// DeleteRangeState forgets range r, and its table.
func (b *Batch) DeleteRangeState(r base.RangeID) {
	for _, key := range [...][10]byte{rangeStateKey(r), rangeTableKey(r)} {
		if b.err == nil {
			b.fail(b.b.Delete(key[:], nil))
		}
	}
}

// Len is the number of mutations, Bytes their encoded size.
func (b *Batch) Len() int { return int(b.b.Count()) }

// Bytes is the encoded size of the batch.
func (b *Batch) Bytes() int { return b.b.Len() }

// Reset empties the batch for reuse; an applied batch too.
func (b *Batch) Reset() {
	b.b.Reset()
	b.hashes, b.err = b.hashes[:0], nil
}

// Close releases the batch.
func (b *Batch) Close() error { return b.b.Close() }

// Apply makes the batch visible. It is durable after a later flush only.
// The batch may then be reset and used again.
func (s *Store) Apply(b *Batch) error {
	if b.err != nil {
		return b.err
	}
	err := s.known.apply(b.hashes, func() error { return s.db.Apply(b.b, pebble.NoSync) })
	return errors.Wrap(err, "applying a batch")
}
