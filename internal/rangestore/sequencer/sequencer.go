// Package sequencer gives transactions their place in a range's order. It
// validates a transaction against the window (speculative tail included), computes
// its atomic operations, assigns the next position and appends its effects to the
// open batch and to the window, all in one step.
//
// It is pure: no clock, goroutine, lock or disk inside. The caller holds the
// range's lock around every call.
//
//	S1  Positions are dense and grow by one per transaction with writes, but for a
//	    merge, after which those of both ranges are used.
//	S2  Only the last batch of the window is open; a batch gets its stamp after it
//	    was closed (C1). What it has written and replaced again is not in the log.
//	S3  What is appended is never validated again at another position (R4).
//	S4  A change of the range is the last transaction of its batch. Nothing is
//	    appended behind it before it is applied. From the moment it is appended the
//	    sequencer holds what will be left: of a split the left side, of a freeze
//	    nothing; losing the tail gives it back.
//	S5  The table of transactions over several ranges moves with the positions: a
//	    change counts from its own on, and losing the tail takes it back (C4).
package sequencer

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/batch"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// Sequencer orders the transactions of one range while this replica leads it.
type Sequencer struct {
	win   *window.Window
	table *prepared.Table
	bounds
	b    batch.Builder
	open bool
	num  uint64 // of the open batch in the window
	pos  base.Position
	prev base.Position // before the open batch's first transaction

	unstamped int   // closed batches that have no stamp yet
	inFlight  int64 // bytes of closed batches that are not committed
	capacity  int   // of the next batch's buffer
}

// New makes a sequencer of the range that owns the span own and continues behind pos.
func New(win *window.Window, own base.Span, pos base.Position) *Sequencer {
	s := &Sequencer{win: win, table: prepared.New(), pos: pos, capacity: 1 << 10}
	s.SetBounds(own)
	return s
}

// Position is the last assigned position.
func (s *Sequencer) Position() base.Position { return s.pos }

// ClosedPosition is the last position that is not in the open batch.
func (s *Sequencer) ClosedPosition() base.Position {
	if s.open {
		return s.prev
	}
	return s.pos
}

// Open reports whether a batch with transactions is open, and its size in bytes.
func (s *Sequencer) Open() (open bool, bytes int) {
	if !s.open {
		return false, 0
	}
	return true, len(s.b.Buf)
}

// OpenTransactions is how many transactions the open batch has.
func (s *Sequencer) OpenTransactions() int {
	if !s.open {
		return 0
	}
	return s.b.Transactions()
}

// Unstamped reports whether a batch is closed and has no stamp yet.
func (s *Sequencer) Unstamped() bool { return s.unstamped > 0 }

// Room is how many transactions the open batch, or the next one, takes.
func (s *Sequencer) Room() int {
	if s.Full() {
		return 0
	}
	if !s.open {
		return limits.BatchTransactions
	}
	return limits.BatchTransactions - s.b.Transactions()
}

// Speculative is the number of bytes sequenced and not committed (R7).
func (s *Sequencer) Speculative() int64 {
	_, n := s.Open()
	return s.inFlight + int64(n)
}

// Full reports whether the open batch must be closed, a change of the range applied, or
// the range be thawed, before more is appended.
func (s *Sequencer) Full() bool { return s.frozen || s.Busy() }

// Busy is Full without regard to a freeze.
func (s *Sequencer) Busy() bool {
	return s.closed || s.open && s.b.Transactions() >= limits.BatchTransactions
}

// Stored answers the value of a key that the window does not know: from a cache
// or from what was fetched before. known is false when the disk has to be asked.
type Stored func(key []byte) (value []byte, known bool)

// Missing collects the keys of atomic operations whose present value neither the
// window nor stored knows. unstamped is the position to wait for when a value
// depends on a stamp that is still unknown.
func (s *Sequencer) Missing(muts []base.Mutation, stored Stored) (keys [][]byte, unstamped base.Position) {
	for i := range muts {
		m := &muts[i]
		if !m.Op.Atomic() {
			continue
		}
		switch v := s.win.Latest(m.Key); v.State {
		case window.Unstamped:
			unstamped = max(unstamped, v.Pos)
		case window.Unknown:
			if _, known := stored(m.Key); !known {
				keys = append(keys, m.Key)
			}
		}
	}
	return keys, unstamped
}

// Append sequences a transaction. Its reads must have been validated, the values
// of its atomic operations must be known, and it must have at least one mutation.
func (s *Sequencer) Append(muts []base.Mutation, stored Stored) (base.Position, error) {
	if len(muts) == 0 || s.Full() {
		return 0, errors.AssertionFailedf("append of %d mutations to a batch of %d transactions", len(muts), s.b.Transactions())
	}
	s.begin()
	for i := range muts {
		if err := s.add(&muts[i], stored); err != nil {
			return 0, err
		}
	}
	return s.pos, nil
}

