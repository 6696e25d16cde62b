package rank

import (
	"bytes"
	"slices"
)

// announced is how many nodes that will be read are announced at a time.
const announced = 16

// announce tells which children of a level will be read next. It is called before each but
// the first one, since most who read do not come further; i counts them. So level may be one
// of rows that count.
func (t *Tree) announce(level, i int, children [][]byte) {
	if i%announced != 1 || len(children) < 2 {
		return
	}
	rows := make([][]byte, 0, announced)
	for _, c := range children[:min(announced, len(children))] {
		rows = append(rows, t.row(level, c))
	}
	t.Txn.Expect(rows)
}

// children are the places of a node's children.
func (t *Tree) children(level int, place []byte) ([][]byte, error) {
	run, err := t.run(level, place)
	if err != nil {
		return nil, err
	}
	return split(run, place)
}

// Scan visits the places from lo on and before hi, nil for the end, in order or in reverse,
// until visit ends it.
func (t *Tree) Scan(lo, hi []byte, reverse bool, visit func(place []byte) bool) error {
	if err := t.Flush(); err != nil {
		return err
	}
	s := scan{t, lo, hi, visit}
	var err error
	if reverse {
		_, err = s.backward(t.Levels, nil)
	} else {
		_, err = s.forward(t.Levels, nil)
	}
	return err
}

type scan struct {
	*Tree
	lo, hi []byte
	visit  func(place []byte) bool
}

// before reports whether a place is before the end of what is asked for.
func (s *scan) before(place []byte) bool { return s.hi == nil || bytes.Compare(place, s.hi) < 0 }

// forward visits what is below a node, more: up to its end.
func (s *scan) forward(level int, place []byte) (more bool, err error) {
	run, err := s.run(level, place)
	if err != nil {
		return false, err
	}
	if level == 0 {
		return s.elements(run)
	}
	child := place
	at, last, found, err := find(run, s.lo)
	if last != nil {
		child = last
	}
	if found {
		child, at = next(run, at)
	}
	for i := 0; err == nil && s.before(child); i++ {
		if i%announced == 1 {
			var ahead [][]byte
			if ahead, err = split(run[at:], child); err != nil {
				break
			}
			s.announce(level-1, i, ahead)
		}
		if more, err = s.forward(level-1, child); err != nil || !more {
			return false, err
		}
		if at == len(run) {
			return true, nil
		}
		if child, at = next(run, at); at == 0 {
			err = corruptRun(run, at)
		}
	}
	return false, err
}

// elements visits those of a leaf.
func (s *scan) elements(run []byte) (more bool, err error) {
	at, _, _, err := find(run, s.lo)
	for err == nil && at < len(run) {
		p, end := next(run, at)
		if end == 0 {
			return false, corruptRun(run, at)
		}
		if !s.before(p) || !s.visit(p) {
			return false, nil
		}
		at = end
	}
	return err == nil, err
}

// backward is forward in reverse, from the end of the node on.
func (s *scan) backward(level int, place []byte) (more bool, err error) {
	run, err := s.run(level, place)
	if err != nil {
		return false, err
	}
	var list [][]byte
	if level == 0 {
		list, err = split(run)
	} else {
		list, err = split(run, place)
	}
	for i := 0; err == nil && len(list) > 0; {
		last := list[len(list)-1]
		switch {
		case !s.before(last):
			list = list[:len(list)-1]
			continue
		case level > 0:
			if i%announced == 1 {
				ahead := slices.Clone(list[max(0, len(list)-announced):])
				slices.Reverse(ahead)
				s.announce(level-1, i, ahead)
			}
			more, err = s.backward(level-1, last)
			more = more && bytes.Compare(s.lo, last) < 0
		default:
			more = bytes.Compare(s.lo, last) <= 0 && s.visit(last)
		}
		if err != nil || !more {
			return false, err
		}
		list = list[:len(list)-1]
		i++
	}
	return err == nil, err
}

// total is how many elements a node has.
func (t *Tree) total(level int, place []byte) (int64, error) {
	if level == t.Levels {
		return t.Count, nil
	}
	return t.elementsOf(level, place)
}

// sum is how many elements nodes have together.
func (t *Tree) sum(level int, places [][]byte) (sum int64, err error) {
	row := level
	if level > 0 {
		row += countLevel
	}
	for i, p := range places {
		t.announce(row, i+1, places[i:])
		n, err := t.elementsOf(level, p)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// Before is the number of elements before a place.
func (t *Tree) Before(place []byte) (before int64, err error) {
	if err := t.Flush(); err != nil {
		return 0, err
	}
	var at []byte
	for level := t.Levels; level > 0; level-- {
		children, err := t.children(level, at)
		if err != nil {
			return 0, err
		}
		i, found := slices.BinarySearchFunc(children[1:], place, bytes.Compare)
		if found {
			i++
		}
		sum := int64(0)
		if i <= len(children)/2 {
			sum, err = t.sum(level-1, children[:i])
		} else { // there are fewer from there on
			var all, rest int64
			if all, err = t.total(level, at); err == nil {
				rest, err = t.sum(level-1, children[i:])
			}
			sum = all - rest
		}
		if err != nil {
			return 0, err
		}
		before, at = before+sum, children[i]
	}
	run, err := t.run(0, at)
	if err != nil {
		return 0, err
	}
	end, _, _, err := find(run, place)
	if err != nil {
		return 0, err
	}
	n, err := count(run[:end])
	return before + n, err
}

// At is the place of the element with that rank, which there must be.
func (t *Tree) At(rank int64) (place []byte, err error) {
	if err := t.Flush(); err != nil {
		return nil, err
	}
	var at []byte
	for level := t.Levels; level > 0; level-- {
		if at, rank, err = t.childAt(level, at, rank); err != nil {
			return nil, err
		}
	}
	run, err := t.run(0, at)
	if err != nil {
		return nil, err
	}
	places, err := split(run)
	if err == nil && rank >= int64(len(places)) {
		err = corrupt("%d elements less", rank-int64(len(places))+1)
	}
	if err != nil {
		return nil, err
	}
	return places[rank], nil
}

// childAt is the child of a node that has the element with a rank below it, and the rank below
// the child. It counts from the nearer end.
func (t *Tree) childAt(level int, place []byte, rank int64) (child []byte, left int64, err error) {
	children, err := t.children(level, place)
	if err != nil {
		return nil, 0, err
	}
	all, err := t.total(level, place)
	if err != nil {
		return nil, 0, err
	}
	behind := rank >= all/2
	if behind {
		slices.Reverse(children)
		rank = all - 1 - rank
	}
	row := level - 1
	if row > 0 {
		row += countLevel
	}
	for i, c := range children {
		t.announce(row, i+1, children[i:])
		n, err := t.elementsOf(level-1, c)
		if err != nil {
			return nil, 0, err
		}
		if rank < n {
			if behind {
				rank = n - 1 - rank
			}
			return c, rank, nil
		}
		rank -= n
	}
	return nil, 0, corrupt("a node of level %d has %d elements less", level, rank+1)
}
