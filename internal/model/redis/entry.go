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
	// reaped: something was overdue and is deleted.
	reaped bool
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
	e.reaped = e.h.expireAt != 0 && e.h.expireAt <= now || e.h.elementsAt != 0 && e.h.elementsAt <= now
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
	var d counterDelta
	if !e.found {
		d.keys = 1
		e.event(EventNew, "new")
	}
	if e.h.expireAt|h.expireAt|e.h.elementsAt|h.elementsAt != 0 {
		e.moveTimes(t, h.expireAt, h.elementsAt, &d)
	}
	if d != (counterDelta{}) {
		e.count(t, d)
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

// moveTimes brings the slot's TTL index up to date with new times.
func (e *entry) moveTimes(t kv.Txn, expireAt, elementsAt int64, d *counterDelta) {
	d.expiring += e.moveTime(t, e.h.expireAt, expireAt, false)
	d.elements += e.moveTime(t, e.h.elementsAt, elementsAt, true)
}

func (e *entry) moveTime(t kv.Txn, old, at int64, elements bool) (delta int) {
	if old == at {
		return 0
	}
	if old != 0 {
		delta--
		t.Clear(e.ttlRow(t, old, elements))
	}
	if at != 0 {
		delta++
		t.Set(e.ttlRow(t, at, elements), nil)
	}
	return delta
}

// remove deletes the key with everything that belongs to it.
func (e *entry) remove(t kv.Txn) {
	if e.h.hasRows() {
		t.ClearRange(base.Span{Start: e.row, End: e.spanEnd(t)})
	} else {
		t.Clear(e.row)
	}
	d := counterDelta{keys: -1}
	e.moveTimes(t, 0, 0, &d)
	e.count(t, d)
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
	partListNode byte = 0x04
	partMember   byte = 0x05
	partScore    byte = 0x06
	partNode     byte = 0x07
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

// part makes the key of a row behind the header with room for n more bytes.
func (e *entry) part(t kv.Txn, part byte, n int) []byte {
	row := t.Alloc(len(e.row) + 1 + n)
	copy(row, e.row)
	row[len(e.row)] = part
	return row
}
