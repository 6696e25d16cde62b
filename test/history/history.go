// Package history checks what clients saw against strict serializability.
//
// The workload appends unique numbers to lists, so the final lists give the order
// of all writes (the idea of the Elle paper, Kingsbury and Alvaro 2020). From
// that order and from what was read follow edges between transactions: write to
// later write, write to reader, reader to the write that it missed, and
// everything that had ended before something else began. The history is strictly
// serializable iff the graph has no cycle.
package history

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Outcome is what a client knows about its transaction.
type Outcome uint8

const (
	// OK: it committed.
	OK Outcome = iota
	// Unknown: it may have committed.
	Unknown
	// Failed: it did not commit.
	Failed
)

// Op is a transaction: it read some lists and appended to some.
type Op struct {
	ID             int
	Invoke, Return int64 // times; Return is ignored unless the outcome is OK
	Outcome        Outcome
	Reads          map[string][]uint32 // the whole list, before the own appends
	Appends        map[string]uint32
}

func (o *Op) String() string {
	return fmt.Sprintf("T%d[%d,%d] outcome %d reads %v appends %v", o.ID, o.Invoke, o.Return, o.Outcome, o.Reads, o.Appends)
}

// Check reports the first anomaly it finds. final are the lists in the end.
func Check(ops []*Op, final map[string][]uint32) error {
	c := checker{ops: ops, final: final, writer: map[uint32]*Op{}}
	if err := c.appends(); err != nil {
		return err
	}
	if err := c.reads(); err != nil {
		return err
	}
	return c.cycles()
}

type checker struct {
	ops    []*Op
	final  map[string][]uint32
	writer map[uint32]*Op
	live   []*Op // those that are part of the order
}

// appends checks that every acknowledged append is there once, no refused one
// is, and that a transaction's appends are there all or not at all.
func (c *checker) appends() error {
	for _, o := range c.ops {
		for _, id := range o.Appends {
			c.writer[id] = o
		}
	}
	present := map[uint32]bool{}
	for key, list := range c.final {
		for _, id := range list {
			if present[id] {
				return fmt.Errorf("%d was appended twice to %s", id, key)
			}
			present[id] = true
			if w := c.writer[id]; w == nil || w.Appends[key] != id {
				return fmt.Errorf("%s holds %d, which nobody appended", key, id)
			}
		}
	}
	for _, o := range c.ops {
		n := 0
		for _, id := range o.Appends {
			if present[id] {
				n++
			}
		}
		switch {
		case o.Outcome == OK && n < len(o.Appends):
			return fmt.Errorf("acknowledged write lost: %v", o)
		case o.Outcome == Failed && n > 0:
			return fmt.Errorf("refused write is there: %v", o)
		case n > 0 && n < len(o.Appends):
			return fmt.Errorf("half a transaction: %v", o)
		}
		if o.Outcome == OK || n > 0 {
			c.live = append(c.live, o)
		}
	}
	return nil
}

// reads checks that every list that was read is the beginning of the final one.
func (c *checker) reads() error {
	for _, o := range c.live {
		if o.Outcome != OK {
			continue
		}
		for key, list := range o.Reads {
			full := c.final[key]
			if len(list) > len(full) || !slices.Equal(list, full[:len(list)]) {
				return fmt.Errorf("%v: %s was never %v; in the end it is %v", o, key, list, full)
			}
		}
	}
	return nil
}

// cycles builds the graph and searches it. Besides the transactions it has a node
// per moment at which one ended: ends lead into the moment, moments lead to later
// ones, and a moment leads to what began after it.
func (c *checker) cycles() error {
	n := len(c.live)
	node := map[*Op]int{}
	for i, o := range c.live {
		node[o] = i
	}
	var ends []int64
	for _, o := range c.live {
		if o.Outcome == OK {
			ends = append(ends, o.Return)
		}
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	edges := make([][]int, n+len(ends))
	for i := 1; i < len(ends); i++ {
		edges[n+i-1] = append(edges[n+i-1], n+i)
	}
	for i, o := range c.live {
		if o.Outcome == OK {
			at, _ := slices.BinarySearch(ends, o.Return)
			edges[i] = append(edges[i], n+at)
		}
		before := sort.Search(len(ends), func(k int) bool { return ends[k] >= o.Invoke })
		if before > 0 {
			edges[n+before-1] = append(edges[n+before-1], i)
		}
	}
	c.dataEdges(node, edges)
	return c.report(edges)
}

func (c *checker) dataEdges(node map[*Op]int, edges [][]int) {
	add := func(from, to *Op) {
		if from != to {
			edges[node[from]] = append(edges[node[from]], node[to])
		}
	}
	for _, list := range c.final {
		for i := 1; i < len(list); i++ {
			add(c.writer[list[i-1]], c.writer[list[i]])
		}
	}
	for _, o := range c.live {
		if o.Outcome != OK {
			continue
		}
		for key, list := range o.Reads {
			full := c.final[key]
			if len(list) > 0 {
				add(c.writer[full[len(list)-1]], o)
			}
			if len(list) < len(full) {
				add(o, c.writer[full[len(list)]])
			}
		}
	}
}

// report finds strongly connected components (Tarjan, without recursion).
func (c *checker) report(edges [][]int) error {
	const unseen = -1
	index, low := make([]int, len(edges)), make([]int, len(edges))
	onStack := make([]bool, len(edges))
	for i := range index {
		index[i] = unseen
	}
	var stack []int
	next := 0
	type frame struct{ v, edge int }
	for root := range edges {
		if index[root] != unseen {
			continue
		}
		frames := []frame{{root, 0}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			if f.edge == 0 {
				index[f.v], low[f.v] = next, next
				next++
				stack = append(stack, f.v)
				onStack[f.v] = true
			}
			if f.edge < len(edges[f.v]) {
				to := edges[f.v][f.edge]
				f.edge++
				if index[to] == unseen {
					frames = append(frames, frame{to, 0})
				} else if onStack[to] {
					low[f.v] = min(low[f.v], index[to])
				}
				continue
			}
			v := f.v
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				p := frames[len(frames)-1].v
				low[p] = min(low[p], low[v])
			}
			if low[v] != index[v] {
				continue
			}
			var component []int
			for {
				w := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				onStack[w] = false
				component = append(component, w)
				if w == v {
					break
				}
			}
			if err := c.describe(component); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) describe(component []int) error {
	if len(component) < 2 {
		return nil
	}
	slices.Sort(component)
	var b strings.Builder
	for _, v := range component {
		if v < len(c.live) {
			fmt.Fprintf(&b, "\n  %v", c.live[v])
		}
	}
	return fmt.Errorf("these transactions have no order:%s", b.String())
}
