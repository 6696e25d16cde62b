package placement

import (
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// checkPlan holds a plan against the rules that must never be broken: one change
// per range at a time (P1), no quorum lost by its own doing (P2), the number of
// voters (P3), ids (P4), leaders are never removed (P5), the slots (P6).
func (w *world) checkPlan(p Plan) error {
	seen := map[base.RangeID]bool{}
	copies := map[base.NodeID]int{}
	for i := range w.Ranges {
		w.countCopies(copies, &w.Ranges[i])
	}
	for _, op := range p.Operators {
		r := w.Ranges[w.rangeByID(op.Range)]
		if seen[op.Range] || r.Pending.Kind != 0 {
			return errors.Newf("%v: a second operator", op)
		}
		if seen[op.Range] = true; op.Kind == Merge {
			if seen[op.Right] || w.Ranges[w.rangeByID(op.Right)].Pending.Kind != 0 {
				return errors.Newf("%v: the neighbour has another operator", op)
			}
			seen[op.Right] = true
		}
		if err := w.checkOperator(&r, op); err != nil {
			return errors.Wrapf(err, "%v of %+v", op, r)
		}
		if op.Kind == AddLearner {
			from := w.nodeOf(&r, r.Leader)
			if copies[op.Node]++; copies[op.Node] > w.Settings.CopiesPerNode {
				return errors.Newf("%v: %d copies", op, copies[op.Node])
			}
			if copies[from]++; copies[from] > w.Settings.CopiesPerNode {
				return errors.Newf("%v: %d copies from n%d", op, copies[from], from)
			}
		}
	}
	return nil
}

func (w *world) countCopies(copies map[base.NodeID]int, r *Range) {
	for _, p := range r.Replicas {
		if p.Type == Learner && !p.CaughtUp && w.quorate(r) {
			copies[p.Node]++
			copies[w.nodeOf(r, r.Leader)]++
		}
	}
	if r.Pending.Kind == AddLearner && r.Pending.Range == r.ID {
		copies[r.Pending.Node]++
		copies[w.nodeOf(r, r.Leader)]++
	}
}

func (w *world) nodeOf(r *Range, id base.ReplicaID) base.NodeID {
	for _, p := range r.Replicas {
		if p.ID == id {
			return p.Node
		}
	}
	return 0
}

func (w *world) checkOperator(r *Range, op Operator) error {
	voters, types := 0, map[ReplicaType]int{}
	for _, p := range r.Replicas {
		types[p.Type]++
		if p.Type == Voter || p.Type == Incoming {
			voters++
		}
		if p.ID == op.Replica && op.Kind != AddLearner && p.Node != op.Node {
			return errors.New("the replica is on another node")
		}
	}
	want := w.Settings.Replicas
	for _, p := range w.Pins {
		if p.Replicas != 0 && p.Span.Contains(r.Span.Start) {
			want = p.Replicas
		}
	}
	joint := types[Incoming]+types[Outgoing] > 0
	switch {
	case !w.quorate(r):
		return errors.New("no quorum is live")
	case joint && op.Kind != LeaveJoint && op.Kind != TransferLeader:
		return errors.New("the configuration is joint")
	case types[Learner] > 0 && (op.Kind == AddLearner || op.Kind == Split || op.Kind == Merge):
		return errors.New("there is a learner already")
	case op.Kind == AddLearner && op.Replica != r.NextReplica:
		return errors.New("the id is not the next one")
	case op.Kind == AddLearner && w.holds(r, op.Node):
		return errors.New("the node has a replica")
	case op.Kind == AddLearner && w.node(op.Node).Liveness != Up:
		return errors.New("the node is not up")
	case op.Kind == Promote && op.Replaces == 0 && voters > want:
		return errors.New("too many voters")
	case (op.Kind == RemoveReplica && op.Replica == r.Leader) || (op.Kind == Promote && op.Replaces == r.Leader):
		return errors.New("the leader would be removed")
	}
	if op.Kind == RemoveReplica && typeOf(r, op.Replica) == Voter && voters <= min(want, 3) {
		return errors.New("too few voters")
	}
	after := *r
	after.Replicas = slices.Clone(r.Replicas)
	if op.Kind == Promote || op.Kind == RemoveReplica || op.Kind == LeaveJoint {
		if err := newWorldLike(w).carryOut(&after, op); err != nil {
			return err
		}
		if !w.quorate(&after) {
			return errors.New("the quorum would be lost")
		}
	}
	return nil
}

// newWorldLike is a world in which an operator can be tried.
func newWorldLike(w *world) *world {
	t := newWorld(0)
	t.Now, t.Nodes = w.Now, w.Nodes
	return t
}

func (w *world) holds(r *Range, node base.NodeID) bool {
	return slices.ContainsFunc(r.Replicas, func(p Replica) bool { return p.Node == node })
}

func typeOf(r *Range, id base.ReplicaID) ReplicaType {
	for _, p := range r.Replicas {
		if p.ID == id {
			return p.Type
		}
	}
	return 0
}
