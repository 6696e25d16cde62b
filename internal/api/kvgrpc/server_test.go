package kvgrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/model/zmap"
	"github.com/stratadb/strata/proto"
)

// fixture is a server on loopback and its clients.
type fixture struct {
	t     testing.TB
	db    *kv.DB
	s     *Server
	conn  *grpc.ClientConn
	raw   proto.RawKVClient
	kv    proto.TransactionalKVClient
	began time.Time
	ahead atomic.Int64 // of began, a time.Duration
}

// now is the clock by which transactions become too old. It stands, however slow the machine is.
func (f *fixture) now() time.Time { return f.began.Add(time.Duration(f.ahead.Load())) }

func serve(t testing.TB, engine kv.Engine, o Options) *fixture {
	t.Helper()
	f := &fixture{t: t, began: time.Now()}
	f.db = kv.New(engine, f.now)
	o.DB, o.Now = f.db, f.now
	if o.Routes == nil {
		o.Routes = oneRoute{}
	}
	f.s = New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- f.s.Serve(l) }()
	f.conn, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	f.raw, f.kv = proto.NewRawKVClient(f.conn), proto.NewTransactionalKVClient(f.conn)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(f.conn.Close(), f.s.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	return f
}

func memory() kv.Engine {
	return kvmem.New(func() base.Stamp { return base.Stamp(time.Now().UnixMicro()) })
}

// onEngines runs a test on the reference engine and on the real one.
func onEngines(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Run("memory", func(t *testing.T) { test(t, serve(t, memory(), Options{})) })
	t.Run("range", func(t *testing.T) {
		s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, serve(t, kvrange.New(s), Options{}))
	})
}

// oneRoute is the catalog of a range.
type oneRoute struct{}

func (oneRoute) Split(_ context.Context, expected uint64, id base.RangeID, key []byte) (Split, error) {
	if expected != 7 {
		return Split{}, catalog.ErrCatalogVersion
	}
	if id != 3 {
		return Split{}, catalog.ErrNoRange
	}
	if string(key) <= "a" || string(key) >= "z" {
		return Split{}, catalog.ErrSplitKey
	}
	return Split{Version: 8, Left: Route{ID: 3, Span: base.Span{Start: []byte("a"), End: key}},
		Right: Route{ID: 4, Span: base.Span{Start: key, End: []byte("z")}, Parent: 3}}, nil
}

func (oneRoute) Merge(_ context.Context, expected uint64, left, right base.RangeID) (Merge, error) {
	switch {
	case expected != 7:
		return Merge{}, catalog.ErrCatalogVersion
	case left != 3:
		return Merge{}, catalog.ErrNoRange
	case right != 4:
		return Merge{}, catalog.ErrNotNeighbours
	}
	return Merge{Version: 8, Route: Route{ID: 3, Span: base.Span{Start: []byte("a"), End: []byte("z")}}}, nil
}

func (oneRoute) Routes(context.Context) (Catalog, error) {
	return Catalog{Version: 7, Routes: []Route{{ID: 3, Span: base.Span{Start: []byte("a"), End: []byte("z")}, Parent: 2}}}, nil
}

func (oneRoute) Move(_ context.Context, id base.RangeID, from, to base.NodeID) error {
	if id != 3 {
		return catalog.ErrNoRange
	}
	if from != 1 || to != 2 {
		return errors.Join(errors.New("node 9"), ErrNoNode)
	}
	return nil
}

func (oneRoute) Transfer(_ context.Context, _ base.RangeID, to base.NodeID) error {
	if to != 2 {
		return errors.Join(ErrRouteBusy, errors.New("it holds no voter"))
	}
	return nil
}

func (r oneRoute) Watch(ctx context.Context, send func(Catalog) error) error {
	c, err := r.Routes(ctx)
	for ; err == nil && c.Version < 9; c.Version++ {
		err = send(c)
	}
	if err == nil {
		<-ctx.Done()
		err = ctx.Err()
	}
	return err
}

// no fails the test for an error.
func no[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// refused checks the code and the reason of an error.
func refused(t testing.TB, err error, code codes.Code, reason string) {
	t.Helper()
	got := ""
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			got = info.GetReason()
		}
	}
	if status.Code(err) != code || got != reason {
		t.Errorf("%v with reason %q, want %v with %q", err, got, code, reason)
	}
}

