package redis

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/glob"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
)

// copyMaxBytes is where COPY and RENAME of a large value give up.
const copyMaxBytes = limits.TransactionBytes

// ScanOptions are the options of SCAN and HSCAN.
type ScanOptions struct {
	// Match is a glob; nil matches everything.
	Match []byte
	// Count is how many keys or fields to look at; 0 means ScanCount. More than
	// ScanCountMax is taken for ScanCountMax.
	Count int
	// Type restricts SCAN to a type, unless it is TypeNone.
	Type Type
}

// The default of SCAN's COUNT and the most that one call looks at.
const (
	ScanCount    = 10
	ScanCountMax = 1 << 16
)

// Limit is COUNT within its bounds.
func (o *ScanOptions) Limit() int {
	if o.Count <= 0 {
		return ScanCount
	}
	return min(o.Count, ScanCountMax)
}

// Matches lets "*" match the empty name, too, which the glob alone does not.
func (o *ScanOptions) Matches(name []byte) bool {
	return o.Match == nil || string(o.Match) == "*" || glob.Match(o.Match, name, false)
}

// slot is the only slot in which a match can be, if the pattern tells: one that
// begins with a tag, or has no wildcard.
func (o *ScanOptions) slot() (slot uint16, only bool) {
	if o.Match == nil {
		return 0, false
	}
	prefix, whole := glob.LiteralPrefix(o.Match)
	return hashslot.Slot(prefix), whole || len(hashslot.Tag(prefix)) < len(prefix)
}

// Scan is SCAN, and KEYS when it is called until the cursor is 0: the keys that
// one step finds are appended to dst. Its reads leave no conflicts. Overdue keys
// that it meets are deleted.
func Scan(t kv.Txn, db *DB, cursor uint64, o ScanOptions, dst [][]byte) (next uint64, keys [][]byte, err error) {
	slot, at := uint16(cursor>>placeBits), Place(cursor)&(PlaceEnd-1)
	if cursor>>placeBits >= hashslot.Slots {
		return 0, dst, nil
	}
	from, end := db.keyRow(t, slot, at), db.end(t)
	if only, ok := o.slot(); ok {
		if slot < only {
			from = db.keyRow(t, only, 0)
		}
		end = db.slotRow(t, only+1)
	}
	w := walk{t: t, db: db, now: t.NowMillis()}
	left := o.Limit()
	last := cursorAt{}
	err = w.headers(from, end, func(c cursorAt, key []byte, h *Header) bool {
		if left <= 0 && c != last {
			next = uint64(c.slot)<<placeBits | uint64(c.place)
			return false
		}
		left, last = left-1, c
		if (o.Type == TypeNone || h.Kind == o.Type) && o.Matches(key) {
			dst = append(dst, key)
		}
		return true
	})
	return next, dst, err
}

// KeysInSlot is CLUSTER GETKEYSINSLOT: up to count keys are appended to dst.
func KeysInSlot(t kv.Txn, db *DB, slot uint16, count int, dst [][]byte) ([][]byte, error) {
	if slot >= hashslot.Slots || count <= 0 {
		return dst, nil
	}
	w := walk{t: t, db: db, now: t.NowMillis()}
	err := w.headers(db.keyRow(t, slot, 0), db.slotRow(t, slot+1), func(_ cursorAt, key []byte, _ *Header) bool {
		dst = append(dst, key)
		count--
		return count > 0
	})
	return dst, err
}

// randomRun is among how many keys behind a random place RandomKey chooses.
const randomRun = 16

// RandomKey is RANDOMKEY; nil for an empty database. With up to randomRun keys
// the choice is even, else keys behind wide gaps come somewhat more often.
func RandomKey(t kv.Txn, db *DB, r Rand) ([]byte, error) {
	list, err := Candidates(t, db, r, randomRun)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[r.Uint64N(uint64(len(list)))].Key, nil
}

// cursorAt is where a key stands in its database.
type cursorAt struct {
	slot  uint16
	place Place
}

// keyRow is the first header row at a place of a slot.
func (db *DB) keyRow(t kv.Txn, slot uint16, p Place) []byte {
	row := append(db.slotRow(t, slot), keyspace.SlotKeys)
	return appendPlace(row, p)
}

// walk visits the headers of a database.
type walk struct {
	t   kv.Txn
	db  *DB
	now int64
	// due holds the overdue keys of one pass.
	due [][]byte
	// jump is where to go on behind rows that are of no interest.
	jump []byte
	// idle counts such rows since the last header.
	idle int
	// reap is a hash with overdue fields, which may be all that it has: the scan
	// stops at it to look it up.
	reap   []byte
	reapAt cursorAt
}

const (
	// walkIdleRows is how many rows of no interest are read before a seek.
	walkIdleRows = 8
	// walkDueMax bounds the overdue keys that one call deletes.
	walkDueMax = 256
)

