package operator

import (
	"bytes"
	"math"
	"slices"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/census"
	"github.com/stratadb/strata/internal/cluster/placement"
)

// told is what a node has said of itself and of the ranges that it leads.
type told struct {
	version uint64
	node    census.Node
	ranges  map[base.RangeID]*census.Range
}

// take adds a report, and answers whether it says anything new.
func (t *told) take(r *census.Report) (news bool) {
	news = r.All || len(r.Ranges)+len(r.Gone) > 0 || t.node.Full != r.Node.Full
	if r.All || t.ranges == nil {
		t.ranges = make(map[base.RangeID]*census.Range, len(r.Ranges))
	}
	for i := range r.Ranges {
		t.ranges[r.Ranges[i].Descriptor.ID] = &r.Ranges[i]
	}
	for _, id := range r.Gone {
		delete(t.ranges, id)
	}
	t.version, t.node = r.Version, r.Node
	return news
}

// later reports whether a says more recent things of the same range than b.
func later(a, b *census.Range) bool {
	if a.Term != b.Term {
		return a.Term > b.Term
	}
	return a.Descriptor.Epoch > b.Descriptor.Epoch
}

// gather puts together what all nodes say, by range. A range that nobody leads any more
// is kept as it was last, without a leader, until somebody does, or another range holds
// its keys.
func (o *Operator) gather() {
	now := make(map[base.RangeID]*census.Range, len(o.ranges))
	for _, t := range o.told {
		for id, r := range t.ranges {
			if known := now[id]; known == nil || later(r, known) {
				now[id] = r
			}
		}
	}
	for id, r := range o.ranges {
		known := now[id]
		switch {
		case known != nil && !(later(r, known) && r.Leader == 0):
		case r.Leader == 0:
			now[id] = r
		default:
			orphan := *r
			orphan.Leader = 0
			now[id] = &orphan
		}
	}
	o.ranges = now
	o.order = o.order[:0]
	for _, r := range now {
		o.order = append(o.order, r)
	}
	slices.SortFunc(o.order, func(a, b *census.Range) int {
		if c := bytes.Compare(a.Descriptor.Span.Start, b.Descriptor.Span.Start); c != 0 {
			return c
		}
		return int(a.Descriptor.ID) - int(b.Descriptor.ID)
	})
	o.order = o.order[:o.disjoin()]
}

// disjoin leaves of ranges that hold the same keys the one with the higher epoch: nodes
// are asked one after another, and in between a range may be cut, or two be united. It
// answers how many are left, which are in front.
func (o *Operator) disjoin() (n int) {
	for _, r := range o.order {
		for n > 0 && o.order[n-1].Descriptor.Span.Overlaps(r.Descriptor.Span) {
			other := o.order[n-1]
			if r.Descriptor.Epoch <= other.Descriptor.Epoch {
				r, other = other, r
			}
			if other.Leader == 0 {
				delete(o.ranges, other.Descriptor.ID)
			}
			n--
		}
		o.order[n] = r
		n++
	}
	clear(o.order[n:])
	return n
}

// picture is the cluster as placement sees it.
func (o *Operator) picture(now time.Time) *placement.Snapshot {
	snap := &placement.Snapshot{Now: stamp(now), Settings: o.settings, Pins: o.wishes.Pins, Bounds: o.wishes.Bounds,
		Ranges: make([]placement.Range, 0, len(o.order))}
	for _, id := range o.nodes {
		st := o.liveness(id, now)
		n := placement.Node{ID: id, Liveness: st.live, Since: stamp(st.since), Standing: o.cluster.Standing(id), Locality: o.cluster.Locality(id)}
		if t := o.told[id]; t != nil {
			n.CapacityBytes, n.UsedBytes, n.Full = t.node.CapacityBytes, t.node.UsedBytes, t.node.Full
		}
		snap.Nodes = append(snap.Nodes, n)
	}
	if !o.shares(snap) {
		snap.Settings.SplitOps = math.Inf(1)
	}
	for _, r := range o.order {
		if len(r.Descriptor.Replicas) > 0 && !r.Descriptor.Span.Empty() {
			snap.Ranges = append(snap.Ranges, o.rangeOf(r, now))
		}
	}
	return snap
}

