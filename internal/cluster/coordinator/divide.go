package coordinator

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// part is what a transaction has to do with one range.
type part struct {
	span   base.Span // of the range
	at     []byte    // a key of it
	keys   [][]byte
	spans  []base.Span
	muts   []base.Mutation
	guards []Guard
	low    []byte // of what it locks
	high   []byte // not included
}

// around is the smallest span around what the transaction locks in the range.
func (p *part) around() base.Span { return base.Span{Start: p.low, End: p.high} }

func (p *part) reach(s base.Span) {
	if p.low == nil || bytes.Compare(s.Start, p.low) < 0 {
		p.low = s.Start
	}
	if bytes.Compare(s.End, p.high) > 0 {
		p.high = s.End
	}
}

// participantsMax is how many participants are named one by one. Every prepare names all
// of them, so neighbours are named together where there are more.
const participantsMax = 64

// participants names the parts for those who resolve the transaction: they go through a
// span from range to range.
func participants(parts []*part) (list []base.Span) {
	group := (len(parts) + participantsMax - 1) / participantsMax
	if group > 1 {
		parts = slices.SortedFunc(slices.Values(parts), func(a, b *part) int { return bytes.Compare(a.span.Start, b.span.Start) })
	}
	n := 0 // parts in the last span
	for i, p := range parts {
		if i > 0 && n < group && bytes.Equal(parts[i-1].span.End, p.span.Start) {
			list[len(list)-1].End = p.high
			n++
			continue
		}
		list, n = append(list, p.around()), 1
	}
	return list
}

// division sorts what a transaction did by ranges.
type division struct {
	c      *Coordinator
	parts  []*part
	sorted []*part // by their ranges
}

// at is the part of the range that holds key.
func (d *division) at(key []byte) (*part, error) {
	i, found := slices.BinarySearchFunc(d.sorted, key, func(p *part, key []byte) int { return bytes.Compare(p.span.Start, key) })
	switch {
	case found:
		return d.sorted[i], nil
	case i > 0 && d.sorted[i-1].span.Contains(key):
		return d.sorted[i-1], nil
	}
	span, err := d.c.o.Ranges.Span(key)
	if err != nil {
		return nil, err
	}
	if !span.Contains(key) {
		return nil, errors.Wrapf(base.ErrWrongRange, "key %q", key)
	}
	p := &part{span: span, at: key}
	d.parts = append(d.parts, p)
	d.sorted = slices.Insert(d.sorted, i, p)
	return p, nil
}

// each visits the parts that share a key with s, and what they share.
func (d *division) each(s base.Span, visit func(*part, base.Span)) error {
	for !s.Empty() {
		p, err := d.at(s.Start)
		if err != nil {
			return err
		}
		piece := s
		if bytes.Compare(p.span.End, s.End) < 0 {
			piece.End = p.span.End
		}
		p.reach(piece)
		visit(p, piece)
		s.Start = piece.End
	}
	return nil
}

// Wide reports whether a transaction has to do with more than one range.
func (c *Coordinator) Wide(q *Request) (bool, error) {
	parts, err := c.divide(q, q.At)
	return len(parts) > 1, err
}

func (c *Coordinator) divide(q *Request, after base.Stamp) ([]*part, error) {
	d := division{c: c}
	for i := range q.Mutations {
		if err := d.mutation(&q.Mutations[i], after); err != nil {
			return nil, err
		}
	}
	key := func(k []byte, add func(*part)) error {
		if len(k) == 0 {
			return nil // no range holds it, so nobody can write it
		}
		return d.each(base.KeySpan(k), func(p *part, _ base.Span) { add(p) })
	}
	for _, k := range q.ReadKeys {
		if err := key(k, func(p *part) { p.keys = append(p.keys, k) }); err != nil {
			return nil, err
		}
	}
	for _, s := range q.ReadSpans {
		if err := d.each(s, func(p *part, s base.Span) { p.spans = append(p.spans, s) }); err != nil {
			return nil, err
		}
	}
	for _, g := range q.Guards {
		if err := key(g.Key(), func(p *part) { p.guards = append(p.guards, g) }); err != nil {
			return nil, err
		}
	}
	return d.parts, nil
}

func (d *division) mutation(m *base.Mutation, after base.Stamp) error {
	switch m.Op {
	case base.OpClearRange, base.OpTouch:
		return d.each(base.Span{Start: m.Key, End: m.Value}, func(p *part, s base.Span) {
			p.muts = append(p.muts, base.Mutation{Op: m.Op, Key: s.Start, Value: s.End})
		})
	case base.OpSetVersionstampedKey:
		// Every range in which the key may land takes the operation; the one in which it
		// does land keeps it.
		low, high, ok := prepared.Landing(m.Key, after)
		if !ok {
			return base.ErrInvalidMutation
		}
		return d.each(base.Span{Start: low, End: base.Next(high)}, func(p *part, _ base.Span) { p.muts = append(p.muts, *m) })
	}
	if len(m.Key) == 0 {
		return errors.Wrap(base.ErrInvalidMutation, "empty key")
	}
	return d.each(base.KeySpan(m.Key), func(p *part, _ base.Span) { p.muts = append(p.muts, *m) })
}

// Place is a key of the range, or of one of those, that a mutation is for.
func Place(m *base.Mutation) []byte {
	if _, high, ok := prepared.Landing(m.Key, 0); ok && m.Op == base.OpSetVersionstampedKey {
		return high
	}
	return m.Key
}

// Inside reports whether a mutation writes nothing outside of s.
func Inside(m *base.Mutation, s base.Span) bool {
	switch m.Op {
	case base.OpClearRange, base.OpTouch:
		return bytes.Compare(s.Start, m.Key) <= 0 && bytes.Compare(m.Value, s.End) <= 0
	case base.OpSetVersionstampedKey:
		if low, high, ok := prepared.Landing(m.Key, 0); ok {
			return s.Contains(low) && s.Contains(high)
		}
	}
	return s.Contains(m.Key)
}

// anchor is the first written key.
func anchor(muts []base.Mutation, after base.Stamp) []byte {
	if m := &muts[0]; m.Op == base.OpSetVersionstampedKey {
		low, _, _ := prepared.Landing(m.Key, after)
		return low
	}
	return muts[0].Key
}
