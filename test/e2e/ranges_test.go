package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	strata "github.com/stratadb/strata/client"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/proto"
	"github.com/stratadb/strata/test/process"
)

// rangeRow is a line of `strata ranges`.
type rangeRow struct {
	ID               int
	Start, End       string
	Leader           int
	Voters, Learners []int
}

func rangesOf(t *testing.T, n *process.Node) (list []rangeRow) {
	t.Helper()
	code, out, log := process.Run(t, "ranges", "--json", "--admin", n.Admin)
	if code != 0 {
		t.Fatalf("%d\n%s%s", code, out, log)
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// awaitRanges waits until the ranges are as they should be.
func awaitRanges(t *testing.T, n *process.Node, why string, good func([]rangeRow) bool) []rangeRow {
	t.Helper()
	for end := time.Now().Add(replyWithin); ; time.Sleep(100 * time.Millisecond) {
		list := rangesOf(t, n)
		if good(list) {
			return list
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %+v\n%s", why, list, n.Log())
		}
	}
}

// TestRangesSplitThemselves: a range that has grown large is cut, and one that is busy.
func TestRangesSplitThemselves(t *testing.T) {
	ctx := t.Context()
	key := func(i int) []byte { return fmt.Appendf(nil, "%06d", i) }
	t.Run("by size", func(t *testing.T) {
		t.Parallel()
		n := process.Start(t, process.Options{Args: []string{"--range-max-bytes", "1048576"}})
		g := grpcClient(t, n, strata.Options{}).Namespace("global")
		random, values := rand.New(rand.NewPCG(1, 2)), [64][]byte{}
		for i := range values {
			values[i] = make([]byte, 48<<10)
			for j := range values[i] {
				values[i][j] = byte(random.Uint32())
			}
			if err := g.Put(ctx, key(i), values[i]); err != nil {
				t.Fatal(err)
			}
		}
		awaitRanges(t, n, "3 MiB in ranges of 1 MiB at most", func(list []rangeRow) bool { return len(list) >= 3 })
		for i := range values {
			if v, err := g.Get(ctx, key(i)); err != nil || string(v) != string(values[i]) {
				t.Errorf("%s: %d bytes, %v", key(i), len(v), err)
			}
		}
	})
	t.Run("by load", func(t *testing.T) {
		t.Parallel()
		n := process.Start(t, process.Options{Args: []string{"--range-max-ops", "100"}})
		stop := busy(t, n, 2, 500)
		awaitRanges(t, n, "more than 100 reads per second", func(list []rangeRow) bool { return len(list) >= 2 })
		stop()
	})
}

// busy lets clients read and write keys of the ordered map, until stop is called or the
// test ends.
func busy(t *testing.T, n *process.Node, clients, keys int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for range clients {
		g := grpcClient(t, n, strata.Options{}).Namespace("global")
		wait.Go(func() {
			for ctx.Err() == nil {
				k := fmt.Appendf(nil, "%06d", rand.IntN(keys))
				_, err := g.Get(ctx, k)
				if err == nil && rand.IntN(4) == 0 {
					err = g.Put(ctx, k, k)
				}
				if err != nil && ctx.Err() == nil {
					t.Log(err)
				}
			}
		})
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			wait.Wait()
		})
	}
	t.Cleanup(stop)
	return stop
}

// TestSplitRangeOnAnyNode: whichever node is asked, the leader cuts its range, and all
// nodes tell the same routes.
func TestSplitRangeOnAnyNode(t *testing.T) {
	c := startTrio(t)
	ctx := t.Context()
	for i, n := range c.nodes {
		d := distribution(t, n)
		before, err := d.ListRoutes(ctx, &proto.ListRoutesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		q := &proto.SplitRangeRequest{ExpectedCatalogVersion: before.GetCatalogVersion(), RouteId: 1,
			SplitKey: append(keyspace.AppendModel(nil, 1, keyspace.ModelZMap), byte('z'-i))}
		if s, err := d.SplitRange(ctx, q); err != nil || s.GetLeft().GetRouteId() != 1 || string(s.GetRight().GetStart()) != string(q.GetSplitKey()) {
			t.Fatalf("node %d: %v, %v", i+1, s, err)
		}
	}
	for _, n := range c.nodes {
		routes, err := distribution(t, n).ListRoutes(ctx, &proto.ListRoutesRequest{})
		if err != nil || len(routes.GetRoutes()) != 4 {
			t.Errorf("%v, %v", routes, err)
		}
	}
}

// TestRangesByHand: a replica is moved to a fourth node, and that node made the leader,
// through any node; who watches the catalog hears of splits.
func TestRangesByHand(t *testing.T) {
	c := startTrio(t)
	ctx := t.Context()
	fourth := process.Start(t, process.Options{Args: []string{"--cluster-addr", freeAddress(t), "--join", c.nodes[0].Admin}})
	d := distribution(t, fourth)
	watch, err := d.WatchCatalog(ctx, &proto.WatchCatalogRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil || len(first.GetRoutes()) != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	s, err := d.SplitRange(ctx, &proto.SplitRangeRequest{ExpectedCatalogVersion: first.GetCatalogVersion(), RouteId: 1,
		SplitKey: append(keyspace.AppendModel(nil, 1, keyspace.ModelZMap), 'm')})
	if err != nil {
		t.Fatal(err)
	}
	for told := first; len(told.GetRoutes()) != 2; {
		if told, err = watch.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	g := grpcClient(t, c.nodes[1], strata.Options{}).Namespace("global")
	for _, k := range []string{"a", "z"} {
		if err := g.Put(ctx, []byte(k), []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	right := s.GetRight().GetRouteId()
	for _, refused := range []*proto.MoveReplicaRequest{
		{RouteId: right, FromNodeId: 1, ToNodeId: 2}, {RouteId: right, FromNodeId: 4, ToNodeId: 1},
		{RouteId: 77, FromNodeId: 1, ToNodeId: 4}, {RouteId: right, FromNodeId: 1, ToNodeId: 5},
	} {
		if _, err := d.MoveReplica(ctx, refused); status.Code(err) != codes.FailedPrecondition && status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", refused, err)
		}
	}
	if _, err := d.MoveReplica(ctx, &proto.MoveReplicaRequest{RouteId: right, FromNodeId: 3, ToNodeId: 4}); err != nil {
		t.Fatal(err)
	}
	if _, err := distribution(t, c.nodes[2]).TransferLeader(ctx, &proto.TransferLeaderRequest{RouteId: right, NodeId: 4}); err != nil {
		t.Fatal(err)
	}
	list := rangesOf(t, fourth)
	slices.Sort(list[1].Voters)
	if len(list) != 2 || list[1].Leader != 4 || !slices.Equal(list[1].Voters, []int{1, 2, 4}) {
		t.Errorf("%+v", list)
	}
	for _, k := range []string{"a", "z"} {
		if v, err := g.Get(ctx, []byte(k)); err != nil || string(v) != k {
			t.Errorf("%s: %q, %v", k, v, err)
		}
	}
	code, out, log := process.Run(t, "ranges", "explain", strconv.FormatUint(right, 10), "--admin", c.nodes[2].Admin)
	if code != 0 || !strings.Contains(out, "on n4: voter, up, active") || !strings.Contains(out, "decision: ") {
		t.Errorf("%d\n%s%s", code, out, log)
	}
}
