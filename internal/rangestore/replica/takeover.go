package replica

import (
	"context"

	"github.com/cockroachdb/errors"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// A merge makes one range of two neighbours, whose voters are on the same nodes.
//
//	right   … │ freeze for (left, epoch) │
//	                                     all voters have the freeze in their logs
//	left    …                            … │ merge at that epoch │ …
//
// From the moment its leader sequences the freeze, the right range serves nothing: no
// reads either, with or without a lease, and no new leader of it does. So whoever
// serves its keys next knows all that was ever read or written there. Its members stay
// as they are, too.
//
// The merge names the right range's log up to an index behind the freeze, which every
// voter has. So each store has that state, and needs no other to make it: a replica that
// has not applied all of it is told by the merge that it is committed. The left
// replica stops the right one of its store and brings it to disk up to there; then the
// two are united in one step, the left one's window included, with a tombstone for the
// right one. Snapshots below the merge's stamp are too old from then on; positions go
// on behind those of both.
//
// A merge is conditional on the left range's epoch, as is everything that changes the
// left range. So a freeze ends in the left range's log: by the merge, or by whatever
// comes first, at the latest a refusal, which raises the epoch and does nothing else.
// Then the right range may be thawed. base.RangeDescriptor.Ends says how everybody
// can tell.

// ErrMerge is answered for a merge that does not fit the ranges.
var ErrMerge = errors.New("merge does not fit the ranges")

// BeginFreeze sequences a freeze, see beginChange.
func (r *Replica) BeginFreeze(f base.Freeze) (base.Ticket, error) {
	return r.beginChange(ErrMerge, func(d *base.RangeDescriptor) (batch.Change, error) {
		if d.Frozen != (base.Freeze{}) {
			return nil, errors.Wrapf(ErrMerge, "range %d is frozen", d.ID)
		}
		return batch.Freeze{For: f, Epoch: d.Epoch}, nil
	})
}

// BeginThaw sequences the end of a freeze. proof is what some range says, or has said,
// of itself, see base.RangeDescriptor.Ends.
func (r *Replica) BeginThaw(proof *base.RangeDescriptor) (base.Ticket, error) {
	return r.beginChange(ErrMerge, func(d *base.RangeDescriptor) (batch.Change, error) {
		if d.Frozen == (base.Freeze{}) || d.Ends(proof) != base.Refused && !r.o.Faults.ThawAtOnce {
			return nil, errors.Wrapf(ErrMerge, "range %d is not frozen, or waits for its left neighbour", d.ID)
		}
		return batch.Thaw{Epoch: d.Epoch}, nil
	})
}

// BeginRefuse sequences the end of all freezes for an epoch, if the range has it still.
func (r *Replica) BeginRefuse(epoch base.Epoch) (base.Ticket, error) {
	return r.beginChange(ErrMerge, func(d *base.RangeDescriptor) (batch.Change, error) {
		if d.Epoch != epoch || d.Frozen != (base.Freeze{}) {
			return nil, errors.Wrapf(ErrMerge, "range %d has epoch %d", d.ID, d.Epoch)
		}
		return batch.Refuse{Epoch: epoch}, nil
	})
}

// Offer is what a frozen range has for its left neighbour: the merge, and its table of
// transactions over several ranges. It is ready when this replica leads and all of its
// log so far is in those of all voters.
func (r *Replica) Offer() (x batch.Merge, table []byte, ready bool) {
	r.seize()
	defer r.release()
	if r.loop.lead == nil || r.loop.desc.Frozen == (base.Freeze{}) || r.loop.yielded {
		return x, nil, false
	}
	ready = true
	r.loop.raft.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		ready = ready && (base.ReplicaID(id) == r.o.Replica || base.LogIndex(pr.Match) >= r.loop.applied)
	})
	term, err := r.o.Log.Group(r.o.Range).Term(r.loop.applied)
	if !ready || err != nil {
		return x, nil, false
	}
	x = batch.Merge{Right: r.loop.desc, Index: r.loop.applied, Term: term, Position: r.loop.position, Stamp: r.loop.stamp,
		Epoch: r.loop.desc.Frozen.Epoch}
	r.mu.Lock()
	defer r.mu.Unlock()
	return x, r.mu.seq.Table().Append(nil), true
}

