package redis

import (
	"context"
	"net"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
)

// TestMain fails when goroutines are left.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			_, _ = os.Stderr.WriteString("goroutines are left:\n" + string(buf[:runtime.Stack(buf, true)]))
			os.Exit(1)
		}
	}
	os.Exit(code)
}

// memory is what the heap and the stacks hold.
func memory() int64 {
	runtime.GC()
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() + samples[1].Value.Uint64())
}

func (s *testServer) answers(t *testing.T) {
	t.Helper()
	c := s.dial(t)
	c.send("PING\r\n")
	c.expect("+PONG\r\n")
	_ = c.Close()
}

func TestHalfCommands(t *testing.T) {
	s := start(t, Options{})
	before := memory()
	const clients = 1000
	for range clients {
		s.dial(t).send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc")
	}
	s.answers(t)
	eventually(t, func() bool { return s.stats.received.Load() > clients*30 })
	if grown := memory() - before; grown > clients*32<<10 {
		t.Errorf("%d bytes for each connection", grown/clients)
	}
}

func TestIdleConnectionsAreSmall(t *testing.T) {
	s := start(t, Options{})
	before := memory()
	const clients = 1000
	for range clients {
		c := s.dial(t)
		c.send("SET k v\r\n")
		c.expect("+OK\r\n")
	}
	s.coarse.Add(int64(time.Minute / time.Millisecond))
	for _, c := range s.clients() {
		c.poke()
	}
	eventually(t, func() bool {
		for _, c := range s.clients() {
			if c.inSize.Load() > 0 || c.poked.Load() {
				return false
			}
		}
		return true
	})
	if grown := memory() - before; grown > clients*12<<10 {
		t.Errorf("%d bytes for each connection", grown/clients)
	}
	s.answers(t)
}

func TestProtocolErrors(t *testing.T) {
	for _, tc := range []struct{ name, password, send, want string }{
		{"large bulk before login", "secret", "*2\r\n$4\r\nAUTH\r\n$104857600\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"},
		{"a gigabyte before login", "secret", "*2\r\n$4\r\nAUTH\r\n$1073741824\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
		{"many arguments before login", "secret", "*1000\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"},
		{"large bulk", "", "*2\r\n$3\r\nGET\r\n$1073741824\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
		{"nested arrays", "", strings.Repeat("*1\r\n", 1_000_000), "-ERR Protocol error: expected '$', got '*'\r\n"},
		{"not a number", "", "*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, Options{Password: tc.password})
			c := s.dial(t)
			go func() { _, _ = c.Write([]byte(tc.send)) }() // may fail half-way: the server closes
			got := make([]byte, len(tc.want))
			n, _ := c.Read(got)
			if string(got[:n]) != tc.want {
				t.Errorf("got %q, want %q", got[:n], tc.want)
			}
			_ = c.Close()
			if tc.password == "" {
				s.answers(t)
			}
		})
	}
}

func TestClientThatNeverReads(t *testing.T) {
	s := start(t, Options{OutputBytes: 256 << 10})
	setup := s.dial(t)
	setup.send("SETRANGE big 99999 x\r\n")
	setup.expect(":100000\r\n")
	before := memory()
	deaf := s.dial(t)
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = deaf.Write([]byte(strings.Repeat("GET big\r\n", 20_000))) // 2 GB of replies
	}()
	eventually(t, func() bool {
		for _, c := range s.clients() {
			if c.out.Congested(256 << 10) {
				return true
			}
		}
		return false
	})
	for range 100 {
		s.answers(t)
	}
	if grown := memory() - before; grown > 64<<20 {
		t.Errorf("%d bytes for a client that does not read", grown)
	}
	_ = deaf.Close()
	<-written
}

func TestStalledClientIsClosed(t *testing.T) {
	s := start(t, Options{OutputBytes: 64 << 10, Stall: 50 * time.Millisecond})
	c := s.dial(t)
	c.send("SETRANGE big 9999999 x\r\n")
	c.expect(":10000000\r\n")
	c.send(strings.Repeat("GET big\r\n", 10))
	eventually(t, func() bool { return len(s.clients()) == 0 })
}

