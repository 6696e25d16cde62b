package redis

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
)

// Databases is how many numbered databases a namespace has.
const Databases = keyspace.RedisDatabases

// Options say when a value leaves its header record. They decide for new writes
// only: what is stored says itself how it is laid out, so they may differ
// between nodes and change at any time. Zero means the default.
type Options struct {
	// StringInlineBytes is up to which length SET keeps a string in its header.
	StringInlineBytes int
	// StringGrowBytes is up to which length APPEND and SETRANGE do. It is lower
	// because they rewrite the header each time.
	StringGrowBytes int
	// PieceBytes is the length of a piece of a longer string.
	PieceBytes int
	// BitPieceBytes is the same for one that SETBIT and BITFIELD make, and up to which length
	// they keep it in its header.
	BitPieceBytes int
	// HashInlineFields and HashInlineBytes bound a hash, a set or a sorted set inside its
	// header.
	HashInlineFields int
	HashInlineBytes  int
	// ListNodeElements and ListNodeBytes bound a list inside its header, and its nodes.
	ListNodeElements int
	ListNodeBytes    int
	// RankNodeChildren is how many children a node of a sorted set may have.
	RankNodeChildren int
	// ReapFields bounds how many overdue fields one command deletes from a hash.
	ReapFields int
	// Lookups counts what commands that read have found; nil for nobody.
	Lookups *Lookups
	// Samples have members of large sets for SPOP; without them each one is looked for.
	Samples *Samples
}

// Lookups are how many keys commands that read have found, and have not. An attempt that
// is made again counts again.
type Lookups struct{ Hits, Misses atomic.Int64 }

// The defaults of Options.
const (
	DefaultStringInlineBytes = 64 << 10
	DefaultStringGrowBytes   = 16 << 10
	DefaultPieceBytes        = 16 << 10
	DefaultBitPieceBytes     = 2 << 10
	DefaultHashInlineFields  = 64
	DefaultHashInlineBytes   = 2 << 10
	DefaultListNodeElements  = 64
	DefaultListNodeBytes     = 512
	DefaultRankNodeChildren  = 256
	DefaultReapFields        = 1024
)

const (
	// maxPieceBytes leaves room for the key in limits.PairBytes.
	maxPieceBytes = limits.PairBytes / 2
	// maxNodeElements and maxNodeBytes leave room for what may be several times as long.
	maxNodeElements = 1 << 12
	maxNodeBytes    = 64 << 10
)

func orDefault(v *int, d int) {
	if *v <= 0 {
		*v = d
	}
}

func (o Options) withDefaults() Options {
	orDefault(&o.StringInlineBytes, DefaultStringInlineBytes)
	orDefault(&o.StringGrowBytes, DefaultStringGrowBytes)
	orDefault(&o.PieceBytes, DefaultPieceBytes)
	orDefault(&o.BitPieceBytes, DefaultBitPieceBytes)
	orDefault(&o.HashInlineFields, DefaultHashInlineFields)
	orDefault(&o.HashInlineBytes, DefaultHashInlineBytes)
	orDefault(&o.ListNodeElements, DefaultListNodeElements)
	orDefault(&o.ListNodeBytes, DefaultListNodeBytes)
	orDefault(&o.RankNodeChildren, DefaultRankNodeChildren)
	orDefault(&o.ReapFields, DefaultReapFields)
	o.PieceBytes = min(o.PieceBytes, maxPieceBytes)
	o.StringInlineBytes = min(o.StringInlineBytes, maxPieceBytes)
	o.StringGrowBytes = min(o.StringGrowBytes, o.StringInlineBytes)
	o.HashInlineBytes = min(o.HashInlineBytes, maxPieceBytes)
	o.ListNodeElements = min(o.ListNodeElements, maxNodeElements)
	o.ListNodeBytes = min(o.ListNodeBytes, maxNodeBytes)
	o.RankNodeChildren = max(o.RankNodeChildren, 2)
	return o
}

// DB is a handle of one numbered database of a namespace. It is immutable: a
// session makes it once and may share it.
type DB struct {
	prefix  []byte
	span    base.Span
	ns      keyspace.NamespaceID
	number  uint8
	Options Options
	events  Events
}

// Open makes the handle of the database that is stored under its own number. It
// reads nothing.
func Open(ns keyspace.NamespaceID, number uint8, o Options) (*DB, error) {
	if number >= Databases {
		return nil, ErrDBIndex
	}
	db := &DB{ns: ns, number: number, Options: o.withDefaults()}
	return db.StoredAs(number), nil
}

