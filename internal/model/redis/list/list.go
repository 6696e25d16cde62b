package list

import (
	"bytes"
	"slices"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

// Push is LPUSH and RPUSH, with existing LPUSHX and RPUSHX: the length afterwards, 0 where
// there was no list and existing asks for one.
func Push(t kv.Txn, db *redis.DB, key []byte, values [][]byte, to Side, existing bool) (int64, error) {
	var l list
	if err := l.open(t, db, key); err != nil || existing && !l.Found {
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
		if len(v) > redis.MaxFieldValueBytes {
			return redis.ErrFieldValueTooLong
		}
	}
	return nil
}

// push adds elements at an end, one after the other.
func (l *list) push(t kv.Txn, values [][]byte, to Side) error {
	size, k := runBytes(values), int64(len(values))
	e, inner := l.end(to), l.inner()
	if inner == 0 {
		e = &l.ends[0]
	}
	switch {
	case inner == 0 && l.fits(l.n+k, len(e.b)+size),
		inner > 0 && e.n+k < l.per && len(e.b)+size <= 2*l.DB.Options.ListNodeBytes:
		l.n += k
		e.n += k
		if inner > 0 {
			l.pack(values)
		}
		fill(l.saveWith(t, size, to), values, to)
	default:
		els, err := l.joined(*e, values, to)
		if err != nil {
			return err
		}
		if inner == 0 {
			l.divide(t, to, els)
		} else {
			l.n += k
			l.pack(values)
			l.settle(t, to, els)
		}
		l.save(t)
	}
	l.Event(redis.EventList, pushed(to))
	return nil
}

// pack adds elements to the length of Redis's listpack.
func (l *list) pack(values [][]byte) {
	for _, v := range values {
		l.packed += packedBytes(v)
	}
}

// fill writes elements that were pushed at a side.
func fill(room []byte, values [][]byte, to Side) {
	room = room[:0]
	for i := range values {
		if to == Right {
			room = appendElement(room, values[i])
		} else {
			room = appendElement(room, values[len(values)-1-i])
		}
	}
}

// joined are the elements of an end and those that are pushed there.
func (l *list) joined(r run, values [][]byte, to Side) (els [][]byte, err error) {
	els = make([][]byte, 0, int(r.n)+len(values))
	if to == Left {
		els = append(els, values...)
		slices.Reverse(els)
	}
	if els, err = r.elements(els); err == nil && to == Right {
		els = append(els, values...)
	}
	return els, err
}

// Pop is LPOP and RPOP: up to count elements are appended to dst, in the order in which
// they were taken. found is false where there is no list.
func Pop(t kv.Txn, db *redis.DB, key []byte, from Side, count int64, dst [][]byte) (popped [][]byte, found bool, err error) {
	var l list
	if err := l.open(t, db, key); err != nil || !l.Found || count == 0 {
		return dst, l.Found, err
	}
	dst, err = l.pop(t, from, count, dst)
	return dst, true, err
}

func (l *list) pop(t kv.Txn, from Side, count int64, dst [][]byte) ([][]byte, error) {
	dst, err := l.take(t, from, count, dst)
	if err == nil {
		l.Event(redis.EventList, popped(from))
		l.save(t)
	}
	return dst, err
}

// popped and pushed are events.
func popped(from Side) string {
	if from == Left {
		return "lpop"
	}
	return "rpop"
}

func pushed(to Side) string {
	if to == Left {
		return "lpush"
	}
	return "rpush"
}

// take is pop without what it tells others. It does not write the header.
func (l *list) take(t kv.Txn, from Side, count int64, dst [][]byte) ([][]byte, error) {
	had := len(dst)
	count = min(count, l.n)
	first := int64(0)
	if from == Right {
		first = l.n - count
	}
	dst, err := l.collect(t, first, count, dst)
	if err != nil {
		return dst[:had], err
	}
	if from == Right {
		slices.Reverse(dst[had:])
	}
	l.unpack(dst[had:])
	if err := l.drop(t, from, count); err != nil {
		return dst[:had], err
	}
	return dst, nil
}

// drop takes elements off a side. It does not write the header.
func (l *list) drop(t kv.Txn, s Side, count int64) error {
	for count > 0 {
		e, inner := l.end(s), l.inner()
		if inner == 0 {
			l.unite(t)
			e = &l.ends[0]
		}
		k := min(count, e.n)
		if err := e.cut(s, k); err != nil {
			return err
		}
		l.n -= k
		if count -= k; count == 0 {
			break
		}
		if count >= inner {
			t.ClearRange(l.nodeSpan(t, l.first, l.last))
			l.n -= inner
			count -= inner
			continue
		}
		if err := l.dropNodes(t, s, count); err != nil {
			return err
		}
		count = 0
	}
	l.unite(t)
	return nil
}

// dropNodes takes elements of nodes off a side whose end is empty, not all of them: what
// stays of the last node that it meets becomes the end.
func (l *list) dropNodes(t kv.Txn, s Side, count int64) error {
	stays := count // the first inner element that does, or the last one
	if s == Right {
		stays = l.inner() - 1 - count
	}
	pos, skip, err := l.at(t, stays)
	if err != nil {
		return err
	}
	n, err := l.getNode(t, pos)
	if err != nil {
		return err
	}
	near, far, inwards := &l.first, l.last, Right
	cut := skip
	if s == Right {
		near, far, inwards = &l.last, l.first, Left
		cut = n.n - 1 - skip
	}
	from, to := *near, pos
	if s == Right {
		from, to = pos, *near
	}
	if from == to {
		l.clearNode(t, pos)
	} else {
		t.ClearRange(l.nodeSpan(t, from, to))
	}
	if pos != far {
		if *near, err = l.beside(t, pos, inwards); err != nil {
			return err
		}
	}
	l.n -= count
	*l.end(s) = n.run
	return l.end(s).cut(s, cut)
}

// Len is LLEN.
func Len(t kv.Txn, db *redis.DB, key []byte) (int64, error) {
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

// Range is LRANGE: the elements are appended to dst.
func Range(t kv.Txn, db *redis.DB, key []byte, start, stop int64, dst [][]byte) ([][]byte, error) {
	var l list
	if err := l.read(t, db, key); err != nil || !l.Found {
		return dst, err
	}
	first, last := l.window(start, stop)
	if first > last {
		return dst, nil
	}
	return l.collect(t, first, last-first+1, dst)
}

// collect appends elements that are there.
func (l *list) collect(t kv.Txn, from, count int64, dst [][]byte) (all [][]byte, err error) {
	left, inner := l.ends[0], l.inner()
	if from < left.n {
		k := min(count, left.n-from)
		if dst, err = left.some(from, k, dst); err != nil {
			return dst, err
		}
		from, count = left.n, count-k
	}
	if from -= left.n; count > 0 && from < inner {
		k := min(count, inner-from)
		if dst, err = l.collectNodes(t, from, k, dst); err != nil {
			return dst, err
		}
		from, count = inner, count-k
	}
	if count == 0 {
		return dst, nil
	}
	return l.ends[1].some(from-inner, count, dst)
}

// some appends elements of a run.
func (r run) some(from, count int64, dst [][]byte) ([][]byte, error) {
	it := runIter{run: r}
	for i := int64(0); i < from+count && it.next(); i++ {
		if i >= from {
			dst = append(dst, it.value)
		}
	}
	return dst, it.err
}

const (
	// pointNodes is how many nodes are read one by one, where it is known where they are:
	// the window, or a cache of rows, has those of a list in use. A scan begins on disk.
	pointNodes = 160
	// pointsAhead is how many of them are announced together.
	pointsAhead = 32
)

// collectPoints collects from nodes of the same length.
func (l *list) collectPoints(t kv.Txn, pos uint64, nodes, skip, count int64, dst [][]byte) ([][]byte, error) {
	if nodes == 1 {
		n, err := l.getNode(t, pos)
		if err != nil {
			return dst, err
		}
		return n.some(skip, count, dst)
	}
	rows := make([][]byte, 0, min(nodes, pointsAhead))
	for ; nodes > 0; nodes -= int64(len(rows)) {
		rows = rows[:0]
		for i := range min(nodes, pointsAhead) {
			rows = append(rows, l.listNodeRow(t, pos+uint64(i)*listStride))
		}
		t.Expect(rows)
		for _, row := range rows {
			b, err := t.Snapshot().Get(row)
			if err != nil {
				return dst, err
			}
			n, err := decodeListNode(pos, b)
			if err != nil {
				return dst, err
			}
			k := min(count, n.n-skip)
			if dst, err = n.some(skip, k, dst); err != nil {
				return dst, err
			}
			pos, skip, count = pos+listStride, 0, count-k
		}
	}
	if count > 0 {
		return dst, redis.Corrupt("list of %d elements has fewer", l.n)
	}
	return dst, nil
}

func (l *list) collectNodes(t kv.Txn, from, count int64, dst [][]byte) ([][]byte, error) {
	pos, skip, err := l.at(t, from)
	if err != nil {
		return dst, err
	}
	if nodes := (skip + count + l.per - 1) / l.per; !l.loose && nodes <= pointNodes {
		return l.collectPoints(t, pos, nodes, skip, count, dst)
	}
	return l.collectScan(t, pos, skip, count, dst)
}

// collectScan collects from nodes of any length.
func (l *list) collectScan(t kv.Txn, pos uint64, skip, count int64, dst [][]byte) ([][]byte, error) {
	var bad error
	err := l.scan(t, pos, l.last, kv.ScanOptions{}, func(n listNode) bool {
		k := min(count, n.n-skip)
		if dst, bad = n.some(skip, k, dst); bad != nil {
			return false
		}
		count -= k
		skip = 0
		return count > 0
	})
	switch {
	case err != nil:
		return dst, err
	case bad == nil && count > 0:
		bad = redis.Corrupt("list of %d elements has fewer", l.n)
	}
	return dst, bad
}

// each visits the elements from an index on that is there, towards the end or in reverse.
func (l *list) each(t kv.Txn, from int64, reverse bool, visit func(v []byte) bool) error {
	var els [][]byte
	stopped := false
	one := func(r run, skip int64) (err error) {
		if els, err = r.elements(els[:0]); err != nil {
			return err
		}
		if reverse {
			slices.Reverse(els)
		}
		for _, v := range els[skip:] {
			if stopped = !visit(v); stopped {
				break
			}
		}
		return nil
	}
	near, far, inner := l.ends[0], l.ends[1], l.inner()
	if reverse {
		near, far, from = far, near, l.n-1-from
	}
	if from < near.n {
		if err := one(near, from); err != nil || stopped {
			return err
		}
		from = near.n
	}
	if from -= near.n; from < inner {
		if err := l.eachNode(t, from, reverse, func(n listNode, skip int64) (bool, error) {
			err := one(n.run, skip)
			return !stopped, err
		}); err != nil || stopped {
			return err
		}
		from = inner
	}
	if from -= inner; from < far.n {
		return one(far, from)
	}
	return nil
}

// eachNode visits the nodes from the one with an inner element on, counted from the side
// where it begins; skip is how many of the first one's are before it.
func (l *list) eachNode(t kv.Txn, from int64, reverse bool, visit func(n listNode, skip int64) (bool, error)) error {
	index := from
	if reverse {
		index = l.inner() - 1 - from
	}
	pos, skip, err := l.at(t, index)
	if err != nil {
		return err
	}
	low, high := pos, l.last
	if reverse {
		low, high = l.first, pos
	}
	begun := false
	var bad error
	err = l.scan(t, low, high, kv.ScanOptions{Reverse: reverse}, func(n listNode) (more bool) {
		if !begun && reverse {
			skip = n.n - 1 - skip
		} else if begun {
			skip = 0
		}
		begun = true
		more, bad = visit(n, skip)
		return more && bad == nil
	})
	if err == nil {
		err = bad
	}
	return err
}

// index makes one that may count from the end one from the beginning; found is false if
// no element is there.
func (l *list) index(i int64) (index int64, found bool) {
	if i < 0 {
		i += l.n
	}
	return i, i >= 0 && i < l.n
}

// Index is LINDEX; nil where there is no such element.
func Index(t kv.Txn, db *redis.DB, key []byte, i int64) ([]byte, error) {
	var l list
	if err := l.read(t, db, key); err != nil {
		return nil, err
	}
	index, found := l.index(i)
	if !found {
		return nil, nil
	}
	v, err := l.collect(t, index, 1, nil)
	if err != nil {
		return nil, err
	}
	return v[0], nil
}

// PosOptions are those of LPOS. Rank is not 0; negative ones count from the end. Count 0
// means all; MaxLen 0 means that every element is compared.
type PosOptions struct{ Rank, Count, MaxLen int64 }

// Pos is LPOS: the indexes of equal elements are appended to dst.
func Pos(t kv.Txn, db *redis.DB, key, value []byte, o PosOptions, dst []int64) ([]int64, error) {
	var l list
	if err := l.read(t, db, key); err != nil || !l.Found {
		return dst, err
	}
	from, step, skip := int64(0), int64(1), o.Rank-1
	if o.Rank < 0 {
		from, step, skip = l.n-1, -1, -o.Rank-1
	}
	compared, found := int64(0), int64(0)
	index := from
	err := l.each(t, from, o.Rank < 0, func(v []byte) bool {
		if bytes.Equal(v, value) {
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
