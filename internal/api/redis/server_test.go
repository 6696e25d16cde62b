package redis

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

func stampNow() base.Stamp { return base.Stamp(time.Now().UnixMicro()) }

// logBuffer keeps the log for a look at it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

type testServer struct {
	*Server
	addr string
	log  *logBuffer
}

// start runs a server on a loopback port, over the in-memory engine unless o has
// another database, and shuts it down at the end of the test.
func start(t testing.TB, o Options) *testServer {
	t.Helper()
	if o.DB == nil {
		o.DB = kv.New(kvmem.New(stampNow), time.Now)
	}
	logs := &logBuffer{}
	o.Log = slog.New(slog.NewTextHandler(logs, nil))
	s := NewServer(o)
	if o.Families == nil {
		if err := s.ShareUsers(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return &testServer{Server: s, addr: l.Addr().String(), log: logs}
}

// patience is how long a client goes on waiting, on a machine that may be slow.
const patience = 5 * time.Minute

// rawConn is a client that sees bytes.
type rawConn struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

// Read takes what has come already first: many small reads are one of the system's.
func (c *rawConn) Read(b []byte) (int, error) { return c.in.Read(b) }

func (s *testServer) dial(t testing.TB) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &rawConn{t, c, bufio.NewReader(c)}
}

func (c *rawConn) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads exactly the bytes of want.
func (c *rawConn) expect(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if err != nil || string(got) != want {
		c.t.Fatalf("got %q (%v), want %q", got[:n], err, want)
	}
}

// expectEnd reads to the end of the connection.
func (c *rawConn) expectEnd(want string) {
	c.t.Helper()
	got, err := io.ReadAll(c)
	if string(got) != want {
		c.t.Fatalf("got %q (%v) before the end, want %q", got, err, want)
	}
}

// crlf makes the line ends of a reply out of bars, which keeps tables readable.
func crlf(s string) string { return strings.ReplaceAll(s, "|", "\r\n") }

func TestPipeline(t *testing.T) {
	c := start(t, Options{}).dial(t)
	c.send("PING\r\nSET k v\r\nGET k\r\nget nope\r\nINCR n\r\n*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n")
	c.expect(crlf("+PONG|+OK|$1|v|$-1|:1|$2|hi|"))
	c.send("QUIT\r\n")
	c.expectEnd("+OK\r\n")
}

// TestShutdownMeetsNewConnections: a connection that arrives while the server ends
// or lists its clients is served or refused, and nobody sees half of it.
func TestShutdownMeetsNewConnections(t *testing.T) {
	for range 20 {
		s := start(t, Options{})
		lister := s.dial(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					c, err := net.Dial("tcp", s.addr)
					if err != nil {
						return // the listener is closed
					}
					_, _ = io.WriteString(c, "PING\r\n") // the server may be gone already
					_ = c.SetDeadline(time.Now().Add(patience))
					got, err := io.ReadAll(io.LimitReader(c, 7))
					_ = c.Close()
					var late net.Error
					if errors.As(err, &late) && late.Timeout() {
						t.Errorf("neither served nor refused: %q", got)
					}
				}
			})
		}
		for range 20 {
			lister.send("CLIENT ID\r\nCLIENT LIST\r\n")
			readSome(t, lister)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
}

// readSome takes what has arrived.
func readSome(t *testing.T, c *rawConn) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1<<16)); err != nil {
		t.Fatal(err)
	}
}

// TestInfoMemory: what the node knows of its machine is in INFO.
func TestInfoMemory(t *testing.T) {
	c := start(t, Options{Memory: 3 << 30}).dial(t)
	c.send("INFO memory\r\n")
	if got := c.through("maxmemory:0\r\n"); !strings.Contains(got, "\r\ntotal_system_memory:3221225472\r\ntotal_system_memory_human:3.00G\r\n") {
		t.Errorf("%q", got)
	}
}
