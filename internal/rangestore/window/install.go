package window

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
)

// Install puts the writes of a transaction over several ranges into the newest
// batch, at position pos: versions with the stamp commit, which is older than that
// of the batch. Nobody else has written there since before commit was issued, so
// the versions of a key still have their stamps in the order of the log.
//
//	batch 17   part 17  │ part 18      │ part 19
//	stamp 90   stamp 90 │ stamp 85 own │ stamp 90
//
// A batch with such versions is several parts: what was before, what is installed,
// and what follows. The number of a batch is that of its first part, and what is
// said of it goes for all.
func (w *Window) Install(muts []base.Mutation, pos base.Position, commit base.Stamp) {
	if len(muts) == 0 {
		return
	}
	if w.InstallByBatch {
		commit = 0
	}
	before := w.batches[len(w.batches)-1]
	w.batches = append(w.batches, batchInfo{part: true, own: true, stamp: commit,
		firstPos: before.lastPos, lastPos: pos, firstID: w.ring.next})
	w.installed++
	var buf []byte
	put := func(b []byte) batch.Slice {
		at := len(buf)
		buf = append(buf, b...)
		return batch.Slice{Off: uint32(at), Len: uint32(len(b))}
	}
	records := make([]batch.Record, len(muts))
	for i := range muts {
		m := &muts[i]
		records[i] = batch.Record{Op: m.Op, Key: put(m.Key), Value: put(m.Value)}
	}
	w.SetBuffer(buf)
	for _, r := range records {
		w.Add(r, pos)
	}
	w.batches = append(w.batches, batchInfo{part: true, buf: before.buf, start: len(before.buf),
		firstPos: pos, lastPos: pos, firstID: w.ring.next})
}

// Skip makes the window, which is empty, one over a disk whose state ends with pos.
func (w *Window) Skip(pos base.Position) { w.basePos = pos }

// Reach tells that the newest batch goes on to the transaction at pos, which may
// have left nothing in the window.
func (w *Window) Reach(pos base.Position) { w.batches[len(w.batches)-1].lastPos = pos }
