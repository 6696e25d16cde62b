package redis

import (
	"encoding/binary"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// Nodes count members, so that a rank costs a few hundred rows whatever the size:
//
//	level 2   │          3000           │        1200        │
//	level 1   │ 200 │ 190 │ … │   210   │ 130 │  …  │  150   │
//	members   aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
//
// A node stands where its first child stood when it was made, and goes up to the next
// node of its level; the first one of a level begins before everything. Where a node
// begins, one of each lower level begins. It says how many members there are below it,
// and how many children. It is cut in two above Options.RankNodeChildren of them, and goes
// when it has no members, unless its parent, which has some, begins there.

// node is a node of a level.
type node struct {
	first    bool // of its level
	at       bound
	members  int64
	children int64
}

const nodeBytes = 12

// levelsMax is more than any set needs; the highest level may have any number of nodes.
const levelsMax = 16

// nodeRow is the key of a node.
func (z *zset) nodeRow(level int, n *node) []byte {
	if n.first {
		row := z.part(z.t, partNode, 1)
		row[len(row)-1] = byte(level)
		return row
	}
	row := z.part(z.t, partNode, 1+8+len(n.at.member))
	at := len(z.row) + 1
	row[at] = byte(level)
	binary.BigEndian.PutUint64(row[at+1:], n.at.key)
	copy(row[at+9:], n.at.member)
	return row
}

// decodeNode reads a node whose key goes on with rest behind the level.
func decodeNode(rest, value []byte) (n node, err error) {
	if len(rest) > 0 && len(rest) < 8 || len(value) != nodeBytes {
		return n, corrupt("node of %d bytes with %d", len(rest), len(value))
	}
	if n.first = len(rest) == 0; !n.first {
		n.at = bound{binary.BigEndian.Uint64(rest), rest[8:]}
	}
	n.members, n.children = int64(binary.BigEndian.Uint64(value)), int64(binary.BigEndian.Uint32(value[8:]))
	if n.members < 0 {
		return n, corrupt("node of %d members", n.members)
	}
	return n, nil
}

func (z *zset) putNode(level int, n *node) {
	value := z.t.Alloc(nodeBytes)
	binary.BigEndian.PutUint64(value, uint64(n.members))
	binary.BigEndian.PutUint32(value[8:], uint32(n.children))
	z.t.Set(z.nodeRow(level, n), value)
}

// nodes visits the nodes of a level from one that begins at from on, up to the one that
// covers to.
func (z *zset) nodes(level int, from *node, to bound, o kv.ScanOptions, visit func(n *node) bool) error {
	var bad error
	at := len(z.row) + 2
	span := base.Span{Start: z.nodeRow(level, from), End: base.Next(z.nodeRow(level, &node{at: to}))}
	err := z.t.Snapshot().Scan(span, o, func(key, value []byte) bool {
		n, err := decodeNode(key[at:], value)
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

// cover is the node of a level that b belongs to.
func (z *zset) cover(level int, b bound) (n node, err error) {
	found := false
	err = z.nodes(level, &node{first: true}, b, kv.ScanOptions{Reverse: true, Limit: 1}, func(x *node) bool {
		n, found = *x, true
		return false
	})
	if err == nil && !found {
		err = corrupt("sorted set without nodes at level %d", level)
	}
	return n, err
}

// path is the nodes of all levels that b belongs to, the lowest first.
func (z *zset) path(b bound) (path [levelsMax]node, err error) {
	for level := 1; level <= z.levels && err == nil; level++ {
		path[level], err = z.cover(level, b)
	}
	return path, err
}

// counted notes that a member was added at b.
func (z *zset) counted(b bound) error {
	path, err := z.path(b)
	if err != nil {
		return err
	}
	more := int64(1) // children of the level
	for level := 1; level <= z.levels; level++ {
		n := &path[level]
		n.members, n.children = n.members+1, n.children+more
		if more, err = z.divide(level, n); err != nil {
			return err
		}
	}
	if z.levels == 0 {
		z.roots = z.n
	} else {
		z.roots += more
	}
	if z.roots <= z.nodeMax() || z.levels == levelsMax-1 {
		return nil
	}
	z.levels++
	top := node{first: true, members: z.n, children: z.roots}
	more, err = z.divide(z.levels, &top)
	z.roots = 1 + more
	return err
}

func (z *zset) nodeMax() int64 { return int64(z.db.o.RankNodeChildren) }

// divide writes a node, or two if it has too many children; more is the number of
// new ones.
func (z *zset) divide(level int, n *node) (more int64, err error) {
	if n.children <= z.nodeMax() {
		z.putNode(level, n)
		return 0, nil
	}
	half := n.children / 2
	right := node{children: n.children - half, members: n.members}
	left := int64(0)
	visit := func(at bound, members int64) bool {
		if left < half {
			left++
			right.members -= members
			return true
		}
		right.at = at
		left++
		return false
	}
	if level == 1 {
		err = z.scan(n.at, lastBound, false, func(m *Scored) bool { return visit(m.bound(), 1) })
	} else {
		err = z.nodes(level-1, n, lastBound, kv.ScanOptions{}, func(c *node) bool { return visit(c.at, c.members) })
	}
	if err == nil && left != half+1 {
		err = corrupt("node of %d children has %d", n.children, left)
	}
	n.members, n.children = n.members-right.members, half
	z.putNode(level, n)
	z.putNode(level, &right)
	return 1, err
}

// uncounted notes that the member at b was removed.
func (z *zset) uncounted(b bound) error {
	path, err := z.path(b)
	if err != nil {
		return err
	}
	gone := 0 // the highest level whose node goes, with those below that begin there
	for level := 1; level <= z.levels; level++ {
		n := &path[level]
		n.members--
		if n.members == 0 && !n.first && (level == z.levels || compareBounds(n.at, path[level+1].at) != 0) {
			gone = level
		}
	}
	for level := 1; level <= z.levels; level++ {
		switch n := &path[level]; {
		case level <= gone:
			for above := level; above <= gone; above++ { // with empty first children
				z.t.Clear(z.nodeRow(level, &path[above]))
			}
			continue
		case level == gone+1:
			n.children--
		}
		z.putNode(level, &path[level])
	}
	switch {
	case z.levels == 0:
		z.roots = z.n
	case gone == z.levels:
		z.roots--
	}
	return nil
}

// rank is the number of members before b.
func (z *zset) rank(b bound) (sum int64, err error) {
	if !z.rows {
		return int64(z.search(b)), nil
	}
	from := node{first: true}
	for level := z.levels; level > 0; level-- {
		var last node
		found := false
		err := z.nodes(level, &from, b, kv.ScanOptions{}, func(n *node) bool {
			sum += last.members
			last, found = *n, true
			return true
		})
		if err != nil {
			return 0, err
		}
		if !found {
			return 0, corrupt("sorted set without nodes at level %d", level)
		}
		from = last
	}
	err = z.scan(from.at, b, false, func(*Scored) bool {
		sum++
		return true
	})
	return sum, err
}

// at is the place of the member with that rank, the end if there is none.
func (z *zset) at(rank int64) (b bound, err error) {
	switch {
	case rank >= z.n:
		return lastBound, nil
	case !z.rows:
		return z.elems[rank].bound(), nil
	}
	from := node{first: true}
	for level := z.levels; level > 0; level-- {
		found := false
		err := z.nodes(level, &from, lastBound, kv.ScanOptions{}, func(n *node) bool {
			if found = rank < n.members; found {
				from = *n
			} else {
				rank -= n.members
			}
			return !found
		})
		if err == nil && !found {
			err = corrupt("a level of %d members less", rank)
		}
		if err != nil {
			return b, err
		}
	}
	b = lastBound
	err = z.scan(from.at, lastBound, false, func(m *Scored) bool {
		if rank == 0 {
			b = m.bound()
		}
		rank--
		return rank >= 0
	})
	return b, err
}
