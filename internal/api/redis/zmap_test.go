package redis

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/kv"
)

func TestZMapCommands(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		start(t, Options{DB: db}).line(t).script(`
			ZGETRANGE a b                                     => []
			ZSET k0 a
			ZSET k1 b
			ZSET k2 c
			ZSET k3 d
			ZGETRANGE k0 k2                                   => [[k0 a] [k1 b] [k2 c]]
			ZGETRANGE * k2 REVERSE LIMIT 2                    => [[k2 c] [k1 b]]
			ZGETRANGE k1 * begin-key-selector first_greater_than => [[k2 c] [k3 d]]
			ZGETRANGE k0 k2 END-KEY-SELECTOR FIRST_GREATER_OR_EQUAL => [[k0 a] [k1 b]]
			ZGETRANGE k2 k3 BEGIN-KEY-SELECTOR last_less_than => [[k1 b] [k2 c] [k3 d]]
			ZGETRANGE k3 k0                                   => []
			ZGETRANGE a b LIMIT                               => ERR LIMIT argument must be followed by a positive integer
			ZGETRANGE a b LIMIT 0                             => ERR LIMIT argument must be followed by a positive integer
			ZGETRANGE a b LIMIT -1                            => ERR LIMIT argument must be followed by a positive integer
			ZGETRANGE a b LIMIT x                             => ERR value is not an integer or out of range
			ZGETRANGE a b LIMIT 3 LIMIT 5                     => ERR Duplicate 'LIMIT' argument
			ZGETRANGE a b REVERSE reverse                     => ERR Duplicate 'REVERSE' argument
			ZGETRANGE a b FOO                                 => ERR Unknown 'FOO' argument
			ZGETRANGE a b END-KEY-SELECTOR                    => ERR END-KEY-SELECTOR argument must be followed by a valid key selector
			ZGETRANGE a b END-KEY-SELECTOR x                  => ERR Unknown key selector: 'x'
			ZGETKEY k0                                        => k0
			ZGETKEY k0 KEY-SELECTOR first_greater_than        => k1
			ZGETKEY k1 key-selector LAST_LESS_THAN            => k0
			ZGETKEY k9                                        => nil
			ZGETKEY k0 KEY-SELECTOR last_less_than            => nil
			ZGETKEY k0 KEY-SELECTOR                           => ERR KEY-SELECTOR argument must be followed by a valid key selector
			ZGETKEY k0 KEY-SELECTOR x                         => ERR Unknown key selector: 'x'
			ZGETKEY k0 x                                      => ERR Unknown 'x' argument
			ZDELRANGE k1 k3
			ZGETRANGE * *                                     => [[k0 a] [k3 d]]
			ZDELRANGE b a                                     => INVERTED_RANGE Range begin key larger than end key
			ZMUTATE k0 zzz append_if_fits
			ZGET k0                                           => azzz
			ZMUTATE k0 a NOPE                                 => ERR Unknown mutation type: 'NOPE'
			ZMUTATE k0 abc SET_VERSIONSTAMPED_VALUE           => CLIENT_INVALID_OPERATION Invalid API call
			ZDEL k0
			ZDEL k0
			ZGET k0                                           => nil
			ZSET.I64 n 9223372036854775807
			ZINC.I64 n 1
			ZGET.I64 n                                        => -9223372036854775808
			ZSET.I64 over 5
			ZSET.I64 over 7
			ZGET.I64 over                                     => 7
			ZSET.F64 over 2.5
			ZSET.F64 over 0.5
			ZINC.F64 over 1
			ZGET.F64 over                                     => 1.5
			ZSET.D128 over 1.5
			ZSET.D128 over 0.50
			ZINC.D128 over 1
			ZGET.D128 over                                    => 1.50
			ZSET.I64 n 1.5                                    => ERR value is not a long or out of range
			ZGET.F64 k3                                       => ERR Invalid stored value: expected 8-byte IEEE-754 double
			ZGET.I64 k3                                       => ERR Invalid stored value: expected 8-byte two's-complement int64
			ZSET.F64 f -0.0
			ZGET.F64 f                                        => 0
			ZSET.F64 f x                                      => ERR value is not a double or out of range
			ZGET.D128 none                                    => nil
			ZSET.D128 d 19.990
			ZGET.D128 d                                       => 19.990
			ZSET.D128 d 1E+6145                               => ERR Exponent is out of range for Decimal128 encoding of 1E+6145
			ZSET.D128 d nope                                  => ERR invalid decimal`)
	})
}

