package transport

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// executions counts how often each request reached its handler.
type executions struct{ of []atomic.Int32 }

func (e *executions) handler(_ context.Context, _ base.NodeID, request []byte) ([]byte, error) {
	e.of[binary.LittleEndian.Uint64(request)].Add(1)
	return request, nil
}

// judge compares what the caller was told with what happened, once everything has
// ended.
func (e *executions) judge(t *testing.T, told []error) (unavailable, unknown int) {
	t.Helper()
	for i, err := range told {
		n := e.of[i].Load()
		switch {
		case n > 1:
			t.Fatalf("request %d was executed %d times", i, n)
		case err == nil && n != 1:
			t.Fatalf("request %d was answered and not executed", i)
		case errors.Is(err, base.ErrUnavailable):
			if unavailable++; n != 0 || errors.Is(err, base.ErrUnknownOutcome) {
				t.Fatalf("request %d was executed %d times, but: %v", i, n, err)
			}
		case errors.Is(err, base.ErrUnknownOutcome):
			unknown++
		case err != nil:
			t.Fatalf("request %d: %v", i, err)
		}
	}
	return unavailable, unknown
}

// idle checks that nothing is left of the exchanges.
func (t *Transport) idle(tb testing.TB) {
	tb.Helper()
	eventually(tb, "nothing is in flight", func() bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		for c := range t.mu.conns {
			c.outbox.Lock()
			rest := len(c.outbox.exchanges) + len(c.outbox.queue) - c.outbox.head + c.outbox.answers + c.outbox.bytes
			c.outbox.Unlock()
			c.serving.Lock()
			rest += len(c.serving.byID) + c.serving.bytes + c.serving.streams
			c.serving.Unlock()
			if rest > 0 {
				return false
			}
		}
		for _, p := range t.mu.peers {
			if m := p.metrics(); m.CallsInFlight+m.StreamsOpen > 0 {
				return false
			}
		}
		return true
	})
}

// TestTruthUnderFaults: connections are cut in the middle of frames, at any time,
// and bits flip, while many callers call, some of whom give up. No request is
// executed twice, none after ErrUnavailable.
func TestTruthUnderFaults(t *testing.T) {
	const calls, callers = 6000, 32
	c := newCluster(t)
	e := executions{of: make([]atomic.Int32, calls)}
	rng := rand.New(rand.NewPCG(1, 2))
	d := &faults{prepare: func(f *fault) {
		switch at := helloBytes + rng.IntN(20_000); rng.IntN(4) {
		case 0:
			f.mu.flipAt = at
		case 1: // until somebody closes it
		default:
			f.mu.cutAfter = at
		}
	}}
	a := c.start(1, nil, d.use, func(o *Options) { o.QueueBytes = 4 << 10 })
	b := c.start(2, func(r Registrar) { r.HandleCall(kindEcho, e.handler) })
	told := make([]error, calls)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 3))
			for {
				i := next.Add(1) - 1
				if i >= calls {
					return
				}
				ctx, cancel := context.WithCancel(t.Context())
				if i%10 == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(300))*time.Microsecond)
				}
				_, told[i] = a.Call(ctx, 2, kindEcho, number(int(i)))
				cancel()
				if i%500 == 250 {
					_ = d.last().Close()
				}
				if told[i] != nil {
					<-time.After(time.Millisecond) // as a caller would, before it tries again
				}
			}
		})
	}
	wg.Wait()
	a.idle(t)
	b.idle(t)
	unavailable, unknown := e.judge(t, told)
	if unavailable == 0 || unknown == 0 || unavailable+unknown > calls/2 || d.count() < 10 {
		t.Errorf("%d unavailable, %d unknown of %d, %d connections: the test does not test what it should",
			unavailable, unknown, calls, d.count())
	}
}

