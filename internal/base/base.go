// Package base holds the words of the system: ids, stamps, positions, spans,
// mutations and the error classes that every layer shares. It imports nothing of
// the project, decides nothing and starts nothing.
package base

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// RangeID names a range for ever; ids are never reused.
type RangeID uint64

// Epoch counts the changes of a range's bounds. A request that carries an old
// epoch is refused.
type Epoch uint64

// NodeID names a node (a process with one store) of the cluster.
type NodeID uint64

// StoreID names a store, that is one data directory, for ever. It is random.
type StoreID [16]byte

// String renders the store id in hexadecimal.
func (s StoreID) String() string { return fmt.Sprintf("%x", s[:]) }

// ReplicaID names one replica of a range; it is the Raft peer id and is never reused.
type ReplicaID uint64

// LogIndex is a position in a range's Raft log, beginning at 1.
type LogIndex uint64

// Term is a Raft term.
type Term uint64

// Position numbers the transactions of a range in the order in which its leader
// sequenced them, beginning at 1. A position is speculative until the batch that
// holds it is committed.
type Position uint64

// Stamp is a version issued by the oracle: microseconds of the Unix epoch,
// strictly increasing over the whole cluster. Zero means "none" or "newest".
type Stamp uint64

// Millis is the stamp as milliseconds of the Unix epoch, the unit of expiry times.
func (s Stamp) Millis() int64 { return int64(s / 1000) }

// VersionstampLen is the length in bytes of a Versionstamp.
const VersionstampLen = 10

// Versionstamp orders transactions: eight bytes of stamp and two bytes of the
// transaction's place in its batch, both big-endian.
type Versionstamp [VersionstampLen]byte

// MakeVersionstamp builds the versionstamp of the transaction at place in the
// batch that carries stamp.
func MakeVersionstamp(stamp Stamp, place uint16) (v Versionstamp) {
	binary.BigEndian.PutUint64(v[:8], uint64(stamp))
	binary.BigEndian.PutUint16(v[8:], place)
	return v
}

// Stamp is the batch's stamp.
func (v Versionstamp) Stamp() Stamp { return Stamp(binary.BigEndian.Uint64(v[:8])) }

// String renders the versionstamp in hexadecimal.
func (v Versionstamp) String() string { return fmt.Sprintf("%x", v[:]) }

// Span is the half-open interval of keys [Start, End).
type Span struct{ Start, End []byte }

// KeySpan is the span that holds exactly key.
func KeySpan(key []byte) Span { return Span{Start: key, End: Next(key)} }

// PrefixSpan is the span of all keys that begin with prefix.
func PrefixSpan(prefix []byte) Span { return Span{Start: prefix, End: PrefixEnd(prefix)} }

// Empty reports whether no key lies in the span.
func (s Span) Empty() bool { return bytes.Compare(s.Start, s.End) >= 0 }

// Contains reports whether key lies in the span.
func (s Span) Contains(key []byte) bool {
	return bytes.Compare(s.Start, key) <= 0 && bytes.Compare(key, s.End) < 0
}

// Equal reports whether the spans are the same.
func (s Span) Equal(o Span) bool { return bytes.Equal(s.Start, o.Start) && bytes.Equal(s.End, o.End) }

// Overlaps reports whether the spans share a key.
func (s Span) Overlaps(o Span) bool {
	return bytes.Compare(s.Start, o.End) < 0 && bytes.Compare(o.Start, s.End) < 0
}

// Clip is what s and to have in common; empty if that is nothing.
func (s Span) Clip(to Span) Span {
	if bytes.Compare(s.Start, to.Start) < 0 {
		s.Start = to.Start
	}
	if bytes.Compare(s.End, to.End) > 0 {
		s.End = to.End
	}
	return s
}

// Next is the smallest key above key.
func Next(key []byte) []byte {
	n := make([]byte, len(key)+1)
	copy(n, key)
	return n
}

// PrefixEnd is the smallest key above every key that begins with prefix; nil if
// there is none (the prefix is empty or all 0xFF).
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xFF {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// KeyValue is a pair. Both slices are read-only for whoever receives them.
type KeyValue struct{ Key, Value []byte }
