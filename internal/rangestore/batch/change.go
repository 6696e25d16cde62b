package batch

import (
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Change is what the log says of a change of the range itself. Everything else follows
// from the range's descriptor, which must have the epoch of the change when it is
// applied: otherwise it does nothing. It is a Split, Freeze, Thaw, Merge or Refuse.
type Change interface {
	kind() Kind
	// parts are a key, and numbers and what else there is.
	parts() (key, value []byte)
}

var (
	_ Change = Split{}
	_ Change = Freeze{}
	_ Change = Thaw{}
	_ Change = Merge{}
	_ Change = Refuse{}
)

// Split cuts the range in two.
type Split struct {
	// Key is the first key of the right side.
	Key []byte
	// Right is the id of the range that the right side becomes.
	Right base.RangeID
	Epoch base.Epoch
}

// Freeze makes the range wait for its left neighbour to take it over.
type Freeze struct {
	For   base.Freeze
	Epoch base.Epoch
}

// Thaw ends a freeze that was refused.
type Thaw struct{ Epoch base.Epoch }

// Refuse raises the range's epoch and does nothing else: no freeze for the epoch that it
// had leads to a merge any more.
type Refuse struct{ Epoch base.Epoch }

// Merge takes the right neighbour over.
type Merge struct {
	// Right is the frozen range as it is at Index of its log, an entry of the term
	// Term, whose last transaction has Position and Stamp.
	Right    base.RangeDescriptor
	Index    base.LogIndex
	Term     base.Term
	Position base.Position
	Stamp    base.Stamp
	Epoch    base.Epoch
}

func (Split) kind() Kind  { return KindSplit }
func (Freeze) kind() Kind { return KindFreeze }
func (Thaw) kind() Kind   { return KindThaw }
func (Merge) kind() Kind  { return KindMerge }
func (Refuse) kind() Kind { return KindRefuse }

func numbers(list ...uint64) (b []byte) {
	for _, n := range list {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func (s Split) parts() (key, value []byte) {
	return s.Key, numbers(uint64(s.Right), uint64(s.Epoch))
}

func (f Freeze) parts() (key, value []byte) {
	return nil, numbers(uint64(f.For.Left), uint64(f.For.Epoch), uint64(f.Epoch))
}

func (t Thaw) parts() (key, value []byte)   { return nil, numbers(uint64(t.Epoch)) }
func (r Refuse) parts() (key, value []byte) { return nil, numbers(uint64(r.Epoch)) }

func (m Merge) parts() (key, value []byte) {
	head := numbers(uint64(m.Index), uint64(m.Term), uint64(m.Position), uint64(m.Stamp), uint64(m.Epoch))
	return nil, m.Right.Append(head)
}

// AddChange makes the current transaction, which must be empty, a change of the range.
// Nothing may be added behind it.
func (b *Builder) AddChange(c Change) {
	key, value := c.parts()
	b.h.Kind, b.h.change = c.kind(), uint32(len(b.Buf))
	b.Buf = base.AppendBytes(base.AppendBytes(append(b.Buf, opChange), key), value)
}

// DecodeChange reads the change of a batch of another kind than KindTransactions. It
// keeps buf.
func DecodeChange(buf []byte) (Change, error) {
	h, err := DecodeHeader(buf)
	if err != nil {
		return nil, err
	}
	if h.Kind == KindTransactions || buf[h.change] != opChange {
		return nil, errors.Wrapf(base.ErrCorruption, "batch of kind %d has no change at offset %d", h.Kind, h.change)
	}
	d := base.NewDecoder(buf[h.change+1:])
	key := d.Bytes()
	v := base.NewDecoder(d.Bytes())
	c, good := decodeChange(h.Kind, key, &v)
	if !d.Done() || !v.Done() || !good || h.Kind != KindSplit && len(key) > 0 {
		return nil, errors.Wrapf(base.ErrCorruption, "change of kind %d", h.Kind)
	}
	return c, nil
}

func decodeChange(k Kind, key []byte, v *base.Decoder) (c Change, good bool) {
	switch k {
	case KindSplit:
		s := Split{Key: key, Right: base.RangeID(v.Uvarint()), Epoch: base.Epoch(v.Uvarint())}
		return s, s.Right != 0
	case KindFreeze:
		f := Freeze{For: base.Freeze{Left: base.RangeID(v.Uvarint()), Epoch: base.Epoch(v.Uvarint())}, Epoch: base.Epoch(v.Uvarint())}
		return f, f.For.Left != 0
	case KindThaw:
		return Thaw{base.Epoch(v.Uvarint())}, true
	case KindRefuse:
		return Refuse{base.Epoch(v.Uvarint())}, true
	}
	m := Merge{Index: base.LogIndex(v.Uvarint()), Term: base.Term(v.Uvarint()), Position: base.Position(v.Uvarint()),
		Stamp: base.Stamp(v.Uvarint()), Epoch: base.Epoch(v.Uvarint())}
	var err error
	m.Right, err = base.DecodeRangeDescriptor(v.Rest())
	return m, err == nil
}