// BeginMerge sequences a merge with the right neighbour that has offered x and table.
func (r *Replica) BeginMerge(x batch.Merge, table []byte) (base.Ticket, error) {
	right, err := prepared.DecodeTable(table)
	if err != nil {
		return base.Ticket{}, err
	}
	return r.beginChange(ErrMerge, func(d *base.RangeDescriptor) (batch.Change, error) {
		if _, fits := united(d, &x); !fits {
			return nil, errors.Wrapf(ErrMerge, "ranges %d and %d", d.ID, x.Right.ID)
		}
		if err := prepared.Mergeable(r.mu.seq.Table(), right); err != nil {
			return nil, errors.Wrapf(ErrMerge, "ranges %d and %d: %v", d.ID, x.Right.ID, err)
		}
		return x, nil
	})
}

// united is the descriptor of both; fits says whether the merge is still the one that was
// sequenced. Its epoch is above those of both.
func united(d *base.RangeDescriptor, x *batch.Merge) (both base.RangeDescriptor, fits bool) {
	r := &x.Right
	if d.Epoch != x.Epoch || r.Frozen != (base.Freeze{Left: d.ID, Epoch: x.Epoch}) || d.Frozen != (base.Freeze{}) ||
		!Neighbours(d, r) {
		return *d, false
	}
	both = *d
	both.Epoch = max(d.Epoch, r.Epoch) + 1
	both.Span.End, both.EndEpoch = r.Span.End, r.EndEpoch
	return both, true
}

// Neighbours reports whether two ranges may be merged: they touch, and their replicas are
// voters on the same nodes.
func Neighbours(left, right *base.RangeDescriptor) bool {
	if left.Span.Empty() || string(left.Span.End) != string(right.Span.Start) || len(left.Replicas) != len(right.Replicas) {
		return false
	}
	for _, m := range left.Replicas {
		if o, found := right.On(m.Node); !found || m.Role != base.Voter || o.Role != base.Voter {
			return false
		}
	}
	return true
}

// Union is a merge on its way to disk.
type Union struct {
	Slice *window.Eviction
	State State // of both
	Right base.RangeDescriptor
}

// applyMerge applies a batch that ends with a merge.
func (r *Replica) applyMerge(ctx context.Context, index base.LogIndex, x *batch.Merge, h batch.Header, data []byte) error {
	both, fits := united(&r.loop.desc, x)
	if err := r.applyBatch(index, h, data); err != nil {
		return err
	}
	if !fits {
		r.setBounds(r.loop.desc.Span)
		return nil
	}
	if h.Stamp <= x.Stamp {
		return errors.AssertionFailedf("merge %d has stamp %d, the right range had %d", index, h.Stamp, x.Stamp)
	}
	r.mu.Lock()
	r.mu.cutting = true
	r.mu.Unlock()
	right, err := r.o.Disk.Take(ctx, x)
	if err != nil {
		return errors.Wrapf(err, "merge %d: taking range %d over", index, x.Right.ID)
	}
	u := &Union{State: State{Range: both, Position: max(h.Last(), x.Position)}, Right: x.Right}
	if u.State.Table, err = r.uniteTables(right.Table); err != nil {
		return errors.Wrapf(err, "merge %d", index)
	}
	if err := r.evictUpTo(index, func(ev *window.Eviction, s *State) error {
		s.Range, s.Table, s.Position = both, u.State.Table, u.State.Position
		u.Slice, u.State = ev, *s
		return r.withRoom(ctx, func() error { return r.o.Disk.Merge(u) })
	}); err != nil {
		return err
	}
	r.setDescriptor(both, index)
	if err := r.keepBoth(u); err != nil {
		return err
	}
	return errors.Wrap(r.withRoom(ctx, func() error { return r.o.Disk.Retire(x.Right.ID) }), "merge")
}

