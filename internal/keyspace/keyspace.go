// Package keyspace is the one map of the key-value core's keys, in sort order:
//
//	0x00 ...                                   store-local, never in a range
//	0x01 <session>                             range-local: results of internal writes (R8)
//	0x02 ...                                   meta: range descriptors, members, oracle bound
//	0x03 <table> ...                           sys: catalog, auth, jobs, settings
//	0x04 <namespace> <model> ...               data
//	     ├─ 0x01 <db> <slot> 0x00 <counter>            redis bookkeeping of a slot
//	     │                   0x01 <place> <key> [<part> ...]   redis header and elements
//	     │                   0x02 <millis> <key>       redis TTL index
//	     └─ 0x02 <key>                                 zmap
//
// <namespace> is an ordered number (length byte, then big-endian bytes). <db> is
// the number of a database as SWAPDB left it (catalog.Databases). <slot> is two
// bytes, big-endian, so a hash slot is one contiguous span; <place> is
// five bytes of the key's hash, which order the keys of a slot. A <key>
// inside a longer key is escaped (0x00 becomes 0x00 0xFF) and ends with
// 0x00 0x01, which keeps the order of the keys and makes none a prefix of
// another. The header of a Redis key is the first key of its span, so the span
// of everything that belongs to it is the prefix span of its header.
//
// All bytes here are on disk.
package keyspace

import (
	"encoding/binary"
	"fmt"

	"github.com/stratadb/strata/internal/base"
)

// First bytes of keys.
const (
	Local      byte = 0x00
	RangeLocal byte = 0x01
	Meta       byte = 0x02
	Sys        byte = 0x03
	Data       byte = 0x04
	End        byte = 0x05
)

// Rows of the meta area.
const (
	// MetaIssued is written to move the log of the range that issues stamps on.
	MetaIssued byte = 0x01
	// MetaRange begins the rows of the ranges, each under its first key.
	MetaRange byte = 0x02
	// MetaNextRange is the row of the next range's id, MetaCatalog that of the version
	// of the ranges.
	MetaNextRange byte = 0x03
	MetaCatalog   byte = 0x04
	// MetaBound begins the keys at which somebody has cut a range by hand.
	MetaBound byte = 0x05
)

// Tables of the sys area.
const (
	SysNamespaceByPath byte = 0x01
	SysNamespaceByID   byte = 0x02
	SysNextNamespace   byte = 0x03
	SysPurge           byte = 0x04
	SysMember          byte = 0x05
	SysShard           byte = 0x06
	SysSetting         byte = 0x07
	SysRedisDatabase   byte = 0x08
	SysNode            byte = 0x09
	SysNodeVersion     byte = 0x0A
	SysUser            byte = 0x0B
	SysScript          byte = 0x0C
)

// Areas of the table SysRedisDatabase.
const (
	DatabasePhysical byte = 0x01
	_                byte = 0x02 // was cleared by swaps; never a row
)

// RedisDatabases is how many numbered Redis databases a namespace has.
const RedisDatabases = 16

// Model names the stratum that owns a part of a namespace.
type Model byte

// Models.
const (
	ModelRedis Model = 0x01
	ModelZMap  Model = 0x02
)

// Areas of a Redis slot.
const (
	SlotCounters byte = 0x00
	SlotKeys     byte = 0x01
	SlotTTL      byte = 0x02
)

// RedisPlaceBytes is the length of the place in front of a key of a Redis slot.
const RedisPlaceBytes = 5

// NamespaceID names a namespace; ids are never reused.
type NamespaceID uint64

// AppendOrdered appends n so that the bytes sort as the numbers do.
func AppendOrdered(dst []byte, n uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	i := 0
	for i < 7 && b[i] == 0 {
		i++
	}
	dst = append(dst, byte(8-i))
	return append(dst, b[i:]...)
}

// DecodeOrdered reads what AppendOrdered wrote and returns the rest.
func DecodeOrdered(b []byte) (n uint64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] == 0 || b[0] > 8 || len(b) < 1+int(b[0]) {
		return 0, nil, false
	}
	size := int(b[0])
	for _, c := range b[1 : 1+size] {
		n = n<<8 | uint64(c)
	}
	return n, b[1+size:], true
}

// AppendEscaped appends key so that another part may follow it.
func AppendEscaped(dst, key []byte) []byte {
	for _, c := range key {
		dst = append(dst, c)
		if c == 0 {
			dst = append(dst, 0xFF)
		}
	}
	return append(dst, 0x00, 0x01)
}

