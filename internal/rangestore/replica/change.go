package replica

import (
	"context"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
)

// A change of the range itself, a split or a step of a merge, is the last transaction
// of a batch. Nothing is sequenced behind it before it is applied. It was made for one
// epoch of the range; if the range has another one then, because a membership change
// came in between, it does nothing, on every replica.

// beginChange sequences the change that fits the range as it is. It is over when
// AwaitChange returns; Descriptor shows whether it was done.
func (r *Replica) beginChange(refused error, change func(*base.RangeDescriptor) (batch.Change, error)) (base.Ticket, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.mu.tenure != nil && (r.mu.leaving || r.mu.seq.Busy() || r.changingLocked()) {
		if r.o.Manual {
			return base.Ticket{}, errors.Wrap(refused, "another change of the range, or of its leader, is under way")
		}
		r.signal()
		r.room.Wait()
	}
	if r.mu.tenure == nil {
		return base.Ticket{}, base.ErrUnavailable
	}
	if joint(&r.mu.desc) {
		return base.Ticket{}, errors.Wrap(refused, "a membership change is under way")
	}
	c, err := change(&r.mu.desc)
	if err != nil {
		return base.Ticket{}, err
	}
	pos, err := r.mu.seq.Change(c)
	if err != nil {
		return base.Ticket{}, err
	}
	r.signal()
	return base.Ticket{Log: r.mu.tenure, Pos: pos}, nil
}

// AwaitChange waits until no change of the range is on its way, or ctx ends.
func (r *Replica) AwaitChange(ctx context.Context) error {
	if r.o.Manual {
		r.pauseChange()
		return nil
	}
	stop := context.AfterFunc(ctx, r.room.Broadcast)
	defer stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.mu.tenure != nil && r.changingLocked() && ctx.Err() == nil {
		r.room.Wait()
	}
	return ctx.Err()
}

// changingLocked: a change was sequenced, and is not done.
func (r *Replica) changingLocked() bool { return r.mu.seq.Changing() || r.mu.cutting }

// withheldLocked: besides, the range may be frozen.
func (r *Replica) withheldLocked() bool { return r.changingLocked() || r.mu.seq.Frozen() }

// applyRangeChange applies a batch that ends with a change of the range.
func (r *Replica) applyRangeChange(ctx context.Context, index base.LogIndex, h batch.Header, data []byte) error {
	c, err := batch.DecodeChange(data)
	if err != nil {
		return errors.Wrapf(err, "entry %d", index)
	}
	r.alter(true)
	defer r.alter(false)
	r.lockEviction() // the batch leaves the window with the descriptor behind it
	defer r.unlockEviction()
	switch x := c.(type) {
	case batch.Split:
		return r.applySplit(ctx, index, &x, h, data)
	case batch.Merge:
		return r.applyMerge(ctx, index, &x, h, data)
	}
	if err := r.applyBatch(index, h, data); err != nil {
		return err
	}
	d := r.loop.desc
	if turned := turn(&d, c); turned {
		r.setDescriptor(d, index)
	}
	r.mu.Lock()
	r.mu.seq.SetFrozen(d.Frozen != base.Freeze{})
	r.mu.watches.endFeedsLocked()
	r.room.Broadcast()
	r.mu.Unlock()
	return nil
}

// alter says whether what the replica holds is being changed, so that nobody reads what
// is neither the old nor the new.
func (r *Replica) alter(begins bool) {
	r.mu.Lock()
	r.mu.altering = begins
	r.mu.Unlock()
}

// turn makes a change that needs no other range, if it is still the one that was
// sequenced.
func turn(d *base.RangeDescriptor, c batch.Change) bool {
	frozen := d.Frozen != base.Freeze{}
	next := base.Freeze{}
	switch x := c.(type) {
	case batch.Freeze:
		if x.Epoch != d.Epoch || frozen || joint(d) {
			return false
		}
		next = x.For
	case batch.Thaw:
		if x.Epoch != d.Epoch || !frozen {
			return false
		}
	case batch.Refuse:
		if x.Epoch != d.Epoch || frozen {
			return false
		}
	}
	d.Frozen = next
	d.Epoch++
	return true
}
