package catalog

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

// overRanges is a fixture over ranges that begin at the given keys.
func overRanges(t testing.TB, starts ...[]byte) *fixture {
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f := newFixture(t, kv.New(kvrange.New(s), time.Now))
	f.store = s
	for i, key := range starts {
		f.split(key, base.RangeID(2+i))
	}
	return f
}

func (f *fixture) split(key []byte, right base.RangeID) {
	f.t.Helper()
	id, _ := f.store.Range(key).ID()
	if _, _, err := f.store.Split(context.Background(), id, key, right); err != nil {
		f.t.Fatal(err)
	}
}

// guarded is a session that works in a database behind a fence.
type guarded struct {
	f     *fixture
	ns    keyspace.NamespaceID
	s     *kv.Session
	fence Fence
	basis Basis
	dbs   Databases
}

func (f *fixture) guarded(ns keyspace.NamespaceID) *guarded {
	g := &guarded{f: f, ns: ns, s: f.db.NewSession()}
	g.resolve()
	return g
}

func (g *guarded) resolve() {
	g.basis.Term = g.f.c.Renew()
	if err := g.f.run(func(t kv.Txn) (err error) {
		if g.basis.Epoch, err = ReadEpoch(t); err == nil {
			g.dbs, err = ReadDatabases(t, g.ns)
		}
		return err
	}); err != nil {
		g.f.t.Fatal(err)
	}
}

// set writes a key of a slot of a database, once, and answers the fence's post: nil if
// the home was the guard.
func (g *guarded) set(number uint8, slot uint16) (*post, error) {
	area := g.dbs.area(g.ns, number)
	g.fence.Raise(g.f.c, area, g.basis)
	g.s.Fence = &g.fence
	err := g.s.RunAndWait(kv.Func(func(t kv.Txn) error {
		t.Set(append(keyspace.AppendRedisSlot(nil, area.Start, slot), keyspace.SlotKeys), nil)
		return nil
	}))
	return g.fence.post, err
}

// mustSet is set as a session does it: the fence is mended if it breaks. It reports how
// often it was.
func (g *guarded) mustSet(number uint8, slot uint16) (p *post, mended int) {
	g.f.t.Helper()
	for ; ; mended++ {
		p, err := g.set(number, slot)
		if err == nil {
			return p, mended
		}
		if !g.fence.Broken() {
			g.f.t.Fatal(err)
		}
		since, err := g.fence.Mend()
		if err != nil {
			g.f.t.Fatal(err)
		}
		if over, _ := g.basis.Term.Over(); over && g.fence.post == nil && !g.fence.lacked || since.Epoch > g.basis.Epoch {
			g.resolve()
		}
	}
}

func slotKey(ns keyspace.NamespaceID, db uint8, slot uint16) []byte {
	return keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, ns, db), slot)
}

// TestFencePosts: commits are guarded in the range of their keys, at home in the first.
func TestFencePosts(t *testing.T) {
	f := overRanges(t, slotKey(DefaultID, 0, 1000), slotKey(DefaultID, 0, 2000), slotKey(DefaultID, 2, 0))
	g := f.guarded(DefaultID)
	for _, c := range []struct {
		number uint8
		slot   uint16
		want   []byte // nil: home
		mended int
	}{
		{0, 10, nil, 0}, {0, 1000, slotKey(DefaultID, 0, 1000), 1}, {0, 1500, slotKey(DefaultID, 0, 1000), 0},
		{0, 2500, slotKey(DefaultID, 0, 2000), 1}, {1, 5, keyspace.AppendRedisDB(nil, DefaultID, 1), 1},
		{2, 7, slotKey(DefaultID, 2, 0), 1}, {2, 9, slotKey(DefaultID, 2, 0), 0},
	} {
		p, mended := g.mustSet(c.number, c.slot)
		if (p == nil) != (c.want == nil) || p != nil && !bytes.Equal(g.fence.key, c.want) || mended != c.mended {
			t.Errorf("database %d, slot %d: post at %s, mended %d times; want %s, %d", c.number, c.slot,
				keyspace.Pretty(g.fence.key), mended, keyspace.Pretty(c.want), c.mended)
		}
	}
	for _, r := range f.store.Replicas() {
		if r.Entangled() {
			t.Errorf("a command was a transaction over several ranges")
		}
	}
	f.split(slotKey(DefaultID, 0, 1400), 9)
	for _, slot := range []uint16{1500, 1200} { // the post moves for the one, and stays for the other
		if _, mended := g.mustSet(0, slot); mended != map[uint16]int{1500: 1, 1200: 0}[slot] {
			t.Errorf("slot %d behind the split: mended %d times", slot, mended)
		}
	}
	if f.store.Range(slotKey(DefaultID, 0, 1500)).Entangled() {
		t.Errorf("a command behind the split was a transaction over several ranges")
	}
}

