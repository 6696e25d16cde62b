package window

import "github.com/stratadb/strata/internal/base"

// carried is an evicted version that died in memory (W4). Snapshots below its
// successor still see it.
type carried struct {
	stamp base.Stamp
	value []byte // nil: absent
	pos   base.Position
	id    uint64
}

// carriages holds what is carried; the successors' entries say where. Place 0 is
// nobody's.
type carriages struct {
	list []carried
	free []uint32
	used int
}

// at is what is carried behind e, nil for nothing.
func (c *carriages) at(e *entry) *carried {
	if e.carry == 0 {
		return nil
	}
	return &c.list[e.carry]
}

func (c *carriages) put(e *entry, v carried) {
	if len(c.list) == 0 {
		c.list = make([]carried, 1)
	}
	if n := len(c.free); n > 0 {
		e.carry, c.free = c.free[n-1], c.free[:n-1]
		c.list[e.carry] = v
	} else {
		e.carry = uint32(len(c.list))
		c.list = append(c.list, v)
	}
	c.used++
}

// drop forgets what is carried behind e; the memory of the last is given back.
func (c *carriages) drop(e *entry) {
	if e.carry == 0 {
		return
	}
	c.list[e.carry] = carried{}
	c.free = append(c.free, e.carry)
	e.carry = 0
	if c.used--; c.used == 0 {
		*c = carriages{}
	}
}
