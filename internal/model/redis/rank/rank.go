// Package rank counts the elements of an ordered collection of rows, so that a rank costs a few
// hundred rows whatever the size:
//
//	level 2   │          3000           │        1200        │
//	level 1   │ 200 │ 190 │ … │   210   │ 130 │  …  │  150   │
//	elements  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
//
// A node stands where its first child stood when it was made, and goes up to the next
// node of its level; the first one of a level begins before everything. Where a node
// begins, one of each lower level begins. It says how many elements there are below it,
// and how many children. It is cut in two above Tree.Max of them, and goes when it has no
// elements, unless its parent, which has some, begins there.
//
// A place is where an element stands: bytes that sort as the elements do, none of them
// empty. A node is a row:
//
//	<prefix> <level 1> [<place>]   elements 8, children 4
package rank

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// LevelsMax is more levels than any tree needs; the highest may have any number of nodes.
const LevelsMax = 16

// Tree is the nodes above the elements of one collection. The owner stores Count, Levels and
// Roots.
type Tree struct {
	Txn    kv.Txn
	Prefix []byte // of the nodes' rows
	Max    int64  // how many children a node may have, at least two
	// Elements visits the places of the elements from one on, until visit ends it.
	Elements func(from []byte, visit func(place []byte) bool) error

	Count  int64 // of the elements
	Levels int
	Roots  int64 // nodes of the highest level; elements where there is none
}

// Node is a node of a level.
type Node struct {
	Place    []byte // empty: the first one of its level
	Elements int64
	Children int64
}

const nodeBytes = 12

func corrupt(format string, args ...any) error {
	return errors.Wrapf(base.ErrCorruption, "ranks: "+format, args...)
}

// row is the key of a node.
func (t *Tree) row(level int, place []byte) []byte {
	row := t.Txn.Alloc(len(t.Prefix) + 1 + len(place))
	n := copy(row, t.Prefix)
	row[n] = byte(level)
	copy(row[n+1:], place)
	return row
}

// Decode reads a node whose key goes on with rest behind the prefix.
func Decode(rest, value []byte) (level int, n Node, err error) {
	if len(rest) == 0 || rest[0] == 0 || rest[0] >= LevelsMax || len(value) != nodeBytes {
		return 0, n, corrupt("node of %d bytes with %d", len(rest), len(value))
	}
	n = Node{rest[1:], int64(binary.BigEndian.Uint64(value)), int64(binary.BigEndian.Uint32(value[8:]))}
	if n.Elements < 0 {
		return 0, n, corrupt("node of %d elements", n.Elements)
	}
	return int(rest[0]), n, nil
}

// Put writes a node.
func (t *Tree) Put(level int, n *Node) {
	value := t.Txn.Alloc(nodeBytes)
	binary.BigEndian.PutUint64(value, uint64(n.Elements))
	binary.BigEndian.PutUint32(value[8:], uint32(n.Children))
	t.Txn.Set(t.row(level, n.Place), value)
}

// Nodes visits the nodes of a level from the one at from on; to, if it is not nil, is what
// the last one covers.
func (t *Tree) Nodes(level int, from, to []byte, o kv.ScanOptions, visit func(n *Node) bool) error {
	span := base.Span{Start: t.row(level, from), End: t.row(level+1, nil)}
	if to != nil {
		span.End = base.Next(t.row(level, to))
	}
	var bad error
	err := t.Txn.Snapshot().Scan(span, o, func(key, value []byte) bool {
		_, n, err := Decode(key[len(t.Prefix):], value)
		if err != nil {
			bad = err
			return false
		}
		return visit(&n)
	})
	if err == nil {
		err = bad
	}
	return err
}

// path is the nodes of all levels that a place belongs to, the lowest first.
func (t *Tree) path(place []byte) (path [LevelsMax]Node, err error) {
	for level := 1; level <= t.Levels && err == nil; level++ {
		found := false
		err = t.Nodes(level, nil, place, kv.ScanOptions{Reverse: true, Limit: 1}, func(n *Node) bool {
			path[level], found = *n, true
			return false
		})
		if err == nil && !found {
			err = corrupt("no nodes at level %d", level)
		}
	}
	return path, err
}

