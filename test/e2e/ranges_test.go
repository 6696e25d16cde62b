package e2e

import (
	"context"
	"encoding/json"
	"errors"
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
	Term             int
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

// rangesWithin is how long ranges may take to become what they should: operators wait for
// loads and sizes to show, and for cool-downs.
const rangesWithin = 4 * time.Minute

// awaitRanges waits until the ranges are as they should be.
func awaitRanges(t *testing.T, n *process.Node, why string, good func([]rangeRow) bool) []rangeRow {
	t.Helper()
	for end := time.Now().Add(rangesWithin); ; time.Sleep(100 * time.Millisecond) {
		list := rangesOf(t, n)
		if good(list) {
			return list
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %+v\n%s", why, list, n.Log())
		}
	}
}

// leaderAt is the index of the node that leads the first range, as far as a node knows.
func leaderAt(t *testing.T, n *process.Node) int {
	t.Helper()
	return awaitRanges(t, n, "nobody leads", func(list []rangeRow) bool { return len(list) > 0 && list[0].Leader != 0 })[0].Leader - 1
}

// TestLargeRangeSplits: a range that has grown large is cut, on a node that is alone, too;
// once the keys are deleted, the ranges become one again.
func TestLargeRangeSplits(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	n := process.Start(t, process.Options{Args: []string{"--range-max-bytes", "1048576", "--range-merge-after", "3s"}})
	g := grpcClient(t, n, strata.Options{}).Namespace("global")
	random, values := rand.New(rand.NewPCG(1, 2)), [64][]byte{}
	key := func(i int) []byte { return fmt.Appendf(nil, "%06d", i) }
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
	if _, err := grpcClient(t, n, strata.Options{}).Transact(ctx, func(tx *strata.Txn) error {
		return tx.DeleteRange(key(0), key(len(values)))
	}); err != nil {
		t.Fatal(err)
	}
	awaitRanges(t, n, "nothing in a single range", func(list []rangeRow) bool { return len(list) == 1 })
	for i := range values {
		if v, err := g.Get(ctx, key(i)); err != nil || v != nil {
			t.Errorf("%s: %d bytes, %v", key(i), len(v), err)
		}
	}
}

// TestSplitRangeOnAnyNode: whichever node is asked, the leader cuts its range, and all
// nodes tell the same routes; the same goes for merges, wherever the ranges are led.
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
	if _, err := distribution(t, c.nodes[1]).TransferLeader(ctx, &proto.TransferLeaderRequest{RouteId: 2, NodeId: 3}); err != nil {
		t.Fatal(err)
	}
	mergeAll(t, c.nodes[2], c.nodes[1])
}

// TestRangesByHand: a replica is moved to a fourth node, and that node made the leader,
// through any node; who watches the catalog hears of splits.
func TestRangesByHand(t *testing.T) {
	c := startTrio(t)
	ctx := t.Context()
	fourth := process.Start(t, process.Options{Args: []string{"--cluster-addr", process.FreeAddress(t), "--join", c.nodes[0].Admin}})
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
	voters := []int{1, 2, 4}
	if _, err := d.MoveReplica(ctx, &proto.MoveReplicaRequest{RouteId: right, FromNodeId: 3, ToNodeId: 4}); err != nil {
		// On a machine that took ten seconds until here, the new node may have been given one already.
		list := rangesOf(t, fourth)
		if len(list) != 2 || !slices.Contains(list[1].Voters, 4) {
			t.Fatal(err)
		}
		voters = slices.Sorted(slices.Values(list[1].Voters))
	}
	if _, err := distribution(t, c.nodes[2]).TransferLeader(ctx, &proto.TransferLeaderRequest{RouteId: right, NodeId: 4}); err != nil {
		t.Fatal(err)
	}
	awaitRanges(t, fourth, "the fourth node leads the right range", func(list []rangeRow) bool {
		return len(list) == 2 && list[1].Leader == 4 && slices.Equal(slices.Sorted(slices.Values(list[1].Voters)), voters)
	})
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

// stalls measures how long a client had to wait at most for one answer.
type stalls struct {
	mu      sync.Mutex
	longest time.Duration
	answers int
}

func (s *stalls) note(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.longest = max(s.longest, d)
	s.answers++
}

// rate is how many answers there are a second, for so long.
func (s *stalls) rate(during time.Duration) float64 {
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.answers
	}
	before := count()
	<-time.After(during)
	return float64(count()-before) / during.Seconds()
}

// measured is how long a throughput is looked at that is only shown.
const measured = 2 * time.Second

// show logs what `strata ranges` prints.
func show(t *testing.T, n *process.Node, when string) {
	t.Helper()
	_, out, _ := process.Run(t, "ranges", "--admin", n.Admin)
	t.Logf("%s:\n%s", when, out)
}

func (s *stalls) take() (d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, s.longest = s.longest, 0
	return d
}

