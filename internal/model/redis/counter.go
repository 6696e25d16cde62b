package redis

import (
	"math"
	"strconv"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/redisnum"
)

// IncrBy is INCR, DECR and INCRBY: the sum.
func IncrBy(t kv.Txn, db *DB, key []byte, delta int64) (int64, error) {
	var e entry
	if err := e.lookupAs(t, db, key, TypeString); err != nil {
		return 0, err
	}
	old, err := e.integer()
	if err != nil {
		return 0, err
	}
	sum, ok := addInt(old, delta)
	if !ok {
		return 0, ErrOverflow
	}
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], sum, 10)
	h := header{kind: TypeString, enc: encInline, expireAt: e.h.expireAt}
	record, body := newRecord(t, &h, len(text))
	copy(body, text)
	e.store(t, &h, record)
	e.event(EventString, "incrby")
	return sum, nil
}

// DecrBy is DECRBY: the difference.
func DecrBy(t kv.Txn, db *DB, key []byte, delta int64) (int64, error) {
	if delta == math.MinInt64 {
		return 0, ErrDecrementOverflow
	}
	return IncrBy(t, db, key, -delta)
}

// integer is the string as a number, 0 if the key is absent.
func (e *entry) integer() (int64, error) {
	if !e.found {
		return 0, nil
	}
	if e.h.enc == encPieces {
		return 0, ErrNotInteger
	}
	n, ok := redisnum.ParseInt(e.h.body)
	if !ok {
		return 0, ErrNotInteger
	}
	return n, nil
}

func addInt(a, b int64) (sum int64, ok bool) {
	sum = a + b
	return sum, (a < 0) != (b < 0) || (sum < 0) == (a < 0)
}

// maxFloatText bounds what is read as a number.
const maxFloatText = 5 << 10

// IncrByFloat is INCRBYFLOAT: the sum as it is stored. by is the argument's text.
func IncrByFloat(t kv.Txn, db *DB, key, by []byte) ([]byte, error) {
	var e entry
	if err := e.lookupAs(t, db, key, TypeString); err != nil {
		return nil, err
	}
	var old redisnum.LongDouble
	if e.found {
		ok := e.h.enc != encPieces && len(e.h.body) < maxFloatText
		if ok {
			old, ok = redisnum.ParseLongDouble(e.h.body)
		}
		if !ok {
			return nil, ErrNotFloat
		}
	}
	delta, ok := redisnum.ParseLongDouble(by)
	if !ok {
		return nil, ErrNotFloat
	}
	sum := old.Add(delta)
	if !sum.Finite() {
		return nil, ErrNaNOrInfinity
	}
	text := redisnum.AppendLongDouble(nil, sum)
	h := header{kind: TypeString, enc: encInlineText, expireAt: e.h.expireAt}
	record, body := newRecord(t, &h, len(text))
	copy(body, text)
	e.store(t, &h, record)
	e.event(EventString, "incrbyfloat")
	return body, nil
}
