package placement

import (
	"cmp"
	"fmt"
)

// rank says how good a set of voters is for a range. Its fields are in order of
// weight: one replica less on a lost node is worth any number of preferences.
type rank struct {
	gone, leaving, full int   // voters on such nodes
	forbidden           int   // voters on nodes that the policy does not allow
	preferred           int   // voters on nodes that it prefers
	diversity           int64 // sum of the distances of all pairs
}

// leaderPreference is what having a replica where the leader is wanted counts
// against other preferred voters.
const leaderPreference = ReplicasMax + 1

// compare is negative if a is better than b.
func (a rank) compare(b rank) int {
	return cmp.Or(cmp.Compare(a.gone, b.gone), cmp.Compare(a.leaving, b.leaving), cmp.Compare(a.full, b.full),
		a.wishes(b), cmp.Compare(b.diversity, a.diversity))
}

// wishes compares only how far the policy is followed.
func (a rank) wishes(b rank) int {
	return cmp.Or(cmp.Compare(a.forbidden, b.forbidden), cmp.Compare(b.preferred, a.preferred))
}

// String renders the rank for explanations; what is zero is left out.
func (a rank) String() string {
	s := ""
	for _, f := range []struct {
		name  string
		count int
	}{{"on lost nodes", a.gone}, {"on leaving nodes", a.leaving}, {"on full nodes", a.full}, {"forbidden", a.forbidden}} {
		if f.count > 0 {
			s += fmt.Sprintf("%d %s, ", f.count, f.name)
		}
	}
	if a.preferred > 0 {
		s += fmt.Sprintf("preference %d, ", a.preferred)
	}
	return s + fmt.Sprintf("diversity %d", a.diversity)
}

// siteSet is a small set of indices of sites; it lives on the stack.
type siteSet struct {
	at [2*ReplicasMax + 1]int
	n  int
}

func (s *siteSet) add(site int) { s.at[s.n] = site; s.n++ }
func (s *siteSet) sites() []int { return s.at[:s.n] }

// votersWithout are the sites of the voters, except that of the replica at the
// index given (-1 for all).
func (x *subject) votersWithout(except int) (set siteSet) {
	for i, p := range x.places {
		if i != except && (p.Type == Voter || p.Type == Incoming) {
			set.add(p.site)
		}
	}
	return set
}

// with is the set and one site more.
func (s siteSet) with(site int) siteSet {
	s.add(site)
	return s
}

// rank judges a set of voters.
func (v *view) rank(x *subject, set siteSet) (r rank) {
	for i, at := range set.sites() {
		n := &v.sites[at]
		switch {
		case n.gone:
			r.gone++
		case n.leaving:
			r.leaving++
		case n.full(&v.Settings):
			r.full++
		}
		if len(x.policy.require) > 0 && !n.Locality.has(x.policy.require) {
			r.forbidden++
		}
		if x.policy.prefers() && x.policy.preferred(n.ID) {
			r.preferred++
			if n.ID == x.policy.leader {
				r.preferred += leaderPreference
			}
		}
		for _, other := range set.sites()[:i] {
			r.diversity += v.distance[at*len(v.sites)+other]
		}
	}
	return r
}

// accepts reports whether a site may take a new replica of x.
func (v *view) accepts(x *subject, site int) bool {
	n := &v.sites[site]
	if !n.live || n.Standing != Active || n.Full || x.on(site) || !n.Locality.has(x.policy.require) {
		return false
	}
	return !n.above(max(n.bytes, n.UsedBytes)+x.Bytes, v.Settings.AcceptBelow)
}

// on reports whether the range has a replica of any type on a site.
func (x *subject) on(site int) bool {
	for _, p := range x.places {
		if p.site == site {
			return true
		}
	}
	return false
}

