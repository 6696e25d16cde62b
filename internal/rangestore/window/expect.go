package window

import "github.com/cespare/xxhash/v2"

// ExpectMax is how many keys Expect looks at.
const ExpectMax = 32

// Expect brings what Latest needs for keys into the processor's caches. A lookup
// waits for memory three times, each time for what the time before has told; here
// the waits of all keys for the same step overlap. A larger window is not in the
// caches, and waiting is most of what a lookup costs. It moves the keys that are surely
// not in the window to the front, and returns them.
func (w *Window) Expect(keys [][]byte) (absent [][]byte) {
	keys = keys[:min(len(keys), ExpectMax)]
	var ids, ends [ExpectMax]uint64
	for i, key := range keys {
		hash := xxhash.Sum64(key)
		if slots := w.idx.shard(hash).slots; len(slots) > 0 {
			ids[i] = slots[int(hash)&(len(slots)-1)].id
		}
	}
	n := 0
	for i := range keys {
		if ids[i] == 0 {
			keys[n], keys[i] = keys[i], keys[n]
			ids[n], ids[i] = ids[i], ids[n]
			n++
		}
	}
	var entries [ExpectMax]*entry
	for i := range keys {
		if w.ring.has(ids[i]) {
			entries[i] = w.ring.at(ids[i])
			ends[i] = entries[i].batch
		}
	}
	for i := range keys {
		if e := entries[i]; e != nil {
			buf := w.batch(ends[i]).buf
			w.expected += buf[e.kOff]
			w.expected += buf[e.kOff+e.kLen-1]
		}
	}
	return keys[:n]
}

// expectEvict is the like for entries that evictEntry comes to: it looks for the
// index's slot of some, and for the successor of the others.
func (w *Window) expectEvict(from, to uint64) {
	for id := from; id < to; id++ {
		e := w.ring.at(id)
		if e.next != 0 {
			w.expected += byte(w.ring.at(e.next).carry)
		} else if slots := w.idx.shard(e.hash).slots; len(slots) > 0 {
			w.expected += byte(slots[int(e.hash)&(len(slots)-1)].id)
		}
	}
}