// begin gives the next transaction its position, in a new batch if none is open.
func (s *Sequencer) begin() {
	if !s.open {
		s.open, s.prev = true, s.pos
		s.b.Reset(s.capacity)
		s.num = s.win.Open(s.pos)
	}
	s.pos++
	s.b.Begin()
	s.win.Reach(s.pos)
}

func (s *Sequencer) add(m *base.Mutation, stored Stored) error {
	switch {
	case m.Op == base.OpSetVersionstampedKey:
		template, off, ok := base.VersionstampOffset(m.Key)
		if !ok {
			return base.ErrInvalidMutation
		}
		r := s.record(base.OpSet, template, m.Value)
		s.win.AddStampedKey(r, s.pos, uint32(off))
	case m.Op == base.OpSetVersionstampedValue:
		template, off, ok := base.VersionstampOffset(m.Value)
		if !ok {
			return base.ErrInvalidMutation
		}
		r := s.record(base.OpSet, m.Key, template)
		s.win.AddStamped(r, s.pos, uint32(off))
	case m.Op.Atomic():
		return s.addAtomic(m, stored)
	default:
		s.win.Add(s.record(m.Op, m.Key, m.Value), s.pos)
	}
	return nil
}

func (s *Sequencer) record(op base.MutationOp, key, value []byte) batch.Record {
	r := s.b.Add(op, key, value)
	s.win.SetBuffer(s.b.Buf)
	return r
}

func (s *Sequencer) addAtomic(m *base.Mutation, stored Stored) error {
	v := s.win.Latest(m.Key)
	old := v.Value
	if v.State == window.Unknown {
		var known bool
		if old, known = stored(m.Key); !known {
			return errors.AssertionFailedf("atomic operation on a key whose value is not known")
		}
	}
	value := base.ApplyAtomic(m.Op, old, m.Value, limits.PairBytes)
	switch {
	case value != nil:
		s.win.Add(s.record(base.OpSet, m.Key, value), s.pos)
	case old != nil:
		s.win.Add(s.record(base.OpClear, m.Key, nil), s.pos)
	}
	return nil
}

// Place is where the transaction that was appended last lies: its batch's number
// in the window, and its place in the batch.
func (s *Sequencer) Place() (num uint64, place uint16) {
	return s.num, uint16(s.b.Transactions() - 1)
}

// Closed is a batch that is closed to new transactions.
type Closed struct {
	Num  uint64 // in the window
	Buf  []byte
	Prev base.Position
	Last base.Position
	b    batch.Builder
}

// Close closes the open batch. What later transactions of it have replaced is not in the
// log: the batch commits as a whole.
func (s *Sequencer) Close() (Closed, bool, error) {
	if !s.open {
		return Closed{}, false, nil
	}
	s.capacity = min(max(len(s.b.Buf)+len(s.b.Buf)/4, 1<<10), limits.BatchBytes)
	if err := s.win.Shed(&s.b); err != nil {
		return Closed{}, false, err
	}
	c := Closed{Num: s.num, Buf: s.b.Buf, Prev: s.prev, Last: s.pos, b: s.b}
	s.open = false
	s.unstamped++
	s.inFlight += int64(len(c.Buf))
	s.b = batch.Builder{}
	return c, true, nil
}

// Stamp gives a closed batch its stamp: versionstamps are filled in and the
// header is written, so that Buf is the log entry.
func (s *Sequencer) Stamp(c *Closed, term base.Term, stamp, prevStamp base.Stamp) {
	s.unstamped--
	s.win.SetStamp(c.Num, stamp)
	s.table.SetStamp(c.Last, stamp)
	c.b.Finish(batch.Header{Kind: batch.KindTransactions, Term: term, Previous: c.Prev, Stamp: stamp, PrevStamp: prevStamp})
}

// Committed tells that a closed batch is committed.
func (s *Sequencer) Committed(c *Closed) {
	s.inFlight -= int64(len(c.Buf))
	s.table.Commit(c.Last)
}

// DropTail forgets the speculative tail, the open batch included, and continues
// behind pos, the last committed position (R3).
func (s *Sequencer) DropTail(pos base.Position) {
	s.win.DropTail()
	s.table.DropTail()
	s.open, s.pos, s.inFlight, s.unstamped = false, pos, 0, 0
	s.b = batch.Builder{}
	s.SetBounds(s.span)
}
