package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stratadb/strata/client"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/proto"
)

var cutsEach = flag.Int("cuts", 0, "how often each kind of partition is made; 0: some kinds, once")

const parts = 6 // ranges of the test

// limits are for how long a partition may be felt.
type limits struct {
	back  time.Duration // behind its begin
	heal  time.Duration // behind its end
	write time.Duration // how long a writer waits for one write
}

// Writes are back within measured.back of a partition, in every range, at every node that is still
// heard by one of the others and hears it. Where nothing is measured, they are back at all.
var (
	measured = limits{back: 5 * time.Second, heal: 15 * time.Second, write: time.Second}
	patient  = limits{back: time.Minute, heal: 2 * time.Minute, write: 10 * time.Second}
)

// TestPartitions cuts three nodes off from each other, in every way, again and again, while
// somebody writes to each range at each node, and tells how long it took until writes were
// back. A node that is alone is not asked for anything.
func TestPartitions(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	if enclose(t) {
		return
	}
	c := startCluster(t)
	if !c.isolated {
		t.Skip("no network namespaces")
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d", *seed)
	p := &partitions{c: c, limits: measured, rnd: rand.New(rand.NewPCG(*seed, 0)), took: map[string][]time.Duration{}, stop: make(chan struct{})}
	kinds := []func() partition{p.between, p.oneWay, p.isolation, p.muted, p.deafened}
	if *cutsEach == 0 {
		kinds, *cutsEach, p.limits = kinds[:2], 1, patient
	}
	p.divide()
	p.write()
	defer p.end()
	p.await(time.Now(), pairsOf(c.taken()), p.heal, "at first")
	for range *cutsEach {
		for _, kind := range kinds {
			p.spread()
			p.make(kind())
		}
	}
	for _, what := range slices.Sorted(maps.Keys(p.took)) {
		took := p.took[what]
		slices.Sort(took)
		n := len(took)
		t.Logf("%-34s %3d times: writes back after %v, 90 %% %v, at most %v", what, n,
			took[n/2].Round(time.Millisecond), took[n*9/10].Round(time.Millisecond), took[n-1].Round(time.Millisecond))
	}
}

// partition is what is cut, and where writes must go on.
type partition struct {
	what string
	cuts [][2]int // from, to
	at   []int
}

type partitions struct {
	limits
	c    *cluster
	rnd  *rand.Rand
	took map[string][]time.Duration
	stop chan struct{}
	wait sync.WaitGroup
	mu   struct {
		sync.Mutex
		last [seats + 1][parts]time.Time // when the last write began that was acknowledged
	}
}

func partKey(i int) []byte { return fmt.Appendf(nil, "part%02d", i) }

// divide makes the ranges.
func (p *partitions) divide() {
	for i := 1; i < parts; {
		key := append(keyspace.AppendModel(nil, 1, keyspace.ModelZMap), partKey(i)...)
		err := p.c.distribution(1, func(ctx context.Context, d proto.DistributionClient) error {
			known, err := d.ListRoutes(ctx, &proto.ListRoutesRequest{})
			if err != nil {
				return err
			}
			for _, r := range known.Routes {
				if bytes.Compare(r.Start, key) < 0 && bytes.Compare(key, r.End) < 0 {
					_, err = d.SplitRange(ctx, &proto.SplitRangeRequest{ExpectedCatalogVersion: known.CatalogVersion, RouteId: r.RouteId, SplitKey: key})
					return err
				}
			}
			return nil // it is there
		})
		if err == nil {
			i++
			continue
		}
		<-time.After(50 * time.Millisecond)
	}
}

// whole waits until every node has a copy of every range that votes.
func (p *partitions) whole() []copies {
	for began := time.Now(); ; <-time.After(100 * time.Millisecond) {
		list, err := p.c.copies(p.rnd)
		if err == nil && len(list) == parts && !slices.ContainsFunc(list, func(r copies) bool { return len(r.Voters) < size || r.Leader == 0 }) {
			return list
		}
		if time.Since(began) > 2*p.heal {
			p.c.t.Fatal("the ranges have no three copies", list, err)
		}
	}
}

// spread gives every node something to lead.
func (p *partitions) spread() {
	list := p.whole()
	from := p.rnd.IntN(size)
	for i, r := range list {
		to := r.Voters[(i+from)%len(r.Voters)]
		_ = p.c.distribution(1, func(ctx context.Context, d proto.DistributionClient) error {
			_, err := d.TransferLeader(ctx, &proto.TransferLeaderRequest{RouteId: uint64(r.ID), NodeId: uint64(to)})
			return err
		})
	}
}

// write begins to write to every range at every node.
func (p *partitions) write() {
	for _, at := range p.c.taken() {
		x, err := client.Dial(p.c.seat(at).grpc, client.Options{})
		if err != nil {
			p.c.t.Fatal(err)
		}
		p.c.t.Cleanup(func() { _ = x.Close() })
		for i := range parts {
			p.wait.Go(func() { p.writer(x, at, i) })
		}
	}
}

func (p *partitions) writer(x *client.Client, at, part int) {
	key := fmt.Appendf(partKey(part), "/%d", at)
	for {
		select {
		case <-p.stop:
			return
		case <-time.After(40 * time.Millisecond):
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), p.limits.write)
		err := x.Put(ctx, key, []byte("v"))
		cancel()
		if err == nil {
			p.mu.Lock()
			p.mu.last[at][part] = began
			p.mu.Unlock()
		}
	}
}

