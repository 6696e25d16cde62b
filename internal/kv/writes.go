package kv

import (
	"bytes"
	"sort"

	"github.com/google/btree"

	"github.com/stratadb/strata/internal/base"
)

// writes is the transaction's own writes: the mutations in order and, from the
// moment when searching them one by one would cost too much, an index by key.
type writes struct {
	muts  []base.Mutation
	bytes int64

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

// linearWrites is how many mutations are searched without an index.
const linearWrites = 64

// mutationOverhead is what a mutation costs beyond its key and value, in bytes.
const mutationOverhead = 12

func (w *writes) reset() {
	clear(w.muts)
	if cap(w.muts) > 4096 {
		w.muts = nil
	}
	w.muts, w.bytes, w.index, w.cleared, w.stamped = w.muts[:0], 0, nil, w.cleared[:0], w.stamped[:0]
}

func (w *writes) add(m base.Mutation) {
	if m.Op == base.OpSetVersionstampedKey {
		if tmpl, off, ok := base.VersionstampOffset(m.Key); ok {
			w.stamped = append(w.stamped, stampedSpan(tmpl, off))
		}
	}
	if w.index == nil && len(w.muts) >= linearWrites {
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
	w.push(m)
}

// replaceable is the mutation in whose place m, which sets or clears a key, may stand: one that
// did so before, with nothing between them that covers the key. It is -1 without one.
func (w *writes) replaceable(m base.Mutation) int {
	if m.Op != base.OpSet && m.Op != base.OpClear {
		return -1
	}
	for i := len(w.muts) - 1; i >= 0; i-- {
		switch o := &w.muts[i]; {
		case o.Op == base.OpTouch:
		case o.Op == base.OpClearRange || o.Op == base.OpSetVersionstampedKey:
			return -1
		case !bytes.Equal(o.Key, m.Key):
		case o.Op == base.OpSet || o.Op == base.OpClear:
			return i
		default:
			return -1
		}
	}
	return -1
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
		return w.lookupLinear(key)
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

func (w *writes) lookupLinear(key []byte) (e effect, value []byte, pending []base.Mutation) {
	from := -1
	for i := len(w.muts) - 1; i >= 0; i-- {
		m := &w.muts[i]
		switch {
		case m.Op == base.OpTouch || m.Op == base.OpSetVersionstampedKey:
			continue
		case m.Op == base.OpClearRange:
			if bytes.Compare(m.Key, key) > 0 || bytes.Compare(key, m.Value) >= 0 {
				continue
			}
		case !bytes.Equal(m.Key, key):
			continue
		}
		from = i
		if !m.Op.Atomic() {
			break
		}
	}
	if from < 0 {
		return effectNone, nil, nil
	}
	switch w.muts[from].Op {
	case base.OpSetVersionstampedValue:
		return effectStamped, nil, nil
	case base.OpSet:
		e, value = effectKnown, w.muts[from].Value
		if value == nil {
			value = []byte{}
		}
		from++
	case base.OpClear, base.OpClearRange:
		e = effectKnown
		from++
	default:
		e = effectPending
	}
	for _, m := range w.muts[from:] {
		if m.Op.Atomic() && bytes.Equal(m.Key, key) {
			pending = append(pending, m)
		}
	}
	if e == effectKnown {
		return e, applyPending(value, pending), nil
	}
	return e, nil, pending
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
