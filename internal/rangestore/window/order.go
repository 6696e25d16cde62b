package window

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/google/btree"

	"github.com/stratadb/strata/internal/base"
)

// order gives scans the keys of the window in their order. To put a key in its place costs
// more than to write it, and most are gone before somebody scans where they lie. So it is
// done when a scan comes there, in buckets of keys with the same first bytes: of Redis data
// a bucket is a slot, whatever else is written meanwhile.
//
//	ring     ... 17 18 19 20 │ 21 22 23        from next on: in no bucket yet
//	bucket 'a'   fresh 18 20     keys a1 a7    a version of a key is in fresh, or the key in keys
//
// Of the versions of a key in fresh the newest puts it into keys. So the others may be
// forgotten, and ids leave fresh at its front, as their entries are evicted.
type order struct {
	buckets map[uint64]*bucket
	sorted  *btree.BTreeG[*bucket]
	next    uint64
	fresh   int // in all buckets
	nodes   *btree.FreeListG[orderKey]
}

type bucket struct {
	prefix uint64
	newest uint64   // no entry of it has a higher id
	fresh  []uint64 // ids, ascending
	keys   *btree.BTreeG[orderKey]
}

// orderKey is a key of the order; its bytes are its own.
type orderKey struct{ key []byte }

const (
	orderDegree    = 16
	orderFreeNodes = 1 << 10
)

func newOrder(next uint64) order {
	return order{buckets: map[uint64]*bucket{}, next: next, nodes: btree.NewFreeListG[orderKey](orderFreeNodes),
		sorted: btree.NewG(orderDegree, func(a, b *bucket) bool { return a.prefix < b.prefix })}
}

