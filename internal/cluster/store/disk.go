package store

import (
	"bytes"
	"encoding/binary"
	"runtime"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/window"
	"github.com/stratadb/strata/internal/storage/lsm"
	"github.com/stratadb/strata/internal/storage/raftlog"
	"github.com/stratadb/strata/internal/storage/rowcache"
)

// disk is a range's state: Pebble with the row cache in front. What its filter
// knows to be absent is not cached.
type disk struct {
	store *Store
	state *lsm.Store
	rows  *rowcache.Cache
	log   *raftlog.Log
	id    base.RangeID
	table []byte // what is stored
}

var _ replica.Disk = (*disk)(nil)

func (d *disk) Cached(dst, key []byte) ([]byte, bool) {
	key = d.stored(key)
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

// Expect implements replica.Disk. Range-local keys are stored under other names, and not
// found in what it fetches.
func (d *disk) Expect(keys [][]byte) (useful bool) { return d.rows.Expect(keys) }

func (d *disk) Get(key []byte) ([]byte, error) {
	key = d.stored(key)
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

func (d *disk) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if !isLocal(span.Start) || d.id == 0 {
		_, err := d.scan(span, reverse, visit)
		return err
	}
	return d.scanParts(span, reverse, visit)
}

// scan visits what is stored in span, until visit ends it.
func (d *disk) scan(span base.Span, reverse bool, visit func(key, value []byte) bool) (ended bool, err error) {
	it, err := d.state.NewIterator(span)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.CombineErrors(err, it.Close()) }()
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		value, err := it.Value()
		if err != nil {
			return false, err
		}
		if !visit(it.Key(), value) {
			return true, nil
		}
	}
	return false, it.Err()
}

func (d *disk) Write(ev *window.Eviction, s replica.State) (err error) {
	b := d.state.NewBatch()
	defer func() { err = errors.CombineErrors(err, b.Close()) }()
	d.put(b, ev)
	b.SetRangeState(d.id, encodeState(s, 0))
	if !bytes.Equal(d.table, s.Table) {
		b.SetRangeTable(d.id, s.Table)
	}
	runtime.Gosched() // nobody waits for an eviction, but others for a processor
	if err := d.state.Apply(b); err != nil {
		return err
	}
	d.table = s.Table
	d.cache(ev)
	return nil
}

// put puts an evicted slice into a batch.
func (d *disk) put(b *lsm.Batch, ev *window.Eviction) {
	for _, span := range ev.Clears {
		for _, part := range d.parts(span) {
			b.DeleteRange(part)
		}
	}
	// In order, each pair's place in Pebble's memtable is near the last one's.
	for _, r := range ascending(ev.Pairs) {
		if p := &ev.Pairs[r.at]; p.Value != nil {
			b.Set(d.stored(p.Key), p.Value)
		} else {
			b.Delete(d.stored(p.Key))
		}
	}
}

// cache tells the row cache of an evicted slice that is stored.
func (d *disk) cache(ev *window.Eviction) {
	for _, span := range ev.Clears {
		for _, part := range d.parts(span) {
			d.rows.InvalidateSpan(part)
		}
	}
	var next [rowcache.ExpectMax][]byte
	for i := range ev.Pairs {
		if i%1024 == 0 {
			runtime.Gosched()
		}
		if i%len(next) == 0 {
			some := ev.Pairs[i:min(i+len(next), len(ev.Pairs))]
			for j := range some {
				next[j] = some[j].Key
			}
			d.rows.Expect(next[:len(some)])
		}
		p := &ev.Pairs[i]
		d.rows.Update(d.stored(p.Key), p.Value, p.Value != nil)
	}
}

func encodeState(s replica.State, term base.Term) lsm.RangeState {
	return lsm.RangeState{Applied: s.Applied, AppliedTerm: term, Position: s.Position, Stamp: s.Stamp,
		ReadableFrom: s.Readable, Payload: s.Range.Append(nil)}
}

func decodeState(st lsm.RangeState) (replica.State, error) {
	d, err := base.DecodeRangeDescriptor(st.Payload)
	return replica.State{Range: d, Applied: st.Applied, Position: st.Position, Stamp: st.Stamp,
		Readable: st.ReadableFrom, Received: st.AppliedTerm != 0}, err
}

