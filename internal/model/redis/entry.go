package redis

import (
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Entry is a key as one command sees it: where its header stands and what it
// says. All writes to headers, TTL rows and counters go through it.
type Entry struct {
	DB  *DB
	key []byte
	// row is the key of the header record; part is built behind it.
	Row    []byte
	Found  bool
	Header Header
	// reaped: something was overdue and is deleted.
	reaped bool
}

// Lookup reads the header of key. An overdue key is deleted and then absent, and
// so are overdue fields of a hash (C11).
func (e *Entry) Lookup(t kv.Txn, db *DB, key []byte) error {
	e.DB, e.key = db, key
	if err := e.locate(t); err != nil {
		return err
	}
	return e.load(t)
}

func (e *Entry) load(t kv.Txn) error {
	raw, err := t.Get(e.Row)
	e.Found, e.Header = raw != nil, Header{}
	if err != nil || raw == nil {
		return err
	}
	if e.Header, err = decodeHeader(raw); err != nil {
		return err
	}
	if e.Header.ExpireAt|e.Header.elementsAt == 0 {
		return nil
	}
	now := t.NowMillis()
	e.reaped = e.Header.ExpireAt != 0 && e.Header.ExpireAt <= now || e.Header.elementsAt != 0 && e.Header.elementsAt <= now
	if e.Header.ExpireAt != 0 && e.Header.ExpireAt <= now {
		e.Remove(t)
		e.Event(EventExpired, "expired")
		return nil
	}
	if e.Header.elementsAt != 0 && e.Header.elementsAt <= now {
		return e.reapFields(t, e.DB.Options.ReapFields)
	}
	return nil
}

// LookupAs is lookup for a command that works on one type.
func (e *Entry) LookupAs(t kv.Txn, db *DB, key []byte, kind Type) error {
	if err := e.Lookup(t, db, key); err != nil {
		return err
	}
	if e.Found && e.Header.Kind != kind {
		return ErrWrongType
	}
	return nil
}

// ReadAs is lookupAs for a command that only reads.
func (e *Entry) ReadAs(t kv.Txn, db *DB, key []byte, kind Type) error {
	err := e.LookupAs(t, db, key, kind)
	if err == nil || err == error(ErrWrongType) {
		e.wasRead()
	}
	return err
}

// wasRead tells that a command that reads has found a key, or has not.
func (e *Entry) wasRead() {
	if !e.Found {
		e.Event(EventKeyMiss, "keymiss")
	}
	switch l := e.DB.Options.Lookups; {
	case l == nil:
	case e.Found:
		l.Hits.Add(1)
	default:
		l.Misses.Add(1)
	}
}

// NewRecord makes room for a header record with a body of n bytes, which the
// caller fills before it stores the record.
func NewRecord(t kv.Txn, h *Header, n int) (record, body []byte) {
	record = t.Alloc(h.size() + n)
	return record, record[h.put(record):]
}

// Store writes a record made for h, and moves TTL rows and counters along. It
// leaves rows behind the header alone.
func (e *Entry) Store(t kv.Txn, h *Header, record []byte) {
	t.Set(e.Row, record)
	var d counterDelta
	if !e.Found {
		d.keys = 1
		e.Event(EventNew, "new")
	}
	if e.Header.ExpireAt|h.ExpireAt|e.Header.elementsAt|h.elementsAt != 0 {
		e.moveTimes(t, h.ExpireAt, h.elementsAt, &d)
	}
	if d != (counterDelta{}) {
		e.count(t, d)
	}
	e.Found, e.Header = true, *h
	e.Header.Body = record[h.size():]
}

// replace stores a record in place of whatever the key held.
func (e *Entry) replace(t kv.Txn, h *Header, record []byte) {
	e.ClearRows(t)
	e.Store(t, h, record)
}

// Restore writes the header again with the same body and other fixed parts.
func (e *Entry) Restore(t kv.Txn, h Header) {
	record, body := NewRecord(t, &h, len(e.Header.Body))
	copy(body, e.Header.Body)
	e.Store(t, &h, record)
}

// moveTimes brings the slot's TTL index up to date with new times.
func (e *Entry) moveTimes(t kv.Txn, expireAt, elementsAt int64, d *counterDelta) {
	d.expiring += e.moveTime(t, e.Header.ExpireAt, expireAt, false)
	d.elements += e.moveTime(t, e.Header.elementsAt, elementsAt, true)
}

func (e *Entry) moveTime(t kv.Txn, old, at int64, elements bool) (delta int) {
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

// Remove deletes the key with everything that belongs to it.
func (e *Entry) Remove(t kv.Txn) {
	if e.Header.hasRows() {
		t.ClearRange(base.Span{Start: e.Row, End: e.spanEnd(t)})
	} else {
		t.Clear(e.Row)
	}
	d := counterDelta{keys: -1}
	e.moveTimes(t, 0, 0, &d)
	e.count(t, d)
	e.Found, e.Header = false, Header{}
}

// ClearRows deletes the rows behind the header.
func (e *Entry) ClearRows(t kv.Txn) {
	if e.Found && e.Header.hasRows() {
		start := t.Alloc(len(e.Row) + 1)
		copy(start, e.Row)
		start[len(e.Row)] = 0
		t.ClearRange(base.Span{Start: start, End: e.spanEnd(t)})
	}
}

// spanEnd is the end of the key's span. The header's key ends with 0x01.
func (e *Entry) spanEnd(t kv.Txn) []byte {
	end := t.Alloc(len(e.Row))
	copy(end, e.Row)
	end[len(end)-1]++
	return end
}

// Parts behind a header. On disk.
const (
	partPiece    byte = 0x01
	partField    byte = 0x02
	partFieldTTL byte = 0x03
	PartListNode byte = 0x04
	PartMember   byte = 0x05
	PartOrder    byte = 0x06 // 0x07 is free
	PartEntry    byte = 0x08
	PartGroup    byte = 0x09
	PartConsumer byte = 0x0A
	PartPending  byte = 0x0B
	PartOwned    byte = 0x0C
)

// ttlElements ends the TTL row of a key whose elements expire, so that it stands
// beside the row of the key's own expiry. On disk.
const ttlElements byte = 0x01

// ttlRow is the key of a row in the slot's TTL index.
func (e *Entry) ttlRow(t kv.Txn, at int64, elements bool) []byte {
	slotEnd := len(e.DB.prefix) + 2
	escaped := e.Row[len(e.DB.prefix)+headerOffset:]
	n := slotEnd + 1 + 8 + len(escaped)
	if elements {
		n++
	}
	row := t.Alloc(n)
	copy(row, e.Row[:slotEnd])
	row[slotEnd] = keyspace.SlotTTL
	binary.BigEndian.PutUint64(row[slotEnd+1:], uint64(at))
	copy(row[slotEnd+9:], escaped)
	if elements {
		row[n-1] = ttlElements
	}
	return row
}

// Part makes the key of a row behind the header with room for n more bytes.
func (e *Entry) Part(t kv.Txn, part byte, n int) []byte {
	row := t.Alloc(len(e.Row) + 1 + n)
	copy(row, e.Row)
	row[len(e.Row)] = part
	return row
}

// ElementRow is the key of the row of a field or member, in a part whose rows are found by name.
func (e *Entry) ElementRow(t kv.Txn, part byte, element []byte) []byte {
	row := t.Alloc(len(e.Row) + 1 + PlaceBytes + len(element))
	return appendElement(row[:0], e.Row, part, element)
}