// prefixOf is what the keys of a bucket have in common. It grows with the keys.
func prefixOf(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

// bucket is that of key.
func (o *order) bucket(key []byte) *bucket {
	prefix := prefixOf(key)
	b := o.buckets[prefix]
	if b == nil {
		b = &bucket{prefix: prefix, keys: btree.NewWithFreeListG(orderDegree,
			func(a, b orderKey) bool { return bytes.Compare(a.key, b.key) < 0 }, o.nodes)}
		o.buckets[prefix] = b
		o.sorted.ReplaceOrInsert(b)
	}
	return b
}

// put puts the key of entry id in its place.
func (b *bucket) put(id uint64, key []byte) {
	b.newest = max(b.newest, id)
	b.keys.ReplaceOrInsert(orderKey{bytes.Clone(key)})
}

// remove forgets a key of which no version is left. The newest one need not have been
// distributed: one of the same batch, which it has replaced, may have put the key there.
func (o *order) remove(key []byte) {
	if b := o.buckets[prefixOf(key)]; b != nil {
		b.keys.Delete(orderKey{key})
		o.tidy(b)
	}
}

// tidy forgets a bucket that is empty.
func (o *order) tidy(b *bucket) {
	if len(b.fresh) == 0 && b.keys.Len() == 0 {
		delete(o.buckets, b.prefix)
		o.sorted.Delete(b)
	}
}

// evicted tells that the entries up to id are gone, one of which had that key.
func (o *order) evicted(id uint64, key []byte) {
	b := o.buckets[prefixOf(key)]
	if b == nil {
		return
	}
	for len(b.fresh) > 0 && b.fresh[0] <= id {
		b.fresh = b.fresh[1:]
		o.fresh--
	}
	o.tidy(b)
}

// undone tells that the entries from id on are gone, one of which had that key.
func (o *order) undone(id uint64, key []byte) {
	b := o.buckets[prefixOf(key)]
	if b == nil {
		return
	}
	n, _ := slices.BinarySearch(b.fresh, id)
	o.fresh -= len(b.fresh) - n
	b.fresh = b.fresh[:n]
	o.tidy(b)
}

// distribute takes note of the next n entries, and reports how many there were.
func (w *Window) distribute(n uint64) uint64 {
	o := &w.order
	from := max(o.next, w.ring.tail)
	end := from + min(n, w.ring.next-from)
	for id := from; id < end; id++ {
		if e := w.ring.at(id); e.flags&(ghost|replaced) == 0 {
			b := o.bucket(w.keyOf(e))
			b.fresh, b.newest = append(b.fresh, id), id
			o.fresh++
		}
	}
	o.next = end
	return end - from
}

// settle puts the first n of a bucket's fresh keys in their places.
func (w *Window) settle(b *bucket, n int) {
	for _, id := range b.fresh[:n] {
		e := w.ring.at(id)
		if e.next != 0 || e.flags&replaced != 0 {
			continue
		}
		if key := w.keyOf(e); !w.ring.has(e.prev) || !b.keys.Has(orderKey{key}) {
			b.put(id, key)
		}
	}
	w.order.fresh -= n
	if b.fresh = b.fresh[n:]; len(b.fresh) == 0 {
		b.fresh = nil
	}
}

// along visits the buckets of span in scan order until visit returns false.
func (o *order) along(span base.Span, reverse bool, visit func(b *bucket) bool) {
	first, last := prefixOf(span.Start), prefixOf(span.End)
	if !reverse {
		o.sorted.AscendGreaterOrEqual(&bucket{prefix: first}, func(b *bucket) bool { return b.prefix <= last && visit(b) })
		return
	}
	o.sorted.DescendLessOrEqual(&bucket{prefix: last}, func(b *bucket) bool { return b.prefix >= first && visit(b) })
}

// distributeShare is how many entries are distributed in the time in which one is put in
// its place.
const distributeShare = 8

// CatchUp does some of what a scan of that many keys of span at s needs, as much as to put n
// keys in their places, and reports whether that was all. A scan does the rest by itself;
// who can let others go on in between calls this before.
func (w *Window) CatchUp(span base.Span, s base.Stamp, reverse bool, limit, n int) (all bool) {
	taken := w.distribute(uint64(n) * distributeShare)
	if w.order.next < w.ring.next {
		return false
	}
	if w.order.fresh == 0 {
		return true
	}
	n -= int(taken / distributeShare)
	all = true
	if w.frags.tree.Len() > 0 {
		limit += deadKeys
	}
	keys, partial := 0, true // not all of the first bucket's keys need lie in the span
	hidden := shroud{w: w, s: s}
	w.order.along(span, reverse, func(b *bucket) bool {
		if hidden.buries(b) {
			return true
		}
		part := min(n, len(b.fresh))
		n -= part
		if w.settle(b, part); len(b.fresh) > 0 {
			all = false
			return false
		}
		if !partial {
			keys += b.keys.Len()
		}
		partial = false
		return keys <= limit
	})
	return all
}

// visitKeys visits the keys of span in scan order, but for those of buckets that are to be
// skipped, until visit returns false.
func (w *Window) visitKeys(span base.Span, reverse bool, skip func(b *bucket) bool, visit func(k orderKey) bool) {
	w.distribute(w.ring.next)
	more := true
	each := func(k orderKey) bool {
		more = visit(k)
		return more
	}
	w.order.along(span, reverse, func(b *bucket) bool {
		if skip(b) {
			return true
		}
		w.settle(b, len(b.fresh))
		if !reverse {
			b.keys.AscendRange(orderKey{span.Start}, orderKey{span.End}, each)
			return more
		}
		b.keys.DescendLessOrEqual(orderKey{span.End}, func(k orderKey) bool {
			if bytes.Compare(k.key, span.End) >= 0 {
				return true
			}
			return bytes.Compare(k.key, span.Start) >= 0 && each(k)
		})
		return more
	})
}

// shroud finds the range tombstones that s sees over keys. Neighbours mostly have the same
// one, and a fragment may have many marks.
type shroud struct {
	w    *Window
	s    base.Stamp
	frag *frag
	mark *mark

	first, end [8]byte
}

func (h *shroud) over(key []byte) *mark {
	if h.w.frags.tree.Len() == 0 {
		return nil
	}
	if h.frag == nil || !h.frag.span.Contains(key) {
		h.frag = h.w.frags.cover(key)
		h.mark = h.w.tombstone(h.frag, h.s)
	}
	return h.mark
}

// buries reports whether a tombstone hides all that the window has in a bucket.
func (h *shroud) buries(b *bucket) bool {
	if h.w.frags.tree.Len() == 0 || b.prefix == math.MaxUint64 {
		return false
	}
	binary.BigEndian.PutUint64(h.first[:], b.prefix)
	binary.BigEndian.PutUint64(h.end[:], b.prefix+1)
	m := h.over(bytes.TrimRight(h.first[:], "\x00")) // what ends in zeros may be a shorter key
	return m != nil && m.at > b.newest && bytes.Compare(h.end[:], m.span.End) <= 0
}