// counters lets clients add one to keys of the ordered map until stop is called, which
// answers what each key must be; an unknown outcome may count.
func counters(t *testing.T, nodes []*process.Node, keys int, s *stalls) (stop func() (least, most []int)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	var mu sync.Mutex
	least, most := make([]int, keys), make([]int, keys)
	for _, n := range nodes {
		g := grpcClient(t, n, strata.Options{})
		for range 2 {
			wait.Go(func() {
				for ctx.Err() == nil {
					i, began := rand.IntN(keys), time.Now()
					_, err := g.Transact(context.Background(), func(tx *strata.Txn) error {
						v, err := tx.Get(fmt.Appendf(nil, "%06d", i))
						if err != nil {
							return err
						}
						old, _ := strconv.Atoi(string(v))
						return tx.Put(fmt.Appendf(nil, "%06d", i), strconv.AppendInt(nil, int64(old+1), 10))
					})
					s.note(time.Since(began))
					mu.Lock()
					most[i]++
					if err == nil {
						least[i]++
					} else if !errors.Is(err, strata.ErrUnknownOutcome) {
						most[i]--
						t.Logf("an increment failed: %v", err)
					}
					mu.Unlock()
				}
			})
		}
	}
	stop = sync.OnceValues(func() (_, _ []int) {
		cancel()
		wait.Wait()
		return least, most
	})
	t.Cleanup(func() { stop() })
	return stop
}

// TestHotPrefixSpreads: under load on one prefix its ranges are cut and led by all nodes;
// a fourth node joins and gets its share; a node is drained. Nothing is lost meanwhile.
func TestHotPrefixSpreads(t *testing.T) {
	t.Parallel()
	const keys = 400
	c := startTrio(t, "--range-max-ops", "20")
	var waits stalls
	show(t, c.nodes[0], "before the load")
	stop := counters(t, c.nodes[:], keys, &waits)
	t.Logf("at first: %.0f increments/s", waits.rate(measured))
	led := func(list []rangeRow) (leaders, copies map[int]int) {
		leaders, copies = map[int]int{}, map[int]int{}
		for _, r := range list {
			leaders[r.Leader]++
			for _, n := range r.Voters {
				copies[n]++
			}
		}
		return leaders, copies
	}
	list := awaitRanges(t, c.nodes[0], "ranges split, and all nodes lead some", func(list []rangeRow) bool {
		leaders, _ := led(list)
		return len(list) >= 4 && leaders[1] > 0 && leaders[2] > 0 && leaders[3] > 0
	})
	t.Logf("%d ranges; the longest wait was %v", len(list), waits.take())
	show(t, c.nodes[0], "cut and led by all nodes")
	t.Logf("%d ranges: %.0f increments/s", len(list), waits.rate(measured))

	fourth := process.Start(t, process.Options{Args: []string{"--cluster-addr", process.FreeAddress(t), "--join", c.nodes[0].Admin, "--range-max-ops", "20"}})
	list = awaitRanges(t, c.nodes[0], "the fourth node has its share", func(list []rangeRow) bool {
		leaders, copies := led(list)
		return leaders[4] > 0 && copies[4] >= len(list)/2
	})
	t.Logf("%d ranges; the longest wait was %v", len(list), waits.take())
	show(t, c.nodes[0], "with a fourth node")
	t.Logf("four nodes: %.0f increments/s", waits.rate(measured))

	drained := leaderAt(t, fourth) + 1 // it cares for all of them
	code, out, log := process.Run(t, "node", "drain", strconv.Itoa(drained), "--wait", "--admin", fourth.Admin)
	if code != 0 {
		t.Fatalf("%d\n%s%s", code, out, log)
	}
	list = rangesOf(t, c.nodes[0])
	if leaders, copies := led(list); leaders[drained]+copies[drained] > 0 {
		t.Errorf("the drained node leads %d ranges and holds %d", leaders[drained], copies[drained])
	}
	t.Logf("%d ranges; the longest wait was %v", len(list), waits.take())
	least, most := stop()
	g := grpcClient(t, fourth, strata.Options{}).Namespace("global")
	total := 0
	for i := range keys {
		v, err := g.Get(t.Context(), fmt.Appendf(nil, "%06d", i))
		n, _ := strconv.Atoi(string(v))
		if err != nil || n < least[i] || n > most[i] {
			t.Errorf("counter %d is %q, %v; %d to %d increments", i, v, err, least[i], most[i])
		}
		total += n
	}
	t.Logf("%d increments", total)
}

// TestShardPrimaryLeads: the primary of a shard leads its slots.
func TestShardPrimaryLeads(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	slots := [3]string{"/data/1/redis/0/slot 0", "/data/1/redis/0/slot 1024", "/data/1/redis/0/slot 2048"}
	for shard, i := range []int{2, 1} { // indexes of nodes
		admin := dial(t, c.nodes[i].Admin)
		member := ""
		v := admin.do("KR.ADMIN DESCRIBE-MEMBER")
		for j := 0; j+1 < len(v.Array); j += 2 {
			if v.Array[j].Text() == "member_id" {
				member = v.Array[j+1].Text()
			}
		}
		admin.expect(fmt.Sprintf("KR.ADMIN ROUTE SET PRIMARY REDIS %d %s", shard, member), "OK")
	}
	awaitRanges(t, c.nodes[0], "the shards have ranges, and their primaries lead them", func(list []rangeRow) bool {
		led := map[string]int{}
		for _, r := range list {
			led[r.Start+" to "+r.End] = r.Leader
		}
		return led[slots[0]+" to "+slots[1]] == 3 && led[slots[1]+" to "+slots[2]] == 2
	})
}
