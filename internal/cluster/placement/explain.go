package placement

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// ErrNoRange: the snapshot has no range of the id that was asked for.
var ErrNoRange = errors.New("no such range")

// trace collects what the rules see in one range.
type trace struct {
	id     base.RangeID
	out    strings.Builder
	notes  []string // of the rule that is being asked
	closed bool
}

// Explain says what Decide would do with a range and why: each rule in order, what
// it saw, the candidates with their scores, and its answer. Equal snapshots give
// equal texts.
func Explain(s *Snapshot, id base.RangeID) (string, error) {
	if err := s.Check(); err != nil {
		return "", err
	}
	v := newView(s)
	v.trace = &trace{id: id}
	for i := range v.subjects {
		if v.subjects[i].ID == id {
			v.describe(&v.subjects[i])
			v.decide()
			v.trace.conclude(v.plan)
			return v.trace.out.String(), nil
		}
	}
	return "", errors.Wrapf(ErrNoRange, "range %d", id)
}

// tracing reports whether x is the range to be explained.
func (v *view) tracing(x *subject) bool { return v.trace != nil && v.trace.id == x.ID }

// notef keeps a line for the rule that is being asked. Callers ask tracing first,
// so that a decision formats nothing.
func (v *view) notef(format string, args ...any) {
	v.trace.notes = append(v.trace.notes, fmt.Sprintf(format, args...))
}

func (v *view) describe(x *subject) {
	out := &v.trace.out
	fmt.Fprintf(out, "r%d [%q, %q) epoch %d: %d bytes, %.0f reads/s, %.0f writes/s\n",
		x.ID, x.Span.Start, x.Span.End, x.Epoch, x.Bytes, x.Reads, x.Writes)
	for i, p := range x.places {
		n := &v.sites[p.site]
		fmt.Fprintf(out, "  %d on n%d: %s, %s, %s", p.ID, p.Node, replicaTypeTable[p.Type], livenessTable[n.Liveness], standingTable[n.Standing])
		if i == x.leader {
			out.WriteString(", leads")
		}
		if n.full(&v.Settings) {
			out.WriteString(", full")
		}
		if len(n.Locality) > 0 {
			fmt.Fprintf(out, ", %v", n.Locality)
		}
		out.WriteByte('\n')
	}
}

var (
	replicaTypeTable = [...]string{"none", "voter", "learner", "incoming", "outgoing"}
	livenessTable    = [...]string{"unknown", "up", "suspect", "dead"}
	standingTable    = [...]string{"unknown", "active", "draining", "decommissioning", "removed"}
)

func (t *trace) end(rule string, f finding) {
	answer := f.say
	switch {
	case f.verdict == hold && f.op.Kind != 0:
		answer = fmt.Sprintf("wait: %s: %v (%s)", answer, f.op, f.op.Reason)
	case f.verdict == hold:
		answer = "wait: " + answer
	case f.verdict == act:
		answer = f.op.String() + ": " + answer
	}
	fmt.Fprintf(&t.out, "%-10s %s\n", rule, answer)
	for _, n := range t.notes {
		fmt.Fprintf(&t.out, "%10s   %s\n", "", n)
	}
}

// skip says once that no further rule is asked.
func (t *trace) skip() {
	if !t.closed {
		t.out.WriteString("later rules are not asked\n")
	}
	t.closed = true
}

func (t *trace) conclude(p Plan) {
	for _, op := range p.Operators {
		if op.Range == t.id {
			fmt.Fprintf(&t.out, "decision: %v (%s: %s)\n", op, op.Rule, op.Reason)
			return
		}
	}
	t.out.WriteString("decision: nothing\n")
	for _, r := range p.Reports {
		if r.Range == t.id {
			fmt.Fprintf(&t.out, "problem: %v\n", r)
		}
	}
}
