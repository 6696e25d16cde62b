package rank

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

const (
	// LevelsMax is more levels than any tree needs; the root of the highest one may have any
	// number of children.
	LevelsMax = 8
	// countLevel is added to the level of a row that counts. On disk.
	countLevel = 0x10
	countBytes = 8
	// leafBytes and nodeBytes are from what length on a leaf, and any other node, is cut.
	leafBytes = 512
	nodeBytes = 4 << 10
	// rootTimes is how much larger the root may be, which is seldom written.
	rootTimes = 4
	// nodeChildrenMin is how many places a node has at least that is cut for its bytes.
	nodeChildrenMin = 4
)

// Tree is the elements of one collection. The owner stores Count and Levels.
type Tree struct {
	Txn    kv.Txn
	Reader kv.Reader // of Txn, whose reads leave no conflicts
	Prefix []byte    // of the rows
	// Children is how many elements a leaf may have, and how many children any other node, at
	// least two.
	Children int64

	Count  int64 // of the elements
	Levels int   // above the leaves

	path   [LevelsMax]node // from the leaf at 0 to the root at Levels
	placed bool            // path is one
	first  bool            // ... that First has made: where its nodes end is not known

	other    [LevelsMax]node // the path that Move goes on to, as it was read
	foreseen bool            // other is one
}

// node is a node of the path.
type node struct {
	place []byte // where it begins; empty: the first one of its level
	end   []byte // where the next one begins; nil: it is the last one
	run   []byte
	marks []byte // of run, if it is as it was read
	read  bool   // run is its list
	own   bool   // run is memory that nobody else sees
	dirty bool   // run is not written
	more  int64  // elements that are not counted in its row
}

func (n *node) covers(place []byte) bool {
	return bytes.Compare(place, n.place) >= 0 && (n.end == nil || bytes.Compare(place, n.end) < 0)
}

func corrupt(format string, args ...any) error {
	return errors.Wrapf(base.ErrCorruption, "ranks: "+format, args...)
}

// row is the key of a node's list, or with countLevel of its count.
func (t *Tree) row(level int, place []byte) []byte {
	row := t.Txn.Alloc(len(t.Prefix) + 1 + len(place))
	n := copy(row, t.Prefix)
	row[n] = byte(level)
	copy(row[n+1:], place)
	return row
}

// list reads a node's run, and if it is none of the leaves its marks.
func (t *Tree) list(level int, place []byte) (run, marks []byte, err error) {
	raw, err := t.Reader.Get(t.row(level, place))
	if err != nil || level == 0 {
		return raw, nil, err
	}
	return unmarked(raw)
}

func (t *Tree) run(level int, place []byte) ([]byte, error) {
	run, _, err := t.list(level, place)
	return run, err
}

// counted is what the row of a node says that counts.
func (t *Tree) counted(level int, place []byte) (int64, error) {
	raw, err := t.Reader.Get(t.row(countLevel+level, place))
	if err != nil || raw == nil {
		return 0, err
	}
	n := int64(0)
	if len(raw) == countBytes {
		n = int64(binary.BigEndian.Uint64(raw))
	}
	if n <= 0 {
		return 0, corrupt("a count of %x", raw)
	}
	return n, nil
}

// elementsOf is how many elements a node has, of which all is written.
func (t *Tree) elementsOf(level int, place []byte) (int64, error) {
	if level > 0 {
		return t.counted(level, place)
	}
	run, err := t.run(0, place)
	if err != nil {
		return 0, err
	}
	return count(run)
}

func (t *Tree) put(level int, place, run []byte) {
	row := t.row(level, place)
	switch {
	case len(run) == 0:
		t.Txn.Clear(row)
	case level == 0:
		t.Txn.Set(row, run)
	default:
		t.Txn.Set(row, marked(run, t.Txn.Alloc))
	}
}

