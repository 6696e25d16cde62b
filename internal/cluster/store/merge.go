package store

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/batch"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/storage/lsm"
)

// A merge on disk, in this order:
//
//	1  the right side's window and last index, as any eviction writes them
//	2  one batch of the state, made durable: the left side's last slice, the state of
//	   both, the range-local rows of both, a tombstone for the right side
//	3  the right side's log is removed
//
// A crash before 2 is durable leaves the left side's log to be replayed, the merge in it
// included, over a right side that is still there. After it, the right side is a log
// without a state, which every start removes. So no lifecycle record is needed: what is
// to be done about the log follows from the state alone.

// Take implements replica.Disk.
func (d *disk) Take(ctx context.Context, x *batch.Merge) (replica.State, error) {
	turn := d.store.turn(x.Right.ID)
	turn.Lock() // until Retire
	r := d.store.Replica(x.Right.ID)
	if r == nil {
		turn.Unlock()
		return replica.State{}, errors.AssertionFailedf("range %d is to be merged and has no replica here", x.Right.ID)
	}
	state, err := r.Yield(ctx, x)
	if err != nil {
		turn.Unlock()
	}
	return state, err
}

// Merge implements replica.Disk.
func (d *disk) Merge(u *replica.Union) (err error) {
	b := d.state.NewBatch()
	defer func() { err = errors.CombineErrors(err, b.Close()) }()
	if err := d.uniteLocal(b, u.Right.ID); err != nil {
		return err
	}
	d.put(b, u.Slice)
	bury(b, u.Right.ID)
	b.SetRangeState(d.id, encodeState(u.State, 0))
	b.SetRangeTable(d.id, u.State.Table)
	if err := d.state.Apply(b); err != nil {
		return err
	}
	d.table = u.State.Table
	d.cache(u.Slice)
	for _, id := range []base.RangeID{d.id, u.Right.ID} {
		d.rows.InvalidateSpan(localPart(id))
	}
	return d.state.Flush()
}

// uniteLocal moves the range-local rows of another range to this one's. Those that are
// here stay: a split has made them the same.
func (d *disk) uniteLocal(b *lsm.Batch, other base.RangeID) error {
	from := disk{id: other}
	var failed error
	_, err := d.scan(localPart(other), false, func(key, value []byte) bool {
		own := d.stored(bytes.Clone(from.named(key)))
		var found bool
		if _, found, failed = d.state.Get(own); !found {
			b.Set(own, value)
		}
		return failed == nil
	})
	b.DeleteRange(localPart(other))
	return errors.CombineErrors(err, failed)
}

// bury puts a tombstone in place of the state of a range that was merged.
func bury(b *lsm.Batch, id base.RangeID) {
	b.DeleteRangeState(id)
	b.SetRangeState(id, encodeState(buryMerged(id), 0))
}

// Retire implements replica.Disk.
func (d *disk) Retire(right base.RangeID) error {
	s := d.store
	if r := s.Replica(right); r != nil {
		s.o.Log.Info("range is merged", "range", d.id, "right", right)
		stop := s.remove(right) // now the left side is found
		r.Yielded()
		if stop != nil {
			stop()
		}
		s.turn(right).Unlock()
	}
	if err := d.log.Remove(right); err != nil {
		return err
	}
	return d.log.Flush()
}

// supersede stops the replicas of which a snapshot of d proves that their ranges were
// merged. giveBack is called when they are gone, or not.
func (s *Store) supersede(d *base.RangeDescriptor) (list []base.RangeDescriptor, giveBack func()) {
	var turns []*sync.Mutex
	for _, r := range s.Replicas() {
		o := r.Descriptor()
		if !o.Superseded(d) || !o.Span.Overlaps(d.Span) {
			continue
		}
		turn := s.turn(o.ID)
		turn.Lock()
		turns = append(turns, turn)
		if s.Replica(o.ID) == r {
			s.o.Log.Info("range was merged", "range", d.ID, "right", o.ID)
			s.forget(o.ID)
			list = append(list, r.Descriptor())
		}
	}
	return list, func() {
		for _, turn := range turns {
			turn.Unlock()
		}
	}
}

