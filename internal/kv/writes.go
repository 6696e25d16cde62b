package kv

import (
	"bytes"
	"slices"
	"sort"

	"github.com/google/btree"

	"github.com/stratadb/strata/internal/base"
)

// writes is the transaction's own writes: the mutations in order; from the moment when
// searching them one by one would cost too much a table by key; and once they are scanned an
// index in the order of the keys, in place of the table.
type writes struct {
	muts  []base.Mutation
	bytes int64

	table  keyTable
	ranges []int // the mutations that clear ranges
	wide   int   // behind the last mutation that is about keys that it does not name

	index   *btree.BTreeG[*ownKey]
	cleared []base.Span // disjoint, sorted; kept with the index only
	stamped []base.Span // where versionstamped keys may land
}

// ownKey is what the transaction knows about a key that it wrote.
type ownKey struct {
	key []byte
	// last is the mutation that may be overwritten in place, -1 for none.
	last int
	// known: value is the key's value (nil: absent). Otherwise pending holds
	// the atomic operations to apply to the stored value.
	known   bool
	stamp   bool // the value holds a versionstamp
	value   []byte
	pending []base.Mutation
}

// linearWrites is how many mutations are searched one by one, and linearRanges how many that
// clear ranges are without an index.
const (
	linearWrites = 8
	linearRanges = 64
)

// mutationOverhead is what a mutation costs beyond its key and value, in bytes.
const mutationOverhead = 12

func (w *writes) reset() {
	clear(w.muts)
	if cap(w.muts) > 4096 {
		w.muts = nil
	}
	w.muts, w.bytes, w.index, w.cleared, w.stamped = w.muts[:0], 0, nil, w.cleared[:0], w.stamped[:0]
	w.table.reset()
	w.ranges, w.wide = w.ranges[:0], 0
}

func (w *writes) add(m base.Mutation) {
	if m.Op == base.OpSetVersionstampedKey {
		if tmpl, off, ok := base.VersionstampOffset(m.Key); ok {
			w.stamped = append(w.stamped, stampedSpan(tmpl, off))
		}
	}
	if w.index == nil && len(w.ranges) >= linearRanges {
		w.buildIndex()
	}
	if w.index != nil {
		w.addIndexed(m)
		return
	}
	if i := w.replaceable(m); i >= 0 {
		w.replace(i, m)
		return
	}
	i := w.push(m)
	switch m.Op {
	case base.OpTouch:
		return
	case base.OpClearRange:
		w.ranges, w.wide = append(w.ranges, i), i+1
		return
	case base.OpSetVersionstampedKey:
		w.wide = i + 1
		return
	}
	if w.table.used > 0 {
		w.table.add(m.Key, i, w.muts)
	} else if i >= linearWrites {
		for i := range w.muts {
			if named(w.muts[i].Op) {
				w.table.add(w.muts[i].Key, i, w.muts)
			}
		}
	}
}

// named reports whether an operation is about the one key that it names.
func named(op base.MutationOp) bool {
	return op != base.OpTouch && op != base.OpClearRange && op != base.OpSetVersionstampedKey
}

// replaceable is the mutation in whose place m, which sets or clears a key, may stand: one that
// did so before, with nothing between them that covers the key. It is -1 without one.
func (w *writes) replaceable(m base.Mutation) int {
	if m.Op != base.OpSet && m.Op != base.OpClear {
		return -1
	}
	i := w.newest(m.Key)
	if i >= w.wide && (w.muts[i].Op == base.OpSet || w.muts[i].Op == base.OpClear) {
		return i
	}
	return -1
}

// newest is the last mutation that names key; -1 if none does.
func (w *writes) newest(key []byte) int {
	if w.table.used > 0 {
		return w.table.newest(key, w.muts)
	}
	return w.before(key, len(w.muts))
}

// before is the last mutation that names key among the first i; -1 if none does.
func (w *writes) before(key []byte, i int) int {
	for i--; i >= 0; i-- {
		if m := &w.muts[i]; named(m.Op) && bytes.Equal(m.Key, key) {
			break
		}
	}
	return i
}

func (w *writes) push(m base.Mutation) int {
	w.muts = append(w.muts, m)
	w.bytes += int64(len(m.Key) + len(m.Value) + mutationOverhead)
	return len(w.muts) - 1
}

