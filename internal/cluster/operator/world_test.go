package operator

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/census"
	"github.com/stratadb/strata/internal/cluster/placement"
	"github.com/stratadb/strata/internal/cluster/remote"
)

// world is a cluster without data: nodes that tell of the ranges that they lead, and do
// at once what an operator asks for.
type world struct {
	mu       sync.Mutex
	t        *testing.T
	clock    atomic.Int64 // microseconds
	leads    bool
	nodes    []base.NodeID
	standing map[base.NodeID]placement.Standing
	silent   map[base.NodeID]bool
	places   map[base.NodeID]placement.Locality
	pins     []placement.Pin
	bounds   [][]byte
	ranges   map[base.RangeID]*wranged
	version  uint64
	asked    []uint64             // versions that nodes were asked since
	told     int                  // ranges in their answers
	done     []placement.Operator // what was carried out, or tried
	refuse   error
	// unreadable: the rows of the ranges cannot be read.
	unreadable error
	o          *Operator
}

type wranged struct {
	census.Range
	node    base.NodeID // that leads
	version uint64
	was     map[base.NodeID]bool // has led
}

func newWorld(t *testing.T, nodes int, opt Options) *world {
	w := &world{t: t, leads: true, standing: map[base.NodeID]placement.Standing{},
		silent: map[base.NodeID]bool{}, ranges: map[base.RangeID]*wranged{}, version: 1}
	for i := range nodes {
		w.nodes = append(w.nodes, base.NodeID(i+1))
	}
	w.clock.Store(1e15)
	opt.Self, opt.Now = 1, func() time.Time { return time.UnixMicro(w.clock.Load()) }
	opt.Log = slog.New(slog.DiscardHandler)
	if opt.Replicas == 0 {
		opt.Replicas = 3
	}
	if opt.DeadAfter == 0 {
		opt.DeadAfter = 30 * time.Second
	}
	if opt.SplitBytes == 0 {
		opt.SplitBytes, opt.SplitOps = 1<<30, 1e9
	}
	w.o = New(w, opt)
	return w
}

// add makes a range behind the last one, whose voters are on the nodes given; the first
// of them leads.
func (w *world) add(nodes ...base.NodeID) *wranged {
	id := base.RangeID(len(w.ranges) + 1)
	key := func(n base.RangeID) []byte { return fmt.Appendf(nil, "%04d", n) }
	r := &wranged{node: nodes[0], was: map[base.NodeID]bool{nodes[0]: true}}
	r.Term, r.Leader = 1, 1
	r.Descriptor = base.RangeDescriptor{ID: id, Epoch: 1, Span: base.Span{Start: key(id), End: key(id + 1)}, NextReplica: base.ReplicaID(len(nodes) + 1)}
	for i, n := range nodes {
		r.Descriptor.Replicas = append(r.Descriptor.Replicas, base.ReplicaDescriptor{Node: n, Replica: base.ReplicaID(i + 1)})
	}
	w.ranges[id] = r
	w.changed(r)
	return r
}

func (w *world) changed(r *wranged) {
	w.version++
	r.version = w.version
	r.Descriptor.Replicas = slices.Clone(r.Descriptor.Replicas)
	r.CaughtUp = nil
	for _, m := range r.Descriptor.Replicas {
		if m.Role == base.Learner && !w.silent[m.Node] {
			r.CaughtUp = append(r.CaughtUp, m.Replica)
		}
	}
}

// elect makes a voter the leader.
func (w *world) elect(r *wranged, id base.ReplicaID) {
	m, _ := r.Descriptor.Replica(id)
	r.node, r.Leader = m.Node, id
	r.Term++
	r.was[m.Node] = true
	w.changed(r)
}

func (w *world) Leads() bool          { return w.leads }
func (w *world) Nodes() []base.NodeID { return w.nodes }

func (w *world) Wishes(_ context.Context, known string) (Wishes, bool) {
	version := fmt.Sprint(len(w.pins), w.bounds)
	return Wishes{Version: version, Pins: w.pins, Bounds: w.bounds}, version != known
}

func (w *world) Locality(id base.NodeID) placement.Locality { return w.places[id] }

func (w *world) Ranges(context.Context) (list []base.RangeDescriptor, err error) {
	for _, r := range w.ranges {
		list = append(list, r.Descriptor)
	}
	return list, w.unreadable
}