// shares reports whether there is a node that could take a part of another's load. For one
// node alone several ranges are more work than one.
func (o *Operator) shares(snap *placement.Snapshot) bool {
	others := 0
	for i := range snap.Nodes {
		if n := &snap.Nodes[i]; n.ID != o.self && n.Liveness == placement.Up && n.Standing == placement.Active {
			others++
		}
	}
	return others > 0
}

func (o *Operator) rangeOf(r *census.Range, now time.Time) placement.Range {
	d := &r.Descriptor
	m := o.memoryOf(d.ID)
	m.seen = now
	x := placement.Range{ID: d.ID, Epoch: d.Epoch, Span: d.Span, NextReplica: d.NextReplica, Leader: r.Leader,
		Bytes: r.Bytes, Reads: r.Reads, Writes: r.Writes, MiddleKey: r.Middle, Hot: r.Hot,
		LastSplit: m.split, LastMerge: m.merge, LastMove: m.move}
	if m.pending.Kind != 0 && (m.pending.Epoch != d.Epoch || m.leader != r.Leader || now.After(m.until)) {
		m.pending = placement.Operator{}
	}
	x.Pending = m.pending
	if m.epoch != d.Epoch {
		m.epoch = d.Epoch
		m.follow(d, stamp(now))
	}
	for _, p := range d.Replicas {
		c := m.copies[p.Replica]
		x.Replicas = append(x.Replicas, placement.Replica{ID: p.Replica, Node: p.Node, Type: types[p.Role], Added: c.added,
			Replaces: c.replaces, CaughtUp: p.Role != base.Learner || slices.Contains(r.CaughtUp, p.Replica)})
	}
	return x
}

var types = map[base.ReplicaRole]placement.ReplicaType{
	base.Voter: placement.Voter, base.Learner: placement.Learner, base.Incoming: placement.Incoming,
	base.Outgoing: placement.Outgoing, base.Demoting: placement.Outgoing,
}

// memory is what the operator remembers of a range. Another one that takes over does
// without: cool-downs begin when it hears of the range, and a learner finds another purpose or is removed.
type memory struct {
	seen               time.Time
	epoch              base.Epoch
	copies             map[base.ReplicaID]copyMemory
	split, merge, move base.Stamp
	pending            placement.Operator
	leader             base.ReplicaID // when it began
	until              time.Time
}

type copyMemory struct {
	added    base.Stamp
	replaces base.ReplicaID // of a learner
}

// pendingTime is how long an operator may take to show in the range; then it counts as
// lost.
const pendingTime = 5 * time.Second

func (o *Operator) memoryOf(id base.RangeID) *memory {
	m := o.memory[id]
	if m == nil {
		m = &memory{seen: o.now(), merge: stamp(o.now()), copies: map[base.ReplicaID]copyMemory{}}
		o.memory[id] = m
	}
	return m
}

// follow forgets replicas that are gone, and notes when others came.
func (m *memory) follow(d *base.RangeDescriptor, now base.Stamp) {
	for id := range m.copies {
		if _, found := d.Replica(id); !found && id < d.NextReplica {
			delete(m.copies, id)
		}
	}
	for _, r := range d.Replicas {
		c := m.copies[r.Replica]
		if c.added == 0 {
			c.added = now
		}
		if r.Role != base.Learner {
			c.replaces = 0
		}
		m.copies[r.Replica] = c
	}
}

// began notes an operator that was carried out, or has at least begun.
func (m *memory) began(op *placement.Operator, leader base.ReplicaID, now time.Time) {
	at := stamp(now)
	switch op.Kind {
	case placement.AddLearner:
		m.move = at
		m.copies[op.Replica] = copyMemory{replaces: op.Replaces}
	case placement.TransferLeader:
		m.move = at
	case placement.Split:
		m.split = at
		return // it is over
	case placement.Merge:
		m.merge = at
		return
	case placement.LeaveJoint:
		return
	}
	m.pending, m.leader, m.until = *op, leader, now.Add(pendingTime)
}

func stamp(t time.Time) base.Stamp { return base.Stamp(max(t.UnixMicro(), 0)) }
