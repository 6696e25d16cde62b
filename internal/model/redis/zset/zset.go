package zset

import (
	"math"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// AddOptions are those of ZADD. A command without any sets every score.
type AddOptions struct {
	// OnlyNew and OnlyOld are NX and XX, Greater and Less GT and LT.
	OnlyNew, OnlyOld, Greater, Less bool
	// Increment adds the score to what the member has.
	Increment bool
}

// AddResult is what Add did.
type AddResult struct {
	Added, Updated int64
	// Score is the last member's. Done is false if a condition kept it as it was.
	Score float64
	Done  bool
}

// Add is ZADD and ZINCRBY.
func Add(t kv.Txn, db *redis.DB, key []byte, members []Scored, o AddOptions) (r AddResult, err error) {
	var x zsetEdit
	if err := x.open(t, db, key); err != nil || !x.Found && o.OnlyOld {
		return r, err
	}
	for i := range members { // before the first one is written
		if x.memberTooLong(members[i].Member) {
			return r, redis.ErrKeyTooLong
		}
	}
	for i := range members {
		if err := x.add(&members[i], o, &r); err != nil {
			return r, err
		}
	}
	if err := x.finish(); err != nil {
		return r, err
	}
	if r.Added+r.Updated > 0 {
		x.Event(redis.EventZSet, map[bool]string{false: "zadd", true: "zincr"}[o.Increment])
	}
	return r, nil
}

func (x *zsetEdit) add(m *Scored, o AddOptions, r *AddResult) error {
	old, found, err := x.get(m.Member)
	if err != nil {
		return err
	}
	score := m.Score + 0 // -0 becomes 0
	if found && o.Increment {
		score += old
	}
	switch {
	case found && o.OnlyNew, !found && o.OnlyOld:
		r.Done = false
		return nil
	case math.IsNaN(score):
		return redis.ErrNaNScore
	case found && (o.Greater && score <= old || o.Less && score >= old):
		r.Done = false
		return nil
	case !found:
		r.Added++
	case score != old:
		r.Updated++
	default:
		r.Score, r.Done = old, true
		return nil
	}
	r.Score, r.Done = score, true
	return x.set(&Scored{m.Member, score}, old, found)
}

// Rem is ZREM: the number of members that it removed.
func Rem(t kv.Txn, db *redis.DB, key []byte, members [][]byte) (removed int64, err error) {
	var x zsetEdit
	if err := x.open(t, db, key); err != nil || !x.Found {
		return 0, err
	}
	for _, m := range members {
		present, err := x.del(m)
		if err != nil {
			return 0, err
		}
		if present {
			removed++
		}
	}
	if removed > 0 {
		x.Event(redis.EventZSet, "zrem")
	}
	return removed, x.finish()
}

// Card is ZCARD.
func Card(t kv.Txn, db *redis.DB, key []byte) (int64, error) {
	var z zset
	err := z.read(t, db, key)
	return z.n, err
}

// Score is ZSCORE.
func Score(t kv.Txn, db *redis.DB, key, member []byte) (score float64, found bool, err error) {
	var z zset
	if err := z.read(t, db, key); err != nil {
		return 0, false, err
	}
	return z.get(member)
}

// MScore is ZMSCORE: a score for each member is appended to dst, NaN where it is absent.
func MScore(t kv.Txn, db *redis.DB, key []byte, members [][]byte, dst []float64) ([]float64, error) {
	var z zset
	if err := z.read(t, db, key); err != nil {
		return nil, err
	}
	for _, m := range members {
		score, found, err := z.get(m)
		if err != nil {
			return nil, err
		}
		if !found {
			score = math.NaN()
		}
		dst = append(dst, score)
	}
	return dst, nil
}

// Rank is ZRANK and ZREVRANK: the member's place, and its score.
func Rank(t kv.Txn, db *redis.DB, key, member []byte, reverse bool) (rank int64, score float64, found bool, err error) {
	var z zset
	if err := z.read(t, db, key); err != nil {
		return 0, 0, false, err
	}
	if score, found, err = z.get(member); err != nil || !found {
		return 0, 0, false, err
	}
	m := Scored{member, score}
	if rank, err = z.rank(m.bound()); reverse {
		rank = z.n - 1 - rank
	}
	return rank, score, true, err
}

// Pop is ZPOPMIN and ZPOPMAX: up to count members, which it removes, appended to dst.
func Pop(t kv.Txn, db *redis.DB, key []byte, highest bool, count int64, dst []Scored) ([]Scored, error) {
	var x zsetEdit
	if err := x.open(t, db, key); err != nil || !x.Found || count <= 0 {
		return dst, err
	}
	return x.pop(highest, count, dst)
}

func (x *zsetEdit) pop(highest bool, count int64, dst []Scored) ([]Scored, error) {
	before := len(dst)
	event := map[bool]string{false: "zpopmin", true: "zpopmax"}[highest]
	if x.rows && !highest && count < x.n {
		x.Event(redis.EventZSet, event)
		return x.popFirst(count, dst)
	}
	err := x.scan(firstBound, lastBound, highest, func(m *Scored) bool {
		dst = append(dst, *m)
		return int64(len(dst)-before) < count
	})
	if err != nil {
		return nil, err
	}
	return dst, x.take(dst[before:], event)
}

// popFirst is pop for the lowest ones in rows, of which some stay.
func (x *zsetEdit) popFirst(count int64, dst []Scored) ([]Scored, error) {
	for count > 0 {
		before := len(dst)
		var bad error
		err := x.order.First(func(place []byte) bool {
			m, err := scoredAt(place)
			if bad = err; err != nil {
				return false
			}
			dst = append(dst, m)
			count--
			return count > 0
		})
		if err == nil {
			err = bad
		}
		for i := before; err == nil && i < len(dst); i++ {
			err = x.drop(&dst[i])
		}
		if err == nil && len(dst) == before {
			err = redis.Corrupt("a sorted set without its first %d of %d members", count, x.n)
		}
		if err != nil {
			return nil, err
		}
	}
	return dst, x.finish()
}

// take removes members that are there.
func (x *zsetEdit) take(members []Scored, event string) error {
	if len(members) == 0 {
		return nil
	}
	x.Event(redis.EventZSet, event)
	if int64(len(members)) == x.n {
		x.Remove(x.t)
		x.Event(redis.EventGeneric, "del")
		return nil
	}
	for i := range members {
		if err := x.drop(&members[i]); err != nil {
			return err
		}
	}
	return x.finish()
}

// MPop is ZMPOP: up to count members of the first of keys that has any; a nil key if none
// has.
func MPop(t kv.Txn, db *redis.DB, keys [][]byte, highest bool, count int64, dst []Scored) (key []byte, popped []Scored, err error) {
	for _, key := range keys {
		var x zsetEdit
		if err := x.open(t, db, key); err != nil {
			return nil, nil, err
		}
		if x.Found {
			popped, err = x.pop(highest, count, dst)
			return key, popped, err
		}
	}
	return nil, dst, nil
}

// Scan is ZSCAN: the members that one step finds are appended to dst.
func Scan(t kv.Txn, db *redis.DB, key []byte, cursor uint64, o redis.ScanOptions, dst []Scored) (next uint64, members []Scored, err error) {
	var z zset
	if err := z.read(t, db, key); err != nil || !z.Found {
		return 0, dst, err
	}
	take := func(m *Scored) {
		if o.Matches(m.Member) {
			dst = append(dst, *m)
		}
	}
	if !z.rows {
		return 0, dst, z.all(func(m *Scored) bool {
			if uint64(redis.PlaceOf(m.Member)) >= cursor { // of a set that had rows
				take(m)
			}
			return true
		})
	}
	if cursor >= uint64(redis.PlaceEnd) {
		return 0, dst, nil
	}
	step := redis.ScanStep{Left: o.Limit()}
	err = z.membersFrom(redis.Place(cursor), func(m *Scored, p redis.Place) bool {
		if !step.Covers(p) {
			return false
		}
		take(m)
		return true
	})
	return step.Next, dst, err
}
