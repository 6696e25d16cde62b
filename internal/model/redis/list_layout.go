package redis

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/redisnum"
)

// A list inside its header: the number of elements in two bytes, then for each its length
// as a uvarint and its bytes.
//
// A list in rows: a row for each element, named by its position. The body counts them and
// says where the first and the last one stand. Positions begin in the middle of 64 bits
// and are a stride apart, so that both ends are points and an index is one, too:
//
//	listRow       first            first + stride    …            last
//	listLooseRow  first   between        (removed)   …   between  last
//
// LREM and LINSERT make a list loose: elements are missing, or stand between others.
// An index is looked for from the nearer end then. Where there is no room between two,
// those behind them are moved until there is.

// The encodings of lists. On disk.
const (
	// A list in its header.
	encElements encoding = 1
	// A list with a row per element, each a stride behind the one before.
	encListRows encoding = 2
	// The same with gaps.
	encListLoose encoding = 3
)

const (
	elementsCountBytes = 2
	maxInlineElements  = 1<<16 - 1
	listBodyBytes      = 28

	listStart  = 1 << 63
	listStride = 1 << 16
	// listRoom is how far apart elements are at least that were moved to make room.
	listRoom = 1 << 8
)

// listpackListBytes is Redis's default of list-max-listpack-size. It decides what OBJECT
// ENCODING says, and nothing else.
const listpackListBytes = 8 << 10

// Side is an end of a list.
type Side bool

// Sides.
const (
	Left  Side = false
	Right Side = true
)

// list is a list as one command sees it.
type list struct {
	entry
	n int64
	// What follows is about rows.
	rows, loose bool
	first, last uint64
	// packed is the length of Redis's listpack, while that is what it would be.
	packed int64
}

// open looks a list up.
func (l *list) open(t kv.Txn, db *DB, key []byte) error {
	if err := l.lookupAs(t, db, key, TypeList); err != nil {
		return err
	}
	return l.decode()
}

// read is open for commands that only read.
func (l *list) read(t kv.Txn, db *DB, key []byte) error {
	if err := l.readAs(t, db, key, TypeList); err != nil {
		return err
	}
	return l.decode()
}

func (l *list) decode() error {
	l.n, l.rows, l.loose = 0, false, false
	if !l.found {
		return nil
	}
	if l.h.enc == encElements {
		it := iterElements(l.h.body)
		l.n = int64(it.left)
		return it.err
	}
	l.rows, l.loose = true, l.h.enc == encListLoose
	b := l.h.body
	l.n, l.packed = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint32(b[24:]))
	l.first, l.last = binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
	return nil
}

func (h *header) validateList() error {
	switch {
	case h.elementsAt != 0:
	case h.enc == encElements && len(h.body) > elementsCountBytes:
		return nil
	case (h.enc == encListRows || h.enc == encListLoose) && len(h.body) == listBodyBytes:
		n, first, last := binary.BigEndian.Uint64(h.body), binary.BigEndian.Uint64(h.body[8:]), binary.BigEndian.Uint64(h.body[16:])
		if n == 0 || n > math.MaxInt64 || first > last || n == 1 && first != last {
			break
		}
		if h.enc == encListLoose || (last-first)%listStride == 0 && (last-first)/listStride == n-1 {
			return nil
		}
	}
	return corrupt("list of encoding %d with a body of %d bytes", h.enc, len(h.body))
}

// listEncoding is the name of OBJECT ENCODING.
func (h *header) listEncoding() string {
	if h.wide {
		return "quicklist"
	}
	return "listpack"
}

// elementIter walks the elements of a body.
type elementIter struct {
	b          []byte
	left       int
	start, end int // where the current element stands
	value      []byte
	err        error
}

func iterElements(b []byte) elementIter {
	it := elementIter{b: b, end: elementsCountBytes}
	if len(b) < elementsCountBytes {
		it.err = corrupt("list body of %d bytes", len(b))
		return it
	}
	it.left = int(binary.BigEndian.Uint16(b))
	return it
}

func (it *elementIter) next() bool {
	if it.err != nil {
		return false
	}
	it.start = it.end
	if it.left == 0 {
		if it.start != len(it.b) {
			it.err = corrupt("%d bytes behind a list's elements", len(it.b)-it.start)
		}
		return false
	}
	it.left--
	n, w := binary.Uvarint(it.b[it.end:])
	if w <= 0 || n > uint64(len(it.b)-it.end-w) {
		it.err = corrupt("list element of %d bytes at %d of %d", n, it.end, len(it.b))
		return false
	}
	at := it.end + w
	it.end = at + int(n)
	it.value = it.b[at:it.end:it.end]
	return true
}

func elementBytes(v []byte) int { return uvarintLen(len(v)) + len(v) }

func appendElement(b, v []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(v))), v...) }

// inline are all elements of a list in its header.
func (l *list) inline() (els [][]byte, err error) {
	it := iterElements(l.h.body)
	els = make([][]byte, 0, it.left+1)
	for it.next() {
		els = append(els, it.value)
	}
	return els, it.err
}

// elementRow is the key of an element's row.
func (e *entry) elementRow(t kv.Txn, pos uint64) []byte {
	row := e.part(t, partElement, 8)
	binary.BigEndian.PutUint64(row[len(e.row)+1:], pos)
	return row
}

// elementSpan holds the rows from one position to another, both included.
func (e *entry) elementSpan(t kv.Txn, from, to uint64) base.Span {
	return base.Span{Start: e.elementRow(t, from), End: base.Next(e.elementRow(t, to))}
}

// positionOf is the position of a key that elementRow made; header is the length of the
// header's key.
func positionOf(header int, row []byte) (uint64, error) {
	if len(row) != header+9 || row[header] != partElement {
		return 0, corrupt("list row %x", row)
	}
	return binary.BigEndian.Uint64(row[header+1:]), nil
}

