package prepared

import (
	"bytes"
	"cmp"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// ErrUnsplittable: a versionstamped key whose place is not known yet may land on
// either side. Try another key, or when the transaction has ended.
var ErrUnsplittable = errors.New("a versionstamped key may land on either side")

// ErrUnmergeable: a versionstamped key of one side may land on the other, where another
// transaction has locked a span. Try when one of the two has ended.
var ErrUnmergeable = errors.New("locks of two ranges meet")

// Split gives the keys below at to left and the others to right: locks are cut,
// the record goes where its anchor is, marks go to both sides. Nothing may be
// speculative. The table must not be used any more.
func (t *Table) Split(at []byte) (left, right *Table, err error) {
	if !t.settled() {
		return nil, nil, errors.AssertionFailedf("split of a table with a tail")
	}
	for _, h := range t.held {
		for i := range h.Mutations {
			if m := &h.Mutations[i]; m.Op == base.OpSetVersionstampedKey {
				if s := stampedSpan(m.Key); s.Contains(at) && !bytes.Equal(s.Start, at) {
					return nil, nil, ErrUnsplittable
				}
			}
		}
	}
	left, errLeft := side{at: at}.table(t)
	right, errRight := side{at: at, right: true}.table(t)
	return left, right, errors.CombineErrors(errLeft, errRight)
}

// settled reports whether nothing is speculative.
func (t *Table) settled() bool { return len(t.tail)+len(t.unstamped) == 0 }

// side is one side of a split.
type side struct {
	at    []byte
	right bool
}

// table is this side's part of t.
func (s side) table(t *Table) (*Table, error) {
	part := New()
	part.retain = t.retain
	for _, h := range t.held {
		if h = s.held(h); h != nil {
			if err := part.hold(h); err != nil {
				return nil, err
			}
		}
	}
	for id, f := range t.fates {
		part.fates[id] = s.fate(f)
	}
	return part, nil
}

func (s side) contains(key []byte) bool { return bytes.Compare(key, s.at) >= 0 == s.right }

// clip cuts a span; the result may be empty.
func (s side) clip(x base.Span) base.Span {
	if s.right && bytes.Compare(x.Start, s.at) < 0 {
		x.Start = s.at
	}
	if !s.right && bytes.Compare(x.End, s.at) > 0 {
		x.End = s.at
	}
	return x
}

// held is this side's part of a prepare, or nil.
func (s side) held(h *Held) *Held {
	part := &Held{Prepare: h.Prepare, Stamp: h.Stamp}
	part.ReadKeys, part.ReadSpans, part.Mutations = nil, nil, nil
	for _, k := range h.ReadKeys {
		if s.contains(k) {
			part.ReadKeys = append(part.ReadKeys, k)
		}
	}
	for _, x := range h.ReadSpans {
		if x = s.clip(x); !x.Empty() {
			part.ReadSpans = append(part.ReadSpans, x)
		}
	}
	for _, m := range h.Mutations {
		if m, ok := s.mutation(m); ok {
			part.Mutations = append(part.Mutations, m)
		}
	}
	if len(part.ReadKeys)+len(part.ReadSpans)+len(part.Mutations) == 0 {
		return nil
	}
	return part
}

func (s side) mutation(m base.Mutation) (base.Mutation, bool) {
	switch m.Op {
	case base.OpClearRange, base.OpTouch:
		x := s.clip(base.Span{Start: m.Key, End: m.Value})
		m.Key, m.Value = x.Start, x.End
		return m, !x.Empty()
	case base.OpSetVersionstampedKey:
		return m, s.contains(stampedSpan(m.Key).Start)
	}
	return m, s.contains(m.Key)
}

// fate is the record where the anchor is, and a mark on the other side.
func (s side) fate(f *Fate) *Fate {
	part := *f
	part.Pos = 0
	if f.Open != nil && !s.contains(f.Open.Anchor) {
		part.Open = nil
	}
	return &part
}

// Merge unites the tables of two neighbours. Nothing may be speculative in either.
// They must not be used any more.
func Merge(left, right *Table) (*Table, error) {
	if !left.settled() || !right.settled() {
		return nil, errors.AssertionFailedf("merge of a table with a tail")
	}
	t := New()
	t.retain = Retain{Refuse: max(left.retain.Refuse, right.retain.Refuse), Forget: max(left.retain.Forget, right.retain.Forget)}
	for id, l := range left.held {
		if err := t.hold(unite(l, right.held[id])); err != nil {
			return nil, err
		}
	}
	for id, r := range right.held {
		if left.held[id] == nil {
			if err := t.hold(unite(r, nil)); err != nil {
				return nil, err
			}
		}
	}
	for _, from := range []*Table{left, right} {
		for id, f := range from.fates {
			known := t.fates[id]
			if known != nil && known.Commit != f.Commit {
				return nil, errors.AssertionFailedf("transaction %s ends at %d, and at %d", id, known.Commit, f.Commit)
			}
			merged := *f
			merged.Pos = 0
			if known != nil {
				merged.Open = cmp.Or(f.Open, known.Open)
			}
			t.fates[id] = &merged
		}
	}
	return t, nil
}

// Mergeable reports whether Merge will unite the tables of two neighbours, of which the
// left one may have a tail that is going to be committed.
func Mergeable(left, right *Table) error {
	l := left.Clone()
	l.tail, l.unstamped = nil, nil
	if _, err := Merge(l, right.Clone()); err != nil {
		return errors.Wrap(ErrUnmergeable, err.Error())
	}
	return nil
}

// unite makes one prepare of two parts; b may be nil. Readers between the stamps
// of the parts ask the anchor, which is always right.
func unite(a, b *Held) *Held {
	u := &Held{Prepare: a.Prepare, Stamp: a.Stamp}
	if b != nil {
		u.Stamp = min(a.Stamp, b.Stamp)
		u.ReadStamp = max(a.ReadStamp, b.ReadStamp) // zero in a part without reads
		u.ReadKeys = append(a.ReadKeys[:len(a.ReadKeys):len(a.ReadKeys)], b.ReadKeys...)
		u.ReadSpans = append(a.ReadSpans[:len(a.ReadSpans):len(a.ReadSpans)], b.ReadSpans...)
		u.Mutations = append(a.Mutations[:len(a.Mutations):len(a.Mutations)], b.Mutations...)
	}
	return u
}
