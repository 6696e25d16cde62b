package redis

import (
	"bytes"
	"slices"

	"github.com/stratadb/strata/internal/kv"
)

// Push is LPUSH and RPUSH, with existing LPUSHX and RPUSHX: the length afterwards, 0 where
// there was no list and existing asks for one.
func Push(t kv.Txn, db *DB, key []byte, values [][]byte, to Side, existing bool) (int64, error) {
	var l list
	if err := l.open(t, db, key); err != nil || existing && !l.found {
		return 0, err
	}
	if err := checkElements(values); err != nil {
		return 0, err
	}
	if err := l.push(t, values, to); err != nil {
		return 0, err
	}
	return l.n, nil
}

// checkElements finds the caller's mistakes before anything is written.
func checkElements(values [][]byte) error {
	for _, v := range values {
		if len(v) > maxFieldValueBytes {
			return ErrFieldValueTooLong
		}
	}
	return nil
}

// push adds elements at an end, one after the other.
func (l *list) push(t kv.Txn, values [][]byte, to Side) error {
	if !l.rows {
		if done, err := l.pushInline(t, values, to); done || err != nil {
			return err
		}
	} else {
		l.pushRows(t, values, to)
	}
	l.saveRows(t)
	l.pushed(to)
	return nil
}

func (l *list) pushed(to Side) {
	if to == Left {
		l.event(EventList, "lpush")
	} else {
		l.event(EventList, "rpush")
	}
}

// pushInline adds to a list that is in its header, or to none. If it does not stay there,
// its rows are written, and done is false.
func (l *list) pushInline(t kv.Txn, values [][]byte, to Side) (done bool, err error) {
	old := []byte(nil)
	if l.found {
		old = l.h.body[elementsCountBytes:]
	}
	size := elementsCountBytes + len(old)
	for _, v := range values {
		size += elementBytes(v)
	}
	n := l.n + int64(len(values))
	if !l.fits(n, size) {
		els := [][]byte(nil)
		if l.found {
			if els, err = l.inline(); err != nil {
				return false, err
			}
		}
		l.spread(t, els)
		if len(els) == 0 {
			l.first, l.last = listStart+listStride, listStart // as if a neighbour were there
			if to == Left {
				l.first, l.last = listStart, listStart-listStride
			}
		}
		l.pushRows(t, values, to)
		return false, nil
	}
	h, record, body := l.newInline(t, n, size)
	body = body[:elementsCountBytes]
	if to == Right {
		body = append(body, old...)
	}
	for i := range values {
		if to == Right {
			body = appendElement(body, values[i])
		} else {
			body = appendElement(body, values[len(values)-1-i])
		}
	}
	if to == Left {
		_ = append(body, old...)
	}
	l.store(t, &h, record)
	l.n = n
	l.pushed(to)
	return true, nil
}

func (l *list) pushRows(t kv.Txn, values [][]byte, to Side) {
	empty := l.n == 0
	for _, v := range values {
		pos := &l.last
		if to == Left {
			pos = &l.first
			*pos -= listStride
		} else {
			*pos += listStride
		}
		l.packed += packedBytes(v)
		t.Set(l.elementRow(t, *pos), v)
	}
	if empty && to == Left {
		l.last = l.first + uint64(len(values)-1)*listStride
	} else if empty {
		l.first = l.last - uint64(len(values)-1)*listStride
	}
	l.n += int64(len(values))
}

// Pop is LPOP and RPOP: up to count elements are appended to dst, in the order in which
// they were taken. found is false where there is no list.
func Pop(t kv.Txn, db *DB, key []byte, from Side, count int64, dst [][]byte) (popped [][]byte, found bool, err error) {
	var l list
	if err := l.open(t, db, key); err != nil || !l.found || count == 0 {
		return dst, l.found, err
	}
	dst, err = l.pop(t, from, count, dst)
	return dst, true, err
}

func (l *list) pop(t kv.Txn, from Side, count int64, dst [][]byte) ([][]byte, error) {
	count = min(count, l.n)
	had := len(dst)
	var err error
	if l.rows {
		dst, err = l.popRows(t, from, count, dst)
	} else {
		dst, err = l.popInline(t, from, count, dst)
	}
	if err != nil {
		return dst[:had], err
	}
	if from == Left {
		l.event(EventList, "lpop")
	} else {
		l.event(EventList, "rpop")
	}
	if l.n == 0 {
		l.drop(t)
	}
	return dst, nil
}

func (l *list) popInline(t kv.Txn, from Side, count int64, dst [][]byte) ([][]byte, error) {
	it := iterElements(l.h.body)
	kept := l.h.body[elementsCountBytes:]
	left := l.n - count
	at := int64(0)
	if from == Right {
		for ; at < left && it.next(); at++ {
		}
		kept = kept[:it.end-elementsCountBytes]
	}
	had := len(dst)
	for at = 0; at < count && it.next(); at++ {
		dst = append(dst, it.value)
	}
	if it.err != nil {
		return dst, it.err
	}
	if from == Left {
		kept = kept[it.end-elementsCountBytes:]
	} else {
		slices.Reverse(dst[had:])
	}
	if l.n = left; left > 0 {
		h, record, body := l.newInline(t, left, elementsCountBytes+len(kept))
		copy(body[elementsCountBytes:], kept)
		l.store(t, &h, record)
	}
	return dst, nil
}

