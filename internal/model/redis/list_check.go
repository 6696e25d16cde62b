package redis

import (
	"github.com/stratadb/strata/internal/keyspace"
)

// listCheck is what stands behind a list's header.
type listCheck struct {
	n           int64
	first, last uint64
	packed      int64
}

func (c *slotCheck) inlineElements() {
	it := iterElements(c.h.body)
	for it.next() {
		c.list.n++
	}
	if it.err != nil {
		c.problem("%s: %v", keyspace.Pretty(c.row), it.err)
	}
}

// listRow checks the row of an element; they come in the order of their positions.
func (c *slotCheck) listRow(key, value []byte) error {
	pos, err := positionOf(len(c.row), key)
	if err != nil {
		return err
	}
	l := &c.list
	if l.n++; l.n == 1 {
		l.first, l.packed = pos, listpackFrameBytes
	} else if c.h.enc == encListRows && pos != l.last+listStride {
		c.problem("%s is not where it should be", keyspace.Pretty(key))
	}
	l.last = pos
	l.packed += packedBytes(value)
	return nil
}

func (c *slotCheck) closeList() {
	l := list{entry: entry{found: true, h: c.h}}
	if err := l.decode(); err != nil {
		return // it was reported
	}
	got := c.list
	switch {
	case got.n == 0:
		c.problem("%s is empty", keyspace.Pretty(c.row))
	case got.n != l.n:
		c.problem("%s counts %d elements, it has %d", keyspace.Pretty(c.row), l.n, got.n)
	case !l.rows:
	case got.first != l.first || got.last != l.last:
		c.problem("%s: elements from %x to %x, not from %x to %x", keyspace.Pretty(c.row), got.first, got.last, l.first, l.last)
	case !c.h.wide && got.packed != l.packed:
		c.problem("%s: %d bytes in a listpack, not %d", keyspace.Pretty(c.row), got.packed, l.packed)
	}
}
