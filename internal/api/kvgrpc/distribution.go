package kvgrpc

import (
	"context"
	"math"

	"google.golang.org/grpc"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/proto"
)

// Routes tells which ranges there are, and changes them.
type Routes interface {
	Routes(ctx context.Context) (Catalog, error)
	// Split cuts a range at key, if the catalog has the expected version.
	Split(ctx context.Context, expected uint64, id base.RangeID, key []byte) (Split, error)
	// Merge unites two neighbours, if the catalog has the expected version.
	Merge(ctx context.Context, expected uint64, left, right base.RangeID) (Merge, error)
	// Move gives a range's voter on a node to another one, and waits until that is done.
	Move(ctx context.Context, id base.RangeID, from, to base.NodeID) error
	// Transfer lets a node lead a range, and waits until it does.
	Transfer(ctx context.Context, id base.RangeID, to base.NodeID) error
	// Watch sends the ranges, and again whenever they have changed, until ctx ends.
	Watch(ctx context.Context, send func(Catalog) error) error
}

// Split is a range that was cut.
type Split struct {
	Version     uint64 // of the catalog since then
	Left, Right Route
}

// Merge is two ranges that were united.
type Merge struct {
	Version uint64 // of the catalog since then
	Route   Route
}

// Catalog is the ranges at some time.
type Catalog struct {
	// Version grows with every change of a route.
	Version uint64
	// Routes are in the order of their keys.
	Routes []Route
}

// Route is a range. Its Raft group has its id.
type Route struct {
	ID   base.RangeID
	Span base.Span
	// Parent is the range that it was split from; 0: none.
	Parent base.RangeID
}

// distribution implements proto.Distribution.
type distribution struct {
	proto.UnimplementedDistributionServer
	s *Server
}

// GetTimestamp implements proto.DistributionServer.
func (d *distribution) GetTimestamp(ctx context.Context, _ *proto.GetTimestampRequest) (*proto.GetTimestampResponse, error) {
	stamp, err := d.s.db.ReadVersion(ctx)
	return &proto.GetTimestampResponse{Timestamp: uint64(stamp)}, err
}

// ListRoutes implements proto.DistributionServer.
func (d *distribution) ListRoutes(ctx context.Context, _ *proto.ListRoutesRequest) (*proto.ListRoutesResponse, error) {
	c, err := d.s.o.Routes.Routes(ctx)
	if err != nil {
		return nil, err
	}
	return &proto.ListRoutesResponse{CatalogVersion: c.Version, Routes: c.proto()}, nil
}

func (c *Catalog) proto() (list []*proto.RouteDescriptor) {
	for i := range c.Routes {
		list = append(list, c.Routes[i].proto())
	}
	return list
}

func (r *Route) proto() *proto.RouteDescriptor {
	return &proto.RouteDescriptor{
		RouteId: uint64(r.ID), Start: r.Span.Start, End: r.Span.End, RaftGroupId: uint64(r.ID),
		State: proto.RouteState_ROUTE_STATE_ACTIVE, ParentRouteId: uint64(r.Parent),
	}
}

// SplitRange implements proto.DistributionServer.
func (d *distribution) SplitRange(ctx context.Context, q *proto.SplitRangeRequest) (*proto.SplitRangeResponse, error) {
	if len(q.GetSplitKey()) > limits.KeyBytes {
		return nil, base.ErrKeyTooLarge
	}
	s, err := d.s.o.Routes.Split(ctx, q.GetExpectedCatalogVersion(), base.RangeID(q.GetRouteId()), q.GetSplitKey())
	if err != nil {
		return nil, err
	}
	return &proto.SplitRangeResponse{CatalogVersion: s.Version, Left: s.Left.proto(), Right: s.Right.proto()}, nil
}

// MergeRanges implements proto.DistributionServer.
func (d *distribution) MergeRanges(ctx context.Context, q *proto.MergeRangesRequest) (*proto.MergeRangesResponse, error) {
	m, err := d.s.o.Routes.Merge(ctx, q.GetExpectedCatalogVersion(), base.RangeID(q.GetLeftRouteId()), base.RangeID(q.GetRightRouteId()))
	if err != nil {
		return nil, err
	}
	return &proto.MergeRangesResponse{CatalogVersion: m.Version, Route: m.Route.proto()}, nil
}

// node reads the number of a node.
func node(n uint64) (base.NodeID, error) {
	if n == 0 || n > math.MaxUint32 {
		return 0, ErrNoNode
	}
	return base.NodeID(n), nil
}

// MoveReplica implements proto.DistributionServer.
func (d *distribution) MoveReplica(ctx context.Context, q *proto.MoveReplicaRequest) (*proto.MoveReplicaResponse, error) {
	from, err := node(q.GetFromNodeId())
	if err != nil {
		return nil, err
	}
	to, err := node(q.GetToNodeId())
	if err != nil {
		return nil, err
	}
	return &proto.MoveReplicaResponse{}, d.s.o.Routes.Move(ctx, base.RangeID(q.GetRouteId()), from, to)
}

// TransferLeader implements proto.DistributionServer.
func (d *distribution) TransferLeader(ctx context.Context, q *proto.TransferLeaderRequest) (*proto.TransferLeaderResponse, error) {
	to, err := node(q.GetNodeId())
	if err != nil {
		return nil, err
	}
	return &proto.TransferLeaderResponse{}, d.s.o.Routes.Transfer(ctx, base.RangeID(q.GetRouteId()), to)
}

// WatchCatalog implements proto.DistributionServer.
func (d *distribution) WatchCatalog(_ *proto.WatchCatalogRequest, stream grpc.ServerStreamingServer[proto.WatchCatalogResponse]) error {
	err := d.s.o.Routes.Watch(stream.Context(), func(c Catalog) error {
		return stream.Send(&proto.WatchCatalogResponse{CatalogVersion: c.Version, Routes: c.proto()})
	})
	if d.s.stopping.Err() != nil {
		return base.ErrShuttingDown
	}
	return err
}
