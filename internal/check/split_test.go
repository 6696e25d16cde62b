package check

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

// TestSplitStore: the check walks over all ranges of a store, and finds each key once, in
// a range that waits for a merge, too.
func TestSplitStore(t *testing.T) {
	mem := vfs.NewMem()
	st, err := store.Open(store.Options{FS: mem, Dir: dir, SegmentBytes: 1 << 20,
		OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	data := kv.New(kvrange.New(st), time.Now)
	key := func(i int) []byte { return fmt.Appendf(keyspace.AppendModel(nil, 9, keyspace.ModelZMap), "%02d", i) }
	for i := range 40 {
		if i == 10 || i == 20 {
			if _, _, err := st.Split(context.Background(), 1, key(30-i), base.RangeID(i)); err != nil {
				t.Fatal(err)
			}
		}
		run(t, data, func(tx kv.Txn) error {
			tx.Set(key(i), []byte("z"))
			return nil
		})
	}
	ticket, err := st.BeginMerge(1, 20)
	if err == nil {
		err = ticket.Wait()
	}
	if err == nil {
		err = st.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(Options{FS: mem, Dir: dir})
	if err != nil || len(r.Problems) > 0 || len(r.Skipped) > 0 {
		t.Fatalf("%v, %v, %v", r.Problems, r.Skipped, err)
	}
	if r.Ranges < 2 || r.Ranges > 3 || r.ZMapKeys != 40 { // the merge may be done
		t.Errorf("%d ranges, %d keys", r.Ranges, r.ZMapKeys)
	}
}
