package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/proto"
)

// faults does things to a cluster.
type faults struct {
	c    *cluster
	rnd  *rand.Rand
	load *load
	gaps map[string][]time.Duration // until transactions went on, by what was done

	merged, moved atomic.Int64
}

func (f *faults) between(low, high time.Duration) time.Duration {
	return low + time.Duration(f.rnd.Int64N(int64(high-low)))
}

// rest lets the cluster work for a while.
func (f *faults) rest(low, high time.Duration) { <-time.After(f.between(low, high)) }

// one does something, and undoes it.
func (f *faults) one() {
	kinds := []func() string{f.kill, f.kill, f.pause, f.killAll}
	if f.c.isolated {
		kinds = append(kinds, f.isolate, f.mute, f.part)
	}
	began := time.Since(f.load.began)
	what := kinds[f.rnd.IntN(len(kinds))]()
	f.rest(800*time.Millisecond, 2500*time.Millisecond)
	if took, ok := f.load.after(began, 20); ok {
		f.gaps[what] = append(f.gaps[what], took)
	}
}

// hold picks some of the nodes, to do something to them; release, if it is not nil, gives
// them back. Of the cluster's nodes fewer than asked for may be free for it.
func (f *faults) hold(n int) (list []int, release func()) {
	list = f.c.taken()
	f.rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if n > 0 {
		list = list[:min(n, len(list))]
	}
	sorted := slices.Sorted(slices.Values(list))
	for _, i := range sorted {
		f.c.busy[i].Lock()
	}
	list = slices.DeleteFunc(list, func(i int) bool { return !slices.Contains(f.c.taken(), i) }) // it has left meanwhile
	return list, func() {
		for _, i := range sorted {
			f.c.busy[i].Unlock()
		}
	}
}

func (f *faults) kill() string {
	list, release := f.hold(1)
	defer release()
	for _, i := range list {
		f.c.node(i).Kill()
		f.rest(100*time.Millisecond, 3*time.Second)
		f.c.launch(i)
		f.c.awaitOne(i)
	}
	return "kill -9"
}

// killAll is what a failure of the power looks like from outside, but for what the disks
// had not written: that is simulated (test/sim).
func (f *faults) killAll() string {
	list, release := f.hold(0)
	defer release()
	for _, i := range list {
		f.c.node(i).Kill()
	}
	for _, i := range list {
		f.c.launch(i)
	}
	for _, i := range list {
		f.c.awaitOne(i)
	}
	return "kill -9 of all"
}

func (f *faults) pause() string {
	list, release := f.hold(1)
	defer release()
	for _, i := range list {
		n := f.c.node(i)
		n.Pause()
		f.rest(100*time.Millisecond, 3*time.Second)
		n.Resume()
	}
	return "stop and go on"
}

// isolate cuts a node off from all others.
func (f *faults) isolate() string {
	list, release := f.hold(0)
	defer release()
	f.cuts(pairs(list))
	return "isolated node"
}

// mute drops what a node sends to one or all others.
func (f *faults) mute() string {
	list, release := f.hold(0)
	defer release()
	var cuts [][2]int
	for _, j := range list[1:] {
		cuts = append(cuts, [2]int{list[0], j})
	}
	if f.rnd.IntN(2) == 0 {
		cuts = cuts[:1]
	}
	f.cuts(cuts)
	return "one-way cut"
}

// part cuts two nodes off from each other, which both reach the others.
func (f *faults) part() string {
	list, release := f.hold(2)
	defer release()
	f.cuts(pairs(list))
	return "partial cut"
}

// pairs are both directions between the first node and the others.
func pairs(list []int) (cuts [][2]int) {
	for _, j := range list[1:] {
		cuts = append(cuts, [2]int{list[0], j}, [2]int{j, list[0]})
	}
	return cuts
}

func (f *faults) cuts(list [][2]int) {
	for _, x := range list {
		if err := cut(f.c.node(x[0]).PID, x[1]); err != nil {
			f.c.t.Error(err)
		}
	}
	f.rest(500*time.Millisecond, 5*time.Second)
	for _, x := range list {
		if err := heal(f.c.node(x[0]).PID, x[1]); err != nil {
			f.c.t.Error(err)
		}
	}
}

// move cuts and unites ranges and moves their leaders and copies, until stop is closed; what is refused because
// something else is under way, or because nobody answers, is left.
func (f *faults) move(rnd *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(100+rnd.IntN(900)) * time.Millisecond):
		}
		at := f.c.any(rnd)
		_ = f.c.distribution(at, func(ctx context.Context, d proto.DistributionClient) error {
			known, err := d.ListRoutes(ctx, &proto.ListRoutesRequest{})
			if err != nil || len(known.Routes) == 0 {
				return err
			}
			switch i := rnd.IntN(len(known.Routes)); {
			case len(known.Routes) < ranges && rnd.IntN(2) == 0:
				return f.split(ctx, d, rnd, known)
			case i > 0 && len(known.Routes) > 3 && rnd.IntN(4) == 0:
				_, err = d.MergeRanges(ctx, &proto.MergeRangesRequest{ExpectedCatalogVersion: known.CatalogVersion,
					LeftRouteId: known.Routes[i-1].RouteId, RightRouteId: known.Routes[i].RouteId})
				if err == nil {
					f.merged.Add(1)
				}
				return err
			}
			route := known.Routes[rnd.IntN(len(known.Routes))].RouteId
			to, err := f.c.id(rnd, f.c.any(rnd))
			if err != nil {
				return err
			}
			if rnd.IntN(2) == 0 {
				return f.moveCopy(ctx, d, rnd, to)
			}
			_, err = d.TransferLeader(ctx, &proto.TransferLeaderRequest{RouteId: route, NodeId: uint64(to)})
			return err
		})
	}
}

// moveCopy moves a copy of a range that a node does not hold to it.
func (f *faults) moveCopy(ctx context.Context, d proto.DistributionClient, rnd *rand.Rand, to int) error {
	list, err := f.c.copies(rnd)
	if err != nil {
		return err
	}
	rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, r := range list {
		if len(r.Voters) != size || len(r.Learners) > 0 || slices.Contains(r.Voters, to) {
			continue
		}
		_, err := d.MoveReplica(ctx, &proto.MoveReplicaRequest{RouteId: uint64(r.ID), FromNodeId: uint64(r.Voters[rnd.IntN(size)]), ToNodeId: uint64(to)})
		if err == nil {
			f.moved.Add(1)
		}
		return err
	}
	return nil
}

// ranges is how many there are at most.
const ranges = 12

func (f *faults) split(ctx context.Context, d proto.DistributionClient, rnd *rand.Rand, known *proto.ListRoutesResponse) error {
	user := account(rnd.IntN(accounts))
	if rnd.IntN(2) == 0 {
		user = fmt.Appendf(nil, "list%02d", rnd.IntN(lists))
	}
	key := append(keyspace.AppendModel(nil, 1, keyspace.ModelZMap), user...)
	for _, r := range known.Routes {
		if string(r.Start) < string(key) && string(key) < string(r.End) {
			_, err := d.SplitRange(ctx, &proto.SplitRangeRequest{ExpectedCatalogVersion: known.CatalogVersion, RouteId: r.RouteId, SplitKey: key})
			return err
		}
	}
	return nil
}
