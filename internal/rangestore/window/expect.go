package window

import (
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/stratadb/strata/internal/prefetch"
)

// ExpectMax is how many keys Expect looks at.
const ExpectMax = 32

// Expect brings what Latest needs for keys into the processor's caches. A lookup
// waits for memory three times, each time for what the time before has told; here
// the waits of all keys for the same step overlap, and for the last one nobody waits.
// A larger window is not in the caches, and waiting is most of what a lookup costs. It moves
// the keys that are surely not in the window to the front, and returns them.
func (w *Window) Expect(keys [][]byte) (absent [][]byte) {
	keys = keys[:min(len(keys), ExpectMax)]
	var hashes, ids [ExpectMax]uint64
	for i, key := range keys {
		hashes[i] = xxhash.Sum64(key)
		w.idx.shard(hashes[i]).expect(hashes[i])
	}
	n := 0
	for i := range keys {
		id, known := w.idx.shard(hashes[i]).guess(hashes[i])
		if ids[i] = id; known && id == 0 {
			keys[n], keys[i] = keys[i], keys[n]
			ids[n], ids[i] = ids[i], ids[n]
			n++
		} else if w.ring.has(id) {
			e := w.ring.at(id)
			prefetch.Line(unsafe.Pointer(e))
			prefetch.Line(unsafe.Pointer(&e.flags))
		}
	}
	for _, id := range ids[n:len(keys)] {
		if w.ring.has(id) {
			w.expectPair(w.ring.at(id))
		}
	}
	return keys[:n]
}

// expectPair announces the key of an entry, and how its value begins and ends.
func (w *Window) expectPair(e *entry) {
	buf := w.batch(e.batch).buf
	prefetch.Line(unsafe.Pointer(&buf[e.kOff]))
	if e.vLen > 0 {
		prefetch.Line(unsafe.Pointer(&buf[e.vOff]))
		prefetch.Line(unsafe.Pointer(&buf[e.vOff+e.vLen-1]))
	}
}

// guessSlots is how many slots a guess looks at: those that share a line, more or less.
const guessSlots = 4

// expect announces where find begins.
func (s *shard) expect(hash uint64) {
	if len(s.slots) > 0 {
		prefetch.Line(unsafe.Pointer(&s.slots[int(hash)&(len(s.slots)-1)]))
	}
}

// guess is find without a look at the keys. It gives up early; known says that it did not, and
// an id of zero is then that of no entry.
func (s *shard) guess(hash uint64) (id uint64, known bool) {
	mask := len(s.slots) - 1
	for i := range min(guessSlots, len(s.slots)) {
		if sl := &s.slots[(int(hash)+i)&mask]; sl.id == 0 || sl.hash == hash {
			return sl.id, true
		}
	}
	return 0, len(s.slots) == 0
}

// expectPlan is the like for entries that planEntry comes to: the successors of some.
func (w *Window) expectPlan(from, to uint64) {
	for id := from; id < to; id++ {
		if e := w.ring.at(id); e.next != 0 {
			prefetch.Line(unsafe.Pointer(&w.ring.at(e.next).batch))
		}
	}
}

// expectEvict is the like for entries that evictEntry comes to: the index's slot of some,
// and the successor of the others.
func (w *Window) expectEvict(from, to uint64) {
	for id := from; id < to; id++ {
		if e := w.ring.at(id); e.next != 0 {
			prefetch.Line(unsafe.Pointer(&w.ring.at(e.next).carry))
		} else {
			w.idx.shard(e.hash).expect(e.hash)
		}
	}
}
