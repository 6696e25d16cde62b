package redis

import (
	"encoding/binary"
	"math"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
)

const MaxRowBytes = limits.KeyBytes

// MaxFieldValueBytes bounds a field's value: it stands in one row.
const MaxFieldValueBytes = limits.PairBytes - limits.KeyBytes - 16

// hashEdit changes the fields of one hash, or the members of one set, and writes its
// header once at the end. In a header it works on a copy of the body that already stands in the new
// record, with room in front of it for the fixed part.
type hashEdit struct {
	Entry
	t    kv.Txn
	now  int64
	kind Type
	w    Header // what the header becomes; w.body is the working copy

	buf    []byte // encFields: w.body is buf[maxFixedBytes:]
	hint   int    // how many bytes the working copy is expected to grow
	fields int64
	// expiring counts fields with a time; in rows only.
	expiring int64
	// rescan asks for a new look for the first field that expires.
	rescan bool
	dirty  bool
}

const maxFixedBytes = headerFixedBytes + 16

// open looks a hash up for editing.
func (x *hashEdit) open(t kv.Txn, db *DB, key []byte) error {
	return x.openAs(t, db, key, TypeHash)
}

func (x *hashEdit) openAs(t kv.Txn, db *DB, key []byte, kind Type) error {
	if err := x.LookupAs(t, db, key, kind); err != nil {
		return err
	}
	x.kind = kind
	return x.begin(t)
}

func (x *hashEdit) begin(t kv.Txn) (err error) {
	x.t, x.now, x.w = t, t.NowMillis(), x.Header
	switch {
	case !x.Found:
		x.empty()
	case x.Header.Enc == encRows:
		x.fields, x.expiring = x.Header.rowCounts()
	default:
		x.fields, err = x.FieldCount()
	}
	return err
}

// empty begins with nothing, whatever the key holds.
func (x *hashEdit) empty() {
	x.w, x.buf, x.fields, x.expiring = Header{Kind: x.kind, Enc: encFields}, nil, 0, 0
	x.grow(0)
}

// grow gives the working copy room for n more bytes.
func (x *hashEdit) grow(n int) {
	need := max(len(x.w.Body), FieldsCountBytes) + n
	switch {
	case x.buf == nil:
		need = max(need, len(x.w.Body)+x.hint+FieldsCountBytes)
	case maxFixedBytes+need <= len(x.buf):
		return
	default:
		need += need
	}
	buf := x.t.Alloc(maxFixedBytes + need)
	body := buf[maxFixedBytes:]
	k := copy(body, x.w.Body)
	if k == 0 {
		k = FieldsCountBytes
		clear(body[:k])
	}
	x.buf, x.w.Body = buf, body[:k]
}

func (x *hashEdit) ttl() bool { return x.w.Enc == encFieldsTTL }

// get finds a field; one that is due counts as absent.
func (x *hashEdit) get(field []byte) (f HashField, found bool, err error) {
	if x.w.Enc != encRows {
		it := iterFields(&x.w)
		if found, err = it.find(field); !found || err != nil {
			return f, false, err
		}
		return it.HashField, !it.due(x.now), nil
	}
	f, found, err = x.stored(field)
	return f, found && !f.due(x.now), err
}

// stored finds a field's row.
func (x *hashEdit) stored(field []byte) (f HashField, found bool, err error) {
	raw, err := x.t.Snapshot().Get(x.FieldRow(x.t, field))
	if err != nil || raw == nil {
		return f, false, err
	}
	f, err = decodeFieldRow(raw)
	f.Field = field
	return f, err == nil, err
}

// keepExpiry asks set to leave the field's time as it is.
const keepExpiry = math.MinInt64

// set stores a field and reports whether it is new.
func (x *hashEdit) set(field, value []byte, expireAt int64) (created bool, err error) {
	if x.FieldTooLong(field) {
		return false, ErrKeyTooLong
	}
	if len(value) > MaxFieldValueBytes {
		return false, ErrFieldValueTooLong
	}
	x.dirty = true
	if x.w.Enc != encRows {
		fits, created, err := x.setInline(field, value, expireAt)
		if fits || err != nil {
			return created, err
		}
		if err := x.toRows(); err != nil {
			return false, err
		}
	}
	created, err = x.setRow(field, value, expireAt)
	x.widen(field, value)
	return created, err
}

// widen notes what OBJECT ENCODING says once field is there.
func (x *hashEdit) widen(field, value []byte) {
	if x.kind == TypeSet {
		x.w.widenSet(field, x.fields)
		return
	}
	x.w.Wide = x.w.Wide || max(len(field), len(value)) > listpackValueBytes || x.fields > listpackFields
}