// blocked sends ZWATCH and waits until the server is in it.
func (s *testServer) blocked(t *testing.T, l *line) <-chan string {
	t.Helper()
	reply := make(chan string, 1)
	go func() { reply <- l.do("ZWATCH k") }()
	eventually(t, func() bool { return s.waiting.Load() == 1 })
	return reply
}

func wakes(t *testing.T, reply <-chan string, want string) {
	t.Helper()
	select {
	case got := <-reply:
		if got != want {
			t.Errorf("ZWATCH: got %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatal("ZWATCH still waits")
	}
}

func TestZWatch(t *testing.T) {
	eachEngine(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		a, b := s.line(t), s.line(t)
		b.script("NAMESPACE CREATE w.x\nNAMESPACE CREATE w.y\nNAMESPACE USE w.x\nZSET k v")
		a.script("NAMESPACE USE w.x")
		reply := s.blocked(t, a)
		b.script("ZSET k v\nZSET other v\nNAMESPACE USE w.y\nZSET k x\nNAMESPACE REMOVE w.y\nNAMESPACE USE w.x")
		select {
		case got := <-reply:
			t.Fatalf("woken by a write of the same value: %q", got)
		case <-time.After(50 * time.Millisecond):
		}
		b.script("BEGIN\nZSET k w\nCOMMIT")
		wakes(t, reply, "OK")
		reply = s.blocked(t, a)
		b.script("ZDELRANGE * *")
		wakes(t, reply, "OK")
		reply = s.blocked(t, a)
		b.script("NAMESPACE REMOVE w")
		wakes(t, reply, "NAMESPACEBEINGREMOVED Namespace 'w' is being removed")
	})
}

// TestZWatchDisconnect: the waits of clients that have gone end, with more
// commands in the pipeline or not, and leave no goroutine behind.
func TestZWatchDisconnect(t *testing.T) {
	s := start(t, Options{})
	before := runtime.NumGoroutine()
	for i := range 20 {
		c := s.dial(t)
		more := ""
		if i%2 == 1 {
			more = strings.Repeat("PING\r\n", 10)
		}
		c.send("PING\r\nZWATCH k\r\n" + more)
		c.expect("+PONG\r\n")
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	deadline := time.Now().Add(time.Minute)
	for len(s.clients()) > 0 || runtime.NumGoroutine() > before+2 {
		if time.Now().After(deadline) {
			t.Fatalf("%d clients, %d goroutines (%d before) are left", len(s.clients()), runtime.NumGoroutine(), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestZWatchShutdown(t *testing.T) {
	s := start(t, Options{})
	reply := s.blocked(t, s.line(t))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	wakes(t, reply, "ERR server is shutting down")
}

// TestZWatchPipeline: what follows a wait is executed after it.
func TestZWatchPipeline(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	waits := func() bool { return s.waiting.Load() == 1 }
	c.send("PING\r\nZWATCH k\r\nZGET k\r\n")
	c.expect("+PONG\r\n")
	eventually(t, waits)
	l := s.line(t)
	l.script("ZSET k v")
	c.expect(crlf("+OK|$1|v|"))
	for range 10 {
		c.send("ZWATCH k\r\n")
		eventually(t, waits)
		c.send("ZSET k v\r\n") // arrives while it is blocked
		l.script("ZSET k w")
		c.expect("+OK\r\n+OK\r\n")
	}
	c.send("PING\r\n")
	c.expect("+PONG\r\n")
}
