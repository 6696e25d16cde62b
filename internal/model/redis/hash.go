package redis

import (
	"strconv"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/redisnum"
)

// FieldValue is a field of a hash with its value.
type FieldValue struct{ Field, Value []byte }

// HSet is HSET and HMSET: the number of new fields. pairs holds fields and
// values in turn.
func HSet(t kv.Txn, db *DB, key []byte, pairs [][]byte) (created int64, err error) {
	var x hashEdit
	x.hint = pairsHint(pairs, db.Options.HashInlineBytes)
	if err := x.open(t, db, key); err != nil {
		return 0, err
	}
	if err := x.checkFields(pairs); err != nil {
		return 0, err
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		fresh, err := x.set(pairs[i], pairs[i+1], 0)
		if err != nil {
			return 0, err
		}
		if fresh {
			created++
		}
	}
	if err := x.finish(); err != nil {
		return 0, err
	}
	x.Event(EventHash, "hset")
	return created, nil
}

// pairsHint is how much room the pairs take at most in a header.
func pairsHint(pairs [][]byte, most int) int {
	n := 0
	for _, p := range pairs {
		n += UvarintLen(len(p)) + len(p)
	}
	return min(n, most)
}

// checkFields finds the caller's mistakes before anything is written.
func (x *hashEdit) checkFields(pairs [][]byte) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if x.FieldTooLong(pairs[i]) {
			return ErrKeyTooLong
		}
		if len(pairs[i+1]) > MaxFieldValueBytes {
			return ErrFieldValueTooLong
		}
	}
	return nil
}

// HSetNX is HSETNX: whether it stored the value.
func HSetNX(t kv.Txn, db *DB, key, field, value []byte) (bool, error) {
	var x hashEdit
	if err := x.open(t, db, key); err != nil {
		return false, err
	}
	_, found, err := x.get(field)
	if err != nil || found {
		return false, err
	}
	if _, err := x.set(field, value, 0); err != nil {
		return false, err
	}
	if err := x.finish(); err != nil {
		return false, err
	}
	x.Event(EventHash, "hset")
	return true, nil
}

// HGet is HGET; nil means absent.
func HGet(t kv.Txn, db *DB, key, field []byte) ([]byte, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeHash); err != nil {
		return nil, err
	}
	return e.fieldValue(t, field)
}

func (e *Entry) fieldValue(t kv.Txn, field []byte) ([]byte, error) {
	f, found, err := e.Field(t, field)
	if err != nil || !found {
		return nil, err
	}
	return f.value, nil
}

// HMGet is HMGET: one value for each field is appended to dst, nil where it is
// absent.
func HMGet(t kv.Txn, db *DB, key []byte, fields, dst [][]byte) ([][]byte, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeHash); err != nil {
		return nil, err
	}
	for _, field := range fields {
		v, err := e.fieldValue(t, field)
		if err != nil {
			return nil, err
		}
		dst = append(dst, v)
	}
	return dst, nil
}

// HGetAll is HGETALL, HKEYS and HVALS: all fields are appended to dst.
func HGetAll(t kv.Txn, db *DB, key []byte, dst []FieldValue) ([]FieldValue, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeHash); err != nil {
		return nil, err
	}
	err := e.Fields(t, func(f *HashField) {
		dst = append(dst, FieldValue{f.Field, f.value})
	})
	return dst, err
}

// HLen is HLEN.
func HLen(t kv.Txn, db *DB, key []byte) (int64, error) { return countFields(t, db, key, TypeHash) }

// countFields is HLen for a hash or a set.
func countFields(t kv.Txn, db *DB, key []byte, kind Type) (int64, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, kind); err != nil {
		return 0, err
	}
	return e.FieldCount()
}

// HStrLen is HSTRLEN.
func HStrLen(t kv.Txn, db *DB, key, field []byte) (int64, error) {
	v, err := HGet(t, db, key, field)
	return int64(len(v)), err
}

// HExists is HEXISTS.
func HExists(t kv.Txn, db *DB, key, field []byte) (bool, error) {
	v, err := HGet(t, db, key, field)
	return v != nil, err
}

// HDel is HDEL: the number of fields that it deleted.
func HDel(t kv.Txn, db *DB, key []byte, fields [][]byte) (int64, error) {
	return deleteFields(t, db, key, TypeHash, fields, EventHash, "hdel")
}

// deleteFields is HDel for a hash or a set.
func deleteFields(t kv.Txn, db *DB, key []byte, kind Type, fields [][]byte, class EventClass, event string) (deleted int64, err error) {
	var x hashEdit
	if err := x.openAs(t, db, key, kind); err != nil || !x.Found {
		return 0, err
	}
	for _, field := range fields {
		present, err := x.del(field)
		if err != nil {
			return 0, err
		}
		if present {
			deleted++
		}
	}
	if deleted > 0 {
		x.Event(class, event)
	}
	return deleted, x.finish()
}

// HIncrBy is HINCRBY: the sum. The field keeps its expiry.
func HIncrBy(t kv.Txn, db *DB, key, field []byte, delta int64) (int64, error) {
	var x hashEdit
	x.hint = len(field) + 24
	if err := x.open(t, db, key); err != nil {
		return 0, err
	}
	f, found, err := x.get(field)
	if err != nil {
		return 0, err
	}
	old := int64(0)
	if found {
		var ok bool
		if old, ok = redisnum.ParseInt(f.value); !ok {
			return 0, ErrHashNotInteger
		}
	}
	sum, ok := addInt(old, delta)
	if !ok {
		return 0, ErrOverflow
	}
	text := strconv.AppendInt(t.Alloc(20)[:0], sum, 10)
	if _, err := x.set(field, text, keepExpiry); err != nil {
		return 0, err
	}
	if err := x.finish(); err != nil {
		return 0, err
	}
	x.Event(EventHash, "hincrby")
	return sum, nil
}

// HIncrByFloat is HINCRBYFLOAT: the sum as it is stored. by is the argument's
// text. The field keeps its expiry.
func HIncrByFloat(t kv.Txn, db *DB, key, field, by []byte) ([]byte, error) {
	delta, ok := redisnum.ParseLongDouble(by)
	if !ok {
		return nil, ErrNotFloat
	}
	if !delta.Finite() {
		return nil, ErrInfiniteIncrement
	}
	var x hashEdit
	if err := x.open(t, db, key); err != nil {
		return nil, err
	}
	f, found, err := x.get(field)
	if err != nil {
		return nil, err
	}
	var old redisnum.LongDouble
	if found {
		if old, ok = redisnum.ParseLongDouble(f.value); !ok {
			return nil, ErrHashNotFloat
		}
	}
	sum := old.Add(delta)
	if !sum.Finite() {
		return nil, ErrNaNOrInfinity
	}
	text := redisnum.AppendLongDouble(nil, sum)
	if _, err := x.set(field, text, keepExpiry); err != nil {
		return nil, err
	}
	if err := x.finish(); err != nil {
		return nil, err
	}
	x.Event(EventHash, "hincrbyfloat")
	return text, nil
}

// TimedField is a field with its value and its expiry in ms of the Unix epoch, 0 for none.
type TimedField struct {
	FieldValue
	ExpireAt int64
}

// TimedFields appends all fields of a hash to dst.
func TimedFields(t kv.Txn, db *DB, key []byte, dst []TimedField) ([]TimedField, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeHash); err != nil {
		return nil, err
	}
	err := e.Fields(t, func(f *HashField) {
		dst = append(dst, TimedField{FieldValue{f.Field, f.value}, f.expireAt})
	})
	return dst, err
}