func (p *partitions) end() {
	close(p.stop)
	p.wait.Wait()
}

// pairsOf are all ranges at some nodes.
func pairsOf(at []int) (list [][2]int) {
	for _, i := range at {
		for part := range parts {
			list = append(list, [2]int{i, part})
		}
	}
	return list
}

// await waits until something was written to everything that began after a moment, and answers
// how long that took.
func (p *partitions) await(since time.Time, list [][2]int, within time.Duration, what string) time.Duration {
	var last [][2]int
	for {
		p.mu.Lock()
		left := slices.DeleteFunc(slices.Clone(list), func(x [2]int) bool { return p.mu.last[x[0]][x[1]].After(since) })
		p.mu.Unlock()
		took := time.Since(since)
		if len(left) == 0 {
			if took > measured.back/2 {
				p.c.t.Logf("%s: after %v, the last to come were these nodes and ranges: %v", what, took, last)
			}
			return took
		}
		last = left
		if took > within {
			p.c.t.Errorf("%s: nothing was written within %v at these nodes, to these ranges: %v", what, took, left)
			return took
		}
		<-time.After(5 * time.Millisecond)
	}
}

// make makes a partition, waits until writes are back, and ends it.
func (p *partitions) make(x partition) {
	led, _ := p.c.operator(p.rnd, operatorWithin, "ranges", "--json")
	began := time.Now()
	for _, cutOff := range x.cuts {
		if err := cut(p.c.node(cutOff[0]).PID, cutOff[1]); err != nil {
			p.c.t.Fatal(err)
		}
	}
	took := p.await(began, pairsOf(x.at), 2*p.back, x.what)
	if took > measured.back/2 {
		p.c.t.Logf("%s %v, range:leader before %s", x.what, x.cuts, brief(led))
	}
	if took > p.back {
		p.c.t.Errorf("%s: writes were back after %v", x.what, took)
	}
	p.took[x.what] = append(p.took[x.what], took)
	for _, cutOff := range x.cuts {
		if err := heal(p.c.node(cutOff[0]).PID, cutOff[1]); err != nil {
			p.c.t.Fatal(err)
		}
	}
	p.took["end of: "+x.what] = append(p.took["end of: "+x.what], p.await(time.Now(), pairsOf(p.c.taken()), p.heal, "end of: "+x.what))
}

// brief is who led what.
func brief(list string) string {
	var ranges []copies
	if json.Unmarshal([]byte(list), &ranges) != nil {
		return list
	}
	var led []string
	for _, r := range ranges {
		led = append(led, fmt.Sprintf("%d:%d", r.ID, r.Leader))
	}
	return fmt.Sprint(led)
}

// shuffled are the nodes in some order.
func (p *partitions) shuffled() []int {
	list := p.c.taken()
	p.rnd.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func (p *partitions) isolation() partition {
	n := p.shuffled()
	return partition{"isolated node", pairs(n), n[1:]}
}

func (p *partitions) muted() partition {
	n := p.shuffled()
	return partition{"node that nobody hears", [][2]int{{n[0], n[1]}, {n[0], n[2]}}, n[1:]}
}

func (p *partitions) deafened() partition {
	n := p.shuffled()
	return partition{"node that hears nobody", [][2]int{{n[1], n[0]}, {n[2], n[0]}}, n[1:]}
}

func (p *partitions) between() partition {
	n := p.shuffled()
	return partition{"two nodes apart", pairs(n[:2]), n}
}

func (p *partitions) oneWay() partition {
	n := p.shuffled()
	return partition{"one-way cut between two", [][2]int{{n[0], n[1]}}, n}
}
