package redis

import (
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// entry is a key as one command sees it: where its header stands and what it
// says. All writes to headers, TTL rows and counters go through it.
type entry struct {
	db  *DB
	key []byte
	// row is the key of the header record; part is built behind it.
	row   []byte
	found bool
	h     header
}

// lookup reads the header of key. An overdue key is deleted and then absent, and
// so are overdue fields of a hash (C11).
func (e *entry) lookup(t kv.Txn, db *DB, key []byte) error {
	e.db, e.key = db, key
	if err := e.locate(t); err != nil {
		return err
	}
	return e.load(t)
}

func (e *entry) load(t kv.Txn) error {
	raw, err := t.Get(e.row)
	e.found, e.h = raw != nil, header{}
	if err != nil || raw == nil {
		return err
	}
	if e.h, err = decodeHeader(raw); err != nil {
		return err
	}
	if e.h.expireAt|e.h.elementsAt == 0 {
		return nil
	}
	now := t.NowMillis()
	if e.h.expireAt != 0 && e.h.expireAt <= now {
		e.remove(t)
		e.event(EventExpired, "expired")
		return nil
	}
	if e.h.elementsAt != 0 && e.h.elementsAt <= now {
		return e.reapFields(t, e.db.o.ReapFields)
	}
	return nil
}

// lookupAs is lookup for a command that works on one type.
func (e *entry) lookupAs(t kv.Txn, db *DB, key []byte, kind Type) error {
	if err := e.lookup(t, db, key); err != nil {
		return err
	}
	if e.found && e.h.kind != kind {
		return ErrWrongType
	}
	return nil
}

// readAs is lookupAs for a command that only reads.
func (e *entry) readAs(t kv.Txn, db *DB, key []byte, kind Type) error {
	err := e.lookupAs(t, db, key, kind)
	if err == nil && !e.found {
		e.event(EventKeyMiss, "keymiss")
	}
	return err
}

// newRecord makes room for a header record with a body of n bytes, which the
// caller fills before it stores the record.
func newRecord(t kv.Txn, h *header, n int) (record, body []byte) {
	record = t.Alloc(h.size() + n)
	return record, record[h.put(record):]
}

// store writes a record made for h, and moves TTL rows and counters along. It
// leaves rows behind the header alone.
func (e *entry) store(t kv.Txn, h *header, record []byte) {
	t.Set(e.row, record)
	created, expiring := 0, 0
	if !e.found {
		created = 1
		e.event(EventNew, "new")
	}
	if e.h.expireAt != h.expireAt {
		if e.h.expireAt != 0 {
			expiring--
			t.Clear(e.ttlRow(t, e.h.expireAt, false))
		}
		if h.expireAt != 0 {
			expiring++
			t.Set(e.ttlRow(t, h.expireAt, false), nil)
		}
	}
	e.moveElementsTTL(t, h.elementsAt)
	if created != 0 || expiring != 0 {
		e.count(t, created, expiring)
	}
	e.found, e.h = true, *h
	e.h.body = record[h.size():]
}

// replace stores a record in place of whatever the key held.
func (e *entry) replace(t kv.Txn, h *header, record []byte) {
	e.clearRows(t)
	e.store(t, h, record)
}

// restore writes the header again with the same body and other fixed parts.
func (e *entry) restore(t kv.Txn, h header) {
	record, body := newRecord(t, &h, len(e.h.body))
	copy(body, e.h.body)
	e.store(t, &h, record)
}

func (e *entry) moveElementsTTL(t kv.Txn, at int64) {
	if e.h.elementsAt == at {
		return
	}
	if e.h.elementsAt != 0 {
		t.Clear(e.ttlRow(t, e.h.elementsAt, true))
	}
	if at != 0 {
		t.Set(e.ttlRow(t, at, true), nil)
	}
}

// remove deletes the key with everything that belongs to it.
func (e *entry) remove(t kv.Txn) {
	if e.h.hasRows() {
		t.ClearRange(base.Span{Start: e.row, End: e.spanEnd(t)})
	} else {
		t.Clear(e.row)
	}
	expiring := 0
	if e.h.expireAt != 0 {
		expiring = -1
		t.Clear(e.ttlRow(t, e.h.expireAt, false))
	}
	e.moveElementsTTL(t, 0)
	e.count(t, -1, expiring)
	e.found, e.h = false, header{}
}

// clearRows deletes the rows behind the header.
func (e *entry) clearRows(t kv.Txn) {
	if e.found && e.h.hasRows() {
		start := t.Alloc(len(e.row) + 1)
		copy(start, e.row)
		start[len(e.row)] = 0
		t.ClearRange(base.Span{Start: start, End: e.spanEnd(t)})
	}
}

// spanEnd is the end of the key's span. The header's key ends with 0x01.
func (e *entry) spanEnd(t kv.Txn) []byte {
	end := t.Alloc(len(e.row))
	copy(end, e.row)
	end[len(end)-1]++
	return end
}

// Parts behind a header. On disk.
const (
	partPiece    byte = 0x01
	partField    byte = 0x02
	partFieldTTL byte = 0x03
)

// ttlElements ends the TTL row of a key whose elements expire, so that it stands
// beside the row of the key's own expiry. On disk.
const ttlElements byte = 0x01

// ttlRow is the key of a row in the slot's TTL index.
func (e *entry) ttlRow(t kv.Txn, at int64, elements bool) []byte {
	slotEnd := len(e.db.prefix) + 2
	escaped := e.row[len(e.db.prefix)+headerOffset:]
	n := slotEnd + 1 + 8 + len(escaped)
	if elements {
		n++
	}
	row := t.Alloc(n)
	copy(row, e.row[:slotEnd])
	row[slotEnd] = keyspace.SlotTTL
	binary.BigEndian.PutUint64(row[slotEnd+1:], uint64(at))
	copy(row[slotEnd+9:], escaped)
	if elements {
		row[n-1] = ttlElements
	}
	return row
}

// The counters of a slot are one row of sixteen bytes: the keys, then those of
// them that expire, both little-endian. Because they stay positive, adding to
// the row as one 128-bit number adds to each.
const (
	slotCounter       byte = 0x01
	slotCounterBytes       = 16
	slotCounterSuffix      = 2
)

func appendCounterKey(dst []byte) []byte {
	return append(dst, keyspace.SlotCounters, slotCounter)
}

// counterOperand[k+1][x+1] adds k keys and x expiring ones. Never written to.
var counterOperand = func() (ops [3][3][slotCounterBytes]byte) {
	for k := range ops {
		for x := range ops[k] {
			keys, expiring := int64(k-1), int64(x-1)
			if keys < 0 {
				expiring-- // the borrow out of the lower half
			}
			binary.LittleEndian.PutUint64(ops[k][x][:8], uint64(keys))
			binary.LittleEndian.PutUint64(ops[k][x][8:], uint64(expiring))
		}
	}
	return ops
}()

// count changes the slot's counters. A row that comes down to zero goes away, so
// that empty slots are not visited.
func (e *entry) count(t kv.Txn, keys, expiring int) {
	slotEnd := len(e.db.prefix) + 2
	row := t.Alloc(slotEnd + slotCounterSuffix)
	copy(row, e.row[:slotEnd])
	appendCounterKey(row[:slotEnd])
	t.Atomic(base.OpAdd, row, counterOperand[keys+1][expiring+1][:])
	if keys < 0 {
		t.Atomic(base.OpCompareAndClear, row, counterOperand[1][1][:])
	}
}

func decodeCounters(b []byte) (keys, expiring int64, err error) {
	if len(b) != slotCounterBytes {
		return 0, 0, corrupt("slot counter of %d bytes", len(b))
	}
	keys = int64(binary.LittleEndian.Uint64(b))
	expiring = int64(binary.LittleEndian.Uint64(b[8:]))
	if keys < 0 || expiring < 0 || expiring > keys {
		return 0, 0, corrupt("slot counts %d keys, %d of them expiring", keys, expiring)
	}
	return keys, expiring, nil
}

// part makes the key of a row behind the header with room for n more bytes.
func (e *entry) part(t kv.Txn, part byte, n int) []byte {
	row := t.Alloc(len(e.row) + 1 + n)
	copy(row, e.row)
	row[len(e.row)] = part
	return row
}
