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
	slot := len(key) - len(area)
	if whole == Slots {
		return slot
	}
	if len(area) <= 1+RedisPlaceBytes || area[0] != SlotKeys {
		return len(key)
	}
	_, part, ok := DecodeEscaped(nil, area[1+RedisPlaceBytes:])
	if !ok {
		return len(key)
	}
	return len(key) - len(part)
}
