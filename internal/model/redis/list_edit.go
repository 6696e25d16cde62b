package redis

import (
	"bytes"
	"slices"

	"github.com/stratadb/strata/internal/kv"
)

// LSet is LSET.
func LSet(t kv.Txn, db *DB, key []byte, i int64, value []byte) error {
	var l list
	if err := l.open(t, db, key); err != nil {
		return err
	}
	if !l.found {
		return ErrNoSuchKey
	}
	if err := checkElements([][]byte{value}); err != nil {
		return err
	}
	index, found := l.index(i)
	if !found {
		return ErrIndex
	}
	if !l.rows {
		els, err := l.inline()
		if err != nil {
			return err
		}
		els[index] = value
		l.saveAll(t, els)
		l.event(EventList, "lset")
		return nil
	}
	pos, err := l.at(t, index)
	if err != nil {
		return err
	}
	row := l.elementRow(t, pos)
	if !l.h.wide {
		old, err := t.Snapshot().Get(row)
		if err != nil {
			return err
		}
		l.unpack([][]byte{old})
		l.packed += packedBytes(value)
	}
	t.Set(row, value)
	l.saveRows(t)
	l.event(EventList, "lset")
	return nil
}

// LInsert is LINSERT: the length afterwards, -1 where no element equals pivot, 0 where there
// is no list.
func LInsert(t kv.Txn, db *DB, key []byte, after bool, pivot, value []byte) (int64, error) {
	var l list
	if err := l.open(t, db, key); err != nil || !l.found {
		return 0, err
	}
	if err := checkElements([][]byte{value}); err != nil {
		return 0, err
	}
	var err error
	done := false
	if l.rows {
		done, err = l.insertRow(t, after, pivot, value)
	} else {
		done, err = l.insertInline(t, after, pivot, value)
	}
	if err != nil || !done {
		return -1, err
	}
	l.event(EventList, "linsert")
	return l.n, nil
}

func (l *list) insertInline(t kv.Txn, after bool, pivot, value []byte) (bool, error) {
	els, err := l.inline()
	if err != nil {
		return false, err
	}
	at := slices.IndexFunc(els, func(v []byte) bool { return bytes.Equal(v, pivot) })
	if at < 0 {
		return false, nil
	}
	if after {
		at++
	}
	l.saveAll(t, slices.Insert(els, at, value))
	return true, nil
}

func (l *list) insertRow(t kv.Txn, after bool, pivot, value []byte) (bool, error) {
	var before, behind uint64 // neighbours of the new element
	met, over := false, false
	if err := l.scan(t, l.first, l.last, kv.ScanOptions{}, func(e element) bool {
		behind = e.pos
		if met {
			over = true
			return false
		}
		if met = bytes.Equal(e.value, pivot); met && !after {
			return false
		}
		before = e.pos
		return true
	}); err != nil || !met {
		return false, err
	}
	switch {
	case !after && behind == l.first:
		l.pushRows(t, [][]byte{value}, Left)
	case after && !over:
		l.pushRows(t, [][]byte{value}, Right)
	default:
		if behind-before < 2 {
			var err error
			if behind, err = l.makeRoom(t, before, behind); err != nil {
				return false, err
			}
		}
		l.n++
		l.loose = true
		l.packed += packedBytes(value)
		t.Set(l.elementRow(t, before+(behind-before)/2), value)
	}
	l.saveRows(t)
	return true, nil
}

// roomRows is how many elements are moved at first to make room.
const roomRows = 16

// makeRoom moves the elements from behind on until there is room before them, and answers
// where the first of them is then.
func (l *list) makeRoom(t kv.Txn, before, behind uint64) (uint64, error) {
	for limit := roomRows; ; limit *= 2 {
		var moved []element
		if err := l.scan(t, behind, l.last, kv.ScanOptions{Limit: limit + 1}, func(e element) bool {
			moved = append(moved, e)
			return true
		}); err != nil {
			return 0, err
		}
		step, end := uint64(listStride), l.last
		if len(moved) > limit { // the last of them stays where it is
			end = moved[limit].pos - 1
			step = (moved[limit].pos - before) / uint64(limit+1)
			moved = moved[:limit]
		}
		if step < listRoom {
			continue
		}
		t.ClearRange(l.elementSpan(t, behind, end))
		for i, e := range moved {
			pos := before + uint64(i+1)*step
			t.Set(l.elementRow(t, pos), e.value)
			if e.pos == l.last {
				l.last = pos
			}
		}
		return before + step, nil
	}
}

// LRem is LREM: how many equal elements it deleted. A count above 0 is the most, from the
// beginning, below 0 from the end; 0 means all.
func LRem(t kv.Txn, db *DB, key []byte, count int64, value []byte) (deleted int64, err error) {
	var l list
	if err := l.open(t, db, key); err != nil || !l.found {
		return 0, err
	}
	most := l.n
	if count > 0 {
		most = min(most, count)
	} else if count < 0 && -count > 0 {
		most = min(most, -count)
	}
	if l.rows {
		deleted, err = l.removeRows(t, value, most, count < 0)
	} else {
		deleted, err = l.removeInline(t, value, most, count < 0)
	}
	if err == nil && deleted > 0 {
		l.event(EventList, "lrem")
		if l.n == 0 {
			l.drop(t)
		}
	}
	return deleted, err
}

