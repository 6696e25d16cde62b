package window

import (
	"bytes"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
)

// Window holds the recent versions of a range's keys.
type Window struct {
	idx   index
	ring  ring
	frags frags

	batches    []batchInfo // deque; batches[0] has number firstBatch
	firstBatch uint64
	committed  uint64 // batches up to this number are committed

	order order

	carry carriages

	slices    []slice // sealed, oldest first
	baseStamp base.Stamp
	basePos   base.Position
	bytes     int64
	// sealedBytes is the part of bytes that belongs to sealed slices.
	sealedBytes int64
	unstamped   []unstampedKey
	installed   int  // parts with stamps of their own that are not committed
	shedAll     bool // whatever can be shed, however little

	// CountUncommitted breaks W4; tests plant it.
	CountUncommitted bool
	// InstallByBatch breaks W7: what is installed gets the stamp of its batch.
	InstallByBatch bool
}

// batchInfo describes a batch in the window, or a part of one, see Install.
type batchInfo struct {
	buf      []byte
	start    int           // of what the part adds to a buffer that it shares
	firstPos base.Position // position before its first transaction
	lastPos  base.Position
	stamp    base.Stamp // of its versions; zero until it is known
	logged   base.Stamp // of the whole batch; zero until it is known
	part     bool       // it goes on with the batch before it
	own      bool       // its versions have a stamp of their own
	index    base.LogIndex
	firstID  uint64
	wasted   int // bytes of records that later ones have replaced
	deferred []deferred
}

// size is the memory that the part adds.
func (b *batchInfo) size() int64 { return int64(len(b.buf) - b.start) }

// deferred is a versionstamp to fill in once the stamp is known.
type deferred struct {
	off   uint32 // of the ten bytes, in the buffer
	place uint16
	id    uint64 // ghost entry to put into the index, or 0
}

// unstampedKey is where a versionstamped key of a batch without stamp may land.
type unstampedKey struct {
	span  base.Span
	pos   base.Position
	batch uint64
}

type slice struct {
	lastBatch uint64
	lastID    uint64
	lastStamp base.Stamp
	bytes     int64
}

// New makes an empty window over a disk whose state ends with stamp and position.
func New(stamp base.Stamp, pos base.Position) *Window {
	w := &Window{ring: newRing(), frags: newFrags(), firstBatch: 1, baseStamp: stamp, basePos: pos}
	w.order = newOrder(w.ring.next)
	return w
}

// BaseStamp is the oldest readable snapshot (W3).
func (w *Window) BaseStamp() base.Stamp { return w.baseStamp }

// Bytes is the memory that the window's batches and entries take.
func (w *Window) Bytes() int64 { return w.bytes }

// Entries is the number of versions in the window.
func (w *Window) Entries() int { return int(w.ring.next - w.ring.tail) }

func (w *Window) batch(n uint64) *batchInfo { return &w.batches[n-w.firstBatch] }

func (w *Window) lastBatch() uint64 { return w.firstBatch + uint64(len(w.batches)) - 1 }

// lastPart is the last part of the batch with the number n, which is its first.
func (w *Window) lastPart(n uint64) uint64 {
	for n < w.lastBatch() && w.batch(n+1).part {
		n++
	}
	return n
}

// Open begins a batch behind pos and returns its number.
func (w *Window) Open(pos base.Position) uint64 {
	w.batches = append(w.batches, batchInfo{firstPos: pos, lastPos: pos, firstID: w.ring.next})
	return w.lastBatch()
}

// SetBuffer tells where the newest batch's records lie now.
func (w *Window) SetBuffer(buf []byte) {
	b := &w.batches[len(w.batches)-1]
	w.bytes += int64(len(buf) - len(b.buf))
	b.buf = buf
}

// entryBytes is what an entry costs beside its batch's buffer: ring and index.
const entryBytes = 56 + 24

// Add puts a record of the newest batch's buffer into the window; the buffer
// must have been set. pos is the position of the record's transaction.
func (w *Window) Add(r batch.Record, pos base.Position) {
	n := w.lastBatch()
	b := w.batch(n)
	b.lastPos = pos
	key := r.Key.In(b.buf)
	if r.Op == base.OpClearRange || r.Op == base.OpTouch {
		w.frags.add(&mark{span: base.Span{Start: key, End: r.Value.In(b.buf)}, pos: pos, batch: n,
			at: w.ring.next, touch: r.Op == base.OpTouch})
		return
	}
	w.put(r, pos, n, key, 0)
}

// AddStamped puts a record whose value at offset off gets the versionstamp.
func (w *Window) AddStamped(r batch.Record, pos base.Position, off uint32) {
	n := w.lastBatch()
	b := w.batch(n)
	b.lastPos = pos
	w.put(r, pos, n, r.Key.In(b.buf), stampedValue)
	b.deferred = append(b.deferred, deferred{off: r.Value.Off + off, place: r.Place})
}

