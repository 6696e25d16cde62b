package redis

import (
	"testing"
	"time"

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