// Snapshot implements replica.Disk.
func (d *disk) Snapshot() (_ *replica.Snapshot, err error) {
	snap := d.state.NewSnapshot()
	defer func() { err = errors.CombineErrors(err, snap.Close()) }()
	st, found, err := snap.RangeState(d.id)
	if err != nil || !found {
		return nil, errors.CombineErrors(err, errors.Newf("range %d has no state", d.id))
	}
	out := &replica.Snapshot{}
	if out.State, err = decodeState(st); err != nil {
		return nil, err
	}
	if isTombstone(&out.State) {
		return nil, errors.Newf("range %d was merged", d.id)
	}
	if out.State.Table, err = snap.RangeTable(d.id); err != nil {
		return nil, err
	}
	for _, part := range rangeParts(out.State.Range) {
		if err := d.copyPart(out, snap, part); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// copyPart adds what is stored in a part of the range.
func (d *disk) copyPart(out *replica.Snapshot, snap *lsm.Snapshot, part base.Span) (err error) {
	it, err := snap.NewIterator(part)
	if err != nil {
		return err
	}
	defer func() { err = errors.CombineErrors(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		if err != nil {
			return err
		}
		out.Pairs = append(out.Pairs, base.KeyValue{Key: bytes.Clone(d.named(it.Key())), Value: append([]byte{}, value...)})
	}
	return it.Err()
}

// Install implements replica.Disk. The record in the log says that the state may
// have been replaced and the log not; see Store.lifecycle.
func (d *disk) Install(s *replica.Snapshot) (err error) {
	superseded, giveBack := d.store.supersede(&s.State.Range)
	defer giveBack()
	mark := raftlog.Mark{Index: s.State.Applied, Term: s.Term}
	id, err := d.log.AppendLifecycle(d.id, raftlog.LifecycleSnapshot, appendMark(nil, mark))
	if err == nil {
		err = d.log.Flush()
	}
	if err != nil {
		return err
	}
	b := d.state.NewBatch()
	defer func() { err = errors.CombineErrors(err, b.Close()) }()
	spans := rangeParts(s.State.Range)
	if old, found, err := d.state.RangeState(d.id); err != nil {
		return err
	} else if found {
		st, err := decodeState(old)
		if err != nil {
			return err
		}
		spans = append(spans, dataPart(st.Range.Span))
	}
	for i := range superseded {
		spans = append(spans, rangeParts(superseded[i])...)
	}
	for _, span := range spans {
		b.DeleteRange(span)
	}
	for i := range superseded {
		bury(b, superseded[i].ID)
	}
	for _, p := range s.Pairs {
		b.Set(d.stored(p.Key), p.Value)
	}
	b.SetRangeState(d.id, encodeState(s.State, s.Term))
	b.SetRangeTable(d.id, s.State.Table)
	if err := d.state.Apply(b); err != nil {
		return err
	}
	d.table = s.State.Table
	for _, span := range spans {
		d.rows.InvalidateSpan(span)
	}
	if err := d.state.Flush(); err != nil {
		return err
	}
	for i := range superseded {
		if err := d.log.Remove(superseded[i].ID); err != nil {
			return err
		}
	}
	return finishInstall(d.log, d.id, mark, id)
}

// finishInstall makes the log begin at what was installed, in a term that is not
// below the installed one.
func finishInstall(log *raftlog.Log, r base.RangeID, mark raftlog.Mark, id raftlog.LifecycleID) error {
	w := raftlog.Write{Range: r, Snapshot: &mark}
	if hard, _ := log.Group(r).HardState(); hard.Term < mark.Term {
		w.HardState = &raftlog.HardState{Term: mark.Term, Commit: mark.Index}
	}
	if err := log.Append(w); err != nil {
		return err
	}
	return endStep(log, id)
}

func appendMark(dst []byte, m raftlog.Mark) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, uint64(m.Index)), uint64(m.Term))
}

func decodeMark(b []byte) (m raftlog.Mark, err error) {
	if len(b) != 16 {
		return m, errors.Wrapf(base.ErrCorruption, "snapshot record of %d bytes", len(b))
	}
	return raftlog.Mark{Index: base.LogIndex(binary.BigEndian.Uint64(b)), Term: base.Term(binary.BigEndian.Uint64(b[8:]))}, nil
}
