package zset

import (
	"bytes"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/rank"
)

// zsetCheck is what stands behind a sorted set's header. The rows by member and those by
// score must say the same, which their sums compare.
type zsetCheck struct {
	*redis.Checked
	zset                  zset
	members, scores       int64
	memberSum, scoreSum   uint64
	first, last           bound
	level                 int
	nodes, below, counted [rank.LevelsMax]int64
}

// CheckZSet begins the check of a sorted set.
func Check(c *redis.Checked) redis.ValueCheck {
	x := &zsetCheck{Checked: c, zset: zset{Entry: redis.Entry{Found: true, Header: c.Header}}}
	if err := x.zset.decode(); err != nil {
		c.Problem("%v", err)
		x.zset.rows = false
	}
	return x
}

func scoredSum(m *Scored) uint64 {
	return xxhash.Sum64(m.Member) ^ math.Float64bits(m.Score)*0x9E3779B97F4A7C15
}

// Row checks a row behind the header.
func (z *zsetCheck) Row(part byte, rest, value []byte) error {
	switch {
	case part == redis.PartMember && len(rest) >= redis.PlaceBytes:
		m := Scored{Member: rest[redis.PlaceBytes:]}
		var err error
		if m.Score, err = decodeScore(value); err != nil {
			return err
		}
		if redis.PlaceOf(m.Member) != redis.DecodePlace(rest) {
			return redis.Corrupt("member %q is in the wrong place", m.Member)
		}
		z.members++
		z.memberSum += scoredSum(&m)
		return nil
	case part == redis.PartScore:
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
	case part == redis.PartNode:
		level, n, err := rank.Decode(rest, value)
		if err != nil {
			return err
		}
		if len(n.Place) == 0 != (level != z.level) {
			return redis.Corrupt("level %d does not begin with its first node", level)
		}
		z.level = level
		z.nodes[level]++
		z.below[level] += n.Children
		z.counted[level] += n.Elements
		return nil
	}
	return redis.Corrupt("an orphan")
}

// Close compares the rows with the header and with one another.
func (z *zsetCheck) Close() {
	if !z.zset.rows {
		return
	}
	n := z.zset.n
	switch {
	case z.members != n || z.scores != n:
		z.Problem("%d members are counted, there are %d, and %d scores", n, z.members, z.scores)
	case z.memberSum != z.scoreSum:
		z.Problem("its members and its scores differ")
	case compareBounds(edgeOf(z.first).bound, z.zset.first.bound) != 0 || compareBounds(edgeOf(z.last).bound, z.zset.last.bound) != 0:
		z.Problem("it goes from %v to %v, not from %v to %v", z.first, z.last, z.zset.first.bound, z.zset.last.bound)
	case z.level != z.zset.levels:
		z.Problem("it has %d levels, not %d", z.level, z.zset.levels)
	}
	below := n
	for level := 1; level <= z.zset.levels; level++ {
		if z.counted[level] != n || z.below[level] != below {
			z.Problem("level %d counts %d members and %d children of %d and %d", level, z.counted[level], z.below[level], n, below)
		}
		below = z.nodes[level]
	}
	if below != z.zset.roots {
		z.Problem("%d nodes at the top, not %d", below, z.zset.roots)
	}
}
