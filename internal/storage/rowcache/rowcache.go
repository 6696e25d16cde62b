// Package rowcache keeps recently used rows of the base in memory, in front of
// Pebble: values and also the knowledge that a key is absent.
//
// The cache is cut into shards by the key's hash. A shard is a ring of bytes and
// a table of offsets into it, without pointers, so that the garbage collector
// has nothing to scan:
//
//	table  [ . | 7 | . | 3 | ... ]         open addressing, offsets of entries
//	             |       |
//	ring   ..free..|tail: oldest ... |key|value| ... newest :head|..free..
//
// New entries go to the head and push out those at the tail; an entry that is hit
// in the oldest quarter of the ring goes to the head once more.
//
// Whoever writes must call Update, Invalidate or InvalidateSpan after the write is
// visible in Pebble, and before anybody relies on the base alone for it (that is,
// before the write leaves the window). Whoever reads calls Begin, reads Pebble,
// and calls Fill. Then:
//
//	C1  Get never returns a value that was overwritten before an Update, Invalidate
//	    or InvalidateSpan that had returned when Get was called.
//	C2  A Fill whose read may be older than a change is dropped: Update and
//	    Invalidate advance the version of the key's stripe, which the token
//	    carries; InvalidateSpan advances the generation, which every entry carries.
//	C3  Keys are compared in full; a hash alone never makes a hit.
//	C4  Memory stays within the budget, and is allocated as the cache fills.
package rowcache

import (
	"math/bits"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/stratadb/strata/internal/base"
)

const (
	// DefaultBytes is the memory budget.
	DefaultBytes = 64 << 20
	// DefaultValueBytesMax bounds the values that are cached.
	DefaultValueBytesMax = 4 << 10
	// KeyBytesMax bounds the keys that are cached.
	KeyBytesMax = 16 << 10

	shardBytesMin = 256 << 10
	shardsMax     = 64
	stripes       = 64 // of versions in a shard
	slotBytes     = 8
)

// Options configures a cache.
type Options struct {
	// Bytes is the memory budget, ValueBytesMax the largest value that is cached.
	Bytes         int64
	ValueBytesMax int
	// InsertOnUpdate caches every written row; otherwise only rows that are
	// cached already are kept up to date.
	InsertOnUpdate bool
}

// State is what the cache knows of a key.
type State uint8

const (
	// Miss: nothing is known.
	Miss State = iota
	// Hit: the key has the returned value.
	Hit
	// Absent: the key is known not to exist.
	Absent
)

// Token is the moment before a read of Pebble.
type Token struct {
	gen     uint64
	version uint32
}

// Cache is safe for concurrent use.
type Cache struct {
	opts   Options
	shards []shard
	shift  uint
	spans  spanLog
	// allocated counts the bytes of the rings.
	allocated atomic.Int64
	// budget of one shard, as parts
	ringBytes, slots int
}

// New makes an empty cache.
func New(o Options) *Cache {
	if o.Bytes <= 0 {
		o.Bytes = DefaultBytes
	}
	if o.ValueBytesMax <= 0 {
		o.ValueBytesMax = DefaultValueBytesMax
	}
	n := max(1, min(shardsMax, o.Bytes/shardBytesMin))
	n = 1 << (bits.Len64(uint64(n)) - 1)
	c := &Cache{opts: o, shards: make([]shard, n), shift: uint(64 - bits.TrailingZeros64(uint64(n)))}
	perShard := int(o.Bytes / n)
	// The table takes at most a quarter, a power of two of slots.
	c.slots = 1 << (bits.Len(uint(perShard/4/slotBytes)) - 1)
	c.ringBytes = (perShard - slotBytes*c.slots) &^ (entryAlign - 1)
	c.opts.ValueBytesMax = min(o.ValueBytesMax, c.ringBytes/8)
	c.spans.state.Store(&spanState{gen: 1})
	return c
}

func (c *Cache) shard(h uint64) *shard {
	if len(c.shards) == 1 {
		return &c.shards[0]
	}
	return &c.shards[h>>c.shift]
}

