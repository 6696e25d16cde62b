package base

import (
	"encoding/binary"

	"github.com/cockroachdb/errors"
)

// RangeDescriptor says what a range is and where its replicas are.
type RangeDescriptor struct {
	ID       RangeID
	Epoch    Epoch
	Span     Span
	Replicas []ReplicaDescriptor
}

// ReplicaDescriptor names one replica of a range and the node that holds it.
type ReplicaDescriptor struct {
	Node    NodeID
	Replica ReplicaID
}

// Append appends the descriptor's binary form: id, epoch, start, end, replicas,
// all numbers and lengths as uvarints.
func (d *RangeDescriptor) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.ID))
	dst = binary.AppendUvarint(dst, uint64(d.Epoch))
	for _, k := range [][]byte{d.Span.Start, d.Span.End} {
		dst = binary.AppendUvarint(dst, uint64(len(k)))
		dst = append(dst, k...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(d.Replicas)))
	for _, r := range d.Replicas {
		dst = binary.AppendUvarint(dst, uint64(r.Node))
		dst = binary.AppendUvarint(dst, uint64(r.Replica))
	}
	return dst
}

// DecodeRangeDescriptor reads what Append wrote.
func DecodeRangeDescriptor(b []byte) (d RangeDescriptor, err error) {
	ok := true
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[size:]
		return n
	}
	key := func() []byte {
		n := number()
		if n > uint64(len(b)) {
			ok, b = false, nil
			return nil
		}
		k := append([]byte{}, b[:n]...)
		b = b[n:]
		return k
	}
	d.ID, d.Epoch = RangeID(number()), Epoch(number())
	d.Span.Start, d.Span.End = key(), key()
	for n := number(); n > 0 && ok; n-- {
		d.Replicas = append(d.Replicas, ReplicaDescriptor{Node: NodeID(number()), Replica: ReplicaID(number())})
	}
	if !ok || len(b) != 0 {
		return RangeDescriptor{}, errors.Wrap(ErrCorruption, "range descriptor")
	}
	return d, nil
}