func TestPanicIsContained(t *testing.T) {
	boom := func(*Call) error { panic("boom") }
	s := start(t, Options{Families: append(families(), func() []Command {
		return []Command{{Name: "boom", Arity: 1, Handler: boom}, {Name: "promptboom", Arity: 1, Flags: command.FlagPrompt, Handler: boom}}
	})})
	for _, name := range []string{"BOOM", "PROMPTBOOM"} { // on a goroutine, and on the connection loop
		c := s.dial(t)
		c.send("PING\r\n" + name + "\r\nPING\r\n")
		c.expectEnd(crlf("+PONG|-ERR internal error|"))
		s.answers(t)
	}
	if !strings.Contains(s.log.String(), "boom") || !strings.Contains(s.log.String(), "hostile_test.go") {
		t.Errorf("log without the panic and its stack: %s", s.log)
	}
}

func TestMaxClients(t *testing.T) {
	s := start(t, Options{MaxClients: 1})
	c := s.dial(t)
	c.send("PING\r\n")
	c.expect("+PONG\r\n")
	s.dial(t).expectEnd("-ERR max number of clients reached\r\n")
}

func TestLogin(t *testing.T) {
	s := start(t, Options{Password: "secret"})
	c := s.dial(t)
	c.send("GET k\r\nPING\r\nAUTH wrong\r\nAUTH nobody secret\r\nHELLO 3\r\nMULTI\r\n")
	c.expect(crlf("-NOAUTH Authentication required.|-NOAUTH Authentication required.|" +
		"-WRONGPASS invalid username-password pair or user is disabled.|-WRONGPASS invalid username-password pair or user is disabled.|" +
		"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option " +
		"can be used to authenticate the client and select the RESP protocol version at the same time|-NOAUTH Authentication required.|"))
	c.send("AUTH secret\r\nGET k\r\nRESET\r\nGET k\r\nAUTH default secret\r\nGET k\r\n")
	c.expect(crlf("+OK|$-1|+RESET|-NOAUTH Authentication required.|+OK|$-1|"))
}

// farListener makes its connections look like those of another machine.
type farListener struct{ net.Listener }

type farConn struct{ net.Conn }

func (l farListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return farConn{c}, err
}

func (farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func TestProtectedMode(t *testing.T) {
	s := start(t, Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(farListener{l}) }()
	far := &testServer{Server: s.Server, addr: l.Addr().String()}
	far.dial(t).expectEnd("-" + denied + "\r\n")
	c := s.dial(t)
	c.send("CONFIG SET protected-mode no\r\n")
	c.expect("+OK\r\n")
	far.answers(t) // over a connection that is no socket as far as the server can see
	_ = l.Close()
	<-served
}

func TestCrossProtocolGuard(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n")
	c.expectEnd("")
	eventually(t, func() bool { return strings.Contains(s.log.String(), "possible attack") })
}

func TestIdleTimeout(t *testing.T) {
	s := start(t, Options{IdleTimeout: time.Second})
	c := s.dial(t)
	c.send("PING\r\n")
	c.expect("+PONG\r\n")
	c.expectEnd("")
}

func TestShutdownLetsRepliesOut(t *testing.T) {
	s, e := startLate(t)
	c := s.dial(t)
	c.send("SET k v\r\n")
	pos := <-e.log.arrived
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	<-s.stopping
	e.log.settle(pos, nil)
	c.expectEnd("+OK\r\n")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestShutdownCutsOffWhatNeverCommits(t *testing.T) {
	s, e := startLate(t)
	c := s.dial(t)
	c.send("SET k v\r\n")
	pos := <-e.log.arrived
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); err == nil {
		t.Error("nothing was cut off")
	}
	e.log.settle(pos, base.ErrUnknownOutcome) // late, and nobody is there
}

func TestClientPauseAndKill(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	c.send("CLIENT ID\r\n")
	c.expect(":1\r\n")
	victim := s.dial(t)
	victim.send("CLIENT ID\r\n")
	victim.expect(":2\r\n")
	c.send("CLIENT PAUSE 100000 WRITE\r\n")
	c.expect("+OK\r\n")
	victim.send("GET k\r\nSET k v\r\n")
	victim.expect("$-1\r\n")
	victim.quiet()
	c.send("CLIENT UNPAUSE\r\n")
	c.expect("+OK\r\n")
	victim.expect("+OK\r\n")
	c.send("CLIENT KILL ID 2\r\n")
	c.expect(":1\r\n")
	victim.expectEnd("")
}
