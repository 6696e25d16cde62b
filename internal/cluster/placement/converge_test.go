package placement

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

var seedFlag = flag.Uint64("seed", 0, "run only this seed of TestConverges")

const (
	// quietTicks is how many ticks without an operator count as rest: longer than
	// every cool-down.
	quietTicks = 60
	// restWithin bounds the ticks from the last event to rest.
	restWithin = 1500
	// operatorsPerRange bounds what rest may cost, on the average of the ranges
	// and for each of them.
	operatorsPerRange, operatorsOfOneRange = 20, 60
)

// TestConverges: from any state, with events on the way, a cluster comes to rest:
// no operator is proposed any more although the measured load is noisy. Every
// plan on the way is held against the rules by checkPlan.
func TestConverges(t *testing.T) {
	seeds := 24
	if testing.Short() {
		seeds = 3
	}
	worst, ops, ranges, most := 0, 0, 0, 0
	for seed := uint64(1); seed <= uint64(seeds); seed++ {
		if *seedFlag != 0 {
			seed = *seedFlag
		}
		w := randomWorld(seed)
		w.disturb(t, seed, 200)
		ticks, err := w.rest()
		if err != nil {
			t.Fatalf("seed %d: %+v\n%s%v", seed, err, w.distribution(), w.ops)
		}
		if err := w.checkRest(); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, w.distribution())
		}
		worst = max(worst, ticks)
		ranges += len(w.Ranges)
		for _, n := range w.moves {
			ops, most = ops+n, max(most, n)
		}
		if *seedFlag != 0 {
			t.Logf("rest after %d ticks: %v\n%s", ticks, w.ops, w.distribution())
			break
		}
	}
	t.Logf("%d seeds, %d ranges: %d operators from the last event to rest, at most %d for one range, within %d ticks",
		seeds, ranges, ops, most, worst)
}

// TestHysteresisIsNeeded: the same clusters do not come to rest if a node gives
// whenever it has more than another. If they did, TestConverges would show nothing.
func TestHysteresisIsNeeded(t *testing.T) {
	none := Margin{Share: -1, Least: -0.5}
	for name, remove := range map[string]func(s *Settings){
		"leaders":  func(s *Settings) { s.LeaderMargin = none },
		"replicas": func(s *Settings) { s.ReplicaMargin = none },
		"load":     func(s *Settings) { s.LoadMargin = none },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 20; seed++ {
				w := randomWorld(seed)
				remove(&w.Settings)
				w.disturb(t, seed, 50)
				if _, err := w.rest(); errors.Is(err, errRestless) {
					return
				} else if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			t.Fatal("20 clusters came to rest")
		})
	}
}

var errRestless = errors.New("does not come to rest")

// rest runs until no operator was proposed for a while.
func (w *world) rest() (ticks int, err error) {
	clear(w.ops)
	clear(w.moves)
	for quiet := 0; quiet < quietTicks; ticks++ {
		if ticks > restWithin {
			return ticks, errors.Wrapf(errRestless, "after %d ticks", ticks)
		}
		p, err := w.step()
		if err != nil {
			return ticks, errors.Wrapf(err, "tick %d", ticks)
		}
		if quiet++; len(p.Operators) > 0 || w.busyRanges() > 0 {
			quiet = 0
		}
	}
	total := 0
	for _, n := range w.ops {
		total += n
	}
	for id, n := range w.moves {
		if n > operatorsOfOneRange {
			return ticks, errors.Wrapf(errRestless, "%d operators for r%d", n, id)
		}
	}
	if total > operatorsPerRange*len(w.moves) {
		return ticks, errors.Wrapf(errRestless, "%d operators for %d ranges", total, len(w.moves))
	}
	return ticks, nil
}

func (w *world) busyRanges() (n int) {
	for i := range w.Ranges {
		if w.Ranges[i].Pending.Kind != 0 {
			n++
		}
	}
	return n
}

// checkRest: nothing half done is left where something can be done about it, and
// no voter is on a lost or leaving node that another node could replace.
func (w *world) checkRest() error {
	excused := map[base.RangeID]bool{}
	p, err := Decide(&w.Snapshot)
	if err != nil {
		return err
	}
	for _, r := range p.Reports {
		excused[r.Range] = true
	}
	for i := range w.Ranges {
		r := &w.Ranges[i]
		if excused[r.ID] || !w.quorate(r) {
			continue
		}
		for _, p := range r.Replicas {
			n := w.node(p.Node)
			if p.Type != Voter {
				return w.left(r, p)
			}
			if n.Liveness == Dead || n.Standing != Active {
				return w.left(r, p)
			}
		}
	}
	return nil
}

func (w *world) left(r *Range, p Replica) error {
	why, err := Explain(&w.Snapshot, r.ID)
	return errors.CombineErrors(errors.Newf("%+v is left:\n%s", p, why), err)
}