// replace overwrites mutation i by m, which is on the same key.
func (w *writes) replace(i int, m base.Mutation) {
	w.bytes += int64(len(m.Value)) - int64(len(w.muts[i].Value))
	w.muts[i] = m
}

func (w *writes) buildIndex() {
	w.index = btree.NewG(32, func(a, b *ownKey) bool { return bytes.Compare(a.key, b.key) < 0 })
	muts := w.muts
	w.table.reset()
	w.muts, w.bytes = make([]base.Mutation, 0, 2*len(muts)), 0
	for _, m := range muts {
		w.addIndexed(m)
	}
}

func (w *writes) addIndexed(m base.Mutation) {
	switch {
	case m.Op == base.OpTouch || m.Op == base.OpSetVersionstampedKey:
		w.push(m)
		return
	case m.Op == base.OpClearRange:
		w.push(m)
		w.clearIndexed(base.Span{Start: m.Key, End: m.Value})
		return
	}
	own, found := w.index.Get(&ownKey{key: m.Key})
	if !found {
		own = &ownKey{key: m.Key, last: -1}
		if covers(w.cleared, m.Key) {
			own.known = true
		}
		w.index.ReplaceOrInsert(own)
	}
	switch {
	case m.Op == base.OpSet:
		own.known, own.stamp, own.value, own.pending = true, false, m.Value, nil
	case m.Op == base.OpClear:
		own.known, own.stamp, own.value, own.pending = true, false, nil, nil
	case m.Op == base.OpSetVersionstampedValue:
		own.known, own.stamp, own.value, own.pending = true, true, nil, nil
	case own.known && !own.stamp:
		own.value = base.ApplyAtomic(m.Op, own.value, m.Value, maxValueBytes)
		m = base.Mutation{Op: base.OpSet, Key: m.Key, Value: own.value}
		if own.value == nil {
			m = base.Mutation{Op: base.OpClear, Key: m.Key}
		}
	default:
		own.pending = append(own.pending, m)
		own.last = -1
		w.push(m)
		return
	}
	if own.last >= 0 {
		w.replace(own.last, m)
		return
	}
	own.last = w.push(m)
}

func (w *writes) clearIndexed(s base.Span) {
	w.index.AscendRange(&ownKey{key: s.Start}, &ownKey{key: s.End}, func(o *ownKey) bool {
		o.known, o.stamp, o.value, o.pending, o.last = true, false, nil, nil, -1
		return true
	})
	w.cleared = addSpan(w.cleared, s)
}

// effect is what the own writes say about a key.
type effect uint8

const (
	effectNone    effect = iota // ask the engine
	effectKnown                 // the value is known (nil: absent)
	effectPending               // apply the pending operations to the stored value
	effectStamped               // it depends on the commit's versionstamp
)

// lookup tells what the own writes make of key.
func (w *writes) lookup(key []byte) (e effect, value []byte, pending []base.Mutation) {
	for _, s := range w.stamped {
		if s.Contains(key) {
			return effectStamped, nil, nil
		}
	}
	if w.index == nil {
		return w.lookupNamed(key)
	}
	own, found := w.index.Get(&ownKey{key: key})
	switch {
	case !found && covers(w.cleared, key):
		return effectKnown, nil, nil
	case !found:
		return effectNone, nil, nil
	case own.stamp:
		return effectStamped, nil, nil
	case own.known:
		return effectKnown, own.value, nil
	}
	return effectPending, nil, own.pending
}

// lookupNamed is lookup without an index: the atomic operations on the key since it was set or
// cleared, and what it was then.
func (w *writes) lookupNamed(key []byte) (e effect, value []byte, pending []base.Mutation) {
	cleared := w.clearing(key)
	for i := w.newest(key); i > cleared; i = w.previous(key, i) {
		if m := &w.muts[i]; m.Op.Atomic() {
			pending = append(pending, *m)
			continue
		}
		cleared = i
	}
	slices.Reverse(pending)
	switch {
	case cleared < 0 && pending == nil:
		return effectNone, nil, nil
	case cleared < 0:
		return effectPending, nil, pending
	}
	switch m := &w.muts[cleared]; m.Op {
	case base.OpSetVersionstampedValue:
		return effectStamped, nil, nil
	case base.OpSet:
		if value = m.Value; value == nil {
			value = []byte{}
		}
	}
	return effectKnown, applyPending(value, pending), nil
}