// setInline is set for a hash inside its header. fits is false, and nothing has
// happened, when the hash has to leave it.
func (x *hashEdit) setInline(field, value []byte, expireAt int64) (fits, created bool, err error) {
	it := iterFields(&x.w)
	found, err := it.find(field)
	if err != nil {
		return false, false, err
	}
	fields, old, oldExpiry := x.fields, 0, int64(0)
	if found {
		old, oldExpiry = it.end-it.start, it.expireAt
	} else {
		fields++
	}
	created = !found || it.due(x.now)
	if expireAt == keepExpiry {
		expireAt = oldExpiry
		if created {
			expireAt = 0
		}
	}
	n := fieldBytes(field, value, x.ttl())
	room := len(x.w.Body) - old + n
	if expireAt != 0 && !x.ttl() {
		room += 8 * int(fields)
	}
	if int(fields) > min(x.DB.Options.HashInlineFields, MaxInlineFields) || room > x.DB.Options.HashInlineBytes {
		return false, false, nil
	}
	if expireAt != 0 && !x.ttl() {
		x.retime(true)
		it = iterFields(&x.w)
		if _, err = it.find(field); err != nil {
			return false, false, err
		}
		n += 8
	}
	if !found {
		it.start, it.end = len(x.w.Body), len(x.w.Body)
	}
	x.rescan = x.rescan || expireAt != oldExpiry
	x.splice(it.start, it.end, n)
	appendField(x.w.Body[:it.start], field, value, expireAt, x.ttl())
	x.setCount(fields)
	x.widen(field, value)
	return true, created, nil
}

// splice makes the bytes [start, end) of the working copy n bytes long.
func (x *hashEdit) splice(start, end, n int) {
	x.grow(max(n-(end-start), 0))
	size := len(x.w.Body) + n - (end - start)
	b := x.buf[maxFixedBytes:]
	copy(b[start+n:size], b[end:len(x.w.Body)])
	x.w.Body = b[:size]
}

func (x *hashEdit) setCount(n int64) {
	x.fields = n
	binary.BigEndian.PutUint16(x.w.Body, uint16(n))
}

// retime rewrites the working copy with or without times.
func (x *hashEdit) retime(ttl bool) {
	old := iterFields(&x.w)
	size := len(x.w.Body)
	if ttl {
		size += 8 * int(x.fields)
	}
	x.buf = x.t.Alloc(maxFixedBytes + size + FieldsCountBytes)
	body := x.buf[maxFixedBytes : maxFixedBytes+FieldsCountBytes]
	binary.BigEndian.PutUint16(body, uint16(x.fields))
	for old.next() {
		body = appendField(body, old.Field, old.value, old.expireAt, ttl)
	}
	x.w.Body, x.w.Enc = body, encFields
	if ttl {
		x.w.Enc = encFieldsTTL
	}
}

// toRows moves the fields out of the header.
func (x *hashEdit) toRows() error {
	it := iterFields(&x.w)
	x.w.Enc, x.w.Body, x.buf = encRows, nil, nil
	x.fields, x.expiring, x.rescan = 0, 0, true
	for it.next() {
		x.putRow(it.Field, it.value, it.expireAt)
	}
	return it.err
}

func (x *hashEdit) putRow(field, value []byte, expireAt int64) {
	x.t.Set(x.FieldRow(x.t, field), encodeFieldRow(x.t, value, expireAt))
	x.fields++
	if expireAt != 0 {
		x.expiring++
		x.t.Set(x.fieldTTLRow(x.t, expireAt, field), nil)
	}
}

func (x *hashEdit) setRow(field, value []byte, expireAt int64) (created bool, err error) {
	old, found, err := x.stored(field)
	if err != nil {
		return false, err
	}
	due := found && old.due(x.now)
	if expireAt == keepExpiry {
		expireAt = 0
		if found && !due {
			expireAt = old.expireAt
		}
	}
	if found {
		x.fields--
		x.dropTime(&old, expireAt)
	}
	x.rescan = x.rescan || expireAt != old.expireAt
	x.putRow(field, value, expireAt)
	return !found || due, nil
}

// dropTime removes the time of a field whose new one is expireAt.
func (x *hashEdit) dropTime(f *HashField, expireAt int64) {
	if f.expireAt == 0 {
		return
	}
	x.expiring--
	x.rescan = x.rescan || f.expireAt != expireAt
	if f.expireAt != expireAt {
		x.t.Clear(x.fieldTTLRow(x.t, f.expireAt, f.Field))
	}
}

// del deletes a field and reports whether it was there.
func (x *hashEdit) del(field []byte) (bool, error) {
	if !x.Found && x.fields == 0 || x.FieldTooLong(field) {
		return false, nil
	}
	if x.w.Enc == encRows {
		f, found, err := x.stored(field)
		if err != nil || !found {
			return false, err
		}
		x.delRow(&f)
		return !f.due(x.now), nil
	}
	it := iterFields(&x.w)
	found, err := it.find(field)
	if err != nil || !found {
		return false, err
	}
	present := !it.due(x.now)
	x.rescan = x.rescan || it.expireAt != 0
	x.splice(it.start, it.end, 0)
	x.setCount(x.fields - 1)
	x.dirty = true
	return present, nil
}

