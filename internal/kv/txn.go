package kv

import "github.com/stratadb/strata/internal/base"

// Reader reads one consistent state.
type Reader interface {
	// Get returns the value of key, or nil when the key is absent (the value of
	// a present key is never nil).
	Get(key []byte) ([]byte, error)
	// Scan visits the pairs of span in key order, or in reverse, until visit
	// returns false or opts.Limit pairs were visited. Only the part of the span
	// that was visited becomes a read conflict.
	Scan(span base.Span, opts ScanOptions, visit func(key, value []byte) bool) error
	// GetKey resolves a selector inside bounds. A selector that points before
	// the first key of bounds answers bounds.Start, one behind the last bounds.End.
	GetKey(sel KeySelector, bounds base.Span) ([]byte, error)
}

// ScanOptions modify a scan.
type ScanOptions struct {
	Reverse bool
	// Limit bounds the number of visited pairs; 0 means none.
	Limit int
}

// KeySelector names a key by its place relative to others, as FoundationDB does:
// start at the last key below Reference (or equal to it with OrEqual) and move
// Offset keys onward.
type KeySelector struct {
	Reference []byte
	OrEqual   bool
	Offset    int
}

// LastLessThan selects the last key below key.
func LastLessThan(key []byte) KeySelector { return KeySelector{Reference: key} }

// LastLessOrEqual selects the last key not above key.
func LastLessOrEqual(key []byte) KeySelector { return KeySelector{Reference: key, OrEqual: true} }

// FirstGreaterThan selects the first key above key.
func FirstGreaterThan(key []byte) KeySelector {
	return KeySelector{Reference: key, OrEqual: true, Offset: 1}
}

// FirstGreaterOrEqual selects the first key not below key.
func FirstGreaterOrEqual(key []byte) KeySelector { return KeySelector{Reference: key, Offset: 1} }

// Txn is a transaction in progress, used by one goroutine. Model functions take
// a Txn and arguments and return values. A model function that returns an error
// has written nothing.
type Txn interface {
	Reader
	// Snapshot is a view of the same state whose reads leave no read conflicts.
	Snapshot() Reader
	// Set stores value under key.
	Set(key, value []byte)
	// Clear removes key.
	Clear(key []byte)
	// ClearRange removes every key of span.
	ClearRange(span base.Span)
	// Atomic applies an atomic or versionstamped operation without a read conflict.
	Atomic(op base.MutationOp, key, operand []byte)
	// AddReadConflict makes the transaction conflict with writes to span.
	AddReadConflict(span base.Span)
	// AddWriteConflict makes transactions that read span conflict with this one, and
	// watches in it dirty, as if every key of span had been written.
	AddWriteConflict(span base.Span)
	// NowMillis is the TTL clock (rule C11) in milliseconds of the Unix epoch:
	// it never goes back, and a key whose expiry is not above it is due. It is
	// the same during one attempt.
	NowMillis() int64
	// ApproximateSize is the size in bytes of the writes and conflict ranges so far.
	ApproximateSize() int64
	// Interactive reports whether the transaction reads at a snapshot stamp and
	// was opened with Begin.
	Interactive() bool
	// Expect tells that keys will be read. It is a hint, which pays where they are asked
	// of other nodes: all at once then.
	Expect(keys [][]byte)
	// Save remembers the writes so far, and Restore undoes those since.
	Save() Saved
	Restore(Saved)
	// Alloc returns n bytes that live until the transaction ends.
	Alloc(n int) []byte
}
