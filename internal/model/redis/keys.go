package redis

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// Del is DEL and UNLINK: the number of keys that it deleted.
func Del(t kv.Txn, db *DB, keys [][]byte) (deleted int64, err error) {
	return remove(t, db, keys, EventGeneric, "del")
}

func remove(t kv.Txn, db *DB, keys [][]byte, class EventClass, event string) (deleted int64, err error) {
	for _, key := range keys {
		var e Entry
		if tooLong(db, key) {
			continue
		}
		if err := e.Lookup(t, db, key); err != nil {
			return 0, err
		}
		if e.Found {
			e.Remove(t)
			e.Event(class, event)
			deleted++
		}
	}
	return deleted, nil
}

// Exists is EXISTS and TOUCH: the number of keys that exist, repeated ones
// counted as often.
func Exists(t kv.Txn, db *DB, keys [][]byte) (n int64, err error) {
	for _, key := range keys {
		k, err := TypeOf(t, db, key)
		if err != nil {
			return 0, err
		}
		if k != TypeNone {
			n++
		}
	}
	return n, nil
}

// TypeOf is TYPE; TypeNone for an absent key.
func TypeOf(t kv.Txn, db *DB, key []byte) (Type, error) {
	if tooLong(db, key) {
		return TypeNone, nil
	}
	var e Entry
	if err := e.Lookup(t, db, key); err != nil {
		return TypeNone, err
	}
	if e.wasRead(); !e.Found {
		return TypeNone, nil
	}
	return e.Header.Kind, nil
}

// ObjectEncoding is OBJECT ENCODING: how Redis would have stored the value; empty for
// an absent key. OBJECT REFCOUNT is 1 and OBJECT IDLETIME 0 for every key that
// exists, OBJECT FREQ is ErrNoLFU.
func ObjectEncoding(t kv.Txn, db *DB, key []byte) (string, error) {
	var e Entry
	if err := e.Lookup(t, db, key); err != nil || !e.Found {
		return "", err
	}
	switch e.Header.Kind {
	case TypeString:
		return e.Header.stringEncoding(), nil
	case TypeHash:
		return e.Header.hashEncoding(), nil
	case TypeSet:
		return e.Header.setEncoding(), nil
	case TypeZSet:
		return either(e.Header.Wide, "skiplist", "listpack"), nil
	case TypeStream:
		return "stream", nil
	case TypeList:
		return either(e.Header.Wide, "quicklist", "listpack"), nil
	}
	return "unknown", nil
}

func either(wide bool, large, compact string) string {
	if wide {
		return large
	}
	return compact
}

// Rename is RENAME.
func Rename(t kv.Txn, db *DB, from, to []byte) error {
	_, err := rename(t, db, from, to, true)
	return err
}

// RenameNX is RENAMENX: false when the new name is taken.
func RenameNX(t kv.Txn, db *DB, from, to []byte) (bool, error) {
	return rename(t, db, from, to, false)
}

func rename(t kv.Txn, db *DB, from, to []byte, replace bool) (bool, error) {
	var src, dst Entry
	if err := src.Lookup(t, db, from); err != nil {
		return false, err
	}
	if !src.Found {
		return false, ErrNoSuchKey
	}
	if bytes.Equal(from, to) {
		return replace, nil
	}
	moved, err := src.copyTo(t, &dst, db, to, replace)
	if err != nil || !moved {
		return false, err
	}
	src.Remove(t)
	src.Event(EventGeneric, "rename_from")
	dst.Event(EventGeneric, "rename_to")
	return true, nil
}

// Copy is COPY, to another database, too: whether it copied. With replace it
// overwrites.
func Copy(t kv.Txn, db *DB, from []byte, dstDB *DB, to []byte, replace bool) (bool, error) {
	if db.same(dstDB) && bytes.Equal(from, to) {
		return false, ErrSameObject
	}
	var src, dst Entry
	if err := src.Lookup(t, db, from); err != nil || !src.Found {
		return false, err
	}
	copied, err := src.copyTo(t, &dst, dstDB, to, replace)
	if err != nil || !copied {
		return false, err
	}
	dst.Event(EventGeneric, "copy_to")
	return true, nil
}

// Move is MOVE: whether it moved. It does not overwrite.
func Move(t kv.Txn, db *DB, key []byte, dstDB *DB) (bool, error) {
	if db.same(dstDB) {
		return false, ErrSameObject
	}
	var src, dst Entry
	if err := src.Lookup(t, db, key); err != nil || !src.Found {
		return false, err
	}
	moved, err := src.copyTo(t, &dst, dstDB, key, false)
	if err != nil || !moved {
		return false, err
	}
	src.Remove(t)
	src.Event(EventGeneric, "move_from")
	dst.Event(EventGeneric, "move_to")
	return true, nil
}

func (db *DB) same(o *DB) bool { return bytes.Equal(db.prefix, o.prefix) }

// copyTo makes dst, which it looks up, the same value with the same expiry.
// Rows are named alike behind any header.
func (e *Entry) copyTo(t kv.Txn, dst *Entry, db *DB, key []byte, replace bool) (bool, error) {
	if err := dst.Lookup(t, db, key); err != nil {
		return false, err
	}
	if dst.Found && !replace {
		return false, nil
	}
	if dst.Found {
		dst.Remove(t)
	}
	h := e.Header
	record, body := NewRecord(t, &h, len(e.Header.Body))
	copy(body, e.Header.Body)
	dst.Store(t, &h, record)
	if !h.hasRows() {
		return true, nil
	}
	span := base.Span{Start: e.Part(t, 0, 0), End: e.spanEnd(t)}
	header, dstRow := len(e.Row), dst.Row
	err := t.Snapshot().Scan(span, kv.ScanOptions{}, func(row, value []byte) bool {
		to := t.Alloc(len(dstRow) + len(row) - header)
		copy(to[copy(to, dstRow):], row[header:])
		t.Set(to, value)
		return t.ApproximateSize() <= copyMaxBytes
	})
	if err == nil && t.ApproximateSize() > copyMaxBytes {
		err = base.ErrTransactionTooLarge
	}
	return true, err
}
