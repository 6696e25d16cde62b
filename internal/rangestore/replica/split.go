package replica

import (
	"bytes"
	"context"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/rangestore/batch"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// A split is the last transaction of a batch. The leader holds the left side only from
// the moment it sequences it, so that everything the right side ever was is before it
// in the log. Whoever touches the right side meanwhile waits, and is sent on.
//
// Applying it moves the whole window to disk, together with the states of both
// sides, in one step; then the right side's log begins and its replica is opened.
// The lifecycle record that the disk writes first makes that one step, too, when it
// is interrupted. Snapshots below the split's stamp are too old from then on.
//
// Nothing is sequenced behind the split before it is applied, on either side.
//
// A membership change that is applied between sequencing and applying makes the split
// void (its epoch is not the range's any more), and so does a lock that cannot be cut:
// the right side comes back.

// ErrSplit is answered for a split that does not fit the range.
var ErrSplit = errors.New("split does not fit the range")

// BeginSplit sequences a split: the keys from key on become the range right. It is
// over when AwaitChange returns; Descriptor shows whether it was done.
func (r *Replica) BeginSplit(key []byte, right base.RangeID) (base.Ticket, error) {
	return r.beginChange(ErrSplit, func(d *base.RangeDescriptor) (batch.Change, error) {
		switch {
		case d.Frozen != base.Freeze{}:
			return nil, errors.Wrap(ErrSplit, "the range is being merged")
		case !splits(d, key):
			return nil, errors.Wrapf(ErrSplit, "key %s", keyspace.Pretty(key))
		}
		return batch.Split{Key: key, Right: right, Epoch: d.Epoch}, nil
	})
}

// splits reports whether key may divide the range: it lies strictly inside, and behind
// what stays together (keyspace.SplitMin).
func splits(d *base.RangeDescriptor, key []byte) bool {
	return d.Span.Contains(key) && !bytes.Equal(key, d.Span.Start) && bytes.Compare(key, keyspace.SplitMin()) >= 0
}

func joint(d *base.RangeDescriptor) bool {
	return slices.ContainsFunc(d.Replicas, func(m base.ReplicaDescriptor) bool { return m.Role > base.Learner })
}

// sides are the descriptors of both sides; fits says whether the split is still the
// one that was sequenced.
func sides(d base.RangeDescriptor, x *batch.Split) (left, right base.RangeDescriptor, fits bool) {
	if d.Epoch != x.Epoch || !splits(&d, x.Key) || joint(&d) {
		return d, right, false
	}
	left, right = d, d
	left.Epoch++
	left.Span.End = bytes.Clone(x.Key)
	right.ID, right.Epoch, right.Parent = x.Right, left.Epoch, d.ID
	right.Span.Start = left.Span.End
	left.EndEpoch = left.Epoch
	right.Replicas = slices.Clone(d.Replicas)
	return left, right, true
}

// applySplit applies a batch that ends with a split.
func (r *Replica) applySplit(ctx context.Context, index base.LogIndex, x *batch.Split, h batch.Header, data []byte) error {
	left, right, fits := sides(r.loop.desc, x)
	err := r.applyBatch(index, h, data)
	if err != nil {
		return err
	}
	c := &Cut{Left: State{Range: left}, Right: State{Range: right, Position: h.Last(), Stamp: h.Stamp}}
	if fits {
		fits, err = r.splitTable(c.Right.Range.Span.Start, c)
	}
	if !fits || err != nil {
		r.setBounds(r.loop.desc.Span)
		return err
	}
	if _, held := right.Replica(r.o.Replica); !held {
		c.Bare = true
	}
	if err := r.evictCut(ctx, index, c); err != nil {
		return err
	}
	r.setDescriptor(left, index)
	if err := r.keepLeft(c); err != nil {
		return err
	}
	if err := r.withRoom(ctx, func() error { return r.o.Disk.Seat(c) }); err != nil {
		return errors.Wrap(err, "split")
	}
	if !c.Bare {
		if err := r.o.Born(c.Right, r.loop.lead != nil); err != nil {
			return err
		}
	}
	r.moved()
	r.mu.Lock()
	r.mu.cutting = false
	r.room.Broadcast()
	r.mu.Unlock()
	return nil
}

// splitTable cuts the table of transactions over several ranges. It may be impossible.
func (r *Replica) splitTable(at []byte, c *Cut) (fits bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left, right, err := r.mu.seq.Table().Split(at)
	if errors.Is(err, prepared.ErrUnsplittable) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.Left.Table, c.Right.Table = left.Append(nil), right.Append(nil)
	r.mu.cutting = true
	return true, nil
}

// evictCut moves the whole window to disk, and with the last slice, which ends with
// the split, both states.
func (r *Replica) evictCut(ctx context.Context, index base.LogIndex, c *Cut) error {
	return r.evictUpTo(index, func(ev *window.Eviction, s *State) error {
		s.Range, s.Table = c.Left.Range, c.Left.Table
		c.Slice, c.Left = ev, *s
		return r.withRoom(ctx, func() error { return r.o.Disk.Split(c) })
	})
}

// evictUpTo moves the whole window to disk, which ends with the entry index, and the
// last slice by way of last.
func (r *Replica) evictUpTo(index base.LogIndex, last func(*window.Eviction, *State) error) error {
	r.mu.Lock()
	r.mu.win.Seal()
	r.mu.Unlock()
	done := false
	for more := true; more; {
		var err error
		more, err = r.evictOldest(func(ev *window.Eviction, s *State) error {
			if ev.Applied != index {
				return r.write(ev, s)
			}
			done = true
			return last(ev, s)
		})
		if err != nil {
			return err
		}
	}
	if !done {
		return errors.AssertionFailedf("entry %d was not in the window", index)
	}
	return nil
}

// setBounds makes the range hold span, and wakes who waited for that.
func (r *Replica) setBounds(span base.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.seq.SetBounds(span)
	r.room.Broadcast()
}

// keepLeft leaves the range the left side. Whoever waits is woken when the right side
// has its replica.
func (r *Replica) keepLeft(c *Cut) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.seq.SetBounds(c.Left.Range.Span)
	r.mu.bounds++
	r.mu.watches.movedLocked(r.mu.seq.Holds)
	return r.loadTableLocked(c.Left.Table)
}

