package transport

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/clock"
	"github.com/stratadb/strata/internal/limits"
)

// Resolver knows where nodes are.
type Resolver interface {
	// Resolve is the address, host:port, of a node. It must not block; the
	// answer may change.
	Resolve(base.NodeID) (address string, err error)
}

// Options configures a transport. Cluster, Node, Store, Resolver and Log are
// required.
type Options struct {
	// Cluster, Node and Store say who this is.
	Cluster [16]byte
	Node    base.NodeID
	Store   base.StoreID
	// Resolver finds the others.
	Resolver Resolver
	Log      *slog.Logger

	// ServerTLS is for accepted connections, ClientTLS for dialled ones. Nil
	// means plain TCP. Mutual authentication is ServerTLS.ClientAuth.
	ServerTLS, ClientTLS *tls.Config
	// Admit turns down peers, on both sides of a connection; optional.
	Admit func(Peer) error
	// Dismissed is called whenever a peer's Admit has turned this node down; optional.
	Dismissed func()
	// Dial makes connections; by default a net.Dialer.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Clock tells when to dial again, Random (uniform over all 64 bits) how much
	// sooner; by default the system's.
	Clock  clock.Clock
	Random func() uint64

	// The limits of package limits that a test or a small machine may lower.
	QueueBytes, Calls, Serving, Streams, Connections int
	Ping, Silence, Stall, DialTimeout                time.Duration
	Backoff, BackoffMax, BackoffRefused              time.Duration
}

func (o Options) withDefaults() Options {
	if o.Dial == nil {
		var d net.Dialer
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", address)
		}
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	number := func(n *int, otherwise int) {
		if *n == 0 {
			*n = otherwise
		}
	}
	number(&o.QueueBytes, limits.TransportQueueBytes)
	number(&o.Calls, limits.TransportCalls)
	number(&o.Serving, limits.TransportServing)
	number(&o.Streams, limits.TransportStreams)
	number(&o.Connections, limits.TransportConnections)
	duration := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	duration(&o.Ping, limits.TransportPing)
	duration(&o.Silence, limits.TransportSilence)
	duration(&o.Stall, limits.TransportStall)
	duration(&o.DialTimeout, limits.TransportDial)
	duration(&o.Backoff, limits.TransportBackoff)
	duration(&o.BackoffMax, limits.TransportBackoffMax)
	duration(&o.BackoffRefused, limits.TransportRefused)
	return o
}

func (o *Options) self() Peer { return Peer{Node: o.Node, Store: o.Store} }
