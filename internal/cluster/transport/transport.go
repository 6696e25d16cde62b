package transport

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

// Transport is a node's end of all its connections.
type Transport struct {
	opt      Options
	started  time.Time // pings carry the time since then
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup // every goroutine
	handlers struct {
		sealed  atomic.Bool // no more registrations
		message map[Kind]MessageHandler
		call    map[Kind]CallHandler
		stream  map[Kind]StreamHandler
	}
	accepted, refused, panics atomic.Uint64
	mu                        struct {
		sync.Mutex
		closed   bool
		peers    map[base.NodeID]*peer
		conns    map[*conn]struct{}
		inbound  map[inbound]*conn // the accepted ones among conns
		greeting int               // accepted, handshake not finished
	}
}

// inbound names an accepted connection: a node has one per class.
type inbound struct {
	from  Peer
	class Class
}

var (
	_ Messenger = (*Transport)(nil)
	_ Registrar = (*Transport)(nil)
)

// New makes a transport. It dials when there is something to send; Serve accepts
// connections. Close must follow.
func New(opt Options) *Transport {
	t := &Transport{opt: opt.withDefaults(), started: time.Now()}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.handlers.message = map[Kind]MessageHandler{}
	t.handlers.call = map[Kind]CallHandler{}
	t.handlers.stream = map[Kind]StreamHandler{}
	t.mu.peers = map[base.NodeID]*peer{}
	t.mu.conns = map[*conn]struct{}{}
	t.mu.inbound = map[inbound]*conn{}
	t.wg.Go(t.watch)
	return t
}

// HandleMessage implements Registrar.
func (t *Transport) HandleMessage(k Kind, h MessageHandler) { register(t, t.handlers.message, k, h) }

// HandleCall implements Registrar.
func (t *Transport) HandleCall(k Kind, h CallHandler) { register(t, t.handlers.call, k, h) }

// HandleStream implements Registrar.
func (t *Transport) HandleStream(k Kind, h StreamHandler) { register(t, t.handlers.stream, k, h) }

func register[H any](t *Transport, m map[Kind]H, k Kind, h H) {
	if _, dup := m[k]; dup || t.handlers.sealed.Load() {
		panic(errors.AssertionFailedf("handler of kind %d registered twice or too late", k))
	}
	m[k] = h
}

// Serve accepts connections from l until Close, and closes it. The result is nil
// after Close, and an error if somebody else has closed l.
func (t *Transport) Serve(l net.Listener) error {
	t.handlers.sealed.Store(true)
	stop := context.AfterFunc(t.ctx, func() { _ = l.Close() })
	defer stop()
	defer func() { _ = l.Close() }()
	for {
		nc, err := l.Accept()
		if t.ctx.Err() != nil {
			if err == nil {
				_ = nc.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return errors.Wrap(err, "accepting connections of other nodes")
		}
		if err != nil { // no descriptors, for example: it may pass
			t.opt.Log.Error("accepting connections of other nodes", slog.Any("error", err))
			select {
			case <-t.ctx.Done():
			case <-time.After(t.opt.Backoff):
			}
			continue
		}
		if !t.welcomed(nc) {
			t.refused.Add(1)
			_ = nc.Close()
		}
	}
}

// Close ends all connections and waits for every goroutine, those of handlers
// included: their contexts have ended.
func (t *Transport) Close() {
	t.mu.Lock()
	t.mu.closed = true
	conns := make([]*conn, 0, len(t.mu.conns))
	for c := range t.mu.conns {
		conns = append(conns, c)
	}
	t.mu.Unlock()
	for _, c := range conns {
		c.fail(base.ErrClosed)
	}
	t.stop()
	t.wg.Wait()
}

// watch probes the connections.
func (t *Transport) watch() {
	ticker := time.NewTicker(t.opt.Ping)
	defer ticker.Stop()
	var conns []*conn
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-ticker.C:
		}
		t.mu.Lock()
		for c := range t.mu.conns {
			conns = append(conns, c)
		}
		t.mu.Unlock()
		for _, c := range conns {
			c.probe()
		}
		clear(conns)
		conns = conns[:0]
	}
}

// peer finds or makes what is known of a node.
func (t *Transport) peer(node base.NodeID) (*peer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.mu.peers[node]
	if p == nil {
		if len(t.mu.peers) >= limits.TransportPeers {
			return nil, errors.Wrapf(ErrTooManyConnections, "%d peers", len(t.mu.peers))
		}
		p = newPeer(t, node)
		t.mu.peers[node] = p
	}
	return p, nil
}

// launch registers a connection and runs its life on a goroutine.
func (t *Transport) launch(c *conn, life func()) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return base.ErrClosed
	}
	t.mu.conns[c] = struct{}{}
	t.wg.Go(life)
	return nil
}

// forget removes a connection that has ended.
func (t *Transport) forget(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.conns, c)
	for k, other := range t.mu.inbound {
		if other == c {
			delete(t.mu.inbound, k)
		}
	}
}
