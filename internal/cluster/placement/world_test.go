package placement

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/placement/load"
)

const (
	tick = base.Stamp(5 * time.Second / time.Microsecond)
	// suspectFor is how long a silent node is suspected before it counts as dead.
	suspectFor = 2 * tick
)

// point is a key with its bytes and its traffic.
type point struct {
	key           string
	bytes         int64
	reads, writes float64
}

// world is a model of a cluster that carries out operators: each takes a while
// and may fail; learners take a while to catch up and may never; ranges whose
// leader's node is down elect another one. What is measured may be noisy.
type world struct {
	Snapshot
	random    *rand.Rand
	points    []point // in order of their keys
	down      map[base.NodeID]bool
	due       map[base.RangeID]base.Stamp // of pending operators
	catchUp   map[base.RangeID]base.Stamp // of learners; 0 is never
	nextRange base.RangeID
	failures  float64 // probability that an operator fails
	noise     float64 // relative error of the load
	slow      int     // ticks that a learner needs at most
	ops       map[string]int
	moves     map[base.RangeID]int // operators per range
}

func newWorld(seed uint64) *world {
	return &world{random: rand.New(rand.NewPCG(seed, 1)), down: map[base.NodeID]bool{}, due: map[base.RangeID]base.Stamp{},
		catchUp: map[base.RangeID]base.Stamp{}, ops: map[string]int{}, moves: map[base.RangeID]int{}, slow: 1}
}

// step advances the world by one tick and carries out what the function decides.
func (w *world) step() (Plan, error) {
	w.Now += tick
	w.heartbeats()
	for i := 0; i < len(w.Ranges); i++ {
		if id := w.Ranges[i].ID; w.Ranges[i].Pending.Kind != 0 && w.due[id] <= w.Now {
			if err := w.finish(id); err != nil {
				return Plan{}, err
			}
		}
	}
	for i := range w.Ranges {
		w.live(&w.Ranges[i])
	}
	w.measure()
	p, err := Decide(&w.Snapshot)
	if err == nil {
		err = w.start(p)
	}
	return p, err
}

func (w *world) node(id base.NodeID) *Node {
	i := slices.IndexFunc(w.Nodes, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return &Node{Liveness: Dead, Standing: Removed}
	}
	return &w.Nodes[i]
}

func (w *world) rangeByID(id base.RangeID) int {
	return slices.IndexFunc(w.Ranges, func(r Range) bool { return r.ID == id })
}

func (w *world) heartbeats() {
	for i := range w.Nodes {
		n := &w.Nodes[i]
		want := Up
		if w.down[n.ID] {
			want = Suspect
			if n.Liveness == Dead || n.Liveness == Suspect && w.Now-n.Since >= suspectFor {
				want = Dead
			}
		}
		if n.Liveness != want {
			n.Liveness, n.Since = want, w.Now
		}
	}
}

// live lets learners catch up and a range without a leader elect one.
func (w *world) live(r *Range) {
	up := func(p Replica) bool { return w.node(p.Node).Liveness == Up }
	if i := slices.IndexFunc(r.Replicas, func(p Replica) bool { return p.ID == r.Leader && up(p) }); i < 0 {
		r.Leader = 0
		if w.quorate(r) {
			for _, j := range w.random.Perm(len(r.Replicas)) {
				if p := r.Replicas[j]; (p.Type == Voter || p.Type == Incoming) && up(p) {
					r.Leader = p.ID
				}
			}
		}
	}
	for i := range r.Replicas {
		p := &r.Replicas[i]
		if at := w.catchUp[r.ID]; p.Type == Learner && !p.CaughtUp && at != 0 && at <= w.Now && up(*p) && r.Leader != 0 {
			p.CaughtUp = true
		}
	}
}

func (w *world) quorate(r *Range) bool {
	var live, of, oldLive, oldOf int
	for _, p := range r.Replicas {
		up := 0
		if w.node(p.Node).Liveness == Up {
			up = 1
		}
		if p.Type == Voter || p.Type == Incoming {
			live, of = live+up, of+1
		}
		if p.Type == Voter || p.Type == Outgoing {
			oldLive, oldOf = oldLive+up, oldOf+1
		}
	}
	return live > of/2 && oldLive > oldOf/2
}

// measure derives sizes, loads and the use of nodes from the points.
func (w *world) measure() {
	used, ops := map[base.NodeID]int64{}, map[base.NodeID]float64{}
	next := 0
	for i := range w.Ranges {
		r := &w.Ranges[i]
		first := next
		for next < len(w.points) && r.Span.Contains([]byte(w.points[next].key)) {
			next++
		}
		w.measureRange(r, w.points[first:next])
		for _, p := range r.Replicas {
			if p.Type != Learner || p.CaughtUp {
				used[p.Node] += r.Bytes
			}
			ops[p.Node] += r.Writes / 2
			if p.ID == r.Leader {
				ops[p.Node] += r.Reads + r.Writes/2
			}
		}
	}
	for i := range w.Nodes {
		w.Nodes[i].UsedBytes = used[w.Nodes[i].ID]
		w.Nodes[i].CPU = min(1, ops[w.Nodes[i].ID]/20_000)
	}
}

