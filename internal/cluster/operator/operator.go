// Package operator carries out what placement decides: on the node that leads, it
// takes a picture of the cluster, asks for a plan, and turns its operators into
// membership changes and transfers of leadership. It keeps nothing that a new
// leader could not find out by itself.
package operator

import (
	"log/slog"
	"math"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/placement"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// Every is the interval between two rounds.
const Every = 500 * time.Millisecond

// A node is suspected when nothing was heard of it for suspectAfter, and dead after
// deadAfter, or earlier where its replicas are to be replaced earlier.
const (
	suspectAfter = 3 * time.Second
	deadAfter    = 10 * time.Second
)

// Cluster is what the operator knows of the cluster.
type Cluster interface {
	// Serving is this node's replica if it leads, nil otherwise.
	Serving() *replica.Replica
	// Nodes are the nodes' ids, ascending.
	Nodes() []base.NodeID
	// Standing is what operators want of a node.
	Standing(base.NodeID) placement.Standing
	// Heard is when a node was last heard of.
	Heard(base.NodeID) (time.Time, bool)
}

// Operator does rounds. Make one with New.
type Operator struct {
	cluster  Cluster
	self     base.NodeID
	settings placement.Settings
	dead     time.Duration // see deadAfter
	now      func() time.Time
	log      *slog.Logger
	since    time.Time // this node leads; zero while it does not
	states   map[base.NodeID]state
	said     string // the last plan that was logged
}

type state struct {
	live  placement.Liveness
	since time.Time
}

// Options of an operator.
type Options struct {
	Self base.NodeID
	// Replicas is how many voters a range has, DeadAfter how long a node is silent
	// before its replicas are replaced.
	Replicas  int
	DeadAfter time.Duration
	Now       func() time.Time
	Log       *slog.Logger
}

// New makes an operator.
func New(c Cluster, opt Options) *Operator {
	s := placement.DefaultSettings()
	s.Replicas = opt.Replicas
	dead := min(deadAfter, max(opt.DeadAfter, suspectAfter))
	s.DeadAfter = max(opt.DeadAfter-dead, 0)
	s.SettleAfter = dead
	// The keyspace is one range yet: it is neither cut nor united.
	s.SplitBytes, s.MergeBytes, s.SplitOps, s.MergeOps = math.MaxInt64, 0, math.Inf(1), 0
	return &Operator{cluster: c, self: opt.Self, settings: s, dead: dead, now: opt.Now, log: opt.Log, states: map[base.NodeID]state{}}
}

// Run does rounds until stop is closed.
func (o *Operator) Run(stop <-chan struct{}) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if err := o.Round(); err != nil {
			o.log.Warn("placement", "error", err)
		}
	}
}

// Round decides once and does what was decided.
func (o *Operator) Round() error {
	r := o.cluster.Serving()
	if r == nil {
		o.since = time.Time{}
		clear(o.states)
		return nil
	}
	if o.since.IsZero() {
		o.since = o.now()
	}
	plan, err := placement.Decide(o.picture(r))
	if err != nil {
		return err
	}
	for _, op := range plan.Operators {
		err := apply(r, op)
		if said := op.String(); err == nil || said != o.said {
			o.said = said
			o.log.Info("placement", "operator", said, "reason", op.Reason, "rule", op.Rule, "error", err)
		}
	}
	return nil
}

func (o *Operator) picture(r *replica.Replica) *placement.Snapshot {
	snap := &placement.Snapshot{Now: stamp(o.now()), Settings: o.settings}
	for _, id := range o.cluster.Nodes() {
		st := o.liveness(id)
		snap.Nodes = append(snap.Nodes, placement.Node{ID: id, Liveness: st.live, Since: stamp(st.since),
			Standing: o.cluster.Standing(id)})
	}
	d := r.Descriptor()
	_, self := r.ID()
	caughtUp := map[base.ReplicaID]bool{}
	for _, p := range r.Progress() {
		caughtUp[p.Replica] = p.CaughtUp
	}
	rg := placement.Range{ID: d.ID, Epoch: d.Epoch, Span: d.Span, NextReplica: d.NextReplica, Leader: self}
	for _, m := range d.Replicas {
		rg.Replicas = append(rg.Replicas, placement.Replica{ID: m.Replica, Node: m.Node, Type: types[m.Role],
			Added: stamp(o.since), CaughtUp: caughtUp[m.Replica]})
	}
	snap.Ranges = []placement.Range{rg}
	return snap
}

var types = map[base.ReplicaRole]placement.ReplicaType{
	base.Voter: placement.Voter, base.Learner: placement.Learner, base.Incoming: placement.Incoming,
	base.Outgoing: placement.Outgoing, base.Demoting: placement.Outgoing,
}

func stamp(t time.Time) base.Stamp { return base.Stamp(max(t.UnixMicro(), 0)) }

// liveness judges a node by when it was heard of; who has just begun to lead gives
// everybody time to be heard.
func (o *Operator) liveness(id base.NodeID) state {
	now := o.now()
	last, heard := o.cluster.Heard(id)
	if !heard || last.Before(o.since) {
		last = o.since
	}
	live := placement.Up
	switch silent := now.Sub(last); {
	case id == o.self:
	case silent >= o.dead:
		live = placement.Dead
	case silent >= suspectAfter || !heard:
		live = placement.Suspect
	}
	st := o.states[id]
	if st.live != live {
		st = state{live: live, since: now}
		o.states[id] = st
	}
	return st
}

// apply begins an operator; it is void, and an error says so, when the range has
// changed meanwhile.
func apply(r *replica.Replica, op placement.Operator) error {
	switch op.Kind {
	case placement.AddLearner:
		return r.ChangeMembers(replica.Change{Kind: replica.AddLearner, Replica: op.Replica, Node: op.Node})
	case placement.Promote:
		steps := []replica.Change{{Kind: replica.Promote, Replica: op.Replica}}
		if op.Replaces != 0 {
			steps = append(steps, replica.Change{Kind: replica.Remove, Replica: op.Replaces})
		}
		return r.ChangeMembers(steps...)
	case placement.RemoveReplica:
		return r.ChangeMembers(replica.Change{Kind: replica.Remove, Replica: op.Replica})
	case placement.TransferLeader:
		return r.TransferLeader(op.Replica)
	case placement.LeaveJoint:
		return nil // Raft leaves it by itself
	}
	return errors.AssertionFailedf("operator %v", op)
}
