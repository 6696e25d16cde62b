package list

import (
	"encoding/binary"
	"math"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/redisnum"
)

// The encodings of lists. On disk.
const (
	encListEnds  redis.Encoding = 1
	encListNodes redis.Encoding = 2
	encListLoose redis.Encoding = 3
)

const (
	runCountBytes = 2
	listFixed     = 38 // what precedes the ends in the header of a list with nodes

	listStart  = 1 << 63
	listStride = 1 << 16
	// listRoom is how far apart nodes are at least that were moved to make room.
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

// run is consecutive elements.
type run struct {
	n int64
	b []byte
}

// list is a list as one command sees it.
type list struct {
	redis.Entry
	n    int64
	ends [2]run // left and right; a list without nodes has the left one only
	// What follows is about nodes.
	first, last uint64
	per         int64 // elements of each node, unless loose
	loose       bool
	got         listNode // that was read last
	// packed is the length of Redis's listpack, while that is what it would be.
	packed int64
}

func (s Side) index() int {
	if s == Right {
		return 1
	}
	return 0
}

func (l *list) end(s Side) *run { return &l.ends[s.index()] }

// inner is how many elements are in nodes.
func (l *list) inner() int64 { return l.n - l.ends[0].n - l.ends[1].n }

// open looks a list up.
func (l *list) open(t kv.Txn, db *redis.DB, key []byte) error {
	if err := l.LookupAs(t, db, key, redis.TypeList); err != nil {
		return err
	}
	return l.decode()
}

// read is open for commands that only read.
func (l *list) read(t kv.Txn, db *redis.DB, key []byte) error {
	if err := l.ReadAs(t, db, key, redis.TypeList); err != nil {
		return err
	}
	return l.decode()
}

func (l *list) decode() error {
	l.got = listNode{}
	l.n, l.ends, l.loose, l.per, l.packed = 0, [2]run{}, false, 0, 0
	if !l.Found {
		return nil
	}
	if err := validate(&l.Header); err != nil {
		return err
	}
	b := l.Header.Body
	if l.Header.Enc == encListEnds {
		l.ends[0] = run{int64(binary.BigEndian.Uint16(b)), b[runCountBytes:]}
		l.n = l.ends[0].n
		return nil
	}
	l.loose = l.Header.Enc == encListLoose
	l.n, l.first, l.last = int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
	l.packed, l.per = int64(binary.BigEndian.Uint32(b[24:])), int64(binary.BigEndian.Uint16(b[28:]))
	left := listFixed + int(binary.BigEndian.Uint32(b[34:]))
	l.ends[0] = run{int64(binary.BigEndian.Uint16(b[30:])), b[listFixed:left:left]}
	l.ends[1] = run{int64(binary.BigEndian.Uint16(b[32:])), b[left:]}
	return nil
}

// validate checks the fixed part of a list's header.
func validate(h *redis.Header) error {
	b := h.Body
	switch {
	case h.Enc == encListEnds && len(b) > runCountBytes && binary.BigEndian.Uint16(b) > 0:
		return nil
	case (h.Enc == encListNodes || h.Enc == encListLoose) && len(b) >= listFixed:
		n, first, last := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
		per, ends := uint64(binary.BigEndian.Uint16(b[28:])), uint64(binary.BigEndian.Uint16(b[30:]))+uint64(binary.BigEndian.Uint16(b[32:]))
		if n > math.MaxInt64 || n <= ends || first > last || per == 0 || uint64(binary.BigEndian.Uint32(b[34:])) > uint64(len(b)-listFixed) {
			break
		}
		nodes := (last-first)/listStride + 1
		if h.Enc == encListLoose || (last-first)%listStride == 0 && (n-ends)%per == 0 && (n-ends)/per == nodes {
			return nil
		}
	}
	return redis.Corrupt("list of encoding %d with a body of %d bytes", h.Enc, len(b))
}

// runIter walks a run.
type runIter struct {
	run
	start, end int // where the current element stands
	value      []byte
	err        error
}

func (it *runIter) next() bool {
	it.start = it.end
	if it.n == 0 || it.err != nil {
		if it.err == nil && it.start != len(it.b) {
			it.err = redis.Corrupt("%d bytes behind a list's elements", len(it.b)-it.start)
		}
		return false
	}
	it.n--
	n, w := binary.Uvarint(it.b[it.end:])
	if w <= 0 || n > uint64(len(it.b)-it.end-w) {
		it.err = redis.Corrupt("list element of %d bytes at %d of %d", n, it.end, len(it.b))
		return false
	}
	at := it.end + w
	it.end = at + int(n)
	it.value = it.b[at:it.end:it.end]
	return true
}

// cut takes k elements off a side.
func (r *run) cut(s Side, k int64) error {
	it := runIter{run: *r}
	pass := k
	if s == Right {
		pass = r.n - k
	}
	for i := int64(0); i < pass; i++ {
		if !it.next() {
			return it.err
		}
	}
	if s == Left {
		r.b = r.b[it.end:]
	} else {
		r.b = r.b[:it.end]
	}
	r.n -= k
	return nil
}

// elements appends those of a run.
func (r run) elements(dst [][]byte) ([][]byte, error) {
	it := runIter{run: r}
	for it.next() {
		dst = append(dst, it.value)
	}
	return dst, it.err
}

func elementBytes(v []byte) int { return redis.UvarintLen(len(v)) + len(v) }

func runBytes(els [][]byte) (n int) {
	for _, v := range els {
		n += elementBytes(v)
	}
	return n
}

func appendElement(b, v []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(v))), v...) }

