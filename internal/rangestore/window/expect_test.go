package window

import (
	"fmt"
	"testing"
)

// BenchmarkExpect looks up keys of a window that is in no cache, 16 at a time.
func BenchmarkExpect(b *testing.B) {
	const all = 2_000_000
	w, keys := filled(all), make([][]byte, 16)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key:%012d", 0)
	}
	for i := 0; i < b.N; i += len(keys) {
		for k := range keys {
			for d, j := (i+k)*7919%all, 15; j > 3; d, j = d/10, j-1 {
				keys[k][j] = byte('0' + d%10)
			}
		}
		w.Expect(keys)
		for _, key := range keys {
			if w.Latest(key).State != Present {
				b.Fatalf("%q is missing", key)
			}
		}
	}
}
