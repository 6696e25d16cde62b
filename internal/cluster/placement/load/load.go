// Package load samples the accesses of a range and says where the range would
// have to be cut so that its traffic falls into two halves.
//
// A Sample keeps a bounded, uniformly chosen part of what it is told (reservoir
// sampling, Vitter's algorithm R), so recording costs the same on a quiet and on
// a busy range. Decay makes older accesses count less. Best tries every sampled
// key as a split key and weighs two things:
//
//	balance      |left - right| / all: how unequal the two sides would be
//	containment  crossing / all: how many accesses would need both sides
//
// The key with the smallest sum wins. If even that one leaves nearly everything on
// one side, no split helps, and the verdict says why: one key is hot, or the
// accesses are spans that cross every key.
//
// Nothing here reads a clock or a global source of randomness: the seed comes in,
// and equal calls give equal verdicts.
package load

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/stratadb/strata/internal/base"
)

const (
	// SampleSize bounds the accesses that a Sample keeps: the shares that it
	// estimates are within five percent or so.
	SampleSize = 128
	// samplesLeast is how many accesses a verdict needs.
	samplesLeast = 32
	// sideLeast is the share of the traffic that either side of a split must get
	// to be worth a range.
	sideLeast = 0.2
	// crossingMost is the share of the traffic that may need both sides.
	crossingMost = 0.3
)

// access is one sampled read or write of [start, end); end is nil for a single key.
type access struct {
	start, end []byte
	write      bool
}

// Sample is a range's recent accesses. The zero value is not ready: use New. It is
// not safe for concurrent use.
type Sample struct {
	random        uint64
	seen          uint64 // accesses that compete for the reservoir's places
	reads, writes uint64
	kept          []access
}

// New is an empty sample; seed decides which accesses it will keep.
func New(seed uint64) *Sample { return &Sample{random: seed} }

// RecordKey counts an access to one key. The key is copied only if it is kept.
func (s *Sample) RecordKey(key []byte, write bool) { s.record(key, nil, write) }

// RecordSpan counts an access to all keys of a span.
func (s *Sample) RecordSpan(span base.Span, write bool) { s.record(span.Start, span.End, write) }

func (s *Sample) record(start, end []byte, write bool) {
	if write {
		s.writes++
	} else {
		s.reads++
	}
	s.seen++
	place := uint64(len(s.kept))
	if place == SampleSize {
		if place = s.next() % s.seen; place >= SampleSize {
			return
		}
	} else {
		s.kept = append(s.kept, access{})
	}
	s.kept[place] = access{start: bytes.Clone(start), end: bytes.Clone(end), write: write}
}

// next is the SplitMix64 generator.
func (s *Sample) next() uint64 {
	s.random += 0x9E3779B97F4A7C15
	z := s.random
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// Decay halves the weight of what was recorded so far. Called at a fixed interval
// it makes the sample follow the load with that half-life.
func (s *Sample) Decay() { s.seen, s.reads, s.writes = s.seen/2, s.reads/2, s.writes/2 }

// Counts are the recorded reads and writes, decayed.
func (s *Sample) Counts() (reads, writes uint64) { return s.reads, s.writes }

// Outcome says whether a split would help.
type Outcome uint8

const (
	// Unknown: too few accesses were seen.
	Unknown Outcome = iota
	// Splittable: Verdict.Key divides the traffic.
	Splittable
	// SingleHotKey: one key has nearly all of the traffic.
	SingleHotKey
	// SpansCross: every key that would divide the traffic lies inside of spans
	// that are read or written as a whole.
	SpansCross
)

var outcomeTable = [...]string{"unknown: too few accesses", "splittable", "single hot key", "spans cross every key"}

// String is the outcome in words.
func (o Outcome) String() string { return outcomeTable[o] }

// Verdict is where to split a range by its load. The shares are of the sampled
// accesses and add up to one; they belong to Key, which is the best key found
// even if it is not good enough, and the hot key if that is the outcome.
type Verdict struct {
	Outcome               Outcome
	Key                   []byte
	Left, Right, Crossing float64
	// Writes is the share of writes among the sampled accesses.
	Writes float64
}

// String renders the verdict for explanations.
func (v Verdict) String() string {
	if v.Outcome == Unknown {
		return v.Outcome.String()
	}
	return fmt.Sprintf("%s at %q: left %.0f%%, right %.0f%%, crossing %.0f%%, writes %.0f%%",
		v.Outcome, v.Key, 100*v.Left, 100*v.Right, 100*v.Crossing, 100*v.Writes)
}

// Best judges every sampled key strictly inside of span as a split key.
func (s *Sample) Best(span base.Span) Verdict {
	return s.BestOf(span, func(key []byte) []byte { return key })
}

// BestOf judges, in place of every sampled key, the one that cut makes of it; nil if
// there is none.
func (s *Sample) BestOf(span base.Span, cut func(key []byte) []byte) Verdict {
	inside := s.inside(span)
	if len(inside) < samplesLeast {
		return Verdict{}
	}
	best := Verdict{Left: 1}
	for i, key := range candidates(inside, span, cut) {
		if v := divide(inside, key); i == 0 || v.score() <= best.score() {
			best = v
		}
	}
	for _, a := range inside {
		if a.write {
			best.Writes += 1 / float64(len(inside))
		}
	}
	hot, share := hottest(inside)
	switch {
	case min(best.Left, best.Right) >= sideLeast && best.Crossing <= crossingMost:
		best.Outcome = Splittable
	case share > 1-2*sideLeast:
		best.Outcome, best.Key = SingleHotKey, hot
	default:
		best.Outcome = SpansCross
	}
	return best
}

// score is what Best makes small.
func (v Verdict) score() float64 { return max(v.Left-v.Right, v.Right-v.Left) + v.Crossing }

// inside are the kept accesses that touch span: after a split the sample may
// still hold some of the other side.
func (s *Sample) inside(span base.Span) []access {
	var in []access
	for _, a := range s.kept {
		if a.end == nil && span.Contains(a.start) || a.end != nil && span.Overlaps(base.Span{Start: a.start, End: a.end}) {
			in = append(in, a)
		}
	}
	return in
}

// candidates are the keys where an access begins and those just behind one, in
// order and without duplicates.
func candidates(in []access, span base.Span, cut func(key []byte) []byte) [][]byte {
	var keys [][]byte
	for _, a := range in {
		end := a.end
		if end == nil {
			end = base.Next(a.start)
		}
		for _, k := range [][]byte{a.start, end} {
			if k = cut(k); k != nil && span.Contains(k) && !bytes.Equal(k, span.Start) {
				keys = append(keys, k)
			}
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

// divide counts what a split at key would do.
func divide(in []access, key []byte) Verdict {
	v, one := Verdict{Key: key}, 1/float64(len(in))
	for _, a := range in {
		switch {
		case bytes.Compare(a.start, key) >= 0:
			v.Right += one
		case a.end == nil || bytes.Compare(a.end, key) <= 0:
			v.Left += one
		default:
			v.Crossing += one
		}
	}
	return v
}

// hottest is the key with the most accesses of its own, and its share.
func hottest(in []access) (key []byte, share float64) {
	count := map[string]int{}
	for _, a := range in {
		if a.end == nil {
			count[string(a.start)]++
		}
	}
	most := 0
	for k, n := range count {
		if n > most || n == most && k < string(key) {
			key, most = []byte(k), n
		}
	}
	return key, float64(most) / float64(len(in))
}