// makeRun is a run of elements.
func makeRun(t kv.Txn, els [][]byte) run {
	b := t.Alloc(runBytes(els))[:0]
	for _, v := range els {
		b = appendElement(b, v)
	}
	return run{int64(len(els)), b}
}

// listNodeRow is the key of a node.
func (l *list) listNodeRow(t kv.Txn, pos uint64) []byte {
	row := l.Part(t, redis.PartListNode, 8)
	binary.BigEndian.PutUint64(row[len(l.Row)+1:], pos)
	return row
}

// nodeSpan holds the nodes from one position to another, both included.
func (l *list) nodeSpan(t kv.Txn, from, to uint64) base.Span {
	return base.Span{Start: l.listNodeRow(t, from), End: base.Next(l.listNodeRow(t, to))}
}

// positionOf is the position of a key that listNodeRow made; header is the length of the
// header's key.
func positionOf(header int, row []byte) (uint64, error) {
	if len(row) != header+9 || row[header] != redis.PartListNode {
		return 0, redis.Corrupt("list row %x", row)
	}
	return binary.BigEndian.Uint64(row[header+1:]), nil
}

// listNode is a row.
type listNode struct {
	pos uint64
	run
}

func decodeListNode(pos uint64, b []byte) (listNode, error) {
	if len(b) <= runCountBytes || binary.BigEndian.Uint16(b) == 0 {
		return listNode{}, redis.Corrupt("list node of %d bytes", len(b))
	}
	return listNode{pos, run{int64(binary.BigEndian.Uint16(b)), b[runCountBytes:]}}, nil
}

func (l *list) putNode(t kv.Txn, pos uint64, els [][]byte) {
	b := t.Alloc(runCountBytes + runBytes(els))
	binary.BigEndian.PutUint16(b, uint16(len(els)))
	b = b[:runCountBytes]
	for _, v := range els {
		b = appendElement(b, v)
	}
	l.got = listNode{}
	t.Set(l.listNodeRow(t, pos), b)
}

func (l *list) clearNode(t kv.Txn, pos uint64) {
	l.got = listNode{}
	t.Clear(l.listNodeRow(t, pos))
}

// getNode reads a node; who pops needs it twice.
func (l *list) getNode(t kv.Txn, pos uint64) (n listNode, err error) {
	if l.got.n > 0 && l.got.pos == pos {
		return l.got, nil
	}
	b, err := t.Snapshot().Get(l.listNodeRow(t, pos))
	if err != nil {
		return listNode{}, err
	}
	n, err = decodeListNode(pos, b)
	l.got = n
	return n, err
}

