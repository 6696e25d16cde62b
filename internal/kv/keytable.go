package kv

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"github.com/stratadb/strata/internal/base"
)

// keyTable finds the mutations of a transaction that name a key: a hash table with linear
// probing, which leads to the last one, and each to the one before it.
//
//	slots   [ . | hash 32, mutation + 1 | . | ... ]
//	before  of each mutation: the one before it on the same key, -1 for none
type keyTable struct {
	slots  []uint64 // zero: empty; a power of two of them, or none
	used   int
	before []int32
}

const (
	keyTableMin  = 64
	keyTableKeep = 4 << 10 // slots that are used again
)

func (t *keyTable) reset() {
	if t.used > 0 {
		clear(t.slots)
	}
	if max(len(t.slots), len(t.before)) > keyTableKeep {
		*t = keyTable{}
	}
	t.used, t.before = 0, t.before[:0]
}

// find is the slot of a key, or the empty one where it would be.
func (t *keyTable) find(hash uint64, key []byte, muts []base.Mutation) int {
	mask := len(t.slots) - 1
	for at := int(hash) & mask; ; at = (at + 1) & mask {
		s := t.slots[at]
		if s == 0 || s>>32 == hash>>32 && bytes.Equal(muts[uint32(s)-1].Key, key) {
			return at
		}
	}
}

// newest is the last mutation that names key; -1 if none does.
func (t *keyTable) newest(key []byte, muts []base.Mutation) int {
	return int(uint32(t.slots[t.find(xxhash.Sum64(key), key, muts)])) - 1
}

// previous is the mutation before i on the same key; -1 if there is none.
func (t *keyTable) previous(i int) int { return int(t.before[i]) }

// add adds mutation i, which is behind all others and names key.
func (t *keyTable) add(key []byte, i int, muts []base.Mutation) {
	if 4*(t.used+1) > 3*len(t.slots) {
		t.grow(muts)
	}
	for len(t.before) <= i {
		t.before = append(t.before, -1)
	}
	hash := xxhash.Sum64(key)
	at := t.find(hash, key, muts)
	if t.slots[at] == 0 {
		t.used++
	}
	t.before[i] = int32(uint32(t.slots[at])) - 1
	t.slots[at] = hash>>32<<32 | uint64(i+1)
}

func (t *keyTable) grow(muts []base.Mutation) {
	old := t.slots
	t.slots = make([]uint64, max(2*len(old), keyTableMin))
	for _, s := range old {
		if s != 0 {
			key := muts[uint32(s)-1].Key
			t.slots[t.find(xxhash.Sum64(key), key, muts)] = s
		}
	}
}
