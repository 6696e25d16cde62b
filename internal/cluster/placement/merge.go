package placement

import "bytes"

// merge unites a range with its right neighbour if both are small and cold
// together. First the replicas of the right one are brought to the nodes of the
// left one, one move at a time and never at the cost of pins or diversity, then
// its leader. Both are out of bounds for balance in the meantime.
func (v *view) merge(x *subject) finding {
	y, why := v.partner(x)
	if y == nil {
		return passes(why)
	}
	step := v.align(x, y)
	if step.op.Kind != 0 && step.op.Kind != Merge && !v.mergeable(x, y, alignBelow) {
		step = passes("together with the right neighbour it is not small and cold enough to move anything")
	}
	if step.verdict == pass {
		return step
	}
	if v.tracing(x) {
		v.notef("with r%d: %s", y.ID, step.say)
	}
	// The right range is closed, too, whichever of the two has the operator.
	if step.op.Range == y.ID {
		v.settle("merge", y, step)
		return holds("the right neighbour is brought here first")
	}
	v.settle("merge", y, holds("the left neighbour takes the range over"))
	return step
}

// partner is the right neighbour if the two ranges should be one, or the reason
// why not.
func (v *view) partner(x *subject) (y *subject, why string) {
	s := &v.Settings
	if x.Bytes > s.MergeBytes || x.Reads+x.Writes > s.MergeOps {
		return nil, "the range is not small and cold"
	}
	i := v.indexOf(x) + 1
	if i == len(v.subjects) || !bytes.Equal(x.Span.End, v.subjects[i].Span.Start) {
		return nil, "there is no right neighbour"
	}
	y = &v.subjects[i]
	switch {
	case !v.mergeable(x, y, 1):
		return nil, "together with the right neighbour it is not small and cold"
	case v.policies[policyAt(v.policies, y.Span.Start)].bounds(y.Span.Start):
		return nil, "a pin begins or ends between the two"
	case v.cutByHand(y.Span.Start):
		return nil, "somebody has cut between the two"
	case !x.healthy || !y.healthy || x.voters != y.voters:
		return nil, "not all replicas of the two are in place and live"
	case y.closed:
		return nil, "the right neighbour has something else to do"
	case min(v.age(max(x.LastSplit, x.LastMerge)), v.age(max(y.LastSplit, y.LastMerge))) < s.MergeCooldown:
		return nil, "one of the two was split or merged not long ago"
	}
	return y, ""
}

// alignBelow is the share of the bounds for merging below which a neighbour is
// worth moving. Load that wavers about the bound must not move it to and fro.
const alignBelow = 0.8

// mergeable reports whether two ranges together have at most a share of the bounds.
func (v *view) mergeable(x, y *subject, share float64) bool {
	s := &v.Settings
	return float64(x.Bytes+y.Bytes) <= share*float64(s.MergeBytes) && x.Reads+y.Reads+x.Writes+y.Writes <= share*s.MergeOps
}

// cutByHand reports whether key is one of Bounds.
func (v *view) cutByHand(key []byte) bool {
	i := v.boundBehind(key)
	return i > 0 && bytes.Equal(v.Bounds[i-1], key)
}

// bounds reports whether the policy begins exactly at key.
func (p *policy) bounds(key []byte) bool { return bytes.Equal(p.from, key) }

// indexOf is the place of x among the subjects; they are in order of their spans.
func (v *view) indexOf(x *subject) int {
	low, high := 0, len(v.subjects)
	for low < high {
		if mid := (low + high) / 2; bytes.Compare(v.subjects[mid].Span.Start, x.Span.Start) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// align is the next step to bring y to the nodes of x: a move of y, a transfer of
// its leader, or, once nothing is left to do, the merge.
func (v *view) align(x, y *subject) finding {
	here := x.votersWithout(-1)
	stray, home := -1, -1 // a voter of y elsewhere, one that could lead it here
	for i, p := range y.places {
		switch {
		case !x.on(p.site) && (stray < 0 || stray == y.leader):
			stray = i
		case x.on(p.site) && (home < 0 || p.site == x.places[x.leader].site):
			home = i
		}
	}
	transfer := func(to int) finding {
		return acts(y, Operator{Kind: TransferLeader, Replica: y.places[to].ID, Node: y.places[to].Node}, "its left neighbour's leader is there, or will be its own")
	}
	if stray < 0 {
		if y.places[y.leader].site != x.places[x.leader].site {
			return transfer(home)
		}
		return acts(x, Operator{Kind: Merge, Right: y.ID}, "the range and its right neighbour are small and cold")
	}
	if stray == y.leader && home >= 0 {
		return transfer(home)
	}
	now := v.rank(y, y.votersWithout(-1))
	for i, p := range y.places {
		if x.on(p.site) || i == y.leader && stray != y.leader {
			continue
		}
		for _, site := range here.sites() {
			if v.accepts(y, site) && v.rank(y, y.votersWithout(i).with(site)).compare(now) <= 0 {
				return v.addLearner(y, site, p.ID, "it will be merged with its left neighbour")
			}
		}
	}
	return passes("the right neighbour cannot be brought here without harm")
}
