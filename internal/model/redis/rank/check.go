package rank

import "bytes"

// Check visits all elements in their order, and returns how many rows the tree has. An error
// says what contradicts what.
func (t *Tree) Check(visit func(place []byte)) (rows int64, err error) {
	c := check{Tree: t, visit: visit}
	n, err := c.node(t.Levels, nil, nil)
	if err == nil && n != t.Count {
		err = corrupt("%d elements, not %d", n, t.Count)
	}
	return c.rows, err
}

type check struct {
	*Tree
	visit func(place []byte)
	rows  int64
}

// node checks a node that ends at end, and returns how many elements it has.
func (c *check) node(level int, place, end []byte) (n int64, err error) {
	run, marks, err := c.list(level, place)
	if err != nil {
		return 0, err
	}
	if len(run) > 0 {
		c.rows++
	}
	if level > 0 && len(run) > 0 {
		if want := marked(run, c.Txn.Alloc); !bytes.Equal(want[len(run):len(want)-2], marks) {
			return 0, corrupt("marks of another list at %d %x", level, place)
		}
	}
	places, err := split(run)
	if err != nil {
		return 0, err
	}
	last := place
	for i, p := range places {
		order := bytes.Compare(last, p)
		if len(p) == 0 || order > 0 || order == 0 && (level > 0 || i > 0) || end != nil && bytes.Compare(p, end) >= 0 {
			return 0, corrupt("%x is out of order at %d %x", p, level, place)
		}
		if last = p; level == 0 {
			c.visit(p)
		}
	}
	if level == 0 {
		return int64(len(places)), nil
	}
	places = append([][]byte{place}, places...)
	for i, p := range places {
		behind := end
		if i+1 < len(places) {
			behind = places[i+1]
		}
		k, err := c.node(level-1, p, behind)
		if err != nil {
			return 0, err
		}
		if n += k; k == 0 && c.Count > 0 {
			return 0, corrupt("a node without elements at %d %x", level-1, p)
		}
	}
	if level == c.Levels {
		return n, nil
	}
	counted, err := c.counted(level, place)
	if err == nil && counted != n {
		err = corrupt("%d elements at %d %x, not %d", n, level, place, counted)
	}
	if counted > 0 {
		c.rows++
	}
	return n, err
}