// randomWorld has three to nine nodes in up to three zones and up to 300 ranges
// in any state that a cluster can be in.
func randomWorld(seed uint64) *world {
	w := newWorld(seed)
	w.Now = base.Stamp(1_700_000_000_000_000)
	w.failures, w.noise, w.slow = 0.1, 0.05, 8
	w.Settings = DefaultSettings()
	s := &w.Settings
	s.Replicas = []int{1, 3, 3, 5}[w.random.IntN(4)]
	s.DeadAfter, s.SettleAfter, s.LearnerTimeout = time.Minute, 15*time.Second, 2*time.Minute
	s.MergeCooldown, s.MoveCooldown = 2*time.Minute, 30*time.Second
	nodes, zones := 3+w.random.IntN(7), 1+w.random.IntN(3)
	for i := range nodes {
		w.addNode(base.NodeID(i+1), i%zones)
	}
	ranges := 1 + w.random.IntN(300)
	for i := range 4 * ranges {
		p := point{key: fmt.Sprintf("k%06d", i), bytes: int64(w.random.ExpFloat64() * 20 * (1 << 20))}
		p.reads, p.writes = w.random.ExpFloat64()*150, w.random.ExpFloat64()*50
		w.points = append(w.points, p)
	}
	for i := range ranges {
		w.addRange(i, ranges)
	}
	w.nextRange = base.RangeID(ranges + 1)
	w.randomPins(ranges)
	return w
}

func (w *world) addNode(id base.NodeID, zone int) {
	w.Nodes = append(w.Nodes, Node{ID: id, Liveness: Up, Standing: Active, Since: w.Now - 100*tick, CapacityBytes: 200 << 30,
		Locality: Locality{{"region", fmt.Sprint(zone / 2)}, {"zone", fmt.Sprint(zone)}}})
}

func (w *world) addRange(i, of int) {
	r := Range{ID: base.RangeID(i + 1), Epoch: 1, NextReplica: 1, Span: base.Span{Start: fmt.Appendf(nil, "k%06d", 4*i), End: fmt.Appendf(nil, "k%06d", 4*(i+1))}}
	if i == 0 {
		r.Span.Start = []byte("a")
	}
	if i == of-1 {
		r.Span.End = []byte("z")
	}
	nodes := w.random.Perm(len(w.Nodes))
	for _, n := range nodes[:1+w.random.IntN(min(len(nodes), w.Settings.Replicas+1))] {
		r.Replicas = append(r.Replicas, Replica{ID: r.NextReplica, Node: base.NodeID(n + 1), Type: Voter, Added: w.Now - tick})
		r.NextReplica++
	}
	r.Leader = 1
	if last := &r.Replicas[len(r.Replicas)-1]; last.ID > 1 {
		last.Type = []ReplicaType{Voter, Voter, Learner, Incoming, Outgoing}[w.random.IntN(5)]
	}
	w.Ranges = append(w.Ranges, r)
}

func (w *world) randomPins(ranges int) {
	for range w.random.IntN(4) {
		a, b := w.random.IntN(4*ranges), w.random.IntN(4*ranges)
		p := Pin{Span: base.Span{Start: fmt.Appendf(nil, "k%06d", min(a, b)), End: fmt.Appendf(nil, "k%06d", max(a, b)+1)}}
		p.Leader = base.NodeID(1 + w.random.IntN(len(w.Nodes)))
		if w.random.IntN(2) == 0 {
			p.Voters = []base.NodeID{base.NodeID(1 + w.random.IntN(len(w.Nodes)))}
		}
		w.Pins = append(w.Pins, p)
	}
}

// disturb lets things happen for some ticks. At most one node is down when the
// events end, and enough nodes stay to hold the replicas.
func (w *world) disturb(t *testing.T, seed uint64, ticks int) {
	t.Helper()
	events := rand.New(rand.NewPCG(seed, 2))
	for i := range ticks {
		if events.IntN(20) == 0 {
			w.event(events)
		}
		if _, err := w.step(); err != nil {
			t.Fatalf("seed %d, event phase, tick %d: %+v", seed, i, err)
		}
	}
}

func (w *world) event(events *rand.Rand) {
	n := &w.Nodes[events.IntN(len(w.Nodes))]
	leaving := slices.ContainsFunc(w.Nodes, func(n Node) bool { return n.Standing != Active })
	switch events.IntN(6) {
	case 0:
		clear(w.down)
		w.down[n.ID] = true
	case 1:
		clear(w.down)
	case 2:
		if len(w.Nodes) < 9 {
			w.addNode(base.NodeID(len(w.Nodes)+1), events.IntN(3))
		}
	case 3:
		if !leaving && len(w.Nodes) > 3 {
			n.Standing = []Standing{Draining, Decommissioning}[events.IntN(2)]
		}
	case 4:
		for i := range w.Nodes {
			w.Nodes[i].Standing = Active
		}
	case 5:
		first := events.IntN(len(w.points))
		for i := first; i < min(len(w.points), first+20); i++ {
			w.points[i].reads = events.ExpFloat64() * 2000
		}
		if events.IntN(2) == 0 {
			for i := first; i < min(len(w.points), first+200); i++ {
				w.points[i].reads, w.points[i].writes, w.points[i].bytes = 1, 0, 100
			}
		}
	}
}
