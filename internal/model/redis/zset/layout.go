package zset

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/rank"
)

// The encodings of sorted sets. On disk.
const (
	// A sorted set in its header.
	encMembers redis.Encoding = 1
	// A sorted set in rows.
	encScores redis.Encoding = 2
)

const zsetBodyBytes = 8 + 1

// Redis's defaults of zset-max-listpack-entries and zset-max-listpack-value. They decide
// what OBJECT ENCODING says, and nothing else.
const (
	listpackScored      = 128
	listpackScoredBytes = 64
)

// Scored is a member of a sorted set.
type Scored struct {
	Member []byte
	Score  float64
}

// bound is a place in the order of a sorted set: before the member with that score, or
// before all of a score.
type bound struct {
	key    uint64 // see scoreKey
	member []byte
}

var (
	firstBound = bound{}
	lastBound  = bound{key: math.MaxUint64} // no score has that key
)

// scoreKey sorts as scores do.
func scoreKey(score float64) uint64 {
	bits := math.Float64bits(score)
	if bits>>63 != 0 {
		return ^bits
	}
	return bits | 1<<63
}

func scoreOf(key uint64) float64 {
	if key>>63 == 0 {
		return math.Float64frombits(^key)
	}
	return math.Float64frombits(key &^ (1 << 63))
}

func (m *Scored) bound() bound { return bound{scoreKey(m.Score), m.Member} }

// next is the place behind a member.
func (b bound) next() bound {
	return bound{b.key, append(slices.Clip(b.member), 0)}
}

func compareBounds(a, b bound) int {
	if c := cmp.Compare(a.key, b.key); c != 0 {
		return c
	}
	return bytes.Compare(a.member, b.member)
}

// zset is a sorted set as one command sees it.
type zset struct {
	redis.Entry
	t    kv.Txn
	n    int64
	rows bool
	// order has the members of one in rows, by their bounds.
	order rank.Tree
	// elems are the members of one in its header.
	elems []Scored
}

// open looks a sorted set up for a command that may write.
func (z *zset) open(t kv.Txn, db *redis.DB, key []byte) error {
	if err := z.LookupAs(t, db, key, redis.TypeZSet); err != nil {
		return err
	}
	z.t = t
	return z.decode()
}

// read is open for a command that only reads.
func (z *zset) read(t kv.Txn, db *redis.DB, key []byte) error {
	if err := z.ReadAs(t, db, key, redis.TypeZSet); err != nil {
		return err
	}
	z.t = t
	return z.decode()
}

func (z *zset) decode() error {
	if !z.Found {
		return nil
	}
	if err := validate(&z.Header); err != nil {
		return err
	}
	switch {
	case z.Header.Enc == encScores:
		b := z.Header.Body
		z.inRows(int64(binary.BigEndian.Uint64(b)), int(b[8]))
		return nil
	}
	var err error
	z.elems, err = decodeMembers(z.Header.Body)
	z.n = int64(len(z.elems))
	return err
}

// inRows makes it one of n members in rows.
func (z *zset) inRows(n int64, levels int) {
	z.rows, z.n = true, n
	o := &z.order // which is large, and empty
	o.Txn, o.Reader, o.Prefix = z.t, z.t.Snapshot(), z.Part(z.t, redis.PartOrder, 0)
	o.Children, o.Count, o.Levels = int64(z.DB.Options.RankNodeChildren), n, levels
}

func decodeMembers(b []byte) ([]Scored, error) {
	if len(b) < redis.FieldsCountBytes {
		return nil, redis.Corrupt("sorted set with a body of %d bytes", len(b))
	}
	n, at := int(binary.BigEndian.Uint16(b)), redis.FieldsCountBytes
	elems := make([]Scored, 0, min(n, len(b)/9)+1)
	for range n {
		size, w := binary.Uvarint(b[at:])
		if w <= 0 || uint64(len(b)-at-w) < 8 || size > uint64(len(b)-at-w-8) {
			return nil, redis.Corrupt("sorted set with a member of %d bytes at %d of %d", size, at, len(b))
		}
		at += w
		end := at + int(size)
		m := Scored{b[at:end:end], math.Float64frombits(binary.BigEndian.Uint64(b[end:]))}
		if !proper(m.Score) || len(elems) > 0 && compareBounds(elems[len(elems)-1].bound(), m.bound()) >= 0 {
			return nil, redis.Corrupt("sorted set out of order at %d", at)
		}
		elems = append(elems, m)
		at = end + 8
	}
	if at != len(b) || n == 0 {
		return nil, redis.Corrupt("%d bytes behind %d members of a sorted set", len(b)-at, n)
	}
	return elems, nil
}

