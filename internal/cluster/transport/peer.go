package transport

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// peer is another node.
type peer struct {
	node     base.NodeID
	counters counters
	links    [classCount]link
}

func newPeer(t *Transport, node base.NodeID) *peer {
	p := &peer{node: node}
	for class := range p.links {
		l := &p.links[class]
		l.t, l.peer, l.class = t, p, Class(class)
		l.calls, l.streams = make(chan struct{}, t.opt.Calls), make(chan struct{}, t.opt.Streams)
	}
	return p
}

// link is the way to a peer for one class of traffic: at most one connection at a
// time, dialled when something is to be sent and the last failure is long enough
// ago. Nothing is dialled for its own sake, so a peer that has gone costs nothing.
type link struct {
	t              *Transport
	peer           *peer
	class          Class
	calls, streams chan struct{} // a token for each in flight
	current        atomic.Pointer[conn]
	mu             struct {
		sync.Mutex
		address   string    // dialled last
		failures  int       // in a row
		notBefore time.Time // of the next attempt to the same address
		why       error     // the last failure
	}
}

// connect is the connection to send on; it may still be dialling. It does not wait.
func (l *link) connect() (*conn, error) {
	if c := l.current.Load(); c != nil {
		return c, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.current.Load(); c != nil {
		return c, nil
	}
	address, err := l.t.opt.Resolver.Resolve(l.peer.node)
	if err != nil {
		return nil, errors.Wrap(err, "looking up the node's address")
	}
	if address == l.mu.address && l.t.opt.Clock.Now().Before(l.mu.notBefore) {
		return nil, l.mu.why
	}
	if address != l.mu.address {
		l.mu.address, l.mu.failures = address, 0
	}
	c := newConn(l.t, l.peer, l.class, l)
	if err := l.t.launch(c, func() { c.dial(address) }); err != nil {
		return nil, err
	}
	l.peer.counters.dials.Add(1)
	l.current.Store(c)
	return c, nil
}

// suspectProbes is after how many probes of a connection that nobody has answered the way to
// the peer is in doubt.
const suspectProbes = 3

// Suspect reports whether the way to a node, or back, is in doubt: its connection's pings are
// not answered, or the last attempt to connect has failed. Where there is another way it
// should be taken.
func (t *Transport) Suspect(node base.NodeID) bool {
	t.mu.Lock()
	p := t.mu.peers[node]
	t.mu.Unlock()
	if p == nil {
		return false
	}
	l := &p.links[ClassSmall]
	c := l.current.Load()
	if c != nil && c.opened.Load() != nil {
		return c.meter.unanswered.Load() > suspectProbes
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.failures > 0 && (c != nil || t.opt.Clock.Now().Before(l.mu.notBefore))
}

// lost notes that the connection has failed and when to try again. A connection
// that has lived for a while makes earlier failures forgotten.
func (l *link) lost(c *conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current.Load() != c {
		return
	}
	l.current.Store(nil)
	o := &l.t.opt
	now := o.Clock.Now()
	opened := c.opened.Load()
	if opened == nil {
		l.peer.counters.dialFailures.Add(1)
	} else if now.Sub(*opened) >= o.BackoffMax {
		l.mu.failures = 0
	}
	pause := o.BackoffMax
	if shift := l.mu.failures; shift < 16 {
		pause = min(pause, o.Backoff<<shift)
	}
	if refused(err) {
		pause = o.BackoffRefused
	}
	pause -= time.Duration(o.Random() % uint64(pause/2+1))
	l.mu.notBefore, l.mu.why = now.Add(pause), err
	if l.mu.failures++; l.mu.failures == 1 && !errors.Is(err, base.ErrClosed) {
		o.Log.Warn("no connection to another node", slog.Uint64("node", uint64(l.peer.node)),
			slog.String("address", l.mu.address), slog.Int("class", int(l.class)), slog.Any("error", err))
	}
}

// greeted ends the pauses: a peer that has just connected to this node is there. One
// that has refused this node has not changed its mind.
func (p *peer) greeted() {
	for i := range p.links {
		l := &p.links[i]
		l.mu.Lock()
		if !refused(l.mu.why) {
			l.mu.failures, l.mu.notBefore = 0, time.Time{}
		}
		l.mu.Unlock()
	}
}

// dial is the life of a dialled connection.
func (c *conn) dial(address string) {
	raw, nc, err := c.reach(address)
	if err != nil {
		c.fail(err)
		c.end()
		return
	}
	c.run(raw, nc)
}

// reach connects and greets. The results have no names: what ends the greeting from
// outside closes the socket by its variable, also after this has returned.
func (c *conn) reach(address string) (net.Conn, net.Conn, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.t.opt.DialTimeout)
	defer cancel()
	raw, err := c.t.opt.Dial(ctx, address)
	if err != nil {
		return nil, nil, errors.Wrap(err, "connecting")
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	nc, err := c.introduce(raw, address)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		return nil, nil, errors.Wrapf(err, "greeting node %d at %s", c.peer.node, address)
	}
	return raw, nc, nil
}

// introduce makes the connection secure, if it is to be, and greets.
func (c *conn) introduce(raw net.Conn, address string) (net.Conn, error) {
	o, nc := &c.t.opt, raw
	if o.ClientTLS != nil {
		nc = tls.Client(raw, named(o.ClientTLS, address))
	}
	_, err := greet(nc, hello{version: protocolVersion, oldest: protocolOldest, class: c.class,
		cluster: o.Cluster, from: o.self(), to: c.peer.node}, o.Admit)
	if errors.Is(err, errDismissed) && o.Dismissed != nil {
		o.Dismissed()
	}
	return nc, err
}

// named is the configuration with the name to verify: the host of the address,
// unless it names one.
func named(config *tls.Config, address string) *tls.Config {
	if config.ServerName != "" || config.InsecureSkipVerify {
		return config
	}
	config = config.Clone()
	if host, _, err := net.SplitHostPort(address); err == nil {
		config.ServerName = host
	}
	return config
}
