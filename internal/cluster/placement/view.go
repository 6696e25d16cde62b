package placement

import (
	"math"

	"github.com/stratadb/strata/internal/base"
)

const (
	// A write costs the leader one operation and every other replica less, for it
	// only appends and applies.
	leaderWriteCost   = 1.0
	followerWriteCost = 0.5
)

// site is a node with what it holds once everything in progress and everything
// decided so far has been done.
type site struct {
	*Node
	live, gone, leaving bool
	// steady: live and not just now, so that balance may count on it.
	steady  bool
	leaders float64
	weight  float64 // see view.weigh
	load    float64 // operations per second
	bytes   int64   // expected to be used
	copies  int     // being received or sent
	moves   int     // leaderships being given or taken
}

// full reports whether replicas have to leave the site, beyond those that already
// do.
func (n *site) full(s *Settings) bool { return n.Full || n.above(n.bytes, s.FullAbove) }

// filled reports whether the site is full now or will be: it gets no leaders.
func (n *site) filled(s *Settings) bool {
	return n.Full || n.above(max(n.bytes, n.UsedBytes), s.FullAbove)
}

func (n *site) above(bytes int64, share float64) bool {
	return n.CapacityBytes > 0 && float64(bytes) > share*float64(n.CapacityBytes)
}

// place is one replica of a subject and the index of its site.
type place struct {
	*Replica
	site int
}

// subject is a range under decision.
type subject struct {
	*Range
	places []place
	policy *policy
	leader int // index in places, -1 if there is none or its node is not live
	voters int // of the configuration that is or will be in force
	// plain: voters only; healthy: plain and all of them on live nodes.
	plain, healthy bool
	// closed: something was decided, or has to wait, so that later rules let the
	// range alone.
	closed bool
}

// view is a snapshot made ready for the rules, and the decisions so far.
type view struct {
	*Snapshot
	sites    []site // the last one stands for nodes that are not in the snapshot
	subjects []subject
	policies []policy
	distance []int64 // of each pair of sites
	farthest int64
	running  int // operators in progress and decided

	meanBytes    float64 // of a range
	meanCapacity float64
	meanLeaders  float64 // of the nodes that take part in balance, as the next ones
	meanWeight   float64
	meanLoad     float64
	lightest     float64 // weight of the lightest of them

	plan  Plan
	trace *trace
}

func newView(s *Snapshot) *view {
	v := &view{Snapshot: s, policies: policies(s.Pins, s.Settings.Replicas)}
	index := v.addSites()
	places := 0
	for i := range s.Ranges {
		places += len(s.Ranges[i].Replicas)
	}
	all := make([]place, 0, places)
	v.subjects = make([]subject, len(s.Ranges))
	for i := range s.Ranges {
		x := &v.subjects[i]
		x.Range, x.leader = &s.Ranges[i], -1
		first := len(all)
		for j := range x.Replicas {
			n, known := index[x.Replicas[j].Node]
			if !known {
				n = len(v.sites) - 1
			}
			all = append(all, place{Replica: &x.Replicas[j], site: n})
		}
		x.places = all[first:len(all):len(all)]
		x.policy = &v.policies[policyAt(v.policies, x.Span.Start)]
		v.classify(x)
		v.meanBytes += float64(x.Bytes) / float64(len(s.Ranges))
	}
	for i := range v.subjects {
		v.count(&v.subjects[i])
	}
	v.average()
	return v
}

func (v *view) addSites() (index map[base.NodeID]int) {
	index = make(map[base.NodeID]int, len(v.Nodes))
	v.sites = make([]site, len(v.Nodes)+1)
	capacities := 0
	for i := range v.Nodes {
		n := &v.Nodes[i]
		index[n.ID] = i
		up := n.Liveness == Up && n.Standing != Removed
		v.sites[i] = site{Node: n, bytes: n.UsedBytes, live: up,
			steady:  up && v.age(n.Since) >= v.Settings.SettleAfter,
			gone:    n.Standing == Removed || n.Liveness == Dead && v.age(n.Since) >= v.Settings.DeadAfter,
			leaving: n.Standing == Draining || n.Standing == Decommissioning}
		if n.CapacityBytes > 0 {
			capacities++
			v.meanCapacity += float64(n.CapacityBytes)
		}
	}
	v.meanCapacity /= max(1, float64(capacities))
	v.sites[len(v.Nodes)] = site{Node: &Node{Liveness: Dead, Standing: Removed}, gone: true}
	v.measureDistances()
	return index
}

// measureDistances gives each pair of sites a number by the first tier in which
// they differ. One pair that differs in a tier outweighs all pairs of a range
// that differ in the next one.
func (v *view) measureDistances() {
	const pairs = 2 * ReplicasMax * (2*ReplicasMax - 1) / 2
	n, tiers := len(v.sites), 0
	for i := range v.Nodes {
		tiers = max(tiers, len(v.Nodes[i].Locality))
	}
	v.distance = make([]int64, n*n)
	for i := range v.Nodes {
		for j := range v.Nodes {
			a, b := v.Nodes[i].Locality, v.Nodes[j].Locality
			for t, d := 0, math.Pow(pairs+1, float64(min(tiers, tiersMax)-1)); t < min(tiers, tiersMax); t, d = t+1, d/(pairs+1) {
				if tier(a, t) != tier(b, t) {
					v.distance[i*n+j] = int64(d)
					break
				}
			}
			v.farthest = max(v.farthest, v.distance[i*n+j])
		}
	}
}

