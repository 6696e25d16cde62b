package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/test/process"
)

// bystander is a well-behaved client; it measures how long its commands take.
type bystander struct {
	stop chan struct{}
	wg   sync.WaitGroup
	max  time.Duration
	n    atomic.Int64
}

// watch starts a client that works until it is asked.
func watch(t *testing.T, addr, password string) *bystander {
	t.Helper()
	c := dial(t, addr)
	if password != "" {
		c.expect("AUTH "+password, "OK")
	}
	b := &bystander{stop: make(chan struct{})}
	b.wg.Go(func() {
		for {
			select {
			case <-b.stop:
				return
			default:
			}
			begin := time.Now()
			c.expect(fmt.Sprintf("SET bystander %d", b.n.Load()), "OK")
			c.expect("GET bystander", fmt.Sprintf(`"%d"`, b.n.Load()))
			b.max = max(b.max, time.Since(begin))
			b.n.Add(1)
		}
	})
	return b
}

// end waits for ten more rounds: whoever is hostile is still there.
func (b *bystander) end(t *testing.T) {
	t.Helper()
	for n, limit := b.n.Load(), time.Now().Add(replyWithin); b.n.Load() < n+10; <-time.After(time.Millisecond) {
		if time.Now().After(limit) {
			t.Errorf("the well-behaved client did %d rounds, and then no more", b.n.Load())
			break
		}
	}
	close(b.stop)
	b.wg.Wait()
	t.Logf("the well-behaved client did %d rounds, the slowest in %v", b.n.Load(), b.max)
}

// bounded checks what the node's memory has grown by.
func bounded(t *testing.T, n *process.Node, before, limit int64) {
	t.Helper()
	now, peak := n.Memory()
	t.Logf("resident: %d MB before, %d MB now, %d MB at most", before>>20, now>>20, peak>>20)
	if peak-before > limit {
		t.Errorf("the node has grown by %d MB, the limit is %d MB", (peak-before)>>20, limit>>20)
	}
	if !n.Running() {
		t.Fatalf("the node has ended\n%s", n.Log())
	}
}

// send writes until the node hangs up or everything is sent, and returns what came back.
func send(t *testing.T, addr string, parts ...string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(replyWithin)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, p := range parts {
			if _, err := io.WriteString(c, p); err != nil {
				return
			}
		}
		_ = c.(*net.TCPConn).CloseWrite()
	})
	out, _ := io.ReadAll(io.LimitReader(c, 1<<20)) // a reset is an answer, too
	_ = c.Close()
	wg.Wait()
	return string(out)
}

func TestHostileBeforeLogin(t *testing.T) {
	n := process.Start(t, process.Options{Args: []string{"--requirepass", "secret"}})
	b := watch(t, n.RESP, "secret")
	before, _ := n.Memory()
	chunk := strings.Repeat("x", 1<<20)
	if out := send(t, n.RESP, "*2\r\n$4\r\nAUTH\r\n$1073741824\r\n", chunk, chunk, chunk); !strings.Contains(out, "-ERR Protocol error") {
		t.Errorf("a bulk of 1 GB before login: %q", out)
	}
	if out := send(t, n.RESP, "*1000000\r\n"); !strings.Contains(out, "-ERR Protocol error") {
		t.Errorf("a million arguments before login: %q", out)
	}
	b.end(t)
	bounded(t, n, before, 64<<20)
}

func TestHostileNesting(t *testing.T) {
	n := process.Start(t, process.Options{})
	b := watch(t, n.RESP, "")
	before, _ := n.Memory()
	if out := send(t, n.RESP, strings.Repeat("*1\r\n", 1_000_000)); !strings.Contains(out, "-ERR Protocol error") {
		t.Errorf("a million nested arrays: %q", out)
	}
	b.end(t)
	bounded(t, n, before, 64<<20)
}

func TestHostileHalfCommands(t *testing.T) {
	n := process.Start(t, process.Options{})
	b := watch(t, n.RESP, "")
	before, _ := n.Memory()
	const clients = 1000
	for range clients {
		c, err := net.Dial("tcp", n.RESP)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\nhalf"); err != nil {
			t.Fatal(err)
		}
	}
	b.end(t)
	bounded(t, n, before, 128<<20)
	dial(t, n.RESP).expect("EXISTS k", "(integer) 0")
}

func TestHostileKeys(t *testing.T) {
	n := process.Start(t, process.Options{})
	b := watch(t, n.RESP, "")
	before, _ := n.Memory()
	c := dial(t, n.RESP)
	long := strings.Repeat("k", 64<<10)
	c.expect("SET "+long+" v", "(error) ERR *")
	c.expect("HSET "+long+" f v", "(error) ERR *")
	c.expect("HSET h "+long+" v", "(error) ERR *")
	c.expect("GET "+long, "(*")
	c.expect("SET "+long[:8<<10]+" v", "OK")
	c.expect("GET "+long[:8<<10], `"v"`)
	b.end(t)
	bounded(t, n, before, 64<<20)
}

// TestHostileReader: a client asks for much more than it reads. Its replies wait
// in bounded memory, and nobody else waits for it.
func TestHostileReader(t *testing.T) {
	n := process.Start(t, process.Options{})
	c := dial(t, n.RESP)
	value := strings.Repeat("v", 1<<20)
	c.expect("SET big "+value, "OK")
	b := watch(t, n.RESP, "")
	before, _ := n.Memory()
	hostile, err := net.Dial("tcp", n.RESP)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hostile.Close() }()
	// 2,000 replies of 1 MiB are 2 GB. The node stops reading at some point.
	if err := hostile.SetWriteDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		if _, err := hostile.Write(resp.AppendCommand(nil, "GET", "big")); err != nil {
			if !os.IsTimeout(err) {
				t.Logf("the node hung up: %v", err)
			}
			break
		}
	}
	time.Sleep(time.Second)
	b.end(t)
	bounded(t, n, before, 128<<20)
}
