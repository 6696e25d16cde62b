package transport

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

var testCluster = [16]byte{'t', 'e', 's', 't'}

// addresses is a Resolver.
type addresses struct {
	mu struct {
		sync.Mutex
		of map[base.NodeID]string
	}
}

func (a *addresses) Resolve(n base.NodeID) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if addr, ok := a.mu.of[n]; ok {
		return addr, nil
	}
	return "", errors.Newf("node %d is unknown", n)
}

func (a *addresses) set(n base.NodeID, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.of == nil {
		a.mu.of = map[base.NodeID]string{}
	}
	a.mu.of[n] = address
}

// lines is a log that can be searched.
type lines struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.Buffer.Write(b)
}

func (l *lines) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.mu.String(), s)
}

// says waits until the log contains a text.
func (c *cluster) says(text string) {
	c.t.Helper()
	eventually(c.t, "the log says "+text, func() bool { return c.log.contains(text) })
}

// cluster makes transports that know each other.
type cluster struct {
	t         testing.TB
	addresses addresses
	log       lines
}

func newCluster(t testing.TB) *cluster {
	checkLeaks(t)
	return &cluster{t: t}
}

// start makes a node. It serves if register is not nil.
func (c *cluster) start(node base.NodeID, register func(Registrar), change ...func(*Options)) *Transport {
	c.t.Helper()
	opt := Options{Cluster: testCluster, Node: node, Store: base.StoreID{byte(node)}, Resolver: &c.addresses,
		Log: slog.New(slog.NewTextHandler(&c.log, nil)), Backoff: time.Millisecond, BackoffMax: 2 * time.Millisecond}
	for _, f := range change {
		f(&opt)
	}
	tr := New(opt)
	if register == nil {
		c.t.Cleanup(tr.Close)
		return tr
	}
	register(tr)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.addresses.set(node, l.Addr().String())
	served := make(chan error, 1)
	go func() { served <- tr.Serve(l) }()
	c.t.Cleanup(func() {
		tr.Close()
		if err := <-served; err != nil {
			c.t.Error(err)
		}
	})
	return tr
}

// checkLeaks fails the test if goroutines of this package are left at its end.
func checkLeaks(t testing.TB) {
	t.Cleanup(func() {
		eventually(t, "all goroutines have ended", func() bool { return !strings.Contains(stacks(), "transport.(*") })
	})
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("not reached: %s\n%s", what, stacks())
		case <-tick.C:
		}
	}
}

func contextFor(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

const patience = time.Minute

// fault is a net.Conn that misbehaves. Its fields are changed through its lock.
type fault struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
	mu     struct {
		sync.Mutex
		cutAfter  int           // bytes written until the connection is cut; negative: never
		flipAt    int           // of this byte written from now on, a bit is flipped; negative: none
		blackhole bool          // what is written disappears
		delay     time.Duration // before each write
		slow      int           // bytes that a read gives at most; 0: as many as there are
		deaf      chan struct{} // reads wait until it is closed; nil: they do not
	}
}

func newFault(nc net.Conn) *fault {
	f := &fault{Conn: nc, closed: make(chan struct{})}
	f.mu.cutAfter, f.mu.flipAt = -1, -1
	return f
}

func (f *fault) set(change func(f *fault)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fault) Close() error {
	f.once.Do(func() { close(f.closed) })
	return f.Conn.Close()
}

// ended reports whether the connection was closed on this side.
func (f *fault) ended() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

func (f *fault) Write(b []byte) (int, error) {
	f.mu.Lock()
	delay, blackhole, keep := f.mu.delay, f.mu.blackhole, len(b)
	if f.mu.cutAfter >= 0 {
		keep = min(keep, f.mu.cutAfter)
		f.mu.cutAfter -= keep
	}
	cut := keep < len(b)
	if at := f.mu.flipAt; at >= 0 {
		if at < len(b) {
			b = bytes.Clone(b)
			b[at] ^= 0x10
		}
		f.mu.flipAt -= len(b)
	}
	f.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-f.closed:
		}
	}
	if blackhole {
		return len(b), nil
	}
	n, err := f.Conn.Write(b[:keep])
	if err == nil && cut {
		_ = f.Close()
		err = io.ErrClosedPipe
	}
	return n, err
}

func (f *fault) Read(b []byte) (int, error) {
	f.mu.Lock()
	deaf, slow := f.mu.deaf, f.mu.slow
	f.mu.Unlock()
	if deaf != nil {
		select {
		case <-deaf:
		case <-f.closed:
			return 0, net.ErrClosed
		}
	}
	if slow > 0 {
		b = b[:min(len(b), slow)]
	}
	return f.Conn.Read(b)
}

// faults dials connections that misbehave, and keeps them.
type faults struct {
	prepare func(*fault) // called before a new connection is used
	mu      struct {
		sync.Mutex
		conns []*fault
	}
}

func (d *faults) dial(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	f := newFault(nc)
	if d.prepare != nil {
		d.prepare(f)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.conns = append(d.mu.conns, f)
	return f, nil
}

func (d *faults) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.mu.conns)
}

func (d *faults) last() *fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.conns[len(d.mu.conns)-1]
}

func (d *faults) use(o *Options) { o.Dial = d.dial }
