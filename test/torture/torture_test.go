package torture

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stratadb/strata/proto"
	"github.com/stratadb/strata/test/process"
)

var (
	length = flag.Duration("for", 2*time.Minute, "how long it lasts")
	seed   = flag.Uint64("seed", 0, "of the faults; 0: a new one")
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

func TestTorture(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	if enclose(t) {
		return
	}
	t.Logf("seed %d", *seed)
	if testing.Short() {
		*length = 15 * time.Second
	}
	c := startCluster(t)
	l := &load{c: c, began: time.Now()}
	if err := l.start(*seed); err != nil {
		t.Fatal(err)
	}
	f := &faults{c: c, rnd: rand.New(rand.NewPCG(*seed, 1)), load: l, gaps: map[string][]time.Duration{}}
	stop, whole := make(chan struct{}), make(chan struct{})
	m := &members{c: c, rnd: rand.New(rand.NewPCG(*seed, 3)), stop: stop, first: whole, took: map[string]time.Duration{}}
	var others sync.WaitGroup
	others.Go(func() { f.move(rand.New(rand.NewPCG(*seed, 2)), stop) })
	others.Go(m.run)
	f.rest(time.Second, 2*time.Second)
	enough := func() bool {
		select {
		case <-whole:
			return true
		default:
			return testing.Short() || t.Failed()
		}
	}
	for (time.Since(l.began) < *length || !enough()) && !t.Failed() {
		f.one()
	}
	close(stop)
	others.Wait()
	if !t.Failed() {
		if err := m.whole(); err != nil {
			t.Error(err)
		}
	}
	if err := l.end(); err != nil {
		t.Error(err)
	}
	for what, gaps := range f.gaps {
		slices.Sort(gaps)
		t.Logf("%s: %d times; 20 more transactions after %v, at most %v", what, len(gaps), gaps[len(gaps)/2], gaps[len(gaps)-1])
	}
	t.Logf("nodes: %d joined, %d of them were killed meanwhile, %d were drained and removed, %d were removed as dead; at most it took %v",
		m.joined, m.interrupted, m.drained, m.dead, m.took)
	if err := c.distribution(c.taken()[0], func(ctx context.Context, d proto.DistributionClient) error {
		known, err := d.ListRoutes(ctx, &proto.ListRoutesRequest{})
		if err == nil {
			t.Logf("%d ranges in the end, %d merges, %d copies moved by hand", len(known.Routes), f.merged.Load(), f.moved.Load())
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		for _, i := range c.taken() {
			c.node(i).Dump()
			t.Logf("node %d in seat %d:\n%s", c.seat(i).id, i, c.node(i).Log())
		}
	}
}
