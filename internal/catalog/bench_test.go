package catalog

import (
	"fmt"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// BenchmarkGuard is what the guards add to a short write that is sequenced and
// not waited for: none, the term as on every command of a client, and the shards'
// table besides, as on every write.
func BenchmarkGuard(b *testing.B) {
	for guards := range 3 {
		b.Run(fmt.Sprintf("guards=%d", guards), func(b *testing.B) {
			f := overRange(b)
			shards, err := OpenShards(f.db, ShardCounts{})
			if err != nil {
				b.Fatal(err)
			}
			defer shards.Close()
			f.s.Guards = []kv.Watch{f.c.Term().Guard(), shards.Table().Guard()}[:guards]
			key, value := []byte("\x04key:000000"), make([]byte, 100)
			var last base.Ticket
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				key[len(key)-1] = byte('0' + i%10)
				if last, err = f.s.Run(kv.Func(func(t kv.Txn) error { t.Set(key, value); return nil })); err != nil {
					b.Fatal(err)
				}
			}
			if err := last.Wait(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkFence is a short write behind a fence: at home, and under a post in one of
// several ranges. It must not allocate.
func BenchmarkFence(b *testing.B) {
	for name, slot := range map[string]uint16{"home": 10, "post": 9000} {
		b.Run(name, func(b *testing.B) {
			f := overRanges(b, slotKey(DefaultID, 0, 1000), slotKey(DefaultID, 0, 8000))
			g := f.guarded(DefaultID)
			g.mustSet(0, slot)
			area := g.dbs.area(DefaultID, 0)
			key, value := append(slotKey(DefaultID, 0, slot), "\x01key:000000"...), make([]byte, 100)
			write := kv.Func(func(t kv.Txn) error {
				_, err := t.Get(key)
				t.Set(key, value)
				return err
			})
			var last base.Ticket
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				key[len(key)-1] = byte('0' + i%10)
				g.fence.Raise(f.c, area, g.basis)
				g.s.Fence = &g.fence
				var err error
				if last, err = g.s.Run(write); err != nil {
					b.Fatal(err)
				}
			}
			if err := last.Wait(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
