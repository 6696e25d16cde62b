// Package operator cares for all ranges: on the node that leads the first one, it asks
// every node for what has changed in the ranges that it leads, takes a picture of the
// cluster, asks placement for a plan, and has the ranges' leaders carry its operators out.
//
//	nodes ── census.Report ──► gather ──► picture ──► placement.Decide
//	leaders ◄── Carry ◄── Cluster.Do ◄── operators ──────┘
//
// An operator names the epoch of its range, and is void once the range has changed. What
// is kept is what a new leader finds out by itself, or does without: reports, cool-downs,
// which voter a learner is to replace.
package operator

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/census"
	"github.com/stratadb/strata/internal/cluster/placement"
)

// Every is the interval between two rounds.
const Every = 500 * time.Millisecond

const (
	// A node is suspected when nothing was heard of it for suspectAfter, and dead after
	// deadAfter, or earlier where its replicas are to be replaced earlier.
	suspectAfter = 3 * time.Second
	deadAfter    = 10 * time.Second
	// askTime bounds the asking of all nodes in a round.
	askTime = 500 * time.Millisecond
	// memoryTime is how long a range is remembered that nobody speaks of.
	memoryTime = time.Minute
	// doTime bounds an operator, and doing how many are carried out at a time.
	doTime = 10 * time.Second
	doing  = 8
	// Two neighbours are united if they have this part of the bounds for splitting together,
	// and do not more than that.
	mergeBytes, mergeOps = 4, 10
	mergeOpsMost         = 5000
	// restTime is how long nothing is decided while nothing changes.
	restTime = 5 * time.Second
	// splitCooldown is short, since what is known of a range's load begins anew when it
	// is cut.
	splitCooldown = 8 * time.Second
)

// Cluster is what the operator knows of the cluster, and its hands.
type Cluster interface {
	// Leads reports whether this node cares for all ranges: it leads the first one.
	Leads() bool
	// Nodes are the nodes' ids, ascending.
	Nodes() []base.NodeID
	// Standing is what operators want of a node.
	Standing(base.NodeID) placement.Standing
	// Locality is where a node is.
	Locality(base.NodeID) placement.Locality
	// Ranges are all that somebody has ever led, as of not long ago.
	Ranges(context.Context) ([]base.RangeDescriptor, error)
	// Heard is when a node was last heard of.
	Heard(base.NodeID) (time.Time, bool)
	// Wishes are those about ranges; nothing where their version is still the known one, or
	// they cannot be read now.
	Wishes(ctx context.Context, known string) (w Wishes, changed bool)
	// States asks a node, this one too, for what has changed since a version of its census.
	States(ctx context.Context, node base.NodeID, since uint64) (census.Report, error)
	// Do has an operator carried out by the leader, which is on the node at.
	Do(ctx context.Context, at base.NodeID, op placement.Operator) error
}

// Wishes are what people want of the ranges.
type Wishes struct {
	Version string // is not empty
	Pins    []placement.Pin
	Bounds  [][]byte
}

// Operator does rounds. Make one with New.
type Operator struct {
	cluster  Cluster
	self     base.NodeID
	settings placement.Settings
	dead     time.Duration // see deadAfter
	now      func() time.Time
	log      *slog.Logger

	mu      sync.Mutex // held during a round, but not while it waits for others
	since   time.Time  // this node leads; zero while it does not
	nodes   []base.NodeID
	told    map[base.NodeID]*told
	ranges  map[base.RangeID]*census.Range
	order   []*census.Range // those of which the keys are certain, in their order
	wishes  Wishes
	memory  map[base.RangeID]*memory
	states  map[base.NodeID]state
	heard   map[base.NodeID]time.Time // that a node has answered
	news    bool                      // since the last decision
	decided time.Time                 // the last time
	snap    *placement.Snapshot
	said    map[base.RangeID]string // what was logged last, by range
	worried map[string]bool         // the problems that were logged
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
	// A range is cut when it has more bytes, or more operations per second.
	SplitBytes int64
	SplitOps   float64
	// MergeAfter is how long a range is left as it is after it was cut, or became known,
	// before it is united with a neighbour because both are small and idle; zero: for ever.
	MergeAfter time.Duration
	Now        func() time.Time
	Log        *slog.Logger
}

// New makes an operator.
func New(c Cluster, opt Options) *Operator {
	s := placement.DefaultSettings()
	s.Replicas = opt.Replicas
	dead := min(deadAfter, max(opt.DeadAfter, suspectAfter))
	s.DeadAfter = max(opt.DeadAfter-dead, 0)
	s.SettleAfter = dead
	s.SplitBytes, s.SplitOps, s.SplitCooldown = opt.SplitBytes, opt.SplitOps, splitCooldown
	s.MergeBytes, s.MergeOps = min(opt.SplitBytes/mergeBytes, s.MergeBytes), min(opt.SplitOps/mergeOps, mergeOpsMost)
	s.MergeCooldown = opt.MergeAfter
	if opt.MergeAfter == 0 {
		s.MergeBytes = -1 // no range is so small
	}
	s.BusyCPU = 0 // nobody says how busy it is
	o := &Operator{cluster: c, self: opt.Self, settings: s, dead: dead, now: opt.Now, log: opt.Log}
	o.forget()
	return o
}

