package rowcache

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"
)

const (
	// entryHeader is the length of an entry's header:
	//
	//	 0  length of the entry, header and padding included (4)
	//	 4  length of the value (4)
	//	 8  hash of the key (8)
	//	16  generation (8), its top bit: the key is absent
	//	24  length of the key (4)
	//	28  live (1), zero (3)
	entryHeader = 32
	entryAlign  = 8

	absentBit  = 1 << 63
	ringFirst  = 16 << 10
	tableFirst = 256
)

type shard struct {
	// versions are advanced under mu and read without.
	versions [stripes]atomic.Uint32

	mu struct {
		sync.Mutex
		ring    []byte
		table   []slot
		entries int

		// The entries lie in [tail, head), or when wrapped in [tail, end) and
		// [0, head).
		head, tail, end int
		wrapped         bool

		hits, misses, evictions int64
	}
	_ [64]byte // keeps neighbours off each other's cache lines
}

// entry is an entry in the ring, from its header on.
type entry []byte

func (e entry) size() int      { return int(binary.LittleEndian.Uint32(e)) }
func (e entry) valueLen() int  { return int(binary.LittleEndian.Uint32(e[4:])) }
func (e entry) hash() uint64   { return binary.LittleEndian.Uint64(e[8:]) }
func (e entry) gen() uint64    { return binary.LittleEndian.Uint64(e[16:]) &^ absentBit }
func (e entry) absent() bool   { return e[23]&0x80 != 0 }
func (e entry) keyLen() int    { return int(binary.LittleEndian.Uint32(e[24:])) }
func (e entry) live() bool     { return e[28] != 0 }
func (e entry) key() []byte    { return e[entryHeader : entryHeader+e.keyLen()] }
func (e entry) value() []byte  { return e[entryHeader+e.keyLen():][:e.valueLen()] }
func (e entry) setLive(v byte) { e[28] = v }

// setGen keeps the absent bit.
func (e entry) setGen(gen uint64) {
	if e.absent() {
		gen |= absentBit
	}
	binary.LittleEndian.PutUint64(e[16:], gen)
}

func entrySize(key, value []byte) int {
	return (entryHeader + len(key) + len(value) + entryAlign - 1) &^ (entryAlign - 1)
}

func (s *shard) entry(off int) entry  { return entry(s.mu.ring[off:]) }
func (s *shard) value(off int) []byte { return s.entry(off).value() }
func (s *shard) slot(h uint64) int    { return int(h & uint64(len(s.mu.table)-1)) }
func (s *shard) after(slot int) int   { return (slot + 1) & (len(s.mu.table) - 1) }

// slot is a place of the table: zero when free, otherwise the lower half of the
// key's hash, so that entries of other keys need not be looked at, and where the
// entry lies.
type slot uint64

func makeSlot(h uint64, off int) slot { return slot(h<<32 | uint64(off/entryAlign+1)) }
func (v slot) offset() int            { return int(uint32(v)-1) * entryAlign }
func (v slot) hash() uint64           { return uint64(v) >> 32 }

// find returns the offset of key's entry, or -1.
func (s *shard) find(h uint64, key []byte) int {
	if len(s.mu.table) == 0 {
		return -1
	}
	for i := s.slot(h); s.mu.table[i] != 0; i = s.after(i) {
		v := s.mu.table[i]
		if v.hash() != h&(1<<32-1) {
			continue
		}
		if off := v.offset(); bytes.Equal(s.entry(off).key(), key) {
			return off
		}
	}
	return -1
}

// remove takes the entry at off out of the table; its bytes stay in the ring
// until the tail passes.
func (s *shard) remove(h uint64, off int) {
	i := s.slot(h)
	for s.mu.table[i].offset() != off {
		i = s.after(i)
	}
	s.entry(off).setLive(0)
	s.mu.entries--
	// Close the gap: move back every later entry of the run that may not be
	// found beyond a free slot.
	for j := s.after(i); s.mu.table[j] != 0; j = s.after(j) {
		home := s.slot(s.mu.table[j].hash())
		if (j-home)&(len(s.mu.table)-1) >= (j-i)&(len(s.mu.table)-1) {
			s.mu.table[i] = s.mu.table[j]
			i = j
		}
	}
	s.mu.table[i] = 0
}