// AddStampedKey puts a record whose key at offset off gets the versionstamp.
func (w *Window) AddStampedKey(r batch.Record, pos base.Position, off uint32) {
	n := w.lastBatch()
	b := w.batch(n)
	b.lastPos = pos
	id, e := w.ring.push()
	*e = entry{batch: n, pos: pos, op: r.Op, flags: ghost,
		kOff: r.Key.Off, kLen: r.Key.Len, vOff: r.Value.Off, vLen: r.Value.Len}
	w.bytes += entryBytes
	b.deferred = append(b.deferred, deferred{off: r.Key.Off + off, place: r.Place, id: id})
	low := bytes.Clone(r.Key.In(b.buf))
	high := bytes.Clone(low)
	for i := off; i < off+base.VersionstampLen; i++ {
		low[i], high[i] = 0, 0xFF
	}
	w.unstamped = append(w.unstamped, unstampedKey{span: base.Span{Start: low, End: base.Next(high)}, pos: pos, batch: n})
}

func (w *Window) put(r batch.Record, pos base.Position, n uint64, key []byte, f entryFlags) {
	hash := xxhash.Sum64(key)
	sh := w.idx.shard(hash)
	at, head := sh.find(hash, w.sameKey(key))
	id, e := w.ring.push()
	*e = entry{hash: hash, batch: n, pos: pos, op: r.Op, flags: f,
		kOff: r.Key.Off, kLen: r.Key.Len, vOff: r.Value.Off, vLen: r.Value.Len}
	w.bytes += entryBytes
	if head == 0 {
		sh.insert(hash, id)
		return
	}
	sh.slots[at].id = id
	h := w.ring.at(head)
	if h.batch != n {
		e.prev, h.next = head, id
		return
	}
	h.flags |= replaced // the batch commits as a whole: nobody can see h again
	w.link(h.prev, id)
	h.next = id
	w.batch(n).wasted += int(h.kLen + h.vLen)
}

// link makes id the successor of prev, where prev is still in the ring.
func (w *Window) link(prev, id uint64) {
	w.ring.at(id).prev = prev
	if w.ring.has(prev) {
		w.ring.at(prev).next = id
	}
}

func (w *Window) keyOf(e *entry) []byte {
	return w.batch(e.batch).buf[e.kOff : e.kOff+e.kLen : e.kOff+e.kLen]
}

func (w *Window) sameKey(key []byte) func(id uint64) bool {
	return func(id uint64) bool { return bytes.Equal(w.keyOf(w.ring.at(id)), key) }
}

func (w *Window) head(key []byte) uint64 {
	hash := xxhash.Sum64(key)
	_, id := w.idx.shard(hash).find(hash, w.sameKey(key))
	return id
}

// Deferred reports whether batch n waits for its stamp to complete keys or values.
func (w *Window) Deferred(n uint64) bool {
	for last := w.lastPart(n); n <= last; n++ {
		if len(w.batch(n).deferred) > 0 {
			return true
		}
	}
	return false
}

// SetStamp tells the stamp of batch n, fills in its versionstamps and makes the
// keys that contain them visible. It must be called before the buffer is used
// as a log entry.
func (w *Window) SetStamp(n uint64, stamp base.Stamp) {
	last := w.lastPart(n)
	buf := w.batch(last).buf // the parts before may show an older, shorter copy of it
	for i := n; i <= last; i++ {
		b := w.batch(i)
		b.logged = stamp
		if b.own && w.InstallByBatch {
			b.stamp = stamp
		}
		if b.own {
			continue
		}
		if i < last {
			b.buf = buf[:len(b.buf)]
		}
		w.setStamp(b, stamp)
	}
	kept := w.unstamped[:0]
	for _, u := range w.unstamped {
		if u.batch < n || u.batch > last {
			kept = append(kept, u)
		}
	}
	w.unstamped = kept
}

func (w *Window) setStamp(b *batchInfo, stamp base.Stamp) {
	b.stamp = stamp
	for _, d := range b.deferred {
		v := base.MakeVersionstamp(stamp, d.place)
		copy(b.buf[d.off:], v[:])
		if d.id != 0 {
			w.reveal(d.id)
		}
	}
	b.deferred = nil
}

// reveal puts a ghost entry into the index, at its place among the versions of
// its key: a later batch may have written the very key already.
func (w *Window) reveal(id uint64) {
	e := w.ring.at(id)
	key := w.keyOf(e)
	e.flags &^= ghost
	e.hash = xxhash.Sum64(key)
	sh := w.idx.shard(e.hash)
	at, head := sh.find(e.hash, w.sameKey(key))
	next := uint64(0)
	for n := head; n > id; n = w.ring.at(n).prev {
		next = n
	}
	older := head
	if next != 0 {
		older = w.ring.at(next).prev
		w.link(id, next)
	}
	for w.ring.has(older) && w.ring.at(older).batch == e.batch {
		w.ring.at(older).flags |= replaced
		older = w.ring.at(older).prev
	}
	w.link(older, id)
	e.next = next
	switch {
	case head == 0:
		sh.insert(e.hash, id)
	case next == 0:
		sh.slots[at].id = id
	}
	if id < w.order.next {
		w.order.bucket(key).put(id, key)
	}
}

// SetIndex tells the log index of batch n.
func (w *Window) SetIndex(n uint64, i base.LogIndex) {
	for last := w.lastPart(n); n <= last; n++ {
		w.batch(n).index = i
	}
}

