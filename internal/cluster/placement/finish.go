package placement

import (
	"slices"

	"github.com/stratadb/strata/internal/base"
)

// finish ends or undoes what is half done: a joint configuration is left; a
// learner that has caught up becomes a voter, and the one it replaces goes in the
// same change; a learner that is of no use is removed.
func (v *view) finish(x *subject) finding {
	if x.plain {
		return passes("nothing is half done")
	}
	learner, learners := -1, 0
	for i, p := range x.places {
		switch p.Type {
		case Incoming, Outgoing:
			return v.leaveJoint(x)
		case Learner:
			learner, learners = i, learners+1
		}
	}
	l := x.places[learner]
	n := &v.sites[l.site]
	remove := func(why string) finding {
		return acts(x, Operator{Kind: RemoveReplica, Replica: l.ID, Node: l.Node}, why)
	}
	switch {
	case learners > 1:
		return remove("there is another learner")
	case n.Liveness == Dead || n.gone || n.leaving || n.Full:
		return remove("the learner's node is dead, leaving or full")
	case !n.Locality.has(x.policy.require):
		return remove("the learner's node is not allowed by a pin")
	case !l.CaughtUp && v.age(l.Added) >= v.Settings.LearnerTimeout:
		return remove("the learner did not catch up in time")
	case !l.CaughtUp:
		return holds("the learner is catching up")
	case !n.live:
		return holds("the learner's node is suspected")
	case x.voters < x.policy.replicas && x.voter(l.Replaces) < 0:
		return v.promote(x, l, -1, "the learner has caught up")
	}
	victim, ok := v.victim(x, l)
	if !ok {
		return remove("the learner would not make the range better than it is")
	}
	return v.promote(x, l, victim, "the learner has caught up")
}

func (v *view) leaveJoint(x *subject) finding {
	if x.places[x.leader].Type == Outgoing {
		for _, p := range x.places {
			if (p.Type == Voter || p.Type == Incoming) && v.sites[p.site].live {
				return acts(x, Operator{Kind: TransferLeader, Replica: p.ID, Node: p.Node}, "the leader leaves with the old configuration")
			}
		}
	}
	return acts(x, Operator{Kind: LeaveJoint}, "the configuration is a joint one")
}

// victim is the voter that a learner replaces: the one it came for, unless the
// range gains more from another one. A copy that was made is used if that makes
// nothing worse; without a voter that it came for it has to make something better.
func (v *view) victim(x *subject, learner place) (victim int, ok bool) {
	before := v.rank(x, x.votersWithout(-1))
	best, bestRank := -1, before
	named, namedRank := x.voter(learner.Replaces), before
	for i, p := range x.places {
		if p.Type != Voter {
			continue
		}
		after := v.rank(x, x.votersWithout(i).with(learner.site))
		if v.tracing(x) {
			v.notef("without %d on n%d: %v (now %v)", p.ID, p.Node, after, before)
		}
		if i == named {
			namedRank = after
		}
		if c := after.compare(bestRank); c < 0 {
			best, bestRank = i, after
		}
	}
	if named >= 0 && namedRank.compare(bestRank) <= 0 {
		return named, true
	}
	return best, best >= 0
}

// voter is the index of the voter with an id in places, or -1.
func (x *subject) voter(id base.ReplicaID) int {
	return slices.IndexFunc(x.places, func(p place) bool { return p.ID == id && p.Type == Voter })
}

// promote makes a learner a voter. The leader is never removed: it hands over
// first. If nobody can take over, the learner becomes one voter more, and the
// surplus one leaves later. The learner is live, so the new voters have a live
// majority if the old ones have (P2).
func (v *view) promote(x *subject, learner place, victim int, why string) finding {
	if victim >= 0 && victim == x.leader {
		if heir := v.heir(x, victim); heir >= 0 {
			h := x.places[heir]
			return acts(x, Operator{Kind: TransferLeader, Replica: h.ID, Node: h.Node}, "the leader is about to be replaced")
		}
		victim = -1
	}
	op := Operator{Kind: Promote, Replica: learner.ID, Node: learner.Node}
	if victim >= 0 {
		op.Replaces = x.places[victim].ID
	}
	return acts(x, op, why)
}