func (f *fixture) createNamespace(path string) {
	f.t.Helper()
	c := catalog.New(f.db)
	defer c.Close()
	p := no[catalog.Path](f.t)(catalog.ParsePath(path))
	ids := no[[]keyspace.NamespaceID](f.t)(c.Reserve(len(p)))
	if _, err := f.db.Transact(context.Background(), func(t kv.Txn) error {
		_, err := catalog.Create(t, p, ids)
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
}

func keysOf(pairs []*proto.KeyValue) string {
	var keys []string
	for _, p := range pairs {
		keys = append(keys, string(p.GetKey()))
	}
	return strings.Join(keys, " ")
}

func TestRawKV(t *testing.T) {
	onEngines(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		f.createNamespace("shop.stock")
		for _, namespace := range []string{"", "shop.stock"} {
			for i := range 5 {
				no[*proto.RawPutResponse](t)(f.raw.RawPut(ctx, &proto.RawPutRequest{
					Key: []byte{'a' + byte(i)}, Value: []byte(namespace), Namespace: namespace,
				}))
			}
			got := no[*proto.RawGetResponse](t)(f.raw.RawGet(ctx, &proto.RawGetRequest{Key: []byte("a"), Namespace: namespace}))
			if !got.GetExists() || string(got.GetValue()) != namespace {
				t.Errorf("got %v", got)
			}
			no[*proto.RawDeleteResponse](t)(f.raw.RawDelete(ctx, &proto.RawDeleteRequest{Key: []byte("b"), Namespace: namespace}))
			if got, err := f.raw.RawGet(ctx, &proto.RawGetRequest{Key: []byte("b"), Namespace: namespace}); err != nil || got.GetExists() {
				t.Errorf("deleted: %v, %v", got, err)
			}
		}
		for _, c := range []struct {
			req        *proto.RawScanRequest
			keys, next string
		}{
			{&proto.RawScanRequest{}, "a c d e", ""},
			{&proto.RawScanRequest{Limit: 2}, "a c", "c\x00"},
			{&proto.RawScanRequest{Start: []byte("c\x00")}, "d e", ""},
			{&proto.RawScanRequest{End: []byte("d")}, "a c", ""},
			{&proto.RawScanRequest{Reverse: true, Limit: 2}, "e d", "d"},
			{&proto.RawScanRequest{Reverse: true, End: []byte("d"), Namespace: "shop.stock"}, "c a", ""},
			{&proto.RawScanRequest{Start: []byte("d"), End: []byte("a")}, "", ""},
		} {
			got := no[*proto.RawScanResponse](t)(f.raw.RawScan(ctx, c.req))
			if keysOf(got.GetPairs()) != c.keys || string(got.GetNext()) != c.next || got.GetMore() != (c.next != "") {
				t.Errorf("%v: %v", c.req, got)
			}
		}
		_, err := f.raw.RawGet(ctx, &proto.RawGetRequest{Namespace: "shop.nope"})
		refused(t, err, codes.NotFound, "NO_SUCH_NAMESPACE")
		_, err = f.raw.RawPut(ctx, &proto.RawPutRequest{Namespace: "a..b"})
		refused(t, err, codes.InvalidArgument, "INVALID_NAMESPACE")
		_, err = f.raw.RawPut(ctx, &proto.RawPutRequest{Key: make([]byte, zmap.KeyBytes+1)})
		refused(t, err, codes.InvalidArgument, "KEY_TOO_LARGE")
		_, err = f.raw.RawPut(ctx, &proto.RawPutRequest{Value: make([]byte, zmap.ValueBytes+1)})
		refused(t, err, codes.InvalidArgument, "VALUE_TOO_LARGE")
	})
}

// TestOversized: a message above the limit is refused, and the connection goes on.
func TestOversized(t *testing.T) {
	f := serve(t, memory(), Options{})
	_, err := f.raw.RawPut(t.Context(), &proto.RawPutRequest{Value: make([]byte, limits.GRPCMessageBytes+1)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Error(err)
	}
	no[*proto.RawPutResponse](t)(f.raw.RawPut(t.Context(), &proto.RawPutRequest{Key: []byte("k")}))
}

// TestPages: pages are bounded in bytes, and lead over the whole range in both
// directions, the longest keys and the empty one included.
func TestPages(t *testing.T) {
	f := serve(t, memory(), Options{})
	longest := bytes.Repeat([]byte{0xFF}, zmap.KeyBytes)
	keys := [][]byte{{}, append(bytes.Repeat([]byte("k"), zmap.KeyBytes-1), 'j'), bytes.Repeat([]byte("k"), zmap.KeyBytes), longest}
	for i := range 30 {
		keys = append(keys, fmt.Appendf(nil, "value %02d", i))
	}
	for _, k := range keys {
		no[*proto.PutResponse](t)(f.kv.Put(t.Context(), &proto.PutRequest{Key: k, Value: make([]byte, zmap.ValueBytes)}))
	}
	for _, limit := range []uint32{0, 1} {
		for _, reverse := range []bool{false, true} {
			req, seen, pages := &proto.ScanRequest{Reverse: reverse, Limit: limit}, map[string]bool{}, 0
			for more := true; more; pages++ {
				resp := no[*proto.ScanResponse](t)(f.kv.Scan(t.Context(), req))
				for _, p := range resp.GetPairs() {
					seen[string(p.GetKey())] = true
				}
				if more = resp.GetMore(); reverse {
					req.End = resp.GetNext()
				} else {
					req.Start = resp.GetNext()
				}
			}
			if len(seen) != len(keys) || pages < 3 {
				t.Errorf("limit %d, reverse %v: %d of %d keys on %d pages", limit, reverse, len(seen), len(keys), pages)
			}
		}
	}
}

func TestVersions(t *testing.T) {
	onEngines(t, func(t *testing.T, f *fixture) {
		ctx, last := t.Context(), uint64(0)
		later := func(what string, version uint64) {
			t.Helper()
			if version <= last {
				t.Errorf("%s has version %d after %d", what, version, last)
			}
			last = version
		}
		dist := proto.NewDistributionClient(f.conn)
		for range 3 {
			later("put", no[*proto.PutResponse](t)(f.kv.Put(ctx, &proto.PutRequest{Key: []byte("k"), Value: []byte("v")})).GetVersion())
			got := no[*proto.GetResponse](t)(f.kv.Get(ctx, &proto.GetRequest{Key: []byte("k")}))
			later("get", got.GetVersion())
			if string(got.GetValue()) != "v" || !got.GetExists() {
				t.Errorf("got %v", got)
			}
			later("timestamp", no[*proto.GetTimestampResponse](t)(dist.GetTimestamp(ctx, &proto.GetTimestampRequest{})).GetTimestamp())
			later("scan", no[*proto.ScanResponse](t)(f.kv.Scan(ctx, &proto.ScanRequest{})).GetVersion())
			later("delete", no[*proto.DeleteResponse](t)(f.kv.Delete(ctx, &proto.DeleteRequest{Key: []byte("k")})).GetVersion())
			if got := no[*proto.GetResponse](t)(f.kv.Get(ctx, &proto.GetRequest{Key: []byte("k")})); got.GetExists() {
				t.Errorf("deleted: %v", got)
			}
		}
		_, err := f.kv.Get(ctx, &proto.GetRequest{Namespace: "nope"})
		refused(t, err, codes.NotFound, "NO_SUCH_NAMESPACE")
	})
}

func TestAdmission(t *testing.T) {
	f := serve(t, memory(), Options{Password: "secret"})
	for header, allowed := range map[string]bool{"Bearer secret": true, "bearer secret": true, "Bearer secre": false, "Basic secret": false, "": false} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", header)
		_, err := f.raw.RawGet(ctx, &proto.RawGetRequest{})
		if allowed && err != nil {
			t.Errorf("%q: %v", header, err)
		} else if !allowed {
			refused(t, err, codes.Unauthenticated, "UNAUTHENTICATED")
		}
	}
	_, err := f.raw.RawGet(t.Context(), &proto.RawGetRequest{})
	refused(t, err, codes.Unauthenticated, "UNAUTHENTICATED")

	for _, c := range []struct {
		addr        net.Addr
		unprotected bool
		want        codes.Code
	}{
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, false, codes.PermissionDenied},
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}, true, codes.OK},
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, false, codes.OK},
		{&net.TCPAddr{IP: net.IPv6loopback}, false, codes.OK},
	} {
		s := &Server{o: Options{Unprotected: c.unprotected}}
		if _, err := s.admit(peer.NewContext(t.Context(), &peer.Peer{Addr: c.addr}), &tap.Info{}); status.Code(err) != c.want {
			t.Errorf("%v, unprotected %v: %v", c.addr, c.unprotected, err)
		}
	}
}

