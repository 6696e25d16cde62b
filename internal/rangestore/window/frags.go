package window

import (
	"bytes"

	"github.com/google/btree"

	"github.com/stratadb/strata/internal/base"
)

// mark is a range tombstone, or a touch that only counts for validation.
type mark struct {
	span  base.Span
	pos   base.Position
	batch uint64
	at    uint64 // id of the entry that came next: the mark covers those below it
	touch bool
}

// frags keeps the marks in disjoint fragments of the keyspace, each with the
// marks that cover it, oldest first.
type frags struct {
	tree  *btree.BTreeG[*frag]
	marks []*mark // oldest first
}

type frag struct {
	span  base.Span
	marks []*mark
}

func newFrags() frags {
	return frags{tree: btree.NewG(16, func(a, b *frag) bool { return bytes.Compare(a.span.Start, b.span.Start) < 0 })}
}

// cover returns the fragment that holds key, or nil.
func (f *frags) cover(key []byte) (found *frag) {
	if f.tree.Len() == 0 {
		return nil
	}
	f.tree.DescendLessOrEqual(&frag{span: base.Span{Start: key}}, func(fr *frag) bool {
		if fr.span.Contains(key) {
			found = fr
		}
		return false
	})
	return found
}

// visit calls fn for the fragments that overlap s, in order, until it returns false.
func (f *frags) visit(s base.Span, fn func(*frag) bool) {
	if f.tree.Len() == 0 {
		return
	}
	if fr := f.cover(s.Start); fr != nil && bytes.Compare(fr.span.Start, s.Start) < 0 {
		if !fn(fr) {
			return
		}
	}
	f.tree.AscendRange(&frag{span: base.Span{Start: s.Start}}, &frag{span: base.Span{Start: s.End}}, fn)
}

// cut makes key a boundary of fragments.
func (f *frags) cut(key []byte) {
	fr := f.cover(key)
	if fr == nil || bytes.Equal(fr.span.Start, key) {
		return
	}
	right := &frag{span: base.Span{Start: key, End: fr.span.End}, marks: append([]*mark(nil), fr.marks...)}
	fr.span.End = key
	f.tree.ReplaceOrInsert(right)
}

func (f *frags) add(m *mark) {
	f.marks = append(f.marks, m)
	f.cut(m.span.Start)
	f.cut(m.span.End)
	at := m.span.Start
	var holes []*frag
	f.visit(m.span, func(fr *frag) bool {
		if bytes.Compare(at, fr.span.Start) < 0 {
			holes = append(holes, &frag{span: base.Span{Start: at, End: fr.span.Start}, marks: []*mark{m}})
		}
		fr.marks = append(fr.marks, m)
		at = fr.span.End
		return true
	})
	if bytes.Compare(at, m.span.End) < 0 {
		holes = append(holes, &frag{span: base.Span{Start: at, End: m.span.End}, marks: []*mark{m}})
	}
	for _, h := range holes {
		f.tree.ReplaceOrInsert(h)
	}
}

// dropOld forgets the marks of batches up to and including batch.
func (f *frags) dropOld(batch uint64) {
	n := 0
	for n < len(f.marks) && f.marks[n].batch <= batch {
		f.unlink(f.marks[n])
		n++
	}
	f.marks = append(f.marks[:0:0], f.marks[n:]...)
}

// dropNew forgets the marks of batch and later ones.
func (f *frags) dropNew(batch uint64) {
	n := len(f.marks)
	for n > 0 && f.marks[n-1].batch >= batch {
		n--
		f.unlink(f.marks[n])
	}
	f.marks = f.marks[:n]
}

func (f *frags) unlink(m *mark) {
	var empty []*frag
	f.visit(m.span, func(fr *frag) bool {
		for i, o := range fr.marks {
			if o == m {
				fr.marks = append(fr.marks[:i], fr.marks[i+1:]...)
				break
			}
		}
		if len(fr.marks) == 0 {
			empty = append(empty, fr)
		}
		return true
	})
	for _, fr := range empty {
		f.tree.Delete(fr)
	}
}