// Added notes an element that was added.
func (t *Tree) Added(place []byte) error {
	path, err := t.path(place)
	if err != nil {
		return err
	}
	t.Count++
	more := int64(1) // children of the level
	for level := 1; level <= t.Levels; level++ {
		n := &path[level]
		n.Elements, n.Children = n.Elements+1, n.Children+more
		if more, err = t.divide(level, n); err != nil {
			return err
		}
	}
	if t.Roots += more; t.Roots <= t.Max || t.Levels == LevelsMax-1 {
		return nil
	}
	t.Levels++
	more, err = t.divide(t.Levels, &Node{Elements: t.Count, Children: t.Roots})
	t.Roots = 1 + more
	return err
}

// divide writes a node, or two if it has too many children; more is the number of
// new ones.
func (t *Tree) divide(level int, n *Node) (more int64, err error) {
	if n.Children <= t.Max {
		t.Put(level, n)
		return 0, nil
	}
	half := n.Children / 2
	right := Node{Children: n.Children - half, Elements: n.Elements}
	left := int64(0)
	visit := func(place []byte, elements int64) bool {
		if left++; left > half {
			right.Place = place
			return false
		}
		right.Elements -= elements
		return true
	}
	if level == 1 {
		err = t.Elements(n.Place, func(place []byte) bool { return visit(place, 1) })
	} else {
		err = t.Nodes(level-1, n.Place, nil, kv.ScanOptions{}, func(c *Node) bool { return visit(c.Place, c.Elements) })
	}
	if err == nil && right.Place == nil {
		err = corrupt("node of %d children has %d", n.Children, left)
	}
	n.Elements, n.Children = n.Elements-right.Elements, half
	t.Put(level, n)
	t.Put(level, &right)
	return 1, err
}

// Removed notes an element that was removed.
func (t *Tree) Removed(place []byte) error {
	path, err := t.path(place)
	if err != nil {
		return err
	}
	t.Count--
	gone := 0 // the highest level whose node goes, with those below that begin there
	for level := 1; level <= t.Levels; level++ {
		n := &path[level]
		n.Elements--
		if n.Elements == 0 && len(n.Place) > 0 && (level == t.Levels || !bytes.Equal(n.Place, path[level+1].Place)) {
			gone = level
		}
	}
	for level := 1; level <= t.Levels; level++ {
		switch n := &path[level]; {
		case level <= gone:
			for above := level; above <= gone; above++ { // with empty first children
				t.Txn.Clear(t.row(level, path[above].Place))
			}
			continue
		case level == gone+1:
			n.Children--
		}
		t.Put(level, &path[level])
	}
	if gone == t.Levels {
		t.Roots--
	}
	return nil
}

// Before is the number of elements before a place.
func (t *Tree) Before(place []byte) (sum int64, err error) {
	var from []byte
	for level := t.Levels; level > 0; level-- {
		var last Node
		found := false
		if err := t.Nodes(level, from, place, kv.ScanOptions{}, func(n *Node) bool {
			sum += last.Elements
			last, found = *n, true
			return true
		}); err != nil {
			return 0, err
		}
		if !found {
			return 0, corrupt("no nodes at level %d", level)
		}
		from = last.Place
	}
	err = t.Elements(from, func(at []byte) bool {
		if bytes.Compare(at, place) >= 0 {
			return false
		}
		sum++
		return true
	})
	return sum, err
}

// At is the place of the element with that rank, which there must be.
func (t *Tree) At(rank int64) (place []byte, err error) {
	var from []byte
	for level := t.Levels; level > 0; level-- {
		found := false
		err := t.Nodes(level, from, nil, kv.ScanOptions{}, func(n *Node) bool {
			if found = rank < n.Elements; found {
				from = n.Place
			} else {
				rank -= n.Elements
			}
			return !found
		})
		if err == nil && !found {
			err = corrupt("a level of %d elements less", rank)
		}
		if err != nil {
			return nil, err
		}
	}
	err = t.Elements(from, func(at []byte) bool {
		place = at
		rank--
		return rank >= 0
	})
	if err == nil && rank >= 0 {
		err = corrupt("%d elements less", rank+1)
	}
	return place, err
}
