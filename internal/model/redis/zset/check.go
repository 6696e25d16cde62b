package zset

import (
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/stratadb/strata/internal/model/redis"
)

// zsetCheck is what stands behind a sorted set's header. The rows by member and the order
// must say the same, which their sums compare.
type zsetCheck struct {
	*redis.Checked
	zset      zset
	members   int64
	memberSum uint64
	order     int64 // rows
}

// Check begins the check of a sorted set.
func Check(c *redis.Checked) redis.ValueCheck {
	x := &zsetCheck{Checked: c, zset: zset{t: c.Txn, Entry: redis.Entry{DB: &redis.DB{}, Row: c.Row, Found: true, Header: c.Header}}}
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
	case part == redis.PartOrder:
		z.order++
		return nil
	}
	return redis.Corrupt("an orphan")
}

// Close compares the rows with the header and with one another.
func (z *zsetCheck) Close() {
	if !z.zset.rows {
		return
	}
	var bad error
	sum := uint64(0)
	rows, err := z.zset.order.Check(func(place []byte) {
		m, err := scoredAt(place)
		if err != nil {
			bad = err
		}
		sum += scoredSum(&m)
	})
	switch n := z.zset.n; {
	case err != nil:
		z.Problem("%v", err)
	case bad != nil:
		z.Problem("%v", bad)
	case rows != z.order:
		z.Problem("its order has %d rows, of %d", rows, z.order)
	case z.members != n:
		z.Problem("%d members are counted, there are %d", n, z.members)
	case z.memberSum != sum:
		z.Problem("its members and its scores differ")
	}
}
