package replica

import (
	"slices"
	"time"

	"github.com/cockroachdb/errors"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/stratadb/strata/internal/base"
)

// Change is a step of a membership change.
type Change struct {
	Kind    ChangeKind
	Replica base.ReplicaID
	Node    base.NodeID // of AddLearner
}

// ChangeKind says what a step does.
type ChangeKind uint8

// Kinds of steps. AddLearner takes the descriptor's next id.
const (
	AddLearner ChangeKind = iota
	Promote               // a learner to a voter
	Remove
)

// ErrChange is answered for a membership change that does not fit the range.
var ErrChange = errors.New("membership change does not fit the range")

// ErrBehind is answered when a learner has not caught up: as a voter it would count
// and have nothing.
var ErrBehind = errors.New("learner has not caught up")

// ChangeMembers proposes a change: several steps are one joint configuration, which
// Raft leaves by itself. One change at a time: another is refused while it runs.
// It is done when Descriptor shows it.
func (r *Replica) ChangeMembers(steps ...Change) error {
	r.driving.Lock()
	defer r.driving.Unlock()
	defer r.signal()
	if r.loop.lead == nil {
		return base.ErrUnavailable
	}
	r.rise()
	cc := &pb.ConfChangeV2{Transition: pb.ConfChangeTransitionAuto.Enum()}
	d := r.loop.desc
	for _, s := range steps {
		single := &pb.ConfChangeSingle{NodeId: new(uint64(s.Replica))}
		known, found := d.Replica(s.Replica)
		switch {
		case s.Kind == AddLearner && s.Replica == d.NextReplica && len(steps) == 1:
			single.Type = pb.ConfChangeAddLearnerNode.Enum()
			cc.Context = base.ReplicaDescriptor{Node: s.Node, Replica: s.Replica}.Append(nil)
			if _, taken := d.On(s.Node); taken {
				return errors.Wrapf(ErrChange, "node %d holds a replica already", s.Node)
			}
		case s.Kind == Promote && found && known.Role == base.Learner:
			if !r.follows(s.Replica) {
				return errors.Wrapf(ErrBehind, "replica %d", s.Replica)
			}
			single.Type = pb.ConfChangeAddNode.Enum()
		case s.Kind == Remove && found && s.Replica != r.o.Replica:
			single.Type = pb.ConfChangeRemoveNode.Enum()
		default:
			return errors.Wrapf(ErrChange, "step %+v", s)
		}
		cc.Changes = append(cc.Changes, single)
	}
	for _, m := range d.Replicas {
		if m.Role != base.Voter && m.Role != base.Learner {
			return errors.Wrap(ErrChange, "another change is under way")
		}
	}
	if r.frozen() {
		return errors.Wrap(ErrChange, "the range is being merged")
	}
	return errors.Wrap(r.loop.raft.ProposeConfChange(cc), "membership change")
}

// frozen: a freeze is sequenced, and was not thawed.
func (r *Replica) frozen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.seq.Frozen()
}

// follows reports whether a replica has the log up to where it is being written.
func (r *Replica) follows(id base.ReplicaID) (follows bool) {
	r.loop.raft.WithProgress(func(other uint64, _ raft.ProgressType, pr tracker.Progress) {
		if other == uint64(id) {
			follows = pr.State == tracker.StateReplicate && pr.RecentActive && base.LogIndex(pr.Match) >= r.loop.applied
		}
	})
	return follows
}

// Progress is how far another replica is, as the leader sees it.
type Progress struct {
	Replica  base.ReplicaID
	CaughtUp bool
	Active   bool // it was heard lately
}

// Progress lists the replicas; nothing while this one does not lead.
func (r *Replica) Progress() (list []Progress) {
	r.driving.Lock()
	defer r.driving.Unlock()
	if r.loop.lead == nil {
		return nil
	}
	r.loop.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		self := base.ReplicaID(id) == r.o.Replica || r.loop.rest.asleep // with all others
		list = append(list, Progress{Replica: base.ReplicaID(id), Active: self || pr.RecentActive,
			CaughtUp: self || pr.State == tracker.StateReplicate && base.LogIndex(pr.Match) >= r.loop.applied})
	})
	return list
}

// TransferLeader hands leadership over to another voter, or tries to; see handover.
func (r *Replica) TransferLeader(to base.ReplicaID) error {
	r.driving.Lock()
	defer r.driving.Unlock()
	defer r.signal()
	d, found := r.loop.desc.Replica(to)
	if r.loop.lead == nil {
		return base.ErrUnavailable
	}
	if !found || d.Role != base.Voter || to == r.o.Replica {
		return errors.Wrapf(ErrChange, "replica %d cannot lead", to)
	}
	r.rise()
	r.setHandover(handover{to: to})
	r.handOver()
	return nil
}