// panicking is a catalog that panics.
// TestMergeRanges: what is united is answered, and what is refused says why.
func TestMergeRanges(t *testing.T) {
	f := serve(t, memory(), Options{})
	d := proto.NewDistributionClient(f.conn)
	got, err := d.MergeRanges(t.Context(), &proto.MergeRangesRequest{ExpectedCatalogVersion: 7, LeftRouteId: 3, RightRouteId: 4})
	if err != nil || got.GetCatalogVersion() != 8 || got.GetRoute().GetRouteId() != 3 || string(got.GetRoute().GetEnd()) != "z" {
		t.Fatalf("%v, %v", got, err)
	}
	for name, c := range map[string]struct {
		q    *proto.MergeRangesRequest
		code codes.Code
	}{
		"an old version": {&proto.MergeRangesRequest{ExpectedCatalogVersion: 6, LeftRouteId: 3, RightRouteId: 4}, codes.FailedPrecondition},
		"no route":       {&proto.MergeRangesRequest{ExpectedCatalogVersion: 7, LeftRouteId: 5, RightRouteId: 4}, codes.InvalidArgument},
		"no neighbours":  {&proto.MergeRangesRequest{ExpectedCatalogVersion: 7, LeftRouteId: 3, RightRouteId: 5}, codes.InvalidArgument},
	} {
		if _, err := d.MergeRanges(t.Context(), c.q); status.Code(err) != c.code || status.Convert(err).Message() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type panicking struct{ oneRoute }

func (panicking) Routes(context.Context) (Catalog, error) { panic("routes") }

func TestPanic(t *testing.T) {
	f := serve(t, memory(), Options{Routes: panicking{}})
	_, err := proto.NewDistributionClient(f.conn).ListRoutes(t.Context(), &proto.ListRoutesRequest{})
	refused(t, err, codes.Internal, "")
	no[*proto.RawPutResponse](t)(f.raw.RawPut(t.Context(), &proto.RawPutRequest{}))
}

// TestHealth: the server tells that it serves, and a watching client does not keep
// it from stopping.
func TestHealth(t *testing.T) {
	f := serve(t, memory(), Options{})
	health := grpc_health_v1.NewHealthClient(f.conn)
	for _, service := range []string{"", "proto.RawKV", "proto.TransactionalKV", "proto.Distribution"} {
		got, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, got, err)
		}
	}
	watch, err := health.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := f.s.Shutdown(ctx); err != nil || ctx.Err() != nil {
		t.Error(err, ctx.Err())
	}
}

