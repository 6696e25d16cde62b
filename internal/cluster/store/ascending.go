package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/stratadb/strata/internal/base"
)

// ranked is the place of a pair in a list, and eight bytes of its key.
type ranked struct {
	head uint64
	at   int
}

const (
	headBytes = 8
	// Fewer keys, and those that are alike up to there, are compared as a whole.
	headsMin  = 8
	headDepth = 128
)

// ascending is the order of pairs by their keys.
func ascending(pairs []base.KeyValue) []ranked {
	order := make([]ranked, len(pairs))
	for i := range order {
		order[i].at = i
	}
	ascend(order, pairs, 0)
	return order
}

// ascend puts keys in order that are alike up to depth: by the next eight bytes, and those that
// are alike there by what is behind. The keys are anywhere in memory, and most of them begin
// alike, so that a comparison of two costs more than several passes over all.
func ascend(order []ranked, pairs []base.KeyValue, depth int) {
	if len(order) < headsMin || depth >= headDepth {
		slices.SortFunc(order, func(a, b ranked) int { return bytes.Compare(pairs[a.at].Key, pairs[b.at].Key) })
		return
	}
	for i := range order {
		var head [headBytes]byte // zeros behind a short key, which come before everything
		key := pairs[order[i].at].Key
		copy(head[:], key[min(depth, len(key)):])
		order[i].head = binary.BigEndian.Uint64(head[:])
	}
	slices.SortFunc(order, func(a, b ranked) int { return cmp.Compare(a.head, b.head) })
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && order[to].head == order[from].head {
			to++
		}
		if to-from > 1 {
			ascend(order[from:to], pairs, depth+headBytes)
		}
		from = to
	}
}
