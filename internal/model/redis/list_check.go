package redis

import (
	"github.com/stratadb/strata/internal/keyspace"
)

// listCheck is what stands behind a list's header.
type listCheck struct {
	nodes, n    int64
	first, last uint64
	packed      int64
}

func (c *slotCheck) packedRun(r run) (n int64, err error) {
	els, err := r.elements(nil)
	for _, v := range els {
		c.list.packed += packedBytes(v)
	}
	return int64(len(els)), err
}

// listNode checks a node; they come in the order of their positions.
func (c *slotCheck) listNode(key, value []byte) error {
	pos, err := positionOf(len(c.row), key)
	if err != nil {
		return err
	}
	n, err := decodeListNode(pos, value)
	if err == nil {
		_, err = c.packedRun(n.run)
	}
	if err != nil {
		return err
	}
	at := &c.list
	if at.nodes++; at.nodes == 1 {
		at.first = pos
	} else if c.h.enc == encListNodes && pos != at.last+listStride {
		c.problem("%s is not where it should be", keyspace.Pretty(key))
	}
	at.last = pos
	at.n += n.n
	l := list{entry: entry{found: true, h: c.h}}
	if l.decode() == nil && !l.loose && n.n != l.per {
		c.problem("%s has %d elements, not %d", keyspace.Pretty(key), n.n, l.per)
	}
	return nil
}

func (c *slotCheck) closeList() {
	l := list{entry: entry{found: true, h: c.h}}
	if err := l.decode(); err != nil {
		return // it was reported
	}
	for _, end := range l.ends {
		n, err := c.packedRun(end)
		if err != nil {
			c.problem("%s: %v", keyspace.Pretty(c.row), err)
		} else if n != end.n {
			c.problem("%s counts %d elements at an end, it has %d", keyspace.Pretty(c.row), end.n, n)
		}
	}
	got := c.list
	switch {
	case got.n != l.inner():
		c.problem("%s counts %d elements in nodes, they have %d", keyspace.Pretty(c.row), l.inner(), got.n)
	case got.n == 0:
	case got.first != l.first || got.last != l.last:
		c.problem("%s: nodes from %x to %x, not from %x to %x", keyspace.Pretty(c.row), got.first, got.last, l.first, l.last)
	case !c.h.wide && got.packed+listpackFrameBytes != l.packed:
		c.problem("%s: %d bytes in a listpack, not %d", keyspace.Pretty(c.row), got.packed+listpackFrameBytes, l.packed)
	}
}
