package transport

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// conn is a connection from before it is dialled or welcomed to its end. The side
// that has dialled begins messages, calls and streams; the other one answers.
type conn struct {
	t       *Transport
	peer    *peer
	class   Class
	link    *link // nil if the connection was accepted
	ctx     context.Context
	stop    context.CancelFunc
	wake    chan struct{}             // a token: there is something to write
	ended   chan struct{}             // closed when the loops have ended
	opened  atomic.Pointer[time.Time] // when the handshake was done
	meter   meter
	probed  probed
	outbox  outbox
	serving serving
	more    bool // the reader's: another message follows
}

// outbox is what waits to be sent, and the exchanges that were begun. A single
// lock covers both, so that an exchange is known to have been sent or not.
type outbox struct {
	sync.Mutex
	err       error // why the connection has ended; nil while it lives
	raw       net.Conn
	queue     []frame // from head on
	head      int
	urgent    []frame // overtakes the queue
	bytes     int     // of frames that are queued or being written
	answers   int     // of those that nobody waits to queue
	room      chan struct{}
	lastID    uint64
	exchanges map[uint64]exchange
}

// meter counts what passes, for probe.
type meter struct {
	received   atomic.Uint64 // bytes
	written    atomic.Uint64 // writes that have returned
	writing    atomic.Bool
	unanswered atomic.Int64  // probes since a ping was answered
	ping       atomic.Uint64 // the last ping, until it is answered
}

// probed is what probe saw the last time.
type probed struct {
	received, written uint64
	silent, stalled   time.Duration
}

func newConn(t *Transport, p *peer, class Class, l *link) *conn {
	c := &conn{t: t, peer: p, class: class, link: l, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	c.ctx, c.stop = context.WithCancel(t.ctx)
	c.outbox.exchanges = map[uint64]exchange{}
	c.serving.byID = map[uint64]*served{}
	return c
}

// run is the life of a connection after its handshake.
func (c *conn) run(raw, nc net.Conn) {
	defer c.end()
	if !c.attach(raw) {
		_ = raw.Close()
		return
	}
	now := c.t.opt.Clock.Now()
	c.opened.Store(&now)
	written := make(chan struct{})
	c.t.wg.Go(func() {
		defer close(written)
		c.fail(c.write(nc))
	})
	c.fail(c.read(nc))
	<-written
}

// attach makes fail close the socket; false if the connection has failed already.
func (c *conn) attach(raw net.Conn) bool {
	c.outbox.Lock()
	defer c.outbox.Unlock()
	c.outbox.raw = raw
	return c.outbox.err == nil
}

// end is the last act of a connection.
func (c *conn) end() {
	c.t.forget(c)
	close(c.ended)
}

// fail ends the connection, once: whoever waits for it is told, each with the
// truth about whether its request was sent. It does not wait.
func (c *conn) fail(err error) {
	o := &c.outbox
	o.Lock()
	if o.err != nil {
		o.Unlock()
		return
	}
	o.err = err
	raw, exchanges, dropped := o.raw, o.exchanges, 0
	for _, f := range o.queue[o.head:] {
		if f.typ == typeMessage {
			dropped++
		}
	}
	o.queue, o.head, o.urgent, o.exchanges = nil, 0, nil, nil
	o.Unlock()
	c.peer.counters.drops.Add(uint64(dropped))
	if raw != nil {
		_ = raw.Close()
	}
	if c.link != nil {
		c.link.lost(c, err)
	} else if !errors.IsAny(err, io.EOF, base.ErrClosed, ErrReplaced) {
		c.t.opt.Log.Warn("connection of another node ended", slog.Uint64("node", uint64(c.peer.node)),
			slog.Int("class", int(c.class)), slog.Any("error", err))
	}
	c.stop()
	for _, x := range exchanges {
		x.fail(c.failure(x.state().sent, x.state().kind, err))
	}
}

// failure is the truth about an exchange that the connection took with it.
func (c *conn) failure(sent bool, kind Kind, cause error) *CallError {
	class := base.ErrUnavailable
	if sent {
		class = base.ErrUnknownOutcome
	}
	return &CallError{Node: c.peer.node, Kind: kind, Class: class, Cause: cause}
}

// readBufferBytes is the size of a connection's read buffer.
const readBufferBytes = 64 << 10

// read handles what arrives, until the connection ends.
func (c *conn) read(nc net.Conn) error {
	r := bufio.NewReaderSize(metered{nc, &c.meter}, readBufferBytes)
	n := &c.peer.counters
	for {
		h, payload, err := readFrame(r)
		if err != nil {
			return err
		}
		c.more = another(r, h)
		n.framesReceived.Add(1)
		n.bytesReceived.Add(uint64(headerBytes + len(payload)))
		if c.link != nil {
			err = c.answered(h, payload)
		} else {
			err = c.asked(h, payload)
		}
		if err != nil {
			return err
		}
	}
}

type metered struct {
	r io.Reader
	m *meter
}

func (m metered) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.m.received.Add(uint64(n))
	return n, err
}

// loadedBytes is how much arrives between two probes of a connection that is at work. A peer
// that does not hear what this side acknowledges sends no more than its socket takes.
const loadedBytes = 256 << 10

// probe looks whether the connection still moves, and pings. It is called every
// Options.Ping by one goroutine. It counts its calls and not the time, so that a
// process that was stopped does not blame its peers.
func (c *conn) probe() {
	if c.opened.Load() == nil {
		return
	}
	o, p := &c.t.opt, &c.probed
	p.silent += o.Ping
	loaded := false // a long frame is in the way of pings, or of their answers
	if n := c.meter.received.Load(); n != p.received {
		loaded = n-p.received > loadedBytes
		p.received, p.silent = n, 0
	}
	writing := c.meter.writing.Load()
	p.stalled += o.Ping
	if n := c.meter.written.Load(); n != p.written || !writing {
		p.written, p.stalled = n, 0
	}
	if !loaded && (!writing || p.stalled >= suspectProbes*o.Ping) {
		c.meter.unanswered.Add(1)
	}
	switch {
	case p.silent >= o.Silence:
		c.fail(errors.Wrapf(ErrSilent, "for %s", p.silent))
	case p.stalled >= o.Stall:
		c.fail(errors.Wrapf(ErrStalled, "for %s", p.stalled))
	default:
		now := c.now()
		c.meter.ping.Store(now)
		c.reply(frame{header: header{typ: typePing, arg: now}, urgent: true})
	}
}

// now is the time that pings carry.
func (c *conn) now() uint64 { return uint64(time.Since(c.t.started)) }

// common handles the frames that both sides may send; ok is false for others.
func (c *conn) common(h header) (ok bool) {
	switch h.typ {
	case typePing:
		c.reply(frame{header: header{typ: typePong, arg: h.arg}, urgent: true})
	case typePong:
		c.meter.unanswered.Store(0)
		// Only the answer to the last ping is measured: an older one was late,
		// and its time is not known to be ours.
		if c.meter.ping.CompareAndSwap(h.arg, 0) {
			c.peer.counters.rttCount.Add(1)
			c.peer.counters.rttSum.Add(c.now() - h.arg)
		}
	default:
		return false
	}
	return true
}
