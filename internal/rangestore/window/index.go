package window

// index maps keys to the id of their newest entry. It is open addressing with
// linear probing, cut into shards so that growing one is short.
type index struct {
	shards [indexShards]shard
}

const (
	indexShardBits = 6
	indexShards    = 1 << indexShardBits
	shardMinSlots  = 16
)

type shard struct {
	slots []slot
	used  int
}

// slot is empty when id is zero.
type slot struct {
	hash uint64
	id   uint64
}

func (x *index) shard(hash uint64) *shard { return &x.shards[hash>>(64-indexShardBits)] }

// find returns the id stored for hash whose entry same accepts, or 0.
func (s *shard) find(hash uint64, same func(id uint64) bool) (at int, id uint64) {
	if len(s.slots) == 0 {
		return -1, 0
	}
	mask := len(s.slots) - 1
	for i := int(hash) & mask; ; i = (i + 1) & mask {
		sl := &s.slots[i]
		if sl.id == 0 {
			return -1, 0
		}
		if sl.hash == hash && same(sl.id) {
			return i, sl.id
		}
	}
}

func (s *shard) insert(hash, id uint64) {
	if 4*(s.used+1) > 3*len(s.slots) {
		s.resize(max(2*len(s.slots), shardMinSlots))
	}
	s.used++
	s.place(hash, id)
}

func (s *shard) place(hash, id uint64) {
	mask := len(s.slots) - 1
	i := int(hash) & mask
	for s.slots[i].id != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = slot{hash, id}
}

func (s *shard) resize(n int) {
	old := s.slots
	s.slots = make([]slot, n)
	for _, sl := range old {
		if sl.id != 0 {
			s.place(sl.hash, sl.id)
		}
	}
}

// remove empties slot i and closes the gap behind it.
func (s *shard) remove(i int) {
	mask := len(s.slots) - 1
	for j := i; ; {
		j = (j + 1) & mask
		sl := s.slots[j]
		if sl.id == 0 {
			break
		}
		home := int(sl.hash) & mask
		if (j-home)&mask >= (j-i)&mask {
			s.slots[i] = sl
			i = j
		}
	}
	s.slots[i] = slot{}
	s.used--
	if n := len(s.slots); n > shardMinSlots && 8*s.used < n {
		s.resize(n / 2)
	}
}
