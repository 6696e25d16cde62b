package bench

import (
	"context"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
)

// serve answers every command with what reply says.
func serve(t *testing.T, reply func(args [][]byte) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answer(conn, reply)
		}
	}()
	return l.Addr().String()
}

func answer(conn net.Conn, reply func(args [][]byte) string) {
	defer func() { _ = conn.Close() }()
	var in resp.ReadBuffer
	p := resp.NewParser(resp.Limits{})
	for {
		n, err := conn.Read(in.Writable())
		if err != nil {
			return
		}
		in.Advance(n)
		var out strings.Builder
		for {
			args, n, err := p.Next(in.Pending())
			if len(args) > 0 {
				out.WriteString(reply(args))
			}
			in.Consume(n)
			if err != nil || len(args) == 0 {
				break
			}
		}
		if _, err := conn.Write([]byte(out.String())); err != nil {
			return
		}
	}
}

func TestEveryWorkload(t *testing.T) {
	var commands atomic.Int64
	addr := serve(t, func(args [][]byte) string {
		commands.Add(1)
		for _, a := range args {
			if strings.Contains(string(a), "__") {
				return "-ERR placeholder left\r\n"
			}
		}
		switch string(args[0]) {
		case "EXEC":
			return "*2\r\n+OK\r\n:1\r\n"
		case "GET":
			return "$3\r\nabc\r\n"
		case "HGET":
			return "$-1\r\n"
		case "INCR":
			return ":17\r\n"
		}
		return "+OK\r\n"
	})
	names, _ := Workloads()
	for _, name := range names {
		r, err := Run(context.Background(), Options{Addr: addr, Clients: 3, Requests: 100, Pipeline: 7, Keyspace: 1000, Size: 10, Test: name})
		if err != nil || r.Operations != 100 || r.Errors != 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if r.P50Ms > r.MaxMs || r.MaxMs == 0 || r.PerSecond == 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if commands.Load() < int64(100*len(names)) {
		t.Errorf("only %d commands arrived", commands.Load())
	}
}

func TestErrorsAreCounted(t *testing.T) {
	addr := serve(t, func([][]byte) string { return "-OOM no\r\n" })
	r, err := Run(context.Background(), Options{Addr: addr, Clients: 2, Requests: 10, Pipeline: 1, Keyspace: 1, Command: []string{"SET", "a", "b"}})
	if err != nil || r.Errors != 10 || r.FirstError != "OOM no" || r.Test != "SET" {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestDurationAndProgress(t *testing.T) {
	addr := serve(t, func([][]byte) string { return "+PONG\r\n" })
	var calls atomic.Int64
	r, err := Run(context.Background(), Options{Addr: addr, Clients: 1, Duration: 3 * time.Second, Pipeline: 1, Test: "ping",
		Progress: func(Progress) { calls.Add(1) }})
	if err != nil || r.Seconds < 0.5 || calls.Load() == 0 {
		t.Fatalf("%+v, %v, %d", r, err, calls.Load())
	}
}

func TestLostConnection(t *testing.T) {
	addr := serve(t, func([][]byte) string { return "nonsense\r\n" })
	if _, err := Run(context.Background(), Options{Addr: addr, Clients: 1, Requests: 1, Pipeline: 1, Test: "ping"}); err == nil {
		t.Fatal("no error")
	}
}

func TestDigits(t *testing.T) {
	p := compile(one("SET", "key:"+keyMark, dataMark), &Options{Keyspace: 1, Size: 3})
	b, replies := p.appendOp(nil, rand.New(rand.NewPCG(1, 2)))
	if want := "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$3\r\n"; replies != 1 || !strings.HasPrefix(string(b), want) {
		t.Fatalf("%q", b)
	}
	at := p.ops[0].digits
	if len(at) != 1 || string(b[at[0]-4:at[0]]) != "key:" {
		t.Fatalf("%v in %q", at, b)
	}
	putDigits(b[at[0]:at[0]+keyDigits], 987)
	if !strings.Contains(string(b), "key:000000000987\r\n") {
		t.Fatalf("%q", b)
	}
}

func BenchmarkOperation(b *testing.B) {
	p := compile(one("SET", "key:"+keyMark, dataMark), &Options{Keyspace: 1e6, Size: 100})
	rnd := rand.New(rand.NewPCG(1, 2))
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = p.appendOp(buf[:0], rnd)
	}
}
