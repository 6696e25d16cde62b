package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

// fixture is a catalog over an engine, with a function per operation.
type fixture struct {
	t  testing.TB
	db *kv.DB
	c  *Catalog
	s  *kv.Session

	store *store.Store // of overRanges
}

func overMemory(t testing.TB) *fixture {
	now := func() base.Stamp { return base.Stamp(time.Now().UnixMicro()) }
	return newFixture(t, kv.New(kvmem.New(now), time.Now))
}

func overRange(t testing.TB) *fixture {
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return newFixture(t, kv.New(kvrange.New(s), time.Now))
}

func newFixture(t testing.TB, db *kv.DB) *fixture {
	f := &fixture{t: t, db: db, c: New(db), s: db.NewSession()}
	t.Cleanup(f.c.Close)
	return f
}

func (f *fixture) run(fn kv.Func) error {
	return f.s.RunAndWait(fn)
}

func path(t testing.TB, s string) Path {
	t.Helper()
	p, err := ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (f *fixture) create(s string) error {
	p := path(f.t, s)
	ids, err := f.c.Reserve(len(p))
	if err != nil {
		return err
	}
	return f.run(func(t kv.Txn) error { _, err := Create(t, p, ids); return err })
}

func (f *fixture) move(from, to string) error {
	p, q := path(f.t, from), path(f.t, to)
	ids, err := f.c.Reserve(len(q))
	if err != nil {
		return err
	}
	return f.run(func(t kv.Txn) error { return Move(t, p, q, ids) })
}

func (f *fixture) remove(s string) error {
	return f.run(func(t kv.Txn) error { return Remove(t, path(f.t, s)) })
}

func (f *fixture) purge(s string) error { return Purge(f.run, path(f.t, s)) }

func (f *fixture) resolve(s string) (id keyspace.NamespaceID, err error) {
	err = f.run(func(t kv.Txn) error { id, err = Resolve(t, path(f.t, s)); return err })
	return id, err
}

func (f *fixture) list(s string) (names []string, err error) {
	var p Path
	if s != "" {
		p = path(f.t, s)
	}
	err = f.run(func(t kv.Txn) error { names, err = List(t, p, "", 100); return err })
	return names, err
}

// do runs a line of a script: an operation and its paths.
func (f *fixture) do(line string) string {
	w := strings.Fields(line)
	var err error
	switch w[0] {
	case "create":
		err = f.create(w[1])
	case "move":
		err = f.move(w[1], w[2])
	case "remove":
		err = f.remove(w[1])
	case "purge":
		err = f.purge(w[1])
	case "use":
		_, err = f.resolve(w[1])
	case "list":
		names, lerr := f.list(strings.Join(w[1:], ""))
		if lerr == nil {
			return strings.Join(names, " ")
		}
		err = lerr
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

func TestOperations(t *testing.T) {
	for _, engine := range []struct {
		name string
		open func(testing.TB) *fixture
	}{{"memory", overMemory}, {"range", overRange}} {
		t.Run(engine.name, func(t *testing.T) { testOperations(t, engine.open(t)) })
	}
}

func testOperations(t *testing.T, f *fixture) {
	for _, step := range []struct{ do, want string }{
		{"list", "global"},
		{"use global", "ok"},
		{"create global", "NAMESPACEALREADYEXISTS Namespace already exists: global"},
		{"remove global", "ERR Cannot remove the default namespace: 'global'"},
		{"move global x", "ERR Cannot move the default namespace: 'global'"},
		{"purge global", "ERR Cannot purge the default namespace: 'global'"},
		{"create a.b.c", "ok"},
		{"create a.b.d", "ok"},
		{"create z", "ok"},
		{"create global.sub", "ok"},
		{"create a.b", "NAMESPACEALREADYEXISTS Namespace already exists: a.b"},
		{"list", "a global z"},
		{"list a.b", "c d"},
		{"list a.b.c", ""},
		{"list global", "sub"},
		{"list nope", "NOSUCHNAMESPACE No such namespace: 'nope'"},
		{"use a.b.c", "ok"},
		{"use a.x", "NOSUCHNAMESPACE No such namespace: 'a.x'"},
		{"move a.x y", "NOSUCHNAMESPACE No such namespace: 'a.x'"},
		{"move a.b z", "NAMESPACEALREADYEXISTS Namespace already exists: z"},
		{"move a.b a.b.c.e", "ERR Cannot move a namespace into itself"},
		{"move a.b n.m.b2", "ok"},
		{"use a.b", "NOSUCHNAMESPACE No such namespace: 'a.b'"},
		{"use n.m.b2.d", "ok"},
		{"list n.m", "b2"},
		{"purge n", "ERR Namespace 'n' must be logically removed before purge"},
		{"purge q", "NOSUCHNAMESPACE No such namespace: 'q'"},
		{"remove q", "NOSUCHNAMESPACE No such namespace: 'q'"},
		{"remove n.m", "ok"},
		{"use n", "ok"},
		{"use n.m", "NAMESPACEBEINGREMOVED Namespace 'n.m' is being removed"},
		{"use n.m.b2.d", "NAMESPACEBEINGREMOVED Namespace 'n.m' is being removed"},
		{"create n.m", "NAMESPACEBEINGREMOVED Namespace 'n.m' is being removed"},
		{"create n.m.new", "NAMESPACEBEINGREMOVED Namespace 'n.m' is being removed"},
		{"remove n.m", "NAMESPACEBEINGREMOVED Namespace 'n.m' is being removed"},
		{"move n.m o", "NAMESPACEBEINGREMOVED Namespace 'n.m' is being removed"},
		{"move z n.m.z", "NAMESPACEBEINGREMOVED Namespace 'n.m' is being removed"},
		{"list n", "m"},
		{"purge n.m", "ok"},
		{"list n", ""},
		{"create n.m", "ok"},
		{"create d1.d2.d3.d4.d5.d6.d7.d8.d9.d10", "ok"},
		{"create d1.d2.d3.d4.d5.d6.d7.d8.d9.d10.d11", "ERR Namespace depth exceeds maximum allowed depth of 10"},
		{"move d1.d2 z.d1.d2", "ERR Namespace depth exceeds maximum allowed depth of 10"},
		{"move d1.d2 d2", "ok"},
		{"move d2 z.d2", "ok"},
		{"use z.d2.d3.d4.d5.d6.d7.d8.d9.d10", "ok"},
	} {
		if got := f.do(step.do); got != step.want {
			t.Errorf("%s: got %q, want %q", step.do, got, step.want)
		}
	}
}

func TestParsePath(t *testing.T) {
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", strings.Repeat("x", NameBytes+1), strings.Repeat("a.", 100) + "a"} {
		if _, err := ParsePath(bad); err == nil {
			t.Errorf("%.20q: no error", bad)
		}
	}
	_, err := ParsePath("x.__internal__")
	if err == nil || err.Error() != "ERR Namespace 'x.__internal__' is reserved for internal use" {
		t.Error(err)
	}
}

// counting counts the reads of a transaction.
type counting struct {
	kv.Txn
	reads, rows, writes int
}

func (c *counting) Get(key []byte) ([]byte, error) { c.reads++; return c.Txn.Get(key) }
func (c *counting) Set(key, value []byte)          { c.writes++; c.Txn.Set(key, value) }
func (c *counting) Scan(s base.Span, o kv.ScanOptions, visit func(k, v []byte) bool) error {
	c.reads++
	return c.Txn.Scan(s, o, func(k, v []byte) bool { c.rows++; return visit(k, v) })
}

// TestManyNamespaces holds every operation to a number of reads and writes that
// depends on the depth of the path and not on how many namespaces there are. What
// concerns those below looks at a few of them.
func TestManyNamespaces(t *testing.T) {
	f := overRange(t)
	const tenants = 20_000
	for first := 0; first < tenants; first += 500 {
		ids, err := f.c.Reserve(1000)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.run(func(txn kv.Txn) error {
			for i := range 500 {
				if _, err := Create(txn, Path{"tenants", fmt.Sprintf("t%05d", first+i)}, ids[2*i:]); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	ids, err := f.c.Reserve(4)
	if err != nil {
		t.Fatal(err)
	}
	deep := Path{"tenants", "t12345", "a", "b"}
	for _, op := range []struct {
		name                string
		reads, rows, writes int
		do                  func(t kv.Txn) error
	}{
		{"create", 4, 0, 2, func(t kv.Txn) error { _, err := Create(t, deep, ids); return err }},
		{"use", 4, 0, 0, func(t kv.Txn) error { _, err := Resolve(t, deep); return err }},
		{"exists", 2, 0, 0, func(t kv.Txn) error { _, err := Exists(t, Path{"tenants", "none", "x"}); return err }},
		{"list", 2, 10, 0, func(t kv.Txn) error { _, err := List(t, Path{"tenants"}, "t10000", 10); return err }},
		{"move up", 6, 2, 1, func(t kv.Txn) error { return Move(t, Path{"tenants", "t12345"}, Path{"moved"}, ids) }},
		{"move all", 3, belowMax, 1, func(t kv.Txn) error { return Move(t, Path{"tenants"}, Path{"clients"}, ids) }},
		{"remove", 3, 0, 1, func(t kv.Txn) error { return Remove(t, Path{"clients", "t00007"}) }},
	} {
		var c counting
		if err := f.run(func(txn kv.Txn) error { c = counting{Txn: txn}; return op.do(&c) }); err != nil {
			t.Errorf("%s: %v", op.name, err)
		}
		if c.reads > op.reads || c.rows > op.rows || c.writes > op.writes {
			t.Errorf("%s: %d reads, %d rows, %d writes; want at most %d, %d, %d", op.name, c.reads, c.rows, c.writes, op.reads, op.rows, op.writes)
		}
	}
	testPages(t, f, tenants-1)
	testPurge(t, f)
}

func testPages(t *testing.T, f *fixture, want int) {
	var all []string
	for after := ""; ; {
		var page []string
		if err := f.run(func(txn kv.Txn) (err error) { page, err = List(txn, Path{"clients"}, after, 999); return err }); err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < 999 {
			break
		}
		after = page[len(page)-1]
	}
	if len(all) != want || !slices.IsSorted(all) {
		t.Errorf("%d names, sorted %t; want %d", len(all), slices.IsSorted(all), want)
	}
}

// testPurge purges the tenants, with an interruption, and looks for what is left.
func testPurge(t *testing.T, f *fixture) {
	id, err := f.resolve("clients.t00001")
	if err != nil {
		t.Fatal(err)
	}
	data := append(keyspace.AppendModel(nil, id, keyspace.ModelZMap), "k"...)
	if err := f.run(func(t kv.Txn) error { t.Set(data, []byte("v")); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := f.remove("clients"); err != nil {
		t.Fatal(err)
	}
	stop, calls := errors.New("stop"), 0
	err = Purge(func(fn kv.Func) error {
		if calls++; calls > 20 {
			return stop
		}
		return f.run(fn)
	}, Path{"clients"})
	if !errors.Is(err, stop) {
		t.Fatalf("interrupted purge: %v", err)
	}
	most := 0
	err = Purge(func(fn kv.Func) error {
		return f.run(func(t kv.Txn) error {
			c := &counting{Txn: t}
			err := fn(c)
			most = max(most, c.reads)
			return err
		})
	}, Path{"clients"})
	if err != nil {
		t.Fatal(err)
	}
	if most > 2*purgeSteps {
		t.Errorf("a transaction of PURGE read %d times", most)
	}
	left := 0
	if err := f.run(func(txn kv.Txn) error {
		left = 0
		for _, span := range []base.Span{
			base.PrefixSpan([]byte{keyspace.Sys, keyspace.SysNamespaceByPath}), base.PrefixSpan([]byte{keyspace.Data}),
		} {
			if err := txn.Scan(span, kv.ScanOptions{}, func(_, _ []byte) bool { left++; return true }); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if left != 3 { // moved, moved.a, moved.a.b
		t.Errorf("%d rows are left, want 3", left)
	}
	if err := f.create("clients"); err != nil {
		t.Error(err)
	}
	if again, err := f.resolve("clients"); err != nil || again <= id {
		t.Errorf("id %d after %d (%v)", again, id, err)
	}
}

// TestReserve hands out ids from several processes at once.
func TestReserve(t *testing.T) {
	f := overRange(t)
	var mu sync.Mutex
	seen := map[keyspace.NamespaceID]bool{}
	var wg sync.WaitGroup
	for range 4 {
		c := New(f.db)
		defer c.Close()
		for range 4 {
			wg.Go(func() {
				for range 50 {
					ids, err := c.Reserve(3)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, id := range ids {
						if seen[id] || id < firstID {
							t.Errorf("id %d twice", id)
						}
						seen[id] = true
					}
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
}

// TestInteractiveConflicts: a transaction that used a namespace cannot commit
// after it, or one above it, was taken away; other changes do not disturb it.
func TestInteractiveConflicts(t *testing.T) {
	for _, tc := range []struct {
		change   string
		conflict bool
	}{
		{"remove a.b.c", true}, {"remove a", true}, {"move a.b x", true}, {"move a x.y", true},
		{"remove a.other", false}, {"create a.b.d", false}, {"move a.other z", false},
	} {
		f := overRange(t)
		for _, p := range []string{"a.b.c", "a.other"} {
			if err := f.create(p); err != nil {
				t.Fatal(err)
			}
		}
		tx := f.db.Begin()
		id, err := Resolve(tx, Path{"a", "b", "c"})
		if err != nil {
			t.Fatal(err)
		}
		tx.Set(append(keyspace.AppendModel(nil, id, keyspace.ModelZMap), 'k'), []byte("v"))
		if got := f.do(tc.change); got != "ok" {
			t.Fatalf("%s: %s", tc.change, got)
		}
		if _, err := tx.Commit(); errors.Is(err, base.ErrConflict) != tc.conflict {
			t.Errorf("%s: commit says %v", tc.change, err)
		}
	}
}

// TestGuardedWrites writes short commands under the term while the namespace is
// removed and purged: nothing may be written after the REMOVE.
func TestGuardedWrites(t *testing.T) {
	f := overRange(t)
	for round := range 30 {
		name := fmt.Sprintf("r%d", round)
		if err := f.create(name); err != nil {
			t.Fatal(err)
		}
		var removed atomic.Bool
		var late, writes atomic.Int64
		warm := make(chan struct{}) // closed when there are some writes
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				s := f.db.NewSession()
				for i := 0; ; i++ {
					term := f.c.Renew()
					var id keyspace.NamespaceID
					_, err := s.Run(kv.Func(func(t kv.Txn) (err error) { id, err = Resolve(t, Path{name}); return err }))
					if err != nil {
						return // being removed
					}
					s.Guards = []kv.Watch{term.Guard()}
					after := removed.Load()
					_, err = s.Run(kv.Func(func(t kv.Txn) error {
						t.Set(append(keyspace.AppendModel(nil, id, keyspace.ModelZMap), byte(w), byte(i)), []byte("v"))
						return nil
					}))
					s.Guards = nil
					if err == nil {
						if writes.Add(1) == 20 {
							close(warm)
						}
						if after {
							late.Add(1)
						}
					}
				}
			})
		}
		<-warm
		id, err := f.resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.remove(name); err != nil {
			t.Fatal(err)
		}
		removed.Store(true)
		if err := f.purge(name); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		left := 0
		if err := f.run(func(t kv.Txn) error {
			left = 0
			return t.Scan(base.PrefixSpan(keyspace.AppendNamespace(nil, id)), kv.ScanOptions{}, func(_, _ []byte) bool { left++; return true })
		}); err != nil {
			t.Fatal(err)
		}
		if left > 0 || late.Load() > 0 {
			t.Fatalf("round %d: %d rows left after PURGE, %d writes after REMOVE", round, left, late.Load())
		}
	}
}
