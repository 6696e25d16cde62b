package placement

// primary gives the leadership to the node that a pin prefers.
func (v *view) primary(x *subject) finding {
	want := x.policy.leader
	if want == 0 {
		return passes("no pin prefers a leader")
	}
	if x.places[x.leader].Node == want {
		return passes("the leader is the preferred one")
	}
	for _, p := range x.places {
		if p.Node == want && p.Type == Voter && v.balances(p.site) {
			return acts(x, Operator{Kind: TransferLeader, Replica: p.ID, Node: p.Node}, "a pin prefers this leader")
		}
	}
	return passes("the preferred leader has no voter or is not fit to lead")
}

// followPins replaces a voter where a pin demands or prefers another one. Pins
// win over diversity: somebody asked for them by name, and who pins all voters to
// one zone knows what its loss means.
func (v *view) followPins(x *subject) finding {
	if len(x.policy.require) == 0 && !x.policy.prefers() {
		return passes("no pin asks for nodes")
	}
	if !x.healthy {
		return passes("not all replicas are live: nothing optional is moved")
	}
	now := v.rank(x, x.votersWithout(-1))
	f := v.improve(x, now, "a pin asks for this node", func(after rank) bool { return after.wishes(now) < 0 })
	if f.verdict == pass && now.forbidden > 0 {
		v.report(x, NoNode, "pins", "to have all where a pin demands")
	}
	return f
}

// diversify replaces a voter so that the voters share fewer failure domains.
func (v *view) diversify(x *subject) finding {
	most := v.farthest * int64(x.voters*(x.voters-1)/2)
	if most == 0 {
		return passes("all nodes are in one locality")
	}
	now := v.rank(x, x.votersWithout(-1))
	if now.diversity == most {
		return passes("no two voters share a failure domain")
	}
	if !x.healthy {
		return passes("not all replicas are live: nothing optional is moved")
	}
	return v.improve(x, now, "the voters will share fewer failure domains",
		func(after rank) bool { return after.wishes(now) <= 0 && after.diversity > now.diversity })
}

// improve starts the best swap that better approves of.
func (v *view) improve(x *subject, now rank, why string, better func(after rank) bool) finding {
	s, after, found := v.bestSwap(x, better)
	if !found {
		return passes("no single move makes it better")
	}
	if v.tracing(x) {
		v.notef("now: %v; with n%d instead of n%d: %v", now, v.sites[s.site].ID, x.places[s.victim].Node, after)
	}
	return v.addLearner(x, s.site, x.places[s.victim].ID, why)
}