// delRow deletes a field that has a row.
func (x *hashEdit) delRow(f *HashField) {
	x.t.Clear(x.FieldRow(x.t, f.Field))
	x.dropTime(f, 0)
	x.fields--
	x.dirty = true
}

// finish writes the header, or deletes the key whose last field is gone.
func (x *hashEdit) finish() error {
	if !x.dirty {
		return nil
	}
	if x.fields == 0 {
		if x.Found {
			x.Remove(x.t)
			x.Event(EventGeneric, "del")
		}
		return nil
	}
	if x.rescan {
		if err := x.first(); err != nil {
			return err
		}
	}
	if x.w.Enc == encRows {
		record, body := NewRecord(x.t, &x.w, rowsBodyBytes)
		binary.BigEndian.PutUint64(body, uint64(x.fields))
		binary.BigEndian.PutUint64(body[8:], uint64(x.expiring))
		x.Store(x.t, &x.w, record)
		return nil
	}
	x.grow(0)
	from := maxFixedBytes - x.w.size()
	x.w.put(x.buf[from:])
	x.Store(x.t, &x.w, x.buf[from:maxFixedBytes+len(x.w.Body)])
	return nil
}

// first finds when the first field expires.
func (x *hashEdit) first() error {
	x.rescan = false
	x.w.elementsAt = 0
	if x.w.Enc == encRows {
		if x.expiring == 0 {
			return nil
		}
		return x.firstRow()
	}
	it := iterFields(&x.w)
	for it.next() {
		if it.expireAt != 0 && (x.w.elementsAt == 0 || it.expireAt < x.w.elementsAt) {
			x.w.elementsAt = it.expireAt
		}
	}
	if x.ttl() && x.w.elementsAt == 0 {
		x.retime(false)
	}
	return it.err
}

func (x *hashEdit) firstRow() error {
	span := base.Span{Start: x.Part(x.t, partFieldTTL, 0), End: x.Part(x.t, partFieldTTL+1, 0)}
	at, i := int64(0), len(x.Row)+1
	err := x.t.Snapshot().Scan(span, kv.ScanOptions{Limit: 1}, func(key, _ []byte) bool {
		if len(key) >= i+8 {
			at = int64(binary.BigEndian.Uint64(key[i:]))
		}
		return false
	})
	if err == nil && at <= 0 {
		err = Corrupt("hash with %d expiring fields and no time of them", x.expiring)
	}
	x.w.elementsAt = at
	return err
}

// reapFields deletes up to limit overdue fields, and the whole key if all are.
// What it leaves counts as absent wherever fields are read.
func (e *Entry) reapFields(t kv.Txn, limit int) error {
	x := hashEdit{Entry: *e}
	if err := x.begin(t); err != nil {
		return err
	}
	x.Event(EventHash, "hexpired")
	all, err := x.allDue()
	if err != nil {
		return err
	}
	if all {
		e.Remove(t)
		e.Event(EventGeneric, "del")
		return nil
	}
	due, err := x.dueFields(limit)
	if err != nil {
		return err
	}
	for _, f := range due {
		if _, err := x.del(f); err != nil {
			return err
		}
	}
	if err := x.finish(); err != nil {
		return err
	}
	e.Found, e.Header = x.Found, x.Header
	return nil
}

// allDue reports whether no field in a row is left: each has a time, and the
// last one is over.
func (x *hashEdit) allDue() (bool, error) {
	if x.w.Enc != encRows || x.expiring < x.fields {
		return false, nil
	}
	span := base.Span{Start: x.Part(x.t, partFieldTTL, 0), End: x.Part(x.t, partFieldTTL+1, 0)}
	at, i := int64(0), len(x.Row)+1
	err := x.t.Snapshot().Scan(span, kv.ScanOptions{Limit: 1, Reverse: true}, func(key, _ []byte) bool {
		if len(key) >= i+8 {
			at = int64(binary.BigEndian.Uint64(key[i:]))
		}
		return false
	})
	return at != 0 && at <= x.now, err
}

func (x *hashEdit) dueFields(limit int) (due [][]byte, err error) {
	if x.w.Enc != encRows {
		it := iterFields(&x.w)
		for it.next() {
			if it.due(x.now) {
				due = append(due, append([]byte(nil), it.Field...)) // del moves the body
			}
		}
		return due, it.err
	}
	end := x.Part(x.t, partFieldTTL, 8)
	binary.BigEndian.PutUint64(end[len(x.Row)+1:], uint64(x.now)+1)
	span := base.Span{Start: x.Part(x.t, partFieldTTL, 0), End: end}
	fieldAt := len(x.Row) + 9
	err = x.t.Snapshot().Scan(span, kv.ScanOptions{Limit: limit}, func(key, _ []byte) bool {
		due = append(due, key[fieldAt:])
		return true
	})
	return due, err
}
