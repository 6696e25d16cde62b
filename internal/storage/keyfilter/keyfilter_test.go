package keyfilter

import (
	"encoding/binary"
	"sync"
	"testing"
)

func hash(i int) uint64 { return Hash(binary.BigEndian.AppendUint64(nil, uint64(i))) }

// TestNoneIsMissed: what was added is found, by many goroutines at once.
func TestNoneIsMissed(t *testing.T) {
	f := New(1 << 20)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < 400_000; i += 4 {
				f.Add(hash(i))
				if !f.MayContain(hash(i)) {
					t.Errorf("key %d is missed", i)
					return
				}
			}
		})
	}
	wg.Wait()
	for i := range 400_000 {
		if !f.MayContain(hash(i)) {
			t.Fatalf("key %d is missed", i)
		}
	}
	if n := f.Keys(); n < 396_000 || n > 404_000 {
		t.Errorf("%d keys counted of 400000", n)
	}
}

// TestFalsePositives holds the filter to what the package says of it.
func TestFalsePositives(t *testing.T) {
	for _, c := range []struct {
		load float64 // of the capacity
		most float64
	}{{0, 0}, {0.5, 0.0005}, {1, 0.003}, {2, 0.06}} {
		f := New(64 << 10)
		n := int(c.load * float64(f.Capacity()))
		for i := range n {
			f.Add(hash(i))
		}
		wrong := 0
		for i := range 100_000 {
			if f.MayContain(hash(1<<40 + i)) {
				wrong++
			}
		}
		if got := float64(wrong) / 100_000; got > c.most {
			t.Errorf("load %.1f: %.4f false positives, want at most %.4f", c.load, got, c.most)
		}
	}
}

func BenchmarkMayContain(b *testing.B) {
	f := New(16 << 20)
	for i := range 1 << 20 {
		f.Add(hash(i))
	}
	var key [8]byte
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint64(key[:], uint64(i))
		f.MayContain(Hash(key[:]))
	}
}
