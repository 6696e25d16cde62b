package replica

import (
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
)

// A replica that is removed while it cannot be reached is not told by Raft. It goes on
// holding its keys on its node, where other ranges that hold them by now cannot come.
// So whoever hears of it, and knows from its own log that it was removed, says so; and
// a replica that has heard of no leader for long makes itself heard. The same goes for a
// replica of a range that was merged.

// lonelyTicks is how long that is.
const lonelyTicks = 4 * electionTicks

// strange reports whether a message comes from a replica that was removed, and tells it.
// Ids are never used again, so what was removed once stays so.
func (r *Replica) strange(m *Message) bool {
	d := &r.loop.desc
	if _, found := d.Replica(m.From); found || m.From >= d.NextReplica {
		return false
	}
	r.o.Send(m.Node, &Message{Range: r.o.Range, From: r.o.Replica, To: m.From, Node: r.o.Node, Gone: true, Raft: nothing()})
	return true
}

// MergedAway is what a node whose replica of the range was merged answers to m. It is
// from no replica.
func MergedAway(m *Message, self base.NodeID) *Message {
	return &Message{Range: m.Range, To: m.From, Node: self, Gone: true, Raft: nothing()}
}

// nothing is a message that Raft makes nothing of.
func nothing() *pb.Message { return &pb.Message{Type: pb.MsgHeartbeatResp.Enum()} }

// wonder makes a replica that hears of no leader be heard. It is called at every tick.
func (r *Replica) wonder() {
	if r.loop.lonely++; r.loop.lonely%lonelyTicks != 0 || r.loop.leading {
		return
	}
	for _, m := range r.loop.desc.Replicas {
		if m.Replica != r.o.Replica {
			r.o.Send(m.Node, &Message{Range: r.o.Range, From: r.o.Replica, To: m.Replica, Node: r.o.Node, Raft: nothing()})
		}
	}
}
