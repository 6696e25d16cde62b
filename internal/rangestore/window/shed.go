package window

import (
	"github.com/stratadb/strata/internal/rangestore/batch"
)

// shedBytesMin is how many bytes of a batch must have been replaced, and half of it, for
// them to be left out: fewer do not change how long the log takes to write it.
const shedBytesMin = 4 << 10

// Shed leaves out of the newest batch, to which nothing is added any more, what later
// records of it have replaced: a counter that a hundred clients have incremented, or the
// header of a list that they pushed to, is in the log once. Nobody can see those versions
// (W1), and each record says what a key is from then on, so the batch means the same. The
// buffer is a new one; who has read from the old one keeps that.
//
// A batch stays as it is if anything else points into its buffer: versionstamps to fill in,
// tombstones, parts that were installed, entries of a table.
func (w *Window) Shed(b *batch.Builder) error {
	n := w.lastBatch()
	info := w.batch(n)
	if info.wasted < max(shedBytesMin, len(info.buf)/2) && !w.shedAll || info.part || len(info.deferred) > 0 {
		return nil
	}
	if k := len(w.frags.marks); k > 0 && w.frags.marks[k-1].batch == n {
		return nil
	}
	id := info.firstID
	shed, err := b.Compact(len(info.buf)-info.wasted, func(_ batch.Record, nearer uint32) bool {
		e := w.ring.at(id)
		id++
		if e.flags&replaced != 0 {
			return false
		}
		e.kOff -= nearer
		e.vOff -= nearer
		return true
	})
	if err != nil || !shed {
		return err
	}
	for id := w.ring.next - 1; id >= info.firstID; id-- {
		if e := w.ring.at(id); e.flags&replaced != 0 { // it still has its key
			e.kOff, e.vOff, e.vLen = w.ring.at(e.next).kOff, 0, 0
		}
	}
	info.wasted = 0
	w.SetBuffer(b.Buf)
	return nil
}
