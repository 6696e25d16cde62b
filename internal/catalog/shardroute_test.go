package catalog

import (
	"reflect"
	"testing"

	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/kv"
)

// TestShardRoutes: what was routed, and nothing else, neighbours together.
func TestShardRoutes(t *testing.T) {
	f := overRange(t)
	look := func(want ...ShardRoute) {
		t.Helper()
		if err := f.run(func(t kv.Txn) error { return nil }); err != nil {
			t.Fatal(err)
		}
		var got []ShardRoute
		if err := f.run(func(t kv.Txn) (err error) { got, err = ShardRoutes(t); return err }); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	look()
	s, err := OpenShards(f.db, ShardCounts{Redis: 5})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	version := func() (v string) {
		if err := f.run(func(t kv.Txn) (err error) { v, err = ShardVersion(t); return err }); err != nil {
			t.Fatal(err)
		}
		return v
	}
	before := version()
	if err := f.run(func(t kv.Txn) error {
		for id, s := range map[int]Shard{
			0: {Primary: "a", Standbys: []string{"b"}, Routed: true},
			1: {Primary: "a", Standbys: []string{"b"}, Routed: true},
			2: {Primary: "a", Status: ShardReadOnly}, // its status only
			3: {Primary: "a", Routed: true},
			4: {Primary: "b", Routed: true},
		} {
			if err := WriteShard(t, ShardRedis, id, s); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if version() == before {
		t.Error("the version is the same")
	}
	look(ShardRoute{0, 6553, "a", []string{"b"}}, ShardRoute{9831, 13107, "a", nil}, ShardRoute{13108, 16383, "b", nil})
	for _, n := range []int{1, 3, 5, 16, 1000, hashslot.Slots} {
		c := ShardCounts{Redis: n}
		for id := range n {
			first, last := c.firstSlot(id), c.firstSlot(id+1)-1
			if c.ShardOfSlot(first) != id || c.ShardOfSlot(last) != id {
				t.Fatalf("%d shards: %d has the slots %d to %d", n, id, first, last)
			}
		}
	}
}