// applyChange makes a committed membership change effective. The others hear of it at once:
// if this leader went and they did not know that the change has ended, they would need a
// quorum of the old voters too.
func (r *Replica) applyChange(index base.LogIndex, e *pb.Entry) error {
	cc := &pb.ConfChangeV2{}
	if err := proto.Unmarshal(e.Data, cc); err != nil {
		return errors.Wrapf(base.ErrCorruption, "entry %d: %v", index, err)
	}
	cs := r.loop.raft.ApplyConfChange(cc)
	d := r.loop.desc
	if len(cc.Context) > 0 {
		added, err := base.DecodeReplicaDescriptor(cc.Context)
		if err != nil {
			return errors.Wrapf(err, "entry %d", index)
		}
		d.Replicas = append(slices.Clone(d.Replicas), added)
		d.NextReplica = max(d.NextReplica, added.Replica+1)
	}
	d.Replicas = membersOf(cs, d.Replicas)
	d.Epoch++
	r.setDescriptor(d, index)
	return r.giveNotices()
}

// membersOf gives the known replicas the roles that a configuration of Raft says.
func membersOf(cs *pb.ConfState, known []base.ReplicaDescriptor) (out []base.ReplicaDescriptor) {
	joint := len(cs.VotersOutgoing) > 0
	for _, m := range known {
		id := uint64(m.Replica)
		in, old := slices.Contains(cs.Voters, id), slices.Contains(cs.VotersOutgoing, id)
		switch {
		case in && (old || !joint):
			m.Role = base.Voter
		case in:
			m.Role = base.Incoming
		case old && slices.Contains(cs.LearnersNext, id):
			m.Role = base.Demoting
		case old:
			m.Role = base.Outgoing
		case slices.Contains(cs.Learners, id):
			m.Role = base.Learner
		default:
			continue
		}
		out = append(out, m)
	}
	return out
}

// confState is a descriptor's replicas in Raft's words.
func confState(replicas []base.ReplicaDescriptor) *pb.ConfState {
	cs := &pb.ConfState{}
	joint := false
	for _, m := range replicas {
		joint = joint || m.Role > base.Learner
	}
	for _, m := range replicas {
		id := uint64(m.Replica)
		if m.Role == base.Voter || m.Role == base.Incoming {
			cs.Voters = append(cs.Voters, id)
		}
		if joint && m.Role != base.Incoming && m.Role != base.Learner {
			cs.VotersOutgoing = append(cs.VotersOutgoing, id)
		}
		switch m.Role {
		case base.Learner:
			cs.Learners = append(cs.Learners, id)
		case base.Demoting:
			cs.LearnersNext = append(cs.LearnersNext, id)
		}
	}
	if joint {
		cs.AutoLeave = new(true)
	}
	return cs
}

// setDescriptor makes d the range's descriptor as of a log index.
func (r *Replica) setDescriptor(d base.RangeDescriptor, index base.LogIndex) {
	r.loop.desc = d
	r.loop.lease.voters = r.loop.raft.Status().Config.Voters
	clearMissing(r.loop.lease.acks, d.Replicas)
	r.leaseUntil.Store(0) // the quorum may be another one now
	r.mu.Lock()
	r.mu.desc = d
	r.solo.Store(r.loop.lease.solo())
	_, found := d.Replica(r.o.Replica)
	r.removed.Store(!found && len(d.Replicas) > 0)
	r.mu.descs = append(r.mu.descs, descriptorAt{index, d})
	r.room.Broadcast()
	r.mu.Unlock()
	r.extendLease()
}

// descriptorAt is a descriptor and the log index from which on it holds.
type descriptorAt struct {
	index base.LogIndex
	desc  base.RangeDescriptor
}

// descriptorLocked is the descriptor as of a log index that is not yet on disk, and
// forgets older ones.
func (r *Replica) descriptorLocked(at base.LogIndex) base.RangeDescriptor {
	for len(r.mu.descs) > 1 && r.mu.descs[1].index <= at {
		r.mu.descs = r.mu.descs[1:]
	}
	return r.mu.descs[0].desc
}

func clearMissing(acks map[base.ReplicaID]time.Duration, replicas []base.ReplicaDescriptor) {
	for id := range acks {
		if !slices.ContainsFunc(replicas, func(m base.ReplicaDescriptor) bool { return m.Replica == id }) {
			delete(acks, id)
		}
	}
}
