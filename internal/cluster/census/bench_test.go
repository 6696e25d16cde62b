//go:build !fuzzing

package census_test

import (
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/census"
)

// BenchmarkLook looks at 1,000 ranges in which nothing happens.
func BenchmarkLook(b *testing.B) {
	f := start(b, census.Options{SplitBytes: 1 << 30, SplitOps: 1e9})
	for i := range 999 {
		f.split(1, zmapKey(1000-i), base.RangeID(i+2))
	}
	for range 20 {
		f.look() // all sizes are known
	}
	b.ReportAllocs()
	for b.Loop() {
		f.look()
	}
}
