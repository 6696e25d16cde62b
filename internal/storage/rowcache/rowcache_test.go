package rowcache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratadb/strata/internal/base"
)

// TestModel runs random operations against a map that stands for Pebble: a hit
// must equal what the map holds.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(Options{
			Bytes:          rapid.SampledFrom([]int64{1 << 10, 8 << 10, 600 << 10}).Draw(t, "bytes"),
			ValueBytesMax:  200,
			InsertOnUpdate: rapid.Bool().Draw(t, "insert"),
		})
		base1 := map[string][]byte{}
		keys := rapid.SliceOfNDistinct(rapid.StringN(1, 3, 30), 20, 60, rapid.ID[string]).Draw(t, "keys")
		key := rapid.SampledFrom(keys)
		type pending struct {
			key     string
			value   []byte
			present bool
			token   Token
		}
		var reads []pending
		var buf []byte
		for range rapid.IntRange(50, 400).Draw(t, "steps") {
			k := key.Draw(t, "key")
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0, 1, 2:
				if rapid.Bool().Draw(t, "expected") {
					c.expect([][]byte{[]byte("elsewhere"), []byte(k)})
				}
				got, state := c.Get([]byte(k), buf)
				buf = got
				want, present := base1[k]
				if state == Hit && (!present || !bytes.Equal(got, want)) || state == Absent && present {
					t.Fatalf("get %q: %v %q, want %q %t", k, state, got, want, present)
				}
			case 3, 4: // a read begins
				p := pending{key: k, token: c.Begin([]byte(k))}
				v, ok := base1[k]
				p.value, p.present = bytes.Clone(v), ok
				reads = append(reads, p)
			case 5, 6: // and ends, some time later
				if len(reads) > 0 {
					i := rapid.IntRange(0, len(reads)-1).Draw(t, "read")
					p := reads[i]
					reads = append(reads[:i], reads[i+1:]...)
					c.Fill([]byte(p.key), p.value, p.present, p.token)
				}
			case 7:
				v := bytes.Repeat([]byte{byte(rapid.IntRange(0, 255).Draw(t, "b"))}, rapid.IntRange(0, 250).Draw(t, "len"))
				base1[k] = v
				c.Update([]byte(k), v, true)
			case 8:
				delete(base1, k)
				if rapid.Bool().Draw(t, "invalidate") {
					c.Invalidate([]byte(k))
				} else {
					c.Update([]byte(k), nil, false)
				}
			case 9:
				end := k + "\x7f"
				for o := range base1 {
					if o >= k && o < end {
						delete(base1, o)
					}
				}
				c.InvalidateSpan(base.Span{Start: []byte(k), End: []byte(end)})
			}
			if m := c.Metrics(); m.Bytes > max(c.opts.Bytes, 1<<10) {
				t.Fatalf("%d bytes allocated, budget %d", m.Bytes, c.opts.Bytes)
			}
		}
	})
}

// TestUseful: what was filled is found again, a hot set survives a scan.
func TestUseful(t *testing.T) {
	c := New(Options{Bytes: 1 << 20})
	fill := func(i int) {
		k := fmt.Appendf(nil, "key%07d", i)
		c.Fill(k, bytes.Repeat(k, 8), i%5 != 0, c.Begin(k))
	}
	hot := func() (hits int) {
		for i := range 100 {
			if v, st := c.Get(fmt.Appendf(nil, "key%07d", i), nil); st != Miss {
				hits++
				if st == Hit && len(v) != 80 {
					t.Fatalf("value of %d bytes", len(v))
				}
			}
		}
		return hits
	}
	for i := range 100 {
		fill(i)
	}
	if n := hot(); n != 100 {
		t.Fatalf("%d of 100 hits", n)
	}
	for i := 100; i < 100_000; i++ {
		fill(i)
		if i%200 == 0 {
			hot()
		}
	}
	if n := hot(); n < 95 {
		t.Fatalf("%d of 100 hits after a scan", n)
	}
	c.Clear()
	if n := hot(); n != 0 {
		t.Fatalf("%d hits after clear", n)
	}
}

// TestSpanOverflow: more invalidated spans than are remembered.
func TestSpanOverflow(t *testing.T) {
	c := New(Options{Bytes: 1 << 20})
	a, z := []byte("a"), []byte("zz")
	c.Fill(a, a, true, c.Begin(a))
	c.Fill(z, z, true, c.Begin(z))
	c.InvalidateSpan(base.KeySpan(a))
	if _, st := c.Get(z, nil); st != Hit {
		t.Fatal("an unrelated key was lost")
	}
	for range 2 * spansMax {
		c.InvalidateSpan(base.KeySpan([]byte("b")))
	}
	if _, st := c.Get(a, nil); st != Miss {
		t.Fatal("stale value after the span was forgotten")
	}
	for _, k := range [][]byte{a, z} {
		tok := c.Begin(k)
		c.InvalidateSpan(base.KeySpan(k))
		c.Fill(k, k, true, tok)
		if _, st := c.Get(k, nil); st != Miss {
			t.Fatalf("fill of %q across an invalidation", k)
		}
	}
}

