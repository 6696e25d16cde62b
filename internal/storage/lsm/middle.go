package lsm

import (
	"bytes"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

const (
	// middleNear is which share of the bytes may lie between the middle and the key
	// that is found, if there are keys in between.
	middleNear = 64
	// middleSteps bounds the search; a step halves the space of keys.
	middleSteps = 512
)

// MiddleKey is a key that has about half of the span's bytes on disk below it; nil if
// there is none. It reads indexes, and a few keys.
func (s *Store) MiddleKey(span base.Span) (key []byte, err error) {
	it, err := s.NewIterator(span)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.CombineErrors(err, it.Close()) }()
	if !it.First() {
		return nil, it.Err()
	}
	first := bytes.Clone(it.Key())
	if !it.Last() {
		return nil, it.Err()
	}
	low, high := first, base.Next(it.Key())
	total, err := s.EstimateSize(base.Span{Start: first, End: high})
	if err != nil || total == 0 {
		return nil, err
	}
	below, above := int64(0), total // of low and high
	for range middleSteps {
		mid := between(low, high)
		if mid == nil || above-below <= total/middleNear {
			break
		}
		n, err := s.EstimateSize(base.Span{Start: first, End: mid})
		if err != nil {
			return nil, err
		}
		if n < total/2 {
			low, below = mid, n
		} else {
			high, above = mid, n
		}
	}
	if !it.SeekGE(high) && !it.Last() || bytes.Equal(it.Key(), first) {
		return nil, it.Err()
	}
	return bytes.Clone(it.Key()), nil
}

// between is about halfway from low to high, which are read as binary fractions; nil if
// nothing is.
func between(low, high []byte) []byte {
	n := max(len(low), len(high)) + 1
	at := func(b []byte, i int) uint {
		if i < len(b) {
			return uint(b[i])
		}
		return 0
	}
	sum, carry := make([]byte, n), uint(0)
	for i := n - 1; i >= 0; i-- {
		carry += at(low, i) + at(high, i)
		sum[i] = byte(carry)
		carry >>= 8
	}
	for i := range sum {
		carry, sum[i] = uint(sum[i]), byte(carry<<7|uint(sum[i])>>1)
	}
	shared := 0
	for shared < n && at(low, shared) == at(high, shared) {
		shared++
	}
	mid := sum
	if short := sum[:min(shared+8, n)]; bytes.Compare(short, low) > 0 {
		mid = short
	}
	if bytes.Compare(mid, low) <= 0 || bytes.Compare(mid, high) >= 0 {
		return nil
	}
	return mid
}
