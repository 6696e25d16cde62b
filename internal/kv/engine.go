package kv

import (
	"context"

	"github.com/stratadb/strata/internal/base"
)

// Engine is an ordered, strictly serializable store as kv uses it. The built-in
// one is the default; package kvmem holds the reference, and kvtest the suite
// that every engine must pass.
type Engine interface {
	// ReadVersion asks the oracle for a stamp at which a snapshot can be read.
	// It is requested after the call began (C1).
	ReadVersion(ctx context.Context) (base.Stamp, error)
	// NewAttempt makes a reusable attempt.
	NewAttempt() Attempt
	// Watch registers an interest in key.
	Watch(key []byte) Watch
	// Follow tells f what is written in span, until the result is called; see package
	// cluster/feed for what holds.
	Follow(span base.Span, f Follower) (stop func())
	// ScanStored visits what the engine has on disk, and nothing that is newer:
	// it is cheap and may be seconds behind. Key and value are valid during the
	// call only.
	ScanStored(span base.Span, reverse bool, visit func(key, value []byte) bool) error
	// Expect tells that keys, which it may put into another order, will be read soon, so
	// that they may be brought nearer. It is a hint; useful reports whether it pays for now.
	Expect(keys [][]byte) (useful bool)
	// Kick makes the engine commit what was sequenced with Quiet, in the caller's
	// goroutine where that is cheaper.
	Kick()
	// Local reports whether attempts are worked on in this process for now, and wait
	// for nothing but a commit: other ones wait for the network, or for each other.
	Local() bool
	// EstimateSize is a rough count of the bytes stored in span.
	EstimateSize(span base.Span) (int64, error)
}

// Attempt is one try of a transaction. It is used by one goroutine and reused:
// Begin, reads, Commit or Abort, and again.
type Attempt interface {
	// Begin starts over.
	Begin(o AttemptOptions)
	// Get appends nothing and copies nothing where it can: the value lives until
	// the next Begin. It is nil when key is absent.
	Get(key []byte) ([]byte, error)
	// Scan visits pairs until visit returns false.
	Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error
	// Expect tells that keys will be read; see Txn. They stay as they are until then.
	Expect(keys [][]byte)
	// NowMillis is the TTL clock.
	NowMillis() int64
	// Commit validates the reads and sequences the writes. The writes are in
	// place when the ticket is done. ErrConflict and ErrTooOld leave nothing
	// behind. It ends the attempt.
	Commit(req *CommitRequest) (Receipt, error)
	// Abort ends the attempt without writing. Its receipt's ticket covers what
	// the attempt read. Aborting an ended attempt is harmless.
	Abort() Receipt
}

// AttemptOptions say what an attempt reads and how.
type AttemptOptions struct {
	// At is the snapshot to read; zero means the newest state, speculative
	// writes included.
	At base.Stamp
	// Hold matters for the newest state only.
	Hold Hold
	// Again says that the attempt before was one of the same transaction.
	Again bool
	// Prompt says that the attempt is to fail with base.ErrWouldWait rather than wait for
	// a transaction, a range or a node other than the one that it begins on.
	Prompt bool
}

// Hold says whether an attempt on the newest state keeps other writers out.
type Hold uint8

const (
	// HoldNever validates at the end; the work may take its time.
	HoldNever Hold = iota
	// HoldShort keeps writers out while the work stays in memory and small, and
	// validates at the end when it did not.
	HoldShort
	// HoldAlways keeps writers out to the end, so the commit cannot conflict.
	HoldAlways
)

// CommitRequest is what a transaction leaves behind. All slices are the caller's.
type CommitRequest struct {
	ReadKeys  [][]byte
	ReadSpans []base.Span
	Mutations []base.Mutation
	// Stamped asks for Receipt.Versionstamp to become available.
	Stamped bool
	// ID, when its session is not zero, makes the commit happen at most once (R8).
	ID RequestID
	// Guards are watches that must not have been dirtied, or the commit is
	// refused with ErrConflict.
	Guards []Watch
	// Origin is who writes, for those who follow; zero: nobody has to know. It is not told of
	// transactions over several ranges.
	Origin uint64
	// Fence, if there is one, stands for one more guard, which the engine chooses.
	Fence Fence
	// Quiet says that the caller sequences more at once and will Kick then.
	Quiet bool
}

// RequestID identifies a write that may be sent again after an unknown outcome.
type RequestID struct {
	Session uint64
	Number  uint64
}

// Receipt is the result of a sequenced attempt.
type Receipt struct {
	Ticket base.Ticket
	// Version resolves to the transaction's versionstamp once the ticket is
	// done; nil for a transaction that wrote nothing or did not ask for it.
	Version *base.Versionstamp
}

// Fence is a guard against changes of what transactions on an area rely on. Whoever makes
// such a change touches the area in the same transaction (Txn.AddWriteConflict), so
// that any watch in it guards: one in a range that the transaction has to do with
// anyway costs nothing. Which one an engine takes decides about speed only.
// It is used by one goroutine.
type Fence interface {
	// Area is what the fence is about. What has to do with other keys, too, is guarded by
	// Home.
	Area() base.Span
	// Home is what guards any commit, wherever its keys lie.
	Home() []Watch
	// At is a watch on key, which lies in the area. It is nil if there is none, or none
	// that will do: then the engine refuses the commit with ErrConflict, and whoever
	// brought the fence makes one. It is called with locks held and asks nobody.
	At(key []byte) Watch
	// Broken reports whether the last commit may have been refused because of the fence.
	Broken() bool
}

// Watch is an interest in one key.
type Watch interface {
	// Dirty reports whether a write to the key was sequenced, committed or not,
	// since the watch was made, and the ticket of that write (R1). What touches the key
	// writes it.
	Dirty() (bool, base.Ticket)
	// Changed is closed once such a write is committed and applied (R6).
	Changed() <-chan struct{}
	// Close ends the interest. Nothing commits under a closed watch any more, and who
	// waits for it is woken.
	Close()
}

// Follower is told of the changes of Redis keys, by the rows of their headers. It must not wait,
// nor use the database, and it may be told by several goroutines at once.
type Follower interface {
	// Covered says that what is sequenced in a piece from now on is told.
	Covered(piece base.Span)
	// Changed tells of what is committed, in the order of each range, where it is worked on in
	// this process, and lies in one range, before who has written it is told.
	Changed(list []base.Change)
	// Lost says that anything may have been written in a piece, and that it is not covered any
	// more. It takes back one Covered of the same piece.
	Lost(piece base.Span)
}