// previous is the mutation before i that names key, which i does, too.
func (w *writes) previous(key []byte, i int) int {
	if w.table.used > 0 {
		return w.table.previous(i)
	}
	return w.before(key, i)
}

// clearing is the last mutation that clears a range with key; -1 if there is none.
func (w *writes) clearing(key []byte) int {
	for n := len(w.ranges) - 1; n >= 0; n-- {
		m := &w.muts[w.ranges[n]]
		if bytes.Compare(m.Key, key) <= 0 && bytes.Compare(key, m.Value) < 0 {
			return w.ranges[n]
		}
	}
	return -1
}

func applyPending(value []byte, pending []base.Mutation) []byte {
	for _, m := range pending {
		value = base.ApplyAtomic(m.Op, value, m.Value, maxValueBytes)
	}
	return value
}

// touches reports whether the own writes say anything about the span.
func (w *writes) touches(s base.Span) bool {
	for i := range w.muts {
		m := &w.muts[i]
		switch m.Op {
		case base.OpTouch:
		case base.OpClearRange:
			if s.Overlaps(base.Span{Start: m.Key, End: m.Value}) {
				return true
			}
		case base.OpSetVersionstampedKey:
			return true
		default:
			if s.Contains(m.Key) {
				return true
			}
		}
	}
	return false
}

// within collects the own keys of the span in order.
func (w *writes) within(s base.Span) []*ownKey {
	var keys []*ownKey
	w.index.AscendRange(&ownKey{key: s.Start}, &ownKey{key: s.End}, func(o *ownKey) bool {
		keys = append(keys, o)
		return true
	})
	return keys
}

// gaps is what of the span the transaction has not cleared, in order.
func (w *writes) gaps(s base.Span) []base.Span {
	var out []base.Span
	at := s.Start
	for _, c := range w.cleared {
		if bytes.Compare(c.End, at) <= 0 {
			continue
		}
		if bytes.Compare(c.Start, s.End) >= 0 {
			break
		}
		if bytes.Compare(at, c.Start) < 0 {
			out = append(out, base.Span{Start: at, End: c.Start})
		}
		at = c.End
	}
	if bytes.Compare(at, s.End) < 0 {
		out = append(out, base.Span{Start: at, End: s.End})
	}
	return out
}

// stampedSpan is where the key lands whose ten bytes at off become known later.
func stampedSpan(template []byte, off int) base.Span {
	low, high := bytes.Clone(template), bytes.Clone(template)
	for i := off; i < off+base.VersionstampLen; i++ {
		low[i], high[i] = 0, 0xFF
	}
	return base.Span{Start: low, End: base.Next(high)}
}

// covers reports whether key lies in one of the sorted, disjoint spans.
func covers(spans []base.Span, key []byte) bool {
	i := sort.Search(len(spans), func(i int) bool { return bytes.Compare(key, spans[i].End) < 0 })
	return i < len(spans) && spans[i].Contains(key)
}

// addSpan adds s to sorted, disjoint spans and joins what touches.
func addSpan(spans []base.Span, s base.Span) []base.Span {
	i := sort.Search(len(spans), func(i int) bool { return bytes.Compare(s.Start, spans[i].End) <= 0 })
	j := i
	for j < len(spans) && bytes.Compare(spans[j].Start, s.End) <= 0 {
		if bytes.Compare(spans[j].Start, s.Start) < 0 {
			s.Start = spans[j].Start
		}
		if bytes.Compare(s.End, spans[j].End) < 0 {
			s.End = spans[j].End
		}
		j++
	}
	out := append(spans[:i:i], s)
	return append(out, spans[j:]...)
}

// Saved are a transaction's writes at some time.
type Saved struct{ muts []base.Mutation }

// Save implements Txn.
func (t *txn) Save() Saved { return Saved{append([]base.Mutation(nil), t.w.muts...)} }

// Restore implements Txn.
func (t *txn) Restore(s Saved) {
	t.w.reset()
	for _, m := range s.muts {
		t.w.add(m)
	}
}
