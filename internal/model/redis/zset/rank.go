package zset

import (
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/rank"
)

// bytes are a bound as the rows of scores are named.
func (b bound) bytes(t kv.Txn) []byte {
	out := t.Alloc(8 + len(b.member))
	binary.BigEndian.PutUint64(out, b.key)
	copy(out[8:], b.member)
	return out
}

func boundOf(b []byte) bound {
	if len(b) < 8 {
		return firstBound
	}
	return bound{binary.BigEndian.Uint64(b), b[8:]}
}

// tree counts the members of one in rows.
func (z *zset) tree() *rank.Tree {
	return &rank.Tree{Txn: z.t, Prefix: z.Part(z.t, redis.PartNode, 0), Max: int64(z.DB.Options.RankNodeChildren), Elements: z.places,
		Count: z.n, Levels: z.levels, Roots: z.roots}
}

// places visits the names of score rows.
func (z *zset) places(from []byte, visit func(place []byte) bool) error {
	lo, at := boundOf(from), len(z.Row)+1
	if compareBounds(lo, z.first.bound) < 0 {
		lo = z.first.bound
	}
	span := base.Span{Start: z.scoreRow(lo), End: z.scoreRow(lastBound)}
	return z.t.Snapshot().Scan(span, kv.ScanOptions{}, func(key, _ []byte) bool { return visit(key[at:]) })
}

// counted keeps what a tree says after a change.
func (z *zset) counted(t *rank.Tree, err error) error {
	z.n, z.levels, z.roots = t.Count, t.Levels, t.Roots
	return err
}

// rank is the number of members before b.
func (z *zset) rank(b bound) (int64, error) {
	if !z.rows {
		return int64(z.search(b)), nil
	}
	return z.tree().Before(b.bytes(z.t))
}

// at is the place of the member with that rank, the end if there is none.
func (z *zset) at(rank int64) (bound, error) {
	switch {
	case rank >= z.n:
		return lastBound, nil
	case !z.rows:
		return z.elems[rank].bound(), nil
	}
	place, err := z.tree().At(rank)
	return boundOf(place), err
}
