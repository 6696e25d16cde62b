package redis

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// Del is DEL and UNLINK: the number of keys that it deleted.
func Del(t kv.Txn, db *DB, keys [][]byte) (deleted int64, err error) {
	for _, key := range keys {
		var e entry
		if tooLong(db, key) {
			continue
		}
		if err := e.lookup(t, db, key); err != nil {
			return 0, err
		}
		if e.found {
			e.remove(t)
			e.event(EventGeneric, "del")
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
	var e entry
	if err := e.lookup(t, db, key); err != nil || !e.found {
		e.event(EventKeyMiss, "keymiss")
		return TypeNone, err
	}
	return e.h.kind, nil
}

// Encoding is OBJECT ENCODING: how Redis would have stored the value; empty for
// an absent key. OBJECT REFCOUNT is 1 and OBJECT IDLETIME 0 for every key that
// exists, OBJECT FREQ is ErrNoLFU.
func Encoding(t kv.Txn, db *DB, key []byte) (string, error) {
	var e entry
	if err := e.lookup(t, db, key); err != nil || !e.found {
		return "", err
	}
	switch e.h.kind {
	case TypeString:
		return e.h.stringEncoding(), nil
	case TypeHash:
		return e.h.hashEncoding(), nil
	case TypeSet:
		return e.h.setEncoding(), nil
	case TypeZSet:
		return e.h.zsetEncoding(), nil
	case TypeList:
		return e.h.listEncoding(), nil
	}
	return "unknown", nil
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
	var src, dst entry
	if err := src.lookup(t, db, from); err != nil {
		return false, err
	}
	if !src.found {
		return false, ErrNoSuchKey
	}
	if bytes.Equal(from, to) {
		return replace, nil
	}
	moved, err := src.copyTo(t, &dst, db, to, replace)
	if err != nil || !moved {
		return false, err
	}
	src.remove(t)
	src.event(EventGeneric, "rename_from")
	dst.event(EventGeneric, "rename_to")
	return true, nil
}

// Copy is COPY, to another database, too: whether it copied. With replace it
// overwrites.
func Copy(t kv.Txn, db *DB, from []byte, dstDB *DB, to []byte, replace bool) (bool, error) {
	if db.same(dstDB) && bytes.Equal(from, to) {
		return false, ErrSameObject
	}
	var src, dst entry
	if err := src.lookup(t, db, from); err != nil || !src.found {
		return false, err
	}
	copied, err := src.copyTo(t, &dst, dstDB, to, replace)
	if err != nil || !copied {
		return false, err
	}
	dst.event(EventGeneric, "copy_to")
	return true, nil
}

// Move is MOVE: whether it moved. It does not overwrite.
func Move(t kv.Txn, db *DB, key []byte, dstDB *DB) (bool, error) {
	if db.same(dstDB) {
		return false, ErrSameObject
	}
	var src, dst entry
	if err := src.lookup(t, db, key); err != nil || !src.found {
		return false, err
	}
	moved, err := src.copyTo(t, &dst, dstDB, key, false)
	if err != nil || !moved {
		return false, err
	}
	src.remove(t)
	src.event(EventGeneric, "move_from")
	dst.event(EventGeneric, "move_to")
	return true, nil
}

func (db *DB) same(o *DB) bool { return bytes.Equal(db.prefix, o.prefix) }

// copyTo makes dst, which it looks up, the same value with the same expiry.
// Rows are named alike behind any header.
func (e *entry) copyTo(t kv.Txn, dst *entry, db *DB, key []byte, replace bool) (bool, error) {
	if err := dst.lookup(t, db, key); err != nil {
		return false, err
	}
	if dst.found && !replace {
		return false, nil
	}
	if dst.found {
		dst.remove(t)
	}
	h := e.h
	record, body := newRecord(t, &h, len(e.h.body))
	copy(body, e.h.body)
	dst.store(t, &h, record)
	if !h.hasRows() {
		return true, nil
	}
	span := base.Span{Start: e.part(t, 0, 0), End: e.spanEnd(t)}
	header, dstRow := len(e.row), dst.row
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
