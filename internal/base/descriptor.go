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
// next replica, all numbers and lengths as uvarints.
func (d *RangeDescriptor) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.ID))
	dst = binary.AppendUvarint(dst, uint64(d.Epoch))
	for _, k := range [][]byte{d.Span.Start, d.Span.End} {
		dst = binary.AppendUvarint(dst, uint64(len(k)))
		dst = append(dst, k...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(d.Replicas)))
	for _, r := range d.Replicas {
		dst = r.Append(dst)
	}
	return binary.AppendUvarint(dst, uint64(d.NextReplica))
}

// Append appends the replica's binary form: node, replica and role as uvarints.
func (r ReplicaDescriptor) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.Node))
	dst = binary.AppendUvarint(dst, uint64(r.Replica))
	return binary.AppendUvarint(dst, uint64(r.Role))
}

// DecodeRangeDescriptor reads what Append wrote.
func DecodeRangeDescriptor(b []byte) (d RangeDescriptor, err error) {
	r := numbers{b: b}
	d.ID, d.Epoch = RangeID(r.next()), Epoch(r.next())
	d.Span.Start, d.Span.End = r.key(), r.key()
	for n := r.next(); n > 0 && !r.bad; n-- {
		d.Replicas = append(d.Replicas, r.replica())
	}
	d.NextReplica = ReplicaID(r.next())
	if r.bad || len(r.b) != 0 {
		return RangeDescriptor{}, errors.Wrap(ErrCorruption, "range descriptor")
	}
	return d, nil
}

// DecodeReplicaDescriptor reads what Append wrote.
func DecodeReplicaDescriptor(b []byte) (ReplicaDescriptor, error) {
	r := numbers{b: b}
	d := r.replica()
	if r.bad || len(r.b) != 0 {
		return ReplicaDescriptor{}, errors.Wrap(ErrCorruption, "replica descriptor")
	}
	return d, nil
}

// numbers reads uvarints until something is wrong.
type numbers struct {
	b   []byte
	bad bool
}

func (r *numbers) next() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *numbers) key() []byte {
	n := r.next()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	k := append([]byte{}, r.b[:n]...)
	r.b = r.b[n:]
	return k
}

func (r *numbers) replica() ReplicaDescriptor {
	d := ReplicaDescriptor{Node: NodeID(r.next()), Replica: ReplicaID(r.next())}
	role := r.next()
	r.bad = r.bad || role >= uint64(replicaRoles)
	d.Role = ReplicaRole(role)
	return d
}