// wanted reports whether a merge that is still to be applied here may need a replica: its
// left neighbour is here, and does not know of one.
func (s *Store) wanted(r *replica.Replica) bool {
	d := r.Descriptor()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wantedLocked(&d, nil)
}

// wantedLocked is wanted, but for a left neighbour that a snapshot of by replaces, or makes an end
// of.
func (s *Store) wantedLocked(d, by *base.RangeDescriptor) bool {
	for id, other := range s.mu.ranges {
		x := other.Descriptor()
		if by != nil && (id == by.ID || x.Superseded(by)) {
			continue
		}
		if !x.Span.Empty() && bytes.Equal(x.Span.End, d.Span.Start) && !d.Superseded(&x) {
			return true
		}
	}
	return false
}

const (
	// healEvery is how often ranges are looked for that were left frozen.
	healEvery = 2 * time.Second
	// offerEvery is how often a merge looks whether all replicas have the freeze.
	offerEvery = 2 * time.Millisecond
)

// BeginMerge freezes the range right for its neighbour left; this node must lead both.
// Heal does the rest.
func (s *Store) BeginMerge(left, right base.RangeID) (base.Ticket, error) {
	l, r := s.Replica(left), s.Replica(right)
	if l != nil && r != nil {
		l.AwaitBorn()
		r.AwaitBorn()
	}
	if l == nil || r == nil || !l.Serving() || !r.Serving() {
		return base.Ticket{}, errors.Wrapf(base.ErrUnavailable, "this node does not lead ranges %d and %d", left, right)
	}
	ld, rd := l.Descriptor(), r.Descriptor()
	if !replica.Neighbours(&ld, &rd) {
		return base.Ticket{}, errors.Wrapf(replica.ErrMerge, "%d and %d are no neighbours, or not in the same places", left, right)
	}
	return r.BeginFreeze(base.Freeze{Left: left, Epoch: ld.Epoch})
}

// Merge unites the range left with its right neighbour. This node must lead both.
func (s *Store) Merge(ctx context.Context, left, right base.RangeID) (d base.RangeDescriptor, err error) {
	if !s.lookAfter(right, true) {
		return d, errors.Wrapf(replica.ErrMerge, "range %d is being merged already", right)
	}
	defer s.lookAfter(right, false)
	ticket, err := s.BeginMerge(left, right)
	if err != nil {
		return d, err
	}
	l, r := s.Replica(left), s.Replica(right)
	if l == nil || r == nil {
		return d, base.ErrUnavailable
	}
	if err := await(ctx, r, ticket); err != nil {
		return d, err
	}
	frozen := r.Descriptor()
	if frozen.Frozen.Left != left {
		return d, errors.Wrap(replica.ErrMerge, "the range has changed meanwhile")
	}
	if err = s.unite(ctx, l, r); err == nil {
		if d = l.Descriptor(); bytes.Equal(d.Span.End, frozen.Span.End) {
			return d, nil
		}
		err = errors.Wrap(replica.ErrMerge, "the ranges have changed meanwhile")
	}
	return d, errors.CombineErrors(err, s.undo(ctx, l, r))
}

// lookAfter says whether a caller of Merge looks after a range, and reports whether that
// is new.
func (s *Store) lookAfter(id base.RangeID, merging bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.merging[id] == merging {
		return false
	}
	if merging {
		s.mu.merging[id] = true
	} else {
		delete(s.mu.merging, id)
	}
	return true
}

// await waits for a change of a range.
func await(ctx context.Context, r *replica.Replica, t base.Ticket) error {
	if err := r.Await(t); err != nil {
		return err
	}
	return r.AwaitChange(ctx)
}

// unite sequences the merge when all replicas of the right side have the freeze.
func (s *Store) unite(ctx context.Context, l, r *replica.Replica) error {
	ctx, cancel := context.WithTimeout(ctx, limits.MergeWait)
	defer cancel()
	for {
		x, table, ready := r.Offer()
		switch {
		case ready:
			ticket, err := l.BeginMerge(x, table)
			if err == nil {
				err = await(context.WithoutCancel(ctx), l, ticket)
			}
			return err
		case s.o.Manual || !r.Serving():
			return base.ErrUnavailable
		}
		select {
		case <-ctx.Done():
			return errors.Wrap(replica.ErrMerge, "not all replicas of the right range can be reached")
		case <-s.ctx.Done():
			return base.ErrUnavailable
		case <-time.After(offerEvery):
		}
	}
}