// TestCloseUnderLoad: either side closes; every call ends with the truth.
func TestCloseUnderLoad(t *testing.T) {
	for _, side := range []string{"caller", "handler"} {
		t.Run(side, func(t *testing.T) {
			const calls, callers = 100_000, 32
			c := newCluster(t)
			e := executions{of: make([]atomic.Int32, calls)}
			a := c.start(1, nil)
			b := c.start(2, func(r Registrar) { r.HandleCall(kindEcho, e.handler) })
			told := make([]error, calls)
			var next atomic.Int64
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for {
						i := next.Add(1) - 1
						if i >= calls {
							t.Error("all calls were answered")
							return
						}
						if _, told[i] = a.Call(t.Context(), 2, kindEcho, number(int(i))); told[i] != nil {
							return
						}
					}
				})
			}
			eventually(t, "calls are under way", func() bool { return next.Load() > 1000 })
			if side == "caller" {
				a.Close()
			} else {
				b.Close()
			}
			wg.Wait()
			b.Close()
			n := min(next.Load(), calls)
			e.judge(t, told[:n])
			a.Close()
			if _, err := a.Call(t.Context(), 2, kindEcho, nil); !errors.Is(err, base.ErrUnavailable) {
				t.Errorf("after Close: %v", err)
			}
			if a.Send(2, kindEcho, nil) {
				t.Error("sent after Close")
			}
		})
	}
}