// Stamp is the stamp of batch n, zero while unknown.
func (w *Window) Stamp(n uint64) base.Stamp { return w.batch(n).logged }

// Commit moves the boundary behind batch n.
func (w *Window) Commit(n uint64) {
	w.committed = w.lastPart(n)
	for ; n <= w.committed; n++ {
		if w.batch(n).own {
			w.installed--
		}
	}
}

// CommittedBatch is the number of the last committed batch.
func (w *Window) CommittedBatch() uint64 { return w.committed }

// DropTail forgets every batch that is not committed (W6).
func (w *Window) DropTail() {
	first := max(w.committed+1, w.firstBatch)
	if first > w.lastBatch() {
		return
	}
	from := w.batch(first).firstID
	for id := w.ring.next - 1; id >= from; id-- {
		w.undo(id)
	}
	w.frags.dropNew(first)
	kept := w.unstamped[:0]
	for _, u := range w.unstamped {
		if u.batch < first {
			kept = append(kept, u)
		}
	}
	w.unstamped = kept
	for i := range w.batches[first-w.firstBatch:] {
		w.bytes -= w.batch(first + uint64(i)).size()
	}
	w.installed = 0
	w.bytes -= int64(w.ring.next-from) * entryBytes
	w.batches = w.batches[:first-w.firstBatch]
	w.ring.cutHead(from)
	w.order.next = min(w.order.next, from)
}

func (w *Window) undo(id uint64) {
	e := w.ring.at(id)
	if e.flags&ghost != 0 {
		return
	}
	key := w.keyOf(e)
	if id < w.order.next {
		w.order.undone(id, key)
	}
	if e.flags&replaced != 0 {
		return
	}
	sh := w.idx.shard(e.hash)
	at, _ := sh.find(e.hash, w.sameKey(key))
	if w.ring.has(e.prev) {
		sh.slots[at].id = e.prev
		w.ring.at(e.prev).next = 0
		if e.prev < w.order.next { // which may have counted on its successor
			w.order.bucket(key).put(e.prev, key)
		}
		return
	}
	sh.remove(at)
	w.order.remove(key)
}

// Check verifies W1 and the counters; tests call it.
func (w *Window) Check() error {
	for i := range w.idx.shards {
		for _, sl := range w.idx.shards[i].slots {
			if sl.id == 0 {
				continue
			}
			if err := w.checkChain(sl); err != nil {
				return err
			}
		}
	}
	return w.checkOrder()
}

// checkOrder verifies that scans find every key.
func (w *Window) checkOrder() error {
	fresh := 0
	for prefix, b := range w.order.buckets {
		fresh += len(b.fresh)
		for i, id := range b.fresh {
			if id >= w.order.next || !w.ring.has(id) || prefixOf(w.keyOf(w.ring.at(id))) != prefix || i > 0 && id <= b.fresh[i-1] {
				return errors.AssertionFailedf("bucket %x has entry %d of %v", prefix, id, b.fresh)
			}
		}
		var wrong []byte
		b.keys.Ascend(func(k orderKey) bool {
			if prefixOf(k.key) != prefix || w.head(k.key) == 0 {
				wrong = k.key
			}
			return wrong == nil
		})
		if wrong != nil {
			return errors.AssertionFailedf("bucket %x has the key %x", prefix, wrong)
		}
		if len(b.fresh) == 0 && b.keys.Len() == 0 {
			return errors.AssertionFailedf("bucket %x is empty", prefix)
		}
	}
	if fresh != w.order.fresh {
		return errors.AssertionFailedf("%d keys are fresh, %d are counted", fresh, w.order.fresh)
	}
	for i := range w.idx.shards {
		for _, sl := range w.idx.shards[i].slots {
			if sl.id != 0 && sl.id < w.order.next && !w.ordered(sl.id) {
				return errors.AssertionFailedf("no scan finds entry %d", sl.id)
			}
		}
	}
	return nil
}

// ordered reports whether the order knows the key of an entry, the newest of its key.
func (w *Window) ordered(id uint64) bool {
	key := w.keyOf(w.ring.at(id))
	b := w.order.buckets[prefixOf(key)]
	return b != nil && (b.keys.Has(orderKey{key}) || slices.Contains(b.fresh, id))
}

func (w *Window) checkChain(sl slot) error {
	if !w.ring.has(sl.id) {
		return errors.AssertionFailedf("index leads to evicted entry %d", sl.id)
	}
	key := w.keyOf(w.ring.at(sl.id))
	for id := sl.id; w.ring.has(id); {
		e := w.ring.at(id)
		if e.hash != sl.hash || e.flags&(replaced|ghost) != 0 || !bytes.Equal(w.keyOf(e), key) {
			return errors.AssertionFailedf("entry %d is in the versions of another key", id)
		}
		if w.ring.has(e.prev) && (w.ring.at(e.prev).batch >= e.batch || w.ring.at(e.prev).next != id) {
			return errors.AssertionFailedf("entry %d follows %d", id, e.prev)
		}
		id = e.prev
	}
	return nil
}
