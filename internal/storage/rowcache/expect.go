package rowcache

import (
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"github.com/stratadb/strata/internal/prefetch"
)

// ExpectMax is how many keys Expect looks at.
const ExpectMax = 32

// expectBytes is from what size on a cache is not in the processor's caches.
const expectBytes = 4 << 20

// What is fetched of an entry: its header, the key and a small value.
const (
	lineBytes   = 64
	expectLines = 3
)

// Expect brings what Get and Update need for keys into the processor's caches. Each
// of them waits for memory twice, for the table and for the entry; here the waits of all
// keys overlap. useful reports whether there is so much in the cache that it pays; it does
// nothing otherwise.
func (c *Cache) Expect(keys [][]byte) (useful bool) {
	if c.allocated.Load() < expectBytes {
		return false
	}
	c.expect(keys[:min(len(keys), ExpectMax)])
	return true
}

func (c *Cache) expect(keys [][]byte) {
	var hashes [ExpectMax]uint64
	for i, key := range keys {
		hashes[i] = xxhash.Sum64(key)
		c.shard(hashes[i]).expectSlot(hashes[i])
	}
	for _, h := range hashes[:len(keys)] {
		c.shard(h).expectEntry(h)
	}
}

func (s *shard) expectSlot(h uint64) {
	s.mu.Lock()
	if len(s.mu.table) > 0 {
		prefetch.Line(unsafe.Pointer(&s.mu.table[s.slot(h)]))
	}
	s.mu.Unlock()
}

func (s *shard) expectEntry(h uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.table) == 0 {
		return
	}
	for i := s.slot(h); s.mu.table[i] != 0; i = s.after(i) {
		if v := s.mu.table[i]; v.hash() == h&(1<<32-1) {
			for at, n := v.offset(), 0; n < expectLines && at < len(s.mu.ring); at, n = at+lineBytes, n+1 {
				prefetch.Line(unsafe.Pointer(&s.mu.ring[at]))
			}
			return
		}
	}
}
