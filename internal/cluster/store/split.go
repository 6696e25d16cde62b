package store

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// A split on disk, in this order:
//
//	1  a lifecycle record, durable: the right side is about to come
//	2  one batch of the state, made durable: the window's last slice, the states of
//	   both sides, the right side's copy of the range-local rows
//	3  the right side's log begins at its first index, the record is released, durable
//	4  the right side's replica is opened
//
// A crash before 2 is durable leaves the left side's log to be replayed, the split in
// it included; the record is released. A crash after it leaves a right side without a
// log, which the record excuses and finishes (Store.lifecycle): to the log the right
// side is a snapshot that was installed.

// Split implements replica.Disk.
func (d *disk) Split(c *replica.Cut) (err error) {
	c.Right.Applied, c.Right.Readable, c.Right.Received = firstIndex, firstIndex, true
	right := c.Right.Range
	turn := d.store.turn(right.ID)
	turn.Lock()
	defer func() {
		if err != nil || c.Bare {
			turn.Unlock() // the store does it when the replica is born
		}
	}()
	if !c.Bare {
		if c.Bare, err = d.store.wasHere(right); err != nil {
			return err
		}
	}
	if !c.Bare {
		mark := raftlog.Mark{Index: firstIndex, Term: firstTerm}
		if c.Step, err = d.log.AppendLifecycle(right.ID, raftlog.LifecycleSplit, appendMark(nil, mark)); err != nil {
			return err
		}
		if err := d.log.Flush(); err != nil {
			return err
		}
		if err := d.store.makeWay(right.ID); err != nil {
			return err
		}
	}
	return d.storeSplit(c)
}

// storeSplit is step 2. Without a replica of the right side its rows go.
func (d *disk) storeSplit(c *replica.Cut) (err error) {
	b := d.state.NewBatch()
	defer func() { err = errors.CombineErrors(err, b.Close()) }()
	d.put(b, c.Slice)
	b.SetRangeState(d.id, encodeState(c.Left, 0))
	b.SetRangeTable(d.id, c.Left.Table)
	spans := rangeParts(c.Right.Range)
	if c.Bare {
		for _, span := range spans {
			b.DeleteRange(span)
		}
	} else {
		rows, err := d.localRows(c)
		if err != nil {
			return err
		}
		other := disk{id: c.Right.Range.ID}
		for _, p := range rows {
			b.Set(other.stored(p.Key), p.Value)
		}
		b.SetRangeState(other.id, encodeState(c.Right, firstTerm))
		b.SetRangeTable(other.id, c.Right.Table)
	}
	if err := d.state.Apply(b); err != nil {
		return err
	}
	d.table = c.Left.Table
	d.cache(c.Slice)
	d.rows.InvalidateSpan(spans[0])
	if c.Bare {
		d.rows.InvalidateSpan(spans[1])
	}
	return d.state.Flush()
}

// localRows are the range-local rows as they will be with the slice.
func (d *disk) localRows(c *replica.Cut) ([]base.KeyValue, error) {
	rows := map[string][]byte{}
	if _, err := d.scan(localPart(d.id), false, func(key, value []byte) bool {
		rows[string(d.named(key))] = bytes.Clone(value)
		return true
	}); err != nil {
		return nil, err
	}
	for _, span := range c.Slice.Clears {
		for key := range rows {
			if span.Contains([]byte(key)) {
				delete(rows, key)
			}
		}
	}
	for _, p := range c.Slice.Pairs {
		if !isLocal(p.Key) {
			continue
		}
		if p.Value == nil {
			delete(rows, string(p.Key))
		} else {
			rows[string(p.Key)] = p.Value
		}
	}
	out := make([]base.KeyValue, 0, len(rows))
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, base.KeyValue{Key: []byte(key), Value: rows[key]})
	}
	return out, nil
}

// Seat implements replica.Disk.
func (d *disk) Seat(c *replica.Cut) error {
	if c.Bare {
		return nil
	}
	return finishInstall(d.log, c.Right.Range.ID, raftlog.Mark{Index: firstIndex, Term: firstTerm}, c.Step)
}

// Split cuts the range id, which this node must lead, at key; the right side becomes the
// range right. When it returns, both sides are there and the split is committed.
func (s *Store) Split(ctx context.Context, id base.RangeID, key []byte, right base.RangeID) (left, split base.RangeDescriptor, err error) {
	r := s.Replica(id)
	if r == nil {
		return left, split, errors.Wrapf(base.ErrUnavailable, "range %d is not here", id)
	}
	if s.Replica(right) != nil {
		return left, split, errors.Wrapf(replica.ErrSplit, "range %d is here already", right)
	}
	r.AwaitBorn()
	ticket, err := r.BeginSplit(key, right)
	if err == nil {
		err = ticket.Wait()
	}
	if err == nil {
		err = r.AwaitChange(ctx)
	}
	if err != nil {
		return left, split, err
	}
	other := s.Replica(right)
	if other == nil {
		return left, split, errors.Wrap(replica.ErrSplit, "the range has changed meanwhile")
	}
	return r.Descriptor(), other.Descriptor(), nil
}

// wasHere reports whether this node's replica of a range was here, and was removed: it
// does not come again under the same id.
func (s *Store) wasHere(d base.RangeDescriptor) (bool, error) {
	self, _ := d.On(s.id.Node)
	return s.buried(d.ID, self.Replica)
}

// makeWay stops a replica of a range that is about to be born: its leader was faster,
// and it has nothing but promises, which stay in the log.
func (s *Store) makeWay(id base.RangeID) error {
	r := s.Replica(id)
	if r == nil {
		return nil
	}
	if d := r.Descriptor(); !d.Span.Empty() {
		return errors.AssertionFailedf("range %d is here, and is to be split off again", id)
	}
	s.forget(id)
	return nil
}

// born opens the replica of a split's right side.
func (s *Store) born(right replica.State, leads bool) error {
	id := right.Range.ID
	defer s.turn(id).Unlock()
	self, _ := right.Range.On(s.id.Node)
	r, err := s.openReplica(id, self.Replica, right, true)
	if err != nil {
		return err
	}
	s.arrange()
	if leads || len(right.Range.Replicas) == 1 {
		err = r.TakeLead()
	}
	if err == nil && !s.o.Manual {
		s.run(r)
	}
	return err
}
