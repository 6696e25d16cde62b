package redis

import (
	"bytes"
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// A hash inside its header: the number of fields in two bytes, then for each its
// length as a uvarint and its bytes, the same for its value, and in encFieldsTTL
// eight bytes of expiry, 0 for none.
//
// A hash in rows: the body counts the fields and those of them that expire. A
// field's row is named by its place and the field; its value is a flag, eight
// bytes of expiry if it has one, and the value. Fields that expire have a row
// named by time and field beside it, so that the next one due is the first.

const (
	FieldsCountBytes = 2
	MaxInlineFields  = 1<<16 - 1
	rowsBodyBytes    = 16

	rowPlain   byte = 0
	rowExpires byte = 1
)

// Redis's defaults of hash-max-listpack-entries and hash-max-listpack-value.
// They decide what OBJECT ENCODING says, and nothing else.
const (
	listpackFields     = 512
	listpackValueBytes = 64
)

// HashField is a field with its value. expireAt is 0 for a field without expiry.
type HashField struct {
	Field, value []byte
	expireAt     int64
}

func (f *HashField) due(now int64) bool { return f.expireAt != 0 && f.expireAt <= now }

func (h *Header) rowCounts() (fields, expiring int64) {
	return int64(binary.BigEndian.Uint64(h.Body)), int64(binary.BigEndian.Uint64(h.Body[8:]))
}

// hashEncoding is the name of OBJECT ENCODING.
func (h *Header) hashEncoding() string {
	switch {
	case h.Wide:
		return "hashtable"
	case h.elementsAt != 0:
		return "listpackex"
	}
	return "listpack"
}

// fieldIter walks the fields of a body.
type fieldIter struct {
	b    []byte
	left int
	// start and end are where the current field stands.
	start, end int
	ttl        bool
	HashField
	err error
}

func iterFields(h *Header) fieldIter { return iterBody(h.Body, h.Enc == encFieldsTTL) }

func iterBody(b []byte, ttl bool) fieldIter {
	it := fieldIter{b: b, ttl: ttl, end: FieldsCountBytes}
	if len(b) < FieldsCountBytes {
		it.err = Corrupt("hash body of %d bytes", len(b))
		return it
	}
	it.left = int(binary.BigEndian.Uint16(b))
	return it
}

func (it *fieldIter) next() bool {
	if it.err != nil {
		return false
	}
	it.start = it.end
	if it.left == 0 {
		if it.start != len(it.b) {
			it.err = Corrupt("%d bytes behind a hash's fields", len(it.b)-it.start)
		}
		return false
	}
	it.left--
	it.Field = it.take()
	it.value = it.take()
	it.expireAt = 0
	if it.ttl && it.err == nil {
		if len(it.b)-it.end < 8 {
			it.err = Corrupt("hash field without its time")
			return false
		}
		it.expireAt = int64(binary.BigEndian.Uint64(it.b[it.end:]))
		it.end += 8
		if it.expireAt < 0 {
			it.err = Corrupt("hash field with expiry %d", it.expireAt)
		}
	}
	return it.err == nil
}

func (it *fieldIter) take() []byte {
	if it.err != nil {
		return nil
	}
	n, w := binary.Uvarint(it.b[it.end:])
	if w <= 0 || n > uint64(len(it.b)-it.end-w) {
		it.err = Corrupt("hash field of %d bytes at %d of %d", n, it.end, len(it.b))
		return nil
	}
	at := it.end + w
	it.end = at + int(n)
	return it.b[at:it.end:it.end]
}

// find moves to a field.
func (it *fieldIter) find(field []byte) (bool, error) {
	for it.next() {
		if bytes.Equal(it.Field, field) {
			return true, nil
		}
	}
	return false, it.err
}

// UvarintLen is how many bytes a uvarint takes.
func UvarintLen(n int) int {
	w := 1
	for ; n >= 0x80; n >>= 7 {
		w++
	}
	return w
}

func fieldBytes(field, value []byte, ttl bool) int {
	n := UvarintLen(len(field)) + len(field) + UvarintLen(len(value)) + len(value)
	if ttl {
		n += 8
	}
	return n
}

func appendField(b, field, value []byte, expireAt int64, ttl bool) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(field))), field...)
	b = append(binary.AppendUvarint(b, uint64(len(value))), value...)
	if ttl {
		b = binary.BigEndian.AppendUint64(b, uint64(expireAt))
	}
	return b
}

// FieldRow is the key of a field's row.
func (e *Entry) FieldRow(t kv.Txn, field []byte) []byte {
	return e.ElementRow(t, partField, field)
}