// TestSilence: a connection on which one direction has died is noticed on the side
// that hears nothing, and the next one works.
func TestSilence(t *testing.T) {
	quick := func(o *Options) { o.Ping, o.Silence = 5*time.Millisecond, 500*time.Millisecond }
	for _, c := range []struct {
		name string
		spy  func(*fault)
		log  string
	}{
		{"what is sent disappears", func(f *fault) { f.mu.blackhole = true }, `"connection of another node ended"`},
		{"nothing is heard", func(f *fault) { f.mu.deaf = make(chan struct{}) }, `"no connection to another node"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newCluster(t)
			var d faults
			a := cl.start(1, nil, d.use, quick)
			cl.start(2, withEcho, quick)
			if _, err := a.Call(contextFor(t, patience), 2, kindEcho, nil); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a ping was answered", func() bool { return a.Metrics().Peers[0].RTTCount > 0 })
			eventually(t, "the way is in no doubt", func() bool { return !a.Suspect(2) })
			var err error
			for err == nil { // until a call meets a connection that is dead, and not the next one
				dead := d.last()
				dead.set(c.spy)
				eventually(t, "the way is in doubt", func() bool { return a.Suspect(2) || dead.ended() })
				_, err = a.Call(contextFor(t, patience), 2, kindEcho, nil)
			}
			if !errors.Is(err, base.ErrUnknownOutcome) {
				t.Errorf("call: %v", err)
			}
			cl.says("peer is silent")
			cl.says(c.log)
			eventually(t, "it works again", func() bool {
				_, err := a.Call(contextFor(t, patience), 2, kindEcho, nil)
				return err == nil && !a.Suspect(2)
			})
		})
	}
}

// TestIdleConnectionStays: pings keep it for longer than it may be silent.
func TestIdleConnectionStays(t *testing.T) {
	c := newCluster(t)
	const ping, pings = 5 * time.Millisecond, 200
	quick := func(o *Options) { o.Ping, o.Silence = ping, pings*ping } // silence is counted in pings
	a := c.start(1, nil, quick)
	c.start(2, withEcho, quick)
	if _, err := a.Call(contextFor(t, patience), 2, kindEcho, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "pings were answered for that long", func() bool { return a.Metrics().Peers[0].RTTCount > pings+pings/4 })
	if m := a.Metrics().Peers[0]; m.Dials != 1 || m.RTTSum <= 0 {
		t.Errorf("metrics: %+v", m)
	}
}

// TestStall: a peer that is alive and takes nothing.
func TestStall(t *testing.T) {
	c := newCluster(t)
	release := make(chan struct{})
	a := c.start(1, nil, func(o *Options) { o.Ping, o.Stall, o.Silence = 5*time.Millisecond, 50*time.Millisecond, time.Hour })
	c.start(2, func(r Registrar) {
		r.HandleMessage(kindNumber, func(base.NodeID, []byte, bool) { <-release })
	})
	defer close(release)
	payload := make([]byte, 1<<20)
	eventually(t, "the connection is given up", func() bool {
		a.Send(2, kindNumber, payload)
		return c.log.contains("peer does not read")
	})
}

// TestAnswersAreBounded: who asks and never reads the answers loses the connection.
func TestAnswersAreBounded(t *testing.T) {
	c := newCluster(t)
	c.start(2, withEcho)
	nc := c.greeted()
	var b []byte
	for i := uint64(1); i <= 1000; i++ {
		b = appendHeader(b, header{typ: typePing, arg: i}, nil)
	}
	var err error
	for err == nil {
		_, err = nc.Write(b)
	}
	c.says("bytes of answers wait")
}

// TestSlowAndLateNetwork: everything arrives in small pieces and late.
func TestSlowAndLateNetwork(t *testing.T) {
	c := newCluster(t)
	d := &faults{prepare: func(f *fault) { f.mu.slow, f.mu.delay = 3, time.Millisecond }}
	var h streams
	var n numbers
	a := c.start(1, nil, d.use)
	c.start(2, func(r Registrar) { withEcho(r); h.register(r); n.register(r) })
	for i := range 100 {
		if !a.Send(2, kindNumber, number(i)) {
			t.Error("dropped")
		}
	}
	request := make([]byte, 50_000)
	if response, err := a.Call(contextFor(t, patience), 2, kindEcho, request); err != nil || len(response) != len(request) {
		t.Fatalf("%d bytes, %v", len(response), err)
	}
	s := open(t, a, kindDown, down(10, 1000))
	for range 10 {
		if chunk, err := s.Recv(); err != nil || len(chunk) != 1000 {
			t.Fatalf("%d bytes, %v", len(chunk), err)
		}
	}
	eventually(t, "all messages have come", func() bool { return n.count.Load() == 100 })
	n.increasing(t)
}

// handClock is a clock that the test moves.
type handClock struct{ now atomic.Int64 }

func (c *handClock) Now() time.Time          { return time.Unix(1, c.now.Load()) }
func (c *handClock) UnixMicros() int64       { return c.Now().UnixMicro() }
func (c *handClock) Elapsed() time.Duration  { return time.Duration(c.now.Load()) }
func (c *handClock) advance(d time.Duration) { c.now.Add(int64(d)) }

// TestBackoff: pauses double up to the longest, with jitter, and a new address is
// tried at once.
func TestBackoff(t *testing.T) {
	c := newCluster(t)
	var clock handClock
	c.addresses.set(2, "127.0.0.1:1")
	a := c.start(1, nil, func(o *Options) {
		o.Clock, o.Random = &clock, func() uint64 { return 0 } // no jitter
		o.Backoff, o.BackoffMax = 100*time.Millisecond, 350*time.Millisecond
	})
	attempt := func() {
		t.Helper()
		if _, err := a.Call(contextFor(t, patience), 2, kindEcho, nil); !errors.Is(err, base.ErrUnavailable) {
			t.Fatal(err)
		}
		// The caller may be told before the link is.
		eventually(t, "the attempt is over", func() bool {
			p, err := a.peer(2)
			return err == nil && p.links[ClassSmall].current.Load() == nil
		})
	}
	dials := uint64(0)
	check := func(what string, more uint64) {
		t.Helper()
		attempt()
		attempt()
		dials += more
		if n := a.Metrics().Peers[0].Dials; n != dials {
			t.Fatalf("%s: %d dials, want %d", what, n, dials)
		}
	}
	check("first", 1)
	for _, pause := range []time.Duration{100, 200, 350, 350, 350} {
		clock.advance(pause*time.Millisecond - 1)
		check("within the pause", 0)
		clock.advance(1)
		check("after the pause", 1)
	}
	c.addresses.set(2, "127.0.0.1:2")
	check("another address", 1)
	clock.advance(100 * time.Millisecond)
	check("its first pause", 1)
	if m := a.Metrics().Peers[0]; m.DialFailures != m.Dials {
		t.Errorf("metrics: %+v", m)
	}
}

// TestPauseEndsWhenThePeerConnects: a peer that comes back is not left waiting.
func TestPauseEndsWhenThePeerConnects(t *testing.T) {
	cl := newCluster(t)
	var up atomic.Bool
	a := cl.start(1, withEcho, func(o *Options) {
		o.Backoff, o.BackoffMax = time.Hour, time.Hour
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			if !up.Load() {
				return nil, errors.New("it is down")
			}
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	})
	b := cl.start(2, withEcho)
	call := func(from *Transport, to base.NodeID) error {
		_, err := from.Call(contextFor(t, patience), to, kindEcho, nil)
		return err
	}
	if err := call(a, 2); !errors.Is(err, base.ErrUnavailable) {
		t.Fatalf("a peer that is down: %v", err)
	}
	eventually(t, "the pause has begun", func() bool {
		p, err := a.peer(2)
		return err == nil && p.links[ClassSmall].current.Load() == nil
	})
	up.Store(true)
	if err := call(a, 2); !errors.Is(err, base.ErrUnavailable) {
		t.Fatalf("within the pause: %v", err)
	}
	if err := call(b, 1); err != nil {
		t.Fatal(err)
	}
	if err := call(a, 2); err != nil {
		t.Errorf("after the peer has connected: %v", err)
	}
}

func TestBackoffJitter(t *testing.T) {
	c := newCluster(t)
	var clock handClock
	c.addresses.set(2, "127.0.0.1:1")
	a := c.start(1, nil, func(o *Options) {
		o.Clock, o.Random = &clock, func() uint64 { return uint64(25 * time.Millisecond) }
		o.Backoff, o.BackoffMax = 100*time.Millisecond, time.Second
	})
	for dials := uint64(1); dials <= 2; dials++ {
		_, _ = a.Call(contextFor(t, patience), 2, kindEcho, nil)
		eventually(t, "the attempt is over", func() bool {
			m := a.Metrics().Peers[0]
			return m.Dials == dials && m.DialFailures == dials
		})
		clock.advance(75 * time.Millisecond)
	}
}

func TestPeersAreBounded(t *testing.T) {
	c := newCluster(t)
	a := c.start(1, nil)
	for n := range base.NodeID(5000) {
		if _, err := a.Call(t.Context(), 100+n, kindEcho, nil); !errors.Is(err, base.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := len(a.Metrics().Peers); n > 1024 {
		t.Errorf("%d peers", n)
	}
}

// TestEndBetweenBatches: a connection may end after the writer has taken a part of
// its queue and before it comes back for the rest.
func TestEndBetweenBatches(t *testing.T) {
	c := newCluster(t)
	tr := c.start(1, nil)
	conn := newConn(tr, newPeer(tr, 2), ClassSmall, nil)
	payload := make([]byte, batchBytes/4)
	for range 12 {
		if err := conn.offer(frame{header: header{typ: typeMessage, kind: kindNumber}, payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	batch := conn.take(nil, 0)
	if len(batch) == 0 || conn.outbox.head == 0 {
		t.Fatalf("%d frames taken, the queue begins at %d: the test does not test anything", len(batch), conn.outbox.head)
	}
	conn.fail(base.ErrClosed)
	if rest := conn.take(nil, len(batch)*(frameCost+len(payload))); len(rest) != 0 {
		t.Errorf("%d frames of an ended connection", len(rest))
	}
}

// endsWith is a socket on which nothing passes until a context has ended.
type endsWith struct {
	net.Conn
	ctx context.Context
}

func (e endsWith) Write([]byte) (int, error) {
	<-e.ctx.Done()
	return 0, net.ErrClosed
}

// TestGreetingCutShort: a connection may fail while it greets, and what it fails of
// may close the socket at the same moment.
func TestGreetingCutShort(t *testing.T) {
	c := newCluster(t)
	tr := c.start(1, nil, func(o *Options) {
		o.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
			near, far := net.Pipe()
			_ = far.Close()
			return endsWith{near, ctx}, nil
		}
	})
	for range 2000 {
		conn := newConn(tr, newPeer(tr, 2), ClassSmall, nil)
		go conn.stop()
		if _, _, err := conn.reach("nowhere"); err == nil {
			t.Fatal("a socket that is closed has greeted")
		}
	}
}

// TestLongFrameIsNoDoubt: while a long request is on its way pings are not answered, and the
// way is in no doubt.
func TestLongFrameIsNoDoubt(t *testing.T) {
	t.Parallel()
	steady := func(o *Options) { o.Ping, o.Silence = 200*time.Millisecond, time.Minute }
	c := newCluster(t)
	d := &faults{prepare: func(f *fault) { f.mu.delay = 300 * time.Millisecond }} // and a piece is a write
	a := c.start(1, nil, d.use, steady)
	c.start(2, withEcho, steady)
	answered := make(chan error, 1)
	go func() {
		_, err := a.Call(contextFor(t, patience), 2, kindEcho, make([]byte, 5*pieceBytes))
		answered <- err
	}()
	for doubts := 0; ; {
		select {
		case err := <-answered:
			if err != nil || doubts > 0 {
				t.Errorf("in doubt at %d moments, %v", doubts, err)
			}
			return
		case <-time.After(10 * time.Millisecond):
			if a.Suspect(2) {
				doubts++
			}
		}
	}
}
