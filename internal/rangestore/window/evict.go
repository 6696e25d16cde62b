package window

import (
	"github.com/stratadb/strata/internal/base"
)

// Seal ends the newest slice behind the last committed batch, if it holds any
// batch, and reports whether it did.
func (w *Window) Seal() bool {
	from := w.firstBatch - 1
	if n := len(w.slices); n > 0 {
		from = w.slices[n-1].lastBatch
	}
	if w.committed <= from || w.committed < w.firstBatch {
		return false
	}
	var size int64
	for n := max(from+1, w.firstBatch); n <= w.committed; n++ {
		size += w.batch(n).size()
	}
	next := w.ring.next
	if w.committed < w.lastBatch() {
		next = w.batch(w.committed + 1).firstID
	}
	w.slices = append(w.slices, slice{lastBatch: w.committed, lastID: next - 1,
		lastStamp: w.batch(w.committed).logged, bytes: size + int64(next-w.sealedTo())*entryBytes})
	w.sealedBytes += w.slices[len(w.slices)-1].bytes
	return true
}

// Empty reports whether no committed batch is in the window.
func (w *Window) Empty() bool { return w.committed < w.firstBatch }

// sealedTo is the first id behind the sealed slices.
func (w *Window) sealedTo() uint64 {
	if n := len(w.slices); n > 0 {
		return w.slices[n-1].lastID + 1
	}
	return w.ring.tail
}

// Unsealed is how many entries and bytes the newest slice has so far, the
// speculative tail included.
func (w *Window) Unsealed() (entries int, bytes int64) {
	return int(w.ring.next - w.sealedTo()), w.bytes - w.sealedBytes
}

// Sealed is the number of sealed slices, and the stamp with which the newest of
// them ends (the base stamp when there is none).
func (w *Window) Sealed() (n int, last base.Stamp) {
	if n = len(w.slices); n == 0 {
		return 0, w.baseStamp
	}
	return n, w.slices[n-1].lastStamp
}

// OldestSealed is the stamp with which the oldest sealed slice ends.
func (w *Window) OldestSealed() (base.Stamp, bool) {
	if len(w.slices) == 0 {
		return 0, false
	}
	return w.slices[0].lastStamp, true
}

// Eviction is what the disk must hold before the oldest slice may go: first the
// cleared spans, then the pairs (nil value: delete).
type Eviction struct {
	Clears   []base.Span
	Pairs    []base.KeyValue
	Applied  base.LogIndex // of the slice's last batch
	Position base.Position
	Stamp    base.Stamp
	Readable base.LogIndex // W5
	slice    slice
	planned  uint64 // entries below are
	marked   bool   // the slice has tombstones or touches
}

// BeginEvict begins the eviction of the oldest sealed slice. The caller calls Plan
// until it is done, writes the plan to disk, and calls FinishEvict until that is
// done; commits, and reads, may happen in between.
func (w *Window) BeginEvict() (*Eviction, bool) {
	if len(w.slices) == 0 {
		return nil, false
	}
	sl := w.slices[0]
	last := w.batch(sl.lastBatch)
	ev := &Eviction{slice: sl, planned: w.ring.tail, Applied: last.index, Position: last.lastPos, Stamp: last.logged}
	for _, m := range w.frags.marks {
		if m.batch > sl.lastBatch {
			break
		}
		ev.marked = true
		if !m.touch {
			ev.Clears = append(ev.Clears, m.span)
		}
	}
	return ev, true
}

// Plan decides what becomes of the next n entries of the slice and reports whether
// that were all.
func (w *Window) Plan(ev *Eviction, n int) (done bool) {
	end := min(ev.planned+uint64(n), ev.slice.lastID+1)
	for from := ev.planned; from < end; from += ExpectMax {
		w.expectPlan(from, min(from+ExpectMax, end))
		for ; ev.planned < min(from+ExpectMax, end); ev.planned++ {
			w.planEntry(ev, ev.planned)
		}
	}
	if ev.planned <= ev.slice.lastID {
		return false
	}
	ev.Readable = w.batch(w.committed).index // not before the last successor was seen
	return true
}

// planEntry decides what becomes of an entry of the oldest slice (W4).
func (w *Window) planEntry(ev *Eviction, id uint64) {
	e := w.ring.at(id)
	e.flags &^= toCarry
	carry := false
	switch {
	case e.flags&replaced != 0 || e.next != 0 && e.next <= ev.slice.lastID:
		return
	case e.next != 0:
		carry = w.CountUncommitted || w.ring.at(e.next).batch <= w.committed
	}
	key := w.keyOf(e)
	if m := w.clearedInSlice(key, ev.slice.lastBatch); m != nil && m.at > id {
		return
	}
	if carry {
		e.flags |= toCarry
		return
	}
	value := w.version(id, e).Value
	ev.Pairs = append(ev.Pairs, base.KeyValue{Key: key, Value: value})
}

// clearedInSlice is the newest tombstone over key among the batches up to last.
func (w *Window) clearedInSlice(key []byte, last uint64) *mark {
	fr := w.frags.cover(key)
	if fr == nil {
		return nil
	}
	for i := len(fr.marks) - 1; i >= 0; i-- {
		if m := fr.marks[i]; !m.touch && m.batch <= last {
			return m
		}
	}
	return nil
}

// FinishEvict forgets the next n entries of the slice of ev, which is on disk now,
// and reports whether that were all. Older snapshots are refused from the first
// call on. A slice with tombstones is forgotten at once: they and the entries hide
// each other.
func (w *Window) FinishEvict(ev *Eviction, n int) (done bool) {
	sl := ev.slice
	w.baseStamp, w.basePos = ev.Stamp, ev.Position
	end := sl.lastID + 1
	if !ev.marked {
		end = min(end, w.ring.tail+uint64(n))
	}
	for from := w.ring.tail; from < end; from += ExpectMax {
		w.expectEvict(from, min(from+ExpectMax, end))
		for id := from; id < min(from+ExpectMax, end); id++ {
			w.evictEntry(id)
		}
	}
	w.ring.cutTail(end)
	if end <= sl.lastID {
		return false
	}
	w.bytes -= sl.bytes
	w.sealedBytes -= sl.bytes
	w.frags.dropOld(sl.lastBatch)
	w.batches = w.batches[sl.lastBatch+1-w.firstBatch:]
	w.firstBatch = sl.lastBatch + 1
	w.slices = w.slices[1:]
	return true
}

func (w *Window) evictEntry(id uint64) {
	e := w.ring.at(id)
	w.carry.drop(e) // nobody can read below this entry any more
	if id < w.order.next {
		w.order.evicted(id, w.keyOf(e))
	}
	switch {
	case e.flags&replaced != 0:
	case e.next == 0:
		sh := w.idx.shard(e.hash)
		at, _ := sh.find(e.hash, func(head uint64) bool { return head == id })
		sh.remove(at)
		w.order.remove(w.keyOf(e))
	case e.flags&toCarry != 0:
		v := w.version(id, e)
		c := carried{stamp: w.batch(e.batch).stamp, pos: e.pos, id: id}
		if v.State == Present {
			c.value = append([]byte{}, v.Value...)
		}
		w.carry.put(w.ring.at(e.next), c)
	}
}

// Carried is the number of versions kept behind their successors.
func (w *Window) Carried() int { return w.carry.used }
