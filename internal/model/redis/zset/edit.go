package zset

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// zsetEdit changes the members of one sorted set and writes its header once at the end.
type zsetEdit struct {
	zset
	wide  bool
	dirty bool
	fresh bool // nothing of what the key held stays
	bytes int  // of the members in the header
}

func (x *zsetEdit) open(t kv.Txn, db *redis.DB, key []byte) error {
	if err := x.zset.open(t, db, key); err != nil {
		return err
	}
	x.wide, x.bytes = x.Header.Wide, len(x.Header.Body)
	return nil
}

// replace begins with nothing, whatever the key holds; finish then takes its place.
func (x *zsetEdit) replace(t kv.Txn, db *redis.DB, key []byte) error {
	if err := x.Lookup(t, db, key); err != nil {
		return err
	}
	x.t, x.dirty, x.fresh = t, true, true
	return nil
}

func scoredBytes(member []byte) int { return redis.UvarintLen(len(member)) + len(member) + 8 }

// set gives a member its score, which had the score old if it was found.
func (x *zsetEdit) set(m *Scored, old float64, found bool) (err error) {
	x.dirty = true
	switch {
	case x.rows:
		err = x.setRows(m, old, found)
	default:
		x.setInline(m, found)
		if len(x.elems) > min(x.DB.Options.HashInlineFields, redis.MaxInlineFields) || x.bytes > x.DB.Options.HashInlineBytes {
			err = x.toRows()
		}
	}
	x.widen(m.Member)
	return err
}

// widen notes what OBJECT ENCODING says once member is there.
func (x *zsetEdit) widen(member []byte) {
	x.wide = x.wide || x.n > listpackScored || len(member) > listpackScoredBytes
}

func (x *zsetEdit) setInline(m *Scored, found bool) {
	if found {
		i := x.index(m.Member)
		x.elems = slices.Delete(x.elems, i, i+1)
	} else {
		x.bytes += scoredBytes(m.Member)
	}
	x.elems = slices.Insert(x.elems, x.search(m.bound()), *m)
	x.n = int64(len(x.elems))
}

// toRows moves the members out of the header.
func (x *zsetEdit) toRows() error {
	elems := x.elems
	x.ClearRows(x.t)
	x.elems = nil
	x.inRows(0, 0)
	for i := range elems {
		if err := x.setRows(&elems[i], 0, false); err != nil {
			return err
		}
	}
	return nil
}

func (x *zsetEdit) setRows(m *Scored, old float64, found bool) (err error) {
	value := x.t.Alloc(8)
	binary.BigEndian.PutUint64(value, math.Float64bits(m.Score))
	x.t.Set(x.memberRow(m.Member), value)
	if at := m.bound().place(x.t); found {
		err = x.order.Move((&Scored{m.Member, old}).bound().place(x.t), at)
	} else {
		err = x.order.Add(at)
	}
	x.n = x.order.Count
	return err
}

// del removes a member and reports whether it was there.
func (x *zsetEdit) del(member []byte) (bool, error) {
	score, found, err := x.get(member)
	if err != nil || !found {
		return false, err
	}
	return true, x.drop(&Scored{member, score})
}

// drop removes a member that is there.
func (x *zsetEdit) drop(m *Scored) error {
	x.dirty = true
	if x.rows {
		x.t.Clear(x.memberRow(m.Member))
		err := x.order.Remove(m.bound().place(x.t))
		x.n = x.order.Count
		return err
	}
	i := x.index(m.Member)
	x.bytes -= scoredBytes(m.Member)
	x.elems = slices.Delete(x.elems, i, i+1)
	x.n--
	return nil
}

// finish writes the header, or deletes the key whose last member is gone.
func (x *zsetEdit) finish() error {
	switch {
	case !x.dirty:
		return nil
	case x.n == 0 && x.Found:
		x.Remove(x.t)
		x.Event(redis.EventGeneric, "del")
		return nil
	case x.n == 0:
		return nil
	}
	h := redis.Header{Kind: redis.TypeZSet, Wide: x.wide, Enc: encMembers}
	if !x.fresh {
		h.ExpireAt = x.Header.ExpireAt
	}
	if x.rows {
		if err := x.order.Flush(); err != nil {
			return err
		}
		h.Enc = encScores
		record, body := redis.NewRecord(x.t, &h, zsetBodyBytes)
		binary.BigEndian.PutUint64(body, uint64(x.n))
		body[8] = byte(x.order.Levels)
		x.Store(x.t, &h, record)
		return nil
	}
	size := redis.FieldsCountBytes
	for i := range x.elems {
		size += scoredBytes(x.elems[i].Member)
	}
	record, body := redis.NewRecord(x.t, &h, size)
	binary.BigEndian.PutUint16(body, uint16(len(x.elems)))
	body = body[:redis.FieldsCountBytes]
	for i := range x.elems {
		m := &x.elems[i]
		body = append(binary.AppendUvarint(body, uint64(len(m.Member))), m.Member...)
		body = binary.BigEndian.AppendUint64(body, math.Float64bits(m.Score))
	}
	x.Store(x.t, &h, record)
	return nil
}

// fill makes members the value, which replace has emptied. It sorts them.
func (x *zsetEdit) fill(members []Scored) error {
	for i := range members {
		if x.memberTooLong(members[i].Member) {
			return redis.ErrKeyTooLong
		}
		members[i].Score += 0 // -0 becomes 0
	}
	slices.SortFunc(members, func(a, b Scored) int { return compareBounds(a.bound(), b.bound()) })
	bytes := redis.FieldsCountBytes
	for i := range members {
		x.wide = x.wide || len(members[i].Member) > listpackScoredBytes
		bytes += scoredBytes(members[i].Member)
	}
	x.wide = x.wide || len(members) > listpackScored
	x.elems, x.n, x.bytes = members, int64(len(members)), bytes
	if len(members) > min(x.DB.Options.HashInlineFields, redis.MaxInlineFields) || bytes > x.DB.Options.HashInlineBytes {
		if err := x.toRows(); err != nil {
			return err
		}
	} else {
		x.ClearRows(x.t)
	}
	return x.finish()
}
