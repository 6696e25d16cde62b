package base

import "github.com/cockroachdb/errors"

// The caller's errors. Each door has one table that turns them into its
// protocol's words; wrap them with errors.Wrap to add detail, never replace them.
var (
	// ErrConflict: the transaction read something that changed before it
	// committed. Nothing was written; running it again may succeed.
	ErrConflict = errors.New("transaction conflicts with another one")
	// ErrTooOld: the read version has left the window. Running the transaction
	// again with a new read version may succeed.
	ErrTooOld = errors.New("transaction is too old")
	// ErrUnknownOutcome: the write was handed to the log and its fate is not
	// known. It must not be repeated unless repeating is harmless.
	ErrUnknownOutcome = errors.New("unknown outcome: the write may or may not have happened")
	// ErrTransactionTooLarge: the transaction exceeds limits.TransactionBytes.
	ErrTransactionTooLarge = errors.New("transaction exceeds the size limit")
	// ErrTransactionTimedOut: the transaction was open longer than limits.TransactionMaxAge.
	ErrTransactionTimedOut = errors.New("transaction exceeded its time limit")
	// ErrKeyTooLarge: a key exceeds limits.KeyBytes.
	ErrKeyTooLarge = errors.New("key exceeds the size limit")
	// ErrValueTooLarge: a key and its value exceed limits.PairBytes.
	ErrValueTooLarge = errors.New("value exceeds the size limit")
	// ErrInvalidMutation: a versionstamped operation whose offset lies outside
	// its template, or a span whose end precedes its start.
	ErrInvalidMutation = errors.New("invalid mutation")
	// ErrUnreadable: the transaction reads a key that it has itself written
	// with a versionstamp, which is not known before the commit.
	ErrUnreadable = errors.New("key was written with a versionstamp in this transaction")
	// ErrClosed: the transaction, database or store was used after its end.
	ErrClosed = errors.New("already closed")
)

// The environment's errors.
var (
	// ErrDiskFull: the store keeps its reserve of free space for deletions and
	// housekeeping, so writes that add data are refused. Reads go on.
	ErrDiskFull = errors.New("no space left on the store's disk")
	// ErrUnavailable: the range has no leader here that may answer.
	ErrUnavailable = errors.New("range is not available")
	// ErrWrongRange: the request's keys or epoch are not this range's; look the
	// range up again.
	ErrWrongRange = errors.New("key is not in this range")
	// ErrWouldWait: who asked not to be kept waiting would have to wait for another
	// transaction, another range or another node. Nothing was written.
	ErrWouldWait = errors.New("the transaction would have to wait")
	// ErrShuttingDown: the process is draining.
	ErrShuttingDown = errors.New("server is shutting down")
)

// ErrCorruption: stored data contradicts its checksum or an invariant. It stops
// the replica or the process and is never repaired by guessing.
var ErrCorruption = errors.New("corruption")

// Retryable reports whether running the whole transaction again can succeed and
// is safe, because nothing of the failed attempt was written.
func Retryable(err error) bool { return err != nil && errors.IsAny(err, ErrConflict, ErrTooOld) }
