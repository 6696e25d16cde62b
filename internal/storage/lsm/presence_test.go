package lsm

import (
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPresence: while filters are built, grow and are replaced, no reader misses a
// key that was applied (P1), and most absent keys are known in the end.
func TestPresence(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{FS: fs, Dir: "lsm", MemtableBytes: 1 << 20, filterFirst: 64}
	s := mustOpen(t, o)
	const writers, batches, perBatch = 4, 200, 25
	key := func(w, b, i int) []byte { return fmt.Appendf(nil, "key-%d-%d-%d", w, b, i) }
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := range batches {
				b := s.NewBatch()
				for i := range perBatch {
					b.Set(key(w, n, i), []byte("v"))
				}
				must(t, s.Apply(b))
				must(t, b.Close())
				for _, m := range []int{n, n / 2, 0} {
					for i := range perBatch {
						if _, found, err := s.Get(key(w, m, i)); err != nil || !found {
							t.Errorf("key of batch %d: found %t (%v) after batch %d", m, found, err, n)
							return
						}
					}
				}
			}
		})
	}
	wg.Wait()
	const keys = writers * batches * perBatch
	known := func(s *Store) (n int) {
		for i := range 1000 {
			if k := fmt.Appendf(nil, "other-%d", i); s.Absent(k) {
				n++
			} else if _, found, err := s.Get(k); err != nil || found {
				t.Fatalf("%s: %t %v", k, found, err)
			}
		}
		return n
	}
	for range 10 {
		must(t, s.known.build(s.quit, false)) // what the background may not have got to
	}
	if n := known(s); n < 990 {
		t.Errorf("of 1000 absent keys %d are known", n)
	}
	if m := s.Metrics(); m.FilterKeys < keys*9/10 || m.FilterBytes*8 > 4*filterGrowth*bitsEnough*keys || m.FilterAnswers == 0 {
		t.Errorf("%+v", m)
	}
	must(t, s.Flush())
	must(t, s.Close())

	o.Inline = true
	s = mustOpen(t, o)
	defer func() { must(t, s.Close()) }()
	if n := known(s); n < 990 {
		t.Errorf("after the restart %d of 1000 absent keys are known", n)
	}
	for w := range writers {
		for n := range batches {
			if _, found, err := s.Get(key(w, n, 3)); err != nil || !found {
				t.Fatalf("lost: %v", err)
			}
		}
	}
}

// bitsEnough is what a key may take in a filter.
const bitsEnough = 16

// TestPresenceTooMany: a state with far more keys than the largest filter is for is
// read without one.
func TestPresenceTooMany(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{FS: fs, Dir: "lsm", FilterBytes: 64, Inline: true}
	s := mustOpen(t, o)
	apply(t, s, func(b *Batch) {
		for i := range scanPart + 10 {
			b.Set(fmt.Appendf(nil, "k%d", i), nil)
		}
	})
	must(t, s.Flush())
	must(t, s.Close())
	s = mustOpen(t, o)
	defer func() { must(t, s.Close()) }()
	if m := s.Metrics(); m.FilterBytes != 0 || s.Absent([]byte("x")) {
		t.Errorf("%+v", m)
	}
	if _, found, err := s.Get([]byte("k77")); err != nil || !found {
		t.Errorf("%t %v", found, err)
	}
}
