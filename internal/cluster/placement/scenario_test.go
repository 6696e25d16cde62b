package placement

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/placement/load"
)

// TestScenarios runs the files in testdata. Sizes are in MiB, ages are durations.
// What is not said of a node is up, active and has been so for an hour. The commands:
//
//	settings   lines "name value": replicas n, slots n
//	nodes      lines "id region=r,zone=z [suspect|dead [age]] [draining|decommissioning|removed]
//	           [up age] [cap=n] [used=n] [full] [cpu=share]"
//	node       one such line, changed
//	ranges     lines "id start end replicas [key=value]"; the first replica leads. A replica is
//	           "node" or "id@node" with flags: 4/learner/caught-up/for=2/age=5m, 3/incoming.
//	           Keys: leader, next, bytes, reads, writes, middle, split, merged, moved (ages),
//	           hot=key, hot=single:key, pending (an AddLearner on that node)
//	pins       lines "start end [replicas=n] [require=tiers] [leader=n] [voters=n,n]"
//	bounds     keys
//	points     lines "prefix count [bytes=MiB] [reads=n] [writes=n]": keys with sizes and loads
//	decide     the plan
//	explain n
//	run        steps the model until it rests; prints the operators by rule and what the nodes have
//	           [ticks=n] stops before
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := scenario{newWorld(1)}
		s.Now, s.Settings = base.Stamp(1_700_000_000_000_000), DefaultSettings()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := s.run(t, d)
			if err != nil {
				out += "error: " + strings.SplitN(err.Error(), "\n", 2)[0]
			}
			if out = strings.TrimSpace(out); out != "" {
				out += "\n"
			}
			return out
		})
	})
}

type scenario struct{ *world }

func (s scenario) run(t *testing.T, d *datadriven.TestData) (string, error) {
	switch d.Cmd {
	case "settings":
		s.lines(d, func(f []string) { s.setting(f[0], f[1]) })
	case "nodes":
		s.Nodes = nil
		s.lines(d, s.setNode)
	case "node":
		s.lines(d, s.setNode)
	case "ranges":
		s.Ranges = nil
		s.lines(d, func(f []string) { s.Ranges = append(s.Ranges, s.parseRange(f)) })
	case "pins":
		s.Pins = nil
		s.lines(d, func(f []string) { s.Pins = append(s.Pins, parsePin(f)) })
	case "bounds":
		s.Bounds = nil
		s.lines(d, func(f []string) { s.Bounds = append(s.Bounds, []byte(f[0])) })
	case "points":
		s.parsePoints(d)
	case "decide":
		p, err := Decide(&s.Snapshot)
		return printPlan(p), err
	case "explain":
		return Explain(&s.Snapshot, base.RangeID(number(d.CmdArgs[0].Key)))
	case "run":
		return s.runModel(t, d)
	default:
		t.Fatalf("no such command: %s", d.Cmd)
	}
	return "", nil
}

func (s scenario) setNode(f []string) {
	n := s.parseNode(f)
	if s.down[n.ID] = n.Liveness != Up; s.node(n.ID).ID == 0 {
		s.Nodes = append(s.Nodes, n)
	}
	*s.node(n.ID) = n
}

func (s scenario) lines(d *datadriven.TestData, each func(fields []string)) {
	for _, line := range strings.Split(d.Input, "\n") {
		if f := strings.Fields(line); len(f) > 0 {
			each(f)
		}
	}
}

func printPlan(p Plan) string {
	var out strings.Builder
	for _, op := range p.Operators {
		fmt.Fprintf(&out, "%v (%s: %s)\n", op, op.Rule, op.Reason)
	}
	for _, r := range p.Reports {
		fmt.Fprintf(&out, "report: %v\n", r)
	}
	if out.Len() == 0 {
		return "nothing"
	}
	return out.String()
}

func (s scenario) runModel(t *testing.T, d *datadriven.TestData) (string, error) {
	ticks := restWithin
	d.MaybeScanArgs(t, "ticks", &ticks)
	for _, r := range s.Ranges {
		s.nextRange = max(s.nextRange, r.ID+1)
	}
	clear(s.ops)
	start, rested := s.Now, 0
	for range ticks {
		p, err := s.step()
		if err != nil {
			return "", err
		}
		if rested++; len(p.Operators) > 0 || s.busyRanges() > 0 {
			rested = 0
		}
		if rested == quietTicks*4 {
			break
		}
	}
	var out strings.Builder
	if rested < quietTicks*4 {
		fmt.Fprintf(&out, "after %v\n", s.age(start))
	} else {
		fmt.Fprintf(&out, "at rest after %v\n", s.age(start+base.Stamp(rested)*tick))
	}
	for _, op := range slices.Sorted(maps.Keys(s.ops)) {
		fmt.Fprintf(&out, "%3d %s\n", s.ops[op], op)
	}
	fmt.Fprintf(&out, "%d ranges\n%s", len(s.Ranges), s.distribution())
	return out.String(), nil
}

func number(s string) (n int64) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (s scenario) ago(age string) base.Stamp {
	d, err := time.ParseDuration(age)
	if err != nil {
		panic(err)
	}
	return s.Now - base.Stamp(d/time.Microsecond)
}

