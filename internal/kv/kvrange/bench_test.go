package kvrange_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

type setOne struct{ key, value []byte }

func (s *setOne) Do(t kv.Txn) error {
	if _, err := t.Get(s.key); err != nil {
		return err
	}
	t.Set(s.key, s.value)
	return nil
}

// BenchmarkDurableSet sequences read-modify-writes from some clients, each of
// which waits for its commit before it goes on, on a real disk.
func BenchmarkDurableSet(b *testing.B) {
	for _, clients := range []int{1, 50} {
		for _, pipeline := range []int{1, 16} {
			b.Run(fmt.Sprintf("clients=%d/pipeline=%d", clients, pipeline), func(b *testing.B) {
				benchmarkSet(b, clients, pipeline)
			})
		}
	}
}

func benchmarkSet(b *testing.B, clients, pipeline int) {
	s := openBench(b)
	db := kv.New(kvrange.New(s), time.Now)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			session := db.NewSession()
			set := &setOne{key: fmt.Appendf(nil, "\x04key:%012d", 0), value: make([]byte, 100)}
			for i := c; i < b.N; i += clients * pipeline {
				ticket, err := session.Run(set)
				for p := 1; p < pipeline && err == nil; p++ {
					for d, j := (i+p*clients)*7919%100_000, len(set.key)-1; d > 0; d, j = d/10, j-1 {
						set.key[j] = byte('0' + d%10)
					}
					ticket, err = session.Run(set)
				}
				if err == nil {
					err = ticket.Wait()
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	if err := s.Close(); err != nil {
		b.Error(err)
	}
}
