// Package batch is the codec of a range's log entries: one entry is one batch of
// transactions that commit together and share a stamp.
//
//	offset  size  field
//	0       1     format (1; 2 when the batch holds an entry of a table)
//	1       1     kind
//	2       2     zero
//	4       4     transactions
//	8       4     mutations
//	12      4     offset of the record that changes the range; zero without one
//	16      8     Raft term of the leader that sequenced it
//	24      8     position before the batch's first transaction
//	32      8     stamp
//	40      8     stamp of the batch before it
//	48            records
//
// A record is an operation byte, the length of the key (uvarint), the key, the
// length of the value (uvarint), the value. opBegin, alone, begins the next
// transaction. Numbers in the header are little-endian. A batch holds effects
// only (rule R5): OpSet, OpClear, OpClearRange and OpTouch, and OpEntry, whose
// value is an entry of package prepared. The last transaction of a batch of another
// kind than KindTransactions changes the range itself (change.go).
package batch

import (
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Kind says what an entry is. The numbers are on disk.
type Kind uint8

const (
	// KindTransactions is a batch of transactions.
	KindTransactions Kind = 1
	// KindSplit is one whose last transaction splits the range.
	KindSplit Kind = 2
	// KindFreeze, KindThaw, KindMerge and KindRefuse: the last transaction is a step
	// of a merge.
	KindFreeze Kind = 3
	KindThaw   Kind = 4
	KindMerge  Kind = 5
	KindRefuse Kind = 6
)

const (
	formatVersion = 1
	formatEntries = 2
	opBegin       = 0xFF
	// OpEntry is a change of the range's table of transactions over several ranges.
	OpEntry  base.MutationOp = 0xFD
	opChange                 = 0xFE
	// HeaderBytes is the length of a batch without transactions.
	HeaderBytes = 48
)

// Header is the decoded head of a batch.
type Header struct {
	Kind         Kind
	Transactions uint32
	Mutations    uint32
	Term         base.Term
	Previous     base.Position
	Stamp        base.Stamp
	PrevStamp    base.Stamp
	// Entries: the batch holds OpEntry.
	Entries bool
	change  uint32 // offset of the record that changes the range
}

// Last is the position of the batch's last transaction.
func (h *Header) Last() base.Position { return h.Previous + base.Position(h.Transactions) }

// Record is one mutation inside a batch's buffer.
type Record struct {
	Op         base.MutationOp
	Place      uint16 // of its transaction in the batch, from 0
	Key, Value Slice
}

// Slice is a part of a batch's buffer.
type Slice struct{ Off, Len uint32 }

// In is the slice's bytes.
func (s Slice) In(buf []byte) []byte { return buf[s.Off : s.Off+s.Len : s.Off+s.Len] }

// Builder encodes a batch. The zero value is not usable; call Reset.
type Builder struct {
	Buf []byte
	h   Header
}

// Reset begins an empty batch in a fresh buffer of the given capacity.
func (b *Builder) Reset(capacity int) {
	b.Buf = append(make([]byte, 0, max(capacity, HeaderBytes)), make([]byte, HeaderBytes)...)
	b.h = Header{Kind: KindTransactions}
}

// Transactions is the number of transactions so far.
func (b *Builder) Transactions() int { return int(b.h.Transactions) }

// Begin starts the next transaction and returns its place.
func (b *Builder) Begin() uint16 {
	b.Buf = append(b.Buf, opBegin)
	b.h.Transactions++
	return uint16(b.h.Transactions - 1)
}

// Add appends a mutation to the current transaction.
func (b *Builder) Add(op base.MutationOp, key, value []byte) Record {
	r := Record{Op: op, Place: uint16(b.h.Transactions - 1)}
	buf := append(b.Buf, byte(op))
	buf = binary.AppendUvarint(buf, uint64(len(key)))
	r.Key = Slice{uint32(len(buf)), uint32(len(key))}
	buf = append(buf, key...)
	buf = binary.AppendUvarint(buf, uint64(len(value)))
	r.Value = Slice{uint32(len(buf)), uint32(len(value))}
	b.Buf = append(buf, value...)
	b.h.Mutations++
	b.h.Entries = b.h.Entries || op == OpEntry
	return r
}

// Compact makes an equal batch without the mutations that keep refuses, in a fresh buffer of
// the given capacity. Keep is asked of each in order, and told by how many bytes it
// will lie nearer to the front. Transactions keep their places, also those of which nothing is
// left. A batch with a change of the range, or with entries of a table, stays as it is, and
// Compact answers false.
func (b *Builder) Compact(capacity int, keep func(r Record, nearer uint32) bool) (bool, error) {
	if b.h.Entries || b.h.Kind != KindTransactions {
		return false, nil
	}
	old := b.Buf
	buf := append(make([]byte, 0, capacity), old[:HeaderBytes]...)
	mutations, place := uint32(0), -1
	for at := HeaderBytes; at < len(old); {
		from := at
		if old[at] == opBegin {
			place++
			at++
			buf = append(buf, opBegin)
			continue
		}
		r := Record{Op: base.MutationOp(old[at]), Place: uint16(place)}
		var err error
		if r.Key, at, err = slice(old, at+1); err != nil {
			return false, err
		}
		if r.Value, at, err = slice(old, at); err != nil {
			return false, err
		}
		if keep(r, uint32(from-len(buf))) {
			buf = append(buf, old[from:at]...)
			mutations++
		}
	}
	b.Buf, b.h.Mutations = buf, mutations
	return true, nil
}

// Finish writes the header. Only the header's bytes change.
func (b *Builder) Finish(h Header) Header {
	h.Kind, h.change = b.h.Kind, b.h.change
	h.Transactions, h.Mutations, h.Entries = b.h.Transactions, b.h.Mutations, b.h.Entries
	EncodeHeader(b.Buf, h)
	return h
}

// EncodeHeader writes h into the first HeaderBytes of buf.
func EncodeHeader(buf []byte, h Header) {
	le := binary.LittleEndian
	buf[0], buf[1], buf[2], buf[3] = formatVersion, byte(h.Kind), 0, 0
	if h.Entries {
		buf[0] = formatEntries
	}
	le.PutUint32(buf[4:], h.Transactions)
	le.PutUint32(buf[8:], h.Mutations)
	le.PutUint32(buf[12:], h.change)
	le.PutUint64(buf[16:], uint64(h.Term))
	le.PutUint64(buf[24:], uint64(h.Previous))
	le.PutUint64(buf[32:], uint64(h.Stamp))
	le.PutUint64(buf[40:], uint64(h.PrevStamp))
}

// DecodeHeader reads the header of a batch.
func DecodeHeader(buf []byte) (Header, error) {
	if len(buf) < HeaderBytes {
		return Header{}, errors.Wrapf(base.ErrCorruption, "batch of %d bytes has no header", len(buf))
	}
	le := binary.LittleEndian
	h := Header{
		Kind: Kind(buf[1]), Transactions: le.Uint32(buf[4:]), Mutations: le.Uint32(buf[8:]),
		Term: base.Term(le.Uint64(buf[16:])), Previous: base.Position(le.Uint64(buf[24:])),
		Stamp: base.Stamp(le.Uint64(buf[32:])), PrevStamp: base.Stamp(le.Uint64(buf[40:])),
		Entries: buf[0] == formatEntries, change: le.Uint32(buf[12:]),
	}
	if buf[0] != formatVersion && !h.Entries || h.Kind < KindTransactions || h.Kind > KindRefuse ||
		(h.Kind != KindTransactions) != (h.change >= HeaderBytes && int(h.change) < len(buf) && h.Transactions > 0) {
		return Header{}, errors.Wrapf(base.ErrCorruption, "batch of unknown format %d, kind %d", buf[0], buf[1])
	}
	return h, nil
}

// Records visits the mutations of a batch in order. It asserts the counts of the header.
func Records(buf []byte, visit func(r Record)) error {
	h, err := DecodeHeader(buf)
	if err != nil {
		return err
	}
	var transactions, mutations uint32
	for at := HeaderBytes; at < len(buf); {
		op := buf[at]
		at++
		if op == opBegin {
			transactions++
			continue
		}
		r := Record{Op: base.MutationOp(op), Place: uint16(transactions - 1)}
		if r.Key, at, err = slice(buf, at); err != nil {
			return err
		}
		if r.Value, at, err = slice(buf, at); err != nil {
			return err
		}
		if op == opChange && h.Kind != KindTransactions && at == len(buf) {
			continue
		}
		if (op < byte(base.OpSet) || op > byte(base.OpTouch)) && (op != byte(OpEntry) || !h.Entries) || transactions == 0 {
			return errors.Wrapf(base.ErrCorruption, "batch holds operation %d before offset %d", op, at)
		}
		mutations++
		visit(r)
	}
	if transactions != h.Transactions || mutations != h.Mutations {
		return errors.Wrapf(base.ErrCorruption, "batch holds %d transactions and %d mutations, its header says %d and %d",
			transactions, mutations, h.Transactions, h.Mutations)
	}
	return nil
}

func slice(buf []byte, at int) (Slice, int, error) {
	n, size := binary.Uvarint(buf[at:])
	if size <= 0 || n > uint64(len(buf)-at-size) {
		return Slice{}, 0, errors.Wrapf(base.ErrCorruption, "batch ends inside a record at offset %d", at)
	}
	at += size
	return Slice{uint32(at), uint32(n)}, at + int(n), nil
}
