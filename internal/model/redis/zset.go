package redis

import (
	"math"

	"github.com/stratadb/strata/internal/kv"
)

// ZAddOptions are those of ZADD. A command without any sets every score.
type ZAddOptions struct {
	// OnlyNew and OnlyOld are NX and XX, Greater and Less GT and LT.
	OnlyNew, OnlyOld, Greater, Less bool
	// Increment adds the score to what the member has.
	Increment bool
}

// ZAddResult is what ZAdd did.
type ZAddResult struct {
	Added, Updated int64
	// Score is the last member's. Done is false if a condition kept it as it was.
	Score float64
	Done  bool
}

// ZAdd is ZADD and ZINCRBY.
func ZAdd(t kv.Txn, db *DB, key []byte, members []Scored, o ZAddOptions) (r ZAddResult, err error) {
	var x zsetEdit
	if err := x.open(t, db, key); err != nil || !x.found && o.OnlyOld {
		return r, err
	}
	for i := range members { // before the first one is written
		if x.memberTooLong(members[i].Member) {
			return r, ErrKeyTooLong
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
		x.event(EventZSet, map[bool]string{false: "zadd", true: "zincr"}[o.Increment])
	}
	return r, nil
}

func (x *zsetEdit) add(m *Scored, o ZAddOptions, r *ZAddResult) error {
	old, found, err := x.get(m.Member)
	if err != nil {
		return err
	}
	score := m.Score
	if found && o.Increment {
		score += old
	}
	switch {
	case found && o.OnlyNew, !found && o.OnlyOld:
		r.Done = false
		return nil
	case math.IsNaN(score):
		return ErrNaNScore
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
	_, _, err = x.set(m.Member, score)
	return err
}

// ZRem is ZREM: the number of members that it removed.
func ZRem(t kv.Txn, db *DB, key []byte, members [][]byte) (removed int64, err error) {
	var x zsetEdit
	if err := x.open(t, db, key); err != nil || !x.found {
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
		x.event(EventZSet, "zrem")
	}
	return removed, x.finish()
}

// ZCard is ZCARD.
func ZCard(t kv.Txn, db *DB, key []byte) (int64, error) {
	var z zset
	err := z.read(t, db, key)
	return z.n, err
}

// ZScore is ZSCORE.
func ZScore(t kv.Txn, db *DB, key, member []byte) (score float64, found bool, err error) {
	var z zset
	if err := z.read(t, db, key); err != nil {
		return 0, false, err
	}
	return z.get(member)
}

// ZMScore is ZMSCORE: a score for each member is appended to dst, NaN where it is absent.
func ZMScore(t kv.Txn, db *DB, key []byte, members [][]byte, dst []float64) ([]float64, error) {
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

// ZRank is ZRANK and ZREVRANK: the member's place, and its score.
func ZRank(t kv.Txn, db *DB, key, member []byte, reverse bool) (rank int64, score float64, found bool, err error) {
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

// ZPop is ZPOPMIN and ZPOPMAX: up to count members, which it removes, appended to dst.
func ZPop(t kv.Txn, db *DB, key []byte, highest bool, count int64, dst []Scored) ([]Scored, error) {
	var x zsetEdit
	if err := x.open(t, db, key); err != nil || !x.found || count <= 0 {
		return dst, err
	}
	return x.pop(highest, count, dst)
}

func (x *zsetEdit) pop(highest bool, count int64, dst []Scored) ([]Scored, error) {
	before := len(dst)
	err := x.scan(firstBound, lastBound, highest, func(m *Scored) bool {
		dst = append(dst, *m)
		return int64(len(dst)-before) < count
	})
	if err != nil {
		return nil, err
	}
	return dst, x.take(dst[before:], map[bool]string{false: "zpopmin", true: "zpopmax"}[highest])
}

// take removes members that are there.
func (x *zsetEdit) take(members []Scored, event string) error {
	if len(members) == 0 {
		return nil
	}
	x.event(EventZSet, event)
	if int64(len(members)) == x.n {
		x.remove(x.t)
		x.event(EventGeneric, "del")
		return nil
	}
	for i := range members {
		if err := x.drop(&members[i]); err != nil {
			return err
		}
	}
	return x.finish()
}

// ZMPop is ZMPOP: up to count members of the first of keys that has any; a nil key if none
// has.
func ZMPop(t kv.Txn, db *DB, keys [][]byte, highest bool, count int64, dst []Scored) (key []byte, popped []Scored, err error) {
	for _, key := range keys {
		var x zsetEdit
		if err := x.open(t, db, key); err != nil {
			return nil, nil, err
		}
		if x.found {
			popped, err = x.pop(highest, count, dst)
			return key, popped, err
		}
	}
	return nil, dst, nil
}

// ZScan is ZSCAN: the members that one step finds are appended to dst.
func ZScan(t kv.Txn, db *DB, key []byte, cursor uint64, o ScanOptions, dst []Scored) (next uint64, members []Scored, err error) {
	var z zset
	if err := z.read(t, db, key); err != nil || !z.found {
		return 0, dst, err
	}
	take := func(m *Scored) {
		if o.matches(m.Member) {
			dst = append(dst, *m)
		}
	}
	if !z.rows {
		return 0, dst, z.all(func(m *Scored) bool {
			if uint64(placeOf(m.Member)) >= cursor { // of a set that had rows
				take(m)
			}
			return true
		})
	}
	if cursor >= uint64(placeEnd) {
		return 0, dst, nil
	}
	step := scanStep{left: o.count()}
	err = z.membersFrom(place(cursor), func(m *Scored, p place) bool {
		if !step.covers(p) {
			return false
		}
		take(m)
		return true
	})
	return step.next, dst, err
}
