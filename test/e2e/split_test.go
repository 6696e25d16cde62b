package e2e

import (
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	strata "github.com/stratadb/strata/client"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/proto"
	"github.com/stratadb/strata/test/process"
)

func distribution(t testing.TB, n *process.Node) proto.DistributionClient {
	t.Helper()
	conn, err := grpc.NewClient(n.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return proto.NewDistributionClient(conn)
}

// TestSplitRange: a real client cuts the routes; the data on all sides, and what touches
// several of them, goes on as before, after a crash, too.
func TestSplitRange(t *testing.T) {
	n := process.Start(t, process.Options{})
	ctx, d, g := t.Context(), distribution(t, n), grpcClient(t, n, strata.Options{}).Namespace("global")
	key := func(i int) []byte { return fmt.Appendf(nil, "%03d", i) }
	for i := range 100 {
		if err := g.Put(ctx, key(i), []byte("a")); err != nil {
			t.Fatal(err)
		}
	}
	dial(t, n.RESP).expect("SET redis before", "OK")
	before, err := d.ListRoutes(ctx, &proto.ListRoutesRequest{})
	if err != nil || len(before.GetRoutes()) != 1 {
		t.Fatalf("%v, %v", before, err)
	}
	at := func(i int) []byte { return append(keyspace.AppendModel(nil, 1, keyspace.ModelZMap), key(i)...) }
	version, id := before.GetCatalogVersion(), before.GetRoutes()[0].GetRouteId()
	for _, i := range []int{50, 25} { // the first range is cut twice
		q := &proto.SplitRangeRequest{ExpectedCatalogVersion: version, RouteId: id, SplitKey: at(i)}
		s, err := d.SplitRange(ctx, q)
		if err != nil || s.GetCatalogVersion() <= version || s.GetLeft().GetRouteId() != id || string(s.GetRight().GetStart()) != string(at(i)) {
			t.Fatalf("%v, %v", s, err)
		}
		if _, err := d.SplitRange(ctx, q); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("an old version: %v", err)
		}
		version = s.GetCatalogVersion()
	}
	if _, err := d.SplitRange(ctx, &proto.SplitRangeRequest{ExpectedCatalogVersion: version, RouteId: id, SplitKey: at(70)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a key outside: %v", err)
	}
	check := func(n *process.Node, value string) {
		t.Helper()
		routes, err := distribution(t, n).ListRoutes(ctx, &proto.ListRoutesRequest{})
		if err != nil || len(routes.GetRoutes()) != 3 || routes.GetCatalogVersion() != version {
			t.Fatalf("%v, %v", routes, err)
		}
		for i, r := range routes.GetRoutes()[1:] {
			if string(r.GetStart()) != string(routes.GetRoutes()[i].GetEnd()) || r.GetParentRouteId() != id {
				t.Errorf("%v", routes)
			}
		}
		g := grpcClient(t, n, strata.Options{}).Namespace("global")
		for i := range 100 {
			if v, err := g.Get(ctx, key(i)); err != nil || string(v) != value {
				t.Fatalf("%s is %q, %v", key(i), v, err)
			}
		}
		dial(t, n.RESP).expect("GET redis", `"before"`)
	}
	check(n, "a")
	if _, err := grpcClient(t, n, strata.Options{}).Transact(ctx, func(tx *strata.Txn) error { // over all of them
		for i := range 100 {
			if err := tx.Put(key(i), []byte("b")); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	check(n, "b")
	n.Kill()
	n = process.Start(t, process.Options{Dir: n.Dir})
	check(n, "b")
	mergeAll(t, n, n)
	g = grpcClient(t, n, strata.Options{}).Namespace("global")
	for i := range 100 {
		if v, err := g.Get(ctx, key(i)); err != nil || string(v) != "b" {
			t.Fatalf("%s is %q, %v", key(i), v, err)
		}
	}
	dial(t, n.RESP).expect("GET redis", `"before"`)
}

// mergeAll unites all routes again, by way of one node, and looks at them on another.
func mergeAll(t *testing.T, through, other *process.Node) {
	t.Helper()
	d, ctx := distribution(t, through), t.Context()
	for {
		routes, err := d.ListRoutes(ctx, &proto.ListRoutesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		list := routes.GetRoutes()
		if len(list) == 1 {
			break
		}
		last := len(list) - 1
		q := &proto.MergeRangesRequest{ExpectedCatalogVersion: routes.GetCatalogVersion(), LeftRouteId: list[last-1].GetRouteId(),
			RightRouteId: list[last].GetRouteId()}
		m, err := d.MergeRanges(ctx, q)
		if err != nil || m.GetRoute().GetRouteId() != q.GetLeftRouteId() || m.GetCatalogVersion() <= routes.GetCatalogVersion() ||
			string(m.GetRoute().GetEnd()) != string(list[last].GetEnd()) {
			t.Fatalf("%v, %v", m, err)
		}
		if _, err := d.MergeRanges(ctx, q); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("an old version: %v", err)
		}
	}
	routes, err := distribution(t, other).ListRoutes(ctx, &proto.ListRoutesRequest{})
	if err != nil || len(routes.GetRoutes()) != 1 {
		t.Errorf("%v, %v", routes, err)
	}
}
