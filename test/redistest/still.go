package redistest

import (
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/internal/model/redis"
)

// stillTxn answers every Get with one value and forgets what is written.
type stillTxn struct {
	kv.Txn
	value []byte
	mem   [4096]byte
	used  int
}

func (s *stillTxn) Get([]byte) ([]byte, error)            { return s.value, nil }
func (s *stillTxn) Set(_, _ []byte)                       {}
func (s *stillTxn) Clear([]byte)                          {}
func (s *stillTxn) Atomic(_ base.MutationOp, _, _ []byte) {}
func (s *stillTxn) NowMillis() int64                      { return Epoch }
func (s *stillTxn) Alloc(n int) []byte                    { s.used += n; return s.mem[s.used-n : s.used : s.used] }
func (s *stillTxn) AddReadConflict(base.Span)             {}
func (s *stillTxn) Snapshot() kv.Reader                   { return s }

// HotCase is a command that runs on what is stored.
type HotCase struct {
	Stored []byte
	Run    func(t kv.Txn) error
}

// DoesNotAllocate runs commands that have to be quick.
func DoesNotAllocate(t *testing.T, cases map[string]HotCase) {
	for name, c := range cases {
		s := &stillTxn{value: c.Stored}
		n := testing.AllocsPerRun(10, func() {
			s.used = 0
			if err := c.Run(s); err != nil {
				t.Error(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// Benchmark runs f on a key that prepare stores.
func Benchmark(b *testing.B, prepare []string, f func(t kv.Txn, db *redis.DB) error) {
	BenchmarkOn(b, redis.Options{}, func(t kv.Txn, h *redis.DB) error {
		if prepare[0] == "SET" {
			return redis.MSet(t, h, Bytes(prepare[1:]...))
		}
		_, err := redis.HSet(t, h, []byte(prepare[1]), Bytes(prepare[2:]...))
		return err
	}, f)
}

// BenchmarkOn is Benchmark after what prepare does, with options.
func BenchmarkOn(b *testing.B, o redis.Options, prepare, f func(t kv.Txn, db *redis.DB) error) {
	now := base.Stamp(Epoch * 1000)
	s := kv.New(kvmem.New(func() base.Stamp { return now }), nil).NewSession()
	h, err := redis.Open(1, 0, o)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Run(kv.Func(func(t kv.Txn) error { return prepare(t, h) })); err != nil {
		b.Fatal(err)
	}
	body := kv.Func(func(t kv.Txn) error { return f(t, h) })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Run(body); err != nil {
			b.Fatal(err)
		}
	}
}
