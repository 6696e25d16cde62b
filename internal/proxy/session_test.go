package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/proxy"
	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/test/process"
)

// conversation sends lines and compares the replies as they are printed.
func conversation(t *testing.T, c *process.Conn, lines ...[2]string) {
	t.Helper()
	for _, l := range lines {
		words, _, _ := resp.SplitWords(nil, nil, []byte(l[0]))
		args := make([]string, len(words))
		for i, w := range words {
			args[i] = string(w)
		}
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		v, err := c.Do(args...)
		if err != nil {
			t.Fatalf("%s: %v", l[0], err)
		}
		if got := strings.TrimSpace(string(resp.AppendFormat(nil, v))); got != l[1] && !(strings.HasSuffix(l[1], "*") && strings.HasPrefix(got, l[1][:len(l[1])-1])) {
			t.Errorf("%s: %s, want %s", l[0], got, l[1])
		}
	}
}

func (m *migration) dial() *process.Conn {
	m.t.Helper()
	c, err := process.Dial(m.Addr())
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestSession: what belongs to a connection works as at a server.
func TestSession(t *testing.T) {
	m := start(t, proxy.DualWrite, func(m *migration) { m.config.Password = "secret" })
	c := m.dial()
	conversation(t, c, [][2]string{
		{"GET a", "(error) NOAUTH Authentication required."},
		{"AUTH wrong", "(error) WRONGPASS*"},
		{"HELLO 4", "(error) NOPROTO unsupported protocol version"},
		{"AUTH default secret", "OK"},
		{"SELECT 2", "OK"},
		{"SELECT x", "(error) ERR DB index is out of range"},
		{"SET a 1", "OK"},
		{"CLIENT SETNAME me", "OK"},
		{"MULTI", "OK"},
		{"INCR a", "QUEUED"},
		{"SUBSCRIBE c", "(error) ERR unknown command*"},
		{"EXEC", "(error) EXECABORT*"},
		{"MULTI", "OK"},
		{"NOSUCHCOMMAND", "(error) ERR unknown command*"},
		{"EXEC", "(error) EXECABORT*"},
		{"EXEC", "(error) ERR EXEC without MULTI"},
		{"MULTI", "OK"}, {"INCR a", "QUEUED"}, {"DISCARD", "OK"},
		{"MULTI", "OK"}, {"INCR a", "QUEUED"}, {"BLPOP none 0", "QUEUED"}, {"GET a", "QUEUED"},
		{"EXEC", "1) (integer) 2\n2) (nil)\n3) \"2\""},
		{"WATCH a", "OK"},
		{"MONITOR", "(error) ERR monitor is not for connections through the proxy"},
		{"CLIENT TRACKING ON", "(error) ERR client|tracking is not for connections through the proxy"},
		{"BEGIN", "(error) ERR begin is for strata-only mode*"},
		{"CLIENT GETNAME", "\"me\""},
		{"BLPOP none 0.05", "(nil)"},
		{"BLPOP none", "(error) ERR wrong number of arguments*"},
		{"BLPOP none x", "(error) ERR timeout is not a float*"},
		{"RESET", "RESET"},
		{"GET a", "(error) NOAUTH Authentication required."},
	}...)
	c = m.dial()
	conversation(t, c, [][2]string{
		{"HELLO 3 AUTH default secret SETNAME you", "1# *"},
		{"CLIENT GETNAME", "\"you\""},
		{"GET a", "(nil)"}, {"SELECT 2", "OK"}, {"GET a", "\"2\""},
		{"BLPOP none 0.05", "(nil)"},
		{"CLIENT REPLY SKIP", "OK"},
	}[:6]...)
	if _, err := c.Write([]byte("CLIENT REPLY OFF\r\nINCR a\r\nBLPOP none 0.01\r\nCLIENT REPLY ON\r\nGET a\r\nCLIENT REPLY SKIP\r\nINCR a\r\nGET a\r\n")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"OK", "3", "4"} {
		if v, err := c.Decoder.Decode(); err != nil || v.Text() != want {
			t.Errorf("%q %v, want %q", v.Text(), err, want)
		}
	}
	m.settle()
	b := m.clientOf(m.strata, 2)
	b.Do(context.Background(), "SELECT", 2)
	if r := m.Report(); r.Differences > 0 {
		t.Errorf("%d differences", r.Differences)
	}
}

// waiting waits until so many clients wait in the proxy's line, and so many at the side that decides.
func (m *migration) waiting(inLine, there int) {
	m.t.Helper()
	m.until(fmt.Sprintf("%d clients in the line, %d elsewhere", inLine, there), func() bool {
		a, b := m.Waiting()
		return a == inLine && b == there
	})
}

// TestBlocked: clients that wait are served whatever mode it is when something comes, in
// their order, and one that has left takes nothing.
func TestBlocked(t *testing.T) {
	m := start(t, proxy.RedisOnly)
	ctx := context.Background()
	got := make(chan string, 10)
	// wait makes a client wait as so many in the proxy's line, and so many at the server.
	wait := func(name string, inLine, there int) {
		t.Helper()
		c := m.client()
		go func() {
			v, err := c.BLPop(ctx, time.Minute, "l", "other").Result()
			got <- fmt.Sprint(name, " ", v, err)
		}()
		m.waiting(inLine, there)
	}
	expect := func(want string) {
		t.Helper()
		select {
		case v := <-got:
			if v != want {
				t.Errorf("%s, want %s", v, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("nothing came, want %s", want)
		}
	}
	c := m.client()
	wait("first", 0, 1)
	m.setMode(proxy.DualWriteShadow)
	m.sync()
	m.waiting(1, 0)
	wait("second", 2, 0)
	gone := m.dial()
	if _, err := gone.Write(resp.AppendCommand(nil, "BLPOP", "l", "0")); err != nil {
		t.Fatal(err)
	}
	m.waiting(3, 0)
	_ = gone.Close()
	m.waiting(2, 0)
	stream := make(chan string, 1)
	reader := m.client()
	go func() {
		v, err := reader.XRead(ctx, &redis.XReadArgs{Streams: []string{"x", "$"}, Block: time.Minute}).Result()
		stream <- fmt.Sprint(len(v), err)
	}()
	m.waiting(2, 1)
	c.RPush(ctx, "l", 1)
	expect("first [l 1] <nil>")
	m.setMode(proxy.StrataPrimary)
	c.RPush(ctx, "l", 2, 3)
	expect("second [l 2] <nil>")
	c.XAdd(ctx, &redis.XAddArgs{Stream: "x", Values: []string{"f", "v"}})
	if v := <-stream; v != "1 <nil>" {
		t.Errorf("XREAD: %s", v)
	}
	if n := c.LLen(ctx, "l").Val(); n != 1 {
		t.Errorf("%d elements are left", n)
	}
	wait("third", 0, 0)
	expect("third [l 3] <nil>")
	wait("last", 1, 0)
	m.setMode(proxy.StrataOnly)
	c.RPush(ctx, "other", 4)
	expect("last [other 4] <nil>")
}

// TestPubsub: subscribers hear what is published at whatever side decides.
func TestPubsub(t *testing.T) {
	for _, proto := range []int{2, 3} {
		m := start(t, proxy.DualWrite)
		m.sync()
		ctx := context.Background()
		c := m.clientOf(m.Addr(), proto)
		sub := c.Subscribe(ctx, "news")
		if _, err := sub.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		if err := sub.PSubscribe(ctx, "p*"); err != nil {
			t.Fatal(err)
		}
		if _, err := sub.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		next := func(want string) {
			t.Helper()
			v, err := sub.ReceiveTimeout(ctx, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(v); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		c.Publish(ctx, "news", "one")
		next("Message<news: one>")
		m.setMode(proxy.StrataPrimary)
		if n := c.Publish(ctx, "news", "two").Val(); n != 1 {
			t.Errorf("%d subscribers", n)
		}
		next("Message<news: two>")
		c.Publish(ctx, "paper", "three")
		next("Message<paper: three>")
		if err := sub.Ping(ctx, "hello"); err != nil {
			t.Fatal(err)
		}
		next("Pong<hello>")
		_ = sub.Close()
	}
}

// TestWatch: a change of the mode is a change of what is watched.
func TestWatch(t *testing.T) {
	m := start(t, proxy.DualWrite)
	m.sync()
	c := m.dial()
	conversation(t, c, [2]string{"SET a 1", "OK"}, [2]string{"WATCH a", "OK"}, [2]string{"MULTI", "OK"}, [2]string{"INCR a", "QUEUED"})
	m.setMode(proxy.StrataPrimary)
	conversation(t, c, [2]string{"EXEC", "(nil)"}, [2]string{"GET a", `"1"`},
		[2]string{"MULTI", "OK"}, [2]string{"INCR a", "QUEUED"})
	m.setMode(proxy.DualWrite)
	conversation(t, c, [2]string{"INCR a", "QUEUED"}, [2]string{"EXEC", "1) (integer) 2\n2) (integer) 3"})
	m.equal()
}

// TestAdmin: the report, the metrics and the switch over HTTP.
func TestAdmin(t *testing.T) {
	m := start(t, proxy.DualWriteShadow)
	ask := func(method, path string) (int, string) {
		req, err := http.NewRequest(method, "http://"+m.AdminAddr()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = reply.Body.Close() }()
		b, _ := io.ReadAll(reply.Body)
		return reply.StatusCode, string(b)
	}
	for _, c := range []struct {
		method, path string
		status       int
		contains     string
	}{
		{"GET", "/report", 200, `"mode": "dual-write-shadow"`},
		{"GET", "/report?format=text", 200, "INCOMPLETE"},
		{"GET", "/metrics", 200, `strata_proxy_mode{mode="dual-write-shadow"} 1`},
		{"POST", "/mode?to=strata-primary", 409, "not complete"},
		{"POST", "/mode?to=nonsense", 400, "none of"},
		{"GET", "/mode?to=redis-only", 200, "dual-write-shadow"},
		{"POST", "/sync", 202, "syncing"},
	} {
		if status, body := ask(c.method, c.path); status != c.status || !strings.Contains(body, c.contains) {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
	m.until("a sync", func() bool { return m.Report().Complete })
	if status, body := ask("POST", "/mode?to=strata-primary"); status != 200 || !strings.Contains(body, "held") {
		t.Errorf("%d %s", status, body)
	}
}

// TestHostile: who announces much, stops in the middle or does not read costs little.
func TestHostile(t *testing.T) {
	m := start(t, proxy.DualWriteShadow)
	m.sync()
	ctx := context.Background()
	c := m.client()
	c.Set(ctx, "big", strings.Repeat("x", 1<<20), 0)
	m.settle()
	before := heap()
	for i := range 60 {
		conn := m.dial()
		var in []byte
		switch i % 3 {
		case 0:
			in = []byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nabc")
		case 1:
			in = []byte("*1000000\r\n$3\r\nDEL\r\n$1\r\n")
		default: // does not read 64 MiB
			in = bytes.Repeat(resp.AppendCommand(nil, "GET", "big"), 64)
		}
		if _, err := conn.Write(in); err != nil {
			t.Fatal(err)
		}
	}
	<-time.After(time.Second)
	if used := heap() - before; used > 96<<20 {
		t.Errorf("they cost %d MiB", used>>20)
	}
	if err := c.Set(ctx, "k", 1, 0).Err(); err != nil {
		t.Error(err)
	}
	conn := m.dial()
	if _, err := conn.Write([]byte("*1\r\n$x\r\n")); err != nil {
		t.Fatal(err)
	}
	v, err := conn.Decoder.Decode()
	if err != nil || v.Err() == nil || v.Err().Error() != "ERR Protocol error: invalid bulk length" {
		t.Errorf("%v %v", v, err)
	}
	if _, err := conn.Decoder.Decode(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is not closed: %v", err)
	}
}

func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
