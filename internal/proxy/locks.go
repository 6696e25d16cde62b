package proxy

import (
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// stripeCount is how many locks the keys share. A key's lock is that of its name, whatever
// the database, so that MOVE has one key.
const stripeCount = 4096

// locks order the writes of a key: who writes holds the key's lock until the deciding side
// has answered and the other side's queue has the effect. Several are taken in the order
// of their numbers.
type locks [stripeCount]sync.Mutex

func stripeOf(key []byte) uint16 { return uint16(xxhash.Sum64(key) % stripeCount) }

// stripes is a set of locks.
type stripes []uint16

func (s stripes) add(key []byte) stripes { return append(s, stripeOf(key)) }

// lock takes them, once each, and answers them in the order of taking.
func (l *locks) lock(s stripes) stripes {
	slices.Sort(s)
	s = slices.Compact(s)
	for _, i := range s {
		l[i].Lock()
	}
	return s
}

func (l *locks) unlock(s stripes) {
	for _, i := range s {
		l[i].Unlock()
	}
}

func stripesOf(keys []string) (s stripes) {
	for _, k := range keys {
		s = s.add([]byte(k))
	}
	return s
}
