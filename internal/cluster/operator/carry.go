package operator

import (
	"context"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/placement"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Store is what operators are carried out on.
type Store interface {
	Replica(base.RangeID) *replica.Replica
	Split(ctx context.Context, id base.RangeID, key []byte, right base.RangeID) (left, split base.RangeDescriptor, err error)
	Merge(ctx context.Context, left, right base.RangeID) (both base.RangeDescriptor, err error)
}

// Carry carries out an operator on a range that this node leads. An epoch of zero is any;
// otherwise the operator is void once the range has changed. Membership and leadership
// have only begun to change when it returns; a split or a merge is done.
func Carry(ctx context.Context, s Store, op placement.Operator) (remote.Done, error) {
	r := s.Replica(op.Range)
	if r == nil || !r.Serving() {
		other := &remote.NotLeader{}
		if r != nil {
			other.Leader = r.Leader()
		}
		return remote.Done{}, other
	}
	if d := r.Descriptor(); op.Epoch != 0 && d.Epoch != op.Epoch {
		return remote.Done{}, errors.Wrapf(remote.ErrRefused, "range %d has epoch %d, not %d", op.Range, d.Epoch, op.Epoch)
	}
	var done remote.Done
	var err error
	switch op.Kind {
	case placement.AddLearner:
		err = r.ChangeMembers(replica.Change{Kind: replica.AddLearner, Replica: op.Replica, Node: op.Node})
	case placement.Promote:
		steps := []replica.Change{{Kind: replica.Promote, Replica: op.Replica}}
		if op.Replaces != 0 {
			steps = append(steps, replica.Change{Kind: replica.Remove, Replica: op.Replaces})
		}
		err = r.ChangeMembers(steps...)
	case placement.RemoveReplica:
		err = r.ChangeMembers(replica.Change{Kind: replica.Remove, Replica: op.Replica})
	case placement.TransferLeader:
		err = transfer(r, &op)
	case placement.LeaveJoint:
		// Raft leaves it by itself.
	case placement.Split:
		done.Left, done.Right, err = s.Split(ctx, op.Range, op.Key, op.Right)
	case placement.Merge:
		done.Left, err = s.Merge(ctx, op.Range, op.Right)
	default:
		err = errors.Wrapf(remote.ErrRefused, "%v is not known here", op.Kind)
	}
	if errors.IsAny(err, replica.ErrChange, replica.ErrBehind, replica.ErrSplit, replica.ErrMerge) {
		err = errors.Mark(err, remote.ErrRefused)
	}
	return done, err
}

// transfer hands the leadership to a replica, or to the one on a node.
func transfer(r *replica.Replica, op *placement.Operator) error {
	to := op.Replica
	if to == 0 {
		d := r.Descriptor()
		m, found := d.On(op.Node)
		if !found {
			return errors.Wrapf(remote.ErrRefused, "node %d holds no replica of the range", op.Node)
		}
		to = m.Replica
	}
	if _, self := r.ID(); self == to {
		return nil
	}
	return r.TransferLeader(to)
}
