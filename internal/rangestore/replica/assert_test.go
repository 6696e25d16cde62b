package replica

import (
	"context"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
)

// TestApplyAsserts is rule R4: an entry that does not continue what was applied,
// in position, stamp, term or index, stops the replica.
func TestApplyAsserts(t *testing.T) {
	good := batch.Header{Kind: batch.KindTransactions, Term: 1, Previous: 0, Stamp: 100, PrevStamp: 0}
	for name, c := range map[string]struct {
		change func(h *batch.Header)
		index  base.LogIndex
		want   string
	}{
		"it continues":        {func(*batch.Header) {}, 2, ""},
		"a position is gone":  {func(h *batch.Header) { h.Previous = 1 }, 2, "position 1"},
		"an older stamp":      {func(h *batch.Header) { h.Stamp = 0 }, 2, "stamp 0"},
		"of another term":     {func(h *batch.Header) { h.Term = 2 }, 2, "term 2"},
		"an index is missing": {func(*batch.Header) {}, 3, "entry 3 follows entry 1"},
		"an index again":      {func(*batch.Header) {}, 1, "entry 1 follows entry 1"},
	} {
		s := &scenario{t: t, fs: vfs.NewCrashableMem(), disk: &memDisk{rows: map[string]string{}}, oracle: &counter{}}
		if _, err := s.open(&datadriven.TestData{}); err != nil {
			t.Fatal(err)
		}
		s.r.Stop() // its own entries carry batches in flight; this one is foreign
		var b batch.Builder
		b.Reset(0)
		b.Begin()
		b.Add(base.OpSet, []byte("k"), []byte("v"))
		h := good
		c.change(&h)
		b.Finish(h)
		err := s.r.apply(context.Background(), &pb.Entry{Term: new(uint64(1)), Index: new(uint64(c.index)), Type: pb.EntryNormal.Enum(), Data: b.Buf})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.HasAssertionFailure(err) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want an assertion with %q", name, err, c.want)
		}
		if err := s.log.Close(); err != nil {
			t.Error(err)
		}
	}
}
