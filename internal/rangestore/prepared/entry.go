package prepared

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/stratadb/strata/internal/base"
)

// TxnID names one attempt of a transaction for ever. It is random.
type TxnID [16]byte

// String renders the id in hexadecimal.
func (id TxnID) String() string { return fmt.Sprintf("%x", id[:]) }

// Txn is what everybody has to know about a transaction in order to settle it.
type Txn struct {
	ID TxnID
	// Begin is a stamp that the oracle issued after the attempt began.
	Begin base.Stamp
	// Priority is Begin of the transaction's first attempt (C6).
	Priority base.Stamp
	// Anchor is the first written key: the range that owns it keeps the record.
	Anchor []byte
	// Participants are the smallest spans around what the transaction locks, one
	// per range that takes part, or per few neighbours where many do. Whoever settles
	// tells every range that overlaps them, so that ranges may split and merge meanwhile.
	Participants []base.Span
}

// compareAge orders transactions, the oldest first (C6). The id makes the order
// total where operations share a read stamp.
func compareAge(a, b *Txn) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Begin, b.Begin), bytes.Compare(a.ID[:], b.ID[:]))
}

// Entry is a change of a table: what the leader has accepted and logs. Its
// memory belongs to the table once it was applied.
type Entry interface {
	// Append appends the entry's binary form, the payload of a log record.
	Append(dst []byte) []byte
	apply(t *Table, pos base.Position) (Effect, error)
}

var (
	_ Entry = (*Prepare)(nil)
	_ Entry = (*Record)(nil)
	_ Entry = (*Resolve)(nil)
	_ Entry = (*Settled)(nil)
	_ Entry = (*Retain)(nil)
)

// Prepare locks what a transaction read and is going to write in one range.
type Prepare struct {
	Txn
	// ReadStamp is S, at which the reads were made; zero without reads.
	ReadStamp base.Stamp
	ReadKeys  [][]byte
	ReadSpans []base.Span
	// Mutations are effects (OpSet, OpClear, OpClearRange, OpTouch) and
	// versionstamped operations, which are completed with the commit stamp.
	// Atomic operations are computed before: nobody else can write the key until
	// the transaction is resolved.
	Mutations []base.Mutation
}

// Written is what the transaction leaves under key, nil for nothing. ok is false
// when it does not write the key, or only under a versionstamped one.
func (p *Prepare) Written(key []byte) (value []byte, ok bool) {
	for i := len(p.Mutations) - 1; i >= 0; i-- {
		m := &p.Mutations[i]
		switch {
		case m.Op == base.OpClearRange && (base.Span{Start: m.Key, End: m.Value}).Contains(key):
			return nil, true
		case m.Op == base.OpClear && bytes.Equal(m.Key, key):
			return nil, true
		case m.Op == base.OpSet && bytes.Equal(m.Key, key):
			return m.Value, true
		}
	}
	return nil, false
}

// Record is the decision at the anchor: the commit record, or the tombstone.
type Record struct {
	Txn
	// Commit is C; zero makes it the tombstone.
	Commit base.Stamp
}

// Resolve ends a transaction in one range, whether the range has seen its prepare
// or not.
type Resolve struct {
	ID    TxnID
	Begin base.Stamp
	// Commit is C; zero means that the transaction was aborted.
	Commit base.Stamp
}

// Settled tells the anchor that every participant has resolved the transaction.
type Settled struct{ ID TxnID }

// Retain moves the horizons of a range. They never go back.
type Retain struct {
	// Refuse: prepares that began before it are too old.
	Refuse base.Stamp
	// Forget: marks and settled records that began before it are dropped. It is
	// at most Refuse (C3).
	Forget base.Stamp
}

// lockOf is what a mutation locks: a key, or a span when that is not empty.
func lockOf(m *base.Mutation) (key []byte, span base.Span) {
	switch m.Op {
	case base.OpClearRange, base.OpTouch:
		return nil, base.Span{Start: m.Key, End: m.Value}
	case base.OpSetVersionstampedKey:
		return nil, stampedSpan(m.Key)
	}
	return m.Key, base.Span{}
}

// stampedSpan is where a versionstamped key may land, whatever its stamp.
func stampedSpan(param []byte) base.Span {
	low, high, ok := Landing(param, 0)
	if !ok {
		return base.Span{}
	}
	return base.Span{Start: low, End: base.Next(high)}
}

// Landing is where a versionstamped key may land, low and high included: no stamp that is
// still to come is below after.
func Landing(param []byte, after base.Stamp) (low, high []byte, ok bool) {
	template, off, ok := base.VersionstampOffset(param)
	if !ok {
		return nil, nil, false
	}
	least := base.MakeVersionstamp(after, 0)
	low, high = bytes.Clone(template), bytes.Clone(template)
	copy(low[off:], least[:])
	for i := range least {
		high[off+i] = 0xFF
	}
	return low, high, true
}

// complete fills the commit stamp into a versionstamped operation.
func complete(m base.Mutation, commit base.Stamp) base.Mutation {
	if !m.Op.Versionstamped() {
		return m
	}
	param := &m.Key
	if m.Op == base.OpSetVersionstampedValue {
		param = &m.Value
	}
	template, off, _ := base.VersionstampOffset(*param)
	filled := bytes.Clone(template)
	v := base.MakeVersionstamp(commit, 0)
	copy(filled[off:], v[:])
	*param, m.Op = filled, base.OpSet
	return m
}