// uniteTables unites the tables of transactions over several ranges.
func (r *Replica) uniteTables(other []byte) ([]byte, error) {
	right := prepared.New()
	if len(other) > 0 && !r.o.Faults.ForgetRightTable {
		var err error
		if right, err = prepared.DecodeTable(other); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	both, err := prepared.Merge(r.mu.seq.Table(), right)
	if err != nil {
		return nil, err
	}
	return both.Append(nil), nil
}

// keepBoth leaves the range both.
func (r *Replica) keepBoth(u *Union) error {
	r.loop.position = u.State.Position
	r.mu.Lock()
	r.mu.position = u.State.Position
	r.mu.seq.Skip(u.State.Position)
	r.mu.seq.SetBounds(u.State.Range.Span)
	r.mu.bounds++
	r.mu.cutting = false
	r.mu.watches.endFeedsLocked() // they are about a part of it
	err := r.loadTableLocked(u.State.Table)
	r.room.Broadcast()
	r.mu.Unlock()
	if r.loop.lead != nil {
		r.loop.woken = r.loop.lead.advance(u.State.Position, r.loop.woken)
	}
	return err
}

// Yield brings the replica to disk as of a merge that its left neighbour makes, and
// makes it do nothing from then on. It goes on being asked, and lets wait, until Yielded.
func (r *Replica) Yield(ctx context.Context, x *batch.Merge) (State, error) {
	r.seize()
	defer r.release()
	r.loop.yielded = true
	r.forgetSleep()
	if err := r.catchUp(ctx, x); err != nil {
		return State{}, err
	}
	if err := r.withRoom(ctx, r.Settle); err != nil {
		return State{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.mu.onDisk
	if s.Range.Epoch != x.Right.Epoch || s.Range.Frozen != x.Right.Frozen || s.Position != x.Position || s.Stamp != x.Stamp || s.Applied < x.Index {
		return s, errors.AssertionFailedf("range %d is at %d, position %d, stamp %d, epoch %d; the merge expects %d, %d, %d, %d", x.Right.ID,
			s.Applied, s.Position, s.Stamp, s.Range.Epoch, x.Index, x.Position, x.Stamp, x.Right.Epoch)
	}
	return s, nil
}

// seize takes the place of the loop; release gives it back.
func (r *Replica) seize() {
	if r.o.Pause == nil {
		r.driving.Lock()
		return
	}
	for r.loop.stepping {
		r.pause(PointNoRoom)
	}
	r.loop.stepping = true
}

func (r *Replica) release() {
	r.loop.stepping = false
	if r.o.Pause == nil {
		r.driving.Unlock()
	}
}

// catchUp applies what is committed because the merge says so: nobody else may be left
// who could tell.
func (r *Replica) catchUp(ctx context.Context, x *batch.Merge) error {
	group := r.o.Log.Group(r.o.Range)
	if r.loop.applied < x.Index {
		if term, err := group.Term(x.Index); err != nil || term != x.Term {
			return errors.CombineErrors(err, errors.AssertionFailedf("entry %d of range %d has term %d, not %d", x.Index, r.o.Range, term, x.Term))
		}
	}
	for r.loop.applied < x.Index {
		entries, err := group.Entries(nil, r.loop.applied+1, x.Index+1, replayBytes)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := r.apply(ctx, &pb.Entry{Term: new(uint64(e.Term)), Index: new(uint64(e.Index)),
				Type: pb.EntryType(e.Type).Enum(), Data: e.Data}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Yielded tells those who wait that the left neighbour has their keys.
func (r *Replica) Yielded() {
	r.seize()
	defer r.release()
	r.mu.Lock()
	r.mu.yielded = true
	r.mu.Unlock()
	r.Stop()
}
