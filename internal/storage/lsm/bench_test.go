package lsm

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

func BenchmarkGetHot(b *testing.B) {
	s := mustOpen(b, Options{FS: vfs.Default, Dir: b.TempDir()})
	defer func() { must(b, s.Close()) }()
	const keys = 50_000
	apply(b, s, func(batch *Batch) {
		for i := range keys {
			batch.Set(fmt.Appendf(nil, "user:%012d", i), make([]byte, 100))
		}
	})
	must(b, s.Flush())
	list := make([][]byte, keys)
	for i := range list {
		list[i] = fmt.Appendf(nil, "user:%012d", i)
	}
	var dst []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		dst, _, _ = s.AppendGet(dst[:0], list[i*7919%keys])
	}
}

// BenchmarkApply is one window slice's worth of a small range: 100 rows and the state.
func BenchmarkApply(b *testing.B) {
	s := mustOpen(b, Options{FS: vfs.Default, Dir: b.TempDir()})
	defer func() { must(b, s.Close()) }()
	batch := s.NewBatch()
	value := make([]byte, 100)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for range 100 {
			n++
			batch.Set(fmt.Appendf(nil, "user:%012d", n*7919%1_000_000), value)
		}
		batch.SetRangeState(1, RangeState{Applied: base.LogIndex(n)})
		must(b, s.Apply(batch))
		batch.Reset()
	}
	must(b, batch.Close())
}
