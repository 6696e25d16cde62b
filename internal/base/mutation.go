package base

import (
	"bytes"
	"encoding/binary"
)

// MutationOp says what a mutation does. The numbers are on disk and on the wire
// between nodes; retired ones stay as _.
type MutationOp uint8

const (
	// OpSet stores Value under Key.
	OpSet MutationOp = 1
	// OpClear removes Key.
	OpClear MutationOp = 2
	// OpClearRange removes [Key, Value).
	OpClearRange MutationOp = 3
	// OpTouch changes nothing and counts as a write of [Key, Value) when read
	// sets are validated.
	OpTouch MutationOp = 4

	// The operations from here to OpCompareAndClear are computed by the leader
	// when the transaction is sequenced; the log holds the resulting OpSet or
	// OpClear. See ApplyAtomic for what each does.

	OpAdd             MutationOp = 10
	OpBitAnd          MutationOp = 11
	OpBitOr           MutationOp = 12
	OpBitXor          MutationOp = 13
	OpMax             MutationOp = 14
	OpMin             MutationOp = 15
	OpByteMax         MutationOp = 16
	OpByteMin         MutationOp = 17
	OpAppendIfFits    MutationOp = 18
	OpCompareAndClear MutationOp = 19

	// OpSetVersionstampedKey stores Value under Key, in which the ten bytes at
	// the offset given by the last four bytes (little-endian, not part of the
	// key) become the transaction's versionstamp.
	OpSetVersionstampedKey MutationOp = 30
	// OpSetVersionstampedValue does the same inside the value.
	OpSetVersionstampedValue MutationOp = 31
)

// Atomic reports whether the operation is computed from the stored value.
func (op MutationOp) Atomic() bool { return op >= OpAdd && op <= OpCompareAndClear }

// Versionstamped reports whether the operation waits for the batch's stamp.
func (op MutationOp) Versionstamped() bool {
	return op == OpSetVersionstampedKey || op == OpSetVersionstampedValue
}

// Mutation is one change of a transaction. For OpClearRange and OpTouch, Value
// is the end of the span.
type Mutation struct {
	Op         MutationOp
	Key, Value []byte
}

// ApplyAtomic computes an atomic operation as FoundationDB's client API defines
// it. old is the stored value, nil when the key is absent; operand is the
// mutation's value; maxValueBytes bounds OpAppendIfFits. A nil result means that
// the key is absent afterwards. The result may share memory with old or operand.
//
// Arithmetic is little-endian and unsigned over the operand's length: the stored
// value is cut or padded with zeros to it. Where a key is absent, OpAnd, OpMin
// and the byte-wise operations store the operand.
func ApplyAtomic(op MutationOp, old, operand []byte, maxValueBytes int) []byte {
	if operand == nil {
		operand = []byte{}
	}
	switch op {
	case OpByteMax:
		if old == nil || bytes.Compare(old, operand) < 0 {
			return operand
		}
		return old
	case OpByteMin:
		if old == nil || bytes.Compare(operand, old) < 0 {
			return operand
		}
		return old
	case OpAppendIfFits:
		if len(old)+len(operand) > maxValueBytes {
			return old
		}
		out := make([]byte, 0, len(old)+len(operand))
		return append(append(out, old...), operand...)
	case OpCompareAndClear:
		if old != nil && bytes.Equal(old, operand) {
			return nil
		}
		return old
	case OpBitAnd, OpMin:
		if old == nil {
			return operand
		}
	}
	sized := make([]byte, len(operand))
	copy(sized, old)
	switch op {
	case OpAdd:
		addLittleEndian(sized, operand)
	case OpBitAnd:
		for i := range sized {
			sized[i] &= operand[i]
		}
	case OpBitOr:
		for i := range sized {
			sized[i] |= operand[i]
		}
	case OpBitXor:
		for i := range sized {
			sized[i] ^= operand[i]
		}
	case OpMax:
		if compareLittleEndian(sized, operand) < 0 {
			copy(sized, operand)
		}
	case OpMin:
		if compareLittleEndian(operand, sized) < 0 {
			copy(sized, operand)
		}
	}
	return sized
}

func addLittleEndian(sum, operand []byte) {
	carry := uint16(0)
	for i := range sum {
		t := uint16(sum[i]) + uint16(operand[i]) + carry
		sum[i], carry = byte(t), t>>8
	}
}

func compareLittleEndian(a, b []byte) int {
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}

// VersionstampOffset splits the parameter of a versionstamped operation (the key
// or the value) into its template and the offset of the ten bytes to fill in.
// ok is false when the parameter is too short or the offset points outside.
func VersionstampOffset(param []byte) (template []byte, offset int, ok bool) {
	if len(param) < 4 {
		return nil, 0, false
	}
	n := len(param) - 4
	off := binary.LittleEndian.Uint32(param[n:])
	if uint64(off)+VersionstampLen > uint64(n) {
		return nil, 0, false
	}
	return param[:n], int(off), true
}