// forget makes the operator one that knows nothing.
func (o *Operator) forget() {
	o.since, o.snap, o.order, o.wishes = time.Time{}, nil, nil, Wishes{}
	o.told, o.ranges = map[base.NodeID]*told{}, map[base.RangeID]*census.Range{}
	o.memory, o.states, o.heard = map[base.RangeID]*memory{}, map[base.NodeID]state{}, map[base.NodeID]time.Time{}
	o.said, o.worried = map[base.RangeID]string{}, map[string]bool{}
}

// Run does rounds until ctx ends.
func (o *Operator) Run(ctx context.Context) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := o.Round(ctx); err != nil {
			o.log.Warn("placement", "error", err)
		}
	}
}

// Round asks, decides once and has done what was decided.
func (o *Operator) Round(ctx context.Context) error {
	if !o.cluster.Leads() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !o.since.IsZero() {
			o.forget()
		}
		return nil
	}
	o.mu.Lock()
	begun := !o.since.IsZero()
	o.mu.Unlock()
	if !begun {
		o.begin(ctx)
	}
	o.listen(ctx)
	ops, err := o.decide()
	if err != nil {
		return err
	}
	o.carry(ctx, ops)
	return nil
}

// begin finds out which ranges there are: one of which a majority is gone has nobody who
// speaks of it.
func (o *Operator) begin(ctx context.Context) {
	list, err := o.cluster.Ranges(ctx)
	if err != nil {
		o.log.Warn("placement", "error", err)
		return // the next round tries again
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since = o.now()
	for i := range list {
		o.ranges[list[i].ID] = &census.Range{Descriptor: list[i]}
	}
}

// listen asks all nodes for what has changed.
func (o *Operator) listen(ctx context.Context) {
	o.mu.Lock()
	known := o.wishes.Version
	o.mu.Unlock()
	wishes, changed := o.cluster.Wishes(ctx, known)
	nodes := o.cluster.Nodes()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var wait sync.WaitGroup
	for _, id := range nodes {
		o.mu.Lock()
		since := uint64(0)
		if t := o.told[id]; t != nil {
			since = t.version
		}
		o.mu.Unlock()
		wait.Go(func() {
			r, err := o.cluster.States(ctx, id, since)
			if err != nil {
				return // liveness says what that means
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			o.heard[id] = o.now()
			if o.told[id] == nil {
				o.told[id] = &told{}
			}
			if o.told[id].take(&r) {
				o.news = true
			}
		})
	}
	wait.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nodes = nodes
	for id := range o.told {
		if !slices.Contains(nodes, id) {
			delete(o.told, id)
		}
	}
	if changed {
		o.wishes, o.news = wishes, true
	}
}

// decide takes a picture and asks for a plan, unless nothing has changed.
func (o *Operator) decide() ([]placement.Operator, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	if o.since.IsZero() {
		return nil, nil // not all ranges are known
	}
	for _, id := range o.nodes {
		if before := o.states[id]; o.liveness(id, now) != before {
			o.news = true
		}
	}
	if !o.news && now.Sub(o.decided) < restTime {
		return nil, nil
	}
	if o.news {
		o.gather()
	}
	o.news, o.decided = false, now
	o.snap = o.picture(now)
	for id, m := range o.memory {
		if now.Sub(m.seen) > memoryTime {
			delete(o.memory, id)
			delete(o.said, id)
		}
	}
	plan, err := placement.Decide(o.snap)
	if err != nil {
		return nil, err
	}
	o.report(plan.Reports)
	return plan.Operators, nil
}

// carry has operators carried out by the ranges' leaders.
func (o *Operator) carry(ctx context.Context, ops []placement.Operator) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, doing)
	for _, op := range ops {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			_ = o.do(ctx, op)
		})
	}
	wait.Wait()
}

// do has one operator carried out, and notes that.
func (o *Operator) do(ctx context.Context, op placement.Operator) error {
	o.mu.Lock()
	r := o.ranges[op.Range]
	o.mu.Unlock()
	if r == nil {
		return nil
	}
	leader, found := r.Descriptor.Replica(r.Leader)
	if !found {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, doTime)
	defer cancel()
	err := o.cluster.Do(ctx, leader.Node, op)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.news = true
	if err == nil {
		o.memoryOf(op.Range).began(&op, r.Leader, o.now())
	}
	switch said := op.String(); {
	case err == nil:
		o.log.Info("placement", "operator", said, "reason", op.Reason, "rule", op.Rule)
	case said != o.said[op.Range]: // once
		o.said[op.Range] = said
		o.log.Info("placement", "operator", said, "reason", op.Reason, "rule", op.Rule, "error", err.Error())
	}
	return err
}

// report logs problems when they begin and when they end.
func (o *Operator) report(list []placement.Report) {
	now := make(map[string]bool, len(list))
	for _, r := range list {
		now[r.String()] = true
		if !o.worried[r.String()] {
			o.log.Warn("placement", "problem", r.String(), "rule", r.Rule)
		}
	}
	for problem := range o.worried {
		if !now[problem] {
			o.log.Info("placement", "no longer", problem)
		}
	}
	o.worried = now
}

// liveness judges a node by when it was heard of; who has just begun to lead gives
// everybody time to be heard.
func (o *Operator) liveness(id base.NodeID, now time.Time) state {
	last, heard := o.cluster.Heard(id)
	if at, answered := o.heard[id]; answered && !at.Before(last) {
		last, heard = at, true
	}
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