func (c *Cache) cacheable(key, value []byte) bool {
	return len(key) <= min(KeyBytesMax, c.ringBytes/8) && len(value) <= c.opts.ValueBytesMax
}

// Get appends the value of key to dst[:0] when it is cached.
func (c *Cache) Get(key, dst []byte) ([]byte, State) {
	h := xxhash.Sum64(key)
	now := c.spans.state.Load()
	s := c.shard(h)
	s.mu.Lock()
	off := s.find(h, key)
	if off >= 0 && !c.fresh(s, off, key, now) {
		s.remove(h, off)
		off = -1
	}
	if off < 0 {
		s.mu.misses++
		s.mu.Unlock()
		return dst[:0], Miss
	}
	s.mu.hits++
	absent := s.entry(off).absent()
	dst = append(dst[:0], s.value(off)...)
	if s.old(c, off) {
		gen := s.entry(off).gen()
		s.remove(h, off)
		s.insert(c, h, key, dst, !absent, gen)
	}
	s.mu.Unlock()
	if absent {
		return dst, Absent
	}
	return dst, Hit
}

// fresh reports whether no span invalidation after the entry covers key, and
// notes that so that the next hit need not look again.
func (c *Cache) fresh(s *shard, off int, key []byte, now *spanState) bool {
	e := s.entry(off)
	gen := e.gen()
	if gen >= now.gen {
		return true
	}
	if now.covers(key, gen) {
		return false
	}
	e.setGen(now.gen)
	return true
}

// Begin is called before key is read from Pebble.
func (c *Cache) Begin(key []byte) Token {
	h := xxhash.Sum64(key)
	s := c.shard(h)
	t := Token{gen: c.spans.state.Load().gen}
	t.version = s.versions[h%stripes].Load()
	return t
}

// Fill caches what a reader has found in Pebble: the value, or with present
// false that there is none. It does nothing if key may have changed since t, or if
// somebody else was faster: of two readers beside a writer who has not told of its
// write yet, the slower one may have found what is older.
func (c *Cache) Fill(key, value []byte, present bool, t Token) {
	if !c.cacheable(key, value) {
		return
	}
	h := xxhash.Sum64(key)
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.versions[h%stripes].Load() != t.version {
		return
	}
	if off := s.find(h, key); off >= 0 && c.fresh(s, off, key, c.spans.state.Load()) {
		return
	}
	s.put(c, h, key, value, present, t.gen)
}

// Update notes that key now has value or, with present false, is absent.
func (c *Cache) Update(key, value []byte, present bool) {
	h := xxhash.Sum64(key)
	gen := c.spans.state.Load().gen
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[h%stripes].Add(1)
	off := s.find(h, key)
	switch {
	case off < 0 && !c.opts.InsertOnUpdate:
	case !c.cacheable(key, value):
		if off >= 0 {
			s.remove(h, off)
		}
	default:
		s.put(c, h, key, value, present, gen)
	}
}

// Invalidate forgets key.
func (c *Cache) Invalidate(key []byte) {
	h := xxhash.Sum64(key)
	s := c.shard(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[h%stripes].Add(1)
	if off := s.find(h, key); off >= 0 {
		s.remove(h, off)
	}
}

// InvalidateSpan forgets the keys of span; a nil end means all above. It costs
// the same whatever the span holds.
func (c *Cache) InvalidateSpan(span base.Span) { c.spans.add(span) }

// Clear forgets everything.
func (c *Cache) Clear() { c.spans.add(base.Span{}) }

// Metrics are counters since the start and current sizes.
type Metrics struct {
	Entries, Bytes          int64 // Bytes is what is allocated
	Hits, Misses, Evictions int64
}

// Metrics sums up the shards.
func (c *Cache) Metrics() (m Metrics) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		m.Entries += int64(s.mu.entries)
		m.Bytes += int64(len(s.mu.ring) + slotBytes*len(s.mu.table))
		m.Hits += s.mu.hits
		m.Misses += s.mu.misses
		m.Evictions += s.mu.evictions
		s.mu.Unlock()
	}
	return m
}
