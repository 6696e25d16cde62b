package e2e

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	strata "github.com/stratadb/strata/client"
	"github.com/stratadb/strata/proto"
	"github.com/stratadb/strata/test/process"
)

func grpcClient(t testing.TB, n *process.Node, o strata.Options) *strata.Client {
	t.Helper()
	c, err := strata.Dial(n.GRPC, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestSameData: what one API writes the other one reads, in every namespace, and
// it is there after a crash.
func TestSameData(t *testing.T) {
	n := process.Start(t, process.Options{})
	ctx, r, g := t.Context(), dial(t, n.RESP), grpcClient(t, n, strata.Options{})
	r.expect("NAMESPACE CREATE shop.stock", "OK")
	for _, namespace := range []string{"global", "shop.stock"} {
		in := g.Namespace(namespace)
		r.expect("NAMESPACE USE "+namespace, "OK")
		r.expect("ZSET resp "+namespace, "OK")
		if v, err := in.Get(ctx, []byte("resp")); string(v) != namespace || err != nil {
			t.Errorf("%q, %v", v, err)
		}
		if err := in.Put(ctx, []byte("grpc"), []byte(namespace)); err != nil {
			t.Fatal(err)
		}
		r.expect("ZGET grpc", fmt.Sprintf("%q", namespace))
		r.expect("ZINC.I64 n 40", "OK")
		if _, err := in.Transact(ctx, func(txn *strata.Txn) error { return txn.Add([]byte("n"), 2) }); err != nil {
			t.Error(err)
		}
		r.expect("ZGET.I64 n", "(integer) 42")
	}
	if v, err := g.Get(ctx, []byte("grpc")); string(v) != "global" || err != nil {
		t.Errorf("the default namespace: %q, %v", v, err)
	}

	// A change from the other side is a conflict like any other.
	runs := 0
	if _, err := g.Transact(ctx, func(txn *strata.Txn) error {
		runs++
		if _, err := txn.Get([]byte("resp")); err != nil {
			return err
		}
		if runs == 1 {
			r.expect("NAMESPACE USE global", "OK")
			r.expect("ZSET resp changed", "OK")
		}
		return txn.Put([]byte("copy"), []byte("x"))
	}); err != nil || runs != 2 {
		t.Errorf("%d runs, %v", runs, err)
	}

	n.Kill()
	n = process.Start(t, process.Options{Dir: n.Dir})
	if v, err := grpcClient(t, n, strata.Options{}).Get(ctx, []byte("grpc")); string(v) != "global" || err != nil {
		t.Errorf("after a crash: %q, %v", v, err)
	}
}

// TestGRPCNode: routes, time and the password, as the binary has them.
func TestGRPCNode(t *testing.T) {
	n := process.Start(t, process.Options{Args: []string{"--requirepass", "secret"}})
	if _, err := grpcClient(t, n, strata.Options{}).Get(t.Context(), nil); !errors.Is(err, strata.ErrDenied) {
		t.Error(err)
	}
	if _, err := grpcClient(t, n, strata.Options{Password: "secret"}).Get(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if code := n.Stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, n.Log())
	}

	n = process.Start(t, process.Options{})
	conn, err := grpc.NewClient(n.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	d := proto.NewDistributionClient(conn)
	routes, err := d.ListRoutes(t.Context(), &proto.ListRoutesRequest{})
	if err != nil || len(routes.GetRoutes()) != 1 || routes.GetCatalogVersion() == 0 {
		t.Fatalf("%v, %v", routes, err)
	}
	if r := routes.GetRoutes()[0]; r.GetRouteId() == 0 || r.GetRaftGroupId() != r.GetRouteId() ||
		r.GetState() != proto.RouteState_ROUTE_STATE_ACTIVE {
		t.Errorf("%v", r)
	}
	first, err := d.GetTimestamp(t.Context(), &proto.GetTimestampRequest{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.GetTimestamp(t.Context(), &proto.GetTimestampRequest{})
	if err != nil || second.GetTimestamp() <= first.GetTimestamp() {
		t.Errorf("%v after %v, %v", second, first, err)
	}
}
