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
	// NextReplica is above every id that a replica of the range ever had.
	NextReplica ReplicaID
	// Parent is the range that this one was split from; 0: none.
	Parent RangeID
}

// ReplicaDescriptor names one replica of a range and the node that holds it.
type ReplicaDescriptor struct {
	Node    NodeID
	Replica ReplicaID
	Role    ReplicaRole
}

// ReplicaRole says what a replica's word counts for. The numbers are on disk.
type ReplicaRole uint8

// Roles. The last three are those of a joint configuration, between two others.
const (
	Voter ReplicaRole = iota
	// Learner receives the log and does not vote.
	Learner
	// Incoming votes in the new configuration only, Outgoing in the old one only.
	Incoming
	Outgoing
	// Demoting votes in the old configuration and is a learner in the new one.
	Demoting
	replicaRoles
)

var roleNames = [...]string{"voter", "learner", "incoming", "outgoing", "demoting"}

func (r ReplicaRole) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return "?"
}

// Replica finds a replica by its id.
func (d *RangeDescriptor) Replica(id ReplicaID) (ReplicaDescriptor, bool) {
	for _, r := range d.Replicas {
		if r.Replica == id {
			return r, true
		}
	}
	return ReplicaDescriptor{}, false
}

// On finds the replica that a node holds.
func (d *RangeDescriptor) On(n NodeID) (ReplicaDescriptor, bool) {
	for _, r := range d.Replicas {
		if r.Node == n {
			return r, true
		}
	}
	return ReplicaDescriptor{}, false
}

// Append appends the descriptor's binary form: id, epoch, start, end, replicas,
// next replica and, if there is one, the parent, all numbers and lengths as uvarints.
func (d *RangeDescriptor) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.ID))
	dst = binary.AppendUvarint(dst, uint64(d.Epoch))
	dst = AppendBytes(AppendBytes(dst, d.Span.Start), d.Span.End)
	dst = binary.AppendUvarint(dst, uint64(len(d.Replicas)))
	for _, r := range d.Replicas {
		dst = r.Append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(d.NextReplica))
	if d.Parent != 0 {
		dst = binary.AppendUvarint(dst, uint64(d.Parent))
	}
	return dst
}

// Append appends the replica's binary form: node, replica and role as uvarints.
func (r ReplicaDescriptor) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.Node))
	dst = binary.AppendUvarint(dst, uint64(r.Replica))
	return binary.AppendUvarint(dst, uint64(r.Role))
}

// DecodeRangeDescriptor reads what Append wrote.
func DecodeRangeDescriptor(b []byte) (d RangeDescriptor, err error) {
	r := NewDecoder(b)
	d.ID, d.Epoch = RangeID(r.Uvarint()), Epoch(r.Uvarint())
	d.Span.Start, d.Span.End = append([]byte{}, r.Bytes()...), append([]byte{}, r.Bytes()...)
	good := true
	for n := r.Count(3); n > 0; n-- {
		m, ok := decodeReplica(&r)
		good = good && ok
		d.Replicas = append(d.Replicas, m)
	}
	d.NextReplica = ReplicaID(r.Uvarint())
	if good && r.OK() && !r.Done() {
		d.Parent = RangeID(r.Uvarint())
		good = d.Parent != 0
	}
	if !good || !r.Done() {
		return RangeDescriptor{}, errors.Wrap(ErrCorruption, "range descriptor")
	}
	return d, nil
}

// DecodeReplicaDescriptor reads what Append wrote.
func DecodeReplicaDescriptor(b []byte) (ReplicaDescriptor, error) {
	r := NewDecoder(b)
	d, ok := decodeReplica(&r)
	if !ok || !r.Done() {
		return ReplicaDescriptor{}, errors.Wrap(ErrCorruption, "replica descriptor")
	}
	return d, nil
}

func decodeReplica(d *Decoder) (r ReplicaDescriptor, ok bool) {
	r = ReplicaDescriptor{Node: NodeID(d.Uvarint()), Replica: ReplicaID(d.Uvarint())}
	role := d.Uvarint()
	r.Role = ReplicaRole(role)
	return r, role < uint64(replicaRoles)
}
