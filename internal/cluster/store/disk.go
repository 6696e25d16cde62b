package store

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/window"
	"github.com/stratadb/strata/internal/storage/lsm"
	"github.com/stratadb/strata/internal/storage/rowcache"
)

// disk is a range's state: Pebble with the row cache in front. What its filter
// knows to be absent is not cached.
type disk struct {
	state   *lsm.Store
	rows    *rowcache.Cache
	id      base.RangeID
	payload []byte // of the range state: the descriptor
}

var _ replica.Disk = (*disk)(nil)

func (d *disk) Cached(dst, key []byte) ([]byte, bool) {
	value, state := d.rows.Get(key, dst)
	switch state {
	case rowcache.Hit:
		if value == nil {
			value = []byte{}
		}
		return value, true
	case rowcache.Absent:
		return nil, true
	}
	return nil, d.state.Absent(key)
}

func (d *disk) Get(key []byte) ([]byte, error) {
	token := d.rows.Begin(key)
	value, found, err := d.state.Get(key)
	if err != nil {
		return nil, err
	}
	d.rows.Fill(key, value, found, token)
	if found && value == nil {
		value = []byte{}
	}
	return value, nil
}

func (d *disk) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) (err error) {
	it, err := d.state.NewIterator(span)
	if err != nil {
		return err
	}
	defer func() { err = errors.CombineErrors(err, it.Close()) }()
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		value, err := it.Value()
		if err != nil {
			return err
		}
		if !visit(it.Key(), value) {
			return nil
		}
	}
	return it.Err()
}

func (d *disk) Write(ev *window.Eviction, s replica.State) (err error) {
	b := d.state.NewBatch()
	defer func() { err = errors.CombineErrors(err, b.Close()) }()
	for _, span := range ev.Clears {
		b.DeleteRange(span)
	}
	for i := range ev.Pairs {
		if p := &ev.Pairs[i]; p.Value != nil {
			b.Set(p.Key, p.Value)
		} else {
			b.Delete(p.Key)
		}
	}
	b.SetRangeState(d.id, lsm.RangeState{Applied: s.Applied, Position: s.Position, Stamp: s.Stamp,
		ReadableFrom: s.Readable, Payload: d.payload})
	if err := d.state.Apply(b); err != nil {
		return err
	}
	for _, span := range ev.Clears {
		d.rows.InvalidateSpan(span)
	}
	for i := range ev.Pairs {
		p := &ev.Pairs[i]
		d.rows.Update(p.Key, p.Value, p.Value != nil)
	}
	return nil
}