func (t *Tree) putCount(level int, place []byte, n int64) {
	row := t.row(countLevel+level, place)
	if n == 0 {
		t.Txn.Clear(row)
		return
	}
	value := t.Txn.Alloc(countBytes)
	binary.BigEndian.PutUint64(value, uint64(n))
	t.Txn.Set(row, value)
}

// seek makes path the one to the leaf of a place.
func (t *Tree) seek(place []byte) error {
	level := t.Levels
	if t.placed && !t.first {
		for level = 0; level < t.Levels && !t.path[level].covers(place); {
			level++
		}
		if level == 0 {
			return nil
		}
	}
	if err := t.flush(level); err != nil {
		return err
	}
	if !t.placed {
		t.path[level] = node{}
	}
	t.placed, t.first = false, false
	for ; ; level-- {
		if err := t.load(level); err != nil {
			return err
		}
		if level == 0 {
			t.placed = true
			return nil
		}
		child, end, err := t.path[level].child(place)
		if err != nil {
			return err
		}
		t.path[level-1] = node{place: child, end: end}
		if other := &t.other[level-1]; t.foreseen && bytes.Equal(other.place, child) {
			t.path[level-1] = *other
		}
	}
}

// load reads the list of a node of the path.
func (t *Tree) load(level int) error { return t.read(level, &t.path[level]) }

func (t *Tree) read(level int, n *node) (err error) {
	if !n.read {
		n.run, n.marks, err = t.list(level, n.place)
		n.read = err == nil
	}
	return err
}

// First visits the elements of the first leaf, until visit ends it. To remove some of them
// then reads little: the nodes above have no say in where they stand.
func (t *Tree) First(visit func(place []byte) bool) error {
	if !t.placed || !t.first {
		if err := t.Flush(); err != nil {
			return err
		}
		for level := range t.Levels + 1 {
			t.path[level] = node{}
		}
		t.placed, t.first = true, true
	}
	if err := t.load(0); err != nil {
		return err
	}
	run := t.path[0].run
	for at := 0; at < len(run); {
		p, end := next(run, at)
		if end == 0 {
			return corruptRun(run, at)
		}
		if !visit(p) {
			break
		}
		at = end
	}
	return nil
}

// child is the child of a node that a place belongs to, and where the next one begins.
func (n *node) child(place []byte) (child, end []byte, err error) {
	at, last, found, err := findMarked(n.run, n.marks, place)
	if err != nil {
		return nil, nil, err
	}
	child, end = n.place, n.end
	if last != nil {
		child = last
	}
	if found {
		child, at = next(n.run, at)
	}
	if p, e := next(n.run, at); e > 0 {
		end = p
	}
	return child, end, nil
}

// Flush writes what is not written of the path.
func (t *Tree) Flush() error { return t.flush(LevelsMax) }

// flush is Flush for the nodes below a level.
func (t *Tree) flush(below int) error {
	for level := 0; t.placed && level < min(below, t.Levels+1); level++ {
		n := &t.path[level]
		if n.dirty {
			t.put(level, n.place, n.run)
			n.dirty, n.own = false, false
		}
		if n.more == 0 {
			continue
		}
		old, err := t.counted(level, n.place)
		if err != nil {
			return err
		}
		if old += n.more; old < 0 {
			return corrupt("a count of %d", old)
		}
		t.putCount(level, n.place, old)
		n.more = 0
	}
	return nil
}

// count notes that there are so many more elements below the path.
func (t *Tree) count(more int64) {
	t.Count += more
	for level := 1; level < t.Levels; level++ {
		t.path[level].more += more
	}
}

// insert adds a place to a node's run, at an offset.
func (t *Tree) insert(n *node, at int, place []byte) {
	w := uvarintLen(len(place))
	size := len(n.run) + w + len(place)
	run := n.run
	if !n.own || cap(run) < size {
		room := size
		if n.own { // once more
			room *= 2
		}
		run = t.Txn.Alloc(room)
		copy(run, n.run[:at])
	}
	run = run[:size]
	copy(run[at+w+len(place):], n.run[at:])
	binary.PutUvarint(run[at:], uint64(len(place)))
	copy(run[at+w:], place)
	n.run, n.marks, n.own, n.dirty = run, nil, true, true
}

