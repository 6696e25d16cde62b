package prepared

import (
	"fmt"
	"strings"
)

// outcome is what a client knows about its operation.
type outcome uint8

const (
	running outcome = iota
	happened
	unknown  // it may have happened
	declined // it did not happen
)

// historyOp is an operation as its client saw it.
type historyOp struct {
	name           string
	invoke, ret    int // ret counts for those that happened
	outcome        outcome
	reads          keyMask
	got            values
	present        keyMask // keys of which only the presence was seen
	writes         keyMask
	value          uint8
	invoked, ended bool
}

func (o *historyOp) String() string {
	s := fmt.Sprintf("%s [%d,%d] outcome %d", o.name, o.invoke, o.ret, o.outcome)
	for i := range keyCount {
		if o.reads.has(i) {
			s += fmt.Sprintf(" %s=%d", keyName(i), o.got[i])
		}
	}
	if o.present != 0 {
		s += " present" + o.present.String()
	}
	if o.writes != 0 {
		s += fmt.Sprintf(" writes%v := %d", o.writes, o.value)
	}
	return s
}

// holds reports whether the operation may see the state.
func (o *historyOp) holds(state *values) bool {
	for i := range keyCount {
		if o.reads.has(i) && state[i] != o.got[i] || o.present.has(i) && state[i] == 0 {
			return false
		}
	}
	return true
}

// checkHistory searches an order of the operations that respects real time, that
// explains every read, and that ends in the final state. Unknown operations are
// in it or not (Wing and Gong 1993).
func checkHistory(ops []historyOp, final values) error {
	c := orderSearch{final: final, seen: map[orderState]bool{}}
	for _, o := range ops {
		if o.invoked && o.outcome != declined {
			c.ops = append(c.ops, o)
		}
	}
	if c.search(orderState{}) {
		return nil
	}
	var b strings.Builder
	for i := range c.ops {
		fmt.Fprintf(&b, "\n  %v", &c.ops[i])
	}
	return fmt.Errorf("no order explains these operations and the final state %v:%s", final, b.String())
}

type orderState struct {
	done  uint32
	state values
}

type orderSearch struct {
	ops   []historyOp
	final values
	seen  map[orderState]bool
}

func (c *orderSearch) search(s orderState) bool {
	if c.seen[s] {
		return false
	}
	c.seen[s] = true
	complete := s.state == c.final
	for i := range c.ops {
		if s.done>>i&1 == 0 && c.ops[i].outcome == happened {
			complete = false
		}
	}
	if complete {
		return true
	}
	for i := range c.ops {
		o := &c.ops[i]
		if s.done>>i&1 != 0 || !c.mayBeNext(s, i) || !o.holds(&s.state) {
			continue
		}
		next := orderState{s.done | 1<<i, s.state}
		for k := range keyCount {
			if o.writes.has(k) {
				next.state[k] = o.value
			}
		}
		if c.search(next) {
			return true
		}
	}
	return false
}

// mayBeNext reports whether nothing that is still to come had ended before i began.
func (c *orderSearch) mayBeNext(s orderState, i int) bool {
	for j := range c.ops {
		if s.done>>j&1 == 0 && j != i && c.ops[j].outcome == happened && c.ops[j].ret < c.ops[i].invoke {
			return false
		}
	}
	return true
}
