package placement

import "github.com/stratadb/strata/internal/base"

// replaceDead replaces voters on nodes that are lost. Too many voters are not
// replaced: the count rule removes the lost one.
func (v *view) replaceDead(x *subject) finding {
	for i, p := range x.places {
		if !v.sites[p.site].gone || x.voters > v.ceiling(x) {
			continue
		}
		if f, ok := v.replace(x, i, "the node of a voter is lost"); ok {
			return f
		}
		v.report(x, NoNode, "dead", "to replace a lost one")
		return passes("no node can replace the lost voter")
	}
	return passes("no voter is on a lost node")
}

// evacuate moves the leader, then the voters, off nodes that are draining, being
// decommissioned or full.
func (v *view) evacuate(x *subject) finding {
	lead := x.places[x.leader]
	if v.unwelcome(lead.site) {
		if heir := v.heir(x, x.leader); heir >= 0 {
			h := x.places[heir]
			return acts(x, Operator{Kind: TransferLeader, Replica: h.ID, Node: h.Node}, "the leader's node is leaving or full")
		}
	}
	stuck := false
	for _, followers := range []bool{true, false} {
		for i, p := range x.places {
			if !v.unwelcome(p.site) || (i != x.leader) != followers || x.voters > v.ceiling(x) {
				continue
			}
			if f, ok := v.replace(x, i, "the node of a voter is leaving or full"); ok {
				return f
			}
			stuck = true
		}
	}
	if stuck {
		v.report(x, NoNode, "leave", "to take one from a leaving or full node")
		return passes("no node can take the replica")
	}
	return passes("no replica is on a leaving or full node")
}

func (v *view) unwelcome(site int) bool {
	n := &v.sites[site]
	return !n.gone && (n.leaving || n.full(&v.Settings))
}

// replace adds a learner in place of the voter at the index given.
func (v *view) replace(x *subject, victim int, why string) (finding, bool) {
	site := v.target(x, x.votersWithout(victim))
	if site < 0 {
		return finding{}, false
	}
	return v.addLearner(x, site, x.places[victim].ID, why), true
}

// adjustCount adds voters up to the number wanted and removes those above it.
func (v *view) adjustCount(x *subject) finding {
	if v.tracing(x) {
		v.notef("%d voters, %d wanted, %d at most", x.voters, x.policy.replicas, v.ceiling(x))
	}
	switch {
	case x.voters > v.ceiling(x):
		return v.removeSurplus(x)
	case x.voters >= x.policy.replicas:
		return passes("the number of voters is right")
	}
	candidates := 0
	for site := range v.Nodes {
		if v.accepts(x, site) {
			candidates++
		}
	}
	if x.voters >= odd(x.voters+candidates) {
		if x.voters < v.ceiling(x) && x.voters < odd(v.present()) {
			v.report(x, NoNode, "count", "to have as many as wanted")
		}
		return passes("there are not enough nodes for more voters")
	}
	site := v.target(x, x.votersWithout(-1))
	return v.addLearner(x, site, 0, "there are fewer voters than wanted")
}

func (v *view) addLearner(x *subject, site int, replaces base.ReplicaID, why string) finding {
	return acts(x, Operator{Kind: AddLearner, Replica: x.NextReplica, Node: v.sites[site].ID, Replaces: replaces}, why)
}

// removeSurplus removes the voter without whom the others are the best; among
// equals the one that was to be replaced, then one that is not live, then a
// follower, then the one on the heaviest node.
func (v *view) removeSurplus(x *subject) finding {
	best, bestRank := -1, rank{}
	for i, p := range x.places {
		r := v.rank(x, x.votersWithout(i))
		if v.tracing(x) {
			v.notef("without %d on n%d: %v", p.ID, p.Node, r)
		}
		if best < 0 {
			best, bestRank = i, r
			continue
		}
		if c := r.compare(bestRank); c < 0 || c == 0 && v.rather(x, i, best) {
			best, bestRank = i, r
		}
	}
	p := x.places[best]
	if best == x.leader {
		if heir := v.heir(x, best); heir >= 0 {
			h := x.places[heir]
			return acts(x, Operator{Kind: TransferLeader, Replica: h.ID, Node: h.Node}, "the leader is the voter too many")
		}
		return holds("the leader is the voter too many and nobody can take over")
	}
	if !v.keepsQuorum(x.votersWithout(best)) {
		return holds("without it the voters would have no live majority")
	}
	return acts(x, Operator{Kind: RemoveReplica, Replica: p.ID, Node: p.Node}, "there are more voters than wanted")
}

// rather reports whether voter a should go instead of b if both are as good.
func (v *view) rather(x *subject, a, b int) bool {
	if ra, rb := v.replaced(x, x.places[a].ID), v.replaced(x, x.places[b].ID); ra != rb {
		return ra
	}
	if la, lb := v.sites[x.places[a].site].live, v.sites[x.places[b].site].live; la != lb {
		return lb
	}
	if (a == x.leader) != (b == x.leader) {
		return b == x.leader
	}
	return v.sites[x.places[a].site].weight > v.sites[x.places[b].site].weight
}

// ceiling is the number of voters above which one is removed. It falls below the
// number wanted only because operators have taken nodes away, and then to an odd
// number of at least three: nodes that are dead, suspected or draining may come
// back, and a range never loses its redundancy because nodes do.
func (v *view) ceiling(x *subject) int {
	return min(x.policy.replicas, max(3, odd(v.present())))
}

// present counts the nodes that operators want in the cluster.
func (v *view) present() (n int) {
	for i := range v.Nodes {
		if s := v.Nodes[i].Standing; s == Active || s == Draining {
			n++
		}
	}
	return n
}

// odd is the largest odd number up to n: one voter more than an odd number makes a
// majority larger and no failure more bearable.
func odd(n int) int { return max(1, n-1+n%2) }