// TestSplitRange: what is split is answered, and what is refused says why.
func TestSplitRange(t *testing.T) {
	f := serve(t, memory(), Options{})
	d := proto.NewDistributionClient(f.conn)
	got, err := d.SplitRange(t.Context(), &proto.SplitRangeRequest{ExpectedCatalogVersion: 7, RouteId: 3, SplitKey: []byte("m")})
	if err != nil || got.GetCatalogVersion() != 8 || string(got.GetLeft().GetEnd()) != "m" || string(got.GetRight().GetStart()) != "m" ||
		got.GetRight().GetParentRouteId() != 3 || got.GetRight().GetState() != proto.RouteState_ROUTE_STATE_ACTIVE {
		t.Fatalf("%v, %v", got, err)
	}
	for name, c := range map[string]struct {
		q    *proto.SplitRangeRequest
		code codes.Code
	}{
		"an old version": {&proto.SplitRangeRequest{ExpectedCatalogVersion: 6, RouteId: 3, SplitKey: []byte("m")}, codes.FailedPrecondition},
		"no route":       {&proto.SplitRangeRequest{ExpectedCatalogVersion: 7, RouteId: 4, SplitKey: []byte("m")}, codes.InvalidArgument},
		"its start":      {&proto.SplitRangeRequest{ExpectedCatalogVersion: 7, RouteId: 3, SplitKey: []byte("a")}, codes.InvalidArgument},
		"a huge key":     {&proto.SplitRangeRequest{ExpectedCatalogVersion: 7, RouteId: 3, SplitKey: make([]byte, limits.KeyBytes+1)}, codes.InvalidArgument},
	} {
		if _, err := d.SplitRange(t.Context(), c.q); status.Code(err) != c.code || status.Convert(err).Message() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
