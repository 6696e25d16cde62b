package torture

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
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
	stop, moved := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(moved)
		f.move(rand.New(rand.NewPCG(*seed, 2)), stop)
	}()
	f.rest(time.Second, 2*time.Second)
	for time.Since(l.began) < *length && !t.Failed() {
		f.one()
	}
	close(stop)
	<-moved
	if err := l.end(); err != nil {
		t.Error(err)
	}
	for what, gaps := range f.gaps {
		slices.Sort(gaps)
		t.Logf("%s: %d times; 20 more transactions after %v, at most %v", what, len(gaps), gaps[len(gaps)/2], gaps[len(gaps)-1])
	}
	if err := c.distribution(1, func(ctx context.Context, d proto.DistributionClient) error {
		known, err := d.ListRoutes(ctx, &proto.ListRoutesRequest{})
		if err == nil {
			t.Logf("%d ranges in the end, %d merges", len(known.Routes), f.merged.Load())
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		for i := 1; i <= size; i++ {
			c.node(i).Dump()
			t.Logf("node %d:\n%s", i, c.node(i).Log())
		}
	}
}
