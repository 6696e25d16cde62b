package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

func sorted(pairs []base.KeyValue) bool {
	order := ascending(pairs)
	seen := make([]bool, len(pairs))
	for i, r := range order {
		if seen[r.at] || i > 0 && bytes.Compare(pairs[order[i-1].at].Key, pairs[r.at].Key) > 0 {
			return false
		}
		seen[r.at] = true
	}
	return len(order) == len(pairs)
}

// TestAscending: keys that are prefixes of others, end with zeros or are alike for long are put
// in order, each once.
func TestAscending(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		pairs := make([]base.KeyValue, rnd.IntN(10*n+1))
		for i := range pairs {
			key := make([]byte, rnd.IntN(20), 300)
			for j := range key {
				key[j] = byte(rnd.IntN(2)) * byte(rnd.IntN(256))
			}
			if rnd.IntN(3) == 0 {
				key = append(bytes.Repeat([]byte{0, 7}[:1+n%2], 140), key...)
			}
			pairs[i].Key = key
		}
		if !sorted(pairs) {
			t.Fatalf("round %d: not in order: %x", n, pairs)
		}
	}
}

// BenchmarkAscending is an evicted slice of a sorted set's rows, and one of many strings.
func BenchmarkAscending(b *testing.B) {
	const rows = 20_000
	for name, key := range map[string]func(i int) []byte{
		"element": func(i int) []byte {
			key := binary.BigEndian.AppendUint64([]byte("\x04\x01\x01\x01\x00\x12\x34\x06myzset\x07"), uint64(i))
			return fmt.Appendf(key, "element:%012d", i)
		},
		"string": func(i int) []byte {
			return fmt.Appendf([]byte{4, 1, 1, 1, 0, byte(i), byte(i >> 8)}, "key:%012d", i)
		},
	} {
		pairs := make([]base.KeyValue, rows)
		for i := range pairs {
			pairs[i].Key = key(i * 7919 * 7919 % 1_000_003)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = ascending(pairs)
			}
		})
		b.Run(name+" compared", func(b *testing.B) {
			for b.Loop() {
				again := slices.Clone(pairs)
				slices.SortFunc(again, func(a, b base.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
			}
		})
	}
}
