package zmap

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Limits of keys and values.
const (
	KeyBytes   = 10_000
	ValueBytes = 100_000
)

// Map is the map of a namespace. It is immutable and may be shared.
type Map struct{ prefix []byte }

// Open makes the handle of a namespace's map. It reads nothing.
func Open(ns keyspace.NamespaceID) Map {
	return Map{keyspace.AppendModel(nil, ns, keyspace.ModelZMap)}
}

// All is the span of everything in the map.
func (m Map) All() base.Span { return base.PrefixSpan(m.prefix) }

// Row is the key of the core that holds an entry: the one to watch.
func (m Map) Row(key []byte) []byte {
	return append(m.prefix[:len(m.prefix):len(m.prefix)], key...)
}

func (m Map) row(t kv.Txn, key []byte) ([]byte, error) {
	if len(key) > KeyBytes {
		return nil, ErrKeyTooLarge
	}
	row := t.Alloc(len(m.prefix) + len(key))
	copy(row[copy(row, m.prefix):], key)
	return row, nil
}

func (m Map) all() base.Span { return base.PrefixSpan(m.prefix) }

// View chooses the reader of a read: with snapshot it leaves no read conflicts.
func View(t kv.Txn, snapshot bool) kv.Reader {
	if snapshot {
		return t.Snapshot()
	}
	return t
}

// Get is ZGET: the value of key, nil if it is absent.
func Get(r kv.Reader, m Map, key []byte) ([]byte, error) {
	if len(key) > KeyBytes {
		return nil, ErrKeyTooLarge
	}
	return r.Get(m.Row(key))
}

// Set is ZSET.
func Set(t kv.Txn, m Map, key, value []byte) error {
	row, err := m.row(t, key)
	if err != nil {
		return err
	}
	if len(value) > ValueBytes {
		return ErrValueTooLarge
	}
	t.Set(row, value)
	return nil
}

// Delete is ZDEL.
func Delete(t kv.Txn, m Map, key []byte) error {
	row, err := m.row(t, key)
	if err == nil {
		t.Clear(row)
	}
	return err
}

// Bound is an end of a range. The zero value is none: the range is open there.
type Bound struct {
	Key []byte
	// Set is false for an open end.
	Set bool
	// Selector says which key the bound stands for.
	Selector Selector
}

// Selector names a key by its place relative to another one.
type Selector uint8

// Selectors.
const (
	FirstGreaterOrEqual Selector = iota
	FirstGreaterThan
	LastLessThan
	LastLessOrEqual
)

// ParseSelector reads a selector's name in any case.
func ParseSelector(s string) (Selector, bool) {
	switch strings.ToLower(s) {
	case "first_greater_or_equal":
		return FirstGreaterOrEqual, true
	case "first_greater_than":
		return FirstGreaterThan, true
	case "last_less_than":
		return LastLessThan, true
	case "last_less_or_equal":
		return LastLessOrEqual, true
	}
	return 0, false
}

// GetKey is ZGETKEY: the key that the selector picks, nil if there is none. The
// empty key is an empty slice.
func GetKey(r kv.Reader, m Map, key []byte, sel Selector) ([]byte, error) {
	if len(key) > KeyBytes {
		return nil, ErrKeyTooLarge
	}
	row, err := m.pick(r, m.Row(key), sel)
	if row == nil || err != nil {
		return nil, err
	}
	return row[len(m.prefix):], nil
}

// pick resolves a selector inside of the map; nil if it points outside.
func (m Map) pick(r kv.Reader, row []byte, sel Selector) (found []byte, err error) {
	all := m.all()
	visit := func(key, _ []byte) bool { found = key; return false }
	switch sel {
	case FirstGreaterThan:
		row = base.Next(row)
		fallthrough
	case FirstGreaterOrEqual:
		err = r.Scan(base.Span{Start: row, End: all.End}, kv.ScanOptions{Limit: 1}, visit)
	case LastLessOrEqual:
		row = base.Next(row)
		fallthrough
	case LastLessThan:
		err = r.Scan(base.Span{Start: all.Start, End: row}, kv.ScanOptions{Limit: 1, Reverse: true}, visit)
	}
	return found, err
}

// resolve turns a bound into a key of the core: where a half-open range begins or
// ends. open is where it does when the bound is none.
func (m Map) resolve(r kv.Reader, b Bound, open []byte) ([]byte, error) {
	if len(b.Key) > KeyBytes {
		return nil, ErrKeyTooLarge
	}
	row := open
	if b.Set {
		row = m.Row(b.Key)
	}
	switch b.Selector {
	case FirstGreaterOrEqual:
		return row, nil // the scan finds the first key by itself
	case FirstGreaterThan:
		if b.Set {
			row = base.Next(row)
		}
		return row, nil
	}
	found, err := m.pick(r, row, b.Selector)
	if found == nil {
		found = m.prefix
	}
	return found, err
}