// undo brings the right side back, or leaves that to Heal.
func (s *Store) undo(ctx context.Context, l, r *replica.Replica) error {
	d := r.Descriptor()
	if ticket, err := l.BeginRefuse(d.Frozen.Epoch); err == nil {
		if err := await(ctx, l, ticket); err != nil {
			return err
		}
	}
	x := l.Descriptor()
	if d.Ends(&x) != base.Refused {
		return nil
	}
	ticket, err := r.BeginThaw(&x)
	if err == nil {
		err = await(ctx, r, ticket)
	}
	return err
}

// Heal looks after ranges that were left frozen, once: because their merge was
// interrupted, or because of a crash. A store that runs by itself does it all the time.
// It goes on with the merge if that is possible soon, and ends the freeze otherwise.
// Replicas that others have merged go.
func (s *Store) Heal() {
	var left base.RangeDescriptor
	for _, seat := range *s.table.Load() {
		r, x := seat.r, left
		d := r.Descriptor()
		left = d
		if s.learn(r, &d, &x) {
			continue
		}
		s.mu.Lock()
		since, known := s.mu.frozen[d.ID]
		switch {
		case s.mu.merging[d.ID] || d.Frozen == base.Freeze{} || !r.Serving():
			delete(s.mu.frozen, d.ID)
			s.mu.Unlock()
			continue
		case !known:
			since = s.o.Clock.Elapsed()
			s.mu.frozen[d.ID] = since
		}
		s.mu.Unlock()
		s.heal(r, &d, s.o.Clock.Elapsed()-since > limits.MergeWait)
	}
}

// heal does the next step for a frozen range that this node leads. What it begins may
// have become void by the time: then it is begun again.
func (s *Store) heal(r *replica.Replica, d *base.RangeDescriptor, overdue bool) {
	l := s.Replica(d.Frozen.Left)
	if s.o.Faults.ThawAtOnce {
		_, _ = r.BeginThaw(d)
	}
	switch {
	case l == nil: // it has moved, and so it has refused: others of this range may see that
		self, _ := d.On(s.id.Node)
		i := slices.IndexFunc(d.Replicas, func(m base.ReplicaDescriptor) bool { return m.Replica == self.Replica })
		if next := d.Replicas[(i+1)%len(d.Replicas)]; next.Replica != self.Replica {
			_ = r.TransferLeader(next.Replica)
		}
	case l.Descriptor().Epoch > d.Frozen.Epoch:
	case !l.Serving():
		if to, found := d.On(l.Leader()); found && to.Node != s.id.Node {
			_ = r.TransferLeader(to.Replica)
		}
	case overdue:
		_, _ = l.BeginRefuse(d.Frozen.Epoch)
	default:
		if x, table, ready := r.Offer(); ready {
			_, _ = l.BeginMerge(x, table)
		}
	}
}

// Learn draws the conclusions from what some range says, or has said, of itself: a range
// for which it has refused the merge is thawed, and a replica that was left behind by a
// merge goes.
func (s *Store) Learn(x *base.RangeDescriptor) {
	for _, r := range s.Replicas() {
		d := r.Descriptor()
		s.learn(r, &d, x)
	}
}

// learn reports whether x says anything.
func (s *Store) learn(r *replica.Replica, d, x *base.RangeDescriptor) bool {
	switch d.Ends(x) {
	case base.Open:
		return false
	case base.Refused:
		if r.Serving() {
			_, _ = r.BeginThaw(x) // or the next time
		}
	case base.Merged:
		if !s.wanted(r) {
			s.retireSoon(r)
		}
	}
	return true
}

// Frozen are the ranges that this node leads and that wait for a merge. Who has them may
// know more than the store: see Learn.
func (s *Store) Frozen() (list []base.RangeDescriptor) {
	for _, r := range s.Replicas() {
		if d := r.Descriptor(); d.Frozen != (base.Freeze{}) && r.Serving() {
			list = append(list, d)
		}
	}
	return list
}