// put replaces the entry of key.
func (s *shard) put(c *Cache, h uint64, key, value []byte, present bool, gen uint64) {
	if off := s.find(h, key); off >= 0 {
		e := s.entry(off)
		if e.size() == entrySize(key, value) {
			e.write(h, key, value, present, gen)
			return
		}
		s.remove(h, off)
	}
	s.insert(c, h, key, value, present, gen)
}

// insert adds an entry for a key that has none.
func (s *shard) insert(c *Cache, h uint64, key, value []byte, present bool, gen uint64) {
	n := entrySize(key, value)
	off := s.alloc(c, n)
	s.reserveSlot(c)
	e := s.entry(off)
	binary.LittleEndian.PutUint32(e, uint32(n))
	e.write(h, key, value, present, gen)
	i := s.slot(h)
	for s.mu.table[i] != 0 {
		i = s.after(i)
	}
	s.mu.table[i] = makeSlot(h, off)
	s.mu.entries++
}

func (e entry) write(h uint64, key, value []byte, present bool, gen uint64) {
	if !present {
		gen |= absentBit
	}
	binary.LittleEndian.PutUint32(e[4:], uint32(len(value)))
	binary.LittleEndian.PutUint64(e[8:], h)
	binary.LittleEndian.PutUint64(e[16:], gen)
	binary.LittleEndian.PutUint32(e[24:], uint32(len(key)))
	e.setLive(1)
	copy(e[entryHeader:], key)
	copy(e[entryHeader+len(key):], value)
}

// alloc makes room for n bytes at the head, pushing out the oldest entries.
func (s *shard) alloc(c *Cache, n int) (off int) {
	for {
		if s.mu.wrapped && s.mu.tail == s.mu.end {
			s.mu.tail, s.mu.wrapped = 0, false
		}
		switch {
		case s.mu.wrapped && s.mu.head+n > s.mu.tail:
			s.evict()
			continue
		case s.mu.wrapped || s.mu.head+n <= len(s.mu.ring):
		case s.mu.tail == 0 && len(s.mu.ring) < c.ringBytes:
			s.grow(c, n)
			continue
		default:
			s.mu.end, s.mu.head, s.mu.wrapped = s.mu.head, 0, true
			continue
		}
		off = s.mu.head
		s.mu.head += n
		return off
	}
}

func (s *shard) grow(c *Cache, n int) {
	size := min(max(ringFirst, 2*len(s.mu.ring), s.mu.head+n), c.ringBytes)
	ring := make([]byte, size)
	copy(ring, s.mu.ring[:s.mu.head])
	c.allocated.Add(int64(size - len(s.mu.ring)))
	s.mu.ring = ring
}

// evict pushes out the entry at the tail. The ring is wrapped or full.
func (s *shard) evict() {
	e := s.entry(s.mu.tail)
	n := e.size()
	if e.live() {
		s.remove(e.hash(), s.mu.tail)
		s.mu.evictions++
	}
	s.mu.tail += n
}

// old reports whether the entry lies in the quarter that goes next.
func (s *shard) old(c *Cache, off int) bool {
	if !s.mu.wrapped && s.mu.tail == 0 && s.mu.head < c.ringBytes/4*3 {
		return false // nothing is pushed out for a while
	}
	d := off - s.mu.tail
	if d < 0 {
		d += s.mu.end
	}
	return d < len(s.mu.ring)/4
}

// reserveSlot keeps the table at most three quarters full; at its largest size,
// by pushing out entries.
func (s *shard) reserveSlot(c *Cache) {
	for len(s.mu.table) == 0 || s.mu.entries >= len(s.mu.table)/4*3 {
		if len(s.mu.table) < c.slots {
			s.growTable(min(max(tableFirst, 2*len(s.mu.table)), c.slots))
			continue
		}
		if s.mu.wrapped && s.mu.tail == s.mu.end {
			s.mu.tail, s.mu.wrapped = 0, false
		}
		s.evict()
	}
}

func (s *shard) growTable(n int) {
	old := s.mu.table
	s.mu.table = make([]slot, n)
	for _, v := range old {
		if v == 0 {
			continue
		}
		i := s.slot(v.hash())
		for s.mu.table[i] != 0 {
			i = s.after(i)
		}
		s.mu.table[i] = v
	}
}
