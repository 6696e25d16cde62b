package redis

import (
	"math"
	"strconv"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/redisnum"
)

// IncrBy is INCR, DECR and INCRBY: the sum.
func IncrBy(t kv.Txn, db *DB, key []byte, delta int64) (int64, error) {
	var e Entry
	if err := e.LookupAs(t, db, key, TypeString); err != nil {
		return 0, err
	}
	old, err := e.integer(t)
	if err != nil {
		return 0, err
	}
	sum, ok := addInt(old, delta)
	if !ok {
		return 0, ErrOverflow
	}
	var digits [maxIntegerText]byte
	text := strconv.AppendInt(digits[:0], sum, 10)
	h := Header{Kind: TypeString, Enc: EncInline, ExpireAt: e.Header.ExpireAt}
	record, body := NewRecord(t, &h, len(text))
	copy(body, text)
	e.replace(t, &h, record)
	e.Event(EventString, "incrby")
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
func (e *Entry) integer(t kv.Txn) (int64, error) {
	if !e.Found {
		return 0, nil
	}
	if e.StringLen() > maxIntegerText {
		return 0, ErrNotInteger
	}
	text, err := e.StringOrNil(t)
	if err != nil {
		return 0, err
	}
	n, ok := redisnum.ParseInt(text)
	if !ok {
		return 0, ErrNotInteger
	}
	return n, nil
}

func addInt(a, b int64) (sum int64, ok bool) {
	sum = a + b
	return sum, (a < 0) != (b < 0) || (sum < 0) == (a < 0)
}

// What is longer is no number.
const (
	maxIntegerText = 20
	maxFloatText   = 5 << 10
)

// IncrByFloat is INCRBYFLOAT: the sum as it is stored. by is the argument's text.
func IncrByFloat(t kv.Txn, db *DB, key, by []byte) ([]byte, error) {
	var e Entry
	if err := e.LookupAs(t, db, key, TypeString); err != nil {
		return nil, err
	}
	old, err := e.longDouble(t)
	if err != nil {
		return nil, err
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
	e.SetString(t, text, EncInlineText, e.Header.ExpireAt)
	e.Event(EventString, "incrbyfloat")
	return text, nil
}

// longDouble is the string as a number, 0 if the key is absent.
func (e *Entry) longDouble(t kv.Txn) (n redisnum.LongDouble, err error) {
	if !e.Found {
		return n, nil
	}
	if e.StringLen() >= maxFloatText {
		return n, ErrNotFloat
	}
	text, err := e.StringOrNil(t)
	if err != nil {
		return n, err
	}
	n, ok := redisnum.ParseLongDouble(text)
	if !ok {
		return n, ErrNotFloat
	}
	return n, nil
}