// TestFillDoesNotGoBack: between a write and its Update two readers find the old and the
// new value; who comes first stays.
func TestFillDoesNotGoBack(t *testing.T) {
	c := New(Options{Bytes: 64 << 10})
	key := []byte("k")
	slow, quick := c.Begin(key), c.Begin(key)
	c.Fill(key, []byte("new"), true, quick)
	c.Fill(key, []byte("old"), true, slow)
	if v, st := c.Get(key, nil); st != Hit || string(v) != "new" {
		t.Errorf("%q, %v", v, st)
	}
	c.InvalidateSpan(base.KeySpan(key))
	c.Fill(key, []byte("newer"), true, c.Begin(key))
	if v, st := c.Get(key, nil); st != Hit || string(v) != "newer" {
		t.Errorf("behind an invalidation: %q, %v", v, st)
	}
}

// TestConcurrent: a reader never sees a counter go back. Every key holds a number
// that only grows; the writer stores, then updates the cache.
func TestConcurrent(t *testing.T) {
	c := New(Options{Bytes: 64 << 10})
	const keys = 64
	var store [keys]struct {
		sync.Mutex
		n uint64
	}
	read := func(i int) uint64 { store[i].Lock(); defer store[i].Unlock(); return store[i].n }
	key := func(i int) []byte { return fmt.Appendf(nil, "k%d", i) }
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Add(2)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for range 20_000 {
				i := rng.IntN(keys/2)*2 + w // one writer per key
				store[i].Lock()
				store[i].n++
				n := store[i].n
				store[i].Unlock()
				switch rng.IntN(10) {
				case 0:
					c.Invalidate(key(i))
				case 1:
					c.InvalidateSpan(base.KeySpan(key(i)))
				default:
					c.Update(key(i), binary.BigEndian.AppendUint64(nil, n), true)
				}
			}
		}()
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(uint64(w), 2))
			var seen [keys]uint64
			for range 40_000 {
				i := rng.IntN(keys)
				v, st := c.Get(key(i), nil)
				var n uint64
				if st == Hit {
					n = binary.BigEndian.Uint64(v)
				} else {
					tok := c.Begin(key(i))
					n = read(i)
					c.Fill(key(i), binary.BigEndian.AppendUint64(nil, n), true, tok)
					// The store may run ahead of the cache; the cache may not go back.
					continue
				}
				if n < seen[i] {
					t.Errorf("key %d went back from %d to %d", i, seen[i], n)
					return
				}
				seen[i] = n
			}
		}()
	}
	wg.Wait()
	for i := range keys {
		if v, st := c.Get(key(i), nil); st == Hit && binary.BigEndian.Uint64(v) != store[i].n {
			t.Fatalf("key %d: cached %d, stored %d", i, binary.BigEndian.Uint64(v), store[i].n)
		}
	}
}

func BenchmarkGetHit(b *testing.B) {
	c := New(Options{})
	keys := make([][]byte, 100_000)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "user:%020d", i)
		c.Fill(keys[i], keys[i], true, c.Begin(keys[i]))
	}
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for i := range b.N {
			var st State
			if dst, st = c.Get(keys[i*7919%len(keys)], dst); st != Hit {
				b.Fatal("miss")
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			var dst []byte
			for i := rand.IntN(len(keys)); pb.Next(); i++ {
				dst, _ = c.Get(keys[i*7919%len(keys)], dst)
			}
		})
	})
}

func BenchmarkFill(b *testing.B) {
	c := New(Options{Bytes: 16 << 20})
	b.ReportAllocs()
	key, value := make([]byte, 24), make([]byte, 100)
	for i := range b.N {
		binary.BigEndian.PutUint64(key, uint64(i))
		c.Fill(key, value, true, c.Begin(key))
	}
}

// BenchmarkGetLarge reads random keys of a cache that is larger than the processor's caches,
// one by one and with Expect before 16 of them.
func BenchmarkGetLarge(b *testing.B) {
	const n = 1 << 19
	c := New(Options{Bytes: 256 << 20, InsertOnUpdate: true})
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "some-prefix:%08d", i)
		c.Update(keys[i], make([]byte, 100), true)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	rnd.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, expect := range []bool{false, true} {
		b.Run(fmt.Sprintf("expect=%t", expect), func(b *testing.B) {
			var dst []byte
			for i := 0; b.Loop(); i++ {
				at := i % n
				if expect && at%16 == 0 {
					c.Expect(keys[at : at+16])
				}
				var state State
				if dst, state = c.Get(keys[at], dst); state != Hit {
					b.Fatalf("%q is not cached", keys[at])
				}
			}
		})
	}
}