// scan visits the nodes between two positions, both included.
func (l *list) scan(t kv.Txn, from, to uint64, o kv.ScanOptions, visit func(n listNode) bool) error {
	header := len(l.Row)
	var bad error
	err := t.Snapshot().Scan(l.nodeSpan(t, from, to), o, func(key, value []byte) bool {
		var pos uint64
		if pos, bad = positionOf(header, key); bad != nil {
			return false
		}
		var n listNode
		if n, bad = decodeListNode(pos, value); bad != nil {
			return false
		}
		return visit(n)
	})
	if err == nil {
		err = bad
	}
	return err
}

// at finds the node that holds an inner element, counted from the first node's, and how
// many elements of that node are before it.
func (l *list) at(t kv.Txn, index int64) (pos uint64, skip int64, err error) {
	if !l.loose {
		return l.first + uint64(index/l.per)*listStride, index % l.per, nil
	}
	inner := l.inner()
	reverse := index > inner/2
	if reverse {
		index = inner - 1 - index
	}
	found := false
	err = l.scan(t, l.first, l.last, kv.ScanOptions{Reverse: reverse}, func(n listNode) bool {
		if found = index < n.n; !found {
			index -= n.n
			return true
		}
		pos, skip = n.pos, index
		if reverse {
			skip = n.n - 1 - index
		}
		return false
	})
	if err == nil && !found {
		err = redis.Corrupt("list of %d elements has fewer", l.n)
	}
	return pos, skip, err
}

// beside is the position of the node next to one, towards the side; it is there.
func (l *list) beside(t kv.Txn, pos uint64, s Side) (found uint64, err error) {
	switch {
	case !l.loose && s == Right:
		return pos + listStride, nil
	case !l.loose:
		return pos - listStride, nil
	}
	from, to := pos+1, l.last
	if s == Left {
		from, to = l.first, pos-1
	}
	err = l.scan(t, from, to, kv.ScanOptions{Reverse: s == Left, Limit: 1}, func(n listNode) bool {
		found = n.pos
		return false
	})
	if err == nil && found == 0 {
		err = redis.Corrupt("list of %d elements has fewer", l.n)
	}
	return found, err
}

// save writes the header, or deletes a list of which nothing is left.
func (l *list) save(t kv.Txn) { l.saveWith(t, 0, Left) }

// saveWith writes the header with room for more bytes before the left end, or behind the
// right one, and answers that room.
func (l *list) saveWith(t kv.Txn, more int, s Side) (room []byte) {
	if l.n == 0 {
		l.Remove(t)
		l.Event(redis.EventGeneric, "del")
		return nil
	}
	left, right := l.ends[0].b, l.ends[1].b
	h := redis.Header{Kind: redis.TypeList, Enc: encListEnds, ExpireAt: l.Header.ExpireAt, Wide: l.Header.Wide || l.packed > listpackListBytes}
	size := runCountBytes
	if l.inner() > 0 {
		size = listFixed
		if h.Enc = encListNodes; l.loose {
			h.Enc = encListLoose
		}
	}
	record, b := redis.NewRecord(t, &h, size+len(left)+more+len(right))
	if h.Enc == encListEnds {
		binary.BigEndian.PutUint16(b, uint16(l.n))
	} else {
		l.putFixed(b, h.Wide, more, s)
	}
	if s == Left {
		room = b[size : size+more]
		copy(b[size+more:], left)
		copy(b[size+more+len(left):], right)
	} else {
		copy(b[size:], left)
		copy(b[size+len(left):], right)
		room = b[len(b)-more:]
	}
	l.Store(t, &h, record)
	return room
}

