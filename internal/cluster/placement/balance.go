package placement

import (
	"cmp"
	"math"
)

// worth reports whether moving something between two nodes is more than noise: of
// the gap that was, more than the margin is left after it. Then the larger of the
// two becomes smaller by the margin at least, and the way back is not worth it.
func worth(from, to, moved float64, margin float64) bool { return from-to-moved >= margin }

// loadCeiling is the load above which a node is overloaded.
func (v *view) loadCeiling() float64 { return v.meanLoad + v.Settings.LoadMargin.of(v.meanLoad) }

// loadRoom is the load up to which other rules than that of load fill a node. It
// lies below the ceiling so far that noise does not carry the node above it.
func (v *view) loadRoom() float64 { return v.meanLoad + v.Settings.LoadMargin.of(v.meanLoad)/2 }

// overloaded reports whether any node is.
func (v *view) overloaded() bool {
	for i := range v.sites {
		if v.sites[i].load > v.loadCeiling() && v.sites[i].live && v.sites[i].CPU >= v.Settings.BusyCPU {
			return true
		}
	}
	return false
}

// rests reports whether a range was moved so recently that balance lets it alone.
func (v *view) rests(x *subject) bool { return v.age(x.LastMove) < v.Settings.MoveCooldown }

const sayRests = "the range was moved not long ago"

// balanceLoad takes load from an overloaded node: the leadership of the hottest
// range for which that is worth it or, if the followers' nodes have no room for
// the load, a copy of the range is brought to a node that has, as the next leader.
func (v *view) balanceLoad(x *subject) finding {
	from := &v.sites[x.places[x.leader].site]
	if from.load <= v.loadCeiling() || from.CPU < v.Settings.BusyCPU {
		return passes("the leader's node is not overloaded")
	}
	if v.rests(x) {
		return passes(sayRests)
	}
	if x.policy.leader == from.ID {
		return passes("a pin prefers this leader")
	}
	moved, margin := x.leadLoad(), v.Settings.LoadMargin.of(v.meanLoad)
	best := -1
	for i, p := range x.places {
		n := &v.sites[p.site]
		if v.tracing(x) {
			v.notef("n%d: load %.0f", n.ID, n.load)
		}
		if i != x.leader && v.balances(p.site) && worth(from.load, n.load, moved, margin) &&
			(best < 0 || n.load < v.sites[x.places[best].site].load) {
			best = i
		}
	}
	if best >= 0 {
		p := x.places[best]
		return acts(x, Operator{Kind: TransferLeader, Replica: p.ID, Node: p.Node}, "the leader's node is overloaded")
	}
	return v.bringHeir(x, from, margin)
}

// bringHeir replaces a follower by one on the least loaded node.
func (v *view) bringHeir(x *subject, from *site, margin float64) finding {
	if !x.healthy {
		return passes("not all replicas are live: nothing optional is moved")
	}
	now := v.rank(x, x.votersWithout(-1))
	best := swap{-1, -1}
	for i, p := range x.places {
		for site := range v.Nodes {
			n := &v.sites[site]
			load := n.load + followerWriteCost*x.Writes
			if i == x.leader || !v.balances(site) || !v.accepts(x, site) || !worth(from.load, load, x.leadLoad(), margin) ||
				n.weight+v.weigh(site, x) > v.sites[p.site].weight+v.Settings.ReplicaMargin.of(v.meanWeight) ||
				v.rank(x, x.votersWithout(i).with(site)).compare(now) > 0 {
				continue
			}
			if best.site < 0 || cmp.Or(cmp.Compare(n.load, v.sites[best.site].load),
				cmp.Compare(v.sites[x.places[best.victim].site].load, v.sites[p.site].load)) < 0 {
				best = swap{i, site}
			}
		}
	}
	if best.site < 0 {
		return passes("no node would be better off with this range's load")
	}
	return v.addLearner(x, best.site, x.places[best.victim].ID, "all voters' nodes have too much load to lead it")
}

// balanceLeaders evens out how many ranges the nodes lead.
func (v *view) balanceLeaders(x *subject) finding {
	from := &v.sites[x.places[x.leader].site]
	margin := v.Settings.LeaderMargin.of(v.meanLeaders)
	best := -1
	for i, p := range x.places {
		n := &v.sites[p.site]
		if i == x.leader || !worth(from.leaders, n.leaders, 1, margin) || !v.balances(p.site) ||
			n.load+x.leadLoad() > v.loadRoom() {
			continue
		}
		if best < 0 || n.leaders < v.sites[x.places[best].site].leaders {
			best = i
		}
	}
	if v.tracing(x) {
		v.notef("n%d leads %.0f, mean %.1f, margin %.1f", from.ID, from.leaders, v.meanLeaders, margin)
	}
	if best < 0 {
		return passes("no voter's node leads so few that a transfer is worth it")
	}
	if v.rests(x) {
		return passes(sayRests)
	}
	if x.policy.leader == from.ID {
		return passes("a pin prefers this leader")
	}
	p := x.places[best]
	return acts(x, Operator{Kind: TransferLeader, Replica: p.ID, Node: p.Node}, "its node leads fewer ranges")
}

// balanceReplicas evens out the number and the bytes of the replicas.
func (v *view) balanceReplicas(x *subject) finding {
	margin := v.Settings.ReplicaMargin.of(v.meanWeight)
	heaviest := math.Inf(-1)
	for _, p := range x.places {
		heaviest = max(heaviest, v.sites[p.site].weight)
	}
	if v.tracing(x) {
		v.notef("heaviest node %.1f, mean %.1f, lightest %.1f, margin %.1f", heaviest, v.meanWeight, v.lightest, margin)
	}
	if !worth(heaviest, v.lightest, 0, margin) {
		return passes("no node has so few replicas that a move is worth it")
	}
	if !x.healthy {
		return passes("not all replicas are live: nothing optional is moved")
	}
	if v.rests(x) {
		return passes(sayRests)
	}
	now := v.rank(x, x.votersWithout(-1))
	best, gain := swap{-1, -1}, math.Inf(-1)
	for i, p := range x.places {
		if i == x.leader && x.voters > 1 {
			continue
		}
		for site := range v.Nodes {
			n := &v.sites[site]
			gap := v.sites[p.site].weight - n.weight - v.weigh(site, x)
			if gap > gain && gap >= margin && v.balances(site) && v.accepts(x, site) &&
				n.load+followerWriteCost*x.Writes <= v.loadRoom() && v.rank(x, x.votersWithout(i).with(site)).compare(now) <= 0 {
				best, gain = swap{i, site}, gap
			}
		}
	}
	if best.site < 0 {
		return passes("no node may take a replica and be lighter than the one that gives it")
	}
	return v.addLearner(x, best.site, x.places[best.victim].ID, "its node has fewer replicas and bytes")
}