// StoredAs is the same database, stored under another, physical number.
func (db *DB) StoredAs(physical uint8) *DB {
	c := *db
	c.prefix = keyspace.AppendRedisDB(nil, db.ns, physical)
	c.span = base.PrefixSpan(c.prefix)
	return &c
}

// WithEvents is the same database with a sink for its events; nil for none.
func (db *DB) WithEvents(e Events) *DB {
	c := *db
	c.events = e
	return &c
}

// Number is the database's number, as clients select it.
func (db *DB) Number() uint8 { return db.number }

// Namespace is the database's namespace.
func (db *DB) Namespace() keyspace.NamespaceID { return db.ns }

// Span holds everything of the database.
func (db *DB) Span() base.Span { return db.span }

// SlotSpan holds everything of one hash slot.
func (db *DB) SlotSpan(slot uint16) base.Span {
	return base.PrefixSpan(keyspace.AppendRedisSlot(nil, db.prefix, slot))
}

// AppendHeaderKey appends the row that every change of key writes: the one to
// watch.
func (db *DB) AppendHeaderKey(dst, key []byte) []byte {
	dst = keyspace.AppendRedisSlot(dst, db.prefix, hashslot.Slot(key))
	dst = append(dst, keyspace.SlotKeys)
	dst = appendPlace(dst, PlaceOf(key))
	return keyspace.AppendEscaped(dst, key)
}

// AppendElementKey appends the row of a hash's field, or of a set's or sorted set's member, in
// one that has rows; key is the header's row.
func AppendElementKey(dst, key []byte, kind Type, element []byte) []byte {
	part := partField
	if kind == TypeZSet {
		part = PartMember
	}
	return appendElement(dst, key, part, element)
}

// appendElement appends the row of an element: place and name in a part of the rows behind key.
func appendElement(dst, key []byte, part byte, element []byte) []byte {
	dst = append(append(dst, key...), part)
	return append(appendPlace(dst, PlaceOf(element)), element...)
}

// Place is where a key stands in its slot, or a field in its hash: the first 39
// bits of its XXH64. On disk it is five bytes, big-endian. A place and a slot
// number fit a cursor below 2^53.
type Place uint64

const (
	placeBits  = 39
	PlaceBytes = keyspace.RedisPlaceBytes
	PlaceEnd   = Place(1) << placeBits
)

// PlaceOf is the place of a key, a field or a member.
func PlaceOf(b []byte) Place { return Place(xxhash.Sum64(b) >> (64 - placeBits)) }

func appendPlace(dst []byte, p Place) []byte {
	return binary.BigEndian.AppendUint32(append(dst, byte(p>>32)), uint32(p))
}

// PutPlace writes a place as it is on disk.
func PutPlace(dst []byte, p Place) {
	dst[0] = byte(p >> 32)
	binary.BigEndian.PutUint32(dst[1:], uint32(p))
}

// DecodePlace reads what PutPlace wrote.
func DecodePlace(b []byte) Place {
	return Place(b[0])<<32 | Place(binary.BigEndian.Uint32(b[1:]))
}

// headerOffset is where the escaped key begins in a header row, counted from the
// end of the database's prefix: slot, area, place.
const headerOffset = 2 + 1 + PlaceBytes

// rowReserve is what rows need beyond the header's key: a TTL row has eight
// bytes of time instead of the place, a piece a part and a number, an element's
// TTL row a part and a time.
const rowReserve = 32

func headerKeyBytes(db *DB, key []byte) int {
	n := len(db.prefix) + headerOffset + len(key) + 2
	if bytes.IndexByte(key, 0) >= 0 {
		n += bytes.Count(key, []byte{0})
	}
	return n
}

func tooLong(db *DB, key []byte) bool { return headerKeyBytes(db, key) > limits.KeyBytes-rowReserve }

// locate builds the key of e's header row.
func (e *Entry) locate(t kv.Txn) error {
	db, key := e.DB, e.key
	n := headerKeyBytes(db, key)
	if n > limits.KeyBytes-rowReserve {
		return ErrKeyTooLong
	}
	row := t.Alloc(n)
	i := copy(row, db.prefix)
	binary.BigEndian.PutUint16(row[i:], hashslot.Slot(key))
	row[i+2] = keyspace.SlotKeys
	PutPlace(row[i+3:], PlaceOf(key))
	keyspace.AppendEscaped(row[:i+headerOffset], key)
	e.Row = row
	return nil
}
