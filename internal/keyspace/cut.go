package keyspace

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
)

// Together says what a cut leaves whole. Every key may begin a range; a transaction that
// would need both sides costs more.
type Together uint8

const (
	// Slots stay whole: the counters of a Redis slot are written with its keys.
	Slots Together = iota
	// Keys stay whole: the elements of a Redis key are written with its header.
	Keys
	// Rows: any key may begin a range.
	Rows
)

// Cut is the place nearest to key, or a little off, where span may be cut so that what
// belongs together stays whole; nil if there is none strictly inside of span.
func Cut(span base.Span, key []byte, whole Together) []byte {
	inside := func(k []byte) bool {
		return bytes.Compare(k, span.Start) > 0 && (span.End == nil || bytes.Compare(k, span.End) < 0) &&
			bytes.Compare(k, SplitMin()) >= 0
	}
	n := len(key)
	if whole != Rows {
		n = unit(key, whole)
	}
	if start := key[:n]; inside(start) {
		return start
	}
	if n < len(key) {
		if end := base.PrefixEnd(key[:n]); inside(end) {
			return end
		}
	}
	return nil
}

// unit is the length of the prefix that a key shares with what it belongs to.
func unit(key []byte, whole Together) int {
	if len(key) == 0 || key[0] != Data {
		return len(key)
	}
	_, rest, ok := DecodeOrdered(key[1:])
	if !ok || len(rest) < 4 || Model(rest[0]) != ModelRedis {
		return len(key)
	}
	area := rest[4:] // behind model, database and slot
	if whole == Slots {
		return len(key) - len(area)
	}
	if n, ok := headerIn(area); ok {
		return len(key) - len(area) + n
	}
	return len(key)
}

// headerIn is the length of the header's row of the Redis key to which a row belongs, both
// counted from behind the slot; ok is false for rows of no key.
func headerIn(area []byte) (n int, ok bool) {
	if len(area) <= 1+RedisPlaceBytes || area[0] != SlotKeys {
		return 0, false
	}
	for i := 1 + RedisPlaceBytes; i+1 < len(area); i++ {
		if area[i] != 0 {
			continue
		}
		if i++; area[i] != 0xFF {
			return i + 1, area[i] == 0x01
		}
	}
	return 0, false
}
