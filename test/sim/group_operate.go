package sim

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// operate does what an operator or the placement would: it grows the group, shrinks
// it, and moves the leadership.
func (g *group) operate() {
	m, r := g.leader(nil)
	if m == nil {
		return
	}
	d := r.Descriptor()
	var err error
	n := g.rnd.IntN(4)
	if g.o.Merging {
		n = g.rnd.IntN(16)
	}
	switch {
	case n > 3:
		if err = g.merge(m, r); err != nil {
			return
		}
	case n == 1 && !g.o.Whole:
		if err = g.split(r); err != nil {
			return
		}
	case n == 0:
		to := d.Replicas[g.rnd.IntN(len(d.Replicas))]
		if err = r.TransferLeader(to.Replica); err == nil {
			g.res.Transfers++
		}
	default:
		steps := g.change(d)
		if steps == nil {
			return
		}
		if err = r.ChangeMembers(steps...); err == nil {
			g.res.Changes++
		}
	}
	g.note("operator at node %d, %v: %v", m.id, d.Replicas, err)
}

// split cuts a range before one of the lists.
func (g *group) split(r *replica.Replica) error {
	_, err := r.BeginSplit([]byte(listKey(g.rnd.IntN(lists))), g.ranges+1)
	if err == nil {
		g.ranges++
		g.res.Splits++
	}
	return err
}

// merge unites a range with its left neighbour, if both are led by the same node; or
// lets that be so.
func (g *group) merge(m *member, r *replica.Replica) error {
	d := r.Descriptor()
	for _, l := range m.store.Replicas() {
		ld := l.Descriptor()
		if !bytes.Equal(ld.Span.End, d.Span.Start) {
			continue
		}
		if steps := align(&d, &ld); steps != nil {
			return r.ChangeMembers(steps...)
		}
		if !l.Serving() {
			to, _ := d.On(l.Leader())
			return r.TransferLeader(to.Replica)
		}
		_, err := m.store.BeginMerge(ld.ID, d.ID)
		if err == nil {
			g.res.Freezes++
		}
		return err
	}
	return replica.ErrMerge
}

// align finds a step that brings a range to where another one is.
func align(d, to *base.RangeDescriptor) []replica.Change {
	for _, x := range d.Replicas {
		if x.Role == base.Learner {
			return []replica.Change{{Kind: replica.Promote, Replica: x.Replica}}
		}
	}
	for _, x := range to.Replicas {
		if _, found := d.On(x.Node); !found && x.Role == base.Voter {
			return []replica.Change{{Kind: replica.AddLearner, Replica: d.NextReplica, Node: x.Node}}
		}
	}
	for _, x := range d.Replicas {
		if _, found := to.On(x.Node); !found {
			return []replica.Change{{Kind: replica.Remove, Replica: x.Replica}}
		}
	}
	return nil
}

// change finds a step towards three to five voters.
func (g *group) change(d base.RangeDescriptor) []replica.Change {
	voters := 0
	for _, x := range d.Replicas {
		if x.Role == base.Learner {
			return []replica.Change{{Kind: replica.Promote, Replica: x.Replica}}
		}
		voters++
	}
	for _, m := range g.members {
		if _, found := d.On(m.id); !found && m.store.Replica(d.ID) == nil {
			return []replica.Change{{Kind: replica.AddLearner, Replica: d.NextReplica, Node: m.id}}
		}
	}
	if voters > 3 && g.rnd.IntN(4) == 0 {
		return []replica.Change{{Kind: replica.Remove, Replica: d.Replicas[g.rnd.IntN(voters)].Replica}}
	}
	return nil
}

// ambush makes a step of a node that may have begun a merge, and sometimes has it hand the
// left range over before it knows what became of that. Much happens then before its lease
// of the right range ends.
func (g *group) ambush(m *member) error {
	frozen := m.store.Frozen()
	if err := g.step(m); err != nil || len(frozen) == 0 || g.rnd.IntN(2) == 0 {
		return err
	}
	if l := m.store.Replica(frozen[0].Frozen.Left); l != nil && l.Serving() {
		d := l.Descriptor()
		if l.TransferLeader(d.Replicas[g.rnd.IntN(len(d.Replicas))].Replica) == nil { // refused for itself
			g.slow = g.now + 800
		}
	}
	return nil
}
