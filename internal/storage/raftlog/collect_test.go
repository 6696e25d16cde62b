package raftlog

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

// TestCollectionEnds: live records a little longer than half a segment waste half
// of every segment that they are moved to, so that moving them never helps. What
// collection writes must stay below what was appended, and a segment.
func TestCollectionEnds(t *testing.T) {
	for _, size := range []int{1 << 10, 17 << 10, 22 << 10, 30 << 10, 33 << 10, 40 << 10, 63 << 10, 70 << 10, 200 << 10} {
		o := testOptions(vfs.NewMem())
		l := mustOpen(t, o)
		next := base.LogIndex(1)
		for range 12 {
			for _, n := range []int{size, 10, size} {
				must(t, l.Append(Write{Range: 1, Entries: entries(next, 1, 1, n), HardState: &HardState{Term: 1, Vote: 1, Commit: next - 1}}))
				must(t, l.Flush())
				next++
			}
			if next > 6 {
				must(t, l.Append(Write{Range: 1, Compact: next - 4}))
				must(t, l.Flush())
			}
			if m := l.Metrics(); m.Relocated > m.BytesWritten-m.Relocated+o.SegmentBytes+int64(size)*2 {
				t.Fatalf("entries of %d bytes: %d bytes moved of %d written", size, m.Relocated, m.BytesWritten)
			}
		}
		must(t, l.Close())
	}
}
