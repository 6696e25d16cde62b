package prepared

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/errors"
	"github.com/google/btree"

	"github.com/stratadb/strata/internal/base"
)

// owners are the transactions that have locked a key or a fragment.
type owners struct {
	write *Held
	reads []*Held
}

func (o *owners) empty() bool { return o.write == nil && len(o.reads) == 0 }

func (o *owners) add(h *Held, write bool) error {
	if !write {
		if n := len(o.reads); n == 0 || o.reads[n-1] != h { // a transaction locks all it has in one go
			o.reads = append(o.reads, h)
		}
		return nil
	}
	if o.write != nil && o.write != h {
		return errors.AssertionFailedf("transaction %s locks what %s has locked", h.ID, o.write.ID)
	}
	o.write = h
	return nil
}

func (o *owners) remove(h *Held, write bool) {
	if !write {
		o.reads = slices.DeleteFunc(o.reads, func(x *Held) bool { return x == h })
	} else if o.write == h {
		o.write = nil
	}
}

// pointLock is a locked key.
type pointLock struct {
	key []byte
	owners
}

// fragment is a piece of the keyspace that lies in the same locked spans.
type fragment struct {
	span base.Span
	owners
}

// locks is the index of a table's locks: keys in a hash table, and in order for
// those who come with a span; spans as disjoint fragments in order.
type locks struct {
	points    map[string]*pointLock
	order     *btree.BTreeG[*pointLock]
	fragments *btree.BTreeG[*fragment]
}

const btreeDegree = 16

func newLocks() locks {
	return locks{
		points:    map[string]*pointLock{},
		order:     btree.NewG(btreeDegree, func(a, b *pointLock) bool { return bytes.Compare(a.key, b.key) < 0 }),
		fragments: btree.NewG(btreeDegree, func(a, b *fragment) bool { return bytes.Compare(a.span.Start, b.span.Start) < 0 }),
	}
}

// add puts in all the locks of h.
func (l *locks) add(h *Held) error {
	return h.locks(
		func(key []byte, write bool) error {
			p := l.points[string(key)]
			if p == nil {
				p = &pointLock{key: key}
				l.points[string(key)] = p
				l.order.ReplaceOrInsert(p)
			}
			return p.add(h, write)
		},
		func(s base.Span, write bool) error {
			l.fill(s)
			var err error
			l.overlapping(s, func(f *fragment) { err = errors.CombineErrors(err, f.add(h, write)) })
			return err
		})
}

// remove takes out all the locks of h.
func (l *locks) remove(h *Held) {
	_ = h.locks(
		func(key []byte, write bool) error {
			if p := l.points[string(key)]; p != nil {
				p.remove(h, write)
				if p.empty() {
					delete(l.points, string(key))
					l.order.Delete(p)
				}
			}
			return nil
		},
		func(s base.Span, write bool) error {
			var empty []*fragment
			l.overlapping(s, func(f *fragment) {
				f.remove(h, write)
				if f.empty() {
					empty = append(empty, f)
				}
			})
			for _, f := range empty {
				l.fragments.Delete(f)
			}
			return nil
		})
}

// atKey visits the owners of key.
func (l *locks) atKey(key []byte, visit func(*owners)) {
	if p := l.points[string(key)]; p != nil {
		visit(&p.owners)
	}
	if f := l.cover(key); f != nil {
		visit(&f.owners)
	}
}

// inSpan visits the owners of anything in s.
func (l *locks) inSpan(s base.Span, visit func(*owners)) {
	l.order.AscendRange(&pointLock{key: s.Start}, &pointLock{key: s.End}, func(p *pointLock) bool {
		visit(&p.owners)
		return true
	})
	l.overlapping(s, func(f *fragment) { visit(&f.owners) })
}

// cover is the fragment that holds key, or nil.
func (l *locks) cover(key []byte) (found *fragment) {
	if l.fragments.Len() == 0 {
		return nil
	}
	l.fragments.DescendLessOrEqual(&fragment{span: base.Span{Start: key}}, func(f *fragment) bool {
		if f.span.Contains(key) {
			found = f
		}
		return false
	})
	return found
}

// overlapping visits the fragments that share a key with s.
func (l *locks) overlapping(s base.Span, visit func(*fragment)) {
	if f := l.cover(s.Start); f != nil && bytes.Compare(f.span.Start, s.Start) < 0 {
		visit(f)
	}
	l.fragments.AscendRange(&fragment{span: base.Span{Start: s.Start}}, &fragment{span: base.Span{Start: s.End}},
		func(f *fragment) bool { visit(f); return true })
}

// fill cuts the fragments at the ends of s and fills the holes between them with
// empty ones, so that those which overlap s make it up.
func (l *locks) fill(s base.Span) {
	l.cut(s.Start)
	l.cut(s.End)
	at := s.Start
	var holes []*fragment
	l.overlapping(s, func(f *fragment) {
		if bytes.Compare(at, f.span.Start) < 0 {
			holes = append(holes, &fragment{span: base.Span{Start: at, End: f.span.Start}})
		}
		at = f.span.End
	})
	if bytes.Compare(at, s.End) < 0 {
		holes = append(holes, &fragment{span: base.Span{Start: at, End: s.End}})
	}
	for _, f := range holes {
		l.fragments.ReplaceOrInsert(f)
	}
}

// cut makes key a boundary between fragments.
func (l *locks) cut(key []byte) {
	f := l.cover(key)
	if f == nil || bytes.Equal(f.span.Start, key) {
		return
	}
	right := &fragment{span: base.Span{Start: key, End: f.span.End}, owners: owners{f.write, slices.Clone(f.reads)}}
	f.span.End = key
	l.fragments.ReplaceOrInsert(right)
}
