package lsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

// TestMiddleKey: of keys that lie close together behind a long prefix, of few large
// values among many small ones, and of a part of them.
func TestMiddleKey(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte { // that does not compress
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	key := func(i int) []byte { return fmt.Appendf(nil, "\x04a prefix that all of them have/%06d", i) }
	for name, size := range map[string]func(i int) int{
		"equal":          func(int) int { return 300 },
		"large in front": func(i int) int { return 30 + 2000*(100/(i+1)) },
		"large behind":   func(i int) int { return 1 + i/4 },
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "lsm", CacheBytes: 1 << 20})
			defer func() { must(t, s.Close()) }()
			const keys = 4000
			sizes, total := make([]int, keys), 0
			apply(t, s, func(b *Batch) {
				for i := range keys {
					sizes[i] = size(i)
					b.Set(key(i), noise(sizes[i]))
				}
			})
			must(t, s.Flush())
			from := keys / 4
			for _, n := range sizes[from:] {
				total += n
			}
			mid, err := s.MiddleKey(base.Span{Start: key(from), End: []byte{0x05}})
			if err != nil {
				t.Fatal(err)
			}
			left := 0
			for i := from; i < keys && bytes.Compare(key(i), mid) < 0; i++ {
				left += sizes[i]
			}
			if share := float64(left) / float64(total); share < 0.4 || share > 0.6 {
				t.Errorf("%q has %.2f of the bytes on its left", mid, share)
			}
		})
	}
	s := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "lsm", CacheBytes: 1 << 20})
	defer func() { must(t, s.Close()) }()
	for range 2 { // nothing, and a single row
		if mid, err := s.MiddleKey(base.Span{}); err != nil || mid != nil {
			t.Errorf("%q, %v", mid, err)
		}
		apply(t, s, func(b *Batch) { b.Set(key(1), noise(1000)) })
		must(t, s.Flush())
	}
}

func TestBetween(t *testing.T) {
	for _, c := range []struct{ low, high, want string }{
		{"a", "c", "b"},
		{"a", "b", "a\x80"},
		{"a", "a\x00", ""},
		{"a", "a\x00\x00", ""},
		{"a\xff\xff", "b", "a\xff\xff\x80"},
		{"", "\x01", "\x00\x80"},
		{"\xff", "\xff\xff", "\xff\x7f\x80"},
	} {
		if got := between([]byte(c.low), []byte(c.high)); string(bytes.TrimRight(got, "\x00")) != c.want {
			t.Errorf("between %q and %q: %q, want %q", c.low, c.high, got, c.want)
		}
	}
}

// TestCompactSpan: what was removed key by key is gone from the disk afterwards.
func TestCompactSpan(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "lsm", CacheBytes: 1 << 20})
	defer func() { must(t, s.Close()) }()
	random := rand.New(rand.NewPCG(1, 2))
	key := func(i int) []byte { return fmt.Appendf(nil, "\x04%03d", i) }
	apply(t, s, func(b *Batch) {
		for i := range 100 {
			value := make([]byte, 10_000)
			for j := range value {
				value[j] = byte(random.Uint32())
			}
			b.Set(key(i), value)
		}
	})
	must(t, s.Flush())
	apply(t, s, func(b *Batch) {
		for i := range 99 {
			b.Delete(key(i))
		}
	})
	span := base.Span{Start: []byte{0x04}, End: []byte{0x05}}
	must(t, s.CompactSpan(t.Context(), span))
	if n, err := s.EstimateSize(span); err != nil || n < 9_000 || n > 30_000 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, found, err := s.Get(key(99)); err != nil || !found {
		t.Errorf("the last key: %v, %v", found, err)
	}
}

func BenchmarkMiddleKey(b *testing.B) {
	s := mustOpen(b, Options{FS: vfs.Default, Dir: b.TempDir()})
	defer func() { must(b, s.Close()) }()
	for i := range 20 {
		apply(b, s, func(batch *Batch) {
			for j := range 20_000 {
				batch.Set(fmt.Appendf(nil, "\x04user:%012d", j*20+i), make([]byte, 100))
			}
		})
		must(b, s.Flush())
	}
	for b.Loop() {
		if _, err := s.MiddleKey(base.Span{}); err != nil {
			b.Fatal(err)
		}
	}
}
