package kvgrpc

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/stratadb/strata/proto"
)

func TestMoveReplica(t *testing.T) {
	d := proto.NewDistributionClient(serve(t, memory(), Options{}).conn)
	no[*proto.MoveReplicaResponse](t)(d.MoveReplica(t.Context(), &proto.MoveReplicaRequest{RouteId: 3, FromNodeId: 1, ToNodeId: 2}))
	for _, c := range []struct {
		q      *proto.MoveReplicaRequest
		reason string
	}{
		{&proto.MoveReplicaRequest{RouteId: 4, FromNodeId: 1, ToNodeId: 2}, "NO_ROUTE"},
		{&proto.MoveReplicaRequest{RouteId: 3, FromNodeId: 1, ToNodeId: 9}, "NO_NODE"},
		{&proto.MoveReplicaRequest{RouteId: 3, FromNodeId: 1}, "NO_NODE"},
		{&proto.MoveReplicaRequest{RouteId: 3, FromNodeId: 1 << 40, ToNodeId: 2}, "NO_NODE"},
	} {
		_, err := d.MoveReplica(t.Context(), c.q)
		refused(t, err, codes.InvalidArgument, c.reason)
	}
}

func TestTransferLeader(t *testing.T) {
	d := proto.NewDistributionClient(serve(t, memory(), Options{}).conn)
	no[*proto.TransferLeaderResponse](t)(d.TransferLeader(t.Context(), &proto.TransferLeaderRequest{RouteId: 3, NodeId: 2}))
	_, err := d.TransferLeader(t.Context(), &proto.TransferLeaderRequest{RouteId: 3})
	refused(t, err, codes.InvalidArgument, "NO_NODE")
	_, err = d.TransferLeader(t.Context(), &proto.TransferLeaderRequest{RouteId: 3, NodeId: 4})
	refused(t, err, codes.FailedPrecondition, "ROUTE_BUSY")
	if !strings.Contains(err.Error(), "it holds no voter") {
		t.Errorf("it does not say why: %v", err)
	}
}

// TestWatchCatalog: a watcher is told of every version, and does not keep the server from
// stopping.
func TestWatchCatalog(t *testing.T) {
	f := serve(t, memory(), Options{})
	watch, err := proto.NewDistributionClient(f.conn).WatchCatalog(t.Context(), &proto.WatchCatalogRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint64{7, 8} {
		if c := no[*proto.WatchCatalogResponse](t)(watch.Recv()); c.GetCatalogVersion() != version || len(c.GetRoutes()) != 1 {
			t.Errorf("%v", c)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.s.Shutdown(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
	_, err = watch.Recv()
	refused(t, err, codes.Unavailable, "SHUTTING_DOWN")
}