func (r *Replica) moved() {
	if r.o.Moved != nil {
		r.o.Moved()
	}
}

// stray is what becomes of an attempt at a key that the range does not hold.
func (a *Attempt) stray(key []byte) error {
	if a.r.o.Faults.ServeFrozen && a.r.mu.desc.Span.Contains(key) {
		return nil
	}
	return a.awaitHold(func() bool { return a.r.mu.seq.Holds(key) })
}

func (a *Attempt) straySpan(span base.Span) error {
	if a.r.o.Faults.ServeFrozen && a.r.mu.desc.Span.Overlaps(span) {
		return nil
	}
	return a.awaitHold(func() bool { return a.r.mu.seq.HoldsSpan(span) })
}

// awaitHold waits while a change of the range is on its way, or the range is frozen: what
// that takes away is served by nobody before it is done. Then the range holds it again,
// or never will.
func (a *Attempt) awaitHold(holds func() bool) error {
	if a.r.o.Faults.IgnoreBounds {
		return nil
	}
	for a.r.mu.tenure == a.ten && a.r.withheldLocked() && !holds() {
		a.held, a.split = true, true
		switch {
		case a.prompt:
			a.unlock()
			return base.ErrWouldWait
		case !a.r.o.Manual:
			a.r.signal()
			a.r.room.Wait()
		case a.r.o.Pause != nil:
			a.unlock()
			a.r.pause(PointNoRoom)
			a.r.mu.Lock()
			a.locked = true
		default:
			a.unlock()
			return base.ErrWrongRange
		}
	}
	switch {
	case a.r.mu.tenure != a.ten || a.bounds != a.r.mu.bounds:
		a.unlock()
		return base.ErrConflict // the state it was based on is gone; try again
	case !holds():
		a.unlock()
		return base.ErrWrongRange
	}
	return nil
}

// favoured is for how many ticks a replica made by a split tries to take the lead
// again and again: the others may not exist yet when it asks them first.
const favoured = 4 * electionTicks

// TakeLead makes a replica that was just made by a split try to lead, as the leader
// of what it was split from should. It is called before Start.
func (r *Replica) TakeLead() error {
	r.loop.eager = favoured
	return r.Campaign()
}

// lead is called at every tick.
func (r *Replica) lead() {
	if r.loop.eager == 0 {
		return
	}
	r.loop.eager--
	if r.loop.raft.BasicStatus().Lead != 0 {
		r.loop.eager = 0
	} else if r.loop.eager%2 == 0 {
		_ = r.loop.raft.Campaign() // refused once it is of no use
	}
}