// remove removes the place at an offset of a node's run.
func (t *Tree) remove(n *node, at int) {
	_, end := next(n.run, at)
	run := n.run
	if !n.own {
		run = t.Txn.Alloc(len(run) - (end - at))
		copy(run, n.run[:at])
	}
	copy(run[at:], n.run[end:])
	n.run, n.marks, n.own, n.dirty = run[:len(n.run)-(end-at)], nil, true, true
}

// Add adds an element, which is not there.
func (t *Tree) Add(place []byte) error {
	if err := t.seek(place); err != nil {
		return err
	}
	leaf := &t.path[0]
	at, _, found, err := find(leaf.run, place)
	if err == nil && found {
		err = corrupt("%x is there already", place)
	}
	if err != nil {
		return err
	}
	t.insert(leaf, at, place)
	t.count(1)
	level := 0
	for ; ; level++ {
		if over, err := t.over(level); err != nil {
			return err
		} else if !over {
			break
		}
		if at, err = t.divide(level, at); err != nil {
			return err
		}
	}
	if level == 0 {
		return nil
	}
	return t.leave()
}

// leave writes the path, of which the nodes are not what they were.
func (t *Tree) leave() error {
	err := t.Flush()
	t.placed, t.foreseen = false, false
	return err
}

// over reports whether a node of the path is to be cut.
func (t *Tree) over(level int) (bool, error) {
	run, most := t.path[level].run, t.Children
	bytes := leafBytes
	switch {
	case level == LevelsMax-1:
		return false, nil
	case level == t.Levels && level > 0:
		most, bytes = rootTimes*most, rootTimes*nodeBytes
	case level > 0:
		bytes = nodeBytes
	}
	if len(run) <= bytes && int64(len(run)) < 2*most { // a place takes two bytes at least
		return false, nil
	}
	places, err := count(run)
	if level == 0 {
		return places > most || len(run) > bytes && places > 1, err
	}
	return places >= most || len(run) > bytes && places >= nodeChildrenMin, err
}

// divide cuts a node of the path in two and lets the parent know. added is where a place was
// added to its list, at where one was to the parent's.
func (t *Tree) divide(level, added int) (at int, err error) {
	n := &t.path[level]
	cut := middle(n.run, added)
	left, right := n.run[:cut:cut], n.run[cut:]
	place, end := next(right, 0)
	if level == 0 {
		last, err := last(left)
		if err != nil {
			return 0, err
		}
		place = between(last, place)
	} else {
		right = right[end:]
		if err := t.divideCount(level, place, right); err != nil {
			return 0, err
		}
	}
	n.run, n.marks, n.own, n.dirty = left, nil, false, true
	t.put(level, place, right)
	if level == t.Levels {
		t.Levels++
		t.path[t.Levels] = node{read: true}
	}
	parent := &t.path[level+1]
	at, _, found, err := find(parent.run, place)
	if err == nil && found {
		err = corrupt("two nodes of level %d at %x", level, place)
	}
	if err == nil {
		t.insert(parent, at, place)
	}
	return at, err
}

// divideCount writes how many elements the two have that a node of the path becomes, of
// which the right one begins at place.
func (t *Tree) divideCount(level int, place, right []byte) error {
	if err := t.flush(level); err != nil {
		return err
	}
	n := &t.path[level]
	all := t.Count
	if level < t.Levels {
		counted, err := t.counted(level, n.place)
		if err != nil {
			return err
		}
		all = counted + n.more
	}
	children, err := split(right, place)
	if err != nil {
		return err
	}
	moved, err := t.sum(level-1, children)
	if err != nil {
		return err
	}
	n.more = 0
	t.putCount(level, n.place, all-moved)
	t.putCount(level, place, moved)
	return nil
}

