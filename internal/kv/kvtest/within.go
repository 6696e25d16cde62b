package kvtest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stratadb/strata/internal/kv"
)

// testScanWithin: what a scan visits may be scanned for, too, and neither sees the pairs of
// the other.
func testScanWithin(t *testing.T, db *kv.DB) {
	const outer, inner = 200, 300
	transact(t, db, func(tx kv.Txn) error {
		for i := range outer {
			tx.Set(key("o%04d", i), fmt.Appendf(nil, "%d", i))
		}
		for i := range inner {
			tx.Set(key("i%04d", i), fmt.Appendf(nil, "%d", i))
		}
		return nil
	})
	for _, reverse := range []bool{false, true} {
		transact(t, db, func(tx kv.Txn) error {
			n := 0
			read(t, tx.Scan(span("o", "p"), kv.ScanOptions{Reverse: reverse}, func(k, v []byte) bool {
				at := n
				if reverse {
					at = outer - 1 - n
				}
				if !bytes.Equal(k, key("o%04d", at)) || string(v) != fmt.Sprint(at) {
					t.Fatalf("pair %d is %s=%s", n, k, v)
				}
				if n++; n%3 == 2 {
					return true
				}
				m := 0
				read(t, tx.Scan(span("i", "j"), kv.ScanOptions{}, func(k, v []byte) bool {
					if !bytes.Equal(k, key("i%04d", m)) || string(v) != fmt.Sprint(m) {
						t.Fatalf("pair %d of the scan within pair %d is %s=%s", m, n, k, v)
					}
					m++
					return m < inner/(1+n%3)
				}))
				return true
			}))
			if n != outer {
				t.Fatalf("%d pairs, reverse %v", n, reverse)
			}
			return nil
		})
	}
}