func (l *list) putFixed(b []byte, wide bool, more int, s Side) {
	if s == Right {
		more = 0
	}
	binary.BigEndian.PutUint64(b, uint64(l.n))
	binary.BigEndian.PutUint64(b[8:], l.first)
	binary.BigEndian.PutUint64(b[16:], l.last)
	if wide {
		l.packed = 0
	}
	binary.BigEndian.PutUint32(b[24:], uint32(l.packed))
	binary.BigEndian.PutUint16(b[28:], uint16(l.per))
	binary.BigEndian.PutUint16(b[30:], uint16(l.ends[0].n))
	binary.BigEndian.PutUint16(b[32:], uint16(l.ends[1].n))
	binary.BigEndian.PutUint32(b[34:], uint32(len(l.ends[0].b)+more))
}

// settle makes nodes of what is too long for an end, beginning at its inside.
func (l *list) settle(t kv.Txn, s Side, els [][]byte) {
	if s == Right {
		for cut := l.chunk(els, true); cut > 0; cut = l.chunk(els, true) {
			l.addNode(t, Right, els[:cut])
			els = els[cut:]
		}
	} else {
		for cut := l.chunk(els, false); cut > 0; cut = l.chunk(els, false) {
			l.addNode(t, Left, els[len(els)-cut:])
			els = els[:len(els)-cut]
		}
	}
	*l.end(s) = makeRun(t, els)
}

// chunk is how many elements at one end of els become a node; none as long as all of them
// may stay in the header.
func (l *list) chunk(els [][]byte, front bool) int {
	if int64(len(els)) < l.per && runBytes(els) <= 2*l.DB.Options.ListNodeBytes {
		return 0
	}
	size := 0
	for i := range els {
		v := els[i]
		if !front {
			v = els[len(els)-1-i]
		}
		if size += elementBytes(v); i > 0 && (size > 2*l.DB.Options.ListNodeBytes || int64(i) == l.per) {
			return i
		}
	}
	return len(els)
}

// addNode puts a node beside those that are there.
func (l *list) addNode(t kv.Txn, s Side, els [][]byte) {
	switch {
	case l.first > l.last: // there is none
		l.first, l.last = listStart, listStart
	case s == Left:
		l.first -= listStride
	default:
		l.last += listStride
	}
	pos := l.first
	if s == Right {
		pos = l.last
	}
	l.loose = l.loose || int64(len(els)) != l.per
	l.putNode(t, pos, els)
}

// divide gives a list that has only one end nodes, if it is too long; new elements came at
// side s.
func (l *list) divide(t kv.Txn, s Side, els [][]byte) {
	l.n = int64(len(els))
	if l.fits(l.n, runBytes(els)) {
		l.ends = [2]run{makeRun(t, els)}
		return
	}
	l.per, l.loose, l.packed = l.perNode(els), false, listpackFrameBytes
	for _, v := range els {
		l.packed += packedBytes(v)
	}
	l.first, l.last = 1, 0
	l.ends = [2]run{}
	l.settle(t, s, els)
}

// perNode is how many elements a node of a list like this is to have.
func (l *list) perNode(els [][]byte) int64 {
	size, n := 0, int64(0)
	for _, v := range els {
		if size += elementBytes(v); size > l.DB.Options.ListNodeBytes {
			break
		}
		n++
	}
	n = max(1, min(n, int64(l.DB.Options.ListNodeElements)))
	for n&(n-1) != 0 {
		n &= n - 1
	}
	return n
}

// fits reports whether a list of n elements of so many bytes stays in its header.
func (l *list) fits(n int64, bytes int) bool {
	return n <= int64(l.DB.Options.ListNodeElements) && bytes <= l.DB.Options.ListNodeBytes
}

// unite makes one end of both when no node is left.
func (l *list) unite(t kv.Txn) {
	if l.inner() > 0 || l.ends[1].n == 0 {
		return
	}
	both := t.Alloc(len(l.ends[0].b) + len(l.ends[1].b))
	copy(both[copy(both, l.ends[0].b):], l.ends[1].b)
	l.ends = [2]run{{l.n, both}}
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

// unpack takes elements out of the length of Redis's listpack.
func (l *list) unpack(values [][]byte) {
	if l.Header.Wide || l.packed == 0 {
		return
	}
	for _, v := range values {
		l.packed -= packedBytes(v)
	}
}
