package redis

import (
	"bytes"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/model/redis/rank"
)

// zsetCheck is what stands behind a sorted set's header. The rows by member and those by
// score must say the same, which their sums compare.
type zsetCheck struct {
	members, scores       int64
	memberSum, scoreSum   uint64
	first, last           bound
	level                 int
	nodes, below, counted [rank.LevelsMax]int64
}

func scoredSum(m *Scored) uint64 {
	return xxhash.Sum64(m.Member) ^ math.Float64bits(m.Score)*0x9E3779B97F4A7C15
}

func (c *slotCheck) inlineMembers() {
	if _, err := decodeMembers(c.h.body); err != nil {
		c.problem("%s: %v", keyspace.Pretty(c.row), err)
	}
}

// zsetRow checks a row behind a sorted set's header.
func (c *slotCheck) zsetRow(part byte, rest, value []byte) error {
	z := &c.zset
	switch {
	case part == partMember && len(rest) >= placeBytes:
		m := Scored{Member: rest[placeBytes:]}
		var err error
		if m.Score, err = decodeScore(value); err != nil {
			return err
		}
		if placeOf(m.Member) != decodePlace(rest) {
			return corrupt("member %q of %s is in the wrong place", m.Member, keyspace.Pretty(c.row))
		}
		z.members++
		z.memberSum += scoredSum(&m)
		return nil
	case part == partScore:
		m, err := decodeScoreRow(rest, value)
		if err != nil {
			return err
		}
		z.last = bound{scoreKey(m.Score), bytes.Clone(m.Member)}
		if z.scores++; z.scores == 1 {
			z.first = z.last
		}
		z.scoreSum += scoredSum(&m)
		return nil
	case part == partNode:
		level, n, err := rank.Decode(rest, value)
		if err != nil {
			return err
		}
		if len(n.Place) == 0 != (level != z.level) {
			return corrupt("level %d of %s does not begin with its first node", level, keyspace.Pretty(c.row))
		}
		z.level = level
		z.nodes[level]++
		z.below[level] += n.Children
		z.counted[level] += n.Elements
		return nil
	}
	return corrupt("%s has a row in part %d", keyspace.Pretty(c.row), part)
}

func (c *slotCheck) closeZSet() {
	z := zset{entry: entry{found: true, h: c.h}}
	if err := z.decode(); err != nil || !z.rows {
		return // it was reported
	}
	got := &c.zset
	switch {
	case got.members != z.n || got.scores != z.n:
		c.problem("%s counts %d members, it has %d, and %d scores", keyspace.Pretty(c.row), z.n, got.members, got.scores)
	case got.memberSum != got.scoreSum:
		c.problem("%s: its members and its scores differ", keyspace.Pretty(c.row))
	case compareBounds(edgeOf(got.first).bound, z.first.bound) != 0 || compareBounds(edgeOf(got.last).bound, z.last.bound) != 0:
		c.problem("%s goes from %v to %v, not from %v to %v", keyspace.Pretty(c.row), got.first, got.last, z.first.bound, z.last.bound)
	case got.level != z.levels:
		c.problem("%s has %d levels, not %d", keyspace.Pretty(c.row), got.level, z.levels)
	}
	below := z.n
	for level := 1; level <= z.levels; level++ {
		if got.counted[level] != z.n || got.below[level] != below {
			c.problem("%s: level %d counts %d members and %d children of %d and %d", keyspace.Pretty(c.row), level,
				got.counted[level], got.below[level], z.n, below)
		}
		below = got.nodes[level]
	}
	if below != z.roots {
		c.problem("%s: %d nodes at the top, not %d", keyspace.Pretty(c.row), below, z.roots)
	}
}
