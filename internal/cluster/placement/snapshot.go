package placement

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/placement/load"
)

// Snapshot is everything that a decision depends on. Decide and Explain read it
// and change nothing in it.
type Snapshot struct {
	// Now is a stamp of the oracle. All other stamps are compared with it only.
	Now      base.Stamp
	Settings Settings
	// Nodes are in order of their ids; a node is one process with one store.
	Nodes []Node
	// Ranges are in order of their spans, which do not overlap.
	Ranges []Range
	// Pins may overlap; see Pin.
	Pins []Pin
	// Bounds are the keys, in order, at which ranges are and stay cut, since somebody has
	// cut there by hand.
	Bounds [][]byte
}

// Liveness is what the heartbeats of a node say. The zero value is no liveness.
type Liveness uint8

const (
	// Up: heartbeats arrive.
	Up Liveness = 1
	// Suspect: some are missing; the node counts neither as live nor as dead.
	Suspect Liveness = 2
	// Dead: none has come for longer than any pause that is usual.
	Dead Liveness = 3
)

// Standing is what the operators of the cluster want of a node.
type Standing uint8

const (
	// Active nodes hold replicas.
	Active Standing = 1
	// Draining nodes give their leaders and replicas away and may come back.
	Draining Standing = 2
	// Decommissioning nodes do the same and will be removed: the number of
	// replicas no longer counts on them.
	Decommissioning Standing = 3
	// Removed nodes never come back. A node that is not in the snapshot is one.
	Removed Standing = 4
)

// Tier is one step of a node's place, for example region=eu.
type Tier struct{ Key, Value string }

// Locality is where a node is, from the widest failure domain to the narrowest.
type Locality []Tier

// String renders the locality as "region=eu,zone=b".
func (l Locality) String() string {
	parts := make([]string, len(l))
	for i, t := range l {
		parts[i] = t.Key + "=" + t.Value
	}
	return strings.Join(parts, ",")
}

// ParseLocality reads what String renders; the empty text is no locality.
func ParseLocality(text string) (l Locality, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, found := strings.Cut(part, "=")
		if !found || key == "" || value == "" || strings.ContainsAny(part, " \t\r\n") {
			return nil, errors.Newf("%q is not of the form key=value", part)
		}
		if slices.ContainsFunc(l, func(t Tier) bool { return t.Key == key }) {
			return nil, errors.Newf("%q is given twice", key)
		}
		l = append(l, Tier{key, value})
	}
	if len(l) > tiersMax {
		return nil, errors.Newf("more than %d tiers", tiersMax)
	}
	return l, nil
}

// has reports whether every tier asked for is one of the locality's.
func (l Locality) has(want []Tier) bool {
	return !slices.ContainsFunc(want, func(t Tier) bool { return !slices.Contains(l, t) })
}

// Node is a store as the others see it. What it holds and leads, and the load of
// that, follow from the ranges.
type Node struct {
	ID       base.NodeID
	Locality Locality
	Liveness Liveness
	// Since is when Liveness last changed.
	Since    base.Stamp
	Standing Standing
	// CapacityBytes is zero where it is not known.
	CapacityBytes, UsedBytes int64
	// Full: the store refuses writes that add data.
	Full bool
	// CPU is the used share of the node's processors, 0 to 1.
	CPU float64
}

// ReplicaType is a replica's part in its range's Raft configuration.
type ReplicaType uint8

const (
	// Voter votes, in both configurations if there are two.
	Voter ReplicaType = 1
	// Learner receives the log and does not vote.
	Learner ReplicaType = 2
	// Incoming votes in the new configuration of a joint one.
	Incoming ReplicaType = 3
	// Outgoing votes in the old configuration of a joint one and is gone when
	// that is left.
	Outgoing ReplicaType = 4
)

// Replica is one copy of a range.
type Replica struct {
	ID   base.ReplicaID
	Node base.NodeID
	Type ReplicaType
	// Replaces is the replica that was to leave when this one was added; 0 if it
	// was added to have one more.
	Replaces base.ReplicaID
	// Added is when the replica became part of the range.
	Added base.Stamp
	// CaughtUp: a learner whose log is close to the leader's.
	CaughtUp bool
}