func (w *world) Standing(id base.NodeID) placement.Standing {
	return max(w.standing[id], placement.Active)
}

func (w *world) Heard(id base.NodeID) (time.Time, bool) { return time.Time{}, false }

func (w *world) States(_ context.Context, node base.NodeID, since uint64) (r census.Report, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent[node] {
		return r, base.ErrUnavailable
	}
	w.asked = append(w.asked, since)
	r = census.Report{Version: w.version, All: since == 0}
	for id, x := range w.ranges {
		switch {
		case x.version <= since:
		case x.node == node:
			r.Ranges = append(r.Ranges, x.Range)
		case x.was[node]:
			r.Gone = append(r.Gone, id)
		}
	}
	w.told += len(r.Ranges)
	return r, nil
}

func (w *world) Do(_ context.Context, at base.NodeID, op placement.Operator) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, op)
	r := w.ranges[op.Range]
	switch {
	case w.refuse != nil:
		return w.refuse
	case r.node != at:
		return &remote.NotLeader{Leader: r.node}
	case r.Descriptor.Epoch != op.Epoch:
		return errors.Wrap(remote.ErrRefused, "epoch")
	}
	d := &r.Descriptor
	switch op.Kind {
	case placement.AddLearner:
		if op.Replica != d.NextReplica {
			w.t.Errorf("%v, but the next id is %d", op, d.NextReplica)
		}
		d.Replicas = append(slices.Clone(d.Replicas), base.ReplicaDescriptor{Node: op.Node, Replica: op.Replica, Role: base.Learner})
		d.NextReplica++
	case placement.Promote:
		w.remove(r, op.Replaces)
		i := slices.IndexFunc(d.Replicas, func(m base.ReplicaDescriptor) bool { return m.Replica == op.Replica })
		d.Replicas[i].Role = base.Voter
	case placement.RemoveReplica:
		w.remove(r, op.Replica)
	case placement.TransferLeader:
		w.elect(r, op.Replica)
		return nil
	case placement.Split:
		right := *r
		right.Descriptor.ID, right.was = base.RangeID(len(w.ranges)+1), map[base.NodeID]bool{r.node: true}
		right.Descriptor.Epoch++
		right.Descriptor.Span.Start, d.Span.End = op.Key, op.Key
		right.Load, right.Middle, r.Load, r.Middle = census.Load{}, nil, census.Load{}, nil
		w.ranges[right.Descriptor.ID] = &right
		w.changed(&right)
	}
	if op.Kind == placement.Merge {
		right := w.ranges[op.Right]
		if right.node != r.node || !bytes.Equal(right.Descriptor.Span.Start, d.Span.End) {
			w.t.Errorf("%v: %+v", op, right)
		}
		d.Span.End, d.Epoch = right.Descriptor.Span.End, max(d.Epoch, right.Descriptor.Epoch)
		right.node = 0
		w.changed(right)
	}
	d.Epoch++
	w.changed(r)
	return nil
}

func (w *world) remove(r *wranged, id base.ReplicaID) {
	if id != 0 && id == r.Leader {
		w.t.Errorf("the leader of range %d is to be removed", r.Descriptor.ID)
	}
	r.Descriptor.Replicas = slices.DeleteFunc(slices.Clone(r.Descriptor.Replicas), func(m base.ReplicaDescriptor) bool { return m.Replica == id })
}

// rounds lets rounds pass, half a second each.
func (w *world) rounds(n int) {
	w.t.Helper()
	for range n {
		w.clock.Add(Every.Microseconds())
		if err := w.o.Round(context.Background()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// rest lets rounds pass until nothing is done for a minute.
func (w *world) rest() {
	w.t.Helper()
	const quiet = int(3 * time.Minute / Every)
	for n := 0; ; n++ {
		before := len(w.done)
		if w.rounds(quiet); len(w.done) == before {
			return
		}
		if n == 50 {
			w.t.Fatalf("no rest after %d operators; the last are %v", len(w.done), w.done[len(w.done)-8:])
		}
	}
}

// held counts the replicas, and the leaders, of each node.
func (w *world) held() (replicas, leaders map[base.NodeID]int) {
	replicas, leaders = map[base.NodeID]int{}, map[base.NodeID]int{}
	for _, r := range w.ranges {
		leaders[r.node]++
		for _, m := range r.Descriptor.Replicas {
			replicas[m.Node]++
		}
	}
	return replicas, leaders
}
