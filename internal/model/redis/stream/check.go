package stream

import (
	"bytes"
	"encoding/binary"

	"github.com/stratadb/strata/internal/model/redis"
)

// check is what stands behind a stream's header. The rows come in the order of their parts.
type check struct {
	*redis.Checked
	stream      stream
	ignored     bool
	n           int64
	first, last ID
	groups      map[uint32]*groupCheck
}

// groupCheck is what stands behind a group.
type groupCheck struct {
	*group
	consumers  map[uint32]*consumer
	left       map[uint32]int64 // pending at each, by what is said where it is pending
	seen       int64
	owned      int64
	first, end ID
}

// Check begins the check of a stream.
func Check(c *redis.Checked) redis.ValueCheck {
	x := &check{Checked: c, stream: stream{Entry: redis.Entry{Found: true, Header: c.Header}}, groups: map[uint32]*groupCheck{}}
	if err := x.stream.decode(); err != nil {
		c.Problem("%v", err)
		x.ignored = true
	}
	return x
}

// Row checks a row behind the header.
func (c *check) Row(part byte, rest, value []byte) error {
	switch {
	case c.ignored:
		return nil
	case part == redis.PartEntry && len(rest) == idBytes:
		c.last = getID(rest)
		if c.n++; c.n == 1 {
			c.first = c.last
		}
		_, err := decodeStrings(value)
		return err
	case part == redis.PartGroup:
		g, err := c.stream.decodeGroup(bytes.Clone(rest), value)
		if err != nil {
			return err
		}
		if c.groups[g.number] != nil || g.number >= c.stream.nextGroup {
			return redis.Corrupt("the group's number %d", g.number)
		}
		c.groups[g.number] = &groupCheck{group: g, consumers: map[uint32]*consumer{}, left: map[uint32]int64{}}
		return nil
	}
	if len(rest) < 4 || c.groups[binary.BigEndian.Uint32(rest)] == nil {
		return redis.Corrupt("an orphan")
	}
	return c.groups[binary.BigEndian.Uint32(rest)].row(part, rest[4:], value)
}

func (g *groupCheck) row(part byte, rest, value []byte) error {
	switch {
	case part == redis.PartConsumer:
		c, err := g.decodeConsumer(bytes.Clone(rest), value)
		if err != nil {
			return err
		}
		if g.consumers[c.number] != nil || c.number >= g.nextConsumer {
			return redis.Corrupt("the consumer's number %d", c.number)
		}
		g.consumers[c.number] = c
		return nil
	case part == redis.PartPending && len(rest) == idBytes:
		p, err := decodePending(getID(rest), value)
		if err != nil {
			return err
		}
		if c := g.consumers[p.number]; c == nil || !bytes.Equal(c.name, p.name) {
			return redis.Corrupt("pending at nobody")
		}
		if g.seen++; g.seen == 1 {
			g.first = p.id
		}
		g.end = p.id
		g.left[p.number]++
		return nil
	case part == redis.PartOwned && len(rest) == 4+idBytes:
		g.left[binary.BigEndian.Uint32(rest)]--
		g.owned++
		return nil
	}
	return redis.Corrupt("an orphan")
}

// Close compares the rows with what is counted.
func (c *check) Close() {
	s := &c.stream
	switch {
	case c.ignored:
		return
	case c.n != s.n:
		c.Problem("%d entries are counted, there are %d", s.n, c.n)
	case c.n > 0 && (c.first != s.first || s.last.less(c.last)):
		c.Problem("it goes from %v to %v, not from %v to %v", c.first, c.last, s.first, s.last)
	case int64(len(c.groups)) != int64(s.groups):
		c.Problem("%d groups are counted, there are %d", s.groups, len(c.groups))
	}
	for _, g := range c.groups {
		c.closeGroup(g)
	}
}

func (c *check) closeGroup(g *groupCheck) {
	if g.seen != g.pending || g.owned != g.pending || int64(len(g.consumers)) != int64(g.group.consumers) {
		c.Problem("group %q counts %d pending and %d consumers, there are %d, %d of them at consumers, and %d", g.name, g.pending,
			g.group.consumers, g.seen, g.owned, len(g.consumers))
	}
	if g.seen > 0 && (g.first != g.low || g.high.less(g.end)) {
		c.Problem("group %q: pending from %v to %v, not from %v to %v", g.name, g.first, g.end, g.low, g.high)
	}
	sum := int64(0)
	for _, x := range g.consumers {
		sum += x.pending
	}
	if sum != g.pending {
		c.Problem("group %q: %d pending, %d at its consumers", g.name, g.pending, sum)
	}
	for number, n := range g.left {
		if n != 0 {
			c.Problem("group %q: %+d pending of its consumer %d have no row there", g.name, n, number)
		}
	}
}
