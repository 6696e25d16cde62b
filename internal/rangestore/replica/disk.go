package replica

import (
	"context"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
	"github.com/stratadb/strata/internal/rangestore/window"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// Disk is the state of the range below the window: one version per key.
type Disk interface {
	// Cached answers from memory, without I/O: known says whether it could.
	// value is nil when the key is absent; it is appended to dst[:0] otherwise.
	Cached(dst, key []byte) (value []byte, known bool)
	// Expect tells that Cached will be asked for keys. It is a hint; useful reports whether
	// so much is in memory that it pays.
	Expect(keys [][]byte) (useful bool)
	// Get reads a key; nil when it is absent. The value is the caller's.
	Get(key []byte) ([]byte, error)
	// Scan visits the pairs of span in order, or in reverse, until visit
	// returns false. Key and value are valid during the call only.
	Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error
	// Write stores an evicted slice and the state in one atomic step. When it
	// returns, reads see it.
	Write(ev *window.Eviction, s State) error
	// Split stores the last slice before a split and the states of both sides in one
	// atomic and durable step, and copies the range-local rows for the right side.
	// An error that wraps base.ErrDiskFull means that nothing was done.
	Split(c *Cut) error
	// Seat makes the right side's log begin, durably. It may be repeated.
	Seat(c *Cut) error
	// Take brings this store's replica of the right range of a merge to disk, as of the
	// merge, and answers its state. It serves nobody any more.
	Take(ctx context.Context, x *batch.Merge) (State, error)
	// Merge stores the last slice before a merge and the state of both in one atomic and
	// durable step, with the range-local rows of both and a tombstone for the right one.
	// An error that wraps base.ErrDiskFull means that nothing was done.
	Merge(u *Union) error
	// Retire ends the replica that was taken, and its log. It may be repeated.
	Retire(right base.RangeID) error
	// Snapshot copies the state and what it says of itself.
	Snapshot() (*Snapshot, error)
	// Install replaces everything by a snapshot, durably, and the range's log by
	// its mark, also when it is interrupted by a crash.
	Install(s *Snapshot) error
}

// Snapshot is the state of a range as one replica sends it to another.
type Snapshot struct {
	State State
	Term  base.Term // of the entry State.Applied
	Pairs []base.KeyValue
	// Done, if it is set, is called when the receiver has made it its state, or not.
	Done func()
}

// Cut is a split on its way to disk.
type Cut struct {
	Slice       *window.Eviction
	Left, Right State
	// Step is the disk's record of it.
	Step raftlog.LifecycleID
	// Bare: this store gets no replica of the right side, whose rows go. The disk
	// may set it.
	Bare bool
}

// State is what the disk knows about the range it holds: the last applied log
// entry and what of the log a restart must replay before it may answer (W5).
type State struct {
	Range    base.RangeDescriptor
	Applied  base.LogIndex
	Position base.Position
	Stamp    base.Stamp
	Readable base.LogIndex
	// Table is what the range knows about transactions over several ranges, as
	// prepared.Table.Append writes it; empty for nothing.
	Table []byte
	// Received: it came as a snapshot, and nothing of the log was added since. The
	// log may end below Readable then.
	Received bool
}

// Oracle issues stamps.
type Oracle interface {
	// Next returns a stamp above every one issued before.
	Next() (base.Stamp, error)
	// Observe tells of a stamp found in a log; later ones are above it.
	Observe(base.Stamp)
	// Latest is the highest stamp that was issued or observed.
	Latest() base.Stamp
}
