package replica

import (
	"slices"

	"github.com/cockroachdb/errors"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// Follow says which replicas a range has once all of its log is applied to the state d
// as of applied, those of a joint configuration under way left out, and whether self
// needs no other's word for that. What is on disk may know less than the log.
func Follow(d base.RangeDescriptor, self base.ReplicaID, group raftlog.Group, applied base.LogIndex) (members []base.ReplicaDescriptor, alone bool, err error) {
	cs := confState(d.Replicas)
	alone = len(cs.VotersOutgoing) == 0 && slices.Equal(cs.Voters, []uint64{uint64(self)})
	members = slices.Clone(d.Replicas)
	for at, last := applied, group.LastIndex(); at < last; {
		entries, err := group.Entries(nil, at+1, last+1, replayBytes)
		if err != nil {
			return nil, false, err
		}
		for _, e := range entries {
			at = e.Index
			if pb.EntryType(e.Type) != pb.EntryConfChangeV2 {
				continue
			}
			cc := &pb.ConfChangeV2{}
			if err := proto.Unmarshal(e.Data, cc); err != nil {
				return nil, false, errors.Wrapf(base.ErrCorruption, "entry %d: %v", e.Index, err)
			}
			if members, err = followChange(members, cc); err != nil {
				return nil, false, errors.Wrapf(err, "entry %d", e.Index)
			}
			alone = alone && !slices.ContainsFunc(cc.GetChanges(), func(c *pb.ConfChangeSingle) bool {
				return c.GetType() == pb.ConfChangeAddNode && c.GetNodeId() != uint64(self)
			})
		}
	}
	return members, alone, nil
}

// followChange makes the members those that a change leads to, at its end.
func followChange(members []base.ReplicaDescriptor, cc *pb.ConfChangeV2) ([]base.ReplicaDescriptor, error) {
	if len(cc.Context) > 0 {
		added, err := base.DecodeReplicaDescriptor(cc.Context)
		if err != nil {
			return nil, err
		}
		members = append(members, added)
	}
	cs := confState(members)
	cs.VotersOutgoing, cs.Learners, cs.LearnersNext = nil, append(cs.Learners, cs.LearnersNext...), nil
	for _, c := range cc.GetChanges() {
		id := c.GetNodeId()
		other := func(x uint64) bool { return x == id }
		cs.Voters, cs.Learners = slices.DeleteFunc(cs.Voters, other), slices.DeleteFunc(cs.Learners, other)
		switch c.GetType() {
		case pb.ConfChangeAddNode:
			cs.Voters = append(cs.Voters, id)
		case pb.ConfChangeAddLearnerNode:
			cs.Learners = append(cs.Learners, id)
		}
	}
	return membersOf(cs, members), nil
}