func (l *list) removeInline(t kv.Txn, value []byte, most int64, fromEnd bool) (deleted int64, err error) {
	els, err := l.inline()
	if err != nil {
		return 0, err
	}
	if fromEnd {
		slices.Reverse(els)
	}
	els = slices.DeleteFunc(els, func(v []byte) bool {
		if deleted == most || !bytes.Equal(v, value) {
			return false
		}
		deleted++
		return true
	})
	if fromEnd {
		slices.Reverse(els)
	}
	if l.n = int64(len(els)); deleted > 0 && l.n > 0 {
		l.saveAll(t, els)
	}
	return deleted, nil
}

func (l *list) removeRows(t kv.Txn, value []byte, most int64, fromEnd bool) (deleted int64, err error) {
	var gone []uint64
	first, last, kept := uint64(0), uint64(0), false // of those that stay, as far as it was looked
	if err := l.scan(t, l.first, l.last, kv.ScanOptions{Reverse: fromEnd}, func(e element) bool {
		if int64(len(gone)) < most && bytes.Equal(e.value, value) {
			gone = append(gone, e.pos)
			return true
		}
		if !kept {
			first, kept = e.pos, true
		}
		last = e.pos
		return int64(len(gone)) < most
	}); err != nil || len(gone) == 0 {
		return 0, err
	}
	deleted = int64(len(gone))
	for _, pos := range gone {
		t.Clear(l.elementRow(t, pos))
	}
	if l.n -= deleted; l.n == 0 {
		return deleted, nil
	}
	near, far := &l.first, &l.last
	if fromEnd {
		near, far = far, near
	}
	*near = first
	if gone[len(gone)-1] == *far {
		*far = last
	}
	l.loose = l.loose || (l.last-l.first)/listStride != uint64(l.n-1)
	for range gone {
		l.unpack([][]byte{value})
	}
	l.saveRows(t)
	return deleted, nil
}

// LTrim is LTRIM.
func LTrim(t kv.Txn, db *DB, key []byte, start, stop int64) error {
	var l list
	if err := l.open(t, db, key); err != nil || !l.found {
		return err
	}
	l.event(EventList, "ltrim")
	first, last := l.window(start, stop)
	switch {
	case first > last:
		l.drop(t)
		return nil
	case !l.rows:
		els, err := l.inline()
		if err == nil {
			l.saveAll(t, els[first:last+1])
		}
		return err
	}
	from, err := l.at(t, first)
	if err != nil {
		return err
	}
	to, err := l.at(t, last)
	if err != nil {
		return err
	}
	for _, cut := range []struct {
		is       bool
		from, to uint64
	}{{from > l.first, l.first, from - 1}, {to < l.last, to + 1, l.last}} {
		if !cut.is {
			continue
		}
		if !l.h.wide { // then there are few of them
			if err := l.scan(t, cut.from, cut.to, kv.ScanOptions{}, func(e element) bool {
				l.packed -= packedBytes(e.value)
				return true
			}); err != nil {
				return err
			}
		}
		t.ClearRange(l.elementSpan(t, cut.from, cut.to))
	}
	l.first, l.last, l.n = from, to, last-first+1
	l.saveRows(t)
	return nil
}

// LMove is LMOVE and RPOPLPUSH: the element that it moved, nil where there was none.
func LMove(t kv.Txn, db *DB, from, to []byte, take, put Side) ([]byte, error) {
	var src, dst list
	if err := src.open(t, db, from); err != nil || !src.found {
		return nil, err
	}
	if err := dst.open(t, db, to); err != nil {
		return nil, err
	}
	same := bytes.Equal(from, to)
	if same && src.n == 1 {
		return src.touch(t)
	}
	moved, err := src.pop(t, take, 1, nil)
	if err == nil && same {
		err = dst.open(t, db, to)
	}
	if err != nil {
		return nil, err
	}
	return moved[0], dst.push(t, moved, put)
}

// touch writes a list of one element as it is, as if that had been taken and put back.
func (l *list) touch(t kv.Txn) (v []byte, err error) {
	err = l.each(t, 0, false, func(e element) bool {
		v = e.value
		return false
	})
	if err == nil {
		l.restore(t, l.h)
		l.event(EventList, "lmove")
	}
	return v, err
}

// MPop is LMPOP: it pops from the first key that is a list. key is nil if none is.
func MPop(t kv.Txn, db *DB, keys [][]byte, from Side, count int64, dst [][]byte) (key []byte, popped [][]byte, err error) {
	for _, key := range keys {
		popped, found, err := Pop(t, db, key, from, count, dst)
		if err != nil || found {
			return key, popped, err
		}
	}
	return nil, dst, nil
}
