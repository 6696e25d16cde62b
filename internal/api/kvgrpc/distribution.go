package kvgrpc

import (
	"context"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/proto"
)

// Routes tells which ranges there are, and cuts them.
type Routes interface {
	Routes(ctx context.Context) (Catalog, error)
	// Split cuts a range at key, if the catalog has the expected version.
	Split(ctx context.Context, expected uint64, id base.RangeID, key []byte) (Split, error)
}

// Split is a range that was cut.
type Split struct {
	Version     uint64 // of the catalog since then
	Left, Right Route
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
	resp := &proto.ListRoutesResponse{CatalogVersion: c.Version}
	for i := range c.Routes {
		r := &c.Routes[i]
		resp.Routes = append(resp.Routes, r.proto())
	}
	return resp, nil
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