// DecodeEscaped appends to dst the key that AppendEscaped wrote at the start of
// b, and returns the rest of b.
func DecodeEscaped(dst, b []byte) (key, rest []byte, ok bool) {
	for i := 0; i < len(b); i++ {
		if b[i] != 0 {
			dst = append(dst, b[i])
			continue
		}
		i++
		if i == len(b) {
			break
		}
		switch b[i] {
		case 0xFF:
			dst = append(dst, 0)
		case 0x01:
			return dst, b[i+1:], true
		default:
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// AppendNamespace appends the prefix of all data of a namespace.
func AppendNamespace(dst []byte, ns NamespaceID) []byte {
	return AppendOrdered(append(dst, Data), uint64(ns))
}

// AppendModel appends the prefix of a model's data in a namespace.
func AppendModel(dst []byte, ns NamespaceID, m Model) []byte {
	return append(AppendNamespace(dst, ns), byte(m))
}

// AppendRedisDB appends the prefix of a Redis database, given its physical number.
func AppendRedisDB(dst []byte, ns NamespaceID, db uint8) []byte {
	return append(AppendModel(dst, ns, ModelRedis), db)
}

// AppendRedisSlot appends the prefix of a hash slot of a Redis database, given
// the database's prefix.
func AppendRedisSlot(dst, db []byte, slot uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, db...), slot)
}

// Pretty renders a key for people.
func Pretty(key []byte) string {
	if len(key) == 0 {
		return "/min"
	}
	if len(key) == 1 && key[0] == End {
		return "/max"
	}
	switch key[0] {
	case Local:
		return fmt.Sprintf("/local/%x", key[1:])
	case RangeLocal:
		return fmt.Sprintf("/range-local/%x", key[1:])
	case Meta:
		return fmt.Sprintf("/meta/%q", key[1:])
	case Sys:
		return prettySys(key[1:])
	case Data:
		return prettyData(key[1:])
	}
	return fmt.Sprintf("/%x", key)
}

func prettySys(b []byte) string {
	names := map[byte]string{
		SysNamespaceByPath: "namespace-path", SysNamespaceByID: "namespace-id", SysNextNamespace: "next-namespace",
		SysPurge: "purge", SysMember: "member", SysShard: "shard", SysSetting: "setting", SysScript: "script", SysUser: "user",
	}
	if len(b) == 0 {
		return "/sys"
	}
	if b[0] == SysRedisDatabase {
		return prettyDatabase(b[1:])
	}
	if name, ok := names[b[0]]; ok {
		return fmt.Sprintf("/sys/%s/%q", name, b[1:])
	}
	return fmt.Sprintf("/sys/%x", b)
}

func prettyDatabase(b []byte) string {
	if len(b) > 0 {
		ns, rest, ok := DecodeOrdered(b[1:])
		if ok && b[0] == DatabasePhysical && len(rest) == 0 {
			return fmt.Sprintf("/sys/redis-db/physical/%d", ns)
		}
	}
	return fmt.Sprintf("/sys/redis-db/?%x", b)
}

func prettyData(b []byte) string {
	ns, rest, ok := DecodeOrdered(b)
	if !ok {
		return fmt.Sprintf("/data/?%x", b)
	}
	if len(rest) == 0 {
		return fmt.Sprintf("/data/%d", ns)
	}
	switch Model(rest[0]) {
	case ModelRedis:
		return fmt.Sprintf("/data/%d/redis%s", ns, prettyRedis(rest[1:]))
	case ModelZMap:
		return fmt.Sprintf("/data/%d/zmap/%q", ns, rest[1:])
	}
	return fmt.Sprintf("/data/%d/?%x", ns, rest)
}

func prettyRedis(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	out := fmt.Sprintf("/%d", b[0])
	if len(b) == 3 {
		return out + fmt.Sprintf("/slot %d", binary.BigEndian.Uint16(b[1:]))
	}
	if len(b) < 4 {
		return out + fmt.Sprintf("/?%x", b[1:])
	}
	out += fmt.Sprintf("/slot %d", binary.BigEndian.Uint16(b[1:]))
	area, rest := b[3], b[4:]
	switch area {
	case SlotCounters:
		return out + fmt.Sprintf("/counter/%x", rest)
	case SlotKeys:
		if len(rest) > RedisPlaceBytes {
			if key, part, ok := DecodeEscaped(nil, rest[RedisPlaceBytes:]); ok {
				return out + fmt.Sprintf("/%q/%q", key, part)
			}
		}
	case SlotTTL:
		if len(rest) > 8 {
			if key, _, ok := DecodeEscaped(nil, rest[8:]); ok {
				return out + fmt.Sprintf("/ttl/%d/%q", binary.BigEndian.Uint64(rest), key)
			}
		}
	}
	return out + fmt.Sprintf("/?%x", b[3:])
}

// SplitMin is the least key at which a range may be cut: what is below stays together
// in the first range.
func SplitMin() []byte { return []byte{Data} }

// All is the span of every key that a range may hold.
func All() base.Span { return base.Span{Start: []byte{RangeLocal}, End: []byte{End}} }
