package kvgrpc

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/proto"
)

// Options configure a server. DB and Routes are required.
type Options struct {
	DB     *kv.DB
	Routes Routes
	// Log receives what an operator should know.
	Log *slog.Logger
	// Password is what clients send as `authorization: Bearer <password>`; none
	// means that they need not.
	Password string
	// Unprotected turns protected mode off: without a password, other than
	// loopback clients are refused unless it is set.
	Unprotected bool
	// Now measures the age of interactive transactions, as that of DB does; the
	// default is time.Now.
	Now func() time.Time
}

// Server serves gRPC clients. Make one with New.
type Server struct {
	o            Options
	db           *kv.DB
	log          *slog.Logger
	grpc         *grpc.Server
	health       *health.Server
	transactions *transactions
	stopping     context.Context
	stop         context.CancelFunc
	owned        sync.WaitGroup // the sweeper
}

const (
	// handshakeTimeout bounds the time until a connection speaks HTTP/2.
	handshakeTimeout = 10 * time.Second
	// probeAfter is how long a connection may be silent before it is probed, and
	// probeTimeout how long the answer may take.
	probeAfter   = time.Minute
	probeTimeout = 20 * time.Second
	// probeMin is how often clients may probe.
	probeMin = 10 * time.Second
	// sweepEvery is how often overdue transactions are looked for.
	sweepEvery = time.Second
)

// New makes a server and starts its background work, which ends with Shutdown.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o, db: o.DB, log: o.Log, health: health.NewServer(), transactions: newTransactions(o.DB, o.Now)}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(
		grpc.InTapHandle(s.admit),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
		grpc.MaxRecvMsgSize(limits.GRPCMessageBytes),
		grpc.MaxConcurrentStreams(limits.GRPCStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: probeAfter, Timeout: probeTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: probeMin, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	proto.RegisterRawKVServer(s.grpc, &rawKV{s: s})
	proto.RegisterTransactionalKVServer(s.grpc, &transactionalKV{s: s})
	proto.RegisterDistributionServer(s.grpc, &distribution{s: s})
	for name := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(name, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.owned.Go(s.sweep)
	return s
}

// Serve accepts connections from l until Shutdown, which makes it return nil.
func (s *Server) Serve(l net.Listener) error {
	err := s.grpc.Serve(&boundedListener{Listener: l, most: limits.GRPCConnections})
	if s.stopping.Err() != nil {
		return nil
	}
	return err
}

// Shutdown lets calls that have begun finish until ctx ends, cuts off what is
// left, and rolls back the transactions that are still open.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	s.health.Shutdown()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.grpc.GracefulStop()
	}()
	select {
	case <-drained:
	case <-ctx.Done():
		s.grpc.Stop()
		<-drained
	}
	s.owned.Wait()
	s.transactions.close()
	return nil
}

// sweep looks for overdue transactions until the server stops.
func (s *Server) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stopping.Done():
			return
		case <-tick.C:
			s.transactions.sweep()
		}
	}
}