// element is one with its position.
type element struct {
	pos   uint64
	value []byte
}

// scan visits the rows between two positions, both included.
func (l *list) scan(t kv.Txn, from, to uint64, o kv.ScanOptions, visit func(e element) bool) error {
	header := len(l.row)
	var bad error
	err := t.Snapshot().Scan(l.elementSpan(t, from, to), o, func(key, value []byte) bool {
		var pos uint64
		if pos, bad = positionOf(header, key); bad != nil {
			return false
		}
		return visit(element{pos, value})
	})
	if err == nil {
		err = bad
	}
	return err
}

// at finds the position of an element that is there by its index.
func (l *list) at(t kv.Txn, index int64) (pos uint64, err error) {
	switch {
	case index == 0:
		return l.first, nil
	case index == l.n-1:
		return l.last, nil
	case !l.loose:
		return l.first + uint64(index)*listStride, nil
	}
	skip, reverse := index, false
	if index > l.n/2 {
		skip, reverse = l.n-1-index, true
	}
	found := false
	err = l.scan(t, l.first, l.last, kv.ScanOptions{Reverse: reverse}, func(e element) bool {
		pos, found = e.pos, skip == 0
		skip--
		return !found
	})
	if err == nil && !found {
		err = corrupt("list of %d elements ends before element %d", l.n, index)
	}
	return pos, err
}

// each visits the elements from an index on that is there, towards the end or in reverse.
func (l *list) each(t kv.Txn, from int64, reverse bool, visit func(e element) bool) error {
	if !l.rows {
		els, err := l.inline()
		if reverse {
			slices.Reverse(els)
			from = l.n - 1 - from
		}
		for _, v := range els[min(from, int64(len(els))):] {
			if err != nil || !visit(element{value: v}) {
				break
			}
		}
		return err
	}
	pos, err := l.at(t, from)
	if err != nil {
		return err
	}
	if reverse {
		return l.scan(t, l.first, pos, kv.ScanOptions{Reverse: true}, visit)
	}
	return l.scan(t, pos, l.last, kv.ScanOptions{}, visit)
}

// saveRows writes the header of a list in rows.
func (l *list) saveRows(t kv.Txn) {
	if l.n == 1 {
		l.loose = false
	}
	h := header{kind: TypeList, enc: encListRows, expireAt: l.h.expireAt, wide: l.h.wide || l.packed > listpackListBytes}
	if l.loose {
		h.enc = encListLoose
	}
	if h.wide {
		l.packed = 0
	}
	record, b := newRecord(t, &h, listBodyBytes)
	binary.BigEndian.PutUint64(b, uint64(l.n))
	binary.BigEndian.PutUint64(b[8:], l.first)
	binary.BigEndian.PutUint64(b[16:], l.last)
	binary.BigEndian.PutUint32(b[24:], uint32(l.packed))
	l.store(t, &h, record)
}

// fits reports whether a list of n elements with such a body stays in its header.
func (l *list) fits(n int64, bytes int) bool {
	return n <= min(int64(l.db.o.ListInlineElements), maxInlineElements) && bytes <= l.db.o.ListInlineBytes
}

// newInline makes room for the body of a list of n elements in its header.
func (l *list) newInline(t kv.Txn, n int64, bytes int) (h header, record, body []byte) {
	h = header{kind: TypeList, enc: encElements, expireAt: l.h.expireAt}
	record, body = newRecord(t, &h, bytes)
	binary.BigEndian.PutUint16(body, uint16(n))
	return h, record, body
}

// saveAll makes els, which may be none, all that a list in its header holds.
func (l *list) saveAll(t kv.Txn, els [][]byte) {
	if l.n = int64(len(els)); l.n == 0 {
		l.drop(t)
		return
	}
	size := elementsCountBytes
	for _, v := range els {
		size += elementBytes(v)
	}
	if !l.fits(l.n, size) {
		l.spread(t, els)
		l.saveRows(t)
		return
	}
	h, record, body := l.newInline(t, l.n, size)
	body = body[:elementsCountBytes]
	for _, v := range els {
		body = appendElement(body, v)
	}
	l.store(t, &h, record)
}

// spread gives every element a row.
func (l *list) spread(t kv.Txn, els [][]byte) {
	l.rows, l.loose, l.packed = true, false, listpackFrameBytes
	l.first = listStart
	for i, v := range els {
		l.last = listStart + uint64(i)*listStride
		l.packed += packedBytes(v)
		t.Set(l.elementRow(t, l.last), v)
	}
}

// drop deletes a list of which nothing is left.
func (l *list) drop(t kv.Txn) {
	l.remove(t)
	l.event(EventGeneric, "del")
}

// listpackFrameBytes is the length of an empty listpack.
const listpackFrameBytes = 7

// packedBytes is how long an element is in a listpack.
func packedBytes(v []byte) int64 {
	n := int64(len(v))
	switch {
	case n < 64:
		n++
	case n < 4096:
		n += 2
	default:
		n += 5
	}
	if i, ok := redisnum.ParseInt(v); ok {
		n = packedIntBytes(i)
	}
	for back := n; ; back >>= 7 { // its length once more, to be read backwards
		n++
		if back < 128 {
			return n
		}
	}
}

func packedIntBytes(i int64) int64 {
	for _, k := range []struct{ bits, bytes int64 }{{12, 2}, {15, 3}, {23, 4}, {31, 5}} {
		if i >= 0 && i <= 127 {
			return 1
		}
		if i >= -1<<k.bits && i < 1<<k.bits {
			return k.bytes
		}
	}
	return 9
}
