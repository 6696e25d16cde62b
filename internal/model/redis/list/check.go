package list

import (
	"encoding/binary"

	"github.com/stratadb/strata/internal/model/redis"
)

// listCheck is what stands behind a list's header. The nodes come in the order of their
// positions.
type listCheck struct {
	*redis.Checked
	list
	nodes, n    int64
	first, last uint64
	packed      int64
}

// Check begins the check of a list.
func Check(c *redis.Checked) redis.ValueCheck {
	x := &listCheck{Checked: c, list: list{Entry: redis.Entry{Found: true, Header: c.Header}}}
	if err := x.decode(); err != nil {
		c.Problem("%v", err)
		return ignored{}
	}
	return x
}

// ignored is a list of which the header is broken.
type ignored struct{}

func (ignored) Row(byte, []byte, []byte) error { return nil }
func (ignored) Close()                         {}

func (c *listCheck) packedRun(r run) (n int64, err error) {
	els, err := r.elements(nil)
	for _, v := range els {
		c.packed += packedBytes(v)
	}
	return int64(len(els)), err
}

// Row checks a node.
func (c *listCheck) Row(part byte, rest, value []byte) error {
	if part != redis.PartListNode || len(rest) != 8 {
		return redis.Corrupt("an orphan")
	}
	pos := binary.BigEndian.Uint64(rest)
	n, err := decodeListNode(pos, value)
	if err == nil {
		_, err = c.packedRun(n.run)
	}
	if err != nil {
		return err
	}
	if c.nodes++; c.nodes == 1 {
		c.first = pos
	} else if !c.loose && pos != c.last+listStride {
		c.Problem("the node at %x is not where it should be", pos)
	}
	c.last = pos
	c.n += n.n
	if !c.loose && n.n != c.per {
		c.Problem("the node at %x has %d elements, not %d", pos, n.n, c.per)
	}
	return nil
}

// Close compares the nodes with the header.
func (c *listCheck) Close() {
	for _, end := range c.ends {
		n, err := c.packedRun(end)
		if err != nil {
			c.Problem("%v", err)
		} else if n != end.n {
			c.Problem("%d elements are counted at an end, it has %d", end.n, n)
		}
	}
	switch {
	case c.n != c.inner():
		c.Problem("%d elements are counted in nodes, they have %d", c.inner(), c.n)
	case c.n == 0:
	case c.first != c.list.first || c.last != c.list.last:
		c.Problem("nodes from %x to %x, not from %x to %x", c.first, c.last, c.list.first, c.list.last)
	case !c.Header.Wide && c.packed+listpackFrameBytes != c.list.packed:
		c.Problem("%d bytes in a listpack, not %d", c.packed+listpackFrameBytes, c.list.packed)
	}
}
