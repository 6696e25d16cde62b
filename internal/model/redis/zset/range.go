package zset

import (
	"math"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// ScoreRange is the scores between two, each included or not.
type ScoreRange struct {
	Min, Max                 float64
	MinExcluded, MaxExcluded bool
}

// LexBound is an end of a LexRange: a member, or with Infinite -1 or 1 what is before or
// behind all.
type LexBound struct {
	Infinite int
	Member   []byte
	Excluded bool
}

// LexRange is the members between two, of a set whose scores are all the same. With
// others the scores of its first member count.
type LexRange struct{ Min, Max LexBound }

// RangeBy is what a Range goes by.
type RangeBy uint8

// Ranges.
const (
	ByRank RangeBy = iota
	ByScore
	ByLex
)

// RangeOptions says which members Range is for.
type RangeOptions struct {
	By RangeBy
	// Start and Stop are ranks, from the other end if Reverse is set; negative ones count
	// from the end.
	Start, Stop int64
	Score       ScoreRange
	Lex         LexRange
	Reverse     bool
	// Offset members are skipped, Count ones returned; a negative Count is all. They
	// are not for ranks.
	Offset, Count int64
}

func (r *ScoreRange) bounds() (lo, hi bound) {
	lo, hi = bound{key: scoreKey(r.Min)}, bound{key: scoreKey(r.Max)}
	if r.MinExcluded {
		lo.key++
	}
	if !r.MaxExcluded {
		hi.key++
	}
	return lo, hi
}

func (b *LexBound) bound(key uint64, behind bool) bound {
	switch {
	case b.Infinite < 0:
		return firstBound
	case b.Infinite > 0:
		return lastBound
	case behind:
		return bound{key, b.Member}.next()
	}
	return bound{key, b.Member}
}

func (z *zset) lexBounds(r *LexRange) (lo, hi bound, err error) {
	var first Scored
	err = z.scan(firstBound, lastBound, false, func(m *Scored) bool {
		first = *m
		return false
	})
	key := scoreKey(first.Score)
	return r.Min.bound(key, r.Min.Excluded), r.Max.bound(key, !r.Max.Excluded), err
}

// span is where the members of a range stand, and up to how many of them, from the end
// if it is a reverse one, are asked for.
func (z *zset) span(o *RangeOptions) (lo, hi bound, count int64, err error) {
	switch o.By {
	case ByRank:
		return z.ranks(o)
	case ByScore:
		lo, hi = o.Score.bounds()
	case ByLex:
		if lo, hi, err = z.lexBounds(&o.Lex); err != nil {
			return lo, hi, 0, err
		}
	}
	count = o.Count
	if count < 0 {
		count = math.MaxInt64
	}
	switch {
	case o.Offset < 0:
		return lo, hi, 0, nil
	case o.Offset == 0 || count == 0:
		return lo, hi, count, nil
	case o.Reverse:
		rank, err := z.rank(hi)
		if err == nil && rank > o.Offset {
			hi, err = z.at(rank - o.Offset)
			return lo, hi, count, err
		}
		return lo, hi, 0, err
	}
	rank, err := z.rank(lo)
	if err == nil && rank < z.n-o.Offset {
		lo, err = z.at(rank + o.Offset)
		return lo, hi, count, err
	}
	return lo, hi, 0, err
}

// ranks is span for a range by rank.
func (z *zset) ranks(o *RangeOptions) (lo, hi bound, count int64, err error) {
	start, stop := o.Start, o.Stop
	if start < 0 {
		start = max(start+z.n, 0)
	}
	if stop < 0 {
		stop += z.n
	}
	stop = min(stop, z.n-1)
	lo, hi = firstBound, lastBound
	if start > stop {
		return lo, hi, 0, nil
	}
	switch {
	case start == 0:
	case o.Reverse:
		hi, err = z.at(z.n - start)
	default:
		lo, err = z.at(start)
	}
	return lo, hi, stop - start + 1, err
}

// choose appends the members of a range to dst.
func (z *zset) choose(o *RangeOptions, dst []Scored) ([]Scored, error) {
	lo, hi, count, err := z.span(o)
	if err != nil || count <= 0 {
		return dst, err
	}
	err = z.scan(lo, hi, o.Reverse, func(m *Scored) bool {
		dst = append(dst, *m)
		count--
		return count > 0
	})
	return dst, err
}

// Range is ZRANGE and its older forms: the members are appended to dst.
func Range(t kv.Txn, db *redis.DB, key []byte, o RangeOptions, dst []Scored) ([]Scored, error) {
	var z zset
	if err := z.read(t, db, key); err != nil || !z.Found {
		return dst, err
	}
	return z.choose(&o, dst)
}

// Visit visits the members of ranges, one range after the other, until visit ends it.
func Visit(t kv.Txn, db *redis.DB, key []byte, ranges []ScoreRange, visit func(m *Scored) bool) error {
	var z zset
	if err := z.read(t, db, key); err != nil || !z.Found {
		return err
	}
	more := true
	for i := 0; i < len(ranges) && more; i++ {
		lo, hi := ranges[i].bounds()
		if err := z.scan(lo, hi, false, func(m *Scored) bool {
			more = visit(m)
			return more
		}); err != nil {
			return err
		}
	}
	return nil
}

// Count is ZCOUNT and ZLEXCOUNT: the number of members of a range by score or member.
func Count(t kv.Txn, db *redis.DB, key []byte, o RangeOptions) (int64, error) {
	var z zset
	if err := z.read(t, db, key); err != nil || !z.Found {
		return 0, err
	}
	lo, hi, _, err := z.span(&o)
	if err != nil || compareBounds(lo, hi) >= 0 {
		return 0, err
	}
	before, err := z.rank(lo)
	if err != nil {
		return 0, err
	}
	upTo, err := z.rank(hi)
	return upTo - before, err
}

// RangeStore is ZRANGESTORE: the number of members, which become the value of key.
func RangeStore(t kv.Txn, db *redis.DB, key, from []byte, o RangeOptions) (int64, error) {
	members, err := Range(t, db, from, o, nil)
	if err != nil {
		return 0, err
	}
	return Replace(t, db, key, members, "zrangestore")
}

// Replace makes members the value of key, whatever that was: their number. event is the
// command's name.
func Replace(t kv.Txn, db *redis.DB, key []byte, members []Scored, event string) (int64, error) {
	var x zsetEdit
	if err := x.replace(t, db, key); err != nil {
		return 0, err
	}
	if err := x.fill(members); err != nil {
		return 0, err
	}
	if len(members) > 0 {
		x.Event(redis.EventZSet, event)
	}
	return int64(len(members)), nil
}

// RemRange is ZREMRANGEBYRANK, ZREMRANGEBYSCORE and ZREMRANGEBYLEX: the number of members
// that it removed. event is the command's name.
func RemRange(t kv.Txn, db *redis.DB, key []byte, o RangeOptions, event string) (int64, error) {
	var x zsetEdit
	if err := x.open(t, db, key); err != nil || !x.Found {
		return 0, err
	}
	members, err := x.choose(&o, nil)
	if err != nil {
		return 0, err
	}
	return int64(len(members)), x.take(members, event)
}
