package transport

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/cockroachdb/errors"
)

// welcomed begins the life of an accepted socket, if there is room for it.
func (t *Transport) welcomed(nc net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed || len(t.mu.inbound)+t.mu.greeting >= t.opt.Connections {
		return false
	}
	t.mu.greeting++
	t.accepted.Add(1)
	t.wg.Go(func() { t.accept(nc) })
	return true
}

// accept is the life of an accepted socket.
func (t *Transport) accept(raw net.Conn) {
	nc := raw
	if t.opt.ServerTLS != nil {
		nc = tls.Server(raw, t.opt.ServerTLS)
	}
	stop := context.AfterFunc(t.ctx, func() { _ = raw.Close() })
	c, err := t.handshake(nc)
	stop()
	t.mu.Lock()
	t.mu.greeting--
	t.mu.Unlock()
	if err == nil {
		c.peer.greeted()
		c.run(raw, nc)
		return
	}
	_ = raw.Close()
	if t.ctx.Err() == nil {
		t.refused.Add(1)
		t.opt.Log.Warn("connection of another node refused",
			slog.String("address", raw.RemoteAddr().String()), slog.Any("error", err))
	}
}

// handshake answers the greeting of a dialler. When it succeeds, the connection
// has taken the place of an earlier one of the same node and class, and nothing of
// that is still running its handlers of messages (T4).
func (t *Transport) handshake(nc net.Conn) (*conn, error) {
	if err := nc.SetDeadline(time.Now().Add(t.opt.DialTimeout)); err != nil {
		return nil, err
	}
	h, err := receive(nc)
	if err != nil {
		return nil, err
	}
	var c *conn
	verdict := judge(h, t.opt.Cluster, t.opt.Node, t.opt.Admit)
	if verdict == nil {
		c, verdict = t.enter(h)
	}
	answer := welcome{version: min(h.version, protocolVersion), refusal: verdict, from: t.opt.self()}
	if _, err := nc.Write(answer.encode()); verdict == nil {
		verdict = err
	}
	if err := nc.SetDeadline(time.Time{}); verdict == nil {
		verdict = err
	}
	if verdict != nil && c != nil {
		c.fail(verdict)
		c.end()
	}
	return c, verdict
}

// enter makes and registers the connection that a hello asks for.
func (t *Transport) enter(h hello) (*conn, error) {
	p, err := t.peer(h.from.Node)
	if err != nil {
		return nil, err
	}
	c := newConn(t, p, h.class, nil)
	key := inbound{h.from, h.class}
	t.mu.Lock()
	if t.mu.closed {
		t.mu.Unlock()
		return nil, errors.Wrap(ErrTooManyConnections, "shutting down")
	}
	previous := t.mu.inbound[key]
	t.mu.inbound[key] = c
	t.mu.conns[c] = struct{}{}
	t.mu.Unlock()
	if previous != nil {
		previous.fail(ErrReplaced)
		<-previous.ended
	}
	return c, nil
}