// Range is one range, its replicas and its load, as its leader reported them.
type Range struct {
	ID    base.RangeID
	Epoch base.Epoch
	// Span has an end that is not empty.
	Span     base.Span
	Replicas []Replica
	// NextReplica is the id that the next replica gets; ids are never reused.
	NextReplica base.ReplicaID
	// Leader is 0 when none is known.
	Leader base.ReplicaID
	Bytes  int64
	// Reads and Writes are per second.
	Reads, Writes float64
	// MiddleKey halves the bytes; nil when it was not looked for.
	MiddleKey []byte
	// Hot is where the load would be cut.
	Hot load.Verdict
	// LastSplit, LastMerge and LastMove (of a replica or of the leadership) are 0
	// when there was none.
	LastSplit, LastMerge, LastMove base.Stamp
	// Pending is the operator that is being carried out; its kind is 0 if none is.
	Pending Operator
}

// Pin is a wish about the ranges of a span. A shard is a pin whose primary is the
// Leader and whose standbys are the Voters. Ranges are split at the bounds of
// pins. Where pins overlap, the later one in the snapshot decides each field that
// it sets.
type Pin struct {
	Span base.Span
	// Replicas is the number of voters; 0 asks for the default.
	Replicas int
	// Require is a demand: new replicas are put on nodes that have all these
	// tiers, or nowhere (P10).
	Require []Tier
	// Leader and Voters are preferences: they win over diversity and balance, not
	// over the health of a node. 0 and nil have none.
	Leader base.NodeID
	Voters []base.NodeID
}

// Check reports what Decide cannot work with: ids that repeat, an order that is
// not kept, unknown states.
func (s *Snapshot) Check() error {
	for i, n := range s.Nodes {
		switch {
		case n.ID == 0 || i > 0 && n.ID <= s.Nodes[i-1].ID:
			return errors.Newf("node %d: ids are not in order", n.ID)
		case n.Liveness < Up || n.Liveness > Dead || n.Standing < Active || n.Standing > Removed:
			return errors.Newf("node %d: unknown state", n.ID)
		}
	}
	for i := range s.Ranges {
		r := &s.Ranges[i]
		if r.Span.Empty() || i > 0 && bytes.Compare(r.Span.Start, s.Ranges[i-1].Span.End) < 0 {
			return errors.Newf("range %d: spans are empty or not in order", r.ID)
		}
		if err := r.check(); err != nil {
			return errors.Wrapf(err, "range %d", r.ID)
		}
	}
	for i := 1; i < len(s.Bounds); i++ {
		if bytes.Compare(s.Bounds[i-1], s.Bounds[i]) >= 0 {
			return errors.New("bounds are not in order")
		}
	}
	for _, p := range s.Pins {
		if p.Span.Empty() || p.Replicas < 0 || p.Replicas > ReplicasMax || p.Replicas != 0 && p.Replicas%2 == 0 {
			return errors.Newf("pin of [%q, %q): the span is empty or %d replicas are not possible", p.Span.Start, p.Span.End, p.Replicas)
		}
	}
	return s.Settings.check()
}

func (r *Range) check() error {
	if len(r.Replicas) > 2*ReplicasMax {
		return errors.Newf("%d replicas", len(r.Replicas))
	}
	for i, a := range r.Replicas {
		if a.Type < Voter || a.Type > Outgoing {
			return errors.Newf("replica %d: unknown type", a.ID)
		}
		if a.ID == 0 || a.ID >= r.NextReplica {
			return errors.Newf("replica %d is not below the next id, %d", a.ID, r.NextReplica)
		}
		for _, b := range r.Replicas[:i] {
			if a.ID == b.ID || a.Node == b.Node {
				return errors.Newf("replicas %d and %d have the same id or node", a.ID, b.ID)
			}
		}
	}
	return nil
}

// age is the time that has passed since a stamp; long for one that was never set.
func (s *Snapshot) age(since base.Stamp) time.Duration {
	if since >= s.Now {
		return 0
	}
	return time.Duration(s.Now-since) * time.Microsecond
}
