package zset

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

const hotMembers = 100_000

func hotMember(i int) []byte { return fmt.Appendf(nil, "element:%012d", i) }

// benchmarkLarge runs f on a sorted set in rows.
func benchmarkLarge(b *testing.B, f func(t kv.Txn, db *redis.DB, key []byte, r *rand.Rand) error) {
	key, r := []byte("z"), rand.New(rand.NewPCG(1, 2))
	redistest.BenchmarkOn(b, redis.Options{}, func(t kv.Txn, db *redis.DB) error {
		members := make([]Scored, hotMembers)
		for i := range members {
			members[i] = Scored{hotMember(i), float64(r.IntN(1_000_000))}
		}
		_, err := Add(t, db, key, members, AddOptions{})
		return err
	}, func(t kv.Txn, db *redis.DB) error { return f(t, db, key, r) })
}

// BenchmarkZadd adds members, and changes the scores of some.
func BenchmarkZadd(b *testing.B) {
	one := make([]Scored, 1)
	benchmarkLarge(b, func(t kv.Txn, db *redis.DB, key []byte, r *rand.Rand) error {
		one[0] = Scored{hotMember(r.IntN(4 * hotMembers)), float64(r.IntN(1_000_000))}
		_, err := Add(t, db, key, one, AddOptions{})
		return err
	})
}

// BenchmarkZpopmin takes the first one and adds another.
func BenchmarkZpopmin(b *testing.B) {
	var room []Scored
	one := make([]Scored, 1)
	benchmarkLarge(b, func(t kv.Txn, db *redis.DB, key []byte, r *rand.Rand) (err error) {
		if room, err = Pop(t, db, key, false, 1, room[:0]); err != nil {
			return err
		}
		one[0] = Scored{room[0].Member, float64(r.IntN(1_000_000))}
		_, err = Add(t, db, key, one, AddOptions{})
		return err
	})
}

func BenchmarkZrank(b *testing.B) {
	benchmarkLarge(b, func(t kv.Txn, db *redis.DB, key []byte, r *rand.Rand) error {
		_, _, _, err := Rank(t, db, key, hotMember(r.IntN(hotMembers)), false)
		return err
	})
}

func BenchmarkZrange(b *testing.B) {
	var room []Scored
	benchmarkLarge(b, func(t kv.Txn, db *redis.DB, key []byte, r *rand.Rand) (err error) {
		from := int64(r.IntN(hotMembers))
		room, err = Range(t, db, key, RangeOptions{Start: from, Stop: from + 99}, room[:0])
		return err
	})
}
