package base

import (
	"bytes"
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
	// EndEpoch is the epoch that the split gave which made the range end where it
	// does; 0: none did. Who takes an end over takes this over, too.
	EndEpoch Epoch
	// Frozen is the merge that the range waits for; zero: none.
	Frozen Freeze
}

// Freeze names a merge: the left neighbour, and the only epoch in which that may take
// the frozen range over.
type Freeze struct {
	Left  RangeID
	Epoch Epoch
}

// Ending is what a descriptor proves about a freeze.
type Ending uint8

// Endings.
const (
	// Open: nothing.
	Open Ending = iota
	// Merged: the frozen range was taken over.
	Merged
	// Refused: it was not, and will not be.
	Refused
)

// Ends says what x, which some range says, or once said, of itself, proves about the
// freeze of d. Of those that hold the same key, the later one has the higher epoch.
//
// Who ends where d begins, with an epoch above the one that may merge, has refused,
// unless d was merged and split off again.
func (d *RangeDescriptor) Ends(x *RangeDescriptor) Ending {
	switch {
	case d.Superseded(x):
		return Merged
	case d.Frozen == Freeze{} || x.Epoch <= d.Frozen.Epoch || !bytes.Equal(x.Span.End, d.Span.Start):
		return Open
	}
	return Refused
}

// Superseded reports whether x proves that d was merged, whether d knows that it was
// frozen or not; see Ends. A range keeps its first key until it is merged. So whoever
// holds that key with a higher epoch has it from a merge. And an end there that is
// newer than d was made by a split after that.
func (d *RangeDescriptor) Superseded(x *RangeDescriptor) bool {
	if d.ID == x.ID || d.Span.Empty() {
		return false
	}
	return x.Epoch > d.Epoch && x.Span.Contains(d.Span.Start) || x.EndEpoch > d.Epoch && bytes.Equal(x.Span.End, d.Span.Start)
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
// next replica, then the parent if there is one, or if the epoch of the end and the
// freeze follow. All numbers and lengths are uvarints.
func (d *RangeDescriptor) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.ID))
	dst = binary.AppendUvarint(dst, uint64(d.Epoch))
	dst = AppendBytes(AppendBytes(dst, d.Span.Start), d.Span.End)
	dst = binary.AppendUvarint(dst, uint64(len(d.Replicas)))
	for _, r := range d.Replicas {
		dst = r.Append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(d.NextReplica))
	more := d.EndEpoch != 0 || d.Frozen != Freeze{}
	if d.Parent != 0 || more {
		dst = binary.AppendUvarint(dst, uint64(d.Parent))
	}
	if more {
		for _, n := range [...]uint64{uint64(d.EndEpoch), uint64(d.Frozen.Left), uint64(d.Frozen.Epoch)} {
			dst = binary.AppendUvarint(dst, n)
		}
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
		if r.OK() && !r.Done() {
			d.EndEpoch = Epoch(r.Uvarint())
			d.Frozen = Freeze{RangeID(r.Uvarint()), Epoch(r.Uvarint())}
			good = d.EndEpoch != 0 || d.Frozen != Freeze{}
		} else {
			good = d.Parent != 0
		}
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