// target finds the best site for a new replica of x beside the sites given, or
// -1. Among equals the one that is not busy with copies wins, then the lightest.
func (v *view) target(x *subject, beside siteSet) int {
	best, bestRank := -1, rank{}
	for site := range v.Nodes {
		if !v.accepts(x, site) {
			continue
		}
		r := v.rank(x, beside.with(site))
		if v.tracing(x) {
			v.notef("candidate n%d: %v, weight %.1f, %d copies", v.sites[site].ID, r, v.sites[site].weight, v.sites[site].copies)
		}
		if best < 0 || cmp.Or(r.compare(bestRank), v.lighter(x, site, best)) < 0 {
			best, bestRank = site, r
		}
	}
	return best
}

// lighter is negative if site a is to be preferred to b for a copy of x, all else
// being equal.
func (v *view) lighter(x *subject, a, b int) int {
	busy := func(site int) int { return max(0, v.sites[site].copies-v.Settings.CopiesPerNode+1) }
	return cmp.Or(cmp.Compare(busy(a), busy(b)),
		cmp.Compare(v.sites[a].weight+v.weigh(a, x), v.sites[b].weight+v.weigh(b, x)))
}

// swap is a voter to replace and the site that takes its place.
type swap struct{ victim, site int }

// bestSwap finds the swap that leaves the best voters, among those that better
// approves of. Among equals it replaces a follower rather than the leader, then
// the voter on the heaviest site, by one on the lightest.
func (v *view) bestSwap(x *subject, better func(after rank) bool) (best swap, after rank, found bool) {
	for i, p := range x.places {
		if p.Type != Voter {
			continue
		}
		rest := x.votersWithout(i)
		for site := range v.Nodes {
			if !v.accepts(x, site) || !v.sites[site].steady {
				continue
			}
			r := v.rank(x, rest.with(site))
			if !better(r) {
				continue
			}
			if !found || cmp.Or(r.compare(after), v.cheaper(x, swap{i, site}, best)) < 0 {
				best, after, found = swap{i, site}, r, true
			}
		}
	}
	return best, after, found
}

func (v *view) cheaper(x *subject, a, b swap) int {
	leads := func(s swap) int {
		if s.victim == x.leader {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(leads(a), leads(b)), v.lighter(x, a.site, b.site),
		cmp.Compare(v.sites[x.places[b.victim].site].weight, v.sites[x.places[a.victim].site].weight))
}

// heir is the best voter to lead the range instead of the replica at the index
// given: its index in places, or -1. It is live and on an active node with room;
// one that stays is best, then a preferred one, then one whose site has been up
// for a while, then the one with the fewest leaders.
func (v *view) heir(x *subject, instead int) int {
	best := -1
	worse := func(i int) int {
		n, w := &v.sites[x.places[i].site], 0
		if v.replaced(x, x.places[i].ID) {
			w += 4
		}
		if n.ID != x.policy.leader {
			w += 2
		}
		if !n.steady {
			w++
		}
		return w
	}
	for i, p := range x.places {
		n := &v.sites[p.site]
		if i == instead || p.Type != Voter || !n.live || n.Standing != Active || n.filled(&v.Settings) {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(worse(i), worse(best)), cmp.Compare(n.leaders, v.sites[x.places[best].site].leaders)) < 0 {
			best = i
		}
	}
	return best
}

// hasQuorum reports whether a range can agree on anything.
func (v *view) hasQuorum(x *subject) bool {
	return v.majority(x, func(n *site) bool { return n.live })
}

// majority reports whether most voters are on sites that have a property, in the
// new and in the old configuration. The two are the same unless the range is in a
// joint one.
func (v *view) majority(x *subject, has func(n *site) bool) bool {
	var with, of, oldWith, oldOf int
	for _, p := range x.places {
		one := 0
		if has(&v.sites[p.site]) {
			one = 1
		}
		if p.Type == Voter || p.Type == Incoming {
			with, of = with+one, of+1
		}
		if p.Type == Voter || p.Type == Outgoing {
			oldWith, oldOf = oldWith+one, oldOf+1
		}
	}
	return with > of/2 && oldWith > oldOf/2
}

// keepsQuorum reports whether a set of voters has a live majority.
func (v *view) keepsQuorum(set siteSet) bool {
	live := 0
	for _, at := range set.sites() {
		if v.sites[at].live {
			live++
		}
	}
	return live > set.n/2
}
