package placement

import (
	"fmt"

	"github.com/stratadb/strata/internal/base"
)

// Kind is what an operator does. The numbers are kept beside ranges in progress;
// retired ones stay as _.
type Kind uint8

const (
	// AddLearner adds Replica, a new id, as a learner on Node. Replaces is the
	// voter that it is meant for, or 0.
	AddLearner Kind = 1
	// Promote makes the learner Replica a voter; if Replaces is not 0, that voter
	// leaves in the same change, which is a joint one and ends with LeaveJoint.
	Promote Kind = 2
	// LeaveJoint ends a joint configuration: incoming replicas become voters,
	// outgoing ones are gone.
	LeaveJoint Kind = 3
	// RemoveReplica removes Replica, a learner or a voter that does not lead.
	RemoveReplica Kind = 4
	// TransferLeader makes Replica the leader.
	TransferLeader Kind = 5
	// Split makes two ranges; the right one begins at Key.
	Split Kind = 6
	// Merge unites the range with its right neighbour, Right, whose replicas and
	// leader are on the same nodes.
	Merge Kind = 7
)

var kindTable = [...]string{"none", "add-learner", "promote", "leave-joint", "remove-replica", "transfer-leader", "split", "merge"}

// String is the kind's name.
func (k Kind) String() string { return kindTable[k] }

// Operator is one step for one range. It is void if the range's epoch or
// replicas have changed since the snapshot.
type Operator struct {
	Kind     Kind
	Range    base.RangeID
	Epoch    base.Epoch
	Replica  base.ReplicaID
	Node     base.NodeID // the one that holds Replica
	Replaces base.ReplicaID
	Key      []byte
	Right    base.RangeID
	// Rule decided this, for the Reason given.
	Rule   string
	Reason string
}

// String renders the operator without its reason.
func (o Operator) String() string {
	s := fmt.Sprintf("r%d %s", o.Range, o.Kind)
	switch o.Kind {
	case AddLearner, Promote, RemoveReplica, TransferLeader:
		s += fmt.Sprintf(" %d on n%d", o.Replica, o.Node)
		if o.Replaces != 0 {
			s += fmt.Sprintf(" for %d", o.Replaces)
		}
	case Split:
		s += fmt.Sprintf(" at %q", o.Key)
	case Merge:
		s += fmt.Sprintf(" r%d", o.Right)
	}
	return s
}

// Problem is a state that placement cannot mend.
type Problem uint8

const (
	// NoQuorum: a majority of the voters is on dead nodes. The range needs
	// loss-of-quorum recovery unless they come back.
	NoQuorum Problem = 1
	// NoNode: a replica should be added or moved and no node can take it.
	NoNode Problem = 2
	// Unsplittable: the range has too much load for one range and no key divides it.
	Unsplittable Problem = 3
)

var problemTable = [...]string{"none", "needs loss-of-quorum recovery", "no node to take a replica", "unsplittable"}

// String is the problem in words.
func (p Problem) String() string { return problemTable[p] }

// Report is a problem of one range.
type Report struct {
	Range   base.RangeID
	Problem Problem
	Rule    string
	Detail  string
}

// String renders the report.
func (r Report) String() string {
	s := fmt.Sprintf("r%d %s", r.Range, r.Problem)
	if r.Detail != "" {
		s += ": " + r.Detail
	}
	return s
}

// Plan is what to do now: at most one operator per range.
type Plan struct {
	Operators []Operator
	Reports   []Report
}
