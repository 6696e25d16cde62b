package lsm

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

// TestCacheBesideMemtables: what has been read stays in the block cache, also when the
// memtables, which Pebble counts as part of it, are as large as they get. Nothing is compacted
// meanwhile: that makes other blocks.
func TestCacheBesideMemtables(t *testing.T) {
	s := mustOpen(t, Options{FS: vfs.NewMem(), Dir: "lsm", CacheBytes: 4 << 20, MemtableBytes: 4 << 20, Inline: true})
	defer func() { must(t, s.Close()) }()
	value := make([]byte, 1000)
	write := func(prefix string, rows int) {
		apply(t, s, func(b *Batch) {
			for i := range rows {
				b.Set(fmt.Appendf(nil, "%s%05d", prefix, i), value)
			}
		})
	}
	write("cold", 1000)
	must(t, s.Flush())
	read := func() {
		it, err := s.NewIterator(base.Span{Start: []byte("cold"), End: []byte("colx")})
		must(t, err)
		rows := 0
		for ok := it.First(); ok; ok = it.Next() {
			rows++
		}
		if must(t, it.Close()); rows != 1000 {
			t.Fatalf("%d rows", rows)
		}
	}
	for round := range 12 { // 2.4 MB each; a memtable begins small and doubles
		write(fmt.Sprintf("hot%d", round), 2400)
	}
	read()
	before := s.Metrics()
	if read(); s.Metrics().CacheMisses > before.CacheMisses {
		t.Errorf("%d blocks were read again; memtables have %d bytes, the cache holds %d",
			s.Metrics().CacheMisses-before.CacheMisses, before.MemtableBytes, before.CacheBytes)
	}
	if before.MemtableBytes < 2<<20 {
		t.Errorf("the test shows nothing: %d bytes of memtables", before.MemtableBytes)
	}
}
