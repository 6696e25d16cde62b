// Package latency tells how long commands take: a histogram for each of them, and the peaks of
// events that took longer than somebody wants to know.
package latency

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A histogram's buckets divide each power of two of nanoseconds in partsOf.
const (
	partBits = 4
	partsOf  = 1 << partBits
	// octaves is up to which power of two: a second. What took longer is in the last bucket.
	octaves = 30
	buckets = (octaves - partBits + 1) * partsOf
)

// Histogram counts how long something took. The zero value is ready, and small until it is used.
type Histogram struct {
	counts atomic.Pointer[[buckets]atomic.Int64]
}

func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < partsOf {
		return int(n)
	}
	octave := bits.Len64(n) - 1 - partBits
	return min(octave*partsOf+int(n>>octave), buckets-1)
}

// top is the longest time that belongs to a bucket.
func top(bucket int) time.Duration {
	if bucket < partsOf {
		return time.Duration(bucket)
	}
	octave := bucket/partsOf - 1
	part := bucket - octave*partsOf
	return time.Duration((part+1)<<octave - 1)
}

// Add counts something n times.
func (h *Histogram) Add(d time.Duration, n int64) {
	counts := h.counts.Load()
	if counts == nil {
		counts = new([buckets]atomic.Int64)
		if !h.counts.CompareAndSwap(nil, counts) {
			counts = h.counts.Load()
		}
	}
	counts[bucketOf(d)].Add(n)
}

// Reset forgets everything.
func (h *Histogram) Reset() { h.counts.Store(nil) }

// Count is how much was counted.
func (h *Histogram) Count() (n int64) {
	h.visit(func(_ time.Duration, count int64) { n += count })
	return n
}

func (h *Histogram) visit(each func(longest time.Duration, count int64)) {
	counts := h.counts.Load()
	if counts == nil {
		return
	}
	for i := range counts {
		if n := counts[i].Load(); n > 0 {
			each(top(i), n)
		}
	}
}

// Percentile is how long the given part of a hundred took at most.
func (h *Histogram) Percentile(part float64) (at time.Duration) {
	total := h.Count()
	want, seen := int64(float64(total)*part/100+0.5), int64(0)
	h.visit(func(longest time.Duration, count int64) {
		if seen < max(want, 1) {
			at = longest
		}
		seen += count
	})
	return at
}

// Step is how many took up to some microseconds.
type Step struct{ Micros, Count int64 }

// firstStep is the first of the times that Steps tell, in nanoseconds. Each is twice the one before.
const firstStep = 1024

// Steps are those at which the count grows, at the times at which Redis tells it.
func (h *Histogram) Steps() (list []Step) {
	var seen int64
	limit := time.Duration(firstStep)
	step := func() Step { return Step{int64(limit+limit/128-1) / 1000, seen} }
	h.visit(func(longest time.Duration, count int64) {
		for longest >= limit {
			if n := len(list); seen > 0 && (n == 0 || list[n-1].Count < seen) {
				list = append(list, step())
			}
			limit *= 2
		}
		seen += count
	})
	if seen > 0 {
		list = append(list, step())
	}
	return list
}
