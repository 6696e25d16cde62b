package list

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// Set is LSET.
func Set(t kv.Txn, db *redis.DB, key []byte, i int64, value []byte) error {
	var l list
	if err := l.open(t, db, key); err != nil {
		return err
	}
	if !l.Found {
		return redis.ErrNoSuchKey
	}
	if err := checkElements([][]byte{value}); err != nil {
		return err
	}
	index, found := l.index(i)
	if !found {
		return redis.ErrIndex
	}
	if l.packed > 0 {
		old, err := l.collect(t, index, 1, nil)
		if err != nil {
			return err
		}
		l.unpack(old)
	}
	l.pack([][]byte{value})
	if err := l.edit(t, index, 0, func(els [][]byte, i int) [][]byte {
		els[i] = value
		return els
	}); err != nil {
		return err
	}
	l.save(t)
	l.Event(redis.EventList, "lset")
	return nil
}

// edit changes the elements around one that is there: change gets some of them and where in
// them it is, and adds others.
func (l *list) edit(t kv.Txn, index, added int64, change func(els [][]byte, i int) [][]byte) error {
	left, inner := l.ends[0].n, l.inner()
	if inner == 0 {
		els, err := l.ends[0].elements(nil)
		if err == nil {
			l.divide(t, Right, change(els, int(index)))
		}
		return err
	}
	if index < left || index >= left+inner {
		s := Left
		if index >= left {
			s, index = Right, index-left-inner
		}
		els, err := l.end(s).elements(nil)
		if err == nil {
			l.n += added
			l.settle(t, s, change(els, int(index)))
		}
		return err
	}
	pos, skip, err := l.at(t, index-left)
	if err != nil {
		return err
	}
	n, err := l.getNode(t, pos)
	if err != nil {
		return err
	}
	els, err := n.elements(nil)
	if err != nil {
		return err
	}
	l.n += added
	return l.replaceNode(t, pos, change(els, int(skip)))
}

// replaceNode stores what a node, and those beside it that it needs, hold from then on.
func (l *list) replaceNode(t kv.Txn, pos uint64, els [][]byte) error {
	if int64(len(els)) == l.per && runBytes(els) <= 4*l.DB.Options.ListNodeBytes {
		l.putNode(t, pos, els)
		return nil
	}
	l.loose = true
	var parts [][][]byte
	switch limit := 4 * l.DB.Options.ListNodeBytes; {
	case len(els) == 1 || int64(len(els)) <= 2*l.per && runBytes(els) <= limit:
		parts = append(parts, els)
	case runBytes(els) <= 2*limit:
		parts = append(parts, els[:len(els)/2], els[len(els)/2:])
	default: // something large is among them: it stands alone
		for _, v := range els {
			if k := len(parts) - 1; k >= 0 && runBytes(parts[k])+elementBytes(v) <= limit {
				parts[k] = append(parts[k], v)
			} else {
				parts = append(parts, [][]byte{v})
			}
		}
	}
	follows, step := pos, uint64(listStride)
	if k := uint64(len(parts)); pos != l.last && k > 1 {
		var err error
		if follows, err = l.beside(t, pos, Right); err != nil {
			return err
		}
		if (follows-pos)/k == 0 {
			if follows, err = l.makeRoom(t, pos, follows); err != nil {
				return err
			}
		}
		step = (follows - pos) / k
	}
	for i, part := range parts {
		at := pos + uint64(i)*step
		l.putNode(t, at, part)
		l.last = max(l.last, at)
	}
	return nil
}

// Insert is LINSERT: the length afterwards, -1 where no element equals pivot, 0 where there
// is no list.
func Insert(t kv.Txn, db *redis.DB, key []byte, after bool, pivot, value []byte) (int64, error) {
	var l list
	if err := l.open(t, db, key); err != nil || !l.Found {
		return 0, err
	}
	if err := checkElements([][]byte{value}); err != nil {
		return 0, err
	}
	index, found := int64(-1), false
	if err := l.each(t, 0, false, func(v []byte) bool {
		index++
		found = bytes.Equal(v, pivot)
		return !found
	}); err != nil || !found {
		return -1, err
	}
	l.pack([][]byte{value})
	if err := l.edit(t, index, 1, func(els [][]byte, i int) [][]byte {
		if after {
			i++
		}
		return slices.Insert(els, i, value)
	}); err != nil {
		return 0, err
	}
	l.save(t)
	l.Event(redis.EventList, "linsert")
	return l.n, nil
}