// validate checks the fixed part of a sorted set's header.
func validate(h *redis.Header) error {
	switch {
	case h.Enc == encMembers && len(h.Body) > redis.FieldsCountBytes:
		return nil
	case h.Enc == encScores && len(h.Body) == zsetBodyBytes && int64(binary.BigEndian.Uint64(h.Body)) > 0 && h.Body[8] < rank.LevelsMax:
		return nil
	}
	return redis.Corrupt("sorted set of encoding %d with a body of %d bytes", h.Enc, len(h.Body))
}

// memberRow is the key of a member's row.
func (z *zset) memberRow(member []byte) []byte {
	return z.ElementRow(z.t, redis.PartMember, member)
}

// place is where a bound stands in the order.
func (b bound) place(t kv.Txn) []byte {
	out := t.Alloc(8 + len(b.member))
	binary.BigEndian.PutUint64(out, b.key)
	copy(out[8:], b.member)
	return out
}

// scoredAt is the member at a place.
func scoredAt(place []byte) (Scored, error) {
	if len(place) < 8 {
		return Scored{}, redis.Corrupt("a member at %x", place)
	}
	m := Scored{place[8:], scoreOf(binary.BigEndian.Uint64(place))}
	if !proper(m.Score) {
		return m, redis.Corrupt("a member with score %v", m.Score)
	}
	return m, nil
}

func decodeScore(b []byte) (float64, error) {
	if len(b) != 8 {
		return 0, redis.Corrupt("score of %d bytes", len(b))
	}
	score := math.Float64frombits(binary.BigEndian.Uint64(b))
	if !proper(score) {
		return 0, redis.Corrupt("score %v", score)
	}
	return score, nil
}

// proper reports whether a score can be stored.
func proper(score float64) bool { return !math.IsNaN(score) && (score != 0 || !math.Signbit(score)) }

func (z *zset) memberTooLong(member []byte) bool {
	return len(z.Row)+1+1+8+len(member) > redis.MaxRowBytes
}

// get is the score of a member.
func (z *zset) get(member []byte) (score float64, found bool, err error) {
	if !z.rows {
		i := z.index(member)
		if i < 0 {
			return 0, false, nil
		}
		return z.elems[i].Score, true, nil
	}
	if z.memberTooLong(member) {
		return 0, false, nil
	}
	raw, err := z.t.Snapshot().Get(z.memberRow(member))
	if err != nil || raw == nil {
		return 0, false, err
	}
	score, err = decodeScore(raw)
	return score, err == nil, err
}

func (z *zset) index(member []byte) int {
	return slices.IndexFunc(z.elems, func(m Scored) bool { return bytes.Equal(m.Member, member) })
}

// search is the number of members before b, of one in its header.
func (z *zset) search(b bound) int {
	i, _ := slices.BinarySearchFunc(z.elems, b, func(m Scored, b bound) int { return compareBounds(m.bound(), b) })
	return i
}

// scan visits the members from lo on and before hi, in order or in reverse, until visit
// ends it.
func (z *zset) scan(lo, hi bound, reverse bool, visit func(m *Scored) bool) error {
	if !z.rows {
		part := z.elems[z.search(lo):max(z.search(hi), z.search(lo))]
		for i := range part {
			m := &part[i]
			if reverse {
				m = &part[len(part)-1-i]
			}
			if !visit(m) {
				break
			}
		}
		return nil
	}
	if compareBounds(lo, hi) >= 0 {
		return nil
	}
	var bad error
	err := z.order.Scan(lo.place(z.t), hi.place(z.t), reverse, func(place []byte) bool {
		m, err := scoredAt(place)
		if bad = err; err != nil {
			return false
		}
		return visit(&m)
	})
	if err == nil {
		err = bad
	}
	return err
}

// all visits all members in their order.
func (z *zset) all(visit func(m *Scored) bool) error {
	return z.scan(firstBound, lastBound, false, visit)
}

// membersFrom visits the members of one in rows by place.
func (z *zset) membersFrom(p redis.Place, visit func(m *Scored, p redis.Place) bool) error {
	var bad error
	from := z.Part(z.t, redis.PartMember, redis.PlaceBytes)
	redis.PutPlace(from[len(z.Row)+1:], p)
	at := len(z.Row) + 1
	span := base.Span{Start: from, End: z.Part(z.t, redis.PartMember+1, 0)}
	err := z.t.Snapshot().Scan(span, kv.ScanOptions{}, func(key, value []byte) bool {
		if len(key) < at+redis.PlaceBytes {
			bad = redis.Corrupt("member row %x", key)
			return false
		}
		m := Scored{Member: key[at+redis.PlaceBytes:]}
		if m.Score, bad = decodeScore(value); bad != nil {
			return false
		}
		return visit(&m, redis.DecodePlace(key[at:]))
	})
	if err == nil {
		err = bad
	}
	return err
}