// TestFenceFalls: a change breaks the fences of what it concerns, and no others, also of
// those that have put up no post before it.
func TestFenceFalls(t *testing.T) {
	const far = 2000
	f := overRanges(t, slotKey(DefaultID, 0, 1000))
	for _, p := range []string{"a.b", "c"} {
		if err := f.create(p); err != nil {
			t.Fatal(err)
		}
	}
	id := func(p string) keyspace.NamespaceID {
		id, err := f.resolve(p)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	shards, err := OpenShards(f.db, ShardCounts{})
	if err != nil {
		t.Fatal(err)
	}
	defer shards.Close()
	sessions := map[string]*guarded{"global": f.guarded(DefaultID), "a.b": f.guarded(id("a.b")), "c": f.guarded(id("c"))}
	status := func(s ShardStatus) func(t kv.Txn) error {
		return func(t kv.Txn) error { return WriteShard(t, ShardRedis, 3, Shard{Status: s}) }
	}
	for _, c := range []struct {
		name   string
		falls  map[string]bool // the fences of database 0
		change func(t kv.Txn) error
	}{
		{"swap", map[string]bool{"global": true}, func(t kv.Txn) error { _, err := SwapDatabases(t, DefaultID, 0, 3); return err }},
		{"swap of others", nil, func(t kv.Txn) error { _, err := SwapDatabases(t, DefaultID, 1, 2); return err }},
		{"move", map[string]bool{"a.b": true}, func(t kv.Txn) error { return Move(t, Path{"a"}, Path{"z"}, nil) }},
		{"remove", map[string]bool{"c": true}, func(t kv.Txn) error { return Remove(t, Path{"c"}) }},
		{"status", map[string]bool{"global": true, "a.b": true, "c": true}, status(ShardReadOnly)},
		{"no new status", nil, status(ShardReadOnly)},
		{"statuses", map[string]bool{"global": true, "a.b": true, "c": true}, func(t kv.Txn) error { ClearShards(t); return nil }},
	} {
		late := map[string]*guarded{}
		for path, g := range sessions {
			g.mustSet(0, far)
			late[path] = f.guarded(g.ns) // resolved, and has not written
		}
		f.c.posts.Lock()
		posts := len(f.c.posts.byKey)
		f.c.posts.Unlock()
		if posts < len(sessions) {
			t.Fatalf("%d posts", posts)
		}
		if err := f.run(c.change); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for path, g := range sessions {
			if _, err := g.set(0, far); errors.Is(err, base.ErrConflict) != c.falls[path] || (err == nil) == c.falls[path] {
				t.Errorf("%s: a write in %s: %v", c.name, path, err)
			}
			if !c.falls[path] || c.name == "status" || c.name == "statuses" {
				continue
			}
			// A new post knows of the change, so it does not guard what was read before.
			old := late[path]
			for range 2 {
				if _, err := old.set(0, far); !errors.Is(err, base.ErrConflict) {
					t.Errorf("%s: a late write in %s: %v", c.name, path, err)
				}
				if since, err := old.fence.Mend(); err != nil || since.Epoch <= old.basis.Epoch {
					t.Errorf("%s: %s is to be read again at %v, %v; it was at %d", c.name, path, since, err, old.basis.Epoch)
				}
			}
		}
	}
}

// TestFenceTable: a write is checked against a table that is not older than the post.
func TestFenceTable(t *testing.T) {
	f := overRanges(t, slotKey(DefaultID, 0, 1000))
	shards, err := OpenShards(f.db, ShardCounts{})
	if err != nil {
		t.Fatal(err)
	}
	defer shards.Close()
	old := shards.Table()
	g := f.guarded(DefaultID)
	g.basis.Shards = old
	if err := f.run(func(t kv.Txn) error { return WriteShard(t, ShardRedis, 3, Shard{Status: ShardReadOnly}) }); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := g.set(0, 2000); !errors.Is(err, base.ErrConflict) {
			t.Fatalf("a write checked against the old table: %v", err)
		}
		since, err := g.fence.Mend()
		if err != nil || since.Shards <= old.version {
			t.Fatalf("mended: %v, %v", since, err)
		}
	}
	if g.basis.Shards, err = shards.RefreshTo(old.version + 1); err != nil || !g.basis.Shards.Restricted {
		t.Fatal(err)
	}
	if _, err := g.set(0, 2000); err != nil {
		t.Errorf("checked against the new table: %v", err)
	}
	now := shards.Table()
	if again, err := shards.RefreshTo(now.version + 1); err != nil || again == now { // the news may be late
		t.Errorf("not read again: %v", err)
	}
	<-now.Guard().Changed() // who waits for it goes on with the new one
}

// TestPostsBound: posts are dropped when there are too many, and nothing commits under
// one that was.
func TestPostsBound(t *testing.T) {
	f := overRanges(t, slotKey(DefaultID, 0, 1000))
	g := f.guarded(DefaultID)
	p, _ := g.mustSet(0, 2000)
	f.c.posts.close()
	f.c.posts.Lock()
	f.c.posts.byKey[string(g.fence.key)] = p // as one has it who was given it before
	f.c.posts.Unlock()
	if _, err := g.set(0, 2000); !errors.Is(err, base.ErrConflict) || !g.fence.Broken() {
		t.Errorf("a commit under a post that was taken down: %v", err)
	}
	if _, mended := g.mustSet(0, 2000); mended != 1 {
		t.Errorf("mended %d times", mended)
	}
}

// TestFenceManyRanges: a change that concerns all data is one transaction over all ranges,
// and ends in each of them.
func TestFenceManyRanges(t *testing.T) {
	var starts [][]byte
	for slot := uint16(100); slot <= 8000; slot += 100 {
		starts = append(starts, slotKey(DefaultID, 0, slot))
	}
	f := overRanges(t, starts...)
	g := f.guarded(DefaultID)
	for round := range 2 {
		for slot := uint16(100); slot <= 8000; slot += 100 {
			if _, mended := g.mustSet(0, slot+50); mended != 1 {
				t.Errorf("round %d, slot %d: mended %d times", round, slot+50, mended)
			}
		}
		if err := f.run(func(t kv.Txn) error { ClearShards(t); return nil }); err != nil {
			t.Fatal(err)
		}
	}
}