// Remove removes an element, which is there.
func (t *Tree) Remove(place []byte) error {
	leaf := &t.path[0]
	at, found, err := 0, false, error(nil)
	if t.placed && t.first {
		at, _, found, err = find(leaf.run, place)
	}
	if err == nil && !found {
		if err = t.seek(place); err == nil {
			at, _, found, err = find(leaf.run, place)
		}
	}
	if err == nil && !found {
		err = corrupt("%x is not there", place)
	}
	if err != nil {
		return err
	}
	t.remove(leaf, at)
	t.count(-1)
	if len(leaf.run) > 0 {
		return nil
	}
	return t.shrink()
}

// Move removes an element and adds another one. It goes down both paths together, so that
// what is read on one of them is waited for once.
func (t *Tree) Move(from, to []byte) error {
	if err := t.foresee(from, to); err != nil {
		return err
	}
	err := t.Remove(from)
	if err == nil {
		err = t.Add(to)
	}
	t.foreseen = false
	return err
}

// foresee makes path the one to an element, and other that to another one.
func (t *Tree) foresee(from, to []byte) error {
	if err := t.leave(); err != nil {
		return err
	}
	t.path[t.Levels] = node{}
	for level := t.Levels; ; level-- {
		a, b := &t.path[level], &t.other[level]
		if err := t.read(level, a); err != nil {
			return err
		}
		if level == t.Levels || bytes.Equal(a.place, b.place) {
			*b = *a
		} else if err := t.read(level, b); err != nil {
			return err
		}
		if level == 0 {
			t.placed, t.first, t.foreseen = true, false, true
			return nil
		}
		var rows [4][]byte
		n := 0
		for i, x := range []*node{a, b} {
			child, end, err := x.child([][]byte{from, to}[i])
			if err != nil {
				return err
			}
			below := node{place: child, end: end}
			if i == 0 {
				t.path[level-1] = below
			} else if t.other[level-1] = below; bytes.Equal(child, t.path[level-1].place) {
				break
			}
			rows[n] = t.row(level-1, child)
			if n++; level > 1 {
				rows[n] = t.row(countLevel+level-1, child)
				n++
			}
		}
		if n > 1 {
			t.Txn.Expect(rows[:n])
		}
	}
}

// shrink takes the nodes of the path that have no elements out of the tree.
func (t *Tree) shrink() error {
	gone := 0 // the highest one
	for ; gone+1 < t.Levels; gone++ {
		counted, err := t.counted(gone+1, t.path[gone+1].place)
		if err != nil {
			return err
		}
		if counted+t.path[gone+1].more > 0 {
			break
		}
	}
	if t.Count > 0 {
		if err := t.load(gone + 1); err != nil {
			return err
		}
		if err := t.Flush(); err != nil {
			return err
		}
		if err := t.cut(gone, &t.path[gone+1]); err != nil {
			return err
		}
	}
	return t.leave()
}

// cut takes a node without elements from its parent. A first child stays, in the place of the
// second one; so do the first nodes of the levels below.
func (t *Tree) cut(level int, parent *node) error {
	place, at := t.path[level].place, 0
	if !bytes.Equal(place, parent.place) {
		at, _, found, err := find(parent.run, place)
		if err == nil && !found {
			err = corrupt("no node of level %d at %x", level, place)
		}
		if err == nil {
			t.remove(parent, at)
		}
		return err
	}
	second, end := next(parent.run, at)
	if end == 0 {
		return corrupt("a node of level %d at %x has nobody", level+1, place)
	}
	t.remove(parent, at)
	for ; level >= 0; level-- {
		run, err := t.run(level, second)
		if err != nil {
			return err
		}
		t.put(level, place, run)
		t.put(level, second, nil)
		if level == 0 {
			break
		}
		n, err := t.counted(level, second)
		if err != nil {
			return err
		}
		t.putCount(level, place, n)
		t.putCount(level, second, 0)
	}
	return nil
}
