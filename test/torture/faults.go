package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
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

	merged atomic.Int64
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

func (f *faults) some() int { return 1 + f.rnd.IntN(size) }

// other is a node that is not i.
func (f *faults) other(i int) int { return 1 + (i+f.rnd.IntN(size-1))%size }

func (f *faults) kill() string {
	i := f.some()
	f.c.node(i).Kill()
	f.rest(100*time.Millisecond, 3*time.Second)
	f.c.launch(i)
	f.c.awaitOne(i)
	return "kill -9"
}

// killAll is what a failure of the power looks like from outside, but for what the disks
// had not written: that is simulated (test/sim).
func (f *faults) killAll() string {
	for i := 1; i <= size; i++ {
		f.c.node(i).Kill()
	}
	for i := 1; i <= size; i++ {
		f.c.launch(i)
	}
	f.c.ready()
	return "kill -9 of all"
}

func (f *faults) pause() string {
	n := f.c.node(f.some())
	n.Pause()
	f.rest(100*time.Millisecond, 3*time.Second)
	n.Resume()
	return "stop and go on"
}

// isolate cuts a node off from both others.
func (f *faults) isolate() string {
	i := f.some()
	f.cuts(pairs(i, 1+i%size, 1+(i+1)%size))
	return "isolated node"
}

// mute drops what a node sends to one or both others.
func (f *faults) mute() string {
	i := f.some()
	cuts := [][2]int{{i, 1 + i%size}, {i, 1 + (i+1)%size}}
	f.cuts(cuts[:1+f.rnd.IntN(2)])
	return "one-way cut"
}

// part cuts two nodes off from each other, which both reach the third.
func (f *faults) part() string {
	i := f.some()
	f.cuts(pairs(i, f.other(i)))
	return "partial cut"
}

func pairs(i int, others ...int) (cuts [][2]int) {
	for _, j := range others {
		cuts = append(cuts, [2]int{i, j}, [2]int{j, i})
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

// move cuts and unites ranges and moves their leaders, until stop is closed; what is refused because
// something else is under way, or because nobody answers, is left.
func (f *faults) move(rnd *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(100+rnd.IntN(900)) * time.Millisecond):
		}
		at := 1 + rnd.IntN(size)
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
			route := known.Routes[rnd.IntN(len(known.Routes))]
			_, err = d.TransferLeader(ctx, &proto.TransferLeaderRequest{RouteId: route.RouteId, NodeId: uint64(1 + rnd.IntN(size))})
			return err
		})
	}
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