// headers visits the keys of [from, end) that are not overdue, in the order of
// slot and place, and deletes the overdue ones.
func (w *walk) headers(from, end []byte, visit func(c cursorAt, key []byte, h *Header) bool) error {
	for from != nil && bytes.Compare(from, end) < 0 {
		w.jump, w.idle, w.reap = nil, 0, nil
		var bad error
		err := w.t.Snapshot().Scan(base.Span{Start: from, End: end}, kv.ScanOptions{}, func(row, value []byte) bool {
			var more bool
			more, bad = w.row(row, value, visit)
			return more
		})
		if err == nil {
			err = bad
		}
		if err != nil {
			return err
		}
		from = w.jump
		if w.reap != nil {
			var e Entry
			if err := e.Lookup(w.t, w.db, w.reap); err != nil {
				return err
			}
			if e.Found && !visit(w.reapAt, w.reap, &e.Header) {
				break
			}
		}
	}
	for _, key := range w.due {
		var e Entry
		if err := e.Lookup(w.t, w.db, key); err != nil {
			return err
		}
	}
	w.due = w.due[:0]
	return nil
}

func (w *walk) row(row, value []byte, visit func(c cursorAt, key []byte, h *Header) bool) (more bool, err error) {
	slot, area, rest, err := w.db.splitRow(row)
	if err != nil {
		return false, err
	}
	if area != keyspace.SlotKeys {
		w.idle++
		if area == keyspace.SlotTTL && w.idle > walkIdleRows {
			w.jump = w.db.slotRow(w.t, slot+1)
			return false, nil
		}
		return true, nil
	}
	w.idle = 0
	if len(rest) < PlaceBytes {
		return false, Corrupt("key row %s", keyspace.Pretty(row))
	}
	key, part, ok := keyspace.DecodeEscaped(w.t.Alloc(len(rest))[:0], rest[PlaceBytes:])
	if !ok || len(part) != 0 {
		return false, Corrupt("no header before row %s", keyspace.Pretty(row))
	}
	h, err := decodeHeader(value)
	if err != nil {
		return false, err
	}
	c := cursorAt{slot, DecodePlace(rest)}
	switch {
	case h.ExpireAt != 0 && h.ExpireAt <= w.now:
		if len(w.due) < walkDueMax {
			w.due = append(w.due, key)
		}
	case h.elementsAt != 0 && h.elementsAt <= w.now:
		w.reap, w.reapAt = key, c
	case !visit(c, key, &h):
		return false, nil
	}
	if h.hasRows() || w.reap != nil {
		w.jump = w.t.Alloc(len(row))
		copy(w.jump, row)
		w.jump[len(row)-1]++
		return false, nil
	}
	return true, nil
}

// HScan is HSCAN: the fields that one step finds are appended to dst.
func HScan(t kv.Txn, db *DB, key []byte, cursor uint64, o ScanOptions, dst []FieldValue) (next uint64, fields []FieldValue, err error) {
	return scanFields(t, db, key, TypeHash, cursor, o, dst)
}

// SScan is SSCAN: the members that one step finds are appended to dst, as fields.
func SScan(t kv.Txn, db *DB, key []byte, cursor uint64, o ScanOptions, dst []FieldValue) (next uint64, members []FieldValue, err error) {
	return scanFields(t, db, key, TypeSet, cursor, o, dst)
}

func scanFields(t kv.Txn, db *DB, key []byte, kind Type, cursor uint64, o ScanOptions, dst []FieldValue) (next uint64, fields []FieldValue, err error) {
	var e Entry
	if err := e.ReadAs(t, db, key, kind); err != nil || !e.Found {
		return 0, dst, err
	}
	take := func(f *HashField) {
		if o.Matches(f.Field) {
			dst = append(dst, FieldValue{f.Field, f.value})
		}
	}
	if e.Header.Enc != encRows {
		return 0, dst, e.fieldsOnce(t, cursor, take)
	}
	if cursor >= uint64(PlaceEnd) {
		return 0, dst, nil
	}
	step := ScanStep{Left: o.Limit()}
	err = e.fieldsFrom(t, Place(cursor), func(f *HashField, p Place) bool {
		if !step.Covers(p) {
			return false
		}
		take(f)
		return true
	})
	return step.Next, dst, err
}

// ScanStep counts the elements of one step of a scan by places.
type ScanStep struct {
	Left int
	last Place
	Next uint64 // the cursor
}

// Covers reports whether the step goes as far as an element at p: COUNT of them, and those
// of the last one's place.
func (s *ScanStep) Covers(p Place) bool {
	if s.Left <= 0 && p != s.last {
		s.Next = uint64(p)
		return false
	}
	s.Left, s.last = s.Left-1, p
	return true
}

// fieldsOnce is a whole scan of a hash in its header in one step. A cursor other
// than 0 is left from the time when the hash had rows: its fields from that
// place on have not been returned yet.
func (e *Entry) fieldsOnce(t kv.Txn, cursor uint64, visit func(f *HashField)) error {
	return e.Fields(t, func(f *HashField) {
		if uint64(PlaceOf(f.Field)) >= cursor {
			visit(f)
		}
	})
}
