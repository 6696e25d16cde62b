package raftlog

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

// BenchmarkAppendFlush appends entries and flushes each, on the real disk.
func BenchmarkAppendFlush(b *testing.B) {
	for _, size := range []int{1 << 10, 10 << 10} {
		for _, appenders := range []int{1, 64} {
			b.Run(fmt.Sprintf("size=%d/appenders=%d", size, appenders), func(b *testing.B) {
				benchmarkAppend(b, size, appenders)
			})
		}
	}
}

func benchmarkAppend(b *testing.B, size, appenders int) {
	l := mustOpen(b, Options{FS: vfs.Default, Dir: b.TempDir(), StoreID: testStore})
	data := make([]byte, size)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for r := range appenders {
		wg.Add(1)
		go func() {
			defer wg.Done()
			one := make([]Entry, 1)
			for i := base.LogIndex(1); left.Add(-1) >= 0; i++ {
				one[0] = Entry{Term: 1, Index: i, Data: data}
				w := Write{Range: base.RangeID(r + 1), Entries: one}
				if i > 100 && i%64 == 0 {
					w.Compact = i - 64
				}
				if err := l.Append(w); err != nil {
					b.Error(err)
					return
				}
				if err := l.Flush(); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	m := l.Metrics()
	b.ReportMetric(float64(b.N)/float64(m.Flushes), "entries/flush")
	must(b, l.Close())
}

// BenchmarkOpenEmpty is the start of a new store.
func BenchmarkOpenEmpty(b *testing.B) {
	for range b.N {
		l := mustOpen(b, Options{FS: vfs.Default, Dir: b.TempDir(), StoreID: testStore})
		b.StopTimer()
		must(b, l.Close())
		b.StartTimer()
	}
}
