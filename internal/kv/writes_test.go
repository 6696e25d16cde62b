package kv

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

// folded is what mutations make of a key's value, nil if it is absent; told apart from them by
// nothing but going through all of them.
func folded(muts []base.Mutation, key, value []byte) []byte {
	for _, m := range muts {
		switch {
		case m.Op == base.OpClearRange:
			if bytes.Compare(m.Key, key) <= 0 && bytes.Compare(key, m.Value) < 0 {
				value = nil
			}
		case m.Op == base.OpTouch || m.Op == base.OpSetVersionstampedKey || !bytes.Equal(m.Key, key):
		case m.Op == base.OpSet:
			value = m.Value
		case m.Op == base.OpClear:
			value = nil
		default:
			value = base.ApplyAtomic(m.Op, value, m.Value, maxValueBytes)
		}
	}
	return value
}

func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

// What is kept of a transaction's writes means the same as all of them, and so does what they
// say about a key, whether they are few or many.
func TestWritesMeanWhatWasWritten(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		keys := make([][]byte, 1+rnd.IntN(60))
		for i := range keys {
			keys[i] = fmt.Appendf(nil, "key%02d", i)
		}
		var w writes
		var all []base.Mutation
		one := func() base.Mutation {
			m := base.Mutation{Key: keys[rnd.IntN(len(keys))], Value: []byte{byte(rnd.IntN(256)), byte(rnd.IntN(4))}}
			switch n := rnd.IntN(100); {
			case n < 50:
				m.Op = base.OpSet
			case n < 70:
				m.Op, m.Value = base.OpClear, nil
			case n < 92:
				m.Op = base.OpAdd
			case n < 94:
				m.Op, m.Value = base.OpTouch, base.Next(m.Key)
			default:
				m.Op, m.Value = base.OpClearRange, fmt.Appendf(nil, "key%02d", rnd.IntN(len(keys)+1))
				if bytes.Compare(m.Key, m.Value) >= 0 {
					m.Op, m.Value = base.OpClear, nil
				}
			}
			return m
		}
		for turn := range 2 { // the memory of the first one is used again
			w.reset()
			all = all[:0]
			for range 1 + rnd.IntN(400) {
				m := one()
				w.add(m)
				all = append(all, m)
				if len(all)%7 != 0 {
					continue
				}
				for _, key := range keys {
					where := fmt.Sprintf("seed %d, turn %d, %d writes, %s", seed, turn, len(all), key)
					for _, stored := range [][]byte{nil, {9, 9}} {
						want := folded(all, key, stored)
						e, value, pending := w.lookup(key)
						switch e {
						case effectNone:
							value = stored
						case effectPending:
							value = applyPending(stored, pending)
						}
						got := folded(w.muts, key, stored)
						if !same(value, want) || !same(got, want) {
							t.Fatalf("%s: found %x, kept %x, want %x", where, value, got, want)
						}
					}
				}
			}
		}
	}
}

// Writes to a key that a later one replaces are forgotten, however many there are, unless a
// range was cleared in between.
func TestWritesReplaceEarlierOnes(t *testing.T) {
	for _, n := range []int{1, linearWrites, 10 * linearWrites} {
		var w writes
		for range 3 {
			for i := range n {
				w.add(base.Mutation{Op: base.OpSet, Key: fmt.Appendf(nil, "k%d", i), Value: []byte("v")})
			}
		}
		if len(w.muts) != n {
			t.Fatalf("%d writes are kept of %d keys", len(w.muts), n)
		}
		w.add(base.Mutation{Op: base.OpClearRange, Key: []byte("k"), Value: []byte("l")})
		w.add(base.Mutation{Op: base.OpSet, Key: []byte("k0"), Value: []byte("w")})
		if e, value, _ := w.lookup([]byte("k0")); len(w.muts) != n+2 || e != effectKnown || string(value) != "w" {
			t.Fatalf("%d writes, which say %d and %q", len(w.muts), e, value)
		}
	}
}

// A value with a versionstamp is not known before the commit, nor what is added to it.
func TestWritesWithStampsAreUnreadable(t *testing.T) {
	for _, n := range []int{0, 10 * linearWrites} {
		var w writes
		for i := range n {
			w.add(base.Mutation{Op: base.OpSet, Key: fmt.Appendf(nil, "k%d", i)})
		}
		w.add(base.Mutation{Op: base.OpSetVersionstampedValue, Key: []byte("s"), Value: make([]byte, 14)})
		w.add(base.Mutation{Op: base.OpAdd, Key: []byte("s"), Value: []byte{1}})
		if e, _, _ := w.lookup([]byte("s")); e != effectStamped {
			t.Fatalf("behind %d writes: %d", n, e)
		}
	}
}
