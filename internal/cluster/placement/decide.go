package placement

import (
	"cmp"
	"slices"
)

// rule is one reason to do something with a range.
type rule struct {
	name   string
	decide func(v *view, x *subject) finding
}

// ruleTable is in order of priority: every range is asked about a rule before any
// is asked about the next one, so that what matters more gets the slots first.
// Ranges come in order of their spans; where load is to be moved, and from there
// on, the hottest come first.
var ruleTable = []rule{
	{"quorum", (*view).quorum},
	{"busy", (*view).busy},
	{"finish", (*view).finish},
	{"dead", (*view).replaceDead},
	{"leave", (*view).evacuate},
	{"count", (*view).adjustCount},
	{"split", (*view).split},
	{"primary", (*view).primary},
	{"pins", (*view).followPins},
	{"diversity", (*view).diversify},
	{"merge", (*view).merge},
	{"load", (*view).balanceLoad},
	{"leaders", (*view).balanceLeaders},
	{"replicas", (*view).balanceReplicas},
}

// finding is what a rule has to say about a range.
type finding struct {
	verdict verdict
	op      Operator
	say     string
}

type verdict uint8

const (
	pass verdict = iota // nothing to do: later rules may
	hold                // something is to be done, but not now: later rules wait
	act
)

func passes(say string) finding { return finding{say: say} }
func holds(say string) finding  { return finding{verdict: hold, say: say} }

func acts(x *subject, op Operator, say string) finding {
	op.Range, op.Epoch = x.ID, x.Epoch
	return finding{verdict: act, op: op, say: say}
}

// Decide says what to do now. Equal snapshots give equal plans.
func Decide(s *Snapshot) (Plan, error) {
	if err := s.Check(); err != nil {
		return Plan{}, err
	}
	v := newView(s)
	v.decide()
	return v.plan, nil
}

func (v *view) decide() {
	order := make([]*subject, len(v.subjects))
	for i := range order {
		order[i] = &v.subjects[i]
	}
	for i := range ruleTable {
		r := &ruleTable[i]
		if r.name == "load" && v.overloaded() {
			slices.SortStableFunc(order, func(a, b *subject) int { return cmp.Compare(b.leadLoad(), a.leadLoad()) })
		}
		for _, x := range order {
			if !x.closed {
				v.apply(r, x)
			} else if v.tracing(x) {
				v.trace.skip()
			}
		}
	}
}

// apply asks one rule about one range.
func (v *view) apply(r *rule, x *subject) {
	if v.tracing(x) {
		v.trace.notes = nil
	}
	v.settle(r.name, x, r.decide(v, x))
}

// settle carries out what a rule found about a range: the plan, the tallies, the
// slots.
func (v *view) settle(rule string, x *subject, f finding) {
	if f.verdict == act {
		f.op.Rule, f.op.Reason = rule, f.say
		if wait := v.slots(x, &f.op); wait != "" {
			f = finding{verdict: hold, op: f.op, say: wait}
		}
	}
	if v.tracing(x) {
		v.trace.end(rule, f)
	}
	x.closed = f.verdict != pass
	if f.verdict == act {
		v.plan.Operators = append(v.plan.Operators, f.op)
		v.foresee(x, &f.op)
	}
}

// slots says why an operator has to wait, "" if it need not. What ends a change
// that was begun never waits (P6).
func (v *view) slots(x *subject, op *Operator) string {
	s := &v.Settings
	switch op.Kind {
	case Promote, LeaveJoint, RemoveReplica:
		return ""
	}
	if v.running >= s.Operators {
		return "enough operators are running in the cluster"
	}
	if op.Kind == Split || op.Kind == Merge {
		return ""
	}
	from, to := &v.sites[x.places[x.leader].site], &v.sites[v.siteOf(op.Node)]
	if op.Kind == AddLearner && max(from.copies, to.copies) >= s.CopiesPerNode {
		return "enough replicas are being copied from the leader or to the target"
	}
	if op.Kind == TransferLeader && max(from.moves, to.moves) >= s.TransfersPerNode {
		return "enough leaderships are being moved"
	}
	return ""
}

// report tells about a problem.
func (v *view) report(x *subject, p Problem, rule, detail string) {
	v.plan.Reports = append(v.plan.Reports, Report{Range: x.ID, Problem: p, Rule: rule, Detail: detail})
}

// quorum lets nothing be changed in a range that cannot agree on it (P2).
func (v *view) quorum(x *subject) finding {
	if x.healthy {
		return passes("all voters are live")
	}
	if v.hasQuorum(x) {
		return passes("a majority of the voters is live")
	}
	if v.majority(x, func(n *site) bool { return n.Liveness != Dead && n.Standing != Removed }) {
		return holds("no majority of the voters is live, but those missing are only suspected")
	}
	v.report(x, NoQuorum, "quorum", "")
	return holds("the majority of the voters is lost: needs loss-of-quorum recovery")
}

// busy waits for an operator in progress and for a leader, without whom nothing
// can be done.
func (v *view) busy(x *subject) finding {
	if x.Pending.Kind != 0 {
		return holds("an operator is in progress: " + x.Pending.String())
	}
	if x.leader < 0 {
		return holds("no leader is known")
	}
	return passes("no operator is in progress")
}
