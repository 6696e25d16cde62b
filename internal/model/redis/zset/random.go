package zset

import (
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// RandMember is ZRANDMEMBER with a count: that many different members, or for a
// negative count -count members that may repeat, appended to dst.
func RandMember(t kv.Txn, db *redis.DB, key []byte, count int64, r redis.Rand, dst []Scored) ([]Scored, error) {
	if count < -redis.RandomFieldsMax {
		return nil, redis.ErrOutOfRange
	}
	var z zset
	if err := z.read(t, db, key); err != nil || !z.Found || count == 0 {
		return dst, err
	}
	few := z.n <= redis.ExactSampleFields || count >= z.n/3
	switch {
	case count < 0 && !few:
		for ; count < 0; count++ {
			m, err := z.member(int64(r.Uint64N(uint64(z.n))))
			if err != nil {
				return nil, err
			}
			dst = append(dst, m)
		}
		return dst, nil
	case !few:
		seen := make(map[int64]struct{}, count)
		for int64(len(seen)) < count {
			rank := int64(r.Uint64N(uint64(z.n)))
			if _, again := seen[rank]; again {
				continue
			}
			seen[rank] = struct{}{}
			m, err := z.member(rank)
			if err != nil {
				return nil, err
			}
			dst = append(dst, m)
		}
		return dst, nil
	}
	var all []Scored
	if err := z.all(func(m *Scored) bool { all = append(all, *m); return true }); err != nil {
		return nil, err
	}
	for ; count < 0; count++ {
		dst = append(dst, all[r.Uint64N(uint64(len(all)))])
	}
	for i := 0; i < int(min(count, int64(len(all)))); i++ {
		j := i + int(r.Uint64N(uint64(len(all)-i)))
		all[i], all[j] = all[j], all[i]
		dst = append(dst, all[i])
	}
	return dst, nil
}

// member is the one with that rank.
func (z *zset) member(rank int64) (m Scored, err error) {
	at, err := z.at(rank)
	if err != nil {
		return m, err
	}
	err = z.scan(at, lastBound, false, func(x *Scored) bool {
		m = *x
		return false
	})
	return m, err
}