func (l *list) popRows(t kv.Txn, from Side, count int64, dst [][]byte) ([][]byte, error) {
	if count == 1 && !l.loose {
		pos := l.first
		if from == Right {
			pos = l.last
		}
		row := l.elementRow(t, pos)
		v, err := t.Snapshot().Get(row)
		if err == nil && v == nil {
			err = corrupt("list without the element at %x", pos)
		}
		if err != nil {
			return dst, err
		}
		t.Clear(row)
		l.shrink(t, from, l.next(from, pos), v)
		return append(dst, v), nil
	}
	n := int64(0)
	last, next := uint64(0), uint64(0)
	had := len(dst)
	err := l.scan(t, l.first, l.last, kv.ScanOptions{Reverse: from == Right, Limit: int(min(count+1, l.n))}, func(e element) bool {
		if n++; n > count {
			next = e.pos
			return false
		}
		dst, last = append(dst, e.value), e.pos
		return true
	})
	if err == nil && (n < count || n == count && n < l.n) {
		err = corrupt("list of %d elements has %d", l.n, n)
	}
	if err != nil {
		return dst, err
	}
	switch {
	case count == 1:
		t.Clear(l.elementRow(t, last))
	case from == Left:
		t.ClearRange(l.elementSpan(t, l.first, last))
	default:
		t.ClearRange(l.elementSpan(t, last, l.last))
	}
	l.shrink(t, from, next, dst[had:]...)
	return dst, nil
}

// next is the neighbour of an end in a list without gaps.
func (l *list) next(from Side, pos uint64) uint64 {
	if from == Left {
		return pos + listStride
	}
	return pos - listStride
}

// shrink takes the rows of values off an end; next is where the end is then.
func (l *list) shrink(t kv.Txn, from Side, next uint64, values ...[]byte) {
	if l.n -= int64(len(values)); l.n == 0 {
		return // whoever has popped them deletes the list
	}
	if from == Left {
		l.first = next
	} else {
		l.last = next
	}
	l.unpack(values)
	l.saveRows(t)
}

// unpack takes elements out of the length of Redis's listpack.
func (l *list) unpack(values [][]byte) {
	if l.h.wide {
		return
	}
	for _, v := range values {
		l.packed -= packedBytes(v)
	}
}

// LLen is LLEN.
func LLen(t kv.Txn, db *DB, key []byte) (int64, error) {
	var l list
	err := l.read(t, db, key)
	return l.n, err
}

// window makes a range of indexes, which may count from the end, one of those that are
// there; it is empty if first > last.
func (l *list) window(start, stop int64) (first, last int64) {
	if start < 0 {
		start = max(start+l.n, 0)
	}
	if stop < 0 {
		stop += l.n
	}
	return start, min(stop, l.n-1)
}

// LRange is LRANGE: the elements are appended to dst.
func LRange(t kv.Txn, db *DB, key []byte, start, stop int64, dst [][]byte) ([][]byte, error) {
	var l list
	if err := l.read(t, db, key); err != nil || !l.found {
		return dst, err
	}
	first, last := l.window(start, stop)
	if first > last {
		return dst, nil
	}
	if l.rows {
		return l.rangeRows(t, first, last-first+1, dst)
	}
	it := iterElements(l.h.body)
	for i := int64(0); i <= last && it.next(); i++ {
		if i >= first {
			dst = append(dst, it.value)
		}
	}
	return dst, it.err
}

func (l *list) rangeRows(t kv.Txn, first, count int64, dst [][]byte) ([][]byte, error) {
	from, err := l.at(t, first)
	if err != nil {
		return dst, err
	}
	err = l.scan(t, from, l.last, kv.ScanOptions{Limit: int(count)}, func(e element) bool {
		dst = append(dst, e.value)
		return true
	})
	return dst, err
}

// index makes one that may count from the end one from the beginning; found is false if
// no element is there.
func (l *list) index(i int64) (index int64, found bool) {
	if i < 0 {
		i += l.n
	}
	return i, i >= 0 && i < l.n
}

// LIndex is LINDEX; nil where there is no such element.
func LIndex(t kv.Txn, db *DB, key []byte, i int64) (v []byte, err error) {
	var l list
	if err := l.read(t, db, key); err != nil {
		return nil, err
	}
	index, found := l.index(i)
	if !found {
		return nil, nil
	}
	if l.rows {
		pos, err := l.at(t, index)
		if err != nil {
			return nil, err
		}
		if v, err = t.Snapshot().Get(l.elementRow(t, pos)); err == nil && v == nil {
			err = corrupt("list without the element at %x", pos)
		}
		return v, err
	}
	it := iterElements(l.h.body)
	for ; index >= 0 && it.next(); index-- {
		v = it.value
	}
	return v, it.err
}

// LPosOptions are those of LPOS. Rank is not 0; negative ones count from the end. Count 0
// means all; MaxLen 0 means that every element is compared.
type LPosOptions struct{ Rank, Count, MaxLen int64 }

// LPos is LPOS: the indexes of equal elements are appended to dst.
func LPos(t kv.Txn, db *DB, key, value []byte, o LPosOptions, dst []int64) ([]int64, error) {
	var l list
	if err := l.read(t, db, key); err != nil || !l.found {
		return dst, err
	}
	from, step, skip := int64(0), int64(1), o.Rank-1
	if o.Rank < 0 {
		from, step, skip = l.n-1, -1, -o.Rank-1
	}
	compared, found := int64(0), int64(0)
	index := from
	err := l.each(t, from, o.Rank < 0, func(e element) bool {
		if bytes.Equal(e.value, value) {
			if skip--; skip < 0 {
				dst = append(dst, index)
				found++
			}
		}
		index += step
		compared++
		return (o.Count == 0 || found < o.Count) && (o.MaxLen == 0 || compared < o.MaxLen)
	})
	return dst, err
}
