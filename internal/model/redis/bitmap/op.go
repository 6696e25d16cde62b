package bitmap

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/model/redis"
)

// Operation is what BITOP does to its strings.
type Operation uint8

// Operations.
const (
	And Operation = iota
	Or
	Xor
	Not
)

// opChunk is about how much of each string is looked at at once.
const opChunk = 256 << 10

// Op is BITOP: the length of the result, which becomes the value of dst; a shorter string
// is followed by zeros.
func Op(t kv.Txn, db *redis.DB, op Operation, dst []byte, keys [][]byte) (int64, error) {
	var d redis.Entry
	if err := d.Lookup(t, db, dst); err != nil {
		return 0, err
	}
	sources := make([]redis.Entry, len(keys))
	longest := int64(0)
	for i, key := range keys {
		if err := sources[i].ReadAs(t, db, key, redis.TypeString); err != nil {
			return 0, err
		}
		longest = max(longest, sources[i].StringLen())
	}
	if longest == 0 {
		if d.Found {
			d.Remove(t)
			d.Event(redis.EventGeneric, "del")
		}
		return 0, nil
	}
	parts, err := combine(t, op, sources, longest, int64(db.Options.PieceBytes))
	if err != nil {
		return 0, err
	}
	d.SetSparse(t, longest, parts)
	d.Event(redis.EventString, "set")
	return longest, nil
}

// combine is the result's pieces that are not all zeros.
func combine(t kv.Txn, op Operation, sources []redis.Entry, n, piece int64) (parts []redis.StringPart, err error) {
	chunk := max(opChunk/piece, 1) * piece
	sum, other := make([]byte, min(chunk, n)), make([]byte, min(chunk, n))
	total := int64(0)
	for at := int64(0); at < n; at += chunk {
		sum, other = sum[:min(chunk, n-at)], other[:min(chunk, n-at)]
		for i := range sources {
			to := other
			if i == 0 {
				to = sum
			}
			clear(to)
			if err := sources[i].ScanString(t, at, at+int64(len(to)), func(where int64, part []byte) bool {
				copy(to[where-at:], part)
				return true
			}); err != nil {
				return nil, err
			}
			if i > 0 || op == Not {
				apply(op, sum, to)
			}
		}
		for from := int64(0); from < int64(len(sum)); from += piece {
			part := sum[from:min(from+piece, int64(len(sum)))]
			if zero(part) {
				continue
			}
			if total += int64(len(part)); total > limits.TransactionBytes {
				return nil, base.ErrTransactionTooLarge
			}
			kept := t.Alloc(len(part))
			copy(kept, part)
			parts = append(parts, redis.StringPart{At: at + from, Bytes: kept})
		}
	}
	return parts, nil
}

func apply(op Operation, sum, other []byte) {
	switch op {
	case And:
		for i, b := range other {
			sum[i] &= b
		}
	case Or:
		for i, b := range other {
			sum[i] |= b
		}
	case Xor:
		for i, b := range other {
			sum[i] ^= b
		}
	case Not:
		for i, b := range other {
			sum[i] = ^b
		}
	}
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
