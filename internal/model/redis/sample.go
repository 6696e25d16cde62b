package redis

import (
	"sync"

	"github.com/stratadb/strata/internal/kv"
)

// Samples remember members of large sets, of which SPOP takes one: a scan finds many at a
// time, and costs as much as to find a few. Whether one still is a member is looked up when
// it is taken. So nobody has to tell what happens to the sets, and it does not matter what
// became of the transaction that has taken one before.
//
// A scan goes on where the one before has ended. So it does not meet what was popped, and
// every member has its turn.
type Samples struct {
	mu struct {
		sync.Mutex
		sets map[string]*sample // by their headers' rows
	}
}

// sample is what is known of a set.
type sample struct {
	members [][]byte // in random order
	next    Place    // where more are looked for
}

const (
	sampledSetsMax = 64
	// A sample has an eighth of the members, and these bounds.
	sampleShare = 8
	sampleMin   = sampleRun
	sampleMax   = 256
	sampleBytes = 16 << 10
)

// take takes a member of the set whose header has that row; nil if no more are known. next is
// where others are.
func (s *Samples) take(row []byte) (member []byte, next Place, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.mu.sets[string(row)]
	if x == nil {
		return nil, 0, false
	}
	if n := len(x.members); n > 0 {
		member, x.members = x.members[n-1], x.members[:n-1]
	}
	return member, x.next, true
}

// put remembers what is known of a set.
func (s *Samples) put(row []byte, x *sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sets == nil {
		s.mu.sets = map[string]*sample{}
	}
	if s.mu.sets[string(row)] == nil && len(s.mu.sets) >= sampledSetsMax {
		for other := range s.mu.sets { // any
			delete(s.mu.sets, other)
			break
		}
	}
	s.mu.sets[string(row)] = x
}

// sample chooses a member of a set in rows, which has some. found is false if there is none
// where it has looked.
func (e *Entry) sample(t kv.Txn, n int64, r Rand) (member []byte, found bool, err error) {
	s := e.DB.Options.Samples
	for tries := 0; ; tries++ {
		member, next, known := s.take(e.Row)
		for ; member != nil; member, next, known = s.take(e.Row) {
			if _, found, err := e.Field(t, member); found || err != nil {
				return member, found, err
			}
		}
		if tries == 2 { // up to the end, and from the beginning on
			return nil, false, nil
		}
		if !known {
			next = Place(r.Uint64N(uint64(PlaceEnd)))
		}
		if err := e.fill(t, n, next, r); err != nil {
			return nil, false, err
		}
	}
}

// fill makes a new sample of a set with n members, of those that stand from a place on.
func (e *Entry) fill(t kv.Txn, n int64, from Place, r Rand) error {
	most := int(min(max(n/sampleShare, sampleMin), sampleMax))
	x := &sample{members: make([][]byte, 0, most)}
	bytes := 0
	err := e.fieldsFrom(t, from, func(f *HashField, p Place) bool {
		if len(x.members) == most || bytes > sampleBytes {
			x.next = p
			return false
		}
		x.members = append(x.members, append([]byte{}, f.Field...))
		bytes += len(f.Field)
		return true
	})
	if err != nil {
		return err
	}
	for i := len(x.members) - 1; i > 0; i-- {
		j := r.Uint64N(uint64(i + 1))
		x.members[i], x.members[j] = x.members[j], x.members[i]
	}
	e.DB.Options.Samples.put(e.Row, x)
	return nil
}