// tiersMax bounds the tiers that are looked at; further ones make no difference.
const tiersMax = 6

func tier(l Locality, i int) Tier {
	if i < len(l) {
		return l[i]
	}
	return Tier{}
}

func (v *view) classify(x *subject) {
	x.plain, x.healthy = true, true
	for i, p := range x.places {
		if p.Type != Voter {
			x.plain = false
		}
		if p.Type == Voter || p.Type == Incoming {
			x.voters++
		}
		n := &v.sites[p.site]
		x.healthy = x.healthy && n.live
		if p.ID == x.Leader && n.live {
			x.leader = i
		}
	}
	x.healthy = x.healthy && x.plain
}

// count adds a range to the tallies of its nodes, as it will be when what is in
// progress has ended.
func (v *view) count(x *subject) {
	for i, p := range x.places {
		if p.Type == Outgoing || v.replaced(x, p.ID) {
			v.sites[p.site].bytes -= x.Bytes
			continue
		}
		v.hold(p.site, x, 1)
		if p.Type == Learner && !p.CaughtUp && x.leader >= 0 && v.hasQuorum(x) {
			v.sites[p.site].bytes += x.Bytes
			v.sites[p.site].copies++
			v.sites[x.places[x.leader].site].copies++
			v.running++
		}
		if i == x.leader {
			v.lead(p.site, x, 1)
		}
	}
	if x.Pending.Kind != 0 {
		v.foresee(x, &x.Pending)
	}
}

// replaced reports whether another replica has come to replace the one given.
func (v *view) replaced(x *subject, id base.ReplicaID) bool {
	for _, p := range x.places {
		if p.Replaces == id {
			return true
		}
	}
	return false
}

// weigh is what a replica of x weighs on a node: one for being there and one for
// a mean amount of bytes on a disk of mean size.
func (v *view) weigh(site int, x *subject) float64 {
	w := 1.0
	if v.meanBytes > 0 {
		bytes := float64(x.Bytes) / v.meanBytes
		if c := v.sites[site].CapacityBytes; c > 0 {
			bytes *= v.meanCapacity / float64(c)
		}
		w += bytes
	}
	return w / 2
}

// hold adds (or, with sign -1, takes away) a follower of x.
func (v *view) hold(site int, x *subject, sign float64) {
	v.sites[site].weight += sign * v.weigh(site, x)
	v.sites[site].load += sign * followerWriteCost * x.Writes
}

// lead adds or takes away the leadership of x.
func (v *view) lead(site int, x *subject, sign float64) {
	v.sites[site].leaders += sign
	v.sites[site].load += sign * x.leadLoad()
}

// leadLoad is what a leader does more than a follower.
func (x *subject) leadLoad() float64 { return x.Reads + (leaderWriteCost-followerWriteCost)*x.Writes }

// foresee changes the tallies by what an operator will do.
func (v *view) foresee(x *subject, op *Operator) {
	v.running++
	to, at := v.siteOf(op.Node), -1
	if x.leader >= 0 {
		at = x.places[x.leader].site
	}
	switch op.Kind {
	case AddLearner:
		v.hold(to, x, 1)
		v.sites[to].bytes += x.Bytes
		v.sites[to].copies++
		if at >= 0 {
			v.sites[at].copies++
		}
		for _, p := range x.places {
			if p.ID == op.Replaces {
				v.hold(p.site, x, -1)
				v.sites[p.site].bytes -= x.Bytes
			}
		}
	case TransferLeader:
		v.sites[to].moves++
		if at >= 0 {
			v.sites[at].moves++
			v.lead(at, x, -1)
			v.lead(to, x, 1)
		}
	case RemoveReplica:
		if !v.replaced(x, op.Replica) {
			v.hold(to, x, -1)
			v.sites[to].bytes -= x.Bytes
		}
	}
}

// siteOf is the index of a node's site; unknown nodes have the last one.
func (v *view) siteOf(id base.NodeID) int {
	for i := range v.Nodes {
		if v.Nodes[i].ID == id {
			return i
		}
	}
	return len(v.Nodes)
}

// average computes the means over the nodes that take part in balance.
func (v *view) average() {
	var n, leaders, weight, load float64
	v.lightest = math.Inf(1)
	for i := range v.sites {
		if s := &v.sites[i]; v.balances(i) {
			n, leaders, weight, load = n+1, leaders+s.leaders, weight+s.weight, load+s.load
			v.lightest = min(v.lightest, s.weight)
		}
	}
	n = max(1, n)
	v.meanLeaders, v.meanWeight, v.meanLoad = leaders/n, weight/n, load/n
}

// balances reports whether a node may be given leaders and replicas for the sake
// of balance.
func (v *view) balances(site int) bool {
	n := &v.sites[site]
	return n.steady && n.Standing == Active && !n.filled(&v.Settings)
}
