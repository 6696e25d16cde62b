package catalog

import (
	"errors"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/kv"
)

func TestShardSpans(t *testing.T) {
	for _, n := range []int{1, 7, 16, 1000, hashslot.Slots} {
		c, last := ShardCounts{Redis: n}, 0
		for slot := range hashslot.Slots {
			id := c.ShardOfSlot(uint16(slot))
			if id != last && id != last+1 || id >= n {
				t.Fatalf("%d shards: slot %d is in %d after %d", n, slot, id, last)
			}
			last = id
		}
		if last != n-1 {
			t.Errorf("%d shards: the last slot is in %d", n, last)
		}
	}
}

func TestShards(t *testing.T) {
	f := overRange(t)
	s, err := OpenShards(f.db, ShardCounts{Redis: 4, Bucket: 2})
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenShards(f.db, ShardCounts{Redis: 9})
	if err != nil || again.Counts() != s.Counts() {
		t.Errorf("opened again: %+v, %v", again.Counts(), err)
	}
	before := s.Table()
	if before.Restricted {
		t.Error("restricted from the start")
	}
	if err := f.run(func(t kv.Txn) error { return WriteShard(t, ShardRedis, 2, Shard{Status: ShardReadOnly}) }); err != nil {
		t.Fatal(err)
	}
	// A write that was let through by the old table must not commit any more.
	f.s.Guards = []kv.Watch{before.Guard()}
	err = f.run(func(t kv.Txn) error { t.Set([]byte("\x04k"), nil); return nil })
	f.s.Guards = nil
	if !errors.Is(err, base.ErrConflict) {
		t.Errorf("write under the old table: %v", err)
	}
	table, err := s.Refresh()
	if err != nil || !table.Restricted {
		t.Fatalf("refreshed: %+v, %v", table, err)
	}
	slot := uint16(2 * hashslot.Slots / 4)
	if st, id := table.Status(slot); st != ShardReadOnly || id != 2 {
		t.Errorf("slot %d: %s in %d", slot, st, id)
	}
	if st, _ := table.Status(slot - 1); st != ShardReadWrite {
		t.Errorf("slot %d: %s", slot-1, st)
	}
	if st, id := table.Worst(); st != ShardReadOnly || id != 2 {
		t.Errorf("worst: %s %d", st, id)
	}
	stop, changed := make(chan struct{}), make(chan struct{})
	go func() { again.Watch(stop, func(err error) { t.Error(err) }); close(changed) }()
	if err := f.run(func(t kv.Txn) error { ClearShards(t); return nil }); err != nil {
		t.Fatal(err)
	}
	<-table.Guard().Changed()
	for again.Table().Restricted {
		if _, err := again.Refresh(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	<-changed
	s.Close()
	again.Close()
}
