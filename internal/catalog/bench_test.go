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