func (w *world) measureRange(r *Range, points []point) {
	r.Bytes, r.Reads, r.Writes, r.MiddleKey = 0, 0, 0, nil
	for _, p := range points {
		r.Bytes, r.Reads, r.Writes = r.Bytes+p.bytes, r.Reads+p.reads, r.Writes+p.writes
	}
	half := int64(0)
	for _, p := range points {
		if half += p.bytes; half > r.Bytes/2 {
			r.MiddleKey = []byte(p.key)
			break
		}
	}
	if r.Hot = (load.Verdict{}); r.Reads+r.Writes >= w.Settings.SplitOps {
		sample := load.New(uint64(r.ID))
		for _, p := range points {
			for range int((p.reads + p.writes) / (r.Reads + r.Writes) * 500) {
				sample.RecordKey([]byte(p.key), p.writes > p.reads)
			}
		}
		r.Hot = sample.Best(r.Span)
	}
	noise := 1 + w.noise*(2*w.random.Float64()-1)
	r.Reads, r.Writes = r.Reads*noise, r.Writes*noise
}

// start takes a plan and checks that it is one: see checkPlan.
func (w *world) start(p Plan) error {
	if err := w.checkPlan(p); err != nil {
		return err
	}
	for _, op := range p.Operators {
		w.ops[op.Rule+" "+op.Kind.String()]++
		w.moves[op.Range]++
		r := &w.Ranges[w.rangeByID(op.Range)]
		r.Pending, w.due[r.ID] = op, w.Now+tick*base.Stamp(1+w.random.IntN(2))
		if op.Kind == Merge {
			// The right range is frozen meanwhile.
			w.Ranges[w.rangeByID(op.Right)].Pending, w.due[op.Right] = op, w.due[r.ID]+tick
		}
	}
	return nil
}

// finish ends a pending operator; it fails where a real one would.
func (w *world) finish(id base.RangeID) error {
	r := &w.Ranges[w.rangeByID(id)]
	op := r.Pending
	r.Pending = Operator{}
	if op.Range != id || w.random.Float64() < w.failures || !w.quorate(r) || op.Epoch != r.Epoch {
		return nil
	}
	if gone := op.Kind == RemoveReplica && op.Replica == r.Leader || op.Kind == Promote && op.Replaces == r.Leader; gone && r.Leader != 0 {
		return nil // another one was elected meanwhile, and a leader does not remove itself
	}
	return errors.Wrapf(w.carryOut(r, op), "%v", op)
}

func (w *world) carryOut(r *Range, op Operator) error {
	find := func(id base.ReplicaID) *Replica {
		return &r.Replicas[slices.IndexFunc(r.Replicas, func(p Replica) bool { return p.ID == id })]
	}
	switch op.Kind {
	case AddLearner:
		r.Replicas = append(slices.Clone(r.Replicas), Replica{ID: op.Replica, Node: op.Node, Type: Learner, Replaces: op.Replaces, Added: w.Now})
		r.NextReplica++
		w.catchUp[r.ID] = w.Now + tick*base.Stamp(1+w.random.IntN(w.slow))
		if w.random.Float64() < w.failures/2 {
			w.catchUp[r.ID] = 0
		}
	case Promote:
		p := find(op.Replica)
		if p.Type = Voter; op.Replaces != 0 {
			p.Type, find(op.Replaces).Type = Incoming, Outgoing
		}
		r.LastMove = w.Now
	case LeaveJoint:
		r.Replicas = slices.DeleteFunc(slices.Clone(r.Replicas), func(p Replica) bool { return p.Type == Outgoing })
		for i := range r.Replicas {
			r.Replicas[i].Type = Voter
		}
	case RemoveReplica:
		r.Replicas = slices.DeleteFunc(slices.Clone(r.Replicas), func(p Replica) bool { return p.ID == op.Replica })
	case TransferLeader:
		if w.node(op.Node).Liveness == Up {
			r.Leader, r.LastMove = op.Replica, w.Now
		}
	case Split:
		w.split(r, op.Key)
	case Merge:
		return w.mergeRanges(r, op.Right)
	}
	return nil
}

func (w *world) split(r *Range, key []byte) {
	right := *r
	right.ID, right.Replicas = w.nextRange, slices.Clone(r.Replicas)
	w.nextRange++
	right.Span.Start, r.Span.End = key, key
	r.Epoch, right.Epoch = r.Epoch+1, r.Epoch+1
	r.LastSplit, right.LastSplit = w.Now, w.Now
	w.moves[right.ID] = w.moves[r.ID]
	w.Ranges = slices.Insert(w.Ranges, w.rangeByID(r.ID)+1, right)
}

func (w *world) mergeRanges(r *Range, id base.RangeID) error {
	right := w.Ranges[w.rangeByID(id)]
	home := func(r *Range) (nodes []base.NodeID) {
		for _, p := range r.Replicas {
			nodes = append(nodes, p.Node)
		}
		slices.Sort(nodes)
		return nodes
	}
	if !slices.Equal(home(r), home(&right)) || !bytes.Equal(r.Span.End, right.Span.Start) {
		return errors.New("the neighbour is elsewhere")
	}
	r.Span.End, r.LastMerge = right.Span.End, w.Now
	r.Epoch = max(r.Epoch, right.Epoch) + 1
	w.Ranges = slices.DeleteFunc(w.Ranges, func(r Range) bool { return r.ID == id })
	return nil
}

// distribution shows what the nodes have.
func (w *world) distribution() string {
	var out strings.Builder
	for _, n := range w.Nodes {
		replicas, leaders, ops := 0, 0, 0.0
		for _, r := range w.Ranges {
			for _, p := range r.Replicas {
				if p.Node == n.ID {
					replicas++
					if ops += r.Writes / 2; p.ID == r.Leader {
						leaders++
						ops += r.Reads + r.Writes/2
					}
				}
			}
		}
		fmt.Fprintf(&out, "n%d: %d replicas, %d leaders, %d bytes, load %.0f\n", n.ID, replicas, leaders, n.UsedBytes, ops)
	}
	return out.String()
}