// placeRow is the first key that a field at place p or behind it can have.
func (e *Entry) placeRow(t kv.Txn, p Place) []byte {
	row := e.Part(t, partField, PlaceBytes)
	PutPlace(row[len(e.Row)+1:], p)
	return row
}

// fieldOfRow is the field of a key that fieldRow made; header is the length of
// the header's key.
func fieldOfRow(header int, row []byte) ([]byte, Place, error) {
	at := header + 1
	if len(row) < at+PlaceBytes {
		return nil, 0, Corrupt("hash row %x", row)
	}
	return row[at+PlaceBytes:], DecodePlace(row[at:]), nil
}

func (e *Entry) fieldTTLRow(t kv.Txn, at int64, field []byte) []byte {
	row := e.Part(t, partFieldTTL, 8+len(field))
	binary.BigEndian.PutUint64(row[len(e.Row)+1:], uint64(at))
	copy(row[len(e.Row)+9:], field)
	return row
}

// FieldTooLong reports whether a field or a member exceeds what a row can be named by.
func (e *Entry) FieldTooLong(field []byte) bool {
	return len(e.Row)+1+8+len(field) > MaxRowBytes
}

// fieldSpan holds the rows of all fields from place p on.
func (e *Entry) fieldSpan(t kv.Txn, p Place) base.Span {
	return base.Span{Start: e.placeRow(t, p), End: e.Part(t, partField+1, 0)}
}

func decodeFieldRow(b []byte) (f HashField, err error) {
	switch {
	case len(b) >= 1 && b[0] == rowPlain:
		return HashField{value: b[1:]}, nil
	case len(b) >= 9 && b[0] == rowExpires:
		f.expireAt = int64(binary.BigEndian.Uint64(b[1:]))
		if f.expireAt > 0 {
			f.value = b[9:]
			return f, nil
		}
	}
	return f, Corrupt("hash row value of %d bytes", len(b))
}

func encodeFieldRow(t kv.Txn, value []byte, expireAt int64) []byte {
	if expireAt == 0 {
		b := t.Alloc(1 + len(value))
		b[0] = rowPlain
		copy(b[1:], value)
		return b
	}
	b := t.Alloc(9 + len(value))
	b[0] = rowExpires
	binary.BigEndian.PutUint64(b[1:], uint64(expireAt))
	copy(b[9:], value)
	return b
}

// Field looks a field up. One that is due and not deleted yet counts as absent.
func (e *Entry) Field(t kv.Txn, field []byte) (f HashField, found bool, err error) {
	if !e.Found {
		return f, false, nil
	}
	if e.Header.Enc != encRows {
		it := iterFields(&e.Header)
		found, err = it.find(field)
		return it.HashField, found, err
	}
	if e.FieldTooLong(field) {
		return f, false, nil
	}
	raw, err := t.Snapshot().Get(e.FieldRow(t, field))
	if err != nil || raw == nil {
		return f, false, err
	}
	f, err = decodeFieldRow(raw)
	f.Field = field
	return f, err == nil && !f.due(t.NowMillis()), err
}

// Fields visits all fields that are not due.
func (e *Entry) Fields(t kv.Txn, visit func(f *HashField)) error {
	if !e.Found {
		return nil
	}
	if e.Header.Enc != encRows {
		it := iterFields(&e.Header)
		for it.next() {
			visit(&it.HashField)
		}
		return it.err
	}
	return e.fieldsFrom(t, 0, func(f *HashField, _ Place) bool {
		visit(f)
		return true
	})
}

// fieldsFrom visits the rows of fields that are not due, by place.
func (e *Entry) fieldsFrom(t kv.Txn, p Place, visit func(f *HashField, p Place) bool) error {
	now, header := t.NowMillis(), len(e.Row)
	var bad error
	err := t.Snapshot().Scan(e.fieldSpan(t, p), kv.ScanOptions{}, func(key, value []byte) bool {
		f, err := decodeFieldRow(value)
		if err != nil {
			bad = err
			return false
		}
		var at Place
		if f.Field, at, bad = fieldOfRow(header, key); bad != nil {
			return false
		}
		return f.due(now) || visit(&f, at)
	})
	if err == nil {
		err = bad
	}
	return err
}

// FieldCount is the number of fields, with those that are due and not deleted yet.
func (e *Entry) FieldCount() (int64, error) {
	if !e.Found {
		return 0, nil
	}
	if e.Header.Enc != encRows {
		it := iterFields(&e.Header)
		return int64(it.left), it.err
	}
	n, _ := e.Header.rowCounts()
	return n, nil
}