// Range is a part of the map.
type Range struct {
	Begin, End Bound
	Limit      int
	Reverse    bool
}

// Scan is ZGETRANGE: it visits the pairs from the key that Begin picks up to, but
// without, the one that End picks.
func Scan(r kv.Reader, m Map, o Range, visit func(key, value []byte) bool) error {
	all := m.all()
	start, err := m.resolve(r, o.Begin, all.Start)
	if err != nil {
		return err
	}
	end, err := m.resolve(r, o.End, all.End)
	if err != nil || bytes.Compare(start, end) >= 0 {
		return err
	}
	return r.Scan(base.Span{Start: start, End: end}, kv.ScanOptions{Limit: o.Limit, Reverse: o.Reverse},
		func(key, value []byte) bool { return visit(key[len(m.prefix):], value) })
}

// Span is the keys of the core from begin up to, but without, end. The selectors
// of the bounds do not matter.
func (m Map) Span(begin, end Bound) (base.Span, error) {
	if len(begin.Key) > KeyBytes || len(end.Key) > KeyBytes {
		return base.Span{}, ErrKeyTooLarge
	}
	s := m.all()
	if begin.Set {
		s.Start = m.Row(begin.Key)
	}
	if end.Set {
		s.End = m.Row(end.Key)
	}
	if bytes.Compare(s.Start, s.End) > 0 {
		return base.Span{}, ErrInvertedRange
	}
	return s, nil
}

// DeleteRange is ZDELRANGE: begin is deleted, end is not.
func DeleteRange(t kv.Txn, m Map, begin, end Bound) error {
	span, err := m.Span(begin, end)
	if err == nil {
		t.ClearRange(span)
	}
	return err
}

// mutations are the operations of ZMUTATE by their names.
var mutations = map[string]base.MutationOp{
	"ADD": base.OpAdd, "BIT_AND": base.OpBitAnd, "BIT_OR": base.OpBitOr, "BIT_XOR": base.OpBitXor,
	"APPEND_IF_FITS": base.OpAppendIfFits, "MAX": base.OpMax, "MIN": base.OpMin,
	"BYTE_MIN": base.OpByteMin, "BYTE_MAX": base.OpByteMax, "COMPARE_AND_CLEAR": base.OpCompareAndClear,
	"SET_VERSIONSTAMPED_KEY": base.OpSetVersionstampedKey, "SET_VERSIONSTAMPED_VALUE": base.OpSetVersionstampedValue,
}

// ParseMutation reads the name of an atomic mutation in any case.
func ParseMutation(s string) (base.MutationOp, bool) {
	op, ok := mutations[strings.ToUpper(s)]
	return op, ok
}

// Mutate is ZMUTATE.
func Mutate(t kv.Txn, m Map, op base.MutationOp, key, operand []byte) error {
	switch op {
	case base.OpSetVersionstampedKey:
		return setStampedKey(t, m, key, operand)
	case base.OpSetVersionstampedValue:
		if _, _, ok := base.VersionstampOffset(operand); !ok {
			return ErrVersionstampOffset
		}
	}
	row, err := m.row(t, key)
	if err != nil {
		return err
	}
	if len(operand) > ValueBytes {
		return ErrValueTooLarge
	}
	if op == base.OpAppendIfFits {
		old, err := View(t, t.Interactive()).Get(row)
		if err != nil || len(old)+len(operand) > ValueBytes {
			return err
		}
	}
	t.Atomic(op, row, operand)
	return nil
}

// offsetBytes is the length of the offset behind a versionstamp's template.
const offsetBytes = 4

// setStampedKey moves the offset of the template behind the map's prefix.
func setStampedKey(t kv.Txn, m Map, key, value []byte) error {
	_, offset, ok := base.VersionstampOffset(key)
	if !ok {
		return ErrVersionstampOffset
	}
	if len(key)-offsetBytes > KeyBytes {
		return ErrKeyTooLarge
	}
	if len(value) > ValueBytes {
		return ErrValueTooLarge
	}
	row := t.Alloc(len(m.prefix) + len(key))
	copy(row[copy(row, m.prefix):], key)
	binary.LittleEndian.PutUint32(row[len(row)-offsetBytes:], uint32(offset+len(m.prefix)))
	t.Atomic(base.OpSetVersionstampedKey, row, value)
	return nil
}