func (s scenario) setting(name, value string) {
	switch name {
	case "replicas":
		s.Settings.Replicas = int(number(value))
	case "slots":
		s.Settings.CopiesPerNode = int(number(value))
	default:
		panic(name)
	}
}

func (s scenario) parseNode(f []string) Node {
	n := Node{ID: base.NodeID(number(f[0])), Liveness: Up, Standing: Active, Since: s.ago("1h")}
	for _, a := range f[1:] {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "up":
			n.Liveness = Up
		case "suspect":
			n.Liveness = Suspect
		case "dead":
			n.Liveness = Dead
		case "draining":
			n.Standing = Draining
		case "decommissioning":
			n.Standing = Decommissioning
		case "removed":
			n.Standing = Removed
		case "full":
			n.Full = true
		case "cap":
			n.CapacityBytes = number(value) << 20
		case "used":
			n.UsedBytes = number(value) << 20
		case "cpu":
			n.CPU, _ = strconv.ParseFloat(value, 64)
		case "region", "zone":
			n.Locality = parseTiers(a)
		default:
			n.Since = s.ago(a)
		}
	}
	return n
}

func parseTiers(s string) (tiers []Tier) {
	for _, t := range strings.Split(s, ",") {
		key, value, _ := strings.Cut(t, "=")
		tiers = append(tiers, Tier{key, value})
	}
	return tiers
}

func (s scenario) parseRange(f []string) Range {
	r := Range{ID: base.RangeID(number(f[0])), Epoch: 1, Span: base.Span{Start: []byte(f[1]), End: []byte(f[2])}}
	for _, spec := range strings.Split(f[3], ",") {
		p := s.parseReplica(spec)
		r.Replicas = append(r.Replicas, p)
		r.NextReplica = max(r.NextReplica, p.ID+1)
	}
	r.Leader = r.Replicas[0].ID
	for _, a := range f[4:] {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "leader":
			r.Leader = base.ReplicaID(number(value))
		case "next":
			r.NextReplica = base.ReplicaID(number(value))
		case "bytes":
			r.Bytes = number(value) << 20
		case "reads":
			r.Reads = float64(number(value))
		case "writes":
			r.Writes = float64(number(value))
		case "middle":
			r.MiddleKey = []byte(value)
		case "split":
			r.LastSplit = s.ago(value)
		case "merged":
			r.LastMerge = s.ago(value)
		case "moved":
			r.LastMove = s.ago(value)
		case "hot":
			r.Hot = load.Verdict{Outcome: load.Splittable, Key: []byte(value), Left: 0.5, Right: 0.5}
			if single, ok := strings.CutPrefix(value, "single:"); ok {
				r.Hot = load.Verdict{Outcome: load.SingleHotKey, Key: []byte(single), Right: 1}
			}
		case "pending":
			r.Pending = Operator{Kind: AddLearner, Range: r.ID, Replica: r.NextReplica, Node: base.NodeID(number(value))}
		default:
			panic(a)
		}
	}
	return r
}

func (s scenario) parseReplica(spec string) Replica {
	flags := strings.Split(spec, "/")
	id, node, named := strings.Cut(flags[0], "@")
	if !named {
		node = id
	}
	p := Replica{ID: base.ReplicaID(number(id)), Node: base.NodeID(number(node)), Type: Voter, Added: s.Now}
	for _, flag := range flags[1:] {
		key, value, _ := strings.Cut(flag, "=")
		switch key {
		case "learner":
			p.Type = Learner
		case "incoming":
			p.Type = Incoming
		case "outgoing":
			p.Type = Outgoing
		case "caught-up":
			p.CaughtUp = true
		case "for":
			p.Replaces = base.ReplicaID(number(value))
		case "age":
			p.Added = s.ago(value)
		default:
			panic(flag)
		}
	}
	return p
}

func parsePin(f []string) Pin {
	p := Pin{Span: base.Span{Start: []byte(f[0]), End: []byte(f[1])}}
	for _, a := range f[2:] {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "replicas":
			p.Replicas = int(number(value))
		case "require":
			p.Require = parseTiers(value)
		case "leader":
			p.Leader = base.NodeID(number(value))
		case "voters":
			for _, v := range strings.Split(value, ",") {
				p.Voters = append(p.Voters, base.NodeID(number(v)))
			}
		default:
			panic(a)
		}
	}
	return p
}

func (s scenario) parsePoints(d *datadriven.TestData) {
	s.points = nil
	s.lines(d, func(f []string) {
		p := point{}
		for _, a := range f[2:] {
			key, value, _ := strings.Cut(a, "=")
			switch key {
			case "bytes":
				p.bytes = number(value) << 20
			case "reads":
				p.reads = float64(number(value))
			case "writes":
				p.writes = float64(number(value))
			}
		}
		for i := range number(f[1]) {
			p.key = fmt.Sprintf("%s%03d", f[0], i)
			s.points = append(s.points, p)
		}
	})
	slices.SortFunc(s.points, func(a, b point) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
}
