package redis

import (
	"math"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/api/redis/acl"
	"github.com/stratadb/strata/internal/auth"
	"github.com/stratadb/strata/internal/kv"
)

// benchmarkCommand measures a command from its arguments to its reply, over an
// engine that costs next to nothing.
func benchmarkCommand(b *testing.B, setup []string, command ...string) {
	e := newLateEngine()
	e.auto = true
	s := NewServer(Options{DB: kv.New(e, time.Now), ManualExpiry: true})
	defer func() {
		if err := s.Shutdown(b.Context()); err != nil {
			b.Fatal(err)
		}
	}()
	s.settings.slow.Store(math.MaxInt64) // the log would name the connection, which there is none
	sess := s.newSession(nil)
	x := s.takeExecutor()
	run := func(words []string) {
		args := make([][]byte, len(words))
		for i, w := range words {
			args[i] = []byte(w)
		}
		sess.execute(x, s.table.Resolve(args), args)
		x.w.Reset(outKeptBytes)
	}
	if setup != nil {
		run(setup)
	}
	args := make([][]byte, len(command))
	for i, w := range command {
		args[i] = []byte(w)
	}
	b.ReportAllocs()
	for b.Loop() {
		sess.execute(x, s.table.Resolve(args), args)
		x.w.Buf = x.w.Buf[:0]
	}
}

// BenchmarkLimited is a GET of a user who may not do everything.
func BenchmarkLimited(b *testing.B) {
	s := NewServer(Options{DB: kv.New(newLateEngine(), time.Now), ManualExpiry: true})
	defer func() {
		if err := s.Shutdown(b.Context()); err != nil {
			b.Fatal(err)
		}
	}()
	commands := acl.CommandsOf(s.table)
	user, err := auth.NewUser(commands, "u").With(commands, "+@read", "~other:*", "~key:*", "(+set ~x)")
	if err != nil {
		b.Fatal(err)
	}
	args := [][]byte{[]byte("GET"), []byte("key:000000000001")}
	cmd := s.table.Resolve(args)
	b.ReportAllocs()
	for b.Loop() {
		if err := acl.Permit(user, cmd, args); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPing(b *testing.B) { benchmarkCommand(b, nil, "PING") }

func BenchmarkGet(b *testing.B) {
	benchmarkCommand(b, []string{"SET", "key:000000000001", "xxx"}, "GET", "key:000000000001")
}

func BenchmarkSet(b *testing.B) {
	benchmarkCommand(b, nil, "SET", "key:000000000001", "xxx")
}

func BenchmarkIncr(b *testing.B) { benchmarkCommand(b, nil, "INCR", "counter") }

func BenchmarkHset(b *testing.B) { benchmarkCommand(b, nil, "HSET", "hash", "field", "value") }

func BenchmarkHget(b *testing.B) {
	benchmarkCommand(b, []string{"HSET", "hash", "field", "value"}, "HGET", "hash", "field")
}

// BenchmarkEval is a typical script: three commands on one key.
func BenchmarkEval(b *testing.B) {
	benchmarkCommand(b, []string{"SET", "counter", "1"}, "EVAL",
		"local v = redis.call('GET', KEYS[1]) local n = redis.call('INCRBY', KEYS[1], ARGV[1]) redis.call('EXPIRE', KEYS[1], 100) return n", "1", "counter", "1")
}
