package keyspace

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
)

// RedisChange is what a mutation changes of the Redis keys in span: one of them, by the row of
// its header, which every change of a key writes, or anything (key is nil). some is false if it
// changes none.
func RedisChange(span base.Span, m *base.Mutation) (key []byte, some bool) {
	n, ok := RedisHeader(m.Key)
	switch m.Op {
	case base.OpSetVersionstampedKey: // nobody knows yet which row that is
		return nil, ok && span.Contains(m.Key)
	case base.OpClearRange, base.OpTouch:
		if !ok || bytes.Compare(m.Value, base.PrefixEnd(m.Key[:n])) > 0 {
			return nil, span.Overlaps(base.Span{Start: m.Key, End: m.Value})
		}
	}
	if !ok || n < len(m.Key) || !span.Contains(m.Key) {
		return nil, false
	}
	return m.Key, true
}

// RedisHeader is the length of the header's row of the Redis key to which a row belongs; ok is
// false for rows of no key.
func RedisHeader(row []byte) (n int, ok bool) {
	if len(row) == 0 || row[0] != Data {
		return 0, false
	}
	_, rest, ok := DecodeOrdered(row[1:])
	if !ok || len(rest) < 4 || Model(rest[0]) != ModelRedis {
		return 0, false
	}
	n, ok = headerIn(rest[4:])
	return len(row) - len(rest) + 4 + n, ok
}

// DecodeRedisHeader takes the row of a Redis key's header apart.
func DecodeRedisHeader(row []byte) (ns NamespaceID, key []byte, ok bool) {
	n, ok := RedisHeader(row)
	if !ok || n != len(row) {
		return 0, nil, false
	}
	id, rest, _ := DecodeOrdered(row[1:])
	key, _, ok = DecodeEscaped(nil, rest[4+1+RedisPlaceBytes:])
	return NamespaceID(id), key, ok
}
