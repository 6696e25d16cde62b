package zmap

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

const wordBytes = 8

func word(t kv.Txn, n uint64) []byte {
	b := t.Alloc(wordBytes)
	binary.LittleEndian.PutUint64(b, n)
	return b
}

// ParseInt64 reads a decimal 64-bit integer.
func ParseInt64(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, ErrNotInteger
	}
	return n, nil
}

// SetInt64 is ZSET.I64.
func SetInt64(t kv.Txn, m Map, key []byte, n int64) error {
	return Set(t, m, key, word(t, uint64(n)))
}

// AddInt64 is ZINC.I64. It wraps around and does not conflict.
func AddInt64(t kv.Txn, m Map, key []byte, n int64) error {
	return Mutate(t, m, base.OpAdd, key, word(t, uint64(n)))
}

// GetInt64 is ZGET.I64; found is false when the key is absent.
func GetInt64(r kv.Reader, m Map, key []byte) (n int64, found bool, err error) {
	value, err := Get(r, m, key)
	if value == nil || err != nil {
		return 0, false, err
	}
	if len(value) != wordBytes {
		return 0, false, ErrStoredInteger
	}
	return int64(binary.LittleEndian.Uint64(value)), true, nil
}

// ParseFloat64 reads a number, NaN and the infinities included. A number that is
// too large is an infinity.
func ParseFloat64(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, ErrNotDouble
	}
	return f, nil
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// double encodes a number; minus zero becomes zero.
func double(t kv.Txn, f float64) []byte { return word(t, math.Float64bits(f+0)) }

// SetFloat64 is ZSET.F64.
func SetFloat64(t kv.Txn, m Map, key []byte, f float64) error {
	if !finite(f) {
		return ErrNotFinite
	}
	return Set(t, m, key, double(t, f))
}

// AddFloat64 is ZINC.F64.
func AddFloat64(t kv.Txn, m Map, key []byte, delta float64) error {
	if !finite(delta) {
		return ErrDeltaNotFinite
	}
	old, _, err := GetFloat64(t, m, key)
	if err != nil {
		return err
	}
	sum := old + delta
	if !finite(sum) {
		return ErrSumNotFinite
	}
	return Set(t, m, key, double(t, sum))
}

// GetFloat64 is ZGET.F64; found is false when the key is absent.
func GetFloat64(r kv.Reader, m Map, key []byte) (f float64, found bool, err error) {
	value, err := Get(r, m, key)
	if value == nil || err != nil {
		return 0, false, err
	}
	if len(value) != wordBytes {
		return 0, false, ErrStoredDouble
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(value)), true, nil
}