// roomNodes is how many nodes are moved at first to make room.
const roomNodes = 16

// makeRoom moves the nodes from behind on until there is room before them, and answers where
// the first of them is then.
func (l *list) makeRoom(t kv.Txn, before, behind uint64) (uint64, error) {
	for limit := roomNodes; ; limit *= 2 {
		var moved []listNode
		if err := l.scan(t, behind, l.last, kv.ScanOptions{Limit: limit + 1}, func(n listNode) bool {
			moved = append(moved, n)
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
		t.ClearRange(l.nodeSpan(t, behind, end))
		for i, n := range moved {
			pos := before + uint64(i+1)*step
			els, err := n.elements(nil)
			if err != nil {
				return 0, err
			}
			l.putNode(t, pos, els)
			if n.pos == l.last {
				l.last = pos
			}
		}
		return before + step, nil
	}
}

// Rem is LREM: how many equal elements it deleted. A count above 0 is the most, from the
// beginning, below 0 from the end; 0 means all.
func Rem(t kv.Txn, db *redis.DB, key []byte, count int64, value []byte) (deleted int64, err error) {
	var l list
	if err := l.open(t, db, key); err != nil || !l.Found {
		return 0, err
	}
	most := l.n
	if count > 0 {
		most = min(most, count)
	} else if count < 0 && -count > 0 {
		most = min(most, -count)
	}
	near, far := Left, Right
	if count < 0 {
		near, far = far, near
	}
	r := removal{value: value, most: most, fromEnd: count < 0}
	for _, step := range []func() error{
		func() error { return r.end(t, &l, near) },
		func() error { return r.nodes(t, &l) },
		func() error { return r.end(t, &l, far) },
	} {
		if err := step(); err != nil {
			return 0, err
		}
	}
	if r.deleted == 0 {
		return 0, nil
	}
	for range r.deleted {
		l.unpack([][]byte{value})
	}
	l.unite(t)
	l.Event(redis.EventList, "lrem")
	l.save(t)
	return r.deleted, nil
}

// removal is LREM at work.
type removal struct {
	value         []byte
	most, deleted int64
	fromEnd       bool
}

// strip takes equal elements out of a run.
func (r *removal) strip(from run) (els [][]byte, some bool, err error) {
	if els, err = from.elements(nil); err != nil {
		return nil, false, err
	}
	if r.fromEnd {
		slices.Reverse(els)
	}
	els = slices.DeleteFunc(els, func(v []byte) bool {
		if r.deleted == r.most || !bytes.Equal(v, r.value) {
			return false
		}
		r.deleted++
		return true
	})
	if r.fromEnd {
		slices.Reverse(els)
	}
	return els, int64(len(els)) < from.n, nil
}

func (r *removal) end(t kv.Txn, l *list, s Side) error {
	e := l.end(s)
	els, some, err := r.strip(*e)
	if some {
		l.n -= e.n - int64(len(els))
		*e = makeRun(t, els)
	}
	return err
}

// nodes takes elements out of nodes, and nodes of which nothing is left out of the list.
func (r *removal) nodes(t kv.Txn, l *list) error {
	if l.inner() == 0 || r.deleted == r.most {
		return nil
	}
	type change struct {
		pos uint64
		els [][]byte
	}
	var changes []change
	var bad error
	gone := int64(0)
	if err := l.scan(t, l.first, l.last, kv.ScanOptions{Reverse: r.fromEnd}, func(n listNode) bool {
		var els [][]byte
		var some bool
		if els, some, bad = r.strip(n.run); some {
			changes = append(changes, change{n.pos, els})
			gone += n.n - int64(len(els))
		}
		return bad == nil && r.deleted < r.most
	}); err != nil || bad != nil || gone == 0 {
		return errors.CombineErrors(err, bad)
	}
	l.n -= gone
	l.loose = true
	for _, c := range changes {
		if len(c.els) > 0 {
			l.putNode(t, c.pos, c.els)
		} else {
			l.clearNode(t, c.pos)
		}
	}
	if l.inner() == 0 {
		return nil
	}
	for _, edge := range []struct {
		at      *uint64
		reverse bool
	}{{&l.first, false}, {&l.last, true}} {
		if err := l.scan(t, l.first, l.last, kv.ScanOptions{Reverse: edge.reverse, Limit: 1}, func(n listNode) bool {
			*edge.at = n.pos
			return false
		}); err != nil {
			return err
		}
	}
	return nil
}

// Trim is LTRIM.
func Trim(t kv.Txn, db *redis.DB, key []byte, start, stop int64) error {
	var l list
	if err := l.open(t, db, key); err != nil || !l.Found {
		return err
	}
	first, last := l.window(start, stop)
	if first > last {
		first, last = l.n, l.n-1
	}
	if l.packed > 0 { // then there are few of them
		for _, gone := range [][2]int64{{0, first}, {last + 1, l.n - 1 - last}} {
			els, err := l.collect(t, gone[0], gone[1], nil)
			if err != nil {
				return err
			}
			l.unpack(els)
		}
	}
	behind := l.n - 1 - last
	if err := l.drop(t, Left, first); err != nil {
		return err
	}
	if err := l.drop(t, Right, behind); err != nil {
		return err
	}
	l.Event(redis.EventList, "ltrim")
	l.save(t)
	return nil
}

// Move is LMOVE and RPOPLPUSH: the element that it moved, nil where there was none.
func Move(t kv.Txn, db *redis.DB, from, to []byte, take, put Side) ([]byte, error) {
	var src, dst list
	if err := src.open(t, db, from); err != nil || !src.Found {
		return nil, err
	}
	if err := dst.open(t, db, to); err != nil {
		return nil, err
	}
	same := bytes.Equal(from, to)
	if same && src.n == 1 {
		return src.touch(t, take, put)
	}
	moved, err := src.take(t, take, 1, nil)
	if err == nil && same {
		src.save(t)
		err = dst.open(t, db, to)
	}
	if err == nil {
		err = dst.push(t, moved, put)
	}
	if err != nil {
		return nil, err
	}
	src.Event(redis.EventList, popped(take)) // as Redis does it, who fills the other one first
	if !same {
		src.save(t)
	}
	return moved[0], nil
}

// touch writes a list of one element as it is, as if that had been taken and put back.
func (l *list) touch(t kv.Txn, take, put Side) (v []byte, err error) {
	err = l.each(t, 0, false, func(first []byte) bool {
		v = first
		return false
	})
	if err == nil {
		l.Restore(t, l.Header)
		l.Event(redis.EventList, pushed(put))
		l.Event(redis.EventList, popped(take))
	}
	return v, err
}

// MPop is LMPOP: it pops from the first key that is a list. key is nil if none is.
func MPop(t kv.Txn, db *redis.DB, keys [][]byte, from Side, count int64, dst [][]byte) (key []byte, popped [][]byte, err error) {
	for _, key := range keys {
		popped, found, err := Pop(t, db, key, from, count, dst)
		if err != nil || found {
			return key, popped, err
		}
	}
	return nil, dst, nil
}

// Replace makes values the value of key, whatever that was: their number. event is the
// command's name.
func Replace(t kv.Txn, db *redis.DB, key []byte, values [][]byte, event string) (int64, error) {
	if err := checkElements(values); err != nil {
		return 0, err
	}
	var l list
	if err := l.Lookup(t, db, key); err != nil {
		return 0, err
	}
	if l.Found {
		l.Remove(t)
		if len(values) == 0 {
			l.Event(redis.EventGeneric, "del")
		}
	}
	if len(values) == 0 {
		return 0, nil
	}
	l.divide(t, Right, values)
	l.save(t)
	l.Event(redis.EventList, event)
	return l.n, nil
}
